//! Fitted constants: device profiles (kernels), the engine profile (software) and the stages' defaults, embedded from
//! `calibration/`.
//!
//! A profile holds efficiencies relative to a datasheet and fixed times, so that it can stand in for a device
//! that nobody has measured: peaks are swapped, efficiencies kept, the tier drops to analytic and the spread
//! grows. Only the profile in use is parsed. The forms are in `calibration/README.md` and `cost`.

mod capture;
mod engines;
mod forms;
mod residual;
mod stages;
mod transfer;

pub use capture::CaptureOf;
pub use engines::{
    BatchTable, CaptureCounts, EagerLaunches, EngineDefaults, EngineProfile, LinearStates, MemoryOf, Rounded,
    WorksAhead, engine, read_no_further_than,
};
pub use forms::{
    AllReduceForm, AllToAllForm, ConvolutionForm, DecodeAttentionForm, ElementwiseForm, ExpertForm,
    ExpertForms, GemmForm, GemmForms, Imbalance, LinearAttentionForm, LinearDecodeForm, LinearPrefillForm,
    MambaForm, PrefillAttentionForm, SamplingForm, ScanForm, SizeTable, SkewAlpha, TokenTable,
    VerificationForm,
};
pub use stages::{DrafterDefaults, Efficiency, StageDefault, StageProfile, TrainingDefaults, stages};

use std::sync::OnceLock;

use serde::Deserialize;

use crate::estimate::{Confidence, Family, Tier};
use crate::yaml;

pub use residual::{HeldOut, Residual, ShapeResidual, Sustained};

/// Device profiles by catalog id of their device.
const DEVICES: &[(&str, &str)] = &[
    ("a100-sxm-80g", include_str!("../calibration/a100-sxm.yaml")),
    ("b200", include_str!("../calibration/b200.yaml")),
    ("b300", include_str!("../calibration/b300.yaml")),
    ("gb200", include_str!("../calibration/gb200.yaml")),
    ("gb300", include_str!("../calibration/gb300.yaml")),
    ("h100-sxm", include_str!("../calibration/h100-sxm.yaml")),
    ("h200-sxm", include_str!("../calibration/h200-sxm.yaml")),
];
/// Transferred profiles by catalog id of their device.
const TRANSFERRED: &[(&str, &str)] = &[("h20", include_str!("../calibration/h20.yaml"))];
/// Version of the device profiles' format.
const VERSION: u32 = 1;
/// Whose efficiencies stand in for a device without a profile: the most measured one.
const STAND_IN: &str = "h100-sxm";
/// Log-sigma that standing in adds (assumed). For scale: predicting H100 rows from H200's by datasheet ratios
/// alone misses public tables by 17-39 % in single kernels, with measured ratios by 3-8 %.
const STAND_IN_SIGMA: f64 = 0.20;

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
    /// Decode and verify attention over a latent cache, where rows of it were fitted.
    #[serde(default)]
    pub attention_latent: Option<DecodeAttentionForm>,
    /// Prefill attention.
    pub attention_prefill: PrefillAttentionForm,
    /// Linear attention.
    pub linear_attention: LinearAttentionForm,
    /// Mamba-2.
    pub mamba: MambaForm,
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
    /// Leaves this share of every kernel's fixed time; collectives keep theirs, which are of the links. With less than all
    /// of it the kernels are nobody's, and what they take is analytic.
    pub fn scale_floors(&mut self, share: f64) {
        if share < 1.0 {
            self.tier = Tier::Analytic;
        }
        let products = [&mut self.gemm.bf16.t0_us, &mut self.gemm.fp8.t0_us];
        let attention = [&mut self.attention_decode.t0_us, &mut self.attention_prefill.t0_us];
        let experts = [&mut self.moe.bf16.t0_us, &mut self.moe.fp8.t0_us];
        let others = [&mut self.elementwise.t0_us, &mut self.sampling.t0_us];
        let verification = self.sampling.verification.as_mut().map(|form| &mut form.t0_us);
        let latent = self.attention_latent.as_mut().map(|form| &mut form.t0_us);
        let linear = &mut self.linear_attention;
        let states = [
            &mut linear.decode.t0_us,
            &mut linear.prefill.t0_us,
            &mut linear.convolution.t0_us,
            &mut linear.convolution.prefill_t0_us,
            &mut self.mamba.scan.t0_us,
        ];
        let more = verification.into_iter().chain(latent);
        for t0_us in [products, attention, experts, others].into_iter().flatten().chain(states).chain(more) {
            *t0_us *= share;
        }
    }

    /// Decode and verify attention of a model, whose cache is `latent` or not.
    pub fn attention_over(&self, latent: bool) -> &DecodeAttentionForm {
        self.attention_latent.as_ref().filter(|_| latent).unwrap_or(&self.attention_decode)
    }

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
    /// Whether the constants are the device's own.
    pub fn is_own(&self) -> bool {
        self.spread == 0.0
    }

    /// How sure a kernel family's times are; `fp8` where the weights are fp8, `latent` where the cache is.
    ///
    /// Families that this profile does not know (software, training) are not asked here.
    pub fn confidence(&self, family: Family, fp8: bool, latent: bool) -> Confidence {
        let form = &self.form;
        let attention = form.attention_over(latent);
        let (sigma, tier) = match family {
            Family::Gemm if fp8 => (form.gemm.fp8.sigma, form.tier_of("gemm fp8")),
            Family::Gemm => (form.gemm.bf16.sigma, form.tier_of("gemm bf16")),
            Family::Attention if latent && form.attention_latent.is_some() => {
                (attention.sigma, form.tier_of("attention_latent"))
            }
            Family::Attention => (attention.sigma, form.tier_of("attention_decode")),
            // No public table has several query tokens over a cache: a proxy by large head groups.
            Family::VerifyAttention => {
                (attention.verify_sigma, form.measured_or("verify_attention", Tier::Analytic))
            }
            Family::Moe if fp8 => (form.moe.fp8.sigma, form.tier_of("moe fp8")),
            Family::Moe => (form.moe.bf16.sigma, form.tier_of("moe bf16")),
            Family::Elementwise => (form.elementwise.sigma, form.tier_of("elementwise")),
            Family::Collective => (form.all_reduce.sigma, form.tier_of("all_reduce")),
            _ => (form.sampling.sigma, form.measured_or("sampling", Tier::Analytic)),
        };
        if self.is_own() {
            Confidence { log_sigma: sigma, tier }
        } else {
            Confidence { log_sigma: sigma.hypot(self.spread), tier: Tier::Analytic }
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
            assert_eq!(profile.confidence(Family::Gemm, false, false).tier, Tier::Analytic);
        }
    }

    #[test]
    fn an_unknown_device_gets_a_stand_in_of_lower_tier_and_wider_spread() {
        let own = device("h100-sxm").unwrap_or_else(|e| panic!("{e}"));
        let other = device("l40s").unwrap_or_else(|e| panic!("{e}"));
        assert!(other.stands_in);
        let (a, b) =
            (own.confidence(Family::Gemm, false, false), other.confidence(Family::Gemm, false, false));
        assert!(b.log_sigma > a.log_sigma && a.tier == Tier::Published && b.tier == Tier::Analytic);
    }
}
