//! How an engine embeds the solver: counters in, configuration out. Build with `--no-default-features`.
//!
//! An engine measures its step times once (here: three numbers), lays out the configurations it can run, and then asks
//! before each step and tells what was accepted after it. Nothing is allocated between the two.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use rollcast::estimate::Family;
use rollcast::piece::{Piece, Shape};
use rollcast::speculation::acceptance::{Belief, Curve, Ranks, power_law};
use rollcast::speculation::schedule::{Goodput, Observation, Schedule, Snapshot};
use rollcast::speculation::solver::{CatchUp, Solver, Switching};
use rollcast::speculation::{Configuration, StepCost};

/// What the engine measured: seconds of a step of the target, of a draft pass, and for each token of context.
struct Measured {
    target: fn(tokens: u32) -> f64,
    draft_pass: f64,
    context_token: f64,
}

impl StepCost for Measured {
    fn piece(&self, shape: &Shape, _: f64) -> Piece {
        let mut piece = Piece::zero();
        let verified = shape.decoding * (shape.draft_tokens + 1);
        piece.add(Family::Gemm, (self.target)(verified), 0.0);
        piece.add(Family::DraftHost, self.draft_pass * f64::from(shape.draft_depth()), 0.0);
        piece.add(Family::Attention, 0.0, self.context_token);
        piece
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let cost = Measured {
        target: |tokens| 7e-3 + 2.5e-5 * f64::from(tokens) + if tokens > 512 { 5e-3 } else { 0.0 },
        draft_pass: 9e-4,
        context_token: 6e-8,
    };
    let mut configurations: Vec<Configuration> = (1..=7).map(Configuration::chain).collect();
    configurations.push(Configuration::from_sglang(5, 4, 16)?);

    // Before anything is counted: a guess, which weighs as 50 rounds.
    let curve = Curve::new(power_law(0.6, 0.08, 7), Ranks::default())?;
    let solver = Solver::new(&configurations, &curve, &cost, 256, 256.0 * 16_384.0, &CatchUp::KeepWarm);
    let belief = Belief::new(0.6, 0.08, 7, 50.0, 0.999);
    let switching = Switching { margin: 0.02, ..Switching::FREE };
    let mut schedule = Goodput::learning(solver, switching, belief, 5);

    // A rollout that drains: 256 sequences down to one. The engine's counters say that 80 % of each position is kept.
    for (step, running) in [256_u32, 128, 64, 32, 16, 8, 4, 2, 1].into_iter().enumerate() {
        let context = u64::from(running) * (500 + 1500 * step as u64);
        let snapshot = Snapshot { running, context, ..Snapshot::default() };
        let mut configuration = schedule.decide(&snapshot);
        for _ in 0..200 {
            configuration = schedule.decide(&snapshot);
            let accepted = counters(configuration, running);
            schedule.observe(&Observation { configuration, running, accepted: &accepted });
        }
        let believed = schedule.belief().map_or(0.0, |belief| belief.rates()[0]);
        println!("{running:>4} running: {configuration:<12} first rate believed {believed:.2}");
    }
    Ok(())
}

/// How many of a step's requests accepted exactly 0, 1, … draft tokens.
fn counters(configuration: Configuration, running: u32) -> Vec<u64> {
    let depth = configuration.depth() as usize;
    let mut left = f64::from(running);
    let mut accepted: Vec<u64> = (0..depth)
        .map(|_| {
            let stopped = (0.2 * left).round();
            left -= stopped;
            stopped as u64
        })
        .collect();
    accepted.push(left as u64);
    accepted
}
