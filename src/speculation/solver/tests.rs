//! The solver against brute force, and on random costs.

use super::*;
use crate::estimate::Family;
use crate::piece::{Piece, Shape};
use crate::speculation::acceptance::{Ranks, power_law};
use proptest::prelude::*;

/// Seconds linear in tokens, draft passes and context.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Linear {
    pub(crate) step: f64,
    pub(crate) token: f64,
    pub(crate) draft: f64,
    pub(crate) context: f64,
}

impl Default for Linear {
    /// Of the order of an 8B model on one device.
    fn default() -> Self {
        Linear { step: 6e-3, token: 5e-5, draft: 1.2e-3, context: 6e-8 }
    }
}

impl StepCost for Linear {
    fn piece(&self, shape: &Shape, _: f64) -> Piece {
        let mut piece = Piece::zero();
        let tokens = shape.decoding * (shape.draft_tokens + 1) + shape.prefill_tokens;
        piece.add(Family::Gemm, self.step + self.token * f64::from(tokens), 0.0);
        let rows = shape.draft_depth() * shape.draft_width() * shape.decoding;
        let drafting = self.draft * f64::from(shape.draft_depth()) + 1e-6 * f64::from(rows);
        piece.add(Family::DraftHost, drafting, 0.0);
        piece.add(Family::Attention, 0.0, self.context);
        piece
    }
}

/// The same with a cliff in tokens and a knot in context.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cliff;

impl StepCost for Cliff {
    fn piece(&self, shape: &Shape, context: f64) -> Piece {
        let mut piece = Linear::default().piece(shape, context);
        if shape.decoding * (shape.draft_tokens + 1) > 64 {
            piece.add(Family::Host, 20e-3, 0.0);
        }
        if context < 5e4 {
            piece.context = 0.0..5e4;
        } else {
            piece.context = 5e4..f64::INFINITY;
            piece.add(Family::Attention, -5e-3, 1e-7);
        }
        piece
    }
}

pub(crate) fn curve(first: f64) -> Curve {
    Curve::new(power_law(first, 0.08, 16), Ranks::default()).unwrap_or_else(|e| panic!("{e}"))
}

pub(crate) fn chains(most: u32) -> Vec<Configuration> {
    (0..=most).map(Configuration::chain).collect()
}

pub(crate) fn solver(configurations: &[Configuration], first: f64, cost: &impl StepCost) -> Solver {
    Solver::new(configurations, &curve(first), cost, 128, 1e7, &CatchUp::KeepWarm)
}

#[test]
fn greedy_is_optimal_for_a_drain() {
    // Requests of equal rates: with B of them left, the tokens to the next end are the gap between two lengths.
    let configurations: Vec<Configuration> =
        [1, 3, 7].into_iter().map(Configuration::chain).chain([Configuration::Off]).collect();
    for (first, cost) in [
        (0.75, Linear::default()),
        (0.6, Linear { token: 8e-4, ..Linear::default() }),
        (0.9, Linear { draft: 4e-3, token: 4e-4, ..Linear::default() }),
    ] {
        let solver = solver(&configurations, first, &cost);
        let lengths = [120.0, 900.0, 1000.0, 3500.0, 3600.0, 8000.0];
        let n = lengths.len();
        // A drain in 40 slices between two ends; `pick` chooses the arm at each.
        let drain = |pick: &dyn Fn(usize, u32, f64) -> usize| {
            let (mut sum, mut done) = (0.0, 0.0);
            for (i, length) in lengths.iter().enumerate() {
                let (batch, slice) = ((n - i) as u32, (length - done) / 40.0);
                for step in 0..40 {
                    let emitted = done + slice * (f64::from(step) + 0.5);
                    // Everybody has emitted the same: the context is known whatever was chosen before.
                    let context = f64::from(batch) * (emitted + 100.0);
                    sum += slice * f64::from(batch) / solver.rate(pick(i, batch, context), batch, context);
                }
                done = *length;
            }
            sum
        };
        let greedy = drain(&|_, batch, context| solver.best(batch, context).arm);
        let best = (0..4_usize.pow(n as u32))
            .map(|code| {
                let arms: Vec<usize> = (0..n).map(|i| code / 4_usize.pow(i as u32) % 4).collect();
                drain(&|i, _, _| arms[i])
            })
            .fold(f64::INFINITY, f64::min);
        // No choice by batch alone is faster; greedy may gain where the answer changes with context inside a batch.
        assert!(greedy <= best * (1.0 + 1e-12) && greedy > 0.97 * best, "{first}: {greedy} {best}");
        let static_best = (0..4).map(|arm| drain(&|_, _, _| arm)).fold(f64::INFINITY, f64::min);
        assert!(best <= static_best);
    }
}

#[test]
fn trees_pay_at_small_batch_and_nothing_does_where_steps_are_full() {
    let mut configurations = chains(7);
    for (depth, top_k, tokens) in [(5, 8, 16), (5, 8, 32), (5, 8, 64)] {
        configurations.push(Configuration::tree(depth, top_k, tokens).unwrap_or_else(|e| panic!("{e}")));
    }
    let solver = solver(&configurations, 0.6, &Linear { token: 3e-5, draft: 5e-4, ..Linear::default() });
    let at = |batch: u32| solver.arms()[solver.best(batch, 4e3 * f64::from(batch)).arm].configuration();
    assert!(matches!(at(1), Configuration::Tree { .. }), "{}", at(1));
    assert!(matches!(at(32), Configuration::Chain { .. }), "{}", at(32));
    let sizes: Vec<u32> = [1, 2, 4, 8, 16, 32, 64, 128].map(|b| at(b).draft_tokens()).to_vec();
    assert!(sizes.windows(2).all(|pair| pair[1] <= pair[0]), "{sizes:?}");
}

#[test]
fn cliffs_are_seen() {
    // 64 tokens are the largest graph of `Cliff`: 16 sequences of 4 fit, 17 do not.
    let solver = solver(&chains(3), 0.8, &Cliff);
    assert_eq!(solver.arms()[solver.best(16, 1e4).arm].configuration(), Configuration::chain(3));
    assert!(solver.arms()[solver.best(17, 1e4).arm].configuration().draft_tokens() < 3);
}

#[test]
fn decisions_say_what_the_solver_says() {
    let solver = solver(&chains(7), 0.7, &Linear::default());
    let table = Decisions::solve(&solver, &[1, 8, 64], &[1e3, 1e4]);
    assert_eq!(table.cells.len(), 6);
    let cell = table.at(1, 1).unwrap_or_else(|| panic!());
    assert_eq!((cell.batch, cell.context), (8, 1e4));
    let choice = solver.best(8, 8e4);
    assert_eq!(cell.configuration, solver.arms()[choice.arm].configuration());
    assert!(
        (cell.gain - cell.length / cell.break_even).abs() < 1e-9,
        "best arm drafts: gain = length / break-even"
    );
    assert!(cell.runner_up_loss > 0.0 && cell.runner_up != cell.configuration);
    assert_eq!(table.at(3, 0), None);
}

fn costs() -> impl Strategy<Value = Linear> {
    (1e-3_f64..2e-2, 1e-6_f64..2e-3, 1e-5_f64..5e-3, 0.0_f64..1e-6)
        .prop_map(|(step, token, draft, context)| Linear { step, token, draft, context })
}

proptest! {
    #[test]
    fn the_choice_is_the_argmax_and_never_worse_than_off(
        cost in costs(), first in 0.05_f64..0.95, batch in 1_u32..128, context in 1.0_f64..2e4,
    ) {
        let solver = solver(&chains(7), first, &cost);
        let total = context * f64::from(batch);
        let choice = solver.best(batch, total);
        for arm in 0..solver.arms().len() {
            prop_assert!(solver.rate(arm, batch, total) <= choice.rate);
            if arm != choice.arm {
                prop_assert!(solver.rate(arm, batch, total) <= choice.runner_up_rate);
            }
        }
        prop_assert!(choice.rate >= choice.off_rate && choice.runner_up_rate <= choice.rate);
    }

    #[test]
    fn better_acceptance_never_emits_less(cost in costs(), first in 0.05_f64..0.9, batch in 1_u32..128) {
        let (low, high) = (solver(&chains(7), first, &cost), solver(&chains(7), first + 0.05, &cost));
        prop_assert!(high.best(batch, 1e4).rate >= low.best(batch, 1e4).rate);
    }

    #[test]
    fn the_order_of_configurations_changes_nothing(cost in costs(), shuffle in any::<u64>()) {
        let mut order = chains(7);
        let mut stream = crate::rng::Stream::new(shuffle, crate::rng::Purpose::Input, &[]);
        for i in (1..order.len()).rev() {
            order.swap(i, (stream.bits() % (i as u64 + 1)) as usize);
        }
        let (a, b) = (solver(&chains(7), 0.7, &cost), solver(&order, 0.7, &cost));
        for batch in [1, 5, 32, 128] {
            prop_assert_eq!(a.best(batch, 1e5), b.best(batch, 1e5));
        }
    }
}
