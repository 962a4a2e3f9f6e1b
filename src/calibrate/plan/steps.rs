//! Whole steps of random weights: Qwen3-8B decoding and verifying on one GPU, and a round of its EAGLE-3 drafter.

use crate::calibrate::work::{Choice, Format, Mask, RowKernel, TokenKernel, Work};

const HIDDEN: u64 = 4096;
const HEADS: [u64; 2] = [32, 8];
const INTER: u64 = 12_288;
const VOCABULARY: u64 = 151_936;
const LAYERS: u64 = 36;
/// Bytes that caches may take beside 16.4 GB of weights.
const CACHE: u64 = 90_000_000_000;

/// Every step, decoding (one query) before the verification of the same batch and context.
pub fn steps() -> Vec<Work> {
    let mut all = Vec::new();
    for (batch, context) in
        [(1, 1024), (1, 16_384), (4, 4096), (16, 4096), (64, 1024), (64, 4096), (128, 2048)]
    {
        for queries in [1, 2, 4, 8] {
            if LAYERS * 4096 * batch * context <= CACHE {
                all.push(target(batch, queries, context));
            }
        }
    }
    for (batch, context) in [(1, 4096), (16, 4096), (64, 4096), (256, 1024)] {
        all.push(drafter(batch, context, true));
        all.push(drafter(batch, context, false));
    }
    all
}

fn gemm(m: u64, n: u64, k: u64) -> Work {
    Work::Gemm { format: Format::Bf16, shape: [m, n, k], choice: Choice::First }
}

fn tokens(kernel: TokenKernel, tokens: u64, width: u64) -> Work {
    Work::tokens(kernel, tokens, width, HEADS)
}

/// One layer behind its first norm; `input` is what the projection of queries, keys and values reads.
fn layer(batch: u64, queries: u64, context: u64, input: u64) -> Vec<Work> {
    let t = batch * queries;
    vec![
        gemm(t, (HEADS[0] + 2 * HEADS[1]) * 128, input),
        tokens(TokenKernel::RopeAppend, t, HIDDEN),
        Work::Attention { mask: Mask::Chain, heads: HEADS, batch, queries, context, page: 16 },
        gemm(t, HIDDEN, HEADS[0] * 128),
        tokens(TokenKernel::AddRmsNorm, t, HIDDEN),
        gemm(t, 2 * INTER, HIDDEN),
        tokens(TokenKernel::SiluMul, t, INTER),
        gemm(t, HIDDEN, INTER),
        tokens(TokenKernel::AddRmsNorm, t, HIDDEN),
    ]
}

fn target(batch: u64, queries: u64, context: u64) -> Work {
    let t = batch * queries;
    let kernel = if queries == 1 { RowKernel::Sample } else { RowKernel::VerifyChain };
    Work::Step {
        name: format!("qwen3-8b batch {batch} queries {queries} context {context}"),
        layers: LAYERS,
        layer: layer(batch, queries, context, HIDDEN),
        end: vec![
            tokens(TokenKernel::EmbedGather, t, HIDDEN),
            gemm(t, VOCABULARY, HIDDEN),
            Work::Rows { kernel, rows: batch, vocabulary: VOCABULARY, draft: queries - 1 },
        ],
    }
}

/// One pass of the drafter; the first of a round also fuses the target's hidden states.
fn drafter(batch: u64, context: u64, first: bool) -> Work {
    let mut works = layer(batch, 1, context, 2 * HIDDEN);
    works.insert(0, tokens(TokenKernel::NormConcat, batch, HIDDEN));
    works.insert(0, tokens(TokenKernel::EmbedGather, batch, HIDDEN));
    if first {
        works.insert(0, gemm(batch, HIDDEN, 3 * HIDDEN));
        works.insert(0, tokens(TokenKernel::FuseHidden, batch, HIDDEN));
    }
    Work::Step {
        name: format!(
            "eagle3 {} pass batch {batch} context {context}",
            if first { "first" } else { "later" }
        ),
        layers: 1,
        layer: works,
        end: vec![
            gemm(batch, 32_000, HIDDEN),
            Work::Rows { kernel: RowKernel::Sample, rows: batch, vocabulary: 32_000, draft: 0 },
            tokens(TokenKernel::DraftToTarget, batch, HIDDEN),
        ],
    }
}
