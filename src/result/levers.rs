//! Remedies for the tail, each alone and beside speculation, in the same draws and worlds on the same GPUs.

use serde::{Deserialize, Serialize};

use crate::math::Summary;

/// What each lever does to a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Levers {
    /// No speculation, no lever: what all speedups are over.
    pub plain: LeverSide,
    /// Speculation alone; absent where the scenario has none.
    pub speculation: Option<LeverSide>,
    /// The levers.
    pub levers: Vec<Lever>,
    /// The lever beside speculation with the fastest step, of those that change nothing of what is trained; absent where none
    /// is faster than speculation alone.
    pub best_pair: Option<String>,
    /// The same of all levers.
    pub best_pair_of_all: Option<String>,
}

/// One lever.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lever {
    /// Its name.
    pub name: String,
    /// What it does to what is trained.
    pub trains_on: TrainsOn,
    /// True: no setting that can be had: all lengths are known.
    pub bound: bool,
    /// Settings that were tried; the best of them is shown.
    pub tried: u32,
    /// Without speculation.
    pub alone: Option<LeverSide>,
    /// Beside speculation.
    pub beside: Option<LeverSide>,
    /// Why it cannot be pulled here, where it cannot.
    pub why_not: Option<String>,
}

/// A run with a lever's best setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeverSide {
    /// The setting in a few words; empty where there is none.
    pub setting: String,
    /// The same as overrides, `PATH=VALUE`.
    pub overrides: Vec<String>,
    /// One RL step.
    pub step_s: Summary,
    /// Generation on the step's critical path.
    pub generation_s: Summary,
    /// Step of the plain run over this one's, paired.
    pub speedup: Summary,
    /// Share of draws and worlds in which it is faster than the plain run.
    pub p_gain: f64,
}

/// What is trained with a lever, beside what is trained without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainsOn {
    /// The same samples of the same weights.
    Same,
    /// Responses that were cut.
    Cut,
    /// More short responses than the policy writes.
    ShortBias,
    /// Samples that older weights began.
    OlderWeights,
}

impl TrainsOn {
    /// In a table.
    pub fn label(self) -> &'static str {
        match self {
            TrainsOn::Same => "same",
            TrainsOn::Cut => "cut",
            TrainsOn::ShortBias => "shorter",
            TrainsOn::OlderWeights => "older",
        }
    }
}
