//! The training side and the scoring of one run.

use serde::{Deserialize, Serialize};

use super::cycle::DrafterTraining;
use super::facts::Precision;
use super::run::Quantity;

/// The training side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// GPUs that share one sequence: tensor-, context- and pipeline-parallel.
    pub gpus_per_sequence: u32,
    /// Of them pipeline stages.
    pub stages: u32,
    /// Tokens of a micro batch of packed sequences.
    pub micro_batch_tokens: u32,
    /// How samples are dealt to data-parallel ranks.
    pub balance: Balance,
    /// Seconds of an optimizer step itself: gradients summed, weights spread, optimizer.
    pub update: Quantity,
    /// Number format of the matrix products.
    pub precision: Precision,
    /// Samples of one optimizer step.
    pub global_batch_size: u32,
    /// Passes over the rollout.
    pub epochs: u32,
    /// Whether sequences are packed; otherwise each is padded to the longest of its update (of all, in log-prob passes).
    pub packing: bool,
    /// Forward passes that the backward pass repeats (0 none, 1 all).
    pub recompute: f64,
    /// Model FLOP utilisation of forward and backward.
    pub mfu: Quantity,
    /// Model FLOP utilisation of the log-prob passes.
    pub logprob_mfu: Quantity,
    /// Whether the old policy's log-probs are recomputed.
    pub old_logprobs: bool,
    /// Whether a reference model scores the samples.
    pub reference_logprobs: bool,
    /// Training of the drafter, if any.
    pub drafter: Option<DrafterTraining>,
}

/// How samples are dealt to data-parallel ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// About the same tokens in every update.
    Update,
    /// About the same tokens over the RL step; an update's are left to chance.
    Step,
    /// As they come.
    None,
}

/// The reward stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reward {
    /// Seconds of the whole step's scoring, all servers busy.
    pub seconds: Quantity,
    /// Whether samples are scored while others are still generated.
    pub overlapped: bool,
    /// Samples that are scored at once.
    pub servers: u32,
    /// Standard deviation of the logarithm of a sample's seconds.
    pub sigma: f64,
    /// GPUs that score, paid for as the engines' are.
    pub gpus: u32,
}
