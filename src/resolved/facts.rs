//! Published facts of models, drafters, devices and networks, as the catalog states them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Number format of weights or KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 16-bit brain float.
    Bf16,
    /// 8-bit float (e4m3).
    Fp8,
}

impl Precision {
    /// Bytes of one number.
    pub fn bytes(self) -> f64 {
        match self {
            Precision::Bf16 => 2.0,
            Precision::Fp8 => 1.0,
        }
    }
}

/// A dense decoder-only transformer with grouped-query attention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Catalog id, or the path of the `config.json` it was read from.
    pub id: String,
    /// Where the facts come from.
    pub source: String,
    /// Decoder layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Width of the gated MLP (of one of its two up projections).
    pub intermediate: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads.
    pub kv_heads: u32,
    /// Numbers in one head.
    pub head_dim: u32,
    /// Rows of the embedding table.
    pub vocab: u32,
    /// Whether the output head shares the embedding table.
    pub tied_embeddings: bool,
    /// Whether q, k and v projections have biases (Qwen2).
    pub attention_bias: bool,
    /// Whether q and k are normalised per head (Qwen3).
    pub qk_norm: bool,
    /// Longest sequence that the model was made for, in tokens.
    pub max_positions: u32,
}

impl Model {
    /// Weights of the attention and MLP projections of one layer.
    pub fn params_per_layer(&self) -> f64 {
        let (h, f) = (f64::from(self.hidden), f64::from(self.intermediate));
        let (q, kv) = (self.q_width(), self.kv_width());
        let bias = if self.attention_bias { q + 2.0 * kv } else { 0.0 };
        let qk_norm = if self.qk_norm { 2.0 * f64::from(self.head_dim) } else { 0.0 };
        h * (q + 2.0 * kv) + q * h + bias + qk_norm + 3.0 * h * f + 2.0 * h
    }

    /// All weights: layers, embedding, head (once when tied) and final norm.
    pub fn params(&self) -> f64 {
        let table = f64::from(self.vocab) * f64::from(self.hidden);
        let tables = if self.tied_embeddings { table } else { 2.0 * table };
        f64::from(self.layers) * self.params_per_layer() + tables + f64::from(self.hidden)
    }

    /// Weights that one token multiplies with: all but the embedding look-up.
    pub fn params_per_token(&self) -> f64 {
        let table = f64::from(self.vocab) * f64::from(self.hidden);
        f64::from(self.layers) * self.params_per_layer() + table + f64::from(self.hidden)
    }

    /// Width of all query heads together.
    pub fn q_width(&self) -> f64 {
        f64::from(self.heads) * f64::from(self.head_dim)
    }

    /// Width of all key heads together (values are as wide).
    pub fn kv_width(&self) -> f64 {
        f64::from(self.kv_heads) * f64::from(self.head_dim)
    }

    /// Bytes of keys and values that one token leaves in the cache, over all layers.
    pub fn kv_bytes_per_token(&self, precision: Precision) -> f64 {
        f64::from(self.layers) * 2.0 * self.kv_width() * precision.bytes()
    }
}

/// How a drafter proposes tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrafterKind {
    /// One transformer layer over the target's fused hidden states (Li et al. 2503.01840).
    Eagle3,
}

/// A drafter and the target that it was trained for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drafter {
    /// Catalog id.
    pub id: String,
    /// Where the facts come from.
    pub source: String,
    /// How it drafts.
    pub kind: DrafterKind,
    /// Catalog ids of the targets it fits (same hidden states: fine-tunes and siblings of one architecture).
    pub targets: Vec<String>,
    /// The drafter's own transformer: layers, widths, heads.
    pub model: Model,
    /// Rows of its reduced output head.
    pub draft_vocab: u32,
    /// Target layers whose hidden states are fused (EAGLE-3: 3).
    pub fused_layers: u32,
}

impl Drafter {
    /// Weights read by one draft pass: the layer with its doubled q/k/v input, and the reduced head.
    pub fn params_per_pass(&self) -> f64 {
        let m = &self.model;
        let (h, f) = (f64::from(m.hidden), f64::from(m.intermediate));
        let qkv = 2.0 * h * (m.q_width() + 2.0 * m.kv_width());
        f64::from(m.layers) * (qkv + m.q_width() * h + 3.0 * h * f) + h * f64::from(self.draft_vocab)
    }

    /// Weights of the fusion of the target's hidden states, used once a round.
    pub fn fusion_params(&self) -> f64 {
        let h = f64::from(self.model.hidden);
        f64::from(self.fused_layers) * h * h
    }

    /// Weights that it adds to a serving GPU (the embedding table is the target's).
    pub fn params(&self) -> f64 {
        self.params_per_pass() + self.fusion_params()
    }
}

/// A GPU: datasheet and published figures, each with its source in the catalog file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Catalog id.
    pub id: String,
    /// Name as its maker writes it.
    pub name: String,
    /// Where the figures come from.
    pub source: String,
    /// Dense bf16 matrix rate, TFLOP/s.
    pub bf16_tflops: f64,
    /// Dense fp8 matrix rate, TFLOP/s; absent where the device has no fp8 units.
    pub fp8_tflops: Option<f64>,
    /// Device memory bandwidth, GB/s (1e9 bytes).
    pub memory_gb_per_s: f64,
    /// Memory that a program can use, GiB (2^30 bytes).
    pub memory_gib: f64,
    /// Streaming multiprocessors.
    pub sm_count: u32,
    /// NVLink bandwidth of one GPU in one direction, GB/s.
    pub nvlink_gb_per_s: f64,
    /// GPUs that one NVLink domain holds.
    pub nvlink_domain: u32,
    /// GPUs in one node, where the scenario does not say.
    pub gpus_per_node: u32,
    /// A list price where the scenario gives none, USD per GPU and hour; its source in `price_source`.
    pub usd_per_gpu_hour: Option<f64>,
    /// Where the price comes from.
    pub price_source: Option<String>,
}

/// A network between nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Catalog id.
    pub id: String,
    /// Where the figures come from.
    pub source: String,
    /// Bandwidth of one GPU's share in one direction, GB/s.
    pub gb_per_s_per_gpu: f64,
    /// Latency of a small collective, microseconds.
    pub latency_us: f64,
}
