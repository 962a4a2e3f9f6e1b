//! The forms of kernels and collectives: what a device profile's constants mean, by family. What is computed from them
//! stands in `cost`.

use serde::Deserialize;

use super::residual::{Residual, ShapeResidual, Sustained};

/// Form of a matrix product: t0 + per_1000_k·k/1000 + p-norm(compute, memory).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GemmForm {
    /// Fixed time, microseconds.
    pub t0_us: f64,
    /// Microseconds per 1000 of the inner dimension.
    pub per_1000_k_us: f64,
    /// Reached share of the matrix peak.
    pub compute_efficiency: f64,
    /// Reached share of the memory bandwidth.
    pub memory_efficiency: f64,
    /// Exponent of the p-norm.
    pub p: f64,
    /// Log-sigma on held-out rows.
    pub sigma: f64,
    /// Fitted range of the rows (tokens).
    pub m: [f64; 2],
    /// Fitted range of the output features.
    pub n: [f64; 2],
    /// Fitted range of the input features.
    pub k: [f64; 2],
    /// Log-sigmas on top of `sigma` one and two octaves outside the range of `m`, from rows that were left out there.
    #[serde(default)]
    pub beyond_m: Option<[f64; 2]>,
    /// The same outside the range of `n` or `k`.
    #[serde(default)]
    pub beyond_weights: Option<[f64; 2]>,
    /// The same for an `m` midway between two knots of the residual, as wide as for one that was left out.
    #[serde(default)]
    pub between_m: Option<f64>,
    /// ln(measured / form) over (m, n, k).
    #[serde(default)]
    pub residual: Option<Residual<3>>,
    /// Sustained over burst time, by m.
    #[serde(default)]
    pub sustained: Option<Sustained>,
}

/// Matrix products by number format.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GemmForms {
    /// bf16.
    pub bf16: GemmForm,
    /// fp8, with its dynamic quantisation of activations.
    pub fp8: GemmForm,
}

/// Form of decode and verify attention: t0 + wave·batch·kv_heads/SMs + p-norm(compute, memory).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeAttentionForm {
    /// Fixed time, microseconds.
    pub t0_us: f64,
    /// Microseconds of one wave of thread blocks.
    pub wave_us: f64,
    /// Reached share of the memory bandwidth.
    pub memory_efficiency: f64,
    /// Reached share of the matrix peak.
    pub compute_efficiency: f64,
    /// Exponent of the p-norm.
    pub p: f64,
    /// Log-sigma with one query token.
    pub sigma: f64,
    /// Log-sigma with several query tokens.
    pub verify_sigma: f64,
    /// Fitted range of the batch.
    pub batch: [f64; 2],
    /// Fitted range of the context, tokens.
    pub context: [f64; 2],
    /// Log-sigmas on top of `sigma` one and two octaves beyond that range.
    #[serde(default)]
    pub beyond_context: Option<[f64; 2]>,
    /// ln(measured / form) over (batch x KV heads, context, queries x heads a KV head).
    #[serde(default)]
    pub residual: Option<Residual<3>>,
}

/// Form of prefill attention: t0 + F/(ce·P) + bytes/(me·BW), bytes those of writing the keys and values into the cache.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrefillAttentionForm {
    /// Fixed time, microseconds.
    pub t0_us: f64,
    /// Reached share of the matrix peak.
    pub compute_efficiency: f64,
    /// Reached share of the memory bandwidth: decode attention's.
    pub memory_efficiency: f64,
    /// What a query token costs a head beyond the keys that it sees, in keys: the diagonal's halves of tiles that the
    /// mask throws away, queries in and outputs out.
    pub query_keys: f64,
    /// What a token costs a KV head beyond its write into the cache, in keys of one query head.
    pub kv_keys: f64,
    /// Log-sigma.
    pub sigma: f64,
    /// ln(measured / form) over (tokens x heads, tokens of a sequence, heads a KV head, KV heads).
    #[serde(default)]
    pub residual: Option<Residual<4>>,
}

/// Form of linear attention in decode and verify steps: t0 + per_query·(queries - 1) + state·(1 + queries)/(me·BW).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearDecodeForm {
    /// Fixed time, microseconds.
    pub t0_us: f64,
    /// Microseconds of a further query token: they follow each other.
    pub per_query_us: f64,
    /// Reached share of the memory bandwidth.
    pub memory_efficiency: f64,
    /// Fitted range of the query tokens of a sequence.
    pub queries: [f64; 2],
}

/// Form of linear attention over prompts: t0 + waves·(sequence + per_1000_tokens·tokens/1000), with as many waves as
/// sequences x value heads exceed the slots of the device.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearPrefillForm {
    /// Fixed time, microseconds.
    pub t0_us: f64,
    /// Microseconds of a sequence.
    pub sequence_us: f64,
    /// Microseconds of a thousand of its tokens: chunks follow each other.
    pub per_1000_tokens_us: f64,
    /// Value heads that one multiprocessor takes at a time.
    pub slots: f64,
}

/// Form of linear attention's convolution: t0 + bytes/(me·BW), for decode and verify steps and for prompts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvolutionForm {
    /// Fixed time of a decode or verify step, microseconds.
    pub t0_us: f64,
    /// Reached share of the memory bandwidth there.
    pub memory_efficiency: f64,
    /// Fixed time over prompts, microseconds.
    pub prefill_t0_us: f64,
    /// Reached share of the memory bandwidth there.
    pub prefill_memory_efficiency: f64,
}

impl ConvolutionForm {
    /// Fixed microseconds and efficiency in decode and verify steps.
    pub fn decode(&self) -> [f64; 2] {
        [self.t0_us, self.memory_efficiency]
    }

    /// Fixed microseconds and efficiency over prompts.
    pub fn prefill(&self) -> [f64; 2] {
        [self.prefill_t0_us, self.prefill_memory_efficiency]
    }
}

/// Layers of linear attention with a gated delta rule.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearAttentionForm {
    /// Log-sigma of decode and verify steps.
    pub sigma: f64,
    /// Decode and verify steps.
    pub decode: LinearDecodeForm,
    /// Prompts.
    pub prefill: LinearPrefillForm,
    /// The convolution before either.
    pub convolution: ConvolutionForm,
}

/// Layers of Mamba-2, of which no table holds the kernels that engines run: decode and verify steps are linear attention's.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MambaForm {
    /// Log-sigma of decode and verify steps on top of linear attention's.
    pub decode_spread: f64,
    /// Prompts.
    pub scan: ScanForm,
}

/// Form of Mamba-2's scan over prompts: t0 + heads·(per_chunk·chunks + per_1000_tokens·tokens/1000). Chunks do not wait for
/// each other.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScanForm {
    /// Fixed time, microseconds.
    pub t0_us: f64,
    /// Tokens of a chunk.
    pub chunk: f64,
    /// Microseconds of a chunk of one head.
    pub per_chunk_us: f64,
    /// Microseconds of a thousand tokens of one head.
    pub per_1000_tokens_us: f64,
    /// Log-sigma on top of linear attention's.
    pub spread: f64,
}

/// Form of a memory-bound kernel: t0 + bytes/(me·BW).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElementwiseForm {
    /// Fixed time, microseconds.
    pub t0_us: f64,
    /// Reached share of the memory bandwidth.
    pub memory_efficiency: f64,
    /// Log-sigma.
    pub sigma: f64,
}

/// Form of sampling over rows of fp32 logits: t0 + passes·bytes/(me·BW).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingForm {
    /// Fixed time, microseconds.
    pub t0_us: f64,
    /// Reached share of the memory bandwidth.
    pub memory_efficiency: f64,
    /// Passes over the logits.
    pub passes: f64,
    /// Log-sigma, of verification too.
    pub sigma: f64,
    /// Verification, where it was measured apart; otherwise it is priced as sampling.
    #[serde(default)]
    pub verification: Option<VerificationForm>,
}

/// Form of verification by rejection sampling: t0 + bytes/(me·BW), bytes those of all rows of the target's logits and of
/// one more a sequence. The drafter's rows are in the efficiency.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerificationForm {
    /// Fixed time, microseconds.
    pub t0_us: f64,
    /// Reached share of the memory bandwidth.
    pub memory_efficiency: f64,
}

/// Form of a mixture-of-experts layer: t0 + per_expert·touched + p-norm(compute, memory).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpertForm {
    /// Fixed time, microseconds.
    pub t0_us: f64,
    /// Microseconds for each distinct expert.
    pub per_expert_us: f64,
    /// Reached share of the memory bandwidth.
    pub memory_efficiency: f64,
    /// Reached share of the matrix peak.
    pub compute_efficiency: f64,
    /// Exponent of the p-norm.
    pub p: f64,
    /// Log-sigma on held-out shapes.
    pub sigma: f64,
    /// Fitted range of the tokens.
    pub tokens: [f64; 2],
    /// Log-sigmas on top of `sigma` one and two octaves beyond that range.
    #[serde(default)]
    pub beyond_tokens: Option<[f64; 2]>,
    /// Log-sigma on top of `sigma` of a layout that no table holds, of a layer that one does.
    #[serde(default)]
    pub unseen_layout: Option<f64>,
    /// Log-sigma on top of `sigma` of a layer that no table holds.
    #[serde(default)]
    pub unseen_shape: Option<f64>,
    /// Residuals of the measured shapes.
    #[serde(default)]
    pub shapes: Vec<ShapeResidual>,
}

/// What the popularity exponents of the tables' routings are.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkewAlpha {
    /// Even routing.
    pub balanced: f64,
    /// The tables' power law 1.01.
    pub pl101: f64,
    /// The tables' power law 1.2.
    pub pl12: f64,
}

/// How skewed routing overloads a GPU: 1 + per_alpha·α·ln(ep)·(1 - exp(-(tokens per expert)/tokens)).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imbalance {
    /// Overload for each unit of the exponent.
    pub per_alpha: f64,
    /// Tokens per expert at which it sets in.
    pub tokens: f64,
}

/// Mixture-of-experts layers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpertForms {
    /// bf16.
    pub bf16: ExpertForm,
    /// fp8 in blocks.
    pub fp8: ExpertForm,
    /// The tables' routings.
    pub skew_alpha: SkewAlpha,
    /// Overload of skewed routing.
    pub imbalance: Imbalance,
}

/// Times by tokens of one GPU.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenTable {
    /// Tokens, rising.
    pub tokens: Vec<f64>,
    /// Microseconds.
    pub us: Vec<f64>,
}

/// The experts' all-to-all inside one NVLink domain, hidden width 4096, 8 experts a token.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllToAllForm {
    /// Log-sigma.
    pub sigma: f64,
    /// Tokens to their experts.
    pub dispatch: TokenTable,
    /// Results back.
    pub combine: TokenTable,
}

/// Times by size at one number of GPUs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeTable {
    /// GPUs that take part.
    pub gpus: u32,
    /// Bytes of the tensor, rising.
    pub bytes: Vec<f64>,
    /// Microseconds.
    pub us: Vec<f64>,
}

/// All-reduce inside one NVLink domain, by size.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllReduceForm {
    /// Log-sigma.
    pub sigma: f64,
    /// What a call outside a CUDA graph adds, microseconds.
    pub eager_extra_us: f64,
    /// Tables, by rising number of GPUs.
    pub tables: Vec<SizeTable>,
    /// All-gather, by the bytes that every GPU has in the end (NCCL).
    #[serde(default)]
    pub all_gather: Vec<SizeTable>,
    /// Reduce-scatter, by the bytes that every GPU starts with (NCCL).
    #[serde(default)]
    pub reduce_scatter: Vec<SizeTable>,
}
