//! What is done about the longest responses besides drafting.

use serde::{Deserialize, Serialize};

use super::run::Quantity;

/// Remedies for the tail of a rollout; all off is a rollout without any. The cap is the workload's (`response_cap`).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Tail {
    /// Standard deviation of the logarithm of predicted over true length.
    pub log_error: f64,
    /// Whether requests with the longest predicted response reach the engines first.
    pub longest_first: bool,
    /// Replicas of their own for the longest predicted ones.
    pub isolate: Option<Isolation>,
    /// Running requests are spread anew when few are left.
    pub regroup: Option<Regrouping>,
}

/// Replicas of their own for the responses that are predicted to be the longest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Isolation {
    /// Share of the samples, 0 to 1.
    pub share: f64,
    /// Replicas; none: in proportion to the predicted tokens.
    pub replicas: Option<u32>,
}

/// Running requests are spread anew, once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Regrouping {
    /// Samples left on all replicas together at which it happens.
    pub below: u32,
    /// Tensor-parallel width from then on.
    pub tp: u32,
    /// Seconds that the engines stand still, without the KV cache's.
    pub seconds: Quantity,
    /// Whether the KV cache is sent; otherwise it is computed again.
    pub moves_kv: bool,
}

impl Tail {
    /// Whether samples are dealt, ordered and left where they are as without any remedy.
    pub fn is_off(&self) -> bool {
        !self.longest_first && self.isolate.is_none() && self.regroup.is_none()
    }

    /// Whether predictions are asked for.
    pub fn predicts(&self) -> bool {
        self.longest_first || self.isolate.is_some()
    }
}
