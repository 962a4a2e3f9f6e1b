//! Schedules: what picks the SD configuration of each step. One file a schedule.

mod fixed;

pub use fixed::Fixed;

use super::Configuration;

/// What a schedule may look at before a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// Sequences that will decode in this step.
    pub running: u32,
    /// Sequences that wait for a place.
    pub waiting: u32,
    /// Total context of the decoding sequences, tokens.
    pub context: u64,
}

/// Picks configurations.
pub trait Schedule: Send {
    /// The configuration of the next step.
    fn decide(&mut self, snapshot: &Snapshot) -> Configuration;

    /// Most draft tokens that it ever asks for: the KV look-ahead that the engine reserves.
    fn max_draft_tokens(&self) -> u32;

    /// Whether a decision depends on the snapshot's counts alone, so that steps between changes of the
    /// batch may be taken at once. A schedule that keeps per-step history answers no and is stepped.
    fn leapable(&self) -> bool;
}
