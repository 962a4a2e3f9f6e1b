//! Draft rounds. One file a drafter kind.

mod eagle3;

use super::{Engine, LoadedDrafter};
use crate::piece::{Piece, Shape};
use crate::resolved::DrafterKind;

impl Engine {
    /// Adds what the drafter does in a step: its round, its own prefill, or keeping its cache in step.
    pub(super) fn draft_round(&self, loaded: &LoadedDrafter, shape: &Shape, piece: &mut Piece) {
        match loaded.drafter.kind {
            DrafterKind::Eagle3 => eagle3::round(self, loaded, shape, piece),
        }
    }
}
