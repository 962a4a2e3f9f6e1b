//! Behaviour of one replica, with costs and schedules made up here.

mod any_job;
mod cache;
mod draws;
mod schedules;
mod steps;

use std::sync::{LazyLock, Mutex, PoisonError};

use super::{Job, Limits, Outcome, Stepper, run_exact, run_leap, run_replica};
use crate::estimate::Family;
use crate::piece::{Piece, Shape};
use crate::speculation::acceptance::{Population, power_law};
use crate::speculation::schedule::Fixed;
use crate::speculation::{Configuration, StepCost};
use crate::workload::Sample;

const FIXED: f64 = 5e-3;
const PER_TOKEN: f64 = 1e-5;
const PER_PAIR: f64 = 1e-9;
const PER_CONTEXT: f64 = 3e-8;

/// Affine in everything, and remembers every step. Its pieces hold nowhere, so that each step asks anew.
#[derive(Default)]
struct Recorder {
    steps: Mutex<Vec<(Shape, u64)>>,
}

impl Recorder {
    fn steps(self) -> Vec<(Shape, u64)> {
        self.steps.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StepCost for Recorder {
    fn piece(&self, shape: &Shape, context: f64) -> Piece {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).push((*shape, context as u64));
        let mut piece = Affine.piece(shape, context);
        piece.context = 0.0..0.0;
        piece
    }
}

/// Affine in everything, in one piece.
struct Affine;

impl StepCost for Affine {
    fn piece(&self, shape: &Shape, _: f64) -> Piece {
        let mut piece = Piece::zero();
        let tokens = shape.decoding * (shape.draft_tokens + 1) + shape.prefill_tokens;
        piece.add(Family::Gemm, PER_TOKEN * f64::from(tokens), 0.0);
        piece.add(Family::Attention, 0.0, PER_CONTEXT);
        piece.per_prefill_pair = PER_PAIR;
        piece.add(Family::Host, FIXED, 0.0);
        piece
    }
}

/// Room for everything.
const AMPLE: Limits = Limits {
    max_num_seqs: 64,
    max_num_batched_tokens: 4096,
    block_size: 16,
    kv_blocks: 1 << 30,
    prefix_caching: false,
    prefill_alone: false,
    state_tokens: 0,
};

/// Samples as (group, prompt, response), numbered from 10 so that numbers are not taken for positions.
fn samples(of: &[(u32, u32, u32)]) -> Vec<(u32, Sample)> {
    let sample = |&(group, prompt, response)| Sample { group, prompt, response, clipped: false };
    (10..).zip(of.iter().map(sample)).collect()
}

fn job<'a>(samples: &'a [(u32, Sample)], limits: Limits, acceptance: Option<&'a Population>) -> Job<'a> {
    Job { samples, limits, acceptance, seed: 3, path: [1, 2], per_step: None }
}

fn run(job: &Job<'_>, k: u32) -> Outcome {
    run_exact(job, &Affine, &mut Fixed(Configuration::chain(k)))
}

fn run_recorded(job: &Job<'_>, k: u32) -> (Outcome, Vec<(Shape, u64)>) {
    let cost = Recorder::default();
    let outcome = run_exact(job, &cost, &mut Fixed(Configuration::chain(k)));
    (outcome, cost.steps())
}

/// A population with so many draft positions, solved once: it takes longer than most runs here.
fn population(positions: usize) -> &'static Population {
    static SOLVED: LazyLock<Vec<Population>> =
        LazyLock::new(|| (0..=8).map(|k| Population::solve(&power_law(0.776, 0.074, k), 12.0)).collect());
    &SOLVED[positions]
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// Lengths from 1 to a few hundred tokens in groups of 3, without order.
fn mixed_samples(count: u32) -> Vec<(u32, Sample)> {
    let of: Vec<_> = (0..count).map(|i| (i / 3, 1 + i / 3 * 37 % 90, 1 + i * 61 % 257)).collect();
    samples(&of)
}
