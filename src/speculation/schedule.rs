//! Schedules: what picks the SD configuration of each step. One file a schedule.

mod error;
mod fixed;
mod goodput;
mod oracle;
mod respec;
mod sglang_tiers;
mod specrl;
#[cfg(test)]
mod tests;
mod vllm_table;

pub use error::ScheduleError;
pub use fixed::Fixed;
pub use goodput::Goodput;
pub use oracle::Oracle;
pub use respec::{Profile, Respec};
pub use sglang_tiers::{SglangConfig, SglangTiers, Tier};
pub use specrl::SpecRl;
pub use vllm_table::VllmTable;

use super::Configuration;
use super::acceptance::Ranks;
use super::solver::CatchUp;

/// What a schedule may look at before a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Sequences that will decode in this step.
    pub running: u32,
    /// Sequences whose prompt is being prefilled.
    pub prefilling: u32,
    /// Sequences that wait for a place.
    pub waiting: u32,
    /// Total context of the decoding sequences, tokens.
    pub context: u64,
}

/// What a step's rounds accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation<'a> {
    /// What was run.
    pub configuration: Configuration,
    /// Sequences that decoded.
    pub running: u32,
    /// How many of them accepted exactly 0, 1, … draft tokens; all of them none where nothing was drafted.
    pub accepted: &'a [u64],
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

    /// Every tree that it may ask for; chains need not be named.
    fn trees(&self) -> Vec<Configuration> {
        Vec::new()
    }

    /// Shows it what the last step accepted. Called after each step of a schedule that is not leapable.
    fn observe(&mut self, _: &Observation<'_>) {}

    /// Tells it the acceptance; one that learns it, or never looks at it, goes on as it was.
    fn know(&mut self, _rates: &[f64], _ranks: &Ranks) {}

    /// How the drafter's cache catches up when drafting is switched on.
    fn catch_up(&self) -> CatchUp {
        CatchUp::KeepWarm
    }

    /// The total context up to which a decision holds where nothing else changes.
    fn holds_until(&self, _: &Snapshot) -> f64 {
        f64::INFINITY
    }
}
