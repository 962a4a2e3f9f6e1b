//! What a forecast says: the typed form of `result.json` (schema_version 1; seconds, tokens, USD).
//!
//! Everything that is printed, plotted or scored comes from here. Only the block `simulator` may differ
//! between two runs of the same scenario.

mod levers;
mod lookup;
mod loops;
mod read;
mod steps;
mod trace;

use serde::{Deserialize, Serialize};

use crate::estimate::Tier;
use crate::math::Summary;
use crate::resolved::{Assumption, Resolved};

pub use levers::{Lever, LeverSide, Levers, TrainsOn};
pub use lookup::quantity;
pub use loops::{LoopStats, StepPoint, UpdateInterval, WholeRun};
pub use read::ReadError;
pub use steps::{StepRow, write_steps};
pub use trace::{Counter, Span, Timeline, write_trace};

/// Version of this form.
pub const SCHEMA_VERSION: u32 = 1;

/// One forecast beside its baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Version of this form.
    pub schema_version: u32,
    /// The scenario's name.
    pub name: String,
    /// The run that the forecast is compared with.
    pub baseline: Arm,
    /// The run that was asked for.
    pub forecast: Arm,
    /// Forecast against baseline, paired by draw and world.
    pub speedup: Speedup,
    /// Response lengths of one step (draw 0, first step that counts): the same on both sides.
    #[serde(default)]
    pub response_lengths: Vec<LengthBin>,
    /// The whole run that was asked about.
    #[serde(default)]
    pub whole_run: Option<WholeRun>,
    /// How often the drafter is best trained, where it is and would go stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_interval: Option<UpdateInterval>,
    /// Where drafting breaks even; empty where nothing is drafted.
    pub break_even: Vec<BreakEven>,
    /// Other drafters in the forecast's place, fastest step first; empty where none were asked for.
    pub candidates: Vec<Candidate>,
    /// Remedies for the tail beside speculation; absent where nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub levers: Option<Levers>,
    /// What moves the forecast's step, largest first.
    pub sensitivity: Vec<Sensitivity>,
    /// What the numbers rest on.
    pub provenance: Provenance,
    /// Values that nobody gave.
    pub assumptions: Vec<Assumption>,
    /// What a reader should know before believing a number.
    pub warnings: Vec<String>,
    /// What this program leaves out.
    pub not_modelled: Vec<String>,
    /// Published values beside the forecast.
    pub expect: Vec<Expected>,
    /// The forecast's run, complete.
    pub resolved: Resolved,
    /// How the simulation itself went.
    pub simulator: Simulator,
}

/// One side of the comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// Speculation in a few words.
    pub label: String,
    /// One RL step.
    pub step_s: Summary,
    /// First admission to last completion; where samples come one by one, seconds that an engine works for a step.
    pub rollout_s: Summary,
    /// One RL step on all GPUs.
    pub usd_per_step: Summary,
    /// Response tokens of a step over its seconds and GPUs.
    pub response_tokens_per_s_per_gpu: Summary,
    /// Busy seconds by stage, means.
    pub stages_s: Stages,
    /// Seconds by stage on the step's critical path, means; they sum to the mean step.
    pub exposed_s: Exposed,
    /// 5-95 % interval of the exposed seconds by stage.
    pub stage_bands_s: StageBands,
    /// What each stage's seconds rest on.
    pub stage_basis: StageBasis,
    /// Mean step with all engine software at zero: what kernels alone would take.
    pub bare_kernels_step_s: f64,
    /// The same for the rollout.
    pub bare_kernels_rollout_s: f64,
    /// Tokens per request and verify step, pooled; 1 when nothing is drafted.
    pub acceptance_length: f64,
    /// Conditional acceptance rates by position, pooled.
    pub acceptance_per_position: Vec<f64>,
    /// The batch of all replicas over one rollout (draw 0, first step that counts); empty where samples come one by one.
    pub batch_over_time: Vec<BatchPoint>,
    /// The RL steps of draw 0, at most 200 of them.
    #[serde(default)]
    pub rl_steps: Vec<StepPoint>,
    /// When the samples of that rollout were done.
    #[serde(default)]
    pub completions: Vec<Completion>,
    /// Share of the rollout spent on the last 5 % of its samples (mean over draws and steps).
    pub tail_share: f64,
    /// Preemptions per step.
    pub preemptions: f64,
    /// Largest share of the KV cache in use on any replica.
    pub kv_peak_share: f64,
    /// Share of responses cut at the maximum.
    pub clipped_share: f64,
    /// Staleness, waste and bias.
    #[serde(rename = "loop")]
    pub loop_stats: LoopStats,
}

/// Stages in the order of a step, for people; the last one is when nothing ran.
pub const STAGE_NAMES: [&str; 8] =
    ["data", "prepare", "generation", "reward", "old log-probs", "reference log-probs", "training", "idle"];

/// Seconds by stage.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Stages {
    /// Data loading.
    pub data: f64,
    /// Weight sync and wake.
    pub prepare: f64,
    /// Generation.
    pub generation: f64,
    /// Reward.
    pub reward: f64,
    /// Old policy's log-probs.
    pub logprob_old: f64,
    /// Reference log-probs.
    pub logprob_reference: f64,
    /// Training.
    pub training: f64,
}

impl Stages {
    /// From the order of the machine's stages.
    pub fn from_array(seconds: [f64; 7]) -> Self {
        let [data, prepare, generation, reward, logprob_old, logprob_reference, training] = seconds;
        Stages { data, prepare, generation, reward, logprob_old, logprob_reference, training }
    }

    /// In the order of the machine's stages.
    pub fn to_array(self) -> [f64; 7] {
        [
            self.data,
            self.prepare,
            self.generation,
            self.reward,
            self.logprob_old,
            self.logprob_reference,
            self.training,
        ]
    }
}

/// Exposed seconds by stage, and the rest.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Exposed {
    /// By stage.
    #[serde(flatten)]
    pub stages: Stages,
    /// Seconds in which nothing of the step ran.
    pub idle: f64,
}

/// 5 % and 95 % of exposed seconds by stage.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct StageBands {
    /// 5 % quantiles.
    pub p05: Stages,
    /// 95 % quantiles.
    pub p95: Stages,
}

/// What a number rests on, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// Measured by this project.
    Measured,
    /// Fitted to published measurements.
    Published,
    /// A formula and a datasheet.
    Analytic,
    /// The scenario's own number.
    Given,
    /// The program's default.
    Default,
}

impl Basis {
    /// For the terminal.
    pub fn label(self) -> &'static str {
        match self {
            Basis::Measured => "measured",
            Basis::Published => "published",
            Basis::Analytic => "analytic",
            Basis::Given => "your input",
            Basis::Default => "default",
        }
    }
}

impl From<Tier> for Basis {
    fn from(tier: Tier) -> Self {
        match tier {
            Tier::Measured => Basis::Measured,
            Tier::Published => Basis::Published,
            Tier::Analytic => Basis::Analytic,
        }
    }
}

/// Basis by stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageBasis {
    /// Data loading.
    pub data: Basis,
    /// Weight sync and wake: of the larger part.
    pub prepare: Basis,
    /// Generation: of the largest part.
    pub generation: Basis,
    /// Reward.
    pub reward: Basis,
    /// Log-probs.
    pub logprob: Basis,
    /// Training.
    pub training: Basis,
}

/// The batch at one time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BatchPoint {
    /// Nominal seconds since the start of the rollout.
    pub seconds: f64,
    /// Sequences in the batches of all replicas.
    pub running: u32,
    /// Sequences that wait.
    pub waiting: u32,
    /// Draft tokens of a sequence, mean over the running ones; absent where the schedule keeps history, and where nothing runs.
    #[serde(default)]
    pub draft_tokens: Option<f64>,
}

/// How far a rollout is at one time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    /// Share of the samples that are done.
    pub share: f64,
    /// Nominal seconds since the start of the rollout.
    pub seconds: f64,
}

/// Response lengths in a range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LengthBin {
    /// Shortest, tokens.
    pub from: u32,
    /// Longest, tokens.
    pub to: u32,
    /// Samples.
    pub samples: u32,
    /// Of them, cut at the maximum.
    pub clipped: u32,
}

/// Forecast against baseline.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Speedup {
    /// Of the rollout.
    pub rollout: Summary,
    /// Of the step.
    pub step: Summary,
    /// Share of draws and worlds in which the step gets faster.
    pub p_gain: f64,
}

/// At one batch per replica: the acceptance length at which drafting costs what it saves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BreakEven {
    /// Sequences per replica.
    pub batch: u32,
    /// Context of each sequence that was assumed, tokens.
    pub context: f64,
    /// A plain decode step, seconds.
    pub decode_s: f64,
    /// A draft round and its verification, seconds.
    pub speculative_s: f64,
    /// Acceptance length at which both emit tokens equally fast.
    pub acceptance_length: f64,
    /// Speedup at the forecast's acceptance length.
    pub speedup: f64,
}

/// Another drafter in the forecast's place, in the same draws and worlds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Drafter and schedule.
    pub label: String,
    /// One RL step.
    pub step_s: Summary,
    /// Against the baseline, paired.
    pub speedup: Speedup,
    /// Tokens per request and verify step, pooled.
    pub acceptance_length: f64,
    /// Speedup of an engine step by batch.
    pub break_even: Vec<BreakEven>,
}

/// What one uncertain input does to the forecast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sensitivity {
    /// The input, for people.
    pub input: String,
    /// Change of the mean step when it is at its 5 % value, seconds.
    pub low_s: f64,
    /// Change of the mean step when it is at its 95 % value, seconds.
    pub high_s: f64,
    /// What the input rests on.
    pub basis: Basis,
}

/// What a result rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Kernel constants.
    pub calibration: String,
    /// Software constants.
    pub engine_profile: String,
    /// Shares of rollout and training seconds by tier; they sum to 1.
    pub tier_share: TierShare,
    /// Share of rollout seconds in operators outside the range that their constants were fitted on.
    pub extrapolated_share: f64,
}

/// Shares by tier.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct TierShare {
    /// Measured by this project.
    pub measured: f64,
    /// Fitted to published measurements.
    pub published: f64,
    /// Formula and datasheet.
    pub analytic: f64,
}

/// A published value and the forecast of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// Path in `result.json`.
    pub quantity: String,
    /// Forecast: of a summary its median. Absent where the result has no such number.
    pub forecast: Option<f64>,
    /// Published value.
    pub published: f64,
    /// forecast / published - 1; absent where zero was published and something else forecast.
    pub error: Option<f64>,
    /// Whether the published value lies in the forecast's 5-95 % band; absent where there is none.
    pub in_band: Option<bool>,
    /// Largest error that passes.
    pub gate: Option<f64>,
    /// Whether the gate holds; absent without one.
    pub passed: Option<bool>,
    /// Where it was published.
    pub source: String,
    /// What a reader must know before comparing, as the scenario says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How the simulation itself went: the one block that may differ between runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Simulator {
    /// The command that made this, as far as it decides what is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Response tokens that were really simulated.
    pub simulated_tokens: u64,
    /// Processor seconds of the process; absent where the system does not tell.
    pub cpu_s: Option<f64>,
    /// Seconds on the clock.
    pub wall_s: f64,
}
