//! Published facts of drafters, devices and networks, as the catalog states them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::Model;

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
