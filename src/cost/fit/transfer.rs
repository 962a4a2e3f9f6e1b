//! A device's profile from another's: the effective bandwidth is swapped, fixed times, residuals and compute stay.
//!
//! Between H200 and H100 the effective bandwidths are 1.35 apart where the datasheets say 1.43 (public tables: 1.35
//! to 1.37 for weights and caches above 100 MB), so a datasheet's ratio is divided by 1.06. Collectives are copied: their
//! times hardly differ. Sigmas grow by what such a transfer missed there.

use super::split::{Errors, Fit};
use super::{attention, gemm, moe, prefill, rows::Rows};
use crate::cost::{Heads, Machine};
use crate::estimate::Tier;
use crate::profile::DeviceProfile;
use crate::resolved::{Device, Precision};

/// Datasheet ratio over effective ratio, of H200 and H100.
const CORRECTION: f64 = 1.06;
/// Log-sigmas of transfer: products, attention, experts.
const SIGMAS: [f64; 3] = [0.06, 0.07, 0.12];

/// The profile of `to` from one of `from`.
pub(super) fn transfer(mut form: DeviceProfile, from: &Device, to: &Device) -> DeviceProfile {
    let datasheet = from.memory_gb_per_s / to.memory_gb_per_s;
    // Efficiencies are shares of the new datasheet's bandwidth. Nothing is corrected where bandwidths are equal.
    let scale =
        if datasheet > 1.0 { CORRECTION.min(datasheet) } else { 1.0 / CORRECTION.min(1.0 / datasheet) };
    let share = |x: f64| libm::round(x * scale * 1e4) / 1e4;
    let wider = |sigma: f64, transfer: f64| libm::round(sigma.hypot(transfer) * 1e3) / 1e3;
    for gemm in [&mut form.gemm.bf16, &mut form.gemm.fp8] {
        gemm.memory_efficiency = share(gemm.memory_efficiency);
        gemm.sigma = wider(gemm.sigma, SIGMAS[0]);
    }
    for decode in [Some(&mut form.attention_decode), form.attention_latent.as_mut()].into_iter().flatten() {
        decode.memory_efficiency = share(decode.memory_efficiency);
        decode.sigma = wider(decode.sigma, SIGMAS[1]);
    }
    for moe in [&mut form.moe.bf16, &mut form.moe.fp8] {
        moe.memory_efficiency = share(moe.memory_efficiency);
        moe.sigma = wider(moe.sigma, SIGMAS[2]);
    }
    let prefill = &mut form.attention_prefill;
    prefill.memory_efficiency = share(prefill.memory_efficiency);
    prefill.sigma = wider(prefill.sigma, SIGMAS[1]);
    let linear = &mut form.linear_attention;
    for efficiency in [
        &mut linear.decode.memory_efficiency,
        &mut linear.convolution.memory_efficiency,
        &mut linear.convolution.prefill_memory_efficiency,
    ] {
        *efficiency = share(*efficiency);
    }
    linear.sigma = wider(linear.sigma, SIGMAS[1]);
    form.elementwise.memory_efficiency = share(form.elementwise.memory_efficiency);
    form.sampling.memory_efficiency = share(form.sampling.memory_efficiency);
    form.source = format!("transferred from {}: {}", form.device, form.source);
    form.device.clone_from(&to.id);
    form.tier = Tier::Analytic;
    form.measured = Vec::new();
    form.held_out = Vec::new();
    form
}

/// Errors of a transferred profile on the device's own rows. Experts on one GPU only: rows of expert parallelism hold
/// another path's costs.
pub(super) fn errors(form: &DeviceProfile, machine: Machine, rows: &Rows) -> Vec<Errors> {
    const SPLIT: &str = "transferred";
    fn of<F: Fit>(family: &F, form: &F::Form, rows: &[F::Row], name: &'static str) -> Errors {
        Errors { family: name, split: SPLIT, logs: rows.iter().map(|row| family.error(form, row)).collect() }
    }
    let mut all = Vec::new();
    for (i, weights) in [Precision::Bf16, Precision::Fp8].into_iter().enumerate() {
        let (gemm_form, moe_form) =
            if i == 0 { (&form.gemm.bf16, &form.moe.bf16) } else { (&form.gemm.fp8, &form.moe.fp8) };
        let name = ["gemm bf16", "gemm fp8"][i];
        all.push(of(&gemm::Family { machine, weights }, gemm_form, &rows.gemm[i], name));
        let alpha = &form.moe.skew_alpha;
        let family = moe::Family {
            machine,
            weights,
            overload: form.moe.imbalance.clone(),
            skews: [alpha.balanced, alpha.pl101, alpha.pl12],
        };
        let alone: Vec<moe::Row> = rows.moe[i].iter().copied().filter(|row| row.layer[5] == 1.0).collect();
        let fitted = moe::Fitted { form: moe_form.clone(), gathered: [0.0; 2] };
        all.push(of(&family, &fitted, &alone, ["moe bf16", "moe fp8"][i]));
    }
    let family = attention::Family::new(machine, form.attention_decode.verify_sigma, Heads::Grouped);
    all.push(of(&family, &form.attention_decode, &rows.decode, "attention_decode"));
    let family = prefill::Family { machine, memory_efficiency: form.attention_prefill.memory_efficiency };
    let long: Vec<prefill::Row> = rows.prefill.iter().copied().filter(|row| row.tokens >= 512.0).collect();
    all.push(of(&family, &form.attention_prefill, &long, "attention_prefill"));
    all.retain(|errors| !errors.logs.is_empty());
    all
}
