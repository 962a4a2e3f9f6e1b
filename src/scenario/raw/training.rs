//! Everything of an RL step that is not generation: training, reward, and the loop that joins them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, CountOrZero, NonNegative, Positive, Probability, Uncertain};

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
    /// Tokens of a micro batch where sequences are packed; by default one sequence of the greatest length. Pipelines
    /// have fewer bubbles with more micro batches.
    pub micro_batch_tokens: Option<Count>,
    /// How samples are dealt to data-parallel ranks.
    pub balance: Option<Balance>,
    /// Seconds of an optimizer step itself (gradients summed, weights spread, optimizer), instead of a formula.
    pub update_seconds: Option<Uncertain>,
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
    /// Training of the drafter beside the target; by default it is frozen.
    pub drafter: Option<DrafterTraining>,
}

/// Training of the drafter on what the policy writes. A gap g of its acceptance becomes `g * exp(-updates / recovery)`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrafterTraining {
    /// RL steps between two trainings.
    pub every: Option<Count>,
    /// Updates of each.
    pub updates: Option<Count>,
    /// Tokens of an update.
    pub tokens: Option<Count>,
    /// Updates after which 63 % of a gap are closed.
    pub recovery: Option<Positive>,
    /// What the drafter is trained for: it sets how far below its attainable rate it starts, where `initial_gap` does not.
    pub loss: Option<DrafterLoss>,
    /// RL steps that the result lags, where training runs beside the loop; by default 1 for `overlapped`, else 0.
    pub lag: Option<CountOrZero>,
    /// How far below its attainable first-position rate the drafter starts.
    pub initial_gap: Option<Probability>,
    /// Where it runs.
    pub placement: Option<DrafterPlacement>,
    /// Share of its seconds that the loop is longer for, where it runs beside generation.
    pub contention: Option<Probability>,
    /// Measured seconds of a training, instead of operations over an efficiency.
    pub seconds: Option<NonNegative>,
}

/// What the drafter is trained for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DrafterLoss {
    /// The policy's distribution (knowledge distillation).
    Distillation,
    /// The same, each sample weighted by its reward (ReSpec).
    RewardWeighted,
    /// Acceptance itself, as an RL-trained drafter's reward is (SpecRL).
    Acceptance,
}

/// Where the drafter is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DrafterPlacement {
    /// The loop waits for it.
    Inline,
    /// Beside generation, on the same GPUs (`ReSpec`).
    Overlapped,
    /// In the trainer's own passes, every step; sequences are not packed then (NeMo-RL).
    TrainerForward,
    /// On GPUs that the long tail has left idle (TLT).
    Idle,
}

/// How one model replica is spread over GPUs for training.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainingLayout {
    /// Tensor-parallel GPUs.
    pub tp: Option<Count>,
    /// Pipeline-parallel stages; their bubbles come on top of `mfu`.
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

/// How samples are dealt to data-parallel ranks; they wait for the fullest at every optimizer step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// About the same tokens in every optimizer step.
    Update,
    /// About the same tokens over the RL step, each optimizer step's left to chance (verl `trainer.balance_batch`).
    Step,
    /// As they come.
    None,
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
    /// Code run in sandboxes.
    Sandbox(SandboxReward),
    /// A reward model on GPUs of its own.
    Model(ModelReward),
}

/// Code run in sandboxes: each response takes one for a while.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SandboxReward {
    /// Mean time of one response, in seconds.
    pub latency: Uncertain,
    /// Standard deviation of its logarithm, 0 to 3; 0 by default.
    pub sigma: Option<NonNegative>,
    /// Sandboxes.
    pub concurrency: Count,
    /// False: scoring starts when all responses are there.
    pub overlapped: Option<bool>,
}

/// A reward model on GPUs of its own.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelReward {
    /// GPUs of the reward model: they are paid for as the engines' are.
    pub gpus: Count,
    /// Mean time of one response at this concurrency, in seconds.
    pub latency: Uncertain,
    /// Standard deviation of its logarithm, 0 to 3; 0 by default.
    pub sigma: Option<NonNegative>,
    /// Responses that are scored at once.
    pub concurrency: Count,
    /// False: scoring starts when all responses are there.
    pub overlapped: Option<bool>,
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
    /// A framework's mode by its name: it sets the keys below that are not given.
    pub preset: Option<LoopPreset>,
    /// Synchronous, or asynchronous.
    pub mode: Option<Mode>,
    /// True: generation and training share the GPUs and take turns.
    pub colocated: Option<bool>,
    /// Oldest weights that a sample may come from, in RL steps.
    pub max_staleness: Option<CountOrZero>,
    /// How much more than one RL step's prompts may be under way, in RL steps (verl's staleness threshold), where they start
    /// one by one; by default `max_staleness`.
    pub lead: Option<NonNegative>,
    /// Time to load and prepare the prompts of one RL step, in seconds.
    pub data_seconds: Option<Uncertain>,
    /// Time to wake the engine and all else before generation besides the weight transfer, in seconds.
    pub prepare_seconds: Option<Uncertain>,
    /// How new weights reach the engine.
    pub weight_sync: Option<WeightSync>,
    /// True: prompts are started one by one as others finish. False: an RL step's prompts start together when the
    /// engines are empty.
    pub streaming: Option<bool>,
    /// Which finished groups are trained first; with over-sampling and nothing that runs ahead, by default those that
    /// finished first.
    pub order: Option<Order>,
    /// What happens to a group that would exceed `max_staleness`.
    pub stale: Option<Stale>,
    /// What new weights do to running requests.
    pub interrupt: Option<Interrupt>,
    /// Most samples under way on all engines together; by default what the engines hold.
    pub max_concurrent: Option<Count>,
    /// More prompts are started than are trained.
    pub over_sampling: Option<OverSampling>,
    /// True: what over-sampling leaves unfinished goes on in the next RL step; false: it is thrown away.
    pub partial_rollouts: Option<bool>,
    /// Groups without signal are replaced (DAPO), once their rewards are known: rewards then stand inside generation.
    pub dynamic_sampling: Option<DynamicSampling>,
}

/// Modes of frameworks, by their names. What each sets is listed in the result's assumptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LoopPreset {
    /// Generation and training wait for each other.
    Sync,
    /// verl `one_step_off`, slime `train_async`: the next batch is generated while one is trained.
    OneStepOff,
    /// NeMo-RL asynchronous GRPO, `max_trajectory_age_steps`: groups for their own step, in order.
    NemoRlMaxAge,
    /// NeMo-RL sampler `in_order`.
    NemoRlInOrder,
    /// NeMo-RL sampler `weight_fifo`: groups of the oldest weights first.
    NemoRlWeightFifo,
    /// NeMo-RL sampler `windowed`: first come, first trained; groups beyond the window are thrown away.
    NemoRlWindowed,
    /// verl fully asynchronous, a staleness fraction, old samples waited for.
    VerlStalenessWait,
    /// verl fully asynchronous, a staleness fraction, old samples thrown away.
    VerlStalenessDrop,
    /// `AReaL` `max_head_offpolicyness`.
    Areal,
    /// `SkyRL` `fully_async.max_staleness_steps`.
    Skyrl,
}

/// Which finished groups are trained first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// In the order in which they were started.
    InOrder,
    /// Those of the oldest weights.
    OldestFirst,
    /// Those that finished first.
    FirstDone,
}

/// What happens to a group that would exceed the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stale {
    /// Training waits for it.
    Wait,
    /// It is thrown away and another prompt takes its place.
    Drop,
}

/// What new weights do to running requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interrupt {
    /// Nothing starts until the running ones have finished; then the weights change.
    Off,
    /// They go on with new weights and the old KV cache.
    KeepKv,
    /// They go on with new weights once their KV cache is computed again.
    RecomputeKv,
}

/// More prompts than are trained.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OverSampling {
    /// Prompts that are started over prompts that are trained; 1 or more.
    pub factor: Positive,
}

/// Groups whose samples all pass or all fail give no signal.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DynamicSampling {
    /// Share of groups whose samples all pass.
    pub all_pass: Probability,
    /// Share of groups whose samples all fail.
    pub all_fail: Probability,
    /// True: replacements start together when everything has finished; false: one by one.
    pub waves: Option<bool>,
}

/// How generation and training take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Each waits for the other.
    Sync,
    /// Both run at once.
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
    /// Each engine pulls its shards from the trainer's memory (RDMA).
    Rdma,
    /// Only what changed is sent.
    Delta,
    /// Gathered, broadcast and loaded with nothing overlapped.
    Slow,
    /// A measured time, in seconds.
    Seconds(Uncertain),
}
