//! Whole steps of random weights: Qwen3-8B decoding and verifying on one GPU, and a round of its EAGLE-3 drafter.

use crate::calibrate::models::{Sizes, drafters, targets};
use crate::calibrate::work::{
    Choice, DRAFT_VOCABULARY, Format, HEAD_DIM, Mask, RowKernel, TokenKernel, Work,
};

/// Bytes that caches may take beside 16.4 GB of weights.
const CACHE: u64 = 90_000_000_000;

/// Every step, decoding (one query) before the verification of the same batch and context.
pub fn steps() -> Vec<Work> {
    let (model, own) = (targets()[0], drafters()[0]);
    let cache = 4 * HEAD_DIM * model.heads[1] * model.layers;
    let mut all = Vec::new();
    for (batch, context) in
        [(1, 1024), (1, 16_384), (4, 4096), (16, 4096), (64, 1024), (64, 4096), (128, 2048)]
    {
        for queries in [1, 2, 4, 8] {
            if cache * batch * context <= CACHE {
                all.push(target(&model, batch, queries, context));
            }
        }
    }
    for (batch, context) in [(1, 4096), (16, 4096), (64, 4096), (256, 1024)] {
        all.push(drafter(&own, batch, context, true));
        all.push(drafter(&own, batch, context, false));
    }
    all
}

fn gemm(m: u64, n: u64, k: u64) -> Work {
    Work::Gemm { format: Format::Bf16, shape: [m, n, k], choice: Choice::First }
}

/// One layer behind its first norm; `input` is what the projection of queries, keys and values reads.
fn layer(sizes: &Sizes, batch: u64, queries: u64, context: u64, input: u64) -> Vec<Work> {
    let Sizes { hidden, heads, inter, .. } = *sizes;
    let t = batch * queries;
    vec![
        gemm(t, (heads[0] + 2 * heads[1]) * HEAD_DIM, input),
        Work::tokens(TokenKernel::RopeAppend, t, hidden, heads),
        Work::Attention { mask: Mask::Chain, heads, batch, queries, context, page: 16 },
        gemm(t, hidden, heads[0] * HEAD_DIM),
        Work::tokens(TokenKernel::AddRmsNorm, t, hidden, heads),
        gemm(t, 2 * inter, hidden),
        Work::tokens(TokenKernel::SiluMul, t, inter, heads),
        gemm(t, hidden, inter),
        Work::tokens(TokenKernel::AddRmsNorm, t, hidden, heads),
    ]
}

fn target(sizes: &Sizes, batch: u64, queries: u64, context: u64) -> Work {
    let Sizes { layers, hidden, heads, vocabulary, .. } = *sizes;
    let t = batch * queries;
    let kernel = if queries == 1 { RowKernel::Sample } else { RowKernel::VerifyChain };
    Work::Step {
        name: format!("qwen3-8b batch {batch} queries {queries} context {context}"),
        layers,
        layer: layer(sizes, batch, queries, context, hidden),
        end: vec![
            Work::tokens(TokenKernel::EmbedGather, t, hidden, heads),
            gemm(t, vocabulary, hidden),
            Work::Rows { kernel, rows: batch, vocabulary, draft: queries - 1 },
        ],
    }
}

/// One pass of the drafter; the first of a round also fuses the target's hidden states.
fn drafter(sizes: &Sizes, batch: u64, context: u64, first: bool) -> Work {
    let Sizes { hidden, heads, .. } = *sizes;
    let tokens = |kernel| Work::tokens(kernel, batch, hidden, heads);
    let mut works = layer(sizes, batch, 1, context, 2 * hidden);
    works.insert(0, tokens(TokenKernel::NormConcat));
    works.insert(0, tokens(TokenKernel::EmbedGather));
    if first {
        works.insert(0, gemm(batch, hidden, 3 * hidden));
        works.insert(0, tokens(TokenKernel::FuseHidden));
    }
    Work::Step {
        name: format!(
            "eagle3 {} pass batch {batch} context {context}",
            if first { "first" } else { "later" }
        ),
        layers: 1,
        layer: works,
        end: vec![
            gemm(batch, DRAFT_VOCABULARY, hidden),
            Work::Rows { kernel: RowKernel::Sample, rows: batch, vocabulary: DRAFT_VOCABULARY, draft: 0 },
            tokens(TokenKernel::DraftToTarget),
        ],
    }
}
