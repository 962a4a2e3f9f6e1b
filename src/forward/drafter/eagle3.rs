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
use super::Round;
use crate::cost::Timed;
use crate::estimate::Family;
use crate::piece::{Bound, Piece};
use crate::resolved::Model;

pub(super) fn round(round: &Round<'_>, piece: &mut Piece) {
    let Some(model) = &round.loaded.drafter.model else { return };
    let decoder = round.decoder(model);
    let hidden = f64::from(model.hidden);
    let tokens = round.catch_up_tokens();
    if tokens > 0.0 {
        let fused = f64::from(round.loaded.drafter.fused_layers) * hidden;
        let time = round.engine.kernels.gemm(tokens, hidden, fused, round.loaded.weights);
        add_timed(piece, "hidden-state fusion", Family::Gemm, time, 1.0);
        doubled_inputs(round, model, tokens, piece);
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
        doubled_inputs(round, model, beams, piece);
        round.draft_pass(&decoder, 1, piece);
        round.propose(beams, vocab, hidden, round.loaded.tp, piece);
    });
}

/// What q, k and v cost more for their input of 2h than the layer's own, and the concatenation.
fn doubled_inputs(round: &Round<'_>, model: &Model, tokens: f64, piece: &mut Piece) {
    let (kernels, tp) = (&round.engine.kernels, f64::from(round.loaded.tp));
    let hidden = f64::from(model.hidden);
    let kv_heads = (f64::from(model.kv_heads) / tp).max(1.0);
    let n = model.q_width() / tp + 2.0 * kv_heads * f64::from(model.head_dim);
    let (double, single) = (
        kernels.gemm(tokens, n, 2.0 * hidden, round.loaded.weights),
        kernels.gemm(tokens, n, hidden, round.loaded.weights),
    );
    let layers = f64::from(model.layers);
    let more = Timed { seconds: double.seconds - single.seconds, ..double };
    add_timed(piece, "qkv projection", Family::Gemm, more, layers);
    let concatenation = layers * tokens * 2.0 * hidden / kernels.elementwise_rate();
    add_plain(piece, "norms, rotary, activation", Family::Elementwise, concatenation, Bound::Memory);
}
