//! The grids: shapes of Qwen3-8B, Qwen2.5-14B and Qwen3-235B-A22B, of their EAGLE-3 drafters and of Qwen3-0.6B.
//!
//! Left out so far: experts, training layouts, chunked prefill over a long cache, sustained power.

use std::collections::BTreeSet;

use super::{Curve, Family};
use crate::calibrate::models::{Sizes, drafters, targets};
use crate::calibrate::work::{
    Choice, DRAFT_VOCABULARY, Format, HEAD_DIM, Mask, Overhead, RowKernel, TokenKernel, Work,
};

/// Tokens of products: powers of two, tile sizes, and one token past a tile.
const M: [u64; 23] = [
    1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 129, 192, 256, 257, 384, 512, 768, 1024, 1536, 2048, 4096, 8192,
];
/// For fp8, and for the general grid.
const FEW_M: [u64; 12] = [1, 4, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192];
const GRID_M: [u64; 11] = [1, 4, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192];
const GRID: [u64; 6] = [1024, 2048, 4096, 8192, 16_384, 65_536];
/// Bytes of KV cache that one point may take.
const CACHE: u64 = 24_000_000_000;

/// Every curve.
pub(super) fn curves() -> Vec<Curve> {
    let mut curves = Vec::new();
    products(&mut curves);
    attention(&mut curves);
    memory(&mut curves);
    host(&mut curves);
    curves
}

/// Weight matrices [n, k] of all models over 1, 2, 4 and 8 GPUs.
pub(crate) fn matrices() -> Vec<[u64; 2]> {
    let mut all = BTreeSet::new();
    for Sizes { hidden, heads: [heads, kv], inter, vocabulary, .. } in *targets() {
        for gpus in [1, 2, 4, 8] {
            let own_kv = (kv / gpus).max(1);
            all.insert([(heads / gpus + 2 * own_kv) * HEAD_DIM, hidden]);
            all.insert([hidden, heads * HEAD_DIM / gpus]);
            if inter > 0 {
                all.insert([2 * inter / gpus, hidden]);
                all.insert([hidden, inter / gpus]);
            }
            all.insert([vocabulary / gpus, hidden]);
        }
    }
    for Sizes { hidden, heads: [heads, kv], inter, .. } in *drafters() {
        for gpus in [1, 2, 4, 8] {
            let own_kv = (kv / gpus).max(1);
            all.insert([hidden, 3 * hidden]);
            all.insert([(heads / gpus + 2 * own_kv) * HEAD_DIM, 2 * hidden]);
            all.insert([hidden, heads * HEAD_DIM / gpus]);
            all.insert([2 * inter / gpus, hidden]);
            all.insert([hidden, inter / gpus]);
            all.insert([DRAFT_VOCABULARY / gpus, hidden]);
        }
    }
    all.into_iter().collect()
}

fn products(curves: &mut Vec<Curve>) {
    let along = |m: &[u64], [n, k]: [u64; 2], format, choice| {
        m.iter().map(|m| Work::Gemm { format, shape: [*m, n, k], choice }).collect()
    };
    for (i, matrix) in matrices().into_iter().enumerate() {
        let first = Choice::First;
        curves.push(Curve { family: Family::Gemm, works: along(&M, matrix, Format::Bf16, first) });
        curves.push(Curve { family: Family::GemmFp8, works: along(&FEW_M, matrix, Format::Fp8, first) });
        if i % 10 == 0 {
            let works = along(&FEW_M, matrix, Format::Bf16, Choice::Best);
            curves.push(Curve { family: Family::GemmBest, works });
        }
    }
    for n in GRID {
        for k in GRID {
            let works = along(&GRID_M, [n, k], Format::Bf16, Choice::First);
            curves.push(Curve { family: Family::GemmGrid, works });
        }
    }
}

fn attention(curves: &mut Vec<Curve>) {
    const CONTEXT: [u64; 6] = [128, 1024, 4096, 16_384, 65_536, 131_072];
    let [small, middle, large, _] = targets().map(|sizes| sizes.heads);
    // One of eight GPUs.
    let eighth = |[heads, kv]: [u64; 2]| [heads / 8, (kv / 8).max(1)];
    let shapes: [([u64; 2], &[u64]); 3] =
        [(small, &[1, 2, 4, 8, 16, 32, 64]), (large, &[1, 4, 8, 16, 64]), (eighth(middle), &[1, 4, 8])];
    for (heads, queries) in shapes {
        for sequences_heads in [1, 4, 16, 64, 256, 1024, 4096] {
            // The axis is batch x KV heads; a model's own heads where the batch is whole, one KV head where not.
            let (heads, batch) = match sequences_heads / heads[1] {
                0 => ([heads[0] / heads[1], 1], sequences_heads),
                batch => (heads, batch),
            };
            for &queries in queries {
                let works = CONTEXT.iter().filter(|context| {
                    4 * HEAD_DIM * batch * heads[1] * **context <= CACHE
                        && queries <= **context
                        && batch <= 1024
                });
                let work = |mask| {
                    move |context: &u64| Work::Attention {
                        mask,
                        heads,
                        batch,
                        queries,
                        context: *context,
                        page: 16,
                    }
                };
                let chain: Vec<Work> = works.clone().map(work(Mask::Chain)).collect();
                if !chain.is_empty() {
                    curves.push(Curve { family: Family::Verify, works: chain });
                }
                if heads == small && [8, 64].contains(&queries) {
                    let tree = works.map(work(Mask::Tree)).collect();
                    curves.push(Curve { family: Family::Tree, works: tree });
                }
            }
        }
    }
    for page in [64, 256] {
        let works = [1024, 4096, 16_384]
            .map(|context| Work::Attention {
                mask: Mask::Chain,
                heads: small,
                batch: 32,
                queries: 4,
                context,
                page,
            })
            .to_vec();
        curves.push(Curve { family: Family::Tree, works });
    }
    for heads in [small, middle, eighth(large), large] {
        for batch in [1, 4] {
            let works = [128, 256, 512, 1024, 2048, 4096, 8192, 16_384]
                .into_iter()
                .filter(|tokens| batch * tokens <= 32_768)
                .map(|tokens| Work::Prefill { heads, batch, tokens })
                .collect();
            curves.push(Curve { family: Family::Prefill, works });
        }
    }
}

fn memory(curves: &mut Vec<Curve>) {
    let works = (12..=32).map(|power| Work::Copy { bytes: 1 << power }).collect();
    curves.push(Curve { family: Family::Copy, works });
    let tokens = [1, 8, 64, 256, 1024, 8192];
    for Sizes { hidden, activation, heads, .. } in targets()[..3].iter().copied() {
        use TokenKernel::{
            AddRmsNorm, DraftToTarget, EmbedGather, FuseHidden, KvCompact, NormConcat, RopeAppend, SiluMul,
        };
        for kernel in
            [AddRmsNorm, RopeAppend, SiluMul, EmbedGather, FuseHidden, NormConcat, KvCompact, DraftToTarget]
        {
            let width = if kernel == SiluMul { activation } else { hidden };
            let works = tokens.map(|tokens| Work::tokens(kernel, tokens, width, heads)).to_vec();
            curves.push(Curve { family: Family::Elementwise, works });
        }
    }
    let vocabulary = targets()[0].vocabulary;
    // As many sizes as a fit of one kernel needs, and some more for rows that do not count.
    let rows = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048];
    for vocabulary in [DRAFT_VOCABULARY, vocabulary] {
        for kernel in [RowKernel::Stats, RowKernel::Sample, RowKernel::TopK] {
            let works = rows.map(|rows| Work::Rows { kernel, rows, vocabulary, draft: 0 }).to_vec();
            curves.push(Curve { family: Family::Sampling, works });
        }
    }
    for draft in [1, 2, 3, 4, 5, 7] {
        let chain = |rows| Work::Rows { kernel: RowKernel::VerifyChain, rows, vocabulary, draft };
        curves.push(Curve { family: Family::Sampling, works: [1, 4, 16, 64, 128, 256].map(chain).to_vec() });
    }
}

fn host(curves: &mut Vec<Curve>) {
    for what in [Overhead::GraphNodes, Overhead::GraphLaunch, Overhead::EagerLaunch] {
        let works = [1, 10, 100, 1000].map(|count| Work::Host { what, count }).to_vec();
        curves.push(Curve { family: Family::Overhead, works });
    }
    let works = vec![Work::Host { what: Overhead::Fetch, count: 1 }];
    curves.push(Curve { family: Family::Overhead, works });
}
