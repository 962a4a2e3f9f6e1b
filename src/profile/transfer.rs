//! Profiles that are another device's with a few factors: for devices without tables that are worth a word of their
//! own. The other device's forms are kept as shares of the new datasheet; its residuals are not, as tiles and caches
//! are of its architecture.

use serde::Deserialize;

use super::{DeviceProfile, KernelProfile, ProfileError, VERSION};
use crate::estimate::Tier;

/// A transferred profile as it is written.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TransferFile {
    pub(super) schema_version: u32,
    device: String,
    source: String,
    pub(super) transfer: Transfer,
}

/// Whose profile, and what is changed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Transfer {
    /// Catalog id of the other device.
    pub(super) from: String,
    /// Factor on every share of the memory bandwidth.
    memory: f64,
    /// Factor on every share of the matrix peak.
    compute: f64,
    /// Factor on fixed times.
    fixed: f64,
    /// Log-sigma that the transfer adds to every family's.
    sigma: f64,
}

impl TransferFile {
    /// The profile, from the other device's.
    pub(super) fn apply(self, mut form: DeviceProfile) -> Result<KernelProfile, ProfileError> {
        if self.schema_version != VERSION {
            return Err(ProfileError::Version { name: self.device, found: self.schema_version });
        }
        let Transfer { memory, compute, fixed, sigma, .. } = self.transfer;
        let share = |x: &mut f64, factor: f64| *x = (*x * factor).min(1.0);
        for gemm in [&mut form.gemm.bf16, &mut form.gemm.fp8] {
            share(&mut gemm.memory_efficiency, memory);
            share(&mut gemm.compute_efficiency, compute);
            gemm.t0_us *= fixed;
            gemm.residual = None;
            gemm.sustained = None;
        }
        for decode in [Some(&mut form.attention_decode), form.attention_latent.as_mut()].into_iter().flatten()
        {
            share(&mut decode.memory_efficiency, memory);
            share(&mut decode.compute_efficiency, compute);
            decode.t0_us *= fixed;
            decode.residual = None;
        }
        let prefill = &mut form.attention_prefill;
        share(&mut prefill.memory_efficiency, memory);
        share(&mut prefill.compute_efficiency, compute);
        prefill.t0_us *= fixed;
        prefill.residual = None;
        for moe in [&mut form.moe.bf16, &mut form.moe.fp8] {
            share(&mut moe.memory_efficiency, memory);
            share(&mut moe.compute_efficiency, compute);
            moe.t0_us *= fixed;
            moe.shapes = Vec::new();
        }
        let linear = &mut form.linear_attention;
        share(&mut linear.decode.memory_efficiency, memory);
        share(&mut linear.convolution.memory_efficiency, memory);
        share(&mut linear.convolution.prefill_memory_efficiency, memory);
        linear.decode.t0_us *= fixed;
        linear.prefill.t0_us *= fixed;
        form.mamba.scan.t0_us *= fixed;
        share(&mut form.elementwise.memory_efficiency, memory);
        share(&mut form.sampling.memory_efficiency, memory);
        if let Some(verification) = &mut form.sampling.verification {
            share(&mut verification.memory_efficiency, memory);
        }
        form.device = self.device;
        form.source = self.source;
        form.tier = Tier::Analytic;
        form.held_out = Vec::new();
        Ok(KernelProfile { form, stands_in: false, spread: sigma })
    }
}
