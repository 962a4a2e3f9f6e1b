//! What switching drafting on costs: the drafter's KV cache has to catch up with the target's.
//!
//! An EAGLE drafter needs the target's hidden states of all context tokens. Four ways: keep the cache warm in every plain
//! step (vLLM at K = 0; plain steps pay a draft pass, switching is free); run the target's prefill again (the extend path
//! of ReSpec, arXiv 2510.26475); keep the hidden states and run the drafter's prefill alone; or take in the last tokens
//! of each sequence only, and draft worse until more are there. The last is priced here and its lower acceptance is not.

use crate::piece::Shape;
use crate::speculation::StepCost;

/// How the drafter's cache catches up, with its price; seconds throughout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CatchUp {
    /// Every plain step keeps the cache in step; the steps' own costs hold that.
    KeepWarm,
    /// The drafter sleeps; the target's prefill runs again over all context.
    Prefill {
        /// For a switch at all.
        fixed: f64,
        /// For each token of context.
        per_token: f64,
        /// For each query-key pair, n²/2 of them in a sequence of n tokens.
        per_pair: f64,
    },
    /// The drafter sleeps; cached hidden states go through the drafter alone.
    HiddenStates {
        /// For a switch at all.
        fixed: f64,
        /// For each token of context.
        per_token: f64,
    },
    /// The drafter sleeps; it takes in the last tokens of each sequence only.
    Window {
        /// Tokens of a sequence.
        tokens: f64,
        /// For a switch at all.
        fixed: f64,
        /// For each of these tokens.
        per_token: f64,
    },
}

impl CatchUp {
    /// The price of running target and drafter over all context again, from an engine's own prefill steps: the fixed
    /// part and the part of a token from steps of `chunk` tokens, as its budget allows, and of half as many.
    pub fn prefill(cost: &impl StepCost, chunk: u32) -> Self {
        let step = |tokens: u32| {
            let shape = Shape { prefill_tokens: tokens, prefill_ends: 1, ..Shape::default() };
            let piece = cost.piece(&shape, 0.0);
            (piece.seconds(0.0), piece.per_prefill_pair)
        };
        let half = (chunk / 2).max(1);
        let ((short, _), (long, per_pair)) = (step(half), step(2 * half));
        let per_token = ((long - short) / f64::from(half)).max(0.0);
        let per_step = (long - per_token * f64::from(2 * half)).max(0.0);
        // A long catch-up takes many chunks, each with its fixed part.
        CatchUp::Prefill { fixed: per_step, per_token: per_token + per_step / f64::from(2 * half), per_pair }
    }

    /// Whether the drafter does nothing in plain steps.
    pub fn asleep(&self) -> bool {
        !matches!(self, CatchUp::KeepWarm)
    }

    /// Seconds of a switch from plain decoding to drafting, at a batch and its total context.
    pub fn seconds(&self, batch: u32, context: f64) -> f64 {
        let batch = f64::from(batch.max(1));
        match *self {
            CatchUp::KeepWarm => 0.0,
            CatchUp::Prefill { fixed, per_token, per_pair } => {
                fixed + context * per_token + per_pair * context * context / (2.0 * batch)
            }
            CatchUp::HiddenStates { fixed, per_token } => fixed + context * per_token,
            CatchUp::Window { tokens, fixed, per_token } => fixed + per_token * context.min(tokens * batch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Linear;
    use super::*;

    #[test]
    fn each_way_costs_what_its_tokens_do() {
        // 32 sequences of 6k tokens: 192k tokens through 33k tokens a second are 5.8 s.
        let context = 192_000.0;
        let prefill = CatchUp::Prefill { fixed: 0.0, per_token: 30.2e-6, per_pair: 0.0 };
        assert!((prefill.seconds(32, context) - 5.8).abs() < 0.01);
        let states = CatchUp::HiddenStates { fixed: 1e-3, per_token: 1e-6 };
        assert!((states.seconds(32, context) - 0.193).abs() < 1e-9);
        let window = CatchUp::Window { tokens: 100.0, fixed: 0.0, per_token: 1e-6 };
        assert!((window.seconds(32, context) - 3.2e-3).abs() < 1e-12);
        assert!((window.seconds(32, 1000.0) - 1e-3).abs() < 1e-12);
        assert!(CatchUp::KeepWarm.seconds(32, context) == 0.0 && !CatchUp::KeepWarm.asleep());
        let pairs = CatchUp::Prefill { fixed: 0.0, per_token: 0.0, per_pair: 1e-12 };
        assert!((pairs.seconds(2, 2e3) - 2.0 * 1e-12 * 1e6 / 2.0).abs() < 1e-18);
    }

    #[test]
    fn an_engines_prefill_gives_the_price() {
        let linear = Linear::default();
        let price = CatchUp::prefill(&linear, 2048);
        let step = |tokens| {
            let shape = Shape { prefill_tokens: tokens, prefill_ends: 1, ..Shape::default() };
            linear.piece(&shape, 0.0).seconds(0.0)
        };
        // 100 chunks, and a start.
        let seconds = price.seconds(1, 204_800.0);
        assert!((seconds / (100.0 * step(2048)) - 1.0).abs() < 0.02, "{seconds}");
    }
}
