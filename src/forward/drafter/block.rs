//! Block drafters (DFlash, arXiv 2602.06036; DSpark; P-EAGLE): a few layers propose all tokens of a round in one pass.
//!
//! The pass runs over the last verified token and K places of every sequence. Before it, the tokens that the target
//! verified enter the drafter's cache: through the layers (P-EAGLE), or by projecting the target's fused hidden
//! states into each layer's keys and values, which is all that an idle drafter has to do (DFlash, DSpark). Leaves
//! out: DSpark's Markov and confidence heads.

use super::super::add_timed;
use super::Round;
use crate::estimate::Family;
use crate::piece::Piece;
use crate::resolved::Model;

pub(super) fn round(round: &Round<'_>, piece: &mut Piece) {
    let Some(model) = &round.loaded.drafter.model else { return };
    let decoder = round.decoder(model);
    if round.loaded.drafter.injects_context {
        inject(round, model, piece);
    } else {
        round.catch_up(&decoder, piece);
    }
    if !round.drafts() {
        return;
    }
    let k = round.rank.draft_tokens;
    round.draft_pass(&decoder, k + 1, piece);
    round.propose(
        f64::from(round.rank.decoding * k),
        f64::from(round.loaded.drafter.draft_vocab),
        f64::from(model.hidden),
        round.loaded.tp,
        piece,
    );
}

/// The fused hidden states of verified tokens and prompts, into the keys and values of every layer.
fn inject(round: &Round<'_>, model: &Model, piece: &mut Piece) {
    let tokens = round.catch_up_tokens();
    if tokens <= 0.0 {
        return;
    }
    let (kernels, weights) = (&round.engine.kernels, round.loaded.weights);
    let hidden = f64::from(model.hidden);
    let fused = f64::from(round.loaded.drafter.fused_layers) * hidden;
    let fusion = kernels.gemm(tokens, hidden, fused, weights);
    add_timed(piece, "hidden-state fusion", Family::Gemm, fusion, 1.0);
    let kv_heads = (f64::from(model.kv_heads) / f64::from(round.loaded.tp)).max(1.0);
    let width = 2.0 * kv_heads * f64::from(model.head_dim);
    let project = kernels.gemm(tokens, width, hidden, weights);
    add_timed(piece, "context keys and values", Family::Gemm, project, f64::from(model.layers));
}
