//! The form of a scenario file as plain data: what the user may write, every key optional, units in each key's description.
//!
//! The doc comment of a field is also its description in `scenarios/schema.json`. Left out on purpose: defaults
//! (layer `resolve`), names looked up in the catalog, and every check that needs more than one key (`check`).
//! Inside the variant of an enum the fields that make no sense without each other are not optional.

mod engine;
mod number;
mod plan;
mod schedule;
mod speculation;
mod tail;
mod training;

pub use engine::{Engine, Generation, GenerationLayout, GraphMode, Overhead, Router, Routing, Transport};
pub use number::{Count, CountOrZero, Fraction, NonNegative, Number, Positive, Probability, Uncertain};
pub use plan::{Ends, GpuRange, Limits, Minimise, Over, OverGeneration, OverTraining, Plan};
pub use schedule::{
    CatchUpForm, FixedSchedule, GoodputSchedule, RespecSchedule, Schedule, SglangSchedule, SpecrlSchedule,
    TierForm, TreeForm, VllmSchedule, WindowForm,
};
pub use speculation::{
    Acceptance, AcceptanceLength, Course, Drafter, HistoryAcceptance, PowerLaw, Speculation,
    SpeculationConfig,
};
pub use tail::{Admission, Isolate, KvTransfer, Predictor, Regroup, Tail};
pub use training::{
    Balance, DrafterLoss, DrafterPlacement, DrafterTraining, DynamicSampling, Interrupt, Loop, LoopPreset,
    Mode, ModelReward, Order, OverSampling, Precision, Recompute, Reward, RuleReward, SandboxReward, Stale,
    Training, TrainingLayout, WeightSync,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The value of a key that is planned and not built yet: taken in as it is, refused by `planned`.
pub type Planned = serde_json::Value;

/// A whole scenario.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Version of this form; required; 1.
    #[schemars(required, range(min = 1, max = 1))]
    pub version: Option<u32>,
    /// Title shown in reports; by default the file's name.
    pub name: Option<String>,
    /// Free text: what this scenario is and where its numbers come from.
    pub description: Option<String>,
    /// Target model; required: an id of the catalog, a name on Hugging Face that it knows, or the path of a Hugging Face config.json.
    #[schemars(required)]
    pub model: Option<String>,
    /// The GPUs, when generation and training share them; this or `pools` is required.
    pub cluster: Option<Cluster>,
    /// Instead of `cluster`: different GPUs for generation and training.
    pub pools: Option<Pools>,
    /// Prompts and lengths; required.
    #[schemars(required)]
    pub workload: Option<Workload>,
    /// The inference engine.
    pub generation: Option<Generation>,
    /// Speculative decoding, or `off`.
    pub speculation: Option<Speculation>,
    /// The training pass and the log-probability passes.
    pub training: Option<Training>,
    /// What is done about the longest responses besides drafting.
    pub tail: Option<Tail>,
    /// How responses are scored.
    pub reward: Option<Reward>,
    /// How generation and training take turns.
    #[serde(rename = "loop")]
    pub rl_loop: Option<Loop>,
    /// Number of RL steps to simulate, warm-up included; by default 4 beside it.
    pub rl_steps: Option<Count>,
    /// Number of first RL steps left out of the means; by default 0, and where generation runs ahead 2 and its lead.
    pub warmup_steps: Option<CountOrZero>,
    /// Seed of every random stream: same seed, same result.
    pub seed: Option<u64>,
    /// How many draws stand behind the intervals.
    pub uncertainty: Option<Uncertainty>,
    /// Overrides that turn this scenario into the one it is compared with; by default `{ speculation: off }`.
    pub baseline: Option<serde_json::Map<String, serde_json::Value>>,
    /// The whole run that these RL steps are a sample of: start-up, evaluations, checkpoints, and what the drafter cost.
    pub whole_run: Option<WholeRun>,
    /// One engine step instead of a run: what `rollcast cost step --scenario` prices and `validate` scores.
    pub step: Option<EngineStep>,
    /// Published values to print beside the forecast; scored by `rollcast validate`.
    pub expect: Option<Vec<Expectation>>,
    /// A place to hold YAML anchors; otherwise ignored.
    pub vars: Option<serde_json::Value>,
    /// Goal and choices of `rollcast plan`; no other command looks at it.
    pub plan: Option<Plan>,
    /// Not of a scenario: sweeps are files of their own. Known so that the error can say so.
    pub sweep: Option<Planned>,
}

/// A set of equal GPUs.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Device id of the catalog, such as h100-sxm; required.
    #[schemars(required)]
    pub device: Option<String>,
    /// Number of GPUs; required.
    #[schemars(required)]
    pub gpus: Option<Count>,
    /// Number of GPUs inside one fast-link domain.
    pub gpus_per_node: Option<Count>,
    /// Network id of the catalog, between nodes.
    pub network: Option<String>,
    /// Price, in USD for one GPU and hour.
    pub usd_per_gpu_hour: Option<NonNegative>,
}

/// Different GPUs for the parts of the loop.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pools {
    /// GPUs that generate.
    pub generation: Option<Cluster>,
    /// GPUs that train.
    pub training: Option<Cluster>,
    /// GPUs that score (planned).
    pub reward: Option<Cluster>,
}

/// Prompts, groups and lengths of one RL step.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Number of prompts in one RL step; required.
    #[schemars(required)]
    pub prompts_per_step: Option<Count>,
    /// Number of responses sampled for each prompt (the group size); required.
    #[schemars(required)]
    pub samples_per_prompt: Option<Count>,
    /// Distribution of prompt lengths, in tokens; required.
    #[schemars(required)]
    pub prompt_tokens: Option<Lengths>,
    /// Distribution of response lengths, in tokens; required.
    #[schemars(required)]
    pub response_tokens: Option<Lengths>,
    /// Correlation of the log response lengths inside one prompt group, 0 to 1.
    pub group_correlation: Option<Probability>,
    /// How responses grow or shrink over RL steps: points `[RL step, factor]`, rising in steps; every length before
    /// clipping is multiplied by the line between them, flat beyond. By default they do not.
    pub response_drift: Option<Vec<[NonNegative; 2]>>,
}

/// A distribution of lengths in tokens.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lengths {
    /// Log-normal, clipped at `max`.
    Lognormal(Lognormal),
    /// Given shares of length ranges.
    Histogram(Histogram),
    /// Lengths read from a file, one a line.
    File(LengthFile),
    /// Every length the same.
    Constant(Constant),
}

/// A log-normal distribution of lengths, clipped.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lognormal {
    /// Mean of the clipped length min(X, max), in tokens: the mean that logs show.
    pub mean: Uncertain,
    /// Standard deviation of the logarithm of the unclipped length, 0 to 3.
    pub sigma: Uncertain,
    /// Longest length, in tokens: longer ones are clipped here.
    pub max: Option<Count>,
    /// Shortest length, in tokens.
    pub min: Option<Count>,
}

/// Shares of length ranges, uniform within each range.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Histogram {
    /// Rising edges of the ranges, in tokens: one more than `weights`.
    pub edges: Vec<NonNegative>,
    /// Weight of each range; any positive sum.
    pub weights: Vec<NonNegative>,
    /// Longest length, in tokens: longer ones are clipped here.
    pub max: Option<Count>,
}

/// Lengths read from a file.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LengthFile {
    /// Path of a text file with one length in tokens a line, relative to the scenario.
    pub path: String,
    /// Longest length, in tokens: longer ones are clipped here.
    pub max: Option<Count>,
}

/// One length for all.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// The length, in tokens.
    pub tokens: Count,
}

/// How many draws stand behind the intervals.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Uncertainty {
    /// Number of workload draws that are simulated, up to 10 000.
    pub workload_draws: Option<Count>,
    /// Number of calibration worlds that each draw is priced in, up to 100 000.
    pub worlds: Option<Count>,
}

/// A run of many RL steps.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WholeRun {
    /// RL steps of the run; required.
    #[schemars(required)]
    pub rl_steps: Option<Count>,
    /// Time before the first step, in seconds.
    pub startup_seconds: Option<NonNegative>,
    /// Evaluations between steps.
    pub evaluation: Option<Interruption>,
    /// Checkpoints between steps.
    pub checkpoint: Option<Interruption>,
    /// Price of training the drafter beforehand, in USD.
    pub drafter_usd: Option<NonNegative>,
}

/// Something that stops the loop every so often.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interruption {
    /// RL steps between two.
    pub every: Count,
    /// Time of one, in seconds.
    pub seconds: NonNegative,
}

/// One step of a replica's engine.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineStep {
    /// Decoding sequences of the replica.
    pub batch: Option<Count>,
    /// Context of each, in tokens.
    pub context: Option<Count>,
    /// Draft tokens; 0 is plain decoding.
    pub draft_tokens: Option<CountOrZero>,
    /// Prompt tokens that are prefilled beside them.
    pub prefill_tokens: Option<CountOrZero>,
}

/// One published value.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Path of a value in result.json, such as forecast.step_s; of an object, its median is taken.
    pub quantity: String,
    /// The published value, in the quantity's own unit.
    pub value: Number,
    /// Where it was published.
    pub source: String,
    /// Relative error above which `rollcast validate` fails, such as 0.25.
    pub gate: Option<Positive>,
    /// What to know before comparing, such as what is not published: printed beside the figure.
    pub note: Option<String>,
}
