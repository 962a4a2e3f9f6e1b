//! What a replica's run leaves behind.

use crate::estimate::{FAMILIES, STEP_FAMILIES, StepSeconds};
use crate::piece::Extrapolated;

/// The state of a replica after a change of its batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimelinePoint {
    /// Nominal seconds since the start of the rollout.
    pub seconds: f64,
    /// Sequences in the batch.
    pub running: u32,
    /// Sequences that wait.
    pub waiting: u32,
    /// KV blocks in use.
    pub kv_blocks: u64,
}

/// The run of one replica.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// Nominal seconds by family: a dot product with a world's multipliers is that world's time.
    pub seconds: StepSeconds,
    /// Nominal seconds of operators outside the range that their constants were fitted on.
    pub extrapolated: Extrapolated,
    /// Engine iterations.
    pub steps: u64,
    /// Draft rounds, summed over requests.
    pub rounds: u64,
    /// Rounds that accepted at least j+1 draft tokens.
    pub accepted_at: Vec<u64>,
    /// Changes of the configuration while requests were decoding.
    pub switches: u64,
    /// Nominal seconds of drafters that caught up after a switch.
    pub catch_up_seconds: f64,
    /// Response tokens that were emitted.
    pub tokens: u64,
    /// Prompt tokens that were prefilled, recomputed ones included.
    pub prefilled: u64,
    /// Preemptions.
    pub preemptions: u64,
    /// Most KV blocks in use at once.
    pub kv_peak: u64,
    /// Changes of the batch.
    pub timeline: Vec<TimelinePoint>,
    /// Completion of each sample: its index and nominal seconds.
    pub completions: Vec<(u32, f64)>,
}

impl Outcome {
    /// Seconds in a world, given its multiplier for each family.
    pub fn seconds_in(&self, world: &[f64; FAMILIES]) -> f64 {
        self.seconds
            .iter()
            .zip(&world[..STEP_FAMILIES])
            .map(|(seconds, multiplier)| seconds * multiplier)
            .sum()
    }

    /// Nominal seconds.
    pub fn nominal(&self) -> f64 {
        self.seconds.iter().sum()
    }
}
