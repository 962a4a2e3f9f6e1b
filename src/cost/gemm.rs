//! Dense matrix products y[m, n] = x[m, k] · W[k, n].
//!
//! t = (t0 + c·k + ((2mnk / (ce·P))^p + (bytes / (me·BW))^p)^(1/p)) · exp(r(m, n, k)). The soft corner stands for
//! imperfect overlap of loads and arithmetic around the ridge, which is where verification of drafts lives; the
//! residual surface r holds what tiles and split-K add to it, and stays at its edge's value outside. Sustained
//! products are longer by a ratio of m: the power limit of large products, which short bursts do not reach.

use super::{Kernels, Machine, Timed, bound, outside};
use crate::math::{Surface, exp, ln, p_norm};
use crate::piece::Doubt;
use crate::profile::{GemmForm, Sustained};
use crate::resolved::Precision;

/// The terms of the form, seconds: fixed, memory, compute.
pub(super) fn terms(form: &GemmForm, machine: &Machine, [m, n, k]: [f64; 3], weights: Precision) -> [f64; 3] {
    let (peak, bytes) = match weights {
        Precision::Bf16 => (machine.bf16, 2.0 * (n * k + m * k + m * n)),
        // Activations come and go as bf16 and are quantised on the way.
        Precision::Fp8 => (machine.fp8, n * k + 2.0 * m * k + 2.0 * m * n),
    };
    let compute = 2.0 * m * n * k / (form.compute_efficiency * peak);
    let memory = bytes / (form.memory_efficiency * machine.bandwidth);
    [(form.t0_us + form.per_1000_k_us * k / 1000.0) * 1e-6, memory, compute]
}

/// Seconds of the form alone.
pub(super) fn base(form: &GemmForm, machine: &Machine, shape: [f64; 3], weights: Precision) -> f64 {
    let [fixed, memory, compute] = terms(form, machine, shape, weights);
    fixed + p_norm(compute, memory, form.p)
}

/// ln(sustained / burst) at `m` tokens, linear in ln m, held outside.
pub(super) fn sustained(table: &Sustained, m: f64) -> f64 {
    let last = table.m.len().min(table.ratio.len());
    let upper = table.m[..last].partition_point(|knot| *knot <= m);
    if upper == 0 || last == 0 {
        return table.ratio.first().map_or(0.0, |r| ln(*r));
    }
    if upper == last {
        return ln(table.ratio[last - 1]);
    }
    let (m0, m1) = (table.m[upper - 1], table.m[upper]);
    let share = ln(m / m0) / ln(m1 / m0);
    (1.0 - share) * ln(table.ratio[upper - 1]) + share * ln(table.ratio[upper])
}

/// A weight matrix, and what of its products' time does not depend on m.
#[derive(Debug)]
pub(super) struct Product {
    n: f64,
    k: f64,
    weights: Precision,
    /// The residual over m alone.
    residual: Option<Surface<1>>,
    /// The doubt about n and k.
    doubt: Doubt,
}

impl Kernels {
    fn product(&self, n: f64, k: f64, weights: Precision) -> Product {
        let form = self.gemm_form(weights);
        Product {
            n,
            k,
            weights,
            residual: form.residual.as_ref().and_then(|r| r.0.over_first([n, k].map(ln))),
            doubt: self.far(outside(n, form.n).max(outside(k, form.k)), form.beyond_weights),
        }
    }

    /// The doubt about a size at this share of the way between two measured ones: none at them, all of it midway.
    fn between(&self, share: f64, found: Option<f64>) -> Doubt {
        let spread = |found| self.in_sigmas(4.0 * share * (1.0 - share) * found);
        found.filter(|_| share > 0.0).map_or(Doubt::NONE, |found| Doubt::inside(spread(found)))
    }

    /// Time of a product of `m` tokens with an `n` × `k` weight matrix.
    pub fn gemm(&self, m: f64, n: f64, k: f64, weights: Precision) -> Timed {
        let form = self.gemm_form(weights);
        let [fixed, memory, compute] = terms(form, &self.machine, [m, n, k], weights);
        let mut seconds = fixed + self.corners.gemm(weights).norm(compute, memory);
        let is = |known: &Product| known.n == n && known.k == k && known.weights == weights;
        let mut spare = None;
        let product = self.products.get(is, || self.product(n, k, weights), &mut spare);
        let mut doubt = self.far(outside(m, form.m), form.beyond_m).max(product.doubt);
        if let Some(residual) = &product.residual {
            let cell = residual.cell(0, ln(m));
            seconds *= exp(residual.at_cells(&[cell]));
            doubt = doubt.max(self.between(cell.1, form.between_m));
        }
        Timed { seconds, doubt, bound: bound(fixed, memory, compute) }
    }

    /// The same where a share of the tokens comes in long runs of large products (prefill, 0 to 1): at a share of
    /// one the clocks are those that the power limit leaves. The share is an exponent on the ratio, so that more
    /// tokens of either kind still cost more.
    pub fn gemm_sustained(&self, m: f64, n: f64, k: f64, weights: Precision, share: f64) -> Timed {
        let time = self.gemm(m, n, k, weights);
        match &self.gemm_form(weights).sustained {
            Some(table) if share > 0.0 => {
                let lasting =
                    table.spread.map_or(Doubt::NONE, |spread| Doubt::inside(self.in_sigmas(share * spread)));
                Timed {
                    seconds: time.seconds * exp(share * sustained(table, m)),
                    doubt: time.doubt.max(lasting),
                    ..time
                }
            }
            _ => time,
        }
    }

    fn gemm_form(&self, weights: Precision) -> &GemmForm {
        match weights {
            Precision::Bf16 => &self.profile.form.gemm.bf16,
            Precision::Fp8 => &self.profile.form.gemm.fp8,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cost::testing::kernels;
    use crate::resolved::Precision;

    #[test]
    fn all_layers_of_an_8b_model_match_the_published_sums() {
        // Sum of the measured products of Qwen3-8B on an H100 (vLLM 0.24 tables, GEMMs of 36 layers and the
        // head), ms at m = 1, 64, 128, 256, 512: from the same public tables that the constants were fitted to.
        let published = [(1.0, 5.57), (64.0, 6.38), (128.0, 6.08), (256.0, 7.26), (512.0, 9.95)];
        let kernels = kernels();
        for (m, ms) in published {
            let shapes = [(6144.0, 4096.0), (4096.0, 4096.0), (24_576.0, 4096.0), (4096.0, 12_288.0)];
            let layer: f64 =
                shapes.iter().map(|(n, k)| kernels.gemm(m, *n, *k, Precision::Bf16).seconds).sum();
            let total = 36.0 * layer + kernels.gemm(m, 151_936.0, 4096.0, Precision::Bf16).seconds;
            assert!((total * 1e3 / ms - 1.0).abs() < 0.12, "m {m}: {} ms, published {ms}", total * 1e3);
        }
    }

    #[test]
    fn matrices_met_before_and_too_many_of_them_take_the_same_time() {
        let [known, fresh] = [kernels(), kernels()];
        for round in 0..2 {
            for i in 1..=40 {
                let (m, n, k) = (f64::from(17 * i), f64::from(300 * i), f64::from(130 * i));
                let (a, b) =
                    (known.gemm(m, n, k, Precision::Bf16), fresh.clone().gemm(m, n, k, Precision::Bf16));
                let form = &known.profile.form.gemm.bf16;
                let residual = form.residual.as_ref().map_or(0.0, |r| r.0.at([m, n, k].map(libm::log)));
                let whole = super::base(form, &known.machine, [m, n, k], Precision::Bf16)
                    * crate::math::exp(residual);
                assert_eq!(a, b, "{round} {i}");
                assert!((a.seconds / whole - 1.0).abs() < 1e-8, "{round} {i}: {} {whole}", a.seconds);
            }
        }
    }

    #[test]
    fn more_work_never_costs_less_and_the_range_is_flagged() {
        let kernels = kernels();
        for weights in [Precision::Bf16, Precision::Fp8] {
            let mut last = 0.0;
            for m in [1.0, 2.0, 17.0, 64.0, 65.0, 512.0, 4096.0] {
                let time = kernels.gemm(m, 4096.0, 4096.0, weights);
                assert!(time.seconds > last && !time.doubt.outside);
                last = time.seconds;
            }
        }
        let far = |n| kernels.gemm(1.0, n, 4096.0, Precision::Bf16).doubt.spread;
        assert!(
            far(512.0) == 0.0 && far(256.0) > 0.0 && far(64.0) > far(256.0),
            "{} {}",
            far(256.0),
            far(64.0)
        );
        let [bf16, fp8] = [Precision::Bf16, Precision::Fp8]
            .map(|weights| kernels.gemm(1.0, 128.0, 4096.0, weights).doubt.spread);
        assert!(fp8 > 2.0 * bf16, "fp8 misses by more out there: {fp8} {bf16}");
    }

    #[test]
    fn between_measured_sizes_a_product_is_in_doubt_but_not_outside() {
        let kernels = kernels();
        let usual = kernels.profile().form.extrapolation_sigma;
        let doubt = |m| kernels.gemm(m, 4096.0, 4096.0, Precision::Fp8).doubt;
        let found = kernels.profile().form.gemm.fp8.between_m.unwrap_or(0.0);
        // Knots at 256 and 512: midway, in logarithms, is 362.
        let [at, near, midway] = [256.0, 264.0, libm::sqrt(256.0 * 512.0)].map(doubt);
        assert!(found > 0.0 && at.spread == 0.0 && near.spread > 0.0 && near.spread < 0.5 * midway.spread);
        assert!((midway.spread * usual - found).abs() < 1e-9 && !midway.outside);
    }
}
