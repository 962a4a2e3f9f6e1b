//! What pricing costs: one operator (75 to 145 ns on a slow AMD EPYC; 180 to 205 ns
//! where routing to experts is skewed), one composed step (0.9 to 1.2 us, 2.5 to 2.9 us with a chain of three drafts), and reading a profile (50 us).

#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use rollcast::cost::{AttentionShape, ExpertShape};
use rollcast::piece::Shape;
use rollcast::profile;
use rollcast::resolve::resolve_engine;
use rollcast::resolved::Precision;
use rollcast::scenario::Document;

fn document(model: &str, tp: u32, drafter: &str) -> Document {
    let speculation = if drafter.is_empty() {
        "off".to_owned()
    } else {
        format!(
            "{{ drafter: {drafter}, acceptance: {{ power_law: {{ first: 0.8, decay: 0.07, concentration: 12 }} }}, \
             schedule: {{ fixed: {{ k: 3 }} }} }}"
        )
    };
    let text = format!(
        "version: 1\nmodel: {model}\ncluster: {{ device: h100-sxm, gpus: {tp}, gpus_per_node: {tp} }}\nworkload:\n  \
         prompts_per_step: 1\n  samples_per_prompt: 1\n  prompt_tokens: {{ constant: {{ tokens: 16 }} }}\n  \
         response_tokens: {{ constant: {{ tokens: 16 }} }}\ngeneration: {{ layout: {{ tp: {tp} }}, num_gpu_blocks: \
         1000000 }}\nspeculation: {speculation}\n"
    );
    Document::parse("bench", &text).unwrap()
}

fn operators(c: &mut Criterion) {
    let prepared = resolve_engine(&document("qwen3-8b", 1, "")).unwrap();
    let kernels = &prepared.engine.kernels;
    c.bench_function("gemm", |b| {
        b.iter(|| kernels.gemm(black_box(200.0), black_box(6144.0), black_box(4096.0), Precision::Bf16));
    });
    let attention = AttentionShape {
        batch: 64.0,
        kv_heads: 8.0,
        rows: 16.0,
        bytes_per_token: 4096.0,
        flops_per_token: 65_536.0,
        heads: rollcast::cost::Heads::Grouped,
    };
    c.bench_function("attention", |b| {
        b.iter(|| kernels.attention(black_box(&attention), black_box(2e5), 1.0));
    });
    let mut experts = ExpertShape {
        tokens: 200.0,
        independent_tokens: 200.0,
        hidden: 4096.0,
        matrices: 3.0,
        intermediate: 192.0,
        count: 128.0,
        per_token: 8.0,
        expert_parallel: 1.0,
        skew: 0.0,
        weights: Precision::Bf16,
    };
    c.bench_function("experts", |b| b.iter(|| kernels.experts(black_box(&experts))));
    experts.skew = 0.74;
    c.bench_function("experts, skewed", |b| b.iter(|| kernels.experts(black_box(&experts))));
    c.bench_function("all-reduce", |b| b.iter(|| kernels.all_reduce(black_box(1e6), 8, false)));
}

fn steps(c: &mut Criterion) {
    for (name, model, tp, drafter, k) in [
        ("step: 8B", "qwen3-8b", 1, "", 0),
        ("step: 8B, EAGLE-3, K = 3", "qwen3-8b", 1, "eagle3-qwen3-8b", 3),
        ("step: 235B TP8", "qwen3-235b-a22b", 8, "", 0),
    ] {
        let prepared = resolve_engine(&document(model, tp, drafter)).unwrap();
        let shape = Shape { decoding: 64, draft_tokens: k, ..Shape::default() };
        c.bench_function(name, |b| b.iter(|| prepared.engine.piece(black_box(&shape), black_box(2e5))));
    }
}

fn profiles(c: &mut Criterion) {
    c.bench_function("read a profile", |b| b.iter(|| profile::device(black_box("h100-sxm")).unwrap()));
}

criterion_group!(benches, operators, steps, profiles);
criterion_main!(benches);
