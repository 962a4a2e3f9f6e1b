//! The solver's answers over a grid of batches and contexts: what a table-driven engine can be given.

use super::{Choice, Solver};
use crate::speculation::Configuration;

/// One cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// Decoding sequences.
    pub batch: u32,
    /// Tokens of context of each.
    pub context: f64,
    /// What to run.
    pub configuration: Configuration,
    /// Its tokens per second over the batch.
    pub rate: f64,
    /// That over plain decoding's.
    pub gain: f64,
    /// The next best.
    pub runner_up: Configuration,
    /// Share of tokens per second that is lost with it.
    pub runner_up_loss: f64,
    /// Tokens of a round that the best drafting configuration needs to match plain decoding.
    pub break_even: f64,
    /// Tokens of a round that it has.
    pub length: f64,
}

/// The answers by batch, then context.
#[derive(Debug, Clone, PartialEq)]
pub struct Decisions {
    /// Rising batches.
    pub batches: Vec<u32>,
    /// Rising contexts of a sequence, tokens.
    pub contexts: Vec<f64>,
    /// `contexts.len()` cells for each batch.
    pub cells: Vec<Decision>,
}

impl Decisions {
    /// Solves every cell.
    pub fn solve(solver: &Solver, batches: &[u32], contexts: &[f64]) -> Self {
        let cells = batches
            .iter()
            .flat_map(|batch| contexts.iter().map(|context| cell(solver, *batch, *context)))
            .collect();
        Decisions { batches: batches.to_vec(), contexts: contexts.to_vec(), cells }
    }

    /// The configuration of a cell by its indices.
    pub fn at(&self, batch: usize, context: usize) -> Option<&Decision> {
        self.cells.get(batch * self.contexts.len() + context)
    }
}

fn cell(solver: &Solver, batch: u32, context: f64) -> Decision {
    let total = context * f64::from(batch);
    let choice: Choice = solver.best(batch, total);
    let configuration = |arm: usize| solver.arms()[arm].configuration();
    // Where plain decoding wins, the drafting arm that comes nearest to it.
    let drafting = (1..solver.arms().len())
        .max_by(|a, b| solver.rate(*a, batch, total).total_cmp(&solver.rate(*b, batch, total)))
        .unwrap_or(super::OFF);
    Decision {
        batch,
        context,
        configuration: configuration(choice.arm),
        rate: choice.rate,
        gain: choice.rate / choice.off_rate,
        runner_up: configuration(choice.runner_up),
        runner_up_loss: 1.0 - choice.runner_up_rate / choice.rate,
        break_even: solver.break_even(drafting, batch, total),
        length: solver.length(drafting),
    }
}
