//! Everything of an RL step that is not generation: training, reward, and the loop that joins them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, CountOrZero, Planned, Uncertain};

/// The training pass and the log-probability passes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// How one model replica is spread over GPUs.
    pub layout: Option<TrainingLayout>,
    /// Number format of the matrix products.
    pub precision: Option<Precision>,
    /// Samples in one optimizer step.
    pub global_batch_size: Option<Count>,
    /// Passes over the samples of one RL step.
    pub epochs: Option<Count>,
    /// True: sequences are packed, so that padding costs nothing.
    pub packing: Option<bool>,
    /// Activation recomputation.
    pub recompute: Option<Recompute>,
    /// Share of the peak arithmetic rate that the training pass reaches, above 0, up to 1.
    pub mfu: Option<Uncertain>,
    /// The same for the log-probability passes.
    pub logprob_mfu: Option<Uncertain>,
    /// True: a forward pass of the reference model over all samples.
    pub reference_logprobs: Option<bool>,
    /// True: a forward pass of the policy before the update over all samples.
    pub old_logprobs: Option<bool>,
    /// Training of the drafter beside the target (planned).
    pub drafter: Option<Planned>,
}

/// How one model replica is spread over GPUs for training.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainingLayout {
    /// Tensor-parallel GPUs.
    pub tp: Option<Count>,
    /// Pipeline-parallel stages; their bubbles are part of `mfu`.
    pub pp: Option<Count>,
    /// Context-parallel GPUs: they share one sequence.
    pub cp: Option<Count>,
    /// Expert-parallel GPUs; their all-to-all is part of `mfu`.
    pub ep: Option<Count>,
    /// Data-parallel replicas; by default all GPUs divided by the others.
    pub dp: Option<Count>,
}

/// A number format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// bfloat16, 2 bytes.
    Bf16,
    /// 8-bit floating point, 1 byte.
    Fp8,
}

/// Activation recomputation in the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Recompute {
    /// Everything is kept.
    None,
    /// Only attention is computed again.
    Selective,
    /// A whole forward pass is computed again.
    Full,
}

/// How responses are scored.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reward {
    /// A program with no GPU.
    Rule(RuleReward),
    /// Code run in sandboxes (planned).
    Sandbox(Planned),
    /// A reward model on GPUs (planned).
    Model(Planned),
}

/// A scoring program with no GPU.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleReward {
    /// Time for all responses of one RL step, in seconds.
    pub seconds: Uncertain,
    /// True: responses are scored while others are still being generated.
    pub overlapped: Option<bool>,
}

/// How generation and training take turns.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Loop {
    /// Synchronous, or asynchronous (planned).
    pub mode: Option<Mode>,
    /// True: generation and training share the GPUs and take turns.
    pub colocated: Option<bool>,
    /// Oldest weights that a sample may come from, in optimizer steps (above 0: planned).
    pub max_staleness: Option<CountOrZero>,
    /// Time to load and prepare the prompts of one RL step, in seconds.
    pub data_seconds: Option<Uncertain>,
    /// Time to wake the engine and all else before generation besides the weight transfer, in seconds.
    pub prepare_seconds: Option<Uncertain>,
    /// How new weights reach the engine.
    pub weight_sync: Option<WeightSync>,
    /// Samples go to training as they finish (planned).
    pub streaming: Option<Planned>,
    /// New weights interrupt running requests (planned).
    pub interrupt: Option<Planned>,
    /// More requests are started than needed (planned).
    pub over_sampling: Option<Planned>,
    /// Unfinished responses go on in the next RL step (planned).
    pub partial_rollouts: Option<Planned>,
    /// Groups without signal are replaced (planned).
    pub dynamic_sampling: Option<Planned>,
}

/// How generation and training take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Each waits for the other.
    Sync,
    /// Both run at once (planned).
    Async,
}

/// How new weights reach the engine.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WeightSync {
    /// On the same GPU through shared memory handles.
    ColocatedIpc,
    /// Each training shard to the engine shards that need it.
    NcclReshard,
    /// Gathered, then broadcast to every engine.
    NcclBroadcast,
    /// Through a checkpoint engine in host memory.
    CheckpointEngine,
    /// A measured time, in seconds.
    Seconds(Uncertain),
}
