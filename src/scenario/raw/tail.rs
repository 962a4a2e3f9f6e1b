//! What is done about the longest responses besides drafting.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, Fraction, NonNegative, Uncertain};

/// What is done about the longest responses besides drafting; all off by default. All but `cap` need loops in which an RL
/// step's prompts start together.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tail {
    /// Longest response that is waited for, in tokens: it is cut there and trained as it is. Unlike `max` of a length
    /// distribution it leaves the distribution as it is.
    pub cap: Option<Count>,
    /// What is known of a response's length before it is there; `admission` and `isolate` go by it.
    pub predictor: Option<Predictor>,
    /// Order in which requests reach the engines.
    pub admission: Option<Admission>,
    /// Engines of their own for responses that are predicted to be long.
    pub isolate: Option<Isolate>,
    /// Running requests are spread anew, once, when few are left.
    pub regroup: Option<Regroup>,
}

/// A prediction is the true length times a lognormal error.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Predictor {
    /// Standard deviation of the logarithm of predicted over true length, 0 to 10; 0 knows it, 0.5 by default (assumed).
    pub log_error: Option<NonNegative>,
}

/// Order in which requests reach the engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// As the prompts come.
    Fifo,
    /// Those with the longest predicted response first.
    LongestFirst,
}

/// Engines of their own for responses that are predicted to be long.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Isolate {
    /// Share of the samples that is isolated, the longest predicted ones; 0.05 by default.
    pub share: Option<Fraction>,
    /// Engines that they have to themselves; by default in proportion to their share of the predicted tokens.
    pub replicas: Option<Count>,
}

/// Running requests are spread anew, once, when few are left.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Regroup {
    /// Samples left on all engines together at which it happens.
    pub below: Count,
    /// Tensor-parallel GPUs of an engine from then on; by default as before: requests are moved, nothing else.
    pub tp: Option<Count>,
    /// Time that the engines stand still besides what the KV cache takes, in seconds; by default 0 where the layout stays,
    /// else what shared-memory handles take for the new layout's weights.
    pub seconds: Option<Uncertain>,
    /// How the KV cache gets to where it is needed.
    pub kv: Option<KvTransfer>,
}

/// How a KV cache gets to another engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KvTransfer {
    /// It is lost and computed again, by prefill: the default.
    Recompute,
    /// It is sent over the network between nodes.
    Move,
}
