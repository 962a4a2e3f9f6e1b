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

    /// Sampling over `rows` rows of `vocab` fp32 logits, seconds.
    pub fn sampling(&self, rows: f64, vocab: f64) -> f64 {
        if rows <= 0.0 {
            return 0.0;
        }
        let form = &self.profile.form.sampling;
        form.t0_us * 1e-6
            + form.passes * 4.0 * rows * vocab / (form.memory_efficiency * self.machine.bandwidth)
    }

    /// Verification of `sequences` chains over `rows` rows of `vocab` fp32 logits, all together, seconds. One row of each is
    /// read again, for the token behind what was accepted.
    pub fn verification(&self, sequences: f64, rows: f64, vocab: f64) -> f64 {
        match &self.profile.form.sampling.verification {
            Some(form) if rows > 0.0 => {
                let bytes = 4.0 * (rows + sequences) * vocab;
                form.t0_us * 1e-6 + bytes / (form.memory_efficiency * self.machine.bandwidth)
            }
            _ => self.sampling(rows, vocab),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cost::testing::kernels;
    use crate::profile::VerificationForm;

    #[test]
    fn small_kernels_cost_their_launch_and_large_ones_their_bytes() {
        let kernels = kernels();
        assert!((kernels.elementwise(8192.0) * 1e6 - 2.9).abs() < 0.1);
        assert!(kernels.elementwise(2e9) > 2e9 / 3.35e12);
        assert_eq!(kernels.sampling(0.0, 151_936.0), 0.0);
        assert!(kernels.sampling(512.0, 151_936.0) > 3.0 * 512.0 * 151_936.0 * 4.0 / 3.35e12);
    }

    #[test]
    fn verification_is_priced_as_sampling_until_it_was_measured() {
        let mut kernels = kernels();
        assert_eq!(kernels.verification(64.0, 256.0, 151_936.0), kernels.sampling(256.0, 151_936.0));
        kernels.profile.form.sampling.verification =
            Some(VerificationForm { t0_us: 20.0, memory_efficiency: 0.5 });
        let bytes = 4.0 * 320.0 * 151_936.0;
        let right = 20e-6 + bytes / (0.5 * 3.35e12);
        assert!((kernels.verification(64.0, 256.0, 151_936.0) / right - 1.0).abs() < 1e-12);
        assert_eq!(kernels.verification(0.0, 0.0, 151_936.0), 0.0);
    }
}
