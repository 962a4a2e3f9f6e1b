//! Defaults of the stages around the inference engine: weight transfer, efficiencies, fixed seconds, memory.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use super::{ProfileError, once};
use crate::math::log_log;
use crate::yaml;

const STAGES: &str = include_str!("../../calibration/stages.yaml");

/// A default: value, standard error and where it comes from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageDefault {
    /// Value, in the unit of its key.
    pub value: f64,
    /// Standard error.
    pub se: f64,
    /// Provenance, for people.
    pub source: String,
}

impl StageDefault {
    /// Value and standard error.
    pub fn pair(&self) -> (f64, f64) {
        (self.value, self.se)
    }
}

/// A way to bring weights to the engine: seconds = fixed + bytes of one serving GPU / rate.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferPreset {
    /// Fixed seconds.
    pub fixed_s: f64,
    /// Rate into one serving GPU, GB/s.
    pub gb_per_s: f64,
    /// Share of the seconds that engines stand still.
    pub engine_stall: f64,
    /// Share of the seconds that a trainer with GPUs of its own stands still.
    pub trainer_stall: f64,
    /// Whether both must be there at once.
    pub rendezvous: bool,
    /// Provenance, for people.
    pub source: String,
}

/// Weight transfers by name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightTransfer {
    /// Log-sigma of a preset's seconds.
    pub sigma: f64,
    presets: BTreeMap<String, TransferPreset>,
}

impl WeightTransfer {
    /// A preset by its name in scenarios.
    ///
    /// # Errors
    ///
    /// A name that the profile does not hold.
    pub fn preset(&self, name: &str) -> Result<&TransferPreset, ProfileError> {
        self.presets.get(name).ok_or_else(|| ProfileError::Engine(name.to_owned()))
    }
}

/// A default of models whose experts are so wide.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ByWidth {
    width: f64,
    value: f64,
    se: f64,
    source: String,
}

impl Efficiency {
    /// For experts of a width: linear in its logarithm between the published ones, held beyond.
    pub fn experts_bf16_of(&self, width: u32) -> StageDefault {
        let mut at: Vec<f64> = Vec::new();
        let (mut values, mut errors, mut sources) = (Vec::new(), Vec::new(), Vec::new());
        for row in &self.experts_bf16 {
            at.push(row.width);
            values.push(row.value);
            errors.push(row.se);
            sources.push(row.source.as_str());
        }
        let held = f64::from(width).clamp(
            at.first().copied().unwrap_or(f64::from(width)),
            at.last().copied().unwrap_or(f64::from(width)),
        );
        StageDefault {
            value: log_log(&at, &values, held),
            se: log_log(&at, &errors, held),
            source: sources.join("; "),
        }
    }

    /// An efficiency of another device, whose peak and memory are so many times as fast as those of the one that it was
    /// measured on. Products go with the peak and the rest (memory-bound kernels, exchanges) with the memory: a GPU with little
    /// arithmetic for its memory trains at a larger share of its peak.
    pub fn carried(&self, default: &StageDefault, device: &str, peak: f64, bandwidth: f64) -> StageDefault {
        let products = self.products_of.get(device).unwrap_or(&self.products);
        let rest = (1.0 / default.value - 1.0 / self.products.value).max(0.0);
        let value = 1.0 / (1.0 / products.value + rest * peak / bandwidth);
        // Errors of 1/e: of the measured efficiency, of whether the rest goes with the memory, of the products' share.
        let inverse = |share: &StageDefault| share.se / (share.value * share.value);
        let measured = inverse(default) * peak / bandwidth;
        let memory = rest * peak * (1.0 - 1.0 / bandwidth).abs() * self.memory_in_doubt.value;
        let carried = value * value * measured.hypot(memory).hypot(inverse(products));
        StageDefault {
            value,
            // Frameworks differ in more than the rest: never surer, as a share, than where it was measured.
            se: carried.max(value * default.se / default.value),
            source: format!(
                "from {} on the {}: products at {} of the peak, the rest with the memory ({})",
                default.value, self.measured_on, products.value, default.source
            ),
        }
    }
}

/// Model FLOP utilisation of training.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Efficiency {
    /// The device whose figures these are.
    pub measured_on: String,
    /// Share of the peak that large products reach at sustained clocks.
    pub products: StageDefault,
    /// The same of devices that were measured, by id.
    products_of: BTreeMap<String, StageDefault>,
    /// Share of what another bandwidth changes that is in doubt.
    memory_in_doubt: StageDefault,
    /// Dense models, of the bf16 peak.
    pub dense_bf16: StageDefault,
    /// Dense models, of the fp8 peak.
    pub dense_fp8: StageDefault,
    /// Mixtures of experts by the width of an expert, of the bf16 peak: narrow ones feed a GPU badly.
    experts_bf16: Vec<ByWidth>,
    /// Mixtures of experts, of the fp8 peak.
    pub experts_fp8: StageDefault,
    /// Efficiency of log-prob passes over that of training, per operation.
    pub logprob_over_training: StageDefault,
}

/// What an optimizer step costs beside the passes, and what a backward pass repeats.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingDefaults {
    /// Share of NVLink's paper rate that collectives reach.
    pub link_inside: StageDefault,
    /// The same of the network between nodes.
    pub link_between: StageDefault,
    /// Bytes that an update exchanges for each weight.
    pub exchanged_bytes: StageDefault,
    /// Bytes that the optimizer reads and writes for each weight.
    pub optimizer_bytes: StageDefault,
    /// Relative standard error of an update's seconds.
    pub update_spread: StageDefault,
    /// Forward passes that selective recomputation adds.
    pub recompute_selective: StageDefault,
}

/// Training of a drafter beside the policy.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrafterDefaults {
    /// Updates that close 63 % of a gap.
    pub recovery_updates: StageDefault,
    /// Updates of a training.
    pub updates: StageDefault,
    /// Tokens of an update.
    pub update_tokens: StageDefault,
    /// Share of a training beside generation that the loop is longer for.
    pub contention: StageDefault,
    /// Share of Pinsker's bound that acceptance loses.
    pub divergence_share: StageDefault,
    /// How far below its attainable rate a drafter starts that is distilled.
    pub gap_distillation: StageDefault,
    /// The same, samples weighted by their reward.
    pub gap_reward_weighted: StageDefault,
    /// The same, trained for acceptance itself.
    pub gap_acceptance: StageDefault,
}

/// Fixed seconds of a step.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageSeconds {
    /// Data loading.
    pub data: StageDefault,
    /// Engine wake and the rest of `prepare`.
    pub prepare: StageDefault,
    /// Rule-based rewards.
    pub rule_reward: StageDefault,
}

/// Memory beside weights and cache.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageMemory {
    /// Of one serving GPU, GiB.
    pub reserved_gib: StageDefault,
    /// Of training, bytes for each weight.
    pub training_bytes_per_weight: StageDefault,
}

/// The defaults of all stages.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageProfile {
    schema_version: u32,
    /// Weight transfers.
    pub weight_transfer: WeightTransfer,
    /// Training efficiencies.
    pub efficiency: Efficiency,
    /// Optimizer steps and recomputation.
    pub training: TrainingDefaults,
    /// Training of a drafter.
    pub drafter: DrafterDefaults,
    /// Fixed seconds.
    pub seconds: StageSeconds,
    /// Memory.
    pub memory: StageMemory,
}

/// The defaults of the stages.
///
/// # Errors
///
/// None for the embedded profile, which a test parses.
pub fn stages() -> Result<&'static StageProfile, ProfileError> {
    static PARSED: OnceLock<StageProfile> = OnceLock::new();
    once(&PARSED, parse)
}

fn parse() -> Result<StageProfile, ProfileError> {
    let profile: StageProfile = yaml::from_node(&yaml::parse("stages", STAGES)?)?;
    if profile.schema_version != 1 {
        return Err(ProfileError::Version { name: "stages".to_owned(), found: profile.schema_version });
    }
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_with_little_arithmetic_for_its_memory_trains_at_a_larger_share_of_its_peak() {
        let profile = stages().unwrap_or_else(|error| panic!("{error}"));
        let (efficiency, dense) = (&profile.efficiency, &profile.efficiency.dense_bf16);
        let carried = |peak, bandwidth| efficiency.carried(dense, "unmeasured", peak, bandwidth);
        let same = carried(1.0, 1.0);
        assert!((same.value - dense.value).abs() < 1e-12 && same.se >= dense.se);
        // What the memory's rate and the peak leave of the part that is not the products'.
        let rest = 1.0 / dense.value - 1.0 / efficiency.products.value;
        for (peak, bandwidth, left) in [(1.0, 2.0, 0.5), (0.5, 2.0, 0.25), (2.0, 2.0, 1.0)] {
            let expected = 1.0 / (1.0 / efficiency.products.value + left * rest);
            assert!((carried(peak, bandwidth).value - expected).abs() < 1e-12, "{peak} {bandwidth}");
        }
        let little = carried(0.15, 1.2);
        assert!(little.value > 1.5 * dense.value && little.value < efficiency.products.value);
        assert!(carried(2.5, 2.4).se > carried(1.0, 1.0).se, "another memory, another doubt");
        // Measured products: an H20's reach more of its peak than a power limit leaves an H100's.
        let h20 = efficiency.carried(dense, "h20", 148.0 / 989.4, 4000.0 / 3350.0);
        assert!(h20.value > efficiency.products.value, "{h20:?}");
        assert!(
            (h20.se / h20.value - dense.se / dense.value).abs() < 1e-12,
            "never surer than where it was measured: {h20:?}"
        );
    }

    #[test]
    fn every_default_is_sane_and_has_a_source() {
        let profile = stages().unwrap_or_else(|error| panic!("{error}"));
        let (efficiency, seconds) = (&profile.efficiency, &profile.seconds);
        let narrow = efficiency.experts_bf16_of(768);
        let between = efficiency.experts_bf16_of(1024).value;
        assert!(narrow.value < between && between < efficiency.experts_bf16_of(1536).value);
        assert_eq!(efficiency.experts_bf16_of(4096).value, efficiency.experts_bf16_of(1536).value);
        for share in [&efficiency.dense_bf16, &efficiency.dense_fp8, &narrow, &efficiency.experts_fp8] {
            assert!(share.value > 0.0 && share.value < 1.0 && share.se > 0.0 && !share.source.is_empty());
        }
        assert!(efficiency.products.value > efficiency.dense_bf16.value);
        let (training, drafter) = (&profile.training, &profile.drafter);
        for share in [&training.link_inside, &training.link_between, &drafter.contention] {
            assert!(share.value > 0.0 && share.value <= 1.0 && !share.source.is_empty());
        }
        for default in [&seconds.data, &seconds.prepare, &seconds.rule_reward] {
            assert!(default.value > 0.0 && !default.source.is_empty());
        }
        let names =
            ["colocated-ipc", "nccl-reshard", "nccl-broadcast", "checkpoint-engine", "rdma", "delta", "slow"];
        for name in names {
            let preset = profile.weight_transfer.preset(name).unwrap_or_else(|error| panic!("{error}"));
            for share in [preset.engine_stall, preset.trainer_stall] {
                assert!((0.0..=1.0).contains(&share), "{name}");
            }
            assert!(preset.gb_per_s > 0.0 && preset.fixed_s >= 0.0 && !preset.source.is_empty());
        }
        assert!(profile.weight_transfer.preset("pigeons").is_err());
    }
}
