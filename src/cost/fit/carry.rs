//! What is written by hand and goes into a fitted profile as it is: constants that no table gives, and the parts of
//! the errors that no held-out row shows.

use serde::Deserialize;

use crate::profile::{
    AllToAllForm, ElementwiseForm, Imbalance, LinearAttentionForm, MambaForm, SamplingForm, SkewAlpha,
    Sustained,
};

/// Log-sigmas of library versions: what the same operation differs by between releases of its library.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// Matrix products.
    pub gemm: f64,
    /// Attention.
    pub attention: f64,
    /// Experts.
    pub moe: f64,
    /// Collectives.
    pub collective: f64,
}

/// Sustained over burst time of products, by format.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SustainedByFormat {
    /// bf16.
    #[serde(default)]
    pub bf16: Option<Sustained>,
    /// fp8.
    #[serde(default)]
    pub fp8: Option<Sustained>,
}

/// A hand-written input of a fit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carry {
    /// Catalog id of the device.
    pub device: String,
    /// Provenance, for people.
    pub source: String,
    /// Version part of the sigmas.
    pub version_sigma: Versions,
    /// Log-sigma of attention with several query tokens, which no public row shows.
    pub verify_sigma: f64,
    /// Sustained products, where no table of this device's gives them.
    #[serde(default)]
    pub sustained: Option<SustainedByFormat>,
    /// Linear attention, where no table of this device's gives it.
    #[serde(default)]
    pub linear_attention: Option<LinearAttentionForm>,
    /// Mamba-2, whose kernels no table has as engines run them.
    pub mamba: MambaForm,
    /// Norms and the like.
    pub elementwise: ElementwiseForm,
    /// Sampling.
    pub sampling: SamplingForm,
    /// The tables' routings.
    pub skew_alpha: SkewAlpha,
    /// Overload of skewed routing.
    pub imbalance: Imbalance,
    /// The experts' all-to-all.
    pub all_to_all: AllToAllForm,
}
