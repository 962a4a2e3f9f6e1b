//! The inference engine: its layout and its settings, under the engines' own names.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, Fraction, NonNegative, Precision, Probability};

/// The inference engine and its settings.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Which engine.
    pub engine: Option<Engine>,
    /// Version of the engine, in quotes, such as "0.11.0": picks the defaults of that version.
    pub engine_version: Option<String>,
    /// Whether the engine's own time (scheduling, launches, sampling on the host) is counted.
    pub overhead: Option<Overhead>,
    /// Share of the kernels' fixed times (their launch, first wave and tail) that is left, 0 to 1: 1 as fitted, 0 a roofline.
    pub kernel_floors: Option<Probability>,
    /// How one engine is spread over GPUs.
    pub layout: Option<GenerationLayout>,
    /// Most requests running at once in one engine, on all its attention ranks together.
    pub max_num_seqs: Option<Count>,
    /// Most tokens in one engine step, on all its attention ranks together.
    pub max_num_batched_tokens: Option<Count>,
    /// Longest prompt and response together, in tokens.
    pub max_model_len: Option<Count>,
    /// KV-cache blocks of one engine; otherwise what `gpu_memory_utilization` leaves.
    pub num_gpu_blocks: Option<Count>,
    /// Tokens in one KV-cache block.
    pub block_size: Option<Count>,
    /// Share of a GPU's memory that the engine may take, above 0, up to 1.
    pub gpu_memory_utilization: Option<Fraction>,
    /// True: run without CUDA graphs.
    pub enforce_eager: Option<bool>,
    /// Which steps replay a CUDA graph, and whether in one piece.
    pub cudagraph_mode: Option<GraphMode>,
    /// Batch sizes with a captured CUDA graph, rising.
    pub cudagraph_capture_sizes: Option<Vec<Count>>,
    /// Number format of the KV cache.
    pub kv_cache_dtype: Option<Precision>,
    /// Number format of the weights.
    pub weights: Option<Precision>,
    /// Sampling temperature; 0 is greedy.
    pub temperature: Option<NonNegative>,
    /// How requests are dealt to the engines.
    pub router: Option<Router>,
    /// True: requests of one group share their prompt's KV blocks.
    pub prefix_caching: Option<bool>,
    /// How tokens choose experts: an assumption, as nobody publishes it for rollouts.
    pub routing: Option<Routing>,
    /// True: a prefill is cut into chunks that run beside decodes.
    pub chunked_prefill: Option<bool>,
}

/// How one engine is spread over GPUs.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerationLayout {
    /// Tensor-parallel GPUs.
    pub tp: Option<Count>,
    /// Pipeline-parallel stages (above 1: planned).
    pub pp: Option<Count>,
    /// GPUs that the experts are spread over; 1: they are split by tensor parallelism.
    pub ep: Option<Count>,
    /// True: attention ranks of `tp` GPUs have batches of their own and share the experts of all `ep` GPUs.
    pub dp_attention: Option<bool>,
}

/// How tokens choose experts.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Routing {
    /// Exponent of the experts' popularity by rank; 0 is even routing.
    pub skew: Option<NonNegative>,
    /// Share of its experts that a further token of a draft chain has in common with the chain, 0 to 1.
    pub chain_overlap: Option<Probability>,
    /// How tokens travel to their experts under `dp_attention`.
    pub transport: Option<Transport>,
}

/// How tokens travel to their experts under `dp_attention`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// To the GPUs of their experts and back (DeepEP).
    AllToAll,
    /// All tokens to all GPUs, results scattered back (NCCL): the engines' default.
    Gather,
}

/// An inference engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// vLLM.
    Vllm,
    /// SGLang.
    Sglang,
}

/// Which steps replay a CUDA graph (vLLM's names).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GraphMode {
    /// Decode steps whose requests all have as many tokens replay one graph, other steps one for each piece between
    /// attentions.
    FullAndPiecewise,
    /// Decode steps replay one graph; the host launches every kernel of the others.
    FullDecodeOnly,
    /// Every step replays one graph for each piece between attentions.
    Piecewise,
    /// None: the host launches every kernel, as with `enforce_eager`.
    None,
}

/// What is counted of the engine's own time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overhead {
    /// As fitted to measurements of the engine.
    Measured,
    /// Nothing: kernels only.
    None,
}

/// How requests are dealt to the engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Router {
    /// To the engine with the fewest requests.
    LeastLoaded,
    /// A whole prompt group to one engine.
    GroupAffinity,
}
