//! Pieces of decode-only steps that any replica of a study has asked for: replicas, draws and RL steps meet the same
//! batches again and again, and composing a piece costs microseconds.
//!
//! A piece is a pure function of its shape and range, so which replica asks first changes nothing. Steps with
//! prefill are as good as never met twice and are passed on.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::piece::{Piece, Shape};
use crate::speculation::StepCost;

/// Parts that are locked apart, so that threads seldom wait for each other.
const SHARDS: usize = 64;
/// Most shapes of a shard that are kept.
const MOST: usize = 1024;

/// Pieces by shape.
type Kept = HashMap<Shape, Vec<Piece>>;

/// A view of costs that keeps what it has composed.
#[derive(Debug)]
pub(super) struct Memo<'a, C> {
    cost: &'a C,
    shards: Vec<Mutex<Kept>>,
}

impl<'a, C: StepCost> Memo<'a, C> {
    /// Over these costs.
    pub(super) fn new(cost: &'a C) -> Self {
        Memo { cost, shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl<C: StepCost> StepCost for Memo<'_, C> {
    fn piece(&self, shape: &Shape, context: f64) -> Piece {
        if shape.prefill_tokens > 0 || shape.prefill_ends > 0 {
            return self.cost.piece(shape, context);
        }
        let shard = &self.shards[shape.decoding as usize % SHARDS];
        let key = *shape;
        {
            let kept = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let found = kept.get(&key).and_then(|all| all.iter().find(|p| p.context.contains(&context)));
            if let Some(piece) = found {
                return piece.clone();
            }
        }
        let piece = self.cost.piece(shape, context);
        let mut kept = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MOST || kept.contains_key(&key) {
            let all = kept.entry(key).or_default();
            if !all.iter().any(|p| p.context.contains(&context)) {
                all.push(piece.clone());
            }
        }
        piece
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::estimate::Family;

    /// Counts what it is asked; a knot at a context of 100.
    struct Counting(AtomicU32);

    impl StepCost for Counting {
        fn piece(&self, shape: &Shape, context: f64) -> Piece {
            self.0.fetch_add(1, Ordering::Relaxed);
            let mut piece = Piece::zero();
            piece.add(Family::Gemm, f64::from(shape.decoding), 0.0);
            piece.context = if context < 100.0 { 0.0..100.0 } else { 100.0..f64::INFINITY };
            piece
        }
    }

    #[test]
    fn each_piece_is_composed_once() {
        let costs = Counting(AtomicU32::new(0));
        let memo = Memo::new(&costs);
        let shape = |decoding, prefill_tokens| Shape { decoding, prefill_tokens, ..Shape::default() };
        for context in [5.0, 50.0, 100.0, 1e6, 7.0] {
            let piece = memo.piece(&shape(3, 0), context);
            assert!(piece.context.contains(&context) && piece.fixed[0] == 3.0);
        }
        assert_eq!(costs.0.load(Ordering::Relaxed), 2, "one on each side of the knot");
        memo.piece(&shape(67, 0), 5.0);
        assert_eq!(costs.0.load(Ordering::Relaxed), 3, "another batch of the same shard");
        memo.piece(&shape(3, 9), 5.0);
        memo.piece(&shape(3, 9), 5.0);
        assert_eq!(costs.0.load(Ordering::Relaxed), 5, "prefill is passed on");
    }
}
