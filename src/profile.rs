//! Fitted constants: device profiles (kernels), the engine profile (software) and the stages' defaults, embedded from
//! `calibration/`.
//!
//! A profile holds efficiencies relative to a datasheet and fixed times, so that it can stand in for a device
//! that nobody has measured: peaks are swapped, efficiencies kept, the tier drops to analytic and the spread
//! grows. Only the profile in use is parsed. The forms are in `calibration/README.md` and `cost`.

mod engines;
mod residual;
mod stages;
mod transfer;

pub use engines::{
    BatchTable, CaptureCounts, EagerLaunches, EngineDefaults, EngineProfile, MemoryOf, WorksAhead, engine,
};
pub use stages::{DrafterDefaults, Efficiency, StageDefault, StageProfile, TrainingDefaults, stages};

use std::sync::OnceLock;

use serde::Deserialize;

use crate::estimate::{Confidence, Family, Tier};
use crate::yaml;

pub use residual::{HeldOut, Residual, ShapeResidual, Sustained};

/// Device profiles by catalog id of their device.
const DEVICES: &[(&str, &str)] = &[
    ("h100-sxm", include_str!("../calibration/h100-sxm.yaml")),
    ("h200-sxm", include_str!("../calibration/h200-sxm.yaml")),
];
/// Transferred profiles by catalog id of their device.
const TRANSFERRED: &[(&str, &str)] = &[
    ("a100-sxm-80g", include_str!("../calibration/a100-sxm.yaml")),
    ("b200", include_str!("../calibration/b200.yaml")),
    ("gb200", include_str!("../calibration/gb200.yaml")),
    ("h20", include_str!("../calibration/h20.yaml")),
];
/// Version of the device profiles' format.
const VERSION: u32 = 1;
/// Whose efficiencies stand in for a device without a profile: the most measured one.
const STAND_IN: &str = "h100-sxm";
/// Log-sigma that standing in adds (assumed). For scale: predicting H100 rows from H200's by datasheet ratios
/// alone misses public tables by 17-39 % in single kernels, with measured ratios by 3-8 %.
const STAND_IN_SIGMA: f64 = 0.20;

/// Form of a matrix product: t0 + per_1000_k·k/1000 + p-norm(compute, memory).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GemmForm {
    /// Fixed time, microseconds.
    pub t0_us: f64,
    /// Microseconds per 1000 of the inner dimension.
    pub per_1000_k_us: f64,
    /// Reached share of the matrix peak.
    pub compute_efficiency: f64,
    /// Reached share of the memory bandwidth.
    pub memory_efficiency: f64,
    /// Exponent of the p-norm.
    pub p: f64,
    /// Log-sigma on held-out rows.
    pub sigma: f64,
    /// Fitted range of the rows (tokens).
    pub m: [f64; 2],
    /// Fitted range of the output features.
    pub n: [f64; 2],
    /// Fitted range of the input features.
    pub k: [f64; 2],
    /// Log-sigmas on top of `sigma` one and two octaves outside the range of `m`, from rows that were left out there.
    #[serde(default)]
    pub beyond_m: Option<[f64; 2]>,
    /// The same outside the range of `n` or `k`.
    #[serde(default)]
    pub beyond_weights: Option<[f64; 2]>,
    /// The same for an `m` midway between two knots of the residual, as wide as for one that was left out.
    #[serde(default)]
    pub between_m: Option<f64>,
    /// ln(measured / form) over (m, n, k).
    #[serde(default)]
    pub residual: Option<Residual<3>>,
    /// Sustained over burst time, by m.
    #[serde(default)]
    pub sustained: Option<Sustained>,
}

/// Matrix products by number format.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GemmForms {
    /// bf16.
    pub bf16: GemmForm,
    /// fp8, with its dynamic quantisation of activations.
    pub fp8: GemmForm,
}

/// Form of decode and verify attention: t0 + wave·batch·kv_heads/SMs + p-norm(compute, memory).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeAttentionForm {
    /// Fixed time, microseconds.
    pub t0_us: f64,
    /// Microseconds of one wave of thread blocks.
    pub wave_us: f64,
    /// Reached share of the memory bandwidth.
    pub memory_efficiency: f64,
    /// Reached share of the matrix peak.
    pub compute_efficiency: f64,
    /// Exponent of the p-norm.
    pub p: f64,
    /// Log-sigma with one query token.
    pub sigma: f64,
    /// Log-sigma with several query tokens.
    pub verify_sigma: f64,
    /// Fitted range of the batch.
    pub batch: [f64; 2],
    /// Fitted range of the context, tokens.
    pub context: [f64; 2],
    /// Log-sigmas on top of `sigma` one and two octaves beyond that range.
    #[serde(default)]
    pub beyond_context: Option<[f64; 2]>,
    /// ln(measured / form) over (batch x KV heads, context, queries x heads a KV head).
    #[serde(default)]
    pub residual: Option<Residual<3>>,
}

/// Form of prefill attention: t0 + F/(ce·P) + bytes/(me·BW), bytes those of writing the keys and values into the cache.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrefillAttentionForm {
    /// Fixed time, microseconds.
    pub t0_us: f64,
    /// Reached share of the matrix peak.
    pub compute_efficiency: f64,
    /// Reached share of the memory bandwidth: decode attention's.
    pub memory_efficiency: f64,
    /// What a query token costs a head beyond the keys that it sees, in keys: the diagonal's halves of tiles that the
    /// mask throws away, queries in and outputs out.
    pub query_keys: f64,
    /// What a token costs a KV head beyond its write into the cache, in keys of one query head.
    pub kv_keys: f64,
    /// Log-sigma.
    pub sigma: f64,
    /// ln(measured / form) over (tokens x heads, tokens of a sequence, heads a KV head, KV heads).
    #[serde(default)]
    pub residual: Option<Residual<4>>,
}

/// Form of a memory-bound kernel: t0 + bytes/(me·BW).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElementwiseForm {
    /// Fixed time, microseconds.
    pub t0_us: f64,
    /// Reached share of the memory bandwidth.
    pub memory_efficiency: f64,
    /// Log-sigma.
    pub sigma: f64,
}

/// Form of sampling over rows of fp32 logits: t0 + passes·bytes/(me·BW).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingForm {
    /// Fixed time, microseconds.
    pub t0_us: f64,
    /// Reached share of the memory bandwidth.
    pub memory_efficiency: f64,
    /// Passes over the logits.
    pub passes: f64,
    /// Log-sigma, of verification too.
    pub sigma: f64,
    /// Verification, where it was measured apart; otherwise it is priced as sampling.
    #[serde(default)]
    pub verification: Option<VerificationForm>,
}

/// Form of verification by rejection sampling: t0 + bytes/(me·BW), bytes those of all rows of the target's logits and of
/// one more a sequence. The drafter's rows are in the efficiency.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerificationForm {
    /// Fixed time, microseconds.
    pub t0_us: f64,
    /// Reached share of the memory bandwidth.
    pub memory_efficiency: f64,
}

/// Form of a mixture-of-experts layer: t0 + per_expert·touched + p-norm(compute, memory).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpertForm {
    /// Fixed time, microseconds.
    pub t0_us: f64,
    /// Microseconds for each distinct expert.
    pub per_expert_us: f64,
    /// Reached share of the memory bandwidth.
    pub memory_efficiency: f64,
    /// Reached share of the matrix peak.
    pub compute_efficiency: f64,
    /// Exponent of the p-norm.
    pub p: f64,
    /// Log-sigma on held-out shapes.
    pub sigma: f64,
    /// Fitted range of the tokens.
    pub tokens: [f64; 2],
    /// Log-sigmas on top of `sigma` one and two octaves beyond that range.
    #[serde(default)]
    pub beyond_tokens: Option<[f64; 2]>,
    /// Log-sigma on top of `sigma` of a layout that no table holds, of a layer that one does.
    #[serde(default)]
    pub unseen_layout: Option<f64>,
    /// Log-sigma on top of `sigma` of a layer that no table holds.
    #[serde(default)]
    pub unseen_shape: Option<f64>,
    /// Residuals of the measured shapes.
    #[serde(default)]
    pub shapes: Vec<ShapeResidual>,
}

/// What the popularity exponents of the tables' routings are.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkewAlpha {
    /// Even routing.
    pub balanced: f64,
    /// The tables' power law 1.01.
    pub pl101: f64,
    /// The tables' power law 1.2.
    pub pl12: f64,
}

/// How skewed routing overloads a GPU: 1 + per_alpha·α·ln(ep)·(1 - exp(-(tokens per expert)/tokens)).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imbalance {
    /// Overload for each unit of the exponent.
    pub per_alpha: f64,
    /// Tokens per expert at which it sets in.
    pub tokens: f64,
}

/// Mixture-of-experts layers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpertForms {
    /// bf16.
    pub bf16: ExpertForm,
    /// fp8 in blocks.
    pub fp8: ExpertForm,
    /// The tables' routings.
    pub skew_alpha: SkewAlpha,
    /// Overload of skewed routing.
    pub imbalance: Imbalance,
}

/// Times by tokens of one GPU.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenTable {
    /// Tokens, rising.
    pub tokens: Vec<f64>,
    /// Microseconds.
    pub us: Vec<f64>,
}

/// The experts' all-to-all inside one NVLink domain, hidden width 4096, 8 experts a token.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllToAllForm {
    /// Log-sigma.
    pub sigma: f64,
    /// Tokens to their experts.
    pub dispatch: TokenTable,
    /// Results back.
    pub combine: TokenTable,
}

/// Times by size at one number of GPUs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeTable {
    /// GPUs that take part.
    pub gpus: u32,
    /// Bytes of the tensor, rising.
    pub bytes: Vec<f64>,
    /// Microseconds.
    pub us: Vec<f64>,
}

/// All-reduce inside one NVLink domain, by size.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllReduceForm {
    /// Log-sigma.
    pub sigma: f64,
    /// What a call outside a CUDA graph adds, microseconds.
    pub eager_extra_us: f64,
    /// Tables, by rising number of GPUs.
    pub tables: Vec<SizeTable>,
    /// All-gather, by the bytes that every GPU has in the end (NCCL).
    #[serde(default)]
    pub all_gather: Vec<SizeTable>,
    /// Reduce-scatter, by the bytes that every GPU starts with (NCCL).
    #[serde(default)]
    pub reduce_scatter: Vec<SizeTable>,
}

/// The kernels of one device.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceProfile {
    /// Version of this format.
    pub schema_version: u32,
    /// Catalog id of the device.
    pub device: String,
    /// What it rests on.
    pub tier: Tier,
    /// Provenance.
    pub source: String,
    /// Of a profile whose tier is `measured`: the families that this project measured. The others are as published.
    #[serde(default)]
    pub measured: Vec<String>,
    /// Matrix products.
    pub gemm: GemmForms,
    /// Decode and verify attention.
    pub attention_decode: DecodeAttentionForm,
    /// Prefill attention.
    pub attention_prefill: PrefillAttentionForm,
    /// Norms and the like.
    pub elementwise: ElementwiseForm,
    /// Sampling.
    pub sampling: SamplingForm,
    /// All-reduce.
    pub all_reduce: AllReduceForm,
    /// Experts.
    pub moe: ExpertForms,
    /// The experts' all-to-all.
    pub all_to_all: AllToAllForm,
    /// Log-sigma of the seconds beyond the fitted ranges, on top of their family's, where a form has none of its own.
    #[serde(default)]
    pub extrapolation_sigma: f64,
    /// Errors on rows that the constants were not fitted on.
    #[serde(default)]
    pub held_out: Vec<HeldOut>,
}

impl DeviceProfile {
    /// What a family rests on: a measured profile may carry families over that it did not measure.
    fn tier_of(&self, family: &str) -> Tier {
        if self.tier == Tier::Measured { self.measured_or(family, Tier::Published) } else { self.tier }
    }

    fn measured_or(&self, family: &str, otherwise: Tier) -> Tier {
        let own = self.tier == Tier::Measured && self.measured.iter().any(|name| name == family);
        if own { Tier::Measured } else { otherwise }
    }
}

/// A problem with a profile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The file does not hold what the format asks for.
    #[error("calibration profile: {0}")]
    Form(#[from] yaml::Error),
    /// The file is of a format that this program does not know.
    #[error("calibration profile {name}: schema_version {found}, this program reads 1")]
    Version {
        /// Which profile.
        name: String,
        /// Its version.
        found: u32,
    },
    /// The engine is not in the engine profile.
    #[error("no engine constants for `{0}`")]
    Engine(String),
    /// The version is none, or older than all that the profile knows.
    #[error("{message}")]
    EngineVersion {
        /// What is wrong.
        message: String,
        /// What would do.
        hint: String,
    },
}

/// Kernel constants for a device, and whether they are another device's.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelProfile {
    /// The constants.
    pub form: DeviceProfile,
    /// Whether another device's efficiencies stand in.
    pub stands_in: bool,
    /// Log-sigma that coming from another device adds; zero for a device's own.
    pub spread: f64,
}

/// The profile of a device, one transferred from another, or the one that stands in for it.
pub fn device(id: &str) -> Result<KernelProfile, ProfileError> {
    if let Some(form) = own(id)? {
        return Ok(KernelProfile { form, stands_in: false, spread: 0.0 });
    }
    let missing = || ProfileError::Engine(id.to_owned());
    if let Some((name, text)) = TRANSFERRED.iter().find(|(name, _)| *name == id) {
        let file: transfer::TransferFile = yaml::from_node(&yaml::parse(name, text)?)?;
        let from = own(&file.transfer.from)?.ok_or_else(missing)?;
        return file.apply(from);
    }
    let form = own(STAND_IN)?.ok_or_else(missing)?;
    Ok(KernelProfile { form, stands_in: true, spread: STAND_IN_SIGMA })
}

/// The profile that was fitted for this very device.
fn own(id: &str) -> Result<Option<DeviceProfile>, ProfileError> {
    static PARSED: [OnceLock<DeviceProfile>; DEVICES.len()] = [const { OnceLock::new() }; DEVICES.len()];
    let Some(place) = DEVICES.iter().position(|(name, _)| *name == id) else { return Ok(None) };
    once(&PARSED[place], || parse(DEVICES[place])).cloned().map(Some)
}

fn parse((name, text): (&str, &str)) -> Result<DeviceProfile, ProfileError> {
    let form: DeviceProfile = yaml::from_node(&yaml::parse(name, text)?)?;
    if form.schema_version != VERSION {
        return Err(ProfileError::Version { name: name.to_owned(), found: form.schema_version });
    }
    Ok(form)
}

/// What is embedded is parsed when it is first asked for, and once: a sweep asks for every point.
fn once<T>(
    cell: &'static OnceLock<T>,
    parse: impl FnOnce() -> Result<T, ProfileError>,
) -> Result<&'static T, ProfileError> {
    if let Some(parsed) = cell.get() {
        return Ok(parsed);
    }
    let parsed = parse()?;
    Ok(cell.get_or_init(|| parsed))
}

impl KernelProfile {
    /// How sure a kernel family's times are; `fp8` where the weights are fp8.
    ///
    /// Families that this profile does not know (software, training) are not asked here.
    pub fn confidence(&self, family: Family, fp8: bool) -> Confidence {
        let form = &self.form;
        let (sigma, tier) = match family {
            Family::Gemm if fp8 => (form.gemm.fp8.sigma, form.tier_of("gemm fp8")),
            Family::Gemm => (form.gemm.bf16.sigma, form.tier_of("gemm bf16")),
            Family::Attention => (form.attention_decode.sigma, form.tier_of("attention_decode")),
            // No public table has several query tokens over a cache: a proxy by large head groups.
            Family::VerifyAttention => {
                (form.attention_decode.verify_sigma, form.measured_or("verify_attention", Tier::Analytic))
            }
            Family::Moe if fp8 => (form.moe.fp8.sigma, form.tier_of("moe fp8")),
            Family::Moe => (form.moe.bf16.sigma, form.tier_of("moe bf16")),
            Family::Elementwise => (form.elementwise.sigma, form.tier_of("elementwise")),
            Family::Collective => (form.all_reduce.sigma, form.tier_of("all_reduce")),
            _ => (form.sampling.sigma, form.measured_or("sampling", Tier::Analytic)),
        };
        if self.spread > 0.0 {
            Confidence { log_sigma: sigma.hypot(self.spread), tier: Tier::Analytic }
        } else {
            Confidence { log_sigma: sigma, tier }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_profile_parses_and_is_sane() {
        for (id, _) in DEVICES {
            let profile = device(id).unwrap_or_else(|error| panic!("{id}: {error}"));
            assert!(!profile.stands_in && profile.form.device == *id);
            for table in &profile.form.all_reduce.tables {
                assert_eq!(table.bytes.len(), table.us.len());
                assert!(table.bytes.is_sorted() && table.us.iter().all(|us| *us > 0.0));
            }
        }
    }

    #[test]
    fn transferred_profiles_are_shares_of_their_own_datasheet() {
        for (id, _) in TRANSFERRED {
            let profile = device(id).unwrap_or_else(|error| panic!("{id}: {error}"));
            assert!(!profile.stands_in && profile.form.device == *id && profile.spread >= 0.2);
            let gemm = &profile.form.gemm.bf16;
            assert!(gemm.residual.is_none() && (0.5..1.0).contains(&gemm.memory_efficiency));
            assert_eq!(profile.confidence(Family::Gemm, false).tier, Tier::Analytic);
        }
    }

    #[test]
    fn an_unknown_device_gets_a_stand_in_of_lower_tier_and_wider_spread() {
        let own = device("h100-sxm").unwrap_or_else(|e| panic!("{e}"));
        let other = device("l40s").unwrap_or_else(|e| panic!("{e}"));
        assert!(other.stands_in);
        let (a, b) = (own.confidence(Family::Gemm, false), other.confidence(Family::Gemm, false));
        assert!(b.log_sigma > a.log_sigma && a.tier == Tier::Published && b.tier == Tier::Analytic);
    }
}
