//! Mixture-of-experts layers: grouped products over the experts that tokens wake.
//!
//! At small batch a layer reads the weights of each *distinct* expert once, so its time follows how many
//! experts T independent tokens touch: Σ_e 1 - (1 - q_e)^T, with q_e the chance that a token takes expert e. With
//! even routing q_e = k/E for all; skewed routing (popularity ∝ rank^-α) touches fewer at small batch and
//! overloads some GPUs at large. Verifying K + 1 tokens instead of one therefore is *not* free here.

use super::{Kernels, Timed, bound, outside};
use crate::math::p_norm;
use crate::resolved::Precision;

/// One layer's experts, as one GPU of the expert-parallel group sees them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpertShape {
    /// Tokens that route, over the whole group.
    pub tokens: f64,
    /// Of them, those that choose their experts independently of each other.
    pub independent_tokens: f64,
    /// Width of the residual stream.
    pub hidden: f64,
    /// Width of an expert on this GPU.
    pub intermediate: f64,
    /// Experts of the layer.
    pub count: f64,
    /// Experts that a token takes.
    pub per_token: f64,
    /// GPUs that the experts are spread over.
    pub expert_parallel: f64,
    /// Exponent α of the experts' popularity; 0 is even routing.
    pub skew: f64,
    /// Format of the weights.
    pub weights: Precision,
}

impl ExpertShape {
    /// Expected distinct experts that the tokens touch on the busiest GPU of the group.
    pub fn touched(&self) -> f64 {
        let tokens = self.independent_tokens;
        let touched = |chance: f64| 1.0 - libm::exp(tokens * libm::log1p(-chance.min(1.0 - 1e-12)));
        let (mean, variance) = if self.skew <= 0.0 {
            let chance = touched(self.per_token / self.count);
            (self.count * chance, self.count * chance * (1.0 - chance))
        } else {
            let chances = inclusion(self.count as usize, self.per_token, self.skew);
            chances.iter().map(|c| touched(*c)).fold((0.0, 0.0), |(m, v), p| (m + p, v + p * (1.0 - p)))
        };
        let local = self.count / self.expert_parallel;
        let spread = libm::sqrt(variance / self.expert_parallel);
        local.min(mean / self.expert_parallel + expected_maximum(self.expert_parallel) * spread)
    }
}

/// The expected largest of `n` standard normal numbers, between those of 1, 2, 4, 8, 16 and more.
fn expected_maximum(n: f64) -> f64 {
    const KNOWN: [f64; 6] = [0.0, 0.56, 1.03, 1.42, 1.77, 2.07];
    let octave = libm::log2(n.max(1.0)).min(5.0);
    let low = (octave as usize).min(4);
    KNOWN[low] + (octave - low as f64) * (KNOWN[low + 1] - KNOWN[low])
}

/// The chance that a token takes each expert: popularity ∝ rank^-α, `per_token` distinct picks, none above 1.
fn inclusion(count: usize, per_token: f64, skew: f64) -> Vec<f64> {
    let mut chances: Vec<f64> = (1..=count).map(|rank| libm::pow(rank as f64, -skew)).collect();
    // What the most popular cannot take beyond certainty goes to the others; a few rounds settle it.
    for _ in 0..8 {
        let certain = chances.iter().filter(|c| **c >= 1.0).count() as f64;
        let rest: f64 = chances.iter().filter(|c| **c < 1.0).sum();
        if rest <= 0.0 {
            break;
        }
        let scale = (per_token - certain).max(0.0) / rest;
        chances.iter_mut().filter(|c| **c < 1.0).for_each(|c| *c = (*c * scale).min(1.0));
        if (scale - 1.0).abs() < 1e-9 {
            break;
        }
    }
    chances
}

impl Kernels {
    /// One layer of experts on the busiest GPU, without router and without communication.
    pub fn experts(&self, shape: &ExpertShape) -> Timed {
        let moe = &self.profile.form.moe;
        let (form, peak) = match shape.weights {
            Precision::Bf16 => (&moe.bf16, self.bf16),
            Precision::Fp8 => (&moe.fp8, self.fp8),
        };
        let pairs = shape.tokens * shape.per_token / shape.expert_parallel;
        let touched = shape.touched();
        let per_expert = 3.0 * shape.hidden * shape.intermediate;
        let weights = touched * per_expert * shape.weights.bytes();
        let activations = 2.0 * (2.0 * pairs * shape.hidden + 3.0 * pairs * shape.intermediate);
        let memory = (weights + activations) / (form.memory_efficiency * self.bandwidth);
        let compute = 2.0 * pairs * per_expert / (form.compute_efficiency * peak);
        // Skewed routing overloads a GPU once its experts have tokens enough to differ in.
        let tokens_per_expert = shape.tokens * shape.per_token / shape.count;
        let settled = 1.0 - libm::exp(-tokens_per_expert / moe.imbalance.tokens);
        let imbalance =
            1.0 + moe.imbalance.per_alpha * shape.skew * libm::log(shape.expert_parallel) * settled;
        let fixed = (form.t0_us + form.per_expert_us * touched) * 1e-6;
        Timed {
            seconds: fixed + imbalance * p_norm(compute, memory, form.p),
            extrapolated: outside(shape.tokens.max(1.0), form.tokens),
            bound: bound(fixed, memory, compute),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::testing::kernels;

    const LAYER: ExpertShape = ExpertShape {
        tokens: 1.0,
        independent_tokens: 1.0,
        hidden: 4096.0,
        intermediate: 1536.0 / 8.0,
        count: 128.0,
        per_token: 8.0,
        expert_parallel: 1.0,
        skew: 0.0,
        weights: Precision::Bf16,
    };

    fn with_tokens(tokens: f64, skew: f64) -> ExpertShape {
        ExpertShape { tokens, independent_tokens: tokens, skew, ..LAYER }
    }

    #[test]
    fn distinct_experts_follow_the_occupancy_formula() {
        // 128 experts, 8 a token: 8, 29, 52, 82, 112 distinct at 1, 4, 8, 16, 32 tokens.
        for (tokens, distinct) in [(1.0, 8.0), (4.0, 29.0), (8.0, 51.6), (16.0, 82.4), (32.0, 111.8)] {
            let touched = with_tokens(tokens, 0.0).touched();
            assert!((touched - distinct).abs() < 0.6, "{tokens}: {touched}");
        }
    }

    #[test]
    fn inclusion_chances_add_up_and_skew_touches_fewer() {
        for skew in [0.3, 1.0, 1.2, 2.0] {
            let chances = inclusion(128, 8.0, skew);
            assert!((chances.iter().sum::<f64>() - 8.0).abs() < 1e-6, "{skew}");
            assert!(chances.iter().all(|c| (0.0..=1.0).contains(c)));
            assert!(with_tokens(16.0, skew).touched() < with_tokens(16.0, 0.0).touched());
        }
    }

    #[test]
    fn verification_wakes_experts_and_a_shared_chain_fewer() {
        let kernels = kernels();
        let one = kernels.experts(&with_tokens(1.0, 0.0)).seconds;
        let eight = kernels.experts(&with_tokens(8.0, 0.0)).seconds;
        assert!(
            (1.5..4.5).contains(&(eight / one)),
            "public tables: the whole step grows 2.1 to 2.7 times; {}",
            eight / one
        );
        let shared = ExpertShape { independent_tokens: 2.0, ..with_tokens(8.0, 0.0) };
        assert!(kernels.experts(&shared).seconds < eight);
    }

    #[test]
    fn more_tokens_never_cost_less() {
        let kernels = kernels();
        for skew in [0.0, 1.2] {
            for ep in [1.0, 8.0] {
                let mut last = 0.0;
                for tokens in [1.0, 2.0, 5.0, 17.0, 64.0, 256.0, 1024.0, 16_384.0] {
                    let shape = ExpertShape { expert_parallel: ep, ..with_tokens(tokens, skew) };
                    let seconds = kernels.experts(&shape).seconds;
                    assert!(seconds >= last && seconds.is_finite());
                    last = seconds;
                }
            }
        }
    }
}
