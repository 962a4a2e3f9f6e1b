//! What a number rests on: operator families, tiers, and how sure each family is.
//!
//! A forecast multiplies each family's seconds by one factor per *calibration world* (decision 2 of the
//! architecture): errors inside a family are taken as fully correlated, errors of different families as
//! independent. The first `STEP_FAMILIES` families make up the steps of the inference engine; the others are
//! whole stages of the RL loop.

use std::fmt;

/// A family of costs that share one unknown error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "simulator",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[repr(usize)]
pub enum Family {
    /// Dense matrix products.
    Gemm = 0,
    /// Attention with one query token per sequence, and prefill attention.
    Attention = 1,
    /// Attention with several query tokens per sequence over one packed read of the KV cache.
    VerifyAttention = 2,
    /// Mixture-of-experts layers.
    Moe = 3,
    /// Norms, rotary embedding, activation, KV append.
    Elementwise = 4,
    /// Collectives inside a replica.
    Collective = 5,
    /// Sampling and verification of tokens.
    Sampling = 6,
    /// The engine's software outside of drafting: gaps between steps, launches, scheduling.
    Host = 7,
    /// The engine's software around draft passes.
    DraftHost = 8,
    /// Forward and backward passes of training.
    Training = 9,
    /// Forward passes for log-probs.
    Logprob = 10,
    /// Transfer of weights from trainer to engine.
    WeightSync = 11,
    /// Engine wake and the rest of `prepare`.
    Prepare = 12,
    /// Data loading.
    Data = 13,
    /// Rewards.
    Reward = 14,
}

/// Families that an engine step consists of.
pub const STEP_FAMILIES: usize = 9;

/// All families.
pub const FAMILIES: usize = 15;

impl Family {
    /// All families, in the order of their indices.
    pub const ALL: [Family; FAMILIES] = [
        Family::Gemm,
        Family::Attention,
        Family::VerifyAttention,
        Family::Moe,
        Family::Elementwise,
        Family::Collective,
        Family::Sampling,
        Family::Host,
        Family::DraftHost,
        Family::Training,
        Family::Logprob,
        Family::WeightSync,
        Family::Prepare,
        Family::Data,
        Family::Reward,
    ];

    /// Name for people.
    pub fn label(self) -> &'static str {
        match self {
            Family::Gemm => "matrix products",
            Family::Attention => "attention",
            Family::VerifyAttention => "verify attention",
            Family::Moe => "experts",
            Family::Elementwise => "elementwise kernels",
            Family::Collective => "collectives",
            Family::Sampling => "sampling",
            Family::Host => "engine software",
            Family::DraftHost => "draft software",
            Family::Training => "training efficiency",
            Family::Logprob => "log-prob efficiency",
            Family::WeightSync => "weight sync",
            Family::Prepare => "engine wake",
            Family::Data => "data loading",
            Family::Reward => "reward seconds",
        }
    }
}

/// Seconds by step family.
pub type StepSeconds = [f64; STEP_FAMILIES];

/// What an estimate rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "simulator",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
pub enum Tier {
    /// Measured by this project's own kernels on that device.
    Measured,
    /// Fitted to published measurements.
    Published,
    /// A formula and a datasheet.
    Analytic,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tier::Measured => "measured",
            Tier::Published => "published",
            Tier::Analytic => "analytic",
        })
    }
}

/// What is known of a family's error: the spread of its logarithm, and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "simulator", derive(serde::Serialize, serde::Deserialize))]
pub struct Confidence {
    /// Standard deviation of ln(true / estimated).
    pub log_sigma: f64,
    /// What the estimate rests on.
    pub tier: Tier,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_follow_the_order_of_all() {
        for (index, family) in Family::ALL.into_iter().enumerate() {
            assert_eq!(family as usize, index);
        }
        assert_eq!(Family::DraftHost as usize, STEP_FAMILIES - 1, "step families come first");
    }
}
