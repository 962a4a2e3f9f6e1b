//! One operator's time, from fitted constants and a device's datasheet.
//!
//! Matrix products, decode and verify attention, prefill attention, linear attention, memory-bound kernels, sampling
//! and all-reduce. Attention is affine in total context, so that a step's cost is (decision 1). Verify attention
//! reads the KV cache *once* for all query tokens of a sequence: charging one read for each, as pricing a
//! verify step like a larger decode batch does, is 2-3 times too slow at long context. Times are a form times
//! exp(residual surface), both fitted to measured tables in `fit`.

mod attention;
mod collective;
pub mod fit;
mod gemm;
mod known;
mod linear;
mod memory_bound;
mod moe;
mod occupancy;

pub use attention::{AttentionShape, AttentionTime, Heads};
pub use linear::LinearShape;
pub use moe::ExpertShape;

use self::known::Known;
use crate::math::Corner;
use crate::piece::{Bound, Doubt};
use crate::profile::{DeviceProfile, KernelProfile};
use crate::resolved::{Device, Network, Precision};

/// A time that does not depend on context.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timed {
    /// Seconds.
    pub seconds: f64,
    /// Whether the shape lies outside what was fitted, and what that adds to its spread.
    pub doubt: Doubt,
    /// What limits it.
    pub bound: Bound,
}

impl Timed {
    /// Nothing happens.
    pub const NONE: Timed = Timed { seconds: 0.0, doubt: Doubt::NONE, bound: Bound::Latency };
}

/// The largest of fixed, memory and compute time.
fn bound(fixed: f64, memory: f64, compute: f64) -> Bound {
    if fixed >= memory.max(compute) {
        Bound::Latency
    } else if memory >= compute {
        Bound::Memory
    } else {
        Bound::Compute
    }
}

/// Kernel times of one device.
#[derive(Debug, Clone)]
pub struct Kernels {
    profile: KernelProfile,
    machine: Machine,
    /// NVLink bandwidth over that of the device whose collectives were measured.
    link_ratio: f64,
    /// GPUs that one NVLink domain holds.
    domain: u32,
    network: Network,
    products: Known<gemm::Product, 24>,
    layers: Known<moe::Layer, 8>,
    corners: Corners,
}

/// The soft corners between memory and compute of the profile's forms, in bf16 and fp8.
#[derive(Debug, Clone)]
struct Corners {
    gemm: [Corner; 2],
    experts: [Corner; 2],
}

impl Corners {
    fn of(form: &DeviceProfile) -> Self {
        Corners {
            gemm: [form.gemm.bf16.p, form.gemm.fp8.p].map(Corner::new),
            experts: [form.moe.bf16.p, form.moe.fp8.p].map(Corner::new),
        }
    }

    fn gemm(&self, weights: Precision) -> &Corner {
        &self.gemm[usize::from(weights == Precision::Fp8)]
    }

    fn experts(&self, weights: Precision) -> &Corner {
        &self.experts[usize::from(weights == Precision::Fp8)]
    }
}

/// The datasheet's rates that the forms are relative to.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Machine {
    /// bf16 peak, FLOP/s.
    bf16: f64,
    /// fp8 peak, FLOP/s; bf16's where the device has no fp8 units.
    fp8: f64,
    /// Memory bandwidth, bytes/s.
    bandwidth: f64,
    sm_count: f64,
}

impl Machine {
    fn of(device: &Device) -> Self {
        let bf16 = device.bf16_tflops * 1e12;
        Machine {
            bf16,
            fp8: device.fp8_tflops.map_or(bf16, |tflops| tflops * 1e12),
            bandwidth: device.memory_gb_per_s * 1e9,
            sm_count: f64::from(device.sm_count),
        }
    }
}

/// NVLink bandwidth of the devices whose tables others are given (H100, H200), GB/s in one direction.
const LENT_NVLINK_GB_PER_S: f64 = 450.0;

impl Kernels {
    /// For a device, with its own constants or a stand-in's.
    pub fn new(device: &Device, network: &Network, profile: KernelProfile) -> Self {
        Kernels {
            machine: Machine::of(device),
            link_ratio: if profile.is_own() { 1.0 } else { device.nvlink_gb_per_s / LENT_NVLINK_GB_PER_S },
            domain: device.nvlink_domain,
            network: network.clone(),
            corners: Corners::of(&profile.form),
            profile,
            products: Known::default(),
            layers: Known::default(),
        }
    }

    /// The constants in use.
    pub fn profile(&self) -> &KernelProfile {
        &self.profile
    }
}

/// Octaves outside a range, 0 inside; nothing at all is not outside.
fn outside(x: f64, range: [f64; 2]) -> f64 {
    if x <= 0.0 {
        0.0
    } else if x < range[0] {
        libm::log2(range[0] / x)
    } else if x > range[1] {
        libm::log2(x / range[1])
    } else {
        0.0
    }
}

/// A log-sigma that was found one and two octaves outside, between and beyond those.
fn widening([one, two]: [f64; 2], octaves: f64) -> f64 {
    if octaves <= 1.0 { one * octaves } else { one + (octaves - 1.0) * (two - one).max(0.0) }
}

impl Kernels {
    /// The doubt about a shape so far outside, which misses by a log-sigma of `found` there; where nobody looked, 1.
    fn far(&self, octaves: f64, found: Option<[f64; 2]>) -> Doubt {
        Doubt::outside(match found {
            _ if octaves <= 0.0 => 0.0,
            Some(found) => self.in_sigmas(widening(found, octaves)),
            None => 1.0,
        })
    }

    /// A log-sigma in the profile's `extrapolation_sigma`; never quite zero, so that what is outside stays known as such.
    fn in_sigmas(&self, found: f64) -> f64 {
        let usual = self.profile.form.extrapolation_sigma;
        if usual > 0.0 { (found / usual).max(1e-9) } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_outside_is_counted_in_octaves_and_widens_with_them() {
        for (x, octaves) in
            [(64.0, 1.0), (16.0, 3.0), (128.0, 0.0), (1000.0, 0.0), (1024.0, 0.0), (4096.0, 2.0), (0.0, 0.0)]
        {
            assert_eq!(outside(x, [128.0, 1024.0]), octaves, "{x}");
        }
        let found = [0.1, 0.4];
        for (octaves, sigma) in [(0.5, 0.05), (1.0, 0.1), (1.5, 0.25), (2.0, 0.4), (3.0, 0.7)] {
            assert!((widening(found, octaves) - sigma).abs() < 1e-12, "{octaves}");
        }
        assert_eq!(widening([0.2, 0.1], 5.0), 0.2, "farther out is never surer");
    }

    #[test]
    fn where_nobody_looked_the_profile_s_spread_is_taken() {
        let kernels = testing::kernels();
        let usual = kernels.profile().form.extrapolation_sigma;
        let far = |octaves, found| kernels.far(octaves, found).spread;
        assert_eq!((far(2.0, None), far(0.0, None)), (1.0, 0.0));
        assert!((far(2.0, Some([0.1, 0.3])) * usual - 0.3).abs() < 1e-12);
        assert!(kernels.far(1.0, Some([0.0, 0.0])).outside, "still known to be outside");
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Kernels of an H100 for the tests of this layer and those above.

    use super::Kernels;
    use crate::resolved::{Device, Network};

    pub(crate) fn ndr400() -> Network {
        Network {
            id: "ib-ndr400".into(),
            source: "datasheet".into(),
            gb_per_s_per_gpu: 50.0,
            latency_us: 30.0,
            spread: 0.35,
            all_reduce: None,
        }
    }

    pub(crate) fn h100() -> Device {
        Device {
            id: "h100-sxm".into(),
            name: "H100 SXM".into(),
            source: "datasheet".into(),
            bf16_tflops: 989.0,
            fp8_tflops: Some(1979.0),
            memory_gb_per_s: 3350.0,
            memory_gib: 79.6,
            sm_count: 132,
            nvlink_gb_per_s: 450.0,
            nvlink_domain: 8,
            gpus_per_node: 8,
            usd_per_gpu_hour: None,
            price_source: None,
        }
    }

    pub(crate) fn kernels() -> Kernels {
        let profile = crate::profile::device("h100-sxm").unwrap_or_else(|error| panic!("{error}"));
        Kernels::new(&h100(), &ndr400(), profile)
    }
}
