//! Mixture-of-experts layers: grouped products over the experts that tokens wake.
//!
//! At small batch a layer reads the weights of each *distinct* expert once, so its time follows how many
//! experts T independent tokens touch: Σ_e 1 - (1 - q_e)^T, with q_e the chance that a token takes expert e. With
//! even routing q_e = k/E for all; skewed routing (popularity ∝ rank^-α) touches fewer at small batch and
//! overloads some GPUs at large. Verifying K + 1 tokens instead of one therefore is *not* free here.
//!
//! t = (t0 + per_expert·touched + imbalance·((bytes/(me·BW))^p + (F/(ce·P))^p)^(1/p)) · exp(r), where r is the
//! residual of that very shape (widths, experts, layout) over routing and tokens, and zero for shapes that no
//! table holds: residuals do not carry over from one shape to another.

use super::occupancy::{self, Occupancy};
use super::{Kernels, Machine, Timed, bound, outside};
use crate::math::{exp, expected_maximum, ln, p_norm};
use crate::piece::Doubt;
use crate::profile::{ExpertForm, Imbalance, ShapeResidual};
use crate::resolved::Precision;

/// One layer's experts, as one GPU of the expert-parallel group sees them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpertShape {
    /// Tokens that route, over the whole group.
    pub tokens: f64,
    /// Of them, those that choose their experts independently of each other.
    pub independent_tokens: f64,
    /// Width that experts take and give: the residual stream's, or a narrower one.
    pub hidden: f64,
    /// Matrices of an expert: three where it is gated, two where it is not.
    pub matrices: f64,
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
        self.busiest(if self.skew > 0.0 {
            occupancy::sums(&occupancy::missed(&self.chances()), self.independent_tokens)
        } else {
            self.even()
        })
    }

    /// The chance that a token takes each expert.
    fn chances(&self) -> Vec<f64> {
        inclusion(self.count as usize, self.per_token, self.skew)
    }

    /// Mean and variance of the experts touched under even routing.
    #[inline]
    fn even(&self) -> [f64; 2] {
        let chance = (self.per_token / self.count).min(1.0 - 1e-12);
        let touched = 1.0 - exp(self.independent_tokens * ln(1.0 - chance));
        [self.count * touched, self.count * touched * (1.0 - touched)]
    }

    /// The same with what was worked out for the layer.
    #[inline]
    fn touched_in(&self, layer: &Layer) -> f64 {
        let skewed = layer.skewed.as_ref().map(|skewed| skewed.at(self.independent_tokens));
        self.busiest(skewed.unwrap_or_else(|| self.even()))
    }

    /// Those on the busiest GPU, from the mean and the variance of all.
    #[inline]
    fn busiest(&self, [mean, variance]: [f64; 2]) -> f64 {
        if self.expert_parallel <= 1.0 {
            return mean.min(self.count);
        }
        let local = self.count / self.expert_parallel;
        let spread = libm::sqrt(variance.max(0.0) / self.expert_parallel);
        local.min(mean / self.expert_parallel + expected_maximum(self.expert_parallel) * spread)
    }
}

/// The chance that a token takes each expert: popularity ∝ rank^-α, `per_token` distinct picks, none above 1.
fn inclusion(count: usize, per_token: f64, skew: f64) -> Vec<f64> {
    let mut chances: Vec<f64> = (1..=count).map(|rank| exp(-skew * ln(rank as f64))).collect();
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

/// What a layer reads and computes on the busiest GPU, without its constants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Work {
    pub(super) touched: f64,
    pub(super) pairs: f64,
    bytes: f64,
    flops: f64,
    imbalance: f64,
}

impl Work {
    /// Of a shape that touches `touched` experts on that GPU.
    pub(super) fn of(shape: &ExpertShape, touched: f64, overload: &Imbalance) -> Self {
        let pairs = shape.tokens * shape.per_token / shape.expert_parallel;
        let per_expert = shape.matrices * shape.hidden * shape.intermediate;
        let weights = touched * per_expert * shape.weights.bytes();
        let activations = 2.0 * (2.0 * pairs * shape.hidden + shape.matrices * pairs * shape.intermediate);
        // Skewed routing overloads a GPU once its experts have tokens enough to differ in.
        let tokens_per_expert = shape.tokens * shape.per_token / shape.count;
        let imbalance = if shape.skew > 0.0 {
            let settled = 1.0 - exp(-tokens_per_expert / overload.tokens);
            1.0 + overload.per_alpha * shape.skew * ln(shape.expert_parallel) * settled
        } else {
            1.0
        };
        Work { touched, pairs, bytes: weights + activations, flops: 2.0 * pairs * per_expert, imbalance }
    }

    /// Fixed, memory and compute seconds of the form.
    pub(super) fn terms(&self, form: &ExpertForm, machine: &Machine, weights: Precision) -> [f64; 3] {
        let peak = match weights {
            Precision::Bf16 => machine.bf16,
            Precision::Fp8 => machine.fp8,
        };
        [
            (form.t0_us + form.per_expert_us * self.touched) * 1e-6,
            self.bytes / (form.memory_efficiency * machine.bandwidth),
            self.flops / (form.compute_efficiency * peak),
        ]
    }

    /// Seconds of the form.
    pub(super) fn base(&self, form: &ExpertForm, machine: &Machine, weights: Precision) -> f64 {
        let [fixed, memory, compute] = self.terms(form, machine, weights);
        fixed + self.imbalance * p_norm(compute, memory, form.p)
    }
}

/// A kind of expert layer, and what of its time does not depend on tokens.
#[derive(Debug)]
pub(super) struct Layer {
    hidden: f64,
    matrices: f64,
    intermediate: f64,
    count: f64,
    per_token: f64,
    expert_parallel: f64,
    skew: f64,
    weights: Precision,
    /// How many experts tokens touch, where routing is skewed.
    skewed: Option<Occupancy>,
    /// The shape's place in the form, and whether its layout is the layer's own.
    residual: Option<(usize, bool)>,
}

impl Layer {
    fn of(form: &ExpertForm, shape: &ExpertShape) -> Self {
        let ExpertShape { hidden, matrices, intermediate, count, per_token, .. } = *shape;
        let ExpertShape { expert_parallel, skew, weights, .. } = *shape;
        let skewed = (skew > 0.0).then(|| Occupancy::of(&shape.chances()));
        let residual = nearest(form, shape);
        Layer {
            hidden,
            matrices,
            intermediate,
            count,
            per_token,
            expert_parallel,
            skew,
            weights,
            skewed,
            residual,
        }
    }

    fn is(&self, shape: &ExpertShape) -> bool {
        self.hidden == shape.hidden
            && self.matrices == shape.matrices
            && self.intermediate == shape.intermediate
            && self.count == shape.count
            && self.per_token == shape.per_token
            && self.expert_parallel == shape.expert_parallel
            && self.skew == shape.skew
            && self.weights == shape.weights
    }
}

/// The place of the residual of a shape, where tables hold it: that of its layout, or of the nearest one (in octaves of
/// tensor and expert parallelism) of the same model's layer. With it, whether it is the layout's own.
fn nearest(form: &ExpertForm, shape: &ExpertShape) -> Option<(usize, bool)> {
    let same = |known: &&ShapeResidual| {
        f64::from(known.hidden) == shape.hidden
            && f64::from(known.matrices) == shape.matrices
            && f64::from(known.experts) == shape.count
            && f64::from(known.topk) == shape.per_token
    };
    let split = |known: &ShapeResidual| f64::from(known.inter) / shape.intermediate;
    let exact = |known: &ShapeResidual| {
        split(known) == f64::from(known.tp) && f64::from(known.ep) == shape.expert_parallel
    };
    let far = |a: f64, b: u32| libm::log2(a / f64::from(b)).abs();
    let away = |known: &ShapeResidual| far(split(known), known.tp) + far(shape.expert_parallel, known.ep);
    let whole = |known: &ShapeResidual| split(known) >= 1.0 && split(known) == libm::round(split(known));
    let of_model = || form.shapes.iter().enumerate().filter(|(_, known)| same(known));
    if let Some((place, _)) = of_model().find(|(_, known)| exact(known)) {
        return Some((place, true));
    }
    let others = of_model().filter(|(_, known)| whole(known));
    others.min_by(|(_, a), (_, b)| away(a).total_cmp(&away(b))).map(|(place, _)| (place, false))
}

/// A residual on (popularity exponent + 1, tokens).
fn residual_at(form: &ExpertForm, place: usize, shape: &ExpertShape) -> f64 {
    let skew = if shape.skew > 0.0 { libm::log1p(shape.skew) } else { 0.0 };
    form.shapes.get(place).map_or(0.0, |known| known.residual.0.at([skew, ln(shape.tokens)]))
}

/// The residual of a shape, where tables hold it or its model's layer, and whether it is the layout's own.
pub(super) fn residual(form: &ExpertForm, shape: &ExpertShape) -> Option<(f64, bool)> {
    nearest(form, shape).map(|(place, own)| (residual_at(form, place, shape), own))
}

impl Kernels {
    /// One layer of experts on the busiest GPU, without router and without communication.
    pub fn experts(&self, shape: &ExpertShape) -> Timed {
        let moe = &self.profile.form.moe;
        let form = match shape.weights {
            Precision::Bf16 => &moe.bf16,
            Precision::Fp8 => &moe.fp8,
        };
        let mut spare = None;
        let layer = self.layers.get(|layer| layer.is(shape), || Layer::of(form, shape), &mut spare);
        let work = Work::of(shape, shape.touched_in(layer), &moe.imbalance);
        let [fixed, memory, compute] = work.terms(form, &self.machine, shape.weights);
        let base = fixed + work.imbalance * self.corners.experts(shape.weights).norm(compute, memory);
        // A layer, or its layout, that no table holds is outside too.
        let unseen = match layer.residual {
            Some((_, true)) => 0.0,
            Some((_, false)) => form.unseen_layout.map_or(0.0, |sigma| self.in_sigmas(sigma)),
            None => form.unseen_shape.map_or(1.0, |sigma| self.in_sigmas(sigma)),
        };
        Timed {
            seconds: base * exp(layer.residual.map_or(0.0, |(place, _)| residual_at(form, place, shape))),
            doubt: Doubt::outside(unseen)
                .max(self.far(outside(shape.tokens.max(1.0), form.tokens), form.beyond_tokens)),
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
        matrices: 3.0,
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
    fn layouts_and_layers_that_no_table_holds_are_outside() {
        let kernels = kernels();
        let far = |shape: ExpertShape| kernels.experts(&shape).doubt.spread;
        assert_eq!(far(with_tokens(64.0, 0.0)), 0.0, "TP 8 is in the tables");
        let layout = far(ExpertShape { expert_parallel: 32.0, ..with_tokens(64.0, 0.0) });
        let layer = far(ExpertShape { hidden: 5000.0, ..with_tokens(64.0, 0.0) });
        assert!(0.0 < layout && layout < layer, "{layout} {layer}");
        assert!(far(with_tokens(65_536.0, 0.0)) > far(with_tokens(32_768.0, 0.0)));
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

    #[test]
    fn experts_without_a_gate_read_two_matrices() {
        let overload = &kernels().profile.form.moe.imbalance.clone();
        let work = |matrices| Work::of(&ExpertShape { matrices, ..with_tokens(1.0, 0.0) }, 8.0, overload);
        let (gated, plain) = (work(3.0), work(2.0));
        let weights = 8.0 * 4096.0 * 192.0 * 2.0;
        let activation = 2.0 * 8.0 * 192.0;
        assert!((gated.bytes - plain.bytes - weights - activation).abs() < 1.0);
        assert!((plain.flops / gated.flops - 2.0 / 3.0).abs() < 1e-12);
        // The residual of a gated layer says nothing of one without.
        assert!(kernels().experts(&ExpertShape { matrices: 2.0, ..with_tokens(64.0, 0.0) }).doubt.outside);
    }
}
