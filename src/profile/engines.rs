//! The engine profile: software costs of serving engines, and their default settings by version.
//!
//! Costs are fitted or assumed once for an engine; defaults change with versions and are read from the engines'
//! sources. A version takes the newest entry that is not newer than itself. Leaves out: costs by version, beyond
//! whether the host works ahead of the GPU.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use super::capture::{CaptureOf, CaptureSizes};
use super::{ProfileError, once};
use crate::estimate::Tier;
use crate::resolved::GraphMode;
use crate::yaml;

const ENGINES: &str = include_str!("../../calibration/engines.yaml");

/// Memory from which a device counts as large for defaults, GiB (vLLM's rule).
const LARGE_GIB: f64 = 70.0;

/// What a captured graph size counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaptureCounts {
    /// Tokens of the step (vLLM).
    Tokens,
    /// Requests of the step (SGLang).
    Requests,
}

/// What the host does to launch a step kernel by kernel: seconds for one launch, and how many a layer has.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EagerLaunches {
    /// Host time of one launch, the framework's around it included.
    pub launch_us: f64,
    /// Launches of a dense layer on one GPU.
    pub layer: f64,
    /// More where q and k are normalised.
    pub qk_norm: f64,
    /// More where experts take the place of a dense MLP.
    pub experts: f64,
    /// More where a layer is of linear attention.
    pub linear: f64,
    /// More where several GPUs share a layer.
    pub all_reduces: f64,
}

/// Software costs and defaults of one engine.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineProfile {
    /// Provenance.
    pub source: String,
    /// Exposed host time of one iteration, microseconds.
    pub iteration_gap_us: f64,
    /// And for each running request, with the worker processes of several GPUs.
    pub per_request_us: f64,
    /// The same on one GPU, where scheduler and worker share a process.
    pub per_request_one_gpu_us: f64,
    /// Largest batch of the runs that these were fitted on.
    pub fitted_batch: u32,
    /// Exposed host time of one draft pass beyond its kernels.
    pub draft_pass_us: f64,
    /// Exposed host time of one draft round.
    pub draft_round_us: f64,
    /// And for each request.
    pub per_request_draft_us: f64,
    /// Host time to look an n-gram up, nanoseconds for each token of context.
    pub lookup_ns_per_token: f64,
    /// And for each pair of requests, to gather the proposals, nanoseconds.
    pub lookup_ns_per_pair: f64,
    /// Host time of a suffix tree for each request and round: match, and take in what was emitted.
    pub suffix_request_us: f64,
    /// Share of the iteration's host time that is hidden where the host works ahead of the GPU.
    pub ahead_hides: f64,
    /// The same of the time around drafts.
    pub ahead_hides_draft: f64,
    /// Whether each attention rank schedules for itself, with limits of its own; otherwise one limit is dealt out to them.
    pub limits_each_rank: bool,
    /// Whether prompts are prefilled in steps of their own, for which decoding waits.
    pub prefill_alone: bool,
    /// The newest release whose defaults were read.
    pub read_to: String,
    /// What it keeps of layers of linear attention.
    pub linear_states: LinearStates,
    /// Whether requests without a draft are padded to the width of those with one.
    pub pads_drafts: bool,
    /// Launching kernels one by one, without a CUDA graph.
    pub eager: EagerLaunches,
    /// What the seams between the pieces of a step cost in each layer.
    pub piecewise_layer_us: f64,
    /// Log-sigma of the engine's software family.
    pub sigma: f64,
    /// What it rests on.
    pub tier: Tier,
    /// Log-sigma of the software around draft passes.
    pub draft_sigma: f64,
    /// What that rests on.
    pub draft_tier: Tier,
    /// What a captured size counts.
    pub capture_counts: CaptureCounts,
    /// Defaults, oldest version first.
    versions: Vec<EngineDefaults>,
    /// The defaults of the version that was asked for.
    #[serde(skip)]
    pub defaults: EngineDefaults,
}

/// What an engine keeps for a sequence in layers of linear attention.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearStates {
    /// States of a running sequence without a drafter.
    pub kept: u32,
    /// States with a drafter, beside those and one for each draft token.
    pub verifying: u32,
    /// Whether the accepted state is copied back after a verification; otherwise it is read from where it is.
    pub copied: bool,
    /// Memory set apart for states over that for keys and values; absent where both share one pool of blocks.
    pub ratio: Option<f64>,
    /// Whether a block of the cache is as large as a state.
    pub sizes_blocks: bool,
}

impl LinearStates {
    /// States of a running sequence with up to so many draft tokens.
    pub fn count(&self, draft_tokens: u32) -> u32 {
        self.kept + if draft_tokens > 0 { draft_tokens + self.verifying } else { 0 }
    }
}

/// Default settings of an engine from one version on.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineDefaults {
    /// First version.
    pub since: String,
    /// Where they were read.
    pub source: String,
    /// Which steps replay a CUDA graph.
    pub cudagraph_mode: GraphMode,
    /// Captured sizes.
    capture: CaptureSizes,
    /// Captured sizes with a drafter, where they differ.
    capture_speculating: Option<CaptureSizes>,
    /// Which captured sizes are rounded up to multiples of the tokens of a verification.
    pub rounds_to_verification: Rounded,
    /// Share of the memory that the engine takes.
    memory: MemoryShare,
    /// For which drafting the host works ahead of the GPU.
    pub works_ahead: WorksAhead,
    /// Whether n-grams are looked up on the GPU.
    pub lookup_on_gpu: bool,
    /// What a table of draft lengths by batch size does to CUDA graphs; absent where there is no such table.
    pub batch_table: Option<BatchTable>,
    /// Most sequences at once.
    max_num_seqs: BySize,
    /// The same when speculation is on, where it differs.
    pub max_num_seqs_speculating: Option<u32>,
    /// Most tokens in a step.
    max_num_batched_tokens: BySize,
    /// Tokens in a KV block.
    pub block_size: u32,
    /// Whether requests share the blocks of a common prefix.
    pub prefix_caching: bool,
    /// Whether they do so where some layers keep a state.
    #[serde(default)]
    pub prefix_caching_with_states: bool,
}

/// For which drafting the host prepares the next step while the GPU runs this one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorksAhead {
    /// Without a drafter.
    pub plain: bool,
    /// With a drafter that runs on the GPU.
    pub drafter: bool,
    /// With n-grams.
    pub ngram: bool,
    /// With suffix trees.
    pub suffix: bool,
}

/// Which captured sizes are rounded up to multiples of the tokens of a verification; one that passes the largest is not
/// captured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounded {
    /// None.
    #[default]
    None,
    /// All.
    EverySize,
    /// Those of whole graphs: pieces are captured at the sizes themselves.
    WholeGraphs,
}

/// What a table of draft lengths by batch size does to CUDA graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchTable {
    /// Every step runs piecewise.
    Piecewise,
    /// Every step of a mixture-of-experts model runs piecewise.
    PiecewiseMoe,
    /// Nothing.
    Full,
}

/// How much of a GPU's memory the engine takes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum MemoryShare {
    /// A share.
    Share(f64),
    /// All but a reserve, MiB.
    Reserve(Reserve),
}

impl Default for MemoryShare {
    fn default() -> Self {
        MemoryShare::Share(0.9)
    }
}

/// What is left free, MiB.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reserve {
    /// On a device below 90 GB.
    base: f64,
    /// On a larger one.
    base_above_90_gb: f64,
    /// For each token of a prefill chunk.
    per_chunk_token: f64,
    /// For each request of the largest captured size.
    per_graph_request: f64,
    /// For each GPU of a replica.
    per_gpu: f64,
    /// With a drafter.
    speculating: f64,
}

/// What a default of memory depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemoryOf {
    /// Memory of the device, GiB.
    pub memory_gib: f64,
    /// Tokens of a prefill chunk.
    pub chunk: u32,
    /// GPUs of a replica.
    pub gpus: u32,
    /// Whether a drafter is loaded.
    pub speculating: bool,
}

/// A default that depends on the device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct BySize {
    /// On a device of 70 GiB or more that is no A100.
    large: u32,
    /// On others.
    small: u32,
}

impl BySize {
    fn on(self, memory_gib: f64, device: &str) -> u32 {
        let large = memory_gib >= LARGE_GIB && !device.starts_with("a100");
        if large { self.large } else { self.small }
    }
}

impl EngineDefaults {
    /// Captured sizes of a replica, rising.
    pub fn capture_sizes(&self, of: &CaptureOf<'_>) -> Vec<u32> {
        let speculating = of.verification > 1;
        self.capture_speculating.as_ref().filter(|_| speculating).unwrap_or(&self.capture).list(of)
    }

    /// Share of a GPU's memory that the engine takes.
    pub fn gpu_memory_utilization(&self, of: &MemoryOf) -> f64 {
        match &self.memory {
            MemoryShare::Share(share) => *share,
            MemoryShare::Reserve(reserve) => {
                let memory = of.memory_gib * 1024.0;
                let large = memory * 1.048_576 > 90_000.0;
                let largest = self.capture.largest(of.gpus);
                let kept = if large { reserve.base_above_90_gb } else { reserve.base }
                    + reserve.per_chunk_token * f64::from(of.chunk)
                    + reserve.per_graph_request * f64::from(largest)
                    + reserve.per_gpu * f64::from(of.gpus)
                    + if of.speculating { reserve.speculating } else { 0.0 };
                // Engines round to three digits.
                (1000.0 * (1.0 - kept / memory)).round() / 1000.0
            }
        }
    }

    /// Whether what the engine does not take is a reserve for activations and graphs.
    pub fn keeps_a_reserve(&self) -> bool {
        matches!(self.memory, MemoryShare::Reserve(_))
    }

    /// Most sequences at once on a device, by its memory and catalog id.
    pub fn max_num_seqs(&self, memory_gib: f64, device: &str) -> u32 {
        self.max_num_seqs.on(memory_gib, device)
    }

    /// Most tokens in a step on a device.
    pub fn max_num_batched_tokens(&self, memory_gib: f64, device: &str) -> u32 {
        self.max_num_batched_tokens.on(memory_gib, device)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EngineFile {
    schema_version: u32,
    engines: BTreeMap<String, EngineProfile>,
}

/// The profile of an engine, with the defaults of `version`; without one, of the newest that is known.
///
/// # Errors
///
/// An unknown engine; text that is no version, or a version older than all that are known.
pub fn engine(id: &str, version: Option<&str>) -> Result<EngineProfile, ProfileError> {
    static PARSED: OnceLock<EngineFile> = OnceLock::new();
    let file = once(&PARSED, file)?;
    let mut engine = file.engines.get(id).cloned().ok_or_else(|| ProfileError::Engine(id.to_owned()))?;
    let known = |entry: &EngineDefaults| parse(&entry.since).unwrap_or_default();
    let newest = engine.versions.last().map(|entry| entry.since.clone()).unwrap_or_default();
    let chosen = match version {
        None => engine.versions.last(),
        Some(text) => {
            let asked = parse(text).ok_or_else(|| ProfileError::EngineVersion {
                message: format!("found {text:?}, expected a version of {id} such as {newest:?}"),
                hint: String::new(),
            })?;
            engine.versions.iter().rev().find(|entry| known(entry) <= asked)
        }
    };
    let oldest = engine.versions.first().map(|entry| entry.since.clone()).unwrap_or_default();
    engine.defaults = chosen.cloned().ok_or_else(|| ProfileError::EngineVersion {
        message: format!("the defaults of {id} are known from {oldest} on"),
        hint: format!("{oldest}, with the settings that differ written out"),
    })?;
    Ok(engine)
}

/// The newest release whose defaults were read, where a version is newer.
pub fn read_no_further_than(id: &str, version: &str) -> Option<String> {
    let engine = engine(id, Some(version)).ok()?;
    (parse(version)? > parse(&engine.read_to)?).then_some(engine.read_to)
}

fn file() -> Result<EngineFile, ProfileError> {
    let file: EngineFile = yaml::from_node(&yaml::parse("engines", ENGINES)?)?;
    if file.schema_version != 1 {
        return Err(ProfileError::Version { name: "engines".to_owned(), found: file.schema_version });
    }
    Ok(file)
}

/// Major, minor and patch of a version; `v` in front and `.post1`, `rc1` behind are passed over.
fn parse(text: &str) -> Option<[u32; 3]> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts = [0; 3];
    let mut found = 0;
    for (slot, part) in parts.iter_mut().zip(text.split('.')) {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        if digits.is_empty() {
            break;
        }
        *slot = digits.parse().ok()?;
        found += 1;
    }
    (found > 0).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_has_sane_constants_and_rising_versions() {
        for id in ["vllm", "sglang"] {
            let engine = engine(id, None).unwrap_or_else(|error| panic!("{id}: {error}"));
            assert!(
                engine.iteration_gap_us >= 0.0
                    && engine.piecewise_layer_us < engine.eager.launch_us * engine.eager.layer
            );
            let since: Vec<_> = engine.versions.iter().map(|entry| parse(&entry.since)).collect();
            assert!(since.iter().all(Option::is_some) && since.windows(2).all(|pair| pair[0] < pair[1]));
            for entry in &engine.versions {
                for (gpus, speculating) in [(1, false), (8, false), (1, true), (8, true)] {
                    let verification = if speculating { 4 } else { 1 };
                    let sizes = entry.capture_sizes(&CaptureOf {
                        device: "h100-sxm",
                        gpus,
                        seats: 256,
                        verification,
                        step: 8192,
                    });
                    assert!(
                        sizes.is_sorted() && sizes.first() == Some(&1),
                        "{id} {}: {sizes:?}",
                        entry.since
                    );
                    let of = MemoryOf { memory_gib: 79.6, chunk: 8192, gpus, speculating };
                    assert!((0.7..0.95).contains(&entry.gpu_memory_utilization(&of)), "{id} {}", entry.since);
                }
                assert!(!entry.source.is_empty());
            }
        }
        assert!(matches!(engine("trt", None), Err(ProfileError::Engine(_))));
    }

    #[test]
    fn a_version_takes_the_newest_entry_that_is_not_newer() {
        let since = |version| engine("vllm", Some(version)).map(|engine| engine.defaults.since);
        let newest = engine("vllm", None).unwrap_or_else(|e| panic!("{e}")).defaults.since;
        assert_eq!(since("99.0").unwrap_or_default(), newest);
        let read = engine("vllm", None).unwrap_or_else(|e| panic!("{e}")).read_to;
        assert_eq!(read_no_further_than("vllm", "99.0"), Some(read.clone()));
        assert_eq!(read_no_further_than("vllm", &read), None);
        assert!(parse(&newest) <= parse(&read));
        let all = engine("vllm", None).unwrap_or_else(|e| panic!("{e}")).versions;
        for pair in all.windows(2) {
            assert_eq!(since(&pair[0].since).unwrap_or_default(), pair[0].since);
            assert_eq!(since(&pair[1].since).unwrap_or_default(), pair[1].since);
        }
        assert!(matches!(since("0.1"), Err(ProfileError::EngineVersion { .. })));
        assert!(matches!(since("newest"), Err(ProfileError::EngineVersion { .. })));
        assert_eq!(parse("v0.5.6.post2"), Some([0, 5, 6]));
        assert_eq!(parse("0.12"), Some([0, 12, 0]));
    }

    #[test]
    fn memory_shares_are_those_that_the_engines_compute() {
        // SGLang's rule evaluated by hand for an H100 (81,559 MiB) and an H200 (143,771 MiB).
        let share = |version: &str, memory_mib: f64, gpus: u32, speculating: bool| {
            let engine = engine("sglang", Some(version)).unwrap_or_else(|e| panic!("{e}"));
            let of = MemoryOf { memory_gib: memory_mib / 1024.0, chunk: 8192, gpus, speculating };
            engine.defaults.gpu_memory_utilization(&of)
        };
        assert!((share("0.5.1", 81_559.0, 1, false) - 0.874).abs() < 2e-3);
        assert!((share("0.5.6", 81_559.0, 1, false) - 0.835).abs() < 1e-3);
        assert!((share("0.5.6", 81_559.0, 8, false) - 0.818).abs() < 1e-3);
        assert!((share("0.5.6", 81_559.0, 1, true) - 0.810).abs() < 1e-3);
        assert!((share("0.5.14", 143_771.0, 1, true) - 0.903).abs() < 1e-3);
        assert!((0.778..0.786).contains(&share("0.5.10", 81_559.0, 1, true)));
    }

    #[test]
    fn defaults_depend_on_the_device_as_the_engine_has_it() {
        let vllm = engine("vllm", None).unwrap_or_else(|e| panic!("{e}")).defaults;
        assert!(vllm.max_num_seqs(79.6, "h100-sxm") > vllm.max_num_seqs(79.6, "a100-sxm-80g"));
        assert!(vllm.max_num_batched_tokens(79.6, "h100-sxm") > vllm.max_num_batched_tokens(40.0, "l40s"));
    }
}
