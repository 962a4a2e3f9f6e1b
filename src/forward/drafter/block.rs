//! Block drafters (DFlash, DSpark, P-EAGLE): a few layers propose all tokens of a round in one pass.
//!
//! The pass runs over the block of every sequence, after the tokens that the target accepted have entered the
//! drafter's cache. A round asks for no more tokens than the block holds; the pass costs the whole block.

use super::Round;
use crate::piece::Piece;

pub(super) fn round(round: &Round<'_>, piece: &mut Piece) {
    let Some(model) = &round.loaded.drafter.model else { return };
    let decoder = round.decoder(model);
    round.catch_up(&decoder, piece);
    if !round.drafts() {
        return;
    }
    let block = round.loaded.drafter.block.max(round.rank.draft_tokens);
    round.draft_pass(&decoder, block, piece);
    let rows = f64::from(round.rank.decoding * round.rank.draft_tokens);
    round.propose(
        rows,
        f64::from(round.loaded.drafter.draft_vocab),
        f64::from(model.hidden),
        round.loaded.tp,
        piece,
    );
}
