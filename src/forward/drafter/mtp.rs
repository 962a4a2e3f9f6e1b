//! Multi-token prediction (DeepSeek-V3, arXiv 2412.19437): a layer like the target's own, over the target's last
//! hidden state and the next embedding, with the target's head.
//!
//! One such layer is run again for each further token. The layer of a mixture-of-experts model is a whole
//! mixture-of-experts layer in the target's own layout: drafting costs like a layer of the target, and wakes
//! experts. The projection of the concatenated inputs (2h to h) runs in every pass.

use super::super::add_timed;
use super::Round;
use crate::estimate::Family;
use crate::piece::Piece;
use crate::resolved::{Experts, Model};

pub(super) fn round(round: &Round<'_>, piece: &mut Piece) {
    let target = &round.engine.model;
    // The layer at the end of the model: with experts, where the model has any.
    let experts = target.experts.map(|experts| Experts { dense_layers: 0, ..experts });
    let layer = Model { experts, ..target.cached_layer() };
    let decoder = super::Decoder { model: &layer, weights: round.loaded.weights, ..round.engine.decoder() };
    let hidden = f64::from(target.hidden);
    let project = |tokens: f64, piece: &mut Piece| {
        let time = round.engine.kernels.gemm(tokens, hidden, 2.0 * hidden, round.loaded.weights);
        add_timed(piece, "input projection", Family::Gemm, time, 1.0);
    };
    let tokens = round.catch_up_tokens();
    if tokens > 0.0 {
        project(tokens, piece);
    }
    round.catch_up(&decoder, piece);
    if !round.drafts() {
        return;
    }
    let rows = f64::from(round.rank.decoding);
    // The target's head lies over the target's GPUs.
    let (vocab, tp) = (f64::from(target.vocab), round.engine.layout.tp);
    round.propose(rows, vocab, hidden, tp, piece);
    let beams = f64::from(round.beams());
    round.further_passes(piece, |piece| {
        project(beams, piece);
        round.draft_pass(&decoder, 1, piece);
        round.propose(beams, vocab, hidden, tp, piece);
    });
}
