//! Simulated response tokens per second of the stepper, with a cost that is a few additions.
//!
//! `elements` are tokens, so criterion's throughput reads as tokens per second: the target is 1e8.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rollcast::estimate::Family;
use rollcast::piece::{Piece, Shape};
use rollcast::resolved::{LengthModel, Lengths, Quantity, Workload};
use rollcast::rollout::{Job, Limits, run_exact};
use rollcast::speculation::acceptance::{Population, power_law};
use rollcast::speculation::schedule::Fixed;
use rollcast::speculation::{Configuration, StepCost};
use rollcast::workload::{Generator, LengthShift, Sample};

/// Weights, context and host, in seconds of the order of an 8B model on one device.
struct Affine;

impl StepCost for Affine {
    fn piece(&self, shape: &Shape, _: f64) -> Piece {
        let mut piece = Piece::zero();
        let tokens = shape.decoding * (shape.draft_tokens + 1) + shape.prefill_tokens;
        piece.add(Family::Gemm, 6e-3 + 2e-5 * f64::from(tokens), 0.0);
        piece.add(Family::Attention, 2e-4, 4e-8);
        piece.per_prefill_pair = 1e-12;
        piece.add(Family::Host, 1e-3 * f64::from(shape.draft_tokens + 1), 0.0);
        piece
    }
}

/// `requests` samples in groups of 8, with the lengths of the quickstart scenario.
fn samples(requests: u32) -> Vec<(u32, Sample)> {
    let lognormal = |mean, sigma, max| Lengths {
        model: LengthModel::Lognormal { mean: Quantity::given(mean), sigma: Quantity::given(sigma) },
        min: 1,
        max,
        capped: true,
    };
    let workload = Workload {
        prompts_per_step: requests / 8,
        samples_per_prompt: 8,
        prompt_tokens: lognormal(130.0, 0.4, 2048),
        response_tokens: lognormal(4000.0, 0.9, 16_384),
        group_correlation: 0.0,
        response_drift: Vec::new(),
        response_cap: None,
    };
    (0..).zip(Generator::new(&workload, 1, LengthShift::default()).step(0, 0)).collect()
}

fn replica(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replica");
    for requests in [64, 256] {
        let samples = samples(requests);
        let tokens: u64 = samples.iter().map(|(_, sample)| u64::from(sample.response)).sum();
        group.throughput(Throughput::Elements(tokens));
        for k in [0, 3] {
            let population = (k > 0).then(|| Population::solve(&power_law(0.776, 0.074, k as usize), 12.0));
            let job = Job {
                samples: &samples,
                limits: Limits {
                    max_num_seqs: 256,
                    max_num_batched_tokens: 8192,
                    block_size: 16,
                    kv_blocks: 1 << 20,
                    prefix_caching: true,
                    prefill_alone: false,
                    state_tokens: 0,
                },
                acceptance: population.as_ref(),
                seed: 1,
                path: [0, 0],
                per_step: None,
            };
            let name = if k == 0 { "autoregressive" } else { "chain" };
            group.bench_function(
                BenchmarkId::new(name, format!("{requests} requests, K = {k}")),
                |bencher| {
                    bencher.iter(|| run_exact(black_box(&job), &Affine, &mut Fixed(Configuration::chain(k))));
                },
            );
        }
    }
    group.finish();
}

criterion_group!(benches, replica);
criterion_main!(benches);
