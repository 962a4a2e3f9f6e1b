//! The stepper `leap`: simulated tokens, requests and look-ups a second.
//!
//! `elements` are response tokens where a name says tokens, requests where it says requests. One iteration is the whole
//! rollout: 64 replicas of 1,563 requests of mean 7.6k tokens (lognormal, sigma .7, cut at 16k), at most 256 at
//! once, ample KV cache, on one thread. The target is 2e9 tokens a second; "x16" takes the same requests at 16
//! times the length and should take at most 1.6 times as long. What is measured is the time that this thread
//! had on a core, so that other work on the machine is not counted.

use std::fs;
use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rollcast::estimate::{FAMILIES, Family};
use rollcast::piece::{Doubt, Piece, Shape};
use rollcast::resolved::{LengthModel, Lengths, Quantity, Workload};
use rollcast::rollout::{Job, Limits, Outcome, run_leap};
use rollcast::speculation::acceptance::{Population, power_law};
use rollcast::speculation::schedule::{Fixed, Schedule, Snapshot};
use rollcast::speculation::{Configuration, StepCost};
use rollcast::workload::{Generator, LengthShift, Sample};

const REPLICAS: u32 = 64;
const REQUESTS: u32 = 1563;

/// Nanoseconds that this thread was on a core, as Linux counts them.
struct ThreadCpu;

impl Measurement for ThreadCpu {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
        Duration::from_nanos(nanoseconds.unwrap_or_else(|| panic!("thread CPU time needs Linux's schedstat")))
    }

    fn end(&self, start: Duration) -> Duration {
        // The kernel counts in ticks of some milliseconds: never nothing.
        self.start().saturating_sub(start).max(Duration::from_nanos(1))
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// Weights, context and host, in seconds of the order of an 8B model on one device; a knot where the mean context
/// is 8,192.
struct Affine;

impl StepCost for Affine {
    fn piece(&self, shape: &Shape, context: f64) -> Piece {
        let mut piece = Piece::zero();
        let tokens = shape.decoding * (shape.draft_tokens + 1) + shape.prefill_tokens;
        let knot = 8192.0 * f64::from(shape.decoding.max(1));
        piece.add(Family::Gemm, 6e-3 + 2e-5 * f64::from(tokens), 0.0);
        piece.add_flagged(Family::Attention, 2e-4, 4e-8, Doubt::outside(f64::from(context >= knot)));
        piece.per_prefill_pair = 1e-12;
        piece.add(Family::Host, 1e-3 * f64::from(shape.draft_tokens + 1), 0.0);
        piece.context = if context < knot { 0.0..knot } else { knot..f64::INFINITY };
        piece
    }
}

/// The samples of every replica, in groups of 8, their responses `times` as long.
fn replicas(times: u32) -> Vec<Vec<(u32, Sample)>> {
    let lognormal = |mean, sigma, max| Lengths {
        model: LengthModel::Lognormal { mean: Quantity::given(mean), sigma: Quantity::given(sigma) },
        min: 1,
        max,
        capped: true,
    };
    let workload = Workload {
        prompts_per_step: (REPLICAS * REQUESTS).div_ceil(8),
        samples_per_prompt: 8,
        prompt_tokens: lognormal(130.0, 0.4, 2048),
        response_tokens: lognormal(7600.0, 0.7, 16_384),
        group_correlation: 0.0,
        response_drift: Vec::new(),
        response_cap: None,
    };
    let mut samples = Generator::new(&workload, 1, LengthShift::default()).step(0, 0);
    for sample in &mut samples {
        sample.response *= times;
    }
    let numbered: Vec<(u32, Sample)> = (0..).zip(samples).collect();
    numbered.chunks(REQUESTS as usize).take(REPLICAS as usize).map(<[_]>::to_vec).collect()
}

fn job<'a>(samples: &'a [(u32, Sample)], acceptance: Option<&'a Population>) -> Job<'a> {
    let limits = Limits {
        max_num_seqs: 256,
        max_num_batched_tokens: 8192,
        block_size: 16,
        kv_blocks: 1 << 24,
        prefix_caching: true,
        prefill_alone: false,
        state_tokens: 0,
    };
    Job { samples, limits, acceptance, seed: 1, path: [0, 0], per_step: None }
}

fn population(k: u32) -> Option<Population> {
    (k > 0).then(|| Population::solve(&power_law(0.776, 0.074, k as usize), 12.0))
}

fn simulate(replicas: &[Vec<(u32, Sample)>], population: Option<&Population>, k: u32) -> Vec<Outcome> {
    let run =
        |samples: &Vec<_>| run_leap(&job(samples, population), &Affine, &mut Fixed(Configuration::chain(k)));
    replicas.iter().map(run).collect()
}

fn rollout(criterion: &mut Criterion<ThreadCpu>) {
    let mut group = criterion.benchmark_group("rollout");
    group.sample_size(10);
    for (name, k, times) in [("chain", 3, 1), ("chain x16", 3, 16), ("autoregressive", 0, 1)] {
        let replicas = replicas(times);
        let population = population(k);
        let tokens: u64 = replicas.iter().flatten().map(|(_, sample)| u64::from(sample.response)).sum();
        let requests = u64::from(REPLICAS * REQUESTS);
        for (unit, elements) in [("tokens", tokens), ("requests", requests)] {
            // Requests a second follow from the same times: one more measurement only where it is looked at.
            if unit == "requests" && times > 1 {
                continue;
            }
            group.throughput(Throughput::Elements(elements));
            group.bench_function(BenchmarkId::new(name, unit), |bencher| {
                bencher.iter(|| simulate(black_box(&replicas), population.as_ref(), k));
            });
        }
    }
    group.finish();
}

/// What a solver asks of a schedule and of a cost. The cache of pieces is private: a piece is looked up cold here.
fn decision(criterion: &mut Criterion<ThreadCpu>) {
    let mut group = criterion.benchmark_group("decision");
    let mut fixed = Fixed(Configuration::chain(3));
    let snapshot = Snapshot { running: 200, waiting: 100, context: 1_600_000, ..Snapshot::default() };
    group.bench_function("schedule", |bencher| bencher.iter(|| fixed.decide(black_box(&snapshot))));
    let shape = Shape { decoding: 200, draft_tokens: 3, ..Shape::default() };
    group.bench_function("piece, made up", |bencher| bencher.iter(|| Affine.piece(black_box(&shape), 1.6e6)));
    group.finish();
}

/// 64 worlds priced from one simulation: to be compared with "rollout/chain".
fn worlds(criterion: &mut Criterion<ThreadCpu>) {
    let outcomes = simulate(&replicas(1), population(3).as_ref(), 3);
    let worlds: Vec<[f64; FAMILIES]> =
        (0..64).map(|world| [1.0 + 1e-3 * f64::from(world); FAMILIES]).collect();
    criterion.bench_function("64 worlds of 64 replicas", |bencher| {
        bencher.iter(|| {
            let slowest =
                |world| outcomes.iter().map(|outcome| outcome.seconds_in(world)).fold(0.0, f64::max);
            black_box(&worlds).iter().map(slowest).sum::<f64>()
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ThreadCpu);
    targets = rollout, decision, worlds
}
criterion_main!(benches);
