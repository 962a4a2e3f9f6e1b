//! A small model that drafts by itself (Leviathan et al., arXiv 2211.17192).
//!
//! The first pass takes in what the target accepted and proposes a token; each further token is one decode step
//! of the small model, with its whole vocabulary.

use super::Round;
use crate::piece::Piece;

pub(super) fn round(round: &Round<'_>, piece: &mut Piece) {
    let Some(model) = &round.loaded.drafter.model else { return };
    let decoder = round.decoder(model);
    round.catch_up(&decoder, piece);
    if !round.drafts() {
        return;
    }
    let rows = f64::from(round.rank.decoding);
    let (vocab, hidden) = (f64::from(model.vocab), f64::from(model.hidden));
    round.propose(rows, vocab, hidden, round.loaded.tp, piece);
    let beams = f64::from(round.beams());
    round.further_passes(piece, |piece| {
        round.draft_pass(&decoder, 1, piece);
        round.propose(beams, vocab, hidden, round.loaded.tp, piece);
    });
}
