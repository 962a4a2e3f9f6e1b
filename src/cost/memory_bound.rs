//! Kernels that move bytes: norms, rotary embedding, activation, cache append; and sampling.

use super::Kernels;

impl Kernels {
    /// One fused elementwise kernel that moves `bytes`, seconds.
    pub fn elementwise(&self, bytes: f64) -> f64 {
        let form = &self.profile.form.elementwise;
        form.t0_us * 1e-6 + bytes / (form.memory_efficiency * self.machine.bandwidth)
    }

    /// Bytes a second of elementwise kernels.
    pub fn elementwise_rate(&self) -> f64 {
        self.profile.form.elementwise.memory_efficiency * self.machine.bandwidth
    }

    /// Sampling or verification over `rows` rows of `vocab` fp32 logits, seconds.
    pub fn sampling(&self, rows: f64, vocab: f64) -> f64 {
        if rows <= 0.0 {
            return 0.0;
        }
        let form = &self.profile.form.sampling;
        form.t0_us * 1e-6
            + form.passes * 4.0 * rows * vocab / (form.memory_efficiency * self.machine.bandwidth)
    }
}

#[cfg(test)]
mod tests {
    use crate::cost::testing::kernels;

    #[test]
    fn small_kernels_cost_their_launch_and_large_ones_their_bytes() {
        let kernels = kernels();
        assert!((kernels.elementwise(8192.0) * 1e6 - 2.9).abs() < 0.1);
        assert!(kernels.elementwise(2e9) > 2e9 / 3.35e12);
        assert_eq!(kernels.sampling(0.0, 151_936.0), 0.0);
        assert!(kernels.sampling(512.0, 151_936.0) > 3.0 * 512.0 * 151_936.0 * 4.0 / 3.35e12);
    }
}
