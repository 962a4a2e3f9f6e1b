//! One rollout: the samples of an RL step on data-parallel replicas of one inference engine.
//!
//! All samples are there at the start, so a replica's run depends on no other's: it is indexed by its own
//! iterations, and its time is a sum of seconds by operator family that any calibration world can price.
//! Engine behaviour follows vLLM's V1 scheduler: one token budget for decode and prefill, decodes first,
//! chunked prefill, first come first served, block-wise KV growth, preemption of the youngest by recompute,
//! full prompt blocks shared inside a group. `Live` is a replica that samples
//! reach over time. Leaves out: priorities, swapping to the host.

mod deal;
mod exact;
mod handover;
mod kv;
mod lanes;
mod leap;
mod live;
mod outcome;
mod pieces;
mod replica;
mod route;
#[cfg(test)]
mod tests;

pub use deal::deal;
pub use exact::run_exact;
pub use handover::{Unfinished, run_from, run_to};
pub use leap::run_leap;
pub use live::{Evicted, Live};
pub use outcome::{Outcome, TimelinePoint};
pub use route::assign;

use crate::speculation::StepCost;
use crate::speculation::acceptance::Population;
use crate::speculation::schedule::Schedule;
use crate::workload::Sample;

/// How a rollout is stepped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stepper {
    /// From change to change of the batch.
    #[default]
    Leap,
    /// Every iteration: slow, and the oracle.
    Exact,
}

/// Runs one replica. A schedule that needs every iteration is stepped exactly whatever was asked for.
pub fn run_replica(
    stepper: Stepper,
    job: &Job<'_>,
    cost: &impl StepCost,
    schedule: &mut dyn Schedule,
) -> Outcome {
    match stepper {
        Stepper::Leap if schedule.leapable() => run_leap(job, cost, schedule),
        _ => run_exact(job, cost, schedule),
    }
}

/// Limits of one replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most sequences at once.
    pub max_num_seqs: u32,
    /// Most tokens in one step; at least `max_num_seqs` · (K + 1).
    pub max_num_batched_tokens: u32,
    /// Tokens in one KV block.
    pub block_size: u32,
    /// KV blocks; at least enough for the longest sequence and its look-ahead.
    pub kv_blocks: u64,
    /// Whether full prompt blocks are shared inside a group.
    pub prefix_caching: bool,
    /// Whether prompts are prefilled in steps of their own, for which decoding waits; otherwise beside it, in what the decodes
    /// leave of a step's tokens.
    pub prefill_alone: bool,
    /// Tokens whose room in the cache the states of a running request take (layers of linear attention).
    pub state_tokens: u32,
}

/// What one replica has to do: its samples, as (index in the step, sample).
#[derive(Debug, Clone)]
pub struct Job<'a> {
    /// The samples, in the order of arrival.
    pub samples: &'a [(u32, Sample)],
    /// The engine's limits.
    pub limits: Limits,
    /// The acceptance of the requests; none where nothing is drafted.
    pub acceptance: Option<&'a Population>,
    /// Seed of the acceptance draws.
    pub seed: u64,
    /// Which draw and RL step this is, for the streams.
    pub path: [u64; 2],
    /// Where samples of several RL steps meet: samples of one RL step, so that indices name their step too.
    pub per_step: Option<u32>,
}
