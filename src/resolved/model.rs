//! Published facts of models: sizes of a decoder, and what follows from them.

use serde::{Deserialize, Serialize};

use super::facts::Precision;
use super::linear::LinearAttention;

/// Experts of a mixture-of-experts model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Experts {
    /// Routed experts of a layer.
    pub count: u32,
    /// Of them, those that one token takes.
    pub per_token: u32,
    /// Width of one expert's MLP (of one of its two up projections where it is gated).
    pub intermediate: u32,
    /// Width of the shared experts together, which every token takes; 0 where there are none.
    pub shared_intermediate: u32,
    /// First layers that have a dense MLP of the model's `intermediate` width instead.
    pub dense_layers: u32,
    /// Width that routed experts run at, behind a projection before them and one after (LatentMoE of Nemotron-3); absent
    /// where it is the residual stream's.
    #[serde(default)]
    pub latent: Option<u32>,
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

/// Layers that are one mixer each, with a norm and a residual of its own (Nemotron-H, arXiv 2504.03624): attention, experts
/// or a dense MLP, not attention followed by an MLP. Layers of linear attention are counted in [`Model::linear`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mixers {
    /// Layers of attention over keys and values.
    pub attention: u32,
    /// Layers of experts.
    pub experts: u32,
    /// Layers of a dense MLP.
    pub dense: u32,
}

/// What a model written before `gated` existed is taken for.
fn gated() -> bool {
    true
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
    /// Width of the dense MLP (of one of its two up projections where it is gated).
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
    /// Whether MLPs and experts are gated: three matrices, not two.
    #[serde(default = "gated")]
    pub gated: bool,
    /// Layers by kind where each is one mixer; absent where each has attention and an MLP.
    #[serde(default)]
    pub mixers: Option<Mixers>,
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
        self.mixers.map_or_else(|| self.layers - self.linear_layers(), |mixers| mixers.attention)
    }

    /// Layers that mix tokens, by attention or by a state.
    pub fn attention_layers(&self) -> u32 {
        self.cached_layers() + self.linear_layers()
    }

    /// Norms before a part of a layer, and all-reduces after it: attention's and the MLP's, or one of a layer that is one mixer.
    pub fn sublayers(&self) -> u32 {
        if self.mixers.is_some() { self.layers } else { 2 * self.layers }
    }

    /// What a multi-token-prediction layer is: one of the layers that keep keys and values, alone; where layers are one mixer
    /// each, one of attention and one of experts after it.
    #[must_use]
    pub fn cached_layer(&self) -> Model {
        let mixers = self.mixers.map(|_| {
            let experts = u32::from(self.experts.is_some());
            Mixers { attention: 1, experts, dense: 1 - experts }
        });
        let layers = if mixers.is_some() { 2 } else { 1 };
        Model { layers, mixers, sliding: None, linear: None, ..self.clone() }
    }

    /// Bytes of the states that one sequence keeps, over all layers.
    pub fn state_bytes(&self) -> f64 {
        self.linear.map_or(0.0, |linear| f64::from(linear.layers) * linear.state_bytes())
    }

    /// Layers with experts.
    pub fn expert_layers(&self) -> u32 {
        match (self.experts, self.mixers) {
            (None, _) => 0,
            (Some(_), Some(mixers)) => mixers.experts,
            (Some(experts), None) => self.layers.saturating_sub(experts.dense_layers),
        }
    }

    /// Layers with a dense MLP.
    pub fn dense_layers(&self) -> u32 {
        self.mixers.map_or_else(|| self.layers - self.expert_layers(), |mixers| mixers.dense)
    }

    /// Projections that lead into an MLP: its gate and its up projection, or the latter alone.
    pub fn up_projections(&self) -> f64 {
        if self.gated { 2.0 } else { 1.0 }
    }

    /// Weights of an MLP of a width.
    fn mlp_params(&self, width: u32) -> f64 {
        (self.up_projections() + 1.0) * f64::from(self.hidden) * f64::from(width)
    }

    /// Width that routed experts run at; the residual stream's where there are none.
    pub fn expert_width(&self) -> f64 {
        f64::from(self.experts.and_then(|experts| experts.latent).unwrap_or(self.hidden))
    }

    /// Weights of one routed expert.
    pub fn expert_params(&self) -> f64 {
        let matrix = |experts: Experts| self.expert_width() * f64::from(experts.intermediate);
        self.experts.map_or(0.0, |experts| (self.up_projections() + 1.0) * matrix(experts))
    }

    /// Weights of the two projections around the routed experts of one layer, which every GPU holds whole.
    pub fn latent_params(&self) -> f64 {
        let narrower = self.experts.is_some_and(|experts| experts.latent.is_some());
        if narrower { 2.0 * f64::from(self.hidden) * self.expert_width() } else { 0.0 }
    }

    /// Weights of all routed experts of all layers.
    pub fn routed_params(&self) -> f64 {
        self.experts
            .map_or(0.0, |e| f64::from(self.expert_layers()) * f64::from(e.count) * self.expert_params())
    }

    /// Weights of the decoder layers without routed experts.
    fn common_layer_params(&self) -> f64 {
        let linear = self.linear.map_or(0.0, |l| f64::from(l.layers) * l.params(f64::from(self.hidden)));
        let every = f64::from(self.sublayers()) * f64::from(self.hidden)
            + f64::from(self.cached_layers()) * self.attention_params()
            + linear;
        let dense = f64::from(self.dense_layers()) * self.mlp_params(self.intermediate);
        every + dense + f64::from(self.expert_layers()) * self.beside_experts()
    }

    /// Weights of one layer of experts without the routed ones: router, shared experts, projections around the routed.
    fn beside_experts(&self) -> f64 {
        self.experts.map_or(0.0, |experts| {
            let router = f64::from(self.hidden) * f64::from(experts.count);
            router + self.mlp_params(experts.shared_intermediate) + self.latent_params()
        })
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
        [self.attention_params() + projection + self.beside_experts(), mlp]
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
