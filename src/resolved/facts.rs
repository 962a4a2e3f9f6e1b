//! Published facts of models, drafters, devices and networks, as the catalog states them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::linear::LinearAttention;

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

/// Experts of a mixture-of-experts model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Experts {
    /// Routed experts of a layer.
    pub count: u32,
    /// Of them, those that one token takes.
    pub per_token: u32,
    /// Width of one expert's gated MLP (of one of its two up projections).
    pub intermediate: u32,
    /// Width of the shared experts together, which every token takes; 0 where there are none.
    pub shared_intermediate: u32,
    /// First layers that have a dense MLP of the model's `intermediate` width instead.
    pub dense_layers: u32,
}

/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): keys and values come from one small vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatentAttention {
    /// Width of the compressed query; absent where queries are not compressed.
    pub q_rank: Option<u32>,
    /// Width of the compressed keys and values.
    pub kv_rank: u32,
    /// Numbers of a query or key head without positions.
    pub nope: u32,
    /// Numbers of a query or key head with positions; the key's are shared by all heads.
    pub rope: u32,
    /// Numbers of a value head.
    pub value: u32,
}

/// Layers that attend only to the last tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlidingWindow {
    /// Tokens that they see.
    pub tokens: u32,
    /// How many such layers there are.
    pub layers: u32,
}

/// A decoder-only transformer: grouped-query, latent or partly linear attention, dense or with experts.
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
    /// Width of the dense gated MLP (of one of its two up projections).
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
    /// Experts; absent in a dense model.
    pub experts: Option<Experts>,
    /// Latent attention; absent with grouped queries.
    pub latent: Option<LatentAttention>,
    /// Sliding-window layers; absent where every layer sees everything.
    pub sliding: Option<SlidingWindow>,
    /// Layers of linear attention; absent where every layer has keys and values.
    #[serde(default)]
    pub linear: Option<LinearAttention>,
    /// Whether attention's output is gated by a projection as wide as the queries (Qwen3-Next).
    #[serde(default)]
    pub output_gate: bool,
    /// Multi-token-prediction layers beside the decoder layers.
    pub mtp_layers: u32,
}

impl Model {
    /// Weights of one layer's attention over keys and values, its biases and norms included.
    pub fn attention_params(&self) -> f64 {
        let h = f64::from(self.hidden);
        if let Some(latent) = &self.latent {
            let heads = f64::from(self.heads);
            let (kv, rope) = (f64::from(latent.kv_rank), f64::from(latent.rope));
            let (nope, value) = (f64::from(latent.nope), f64::from(latent.value));
            let queries = match latent.q_rank {
                Some(rank) => f64::from(rank) * (h + heads * (nope + rope) + 1.0),
                None => h * heads * (nope + rope),
            };
            return queries + h * (kv + rope) + kv + kv * heads * (nope + value) + heads * value * h;
        }
        let (q, kv) = (self.q_width(), self.kv_width());
        let bias = if self.attention_bias { q + 2.0 * kv } else { 0.0 };
        let qk_norm = if self.qk_norm { 2.0 * f64::from(self.head_dim) } else { 0.0 };
        let gate = if self.output_gate { h * q } else { 0.0 };
        h * (q + 2.0 * kv) + q * h + gate + bias + qk_norm
    }

    /// Layers of linear attention.
    pub fn linear_layers(&self) -> u32 {
        self.linear.map_or(0, |linear| linear.layers)
    }

    /// Layers that keep keys and values.
    pub fn cached_layers(&self) -> u32 {
        self.layers - self.linear_layers()
    }

    /// One of the layers that keep keys and values, alone: a multi-token-prediction layer.
    #[must_use]
    pub fn cached_layer(&self) -> Model {
        Model { layers: 1, sliding: None, linear: None, ..self.clone() }
    }

    /// Bytes of the states that one sequence keeps, over all layers.
    pub fn state_bytes(&self) -> f64 {
        self.linear.map_or(0.0, |linear| f64::from(linear.layers) * linear.state_bytes())
    }

    /// Layers with experts.
    pub fn expert_layers(&self) -> u32 {
        self.experts.map_or(0, |experts| self.layers.saturating_sub(experts.dense_layers))
    }

    /// Layers with a dense MLP.
    pub fn dense_layers(&self) -> u32 {
        self.layers - self.expert_layers()
    }

    /// Weights of a gated MLP of a width.
    fn mlp_params(&self, width: u32) -> f64 {
        3.0 * f64::from(self.hidden) * f64::from(width)
    }

    /// Weights of one routed expert.
    pub fn expert_params(&self) -> f64 {
        self.experts.map_or(0.0, |experts| self.mlp_params(experts.intermediate))
    }

    /// Weights of all routed experts of all layers.
    pub fn routed_params(&self) -> f64 {
        self.experts
            .map_or(0.0, |e| f64::from(self.expert_layers()) * f64::from(e.count) * self.expert_params())
    }

    /// Weights of the decoder layers without routed experts.
    fn common_layer_params(&self) -> f64 {
        let norms = 2.0 * f64::from(self.hidden);
        let linear = self.linear.map_or(0.0, |l| f64::from(l.layers) * l.params(f64::from(self.hidden)));
        let every = f64::from(self.layers) * norms
            + f64::from(self.cached_layers()) * self.attention_params()
            + linear;
        let dense = f64::from(self.dense_layers()) * self.mlp_params(self.intermediate);
        let routed = self.experts.map_or(0.0, |experts| {
            let router = f64::from(self.hidden) * f64::from(experts.count);
            f64::from(self.expert_layers()) * (router + self.mlp_params(experts.shared_intermediate))
        });
        every + dense + routed
    }

    /// Weights of the decoder layers.
    pub fn layer_params(&self) -> f64 {
        self.common_layer_params() + self.routed_params()
    }

    /// Weights of one layer of multi-token prediction: attention with the projection of hidden state and embedding, and the
    /// MLP, or all experts where the model has some.
    pub fn mtp_params(&self) -> [f64; 2] {
        let projection = 2.0 * f64::from(self.hidden) * f64::from(self.hidden);
        let mlp = match self.experts {
            Some(experts) => self.expert_params() * f64::from(experts.count),
            None => self.mlp_params(self.intermediate),
        };
        [self.attention_params() + projection, mlp]
    }

    /// All weights: layers, embedding, head (once when tied) and final norm; no multi-token-prediction layers.
    pub fn params(&self) -> f64 {
        let tables = if self.tied_embeddings { self.table_params() } else { 2.0 * self.table_params() };
        self.layer_params() + tables + f64::from(self.hidden)
    }

    /// Weights that one token multiplies with: all but the embedding look-up and the experts not taken.
    pub fn params_per_token(&self) -> f64 {
        let taken = self.experts.map_or(0.0, |experts| {
            f64::from(self.expert_layers()) * f64::from(experts.per_token) * self.expert_params()
        });
        self.common_layer_params() + taken + self.table_params() + f64::from(self.hidden)
    }

    fn table_params(&self) -> f64 {
        f64::from(self.vocab) * f64::from(self.hidden)
    }

    /// Width of all query heads together, as attention's arithmetic counts it.
    pub fn q_width(&self) -> f64 {
        f64::from(self.heads) * f64::from(self.head_dim)
    }

    /// Width of all key heads together (values are as wide).
    pub fn kv_width(&self) -> f64 {
        f64::from(self.kv_heads) * f64::from(self.head_dim)
    }

    /// Bytes of keys and values that one token leaves in one layer's cache.
    pub fn kv_bytes_per_layer(&self, precision: Precision) -> f64 {
        let numbers = match &self.latent {
            Some(latent) => f64::from(latent.kv_rank + latent.rope),
            None => 2.0 * self.kv_width(),
        };
        numbers * precision.bytes()
    }

    /// Bytes of keys and values that one token leaves in the cache, over all layers.
    pub fn kv_bytes_per_token(&self, precision: Precision) -> f64 {
        f64::from(self.cached_layers()) * self.kv_bytes_per_layer(precision)
    }
}

/// How a drafter proposes tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrafterKind {
    /// One transformer layer over the target's fused hidden states (Li et al. 2503.01840).
    Eagle3,
    /// The target's own multi-token-prediction layer, the same one for every position, with the target's head.
    Mtp,
    /// A small model of its own.
    Model,
    /// Matches of the last tokens in the text so far: no GPU cost.
    Ngram,
    /// A suffix tree over earlier responses: no GPU cost.
    Suffix,
    /// A few layers that propose a whole block of tokens in one pass (DFlash, DSpark, P-EAGLE).
    Block,
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
    /// Catalog ids of the targets it fits (same hidden states or vocabulary); empty: any target.
    pub targets: Vec<String>,
    /// The drafter's own transformer; absent where it has none (n-gram, suffix) or uses the target's (MTP).
    pub model: Option<Model>,
    /// Rows of its output head.
    pub draft_vocab: u32,
    /// Target layers whose hidden states are fused (EAGLE-3: 3); 0 where none are.
    pub fused_layers: u32,
    /// Most tokens of one round, where one pass proposes them all; 0: a pass a token.
    pub block: u32,
    /// Whether verified tokens reach the drafter's cache by a projection of the target's fused hidden states into
    /// each layer's keys and values (DFlash); otherwise they run through its layers.
    pub injects_context: bool,
}

impl Drafter {
    /// Weights read by one draft pass: the layers (EAGLE-3: with their doubled q/k/v input) and the head.
    pub fn params_per_pass(&self) -> f64 {
        let Some(m) = &self.model else { return 0.0 };
        let h = f64::from(m.hidden);
        let head = h * f64::from(self.draft_vocab);
        if self.kind != DrafterKind::Eagle3 {
            return m.layer_params() + head;
        }
        let f = f64::from(m.intermediate);
        let qkv = 2.0 * h * (m.q_width() + 2.0 * m.kv_width());
        f64::from(m.layers) * (qkv + m.q_width() * h + 3.0 * h * f) + head
    }

    /// Weights of the fusion of the target's hidden states, used once a round.
    pub fn fusion_params(&self) -> f64 {
        let h = self.model.as_ref().map_or(0.0, |m| f64::from(m.hidden));
        f64::from(self.fused_layers) * h * h
    }

    /// Weights of the target's head that it uses: block drafters, and those that fuse nothing (EAGLE-1), have none of their own.
    fn borrowed_head(&self) -> f64 {
        let borrows =
            self.kind == DrafterKind::Block || (self.kind == DrafterKind::Eagle3 && self.fused_layers == 0);
        match &self.model {
            Some(m) if borrows => f64::from(m.hidden) * f64::from(self.draft_vocab),
            _ => 0.0,
        }
    }

    /// Weights that it adds to a serving GPU (EAGLE-3 and block drafters use the target's embedding; a small
    /// model brings its own).
    pub fn params(&self) -> f64 {
        match (&self.model, self.kind) {
            (Some(m), DrafterKind::Model) => m.params(),
            _ => self.params_per_pass() - self.borrowed_head() + self.fusion_params(),
        }
    }
}

/// What the training of a drafter takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trained {
    /// Weights that change, and are handed to the engines.
    pub weights: f64,
    /// Floating-point operations of a token.
    pub flops_per_token: f64,
}

impl Drafter {
    /// What its training takes beside a target; none where it has no weights (look-ups).
    pub fn trained(&self, target: &Model) -> Option<Trained> {
        // Forward, and backward through inputs and weights; a borrowed head stays, and so has no gradient of its own.
        let of = |weights: f64, taken: f64, head: f64| Trained {
            weights,
            flops_per_token: 6.0 * taken + 4.0 * head,
        };
        if self.kind == DrafterKind::Mtp {
            let [dense, mlp] = target.mtp_params();
            let taken = target.experts.map_or(1.0, |e| f64::from(e.per_token) / f64::from(e.count));
            let head = f64::from(target.hidden) * f64::from(target.vocab);
            return Some(of(dense + mlp, dense + mlp * taken, head));
        }
        (self.params() > 0.0).then(|| of(self.params(), self.params(), self.borrowed_head()))
    }
}

impl Device {
    /// Peak rate of a number format, FLOP/s; bf16's where there are no fp8 units.
    pub fn peak_flops(&self, precision: Precision) -> f64 {
        1e12 * match precision {
            Precision::Fp8 => self.fp8_tflops.unwrap_or(self.bf16_tflops),
            Precision::Bf16 => self.bf16_tflops,
        }
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
    /// Log-sigma of times by these two alone; 0 in results from before it was stated.
    #[serde(default)]
    pub spread: f64,
    /// All-reduces that were measured between nodes; by the two figures above where there are none.
    #[serde(default)]
    pub all_reduce: Option<BetweenNodes>,
}

/// An all-reduce by NCCL over two nodes of eight GPUs, one port each, by size: all of it, what happens inside the nodes
/// included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BetweenNodes {
    /// Where the figures come from.
    pub source: String,
    /// Bytes of the tensor, rising.
    pub bytes: Vec<f64>,
    /// Microseconds.
    pub us: Vec<f64>,
    /// Over `n` nodes it takes `(n / 2)^growth` times as long.
    pub growth: f64,
    /// Log-sigma between clusters.
    pub spread: f64,
}
