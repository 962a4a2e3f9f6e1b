//! Dense matrix products y[m, n] = x[m, k] · W[k, n].
//!
//! t = t0 + c·k + ((2mnk / (ce·P))^p + (bytes / (me·BW))^p)^(1/p). The soft corner stands for imperfect
//! overlap of loads and arithmetic around the ridge, which is where verification of drafts lives.

use super::{Kernels, Timed, bound, outside};
use crate::math::p_norm;
use crate::resolved::Precision;

impl Kernels {
    /// Time of a product of `m` tokens with an `n` × `k` weight matrix.
    pub fn gemm(&self, m: f64, n: f64, k: f64, weights: Precision) -> Timed {
        let (form, peak, bytes) = match weights {
            Precision::Bf16 => (&self.profile.form.gemm.bf16, self.bf16, 2.0 * (n * k + m * k + m * n)),
            // Activations come and go as bf16 and are quantised on the way.
            Precision::Fp8 => (&self.profile.form.gemm.fp8, self.fp8, n * k + 2.0 * m * k + 2.0 * m * n),
        };
        let compute = 2.0 * m * n * k / (form.compute_efficiency * peak);
        let memory = bytes / (form.memory_efficiency * self.bandwidth);
        let fixed = (form.t0_us + form.per_1000_k_us * k / 1000.0) * 1e-6;
        Timed {
            seconds: fixed + p_norm(compute, memory, form.p),
            extrapolated: outside(m, form.m) || outside(n, form.n) || outside(k, form.k),
            bound: bound(fixed, memory, compute),
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
    fn more_work_never_costs_less_and_the_range_is_flagged() {
        let kernels = kernels();
        for weights in [Precision::Bf16, Precision::Fp8] {
            let mut last = 0.0;
            for m in [1.0, 2.0, 17.0, 64.0, 65.0, 512.0, 4096.0] {
                let time = kernels.gemm(m, 4096.0, 4096.0, weights);
                assert!(time.seconds > last && !time.extrapolated);
                last = time.seconds;
            }
        }
        assert!(kernels.gemm(1.0, 64.0, 4096.0, Precision::Bf16).extrapolated);
    }
}
