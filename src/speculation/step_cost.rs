//! The one view that this layer has of costs.

use crate::piece::{Piece, Shape};

/// What an engine step costs, in pieces affine in context.
pub trait StepCost: Sync {
    /// The piece for a shape that holds at a total context (tokens, over the decoding sequences).
    ///
    /// The returned piece's `context` range contains `context`; costs are finite and not negative there.
    fn piece(&self, shape: &Shape, context: f64) -> Piece;
}
