//! Pieces that a replica has asked for, kept by shape: most steps look like one before.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::piece::{Piece, Shape};
use crate::speculation::StepCost;

/// Pieces of decode-only steps of chains by draft length and batch, and of all others by their shape.
#[derive(Debug, Default)]
pub(super) struct PieceCache {
    decode: Vec<Vec<Option<Piece>>>,
    mixed: HashMap<Shape, Piece>,
}

impl PieceCache {
    /// The piece of a shape that holds at a total context.
    pub(super) fn get(&mut self, shape: &Shape, context: f64, cost: &impl StepCost) -> &Piece {
        if shape.prefill_tokens > 0 || shape.tree.is_some() || shape.drafter_asleep {
            return self.mixed(shape, context, cost);
        }
        let (k, batch) = (shape.draft_tokens as usize, shape.decoding as usize);
        if self.decode.len() <= k {
            self.decode.resize(k + 1, Vec::new());
        }
        let by_batch = &mut self.decode[k];
        if by_batch.len() <= batch {
            by_batch.resize(batch + 1, None);
        }
        let slot = &mut by_batch[batch];
        if !slot.as_ref().is_some_and(|piece| piece.context.contains(&context)) {
            *slot = Some(cost.piece(shape, context));
        }
        slot.get_or_insert_with(Piece::zero)
    }

    fn mixed(&mut self, shape: &Shape, context: f64, cost: &impl StepCost) -> &Piece {
        // Pairs are priced beside the piece.
        let key = Shape { prefill_pairs: 0, ..*shape };
        match self.mixed.entry(key) {
            Entry::Vacant(free) => free.insert(cost.piece(shape, context)),
            Entry::Occupied(kept) => {
                let piece = kept.into_mut();
                if !piece.context.contains(&context) {
                    *piece = cost.piece(shape, context);
                }
                piece
            }
        }
    }
}
