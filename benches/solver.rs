//! The solver as an engine calls it: one decision among 64 configurations, and what a step's counters cost.
//!
//! The target is at most 2 µs a decision. `decide` is the whole call of a goodput schedule; `observe` adds counters,
//! `settle` also refits the belief and recomputes the yields of all 64. Costs are a table as of an engine with captured
//! graphs, four pieces of context a row.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use rollcast::estimate::Family;
use rollcast::piece::{Piece, Shape};
use rollcast::speculation::acceptance::{Belief, Curve, Ranks, power_law};
use rollcast::speculation::schedule::{Goodput, Observation, Schedule, Snapshot};
use rollcast::speculation::solver::{CatchUp, Solver, Switching};
use rollcast::speculation::{Configuration, StepCost};

struct Knotted;

impl StepCost for Knotted {
    fn piece(&self, shape: &Shape, context: f64) -> Piece {
        let mut piece = Piece::zero();
        let tokens = f64::from((shape.decoding * (shape.draft_tokens + 1)).next_multiple_of(8));
        piece.add(Family::Gemm, 6e-3 + 2e-5 * tokens, 0.0);
        piece.add(Family::DraftHost, 8e-4 * f64::from(shape.draft_depth()), 0.0);
        let knots = [0.0, 2e4, 2e5, 1e6, f64::INFINITY];
        let at = knots.partition_point(|knot| *knot <= context).clamp(1, 4);
        piece.add(Family::Attention, 1e-5 * at as f64, 5e-8);
        piece.context = knots[at - 1]..knots[at];
        piece
    }
}

fn configurations() -> Vec<Configuration> {
    let chains = (0..16).map(Configuration::chain);
    let trees = (2..=7).flat_map(|depth| {
        [2, 4, 8].into_iter().flat_map(move |top_k| {
            [8, 16, 32, 64].into_iter().filter_map(move |n| Configuration::tree(depth, top_k, n).ok())
        })
    });
    chains.chain(trees).take(64).collect()
}

fn schedule(every: u32) -> Goodput {
    let curve = Curve::new(power_law(0.75, 0.08, 16), Ranks::default()).unwrap_or_else(|e| panic!("{e}"));
    let solver = Solver::new(&configurations(), &curve, &Knotted, 256, 4e6, &CatchUp::KeepWarm);
    assert_eq!(solver.arms().len(), 64);
    let belief = Belief::new(0.75, 0.08, 16, 50.0, 0.999);
    Goodput::learning(solver, Switching::FREE, belief, every)
}

fn bench(criterion: &mut Criterion) {
    let mut asked = schedule(u32::MAX);
    let mut step = 0_u64;
    criterion.bench_function("decide among 64", |bencher| {
        bencher.iter(|| {
            step += 1;
            let running = 1 + (step % 256) as u32;
            let context = u64::from(running) * (500 + step % 16_000);
            asked.decide(black_box(&Snapshot { running, context, ..Snapshot::default() }))
        });
    });
    let accepted = [30_u64, 25, 20, 15, 10, 5, 3, 20];
    let observation =
        Observation { configuration: Configuration::chain(7), running: 128, accepted: &accepted };
    criterion.bench_function("observe", |bencher| bencher.iter(|| asked.observe(black_box(&observation))));
    let mut settled = schedule(1);
    criterion.bench_function("observe and settle", |bencher| {
        bencher.iter(|| settled.observe(black_box(&observation)));
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
