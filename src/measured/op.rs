//! The operations that tables hold, and their columns.

use serde::Deserialize;

/// An operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// y[m, n] = x[m, k] · W[k, n].
    Gemm,
    /// Attention of `queries` new tokens a sequence over a cache of `context` tokens.
    AttentionDecode,
    /// Latent attention, absorbed, of `queries` new tokens a sequence over a cache of `context` tokens of 512 + 64 numbers.
    AttentionLatent,
    /// Causal attention over `tokens` tokens a sequence, nothing before them.
    AttentionPrefill,
    /// Linear attention by a gated delta rule (`rule`) or its convolution (`convolution`), of `tokens` new tokens a sequence,
    /// behind a state or as a prompt.
    LinearAttention,
    /// One layer of experts on one GPU: top-k to weighted sum.
    Moe,
    /// Sum over ranks; `bytes` of the tensor.
    AllReduce,
    /// `bytes` of the gathered tensor.
    AllGather,
    /// `bytes` of the tensor before it is scattered.
    ReduceScatter,
    /// `bytes` that one rank sends.
    AllToAll,
    /// Tokens to their experts.
    Dispatch,
    /// Results back.
    Combine,
    /// Kernels that move `bytes`.
    Elementwise,
    /// Decode attention under another mask or with other pages.
    AttentionVariant,
    /// Sampling and verification over rows of logits; `positions` is 1 or the draft tokens a sequence plus one.
    Sampling,
    /// Launches, graphs and round trips: `count` of them.
    Overhead,
}

impl Op {
    /// All operations.
    pub const ALL: [Op; 16] = [
        Op::Gemm,
        Op::AttentionDecode,
        Op::AttentionLatent,
        Op::AttentionPrefill,
        Op::LinearAttention,
        Op::Moe,
        Op::AllReduce,
        Op::AllGather,
        Op::ReduceScatter,
        Op::AllToAll,
        Op::Dispatch,
        Op::Combine,
        Op::Elementwise,
        Op::AttentionVariant,
        Op::Sampling,
        Op::Overhead,
    ];

    /// Its name in headers.
    pub fn name(self) -> &'static str {
        match self {
            Op::Gemm => "gemm",
            Op::AttentionDecode => "attention_decode",
            Op::AttentionLatent => "attention_latent",
            Op::AttentionPrefill => "attention_prefill",
            Op::LinearAttention => "linear_attention",
            Op::Moe => "moe",
            Op::AllReduce => "all_reduce",
            Op::AllGather => "all_gather",
            Op::ReduceScatter => "reduce_scatter",
            Op::AllToAll => "all_to_all",
            Op::Dispatch => "dispatch",
            Op::Combine => "combine",
            Op::Elementwise => "elementwise",
            Op::AttentionVariant => "attention_variant",
            Op::Sampling => "sampling",
            Op::Overhead => "overhead",
        }
    }

    /// Columns that are names.
    pub fn labels(self) -> &'static [&'static str] {
        match self {
            Op::Gemm => &["dtype"],
            Op::AttentionDecode | Op::AttentionLatent | Op::AttentionPrefill => &["kv_dtype"],
            Op::LinearAttention => &["kernel", "phase"],
            Op::Moe => &["dtype", "routing"],
            Op::AllReduce | Op::AllGather | Op::ReduceScatter | Op::AllToAll => &["implementation"],
            Op::Dispatch | Op::Combine => &[],
            Op::AttentionVariant => &["kv_dtype", "mask"],
            Op::Elementwise | Op::Sampling | Op::Overhead => &["kernel"],
        }
    }

    /// Columns that are numbers, with their units. Heads and widths are those of one GPU, `inter` that of the
    /// whole expert before `tp` splits it.
    pub fn axes(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Op::Gemm => &[("m", "tokens"), ("n", "features"), ("k", "features")],
            Op::AttentionDecode => &[
                ("heads", "heads"),
                ("kv_heads", "heads"),
                ("head_dim", "features"),
                ("batch", "sequences"),
                ("queries", "tokens"),
                ("context", "tokens"),
            ],
            Op::AttentionLatent => {
                &[("heads", "heads"), ("batch", "sequences"), ("queries", "tokens"), ("context", "tokens")]
            }
            Op::AttentionPrefill => &[
                ("heads", "heads"),
                ("kv_heads", "heads"),
                ("head_dim", "features"),
                ("batch", "sequences"),
                ("tokens", "tokens"),
            ],
            Op::LinearAttention => &[
                ("key_heads", "heads"),
                ("value_heads", "heads"),
                ("head_dim", "features"),
                ("batch", "sequences"),
                ("tokens", "tokens"),
            ],
            Op::Moe => &[
                ("hidden", "features"),
                ("inter", "features"),
                ("experts", "experts"),
                ("topk", "experts"),
                ("tp", "gpus"),
                ("ep", "gpus"),
                ("tokens", "tokens"),
            ],
            Op::AllReduce | Op::AllGather | Op::ReduceScatter | Op::AllToAll => {
                &[("ranks", "gpus"), ("bytes", "bytes")]
            }
            Op::Dispatch | Op::Combine => {
                &[("hidden", "features"), ("experts", "experts"), ("topk", "experts"), ("tokens", "tokens")]
            }
            Op::Elementwise => &[("bytes", "bytes")],
            Op::AttentionVariant => &[
                ("heads", "heads"),
                ("kv_heads", "heads"),
                ("head_dim", "features"),
                ("batch", "sequences"),
                ("queries", "tokens"),
                ("context", "tokens"),
                ("page", "tokens"),
            ],
            Op::Sampling => &[("rows", "rows"), ("vocabulary", "tokens"), ("positions", "tokens")],
            Op::Overhead => &[("count", "launches")],
        }
    }
}
