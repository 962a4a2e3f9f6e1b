//! What running ahead does to the samples that are trained.

use serde::{Deserialize, Serialize};

use crate::math::Summary;

/// Staleness, waste and bias of one side's loop; nominal seconds, the first draw's RL steps that count, but for the price.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoopStats {
    /// Mean RL steps that the weights of a trained sample lag.
    pub staleness_mean: f64,
    /// Largest.
    pub staleness_max: u32,
    /// Share of trained samples by RL steps of lag, from 0.
    pub staleness_shares: Vec<f64>,
    /// Mean response of the trained samples, tokens.
    pub trained_response_mean: f64,
    /// Mean response of all samples that were started, tokens.
    pub started_response_mean: f64,
    /// The first over the second, minus 1: below zero where long samples are left behind.
    pub length_bias: f64,
    /// Response tokens that were thrown away, of all that were generated.
    pub wasted_token_share: f64,
    /// Prompts that were thrown away for each that was trained; of them those without signal.
    pub wasted_prompts_per_trained: f64,
    /// Prompts without signal for each that was trained.
    pub filtered_prompts_per_trained: f64,
    /// Share of the time that an engine works, and that the trainer's GPUs compute.
    pub engine_busy_share: f64,
    /// See `engine_busy_share`.
    pub trainer_busy_share: f64,
    /// Seconds that a replica generates for an RL step, mean over replicas; a rollout takes what its slowest takes. 0 in
    /// results from before there was this field.
    #[serde(default)]
    pub replica_mean_s: f64,
    /// USD for each prompt that was trained.
    pub usd_per_trained_prompt: Summary,
    /// Runs in full behind the worlds of each draw; 0 where every world is priced exactly.
    pub simulated_paces: u32,
}

/// How often the drafter is trained, and how often it is best trained, on the run's own seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct UpdateInterval {
    /// RL steps between two trainings, as asked.
    pub every: u32,
    /// What trainings cost and a stale drafter loses, seconds for each RL step.
    pub seconds_per_step: f64,
    /// The interval at which both are least.
    pub best_every: u32,
    /// Their seconds there.
    pub best_seconds_per_step: f64,
    /// Seconds that the loop is longer for each training.
    pub update_s: f64,
    /// Whether the best is the longest that this run shows: training may not pay at all.
    pub at_the_end_of_the_run: bool,
}

/// One RL step in time: nominal seconds since the start of the run, of the first draw.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepPoint {
    /// RL step, from 0; warm-ups included.
    pub rl_step: u32,
    /// Seconds between the end of the step before and its own.
    pub step_s: f64,
    /// First admission and last completion of its samples.
    pub generation_s: [f64; 2],
    /// Start of its log-probs and end of its training.
    pub trainer_s: [f64; 2],
    /// Tokens per request and verify step, pooled; 1 when nothing is drafted.
    pub acceptance_length: f64,
    /// Mean RL steps that the weights of its samples lag.
    pub staleness_mean: f64,
    /// Largest.
    pub staleness_max: u32,
    /// Sequences that decode at once on all replicas, mean over engine iterations.
    pub running_mean: f64,
}

/// A run of many RL steps, both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WholeRun {
    /// RL steps.
    pub rl_steps: u64,
    /// Hours of the baseline.
    pub baseline_hours: Summary,
    /// Hours of the forecast.
    pub forecast_hours: Summary,
    /// USD of the baseline.
    pub baseline_usd: Summary,
    /// USD of the forecast, the drafter's own training included.
    pub forecast_usd: Summary,
    /// RL steps after which the drafter has paid for its training; absent where it never does.
    pub payback_steps: Option<f64>,
}
