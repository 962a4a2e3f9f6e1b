//! EAGLE-3 (arXiv 2503.01840): one transformer layer over the target's fused hidden states.
//!
//! A round of K draft tokens is K passes. The first runs over the K + 1 tokens that the target just
//! verified (rejected ones are padding: engines do not compact them), after fusing three hidden states by one
//! product; it also catches the drafter's KV cache up. Each further pass runs over one token per sequence,
//! or over one per beam where a tree is drafted: beams are sequences of their own that each read the context (SGLang).
//! q, k and v read the concatenation of embedding and hidden state (2h). Every pass ends in the reduced
//! head and an argmax. Prompts are prefilled by the drafter too. An idle drafter still runs the first pass,
//! without head, to stay in step with the target.

use super::super::{add_plain, add_timed};
use super::{Decoder, Round};
use crate::estimate::Family;
use crate::piece::{Bound, Piece};
use crate::resolved::Model;

pub(super) fn round(round: &Round<'_>, piece: &mut Piece) {
    let Some(model) = &round.loaded.drafter.model else { return };
    let decoder = Decoder { inputs: 2.0, ..round.decoder(model) };
    let hidden = f64::from(model.hidden);
    let tokens = round.catch_up_tokens();
    if tokens > 0.0 {
        let fused = f64::from(round.loaded.drafter.fused_layers) * hidden;
        if fused > 0.0 {
            let time = round.engine.kernels.gemm(tokens, hidden, fused, round.loaded.weights);
            add_timed(piece, "hidden-state fusion", Family::Gemm, time, 1.0);
        }
        concatenation(round, model, tokens, piece);
    }
    round.catch_up(&decoder, piece);
    if !round.drafts() {
        return;
    }
    let rows = f64::from(round.rank.decoding);
    let vocab = f64::from(round.loaded.drafter.draft_vocab);
    round.propose(rows, vocab, hidden, round.loaded.tp, piece);
    let beams = f64::from(round.beams());
    round.further_passes(piece, |piece| {
        concatenation(round, model, beams, piece);
        round.draft_pass(&decoder, 1, piece);
        round.propose(beams, vocab, hidden, round.loaded.tp, piece);
    });
}

/// Writing embedding and hidden state side by side.
fn concatenation(round: &Round<'_>, model: &Model, tokens: f64, piece: &mut Piece) {
    let seconds = f64::from(model.layers) * tokens * 2.0 * f64::from(model.hidden)
        / round.engine.kernels.elementwise_rate();
    add_plain(piece, "norms, rotary, activation", Family::Elementwise, seconds, Bound::Memory);
}
