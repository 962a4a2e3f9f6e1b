//! What can be measured, with its operations and bytes, and what it is expected to take.
//!
//! Expected seconds are a roofline over two round figures of an H200 with a fixed time a kernel. They plan a run (how
//! many copies a replay holds, what fits into the time) and are no forecast: what is measured replaces them.

use std::fmt;

/// Bytes a second and operations a second that plans assume; a run measures its own ceilings.
const BANDWIDTH: f64 = 3.7e12;
const BF16: f64 = 600e12;
const FP8: f64 = 1100e12;
/// mma.sync reaches a part of what wgmma does.
const MMA: f64 = 300e12;
/// Features of a head: what the attention kernels are written for.
pub const HEAD_DIM: u64 = 128;

/// Number format of a product's operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// bf16 in and out.
    Bf16,
    /// e4m3 in with one scale a tensor, bf16 out.
    Fp8,
}

/// Which of the library's algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Choice {
    /// The first that its heuristic names: what engines run.
    First,
    /// The fastest of those that it names.
    Best,
}

/// Which new tokens see which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mask {
    /// Each sees those before it.
    Chain,
    /// Each sees its ancestors: one 64-bit word a token.
    Tree,
}

/// Kernels whose work is a number of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenKernel {
    /// residual += x; out = norm(residual) · w.
    AddRmsNorm,
    /// Norm of each head of queries and keys, rotary embedding, keys and values into their pages.
    RopeAppend,
    /// silu(gate) · up.
    SiluMul,
    /// Rows of the embedding.
    EmbedGather,
    /// Three hidden states of the target side by side (EAGLE-3's first pass).
    FuseHidden,
    /// norm(embedding) beside norm(hidden): what EAGLE-3's layer reads.
    NormConcat,
    /// Keys and values of accepted tree nodes moved to the front.
    KvCompact,
    /// Ids of the draft vocabulary to the target's.
    DraftToTarget,
}

/// Kernels whose work is rows of logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKernel {
    /// Maximum, log-sum-exp and argmax of a row.
    Stats,
    /// One token of softmax(logits / temperature).
    Sample,
    /// The eight largest.
    TopK,
    /// A chain of `draft` tokens a sequence verified by rejection sampling, all its launches.
    VerifyChain,
}

/// Costs that are no kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Overhead {
    /// A graph of so many empty kernels, on the device.
    GraphNodes,
    /// The host's time to launch such a graph.
    GraphLaunch,
    /// So many empty kernels launched one by one, until the device is done.
    EagerLaunch,
    /// A round trip: an event waited for, 4 KiB copied back.
    Fetch,
}

/// One piece of work. Sizes are those of one GPU.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// Device memory to device memory.
    Copy {
        /// Bytes read; as many are written.
        bytes: u64,
    },
    /// y[m, n] = x[m, k] · W[k, n].
    Gemm {
        /// Format.
        format: Format,
        /// Tokens, features out, features in.
        shape: [u64; 3],
        /// Algorithm.
        choice: Choice,
    },
    /// `queries` new tokens a sequence over a paged cache of `context` tokens that holds them too.
    Attention {
        /// Mask.
        mask: Mask,
        /// Query heads and KV heads.
        heads: [u64; 2],
        /// Sequences.
        batch: u64,
        /// New tokens a sequence.
        queries: u64,
        /// Tokens a sequence, new ones included.
        context: u64,
        /// Tokens a page, a power of two.
        page: u64,
    },
    /// Causal attention, nothing before it.
    Prefill {
        /// Query heads and KV heads.
        heads: [u64; 2],
        /// Sequences.
        batch: u64,
        /// Tokens a sequence.
        tokens: u64,
    },
    /// A kernel over tokens.
    Tokens {
        /// Which.
        kernel: TokenKernel,
        /// Tokens.
        tokens: u64,
        /// Features of a row.
        width: u64,
        /// Query heads and KV heads, where the kernel has heads.
        heads: [u64; 2],
    },
    /// A kernel over rows of logits.
    Rows {
        /// Which.
        kernel: RowKernel,
        /// Rows, or sequences where a chain is verified.
        rows: u64,
        /// Logits a row.
        vocabulary: u64,
        /// Draft tokens a sequence; 0 where nothing is verified.
        draft: u64,
    },
    /// An overhead.
    Host {
        /// Which.
        what: Overhead,
        /// Nodes or launches.
        count: u64,
    },
    /// A whole step: `layers` times the works of a layer, each with weights of its own, then those of the end.
    Step {
        /// Name.
        name: String,
        /// Layers.
        layers: u64,
        /// Works of one layer, in order.
        layer: Vec<Work>,
        /// Works behind the last one.
        end: Vec<Work>,
    },
}

impl Work {
    /// A kernel over tokens; sizes that it does not have are zero, so that equal works are equal.
    pub fn tokens(kernel: TokenKernel, tokens: u64, width: u64, heads: [u64; 2]) -> Self {
        let (width, heads) = match kernel {
            TokenKernel::RopeAppend => (0, heads),
            TokenKernel::KvCompact => (0, [0, heads[1]]),
            TokenKernel::DraftToTarget => (0, [0, 0]),
            _ => (width, [0, 0]),
        };
        Work::Tokens { kernel, tokens, width, heads }
    }

    /// Bytes that must move through device memory, each once.
    pub fn bytes(&self) -> f64 {
        let f = |x: u64| x as f64;
        match self {
            Work::Copy { bytes } => 2.0 * f(*bytes),
            Work::Gemm { format, shape: [m, n, k], .. } => {
                let narrow = if *format == Format::Bf16 { 2.0 } else { 1.0 };
                narrow * (f(n * k) + f(m * k)) + 2.0 * f(m * n)
            }
            Work::Attention { heads: [h, kv], batch, queries, context, .. } => {
                f(4 * batch * HEAD_DIM) * (f(context * kv) + f(queries * h))
            }
            Work::Prefill { heads: [h, kv], batch, tokens } => {
                f(4 * HEAD_DIM * batch * tokens) * (f(*h) + f(*kv))
            }
            Work::Tokens { kernel, tokens, width, heads: [h, kv] } => {
                let each = match kernel {
                    TokenKernel::AddRmsNorm | TokenKernel::NormConcat => 8 * width,
                    TokenKernel::RopeAppend => 4 * HEAD_DIM * (h + 2 * kv),
                    TokenKernel::SiluMul => 6 * width,
                    TokenKernel::EmbedGather => 4 * width,
                    TokenKernel::FuseHidden => 12 * width,
                    TokenKernel::KvCompact => 8 * HEAD_DIM * kv,
                    TokenKernel::DraftToTarget => 12,
                };
                f(tokens * each)
            }
            Work::Rows { kernel: RowKernel::VerifyChain, rows, vocabulary, draft } => {
                // Statistics of each target and draft row, then one row of each again for the token in place.
                f(4 * rows) * (f(vocabulary * (draft + 2)) + f((draft + 1) * draft_vocabulary(*vocabulary)))
            }
            Work::Rows { rows, vocabulary, .. } => f(4 * rows * vocabulary),
            Work::Host { .. } => 0.0,
            Work::Step { layers, layer, end, .. } => {
                let sum = |works: &[Work]| works.iter().map(Work::bytes).sum::<f64>();
                f(*layers) * sum(layer) + sum(end)
            }
        }
    }

    /// Operations: multiplications and additions.
    pub fn flops(&self) -> f64 {
        let f = |x: u64| x as f64;
        match self {
            Work::Gemm { shape: [m, n, k], .. } => 2.0 * f(*m) * f(*n) * f(*k),
            Work::Attention { heads: [h, _], batch, queries, context, .. } => {
                4.0 * f(batch * queries * h * HEAD_DIM) * f(*context)
            }
            Work::Prefill { heads: [h, _], batch, tokens } => {
                2.0 * f(batch * tokens * h * HEAD_DIM) * f(*tokens)
            }
            Work::Step { layers, layer, end, .. } => {
                let sum = |works: &[Work]| works.iter().map(Work::flops).sum::<f64>();
                f(*layers) * sum(layer) + sum(end)
            }
            _ => 0.0,
        }
    }

    /// What one copy is expected to take, seconds. To plan with.
    pub fn predicted_s(&self) -> f64 {
        let (floor, peak) = match self {
            Work::Copy { .. } | Work::Tokens { .. } => (2.0e-6, BF16),
            Work::Gemm { format: Format::Bf16, .. } => (3.5e-6, BF16),
            Work::Gemm { format: Format::Fp8, .. } => (3.5e-6, FP8),
            Work::Attention { .. } => (8e-6, MMA),
            Work::Prefill { .. } => (6e-6, MMA),
            Work::Rows { kernel: RowKernel::VerifyChain, .. } => (15e-6, BF16),
            Work::Rows { .. } => (5e-6, BF16),
            Work::Host { what, count } => {
                let each = match what {
                    Overhead::GraphNodes => 1.3e-6,
                    Overhead::GraphLaunch => 1.0e-6,
                    Overhead::EagerLaunch => 3.0e-6,
                    Overhead::Fetch => 12e-6,
                };
                return 8e-6 + each * *count as f64;
            }
            Work::Step { layers, layer, end, .. } => {
                let sum = |works: &[Work]| works.iter().map(Work::predicted_s).sum::<f64>();
                return *layers as f64 * sum(layer) + sum(end);
            }
        };
        floor + (self.bytes() / BANDWIDTH).max(self.flops() / peak)
    }

    /// Whether it has operands that serving reads from memory, and not from the cache.
    pub fn reads_memory(&self) -> bool {
        !matches!(self, Work::Tokens { .. } | Work::Host { .. } | Work::Step { .. })
    }

    /// Bytes of device memory that one set of cold operands takes.
    pub fn footprint(&self) -> f64 {
        self.bytes() * 1.1 + 1e6
    }
}

/// EAGLE-3's reduced vocabulary.
pub const DRAFT_VOCABULARY: u64 = 32_000;

/// The draft's vocabulary where the target's is this.
pub fn draft_vocabulary(target: u64) -> u64 {
    target.min(DRAFT_VOCABULARY)
}

impl TokenKernel {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            TokenKernel::AddRmsNorm => "add_rmsnorm",
            TokenKernel::RopeAppend => "rope_append",
            TokenKernel::SiluMul => "silu_mul",
            TokenKernel::EmbedGather => "embed_gather",
            TokenKernel::FuseHidden => "fuse_hidden",
            TokenKernel::NormConcat => "norm_concat",
            TokenKernel::KvCompact => "kv_compact",
            TokenKernel::DraftToTarget => "draft_to_target",
        }
    }
}

impl RowKernel {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            RowKernel::Stats => "row_stats",
            RowKernel::Sample => "sample",
            RowKernel::TopK => "top_k",
            RowKernel::VerifyChain => "verify_chain",
        }
    }
}

impl Overhead {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Overhead::GraphNodes => "graph_nodes",
            Overhead::GraphLaunch => "graph_launch",
            Overhead::EagerLaunch => "eager_launch",
            Overhead::Fetch => "fetch",
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Copy { bytes } => write!(f, "copy of {bytes} bytes"),
            Work::Gemm { format, shape: [m, n, k], choice } => {
                let format = if *format == Format::Bf16 { "bf16" } else { "fp8" };
                let choice = if *choice == Choice::Best { ", best" } else { "" };
                write!(f, "gemm {format} {m}x{n}x{k}{choice}")
            }
            Work::Attention { mask, heads: [h, kv], batch, queries, context, page } => {
                let mask = if *mask == Mask::Tree { "tree" } else { "verify" };
                write!(
                    f,
                    "{mask} attention {h}/{kv} batch {batch} queries {queries} context {context} page {page}"
                )
            }
            Work::Prefill { heads: [h, kv], batch, tokens } => {
                write!(f, "prefill attention {h}/{kv} batch {batch} tokens {tokens}")
            }
            Work::Tokens { kernel, tokens, width, heads: [h, kv] } => {
                write!(f, "{} tokens {tokens} width {width} heads {h}/{kv}", kernel.name())
            }
            Work::Rows { kernel, rows, vocabulary, draft } => {
                write!(f, "{} rows {rows} vocabulary {vocabulary} draft {draft}", kernel.name())
            }
            Work::Host { what, count } => write!(f, "{} {count}", what.name()),
            Work::Step { name, .. } => write!(f, "step {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_operations_by_hand() {
        // Qwen3-8B, 64 sequences of 8,192: 147,456 bytes of cache a token over 36 layers.
        let attention = Work::Attention {
            mask: Mask::Chain,
            heads: [32, 8],
            batch: 64,
            queries: 1,
            context: 8192,
            page: 16,
        };
        assert_eq!(attention.bytes(), 64.0 * (8192.0 * 147_456.0 / 36.0 + 4.0 * 128.0 * 32.0));
        let gate_up = Work::Gemm { format: Format::Bf16, shape: [1, 24_576, 4096], choice: Choice::First };
        // 201 MB of weights.
        assert!((gate_up.bytes() / 201.3e6 - 1.0).abs() < 1e-3);
        assert_eq!(gate_up.flops(), 2.0 * 24_576.0 * 4096.0);
        // Works of one kernel and size are one work.
        let compact = |heads| Work::tokens(TokenKernel::KvCompact, 8, 4096, heads);
        assert_eq!(compact([32, 8]), compact([40, 8]));
        let fp8 = Work::Gemm { format: Format::Fp8, shape: [1, 24_576, 4096], choice: Choice::First };
        assert!(fp8.bytes() < 0.51 * gate_up.bytes());
    }
}
