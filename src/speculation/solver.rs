//! Which configuration emits most tokens a second.
//!
//!   v(c; B, ctx) = B · E[tokens of a round under c] / seconds of a step of c at batch B and total context ctx,
//! and the answer is its argmax. In the fluid limit of a drain, picking it at every batch is makespan-optimal, without
//! knowing lengths: the sequence of (B, tokens so far) does not depend on c, and the makespan is a sum of separate terms
//! (`tests::greedy_is_optimal_for_a_drain` compares with all choices). It stops being exact where switching costs
//! (`switching`), where requests differ, and for budgets of single requests. Costs come from pieces, so captured graph
//! sizes, padding and cliffs are in them. A decision reads two tables and allocates nothing. Leaves out: prefill beside
//! the decodes, differences between requests.

mod catch_up;
mod cost_table;
mod decisions;
mod switching;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

pub use catch_up::CatchUp;
pub use cost_table::CostTable;
pub use decisions::{Decision, Decisions};
pub use switching::Switching;

use super::acceptance::{Curve, Ranks};
use super::{Arm, Configuration, StepCost};

/// Plain decoding's place among the arms.
pub const OFF: usize = 0;

/// The configurations to choose from, their yields as believed, and their costs.
#[derive(Debug, Clone)]
pub struct Solver {
    arms: Arc<[Arm]>,
    costs: Arc<CostTable>,
    /// Expected tokens of a round, by arm.
    lengths: Vec<f64>,
}

/// A choice, and what it was chosen over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Index of the arm.
    pub arm: usize,
    /// Its tokens per second, over the batch.
    pub rate: f64,
    /// The next best arm, itself where there is no other.
    pub runner_up: usize,
    /// The next best's tokens per second.
    pub runner_up_rate: f64,
    /// Tokens per second of plain decoding.
    pub off_rate: f64,
}

impl Solver {
    /// Lays out the configurations for the acceptance in `curve` and prices them at every batch up to `most_batch`
    /// and contexts up to `most_context` tokens over the batch. Off is always among them and comes first; the others
    /// are in an order of their own, so that the order given changes nothing.
    pub fn new(
        configurations: &[Configuration],
        curve: &Curve,
        cost: &impl StepCost,
        most_batch: u32,
        most_context: f64,
        catch_up: &CatchUp,
    ) -> Self {
        let mut sorted: Vec<Configuration> = configurations.to_vec();
        sorted.push(Configuration::Off);
        sorted.sort_unstable();
        sorted.dedup();
        let arms: Arc<[Arm]> = sorted.iter().map(|c| Arm::new(*c, curve)).collect();
        let costs = CostTable::build(cost, &sorted, most_batch, most_context, catch_up.asleep());
        let mut solver = Solver { lengths: vec![1.0; arms.len()], arms, costs: Arc::new(costs) };
        solver.believe(curve.rates(), curve.ranks());
        solver
    }

    /// Takes over other rates of acceptance. Allocates nothing.
    pub fn believe(&mut self, rates: &[f64], ranks: &Ranks) {
        for (length, arm) in self.lengths.iter_mut().zip(self.arms.iter()) {
            *length = arm.tokens(rates, ranks).mean;
        }
    }

    /// The arms, plain decoding first.
    pub fn arms(&self) -> &[Arm] {
        &self.arms
    }

    /// The index of a configuration.
    pub fn index_of(&self, configuration: Configuration) -> Option<usize> {
        self.arms.iter().position(|arm| arm.configuration() == configuration)
    }

    /// Expected tokens of a round of an arm, bonus included.
    pub fn length(&self, arm: usize) -> f64 {
        self.lengths[arm]
    }

    /// Seconds of a step of an arm.
    #[inline]
    pub fn seconds(&self, arm: usize, batch: u32, context: f64) -> f64 {
        self.costs.seconds(arm, batch, context)
    }

    /// Tokens per second over the batch.
    #[inline]
    pub fn rate(&self, arm: usize, batch: u32, context: f64) -> f64 {
        f64::from(batch) * self.lengths[arm] / self.seconds(arm, batch, context)
    }

    /// The acceptance length at which an arm emits as many tokens a second as plain decoding.
    pub fn break_even(&self, arm: usize, batch: u32, context: f64) -> f64 {
        self.seconds(arm, batch, context) / self.seconds(OFF, batch, context)
    }

    /// The best arm for a batch and its total context; the one that comes first among equals. Allocates nothing.
    pub fn best(&self, batch: u32, context: f64) -> Choice {
        let off_rate = self.rate(OFF, batch, context);
        let mut choice =
            Choice { arm: OFF, rate: off_rate, runner_up: OFF, runner_up_rate: f64::NEG_INFINITY, off_rate };
        for arm in 1..self.lengths.len() {
            let rate = self.rate(arm, batch, context);
            if rate > choice.rate {
                (choice.runner_up, choice.runner_up_rate) = (choice.arm, choice.rate);
                (choice.arm, choice.rate) = (arm, rate);
            } else if rate > choice.runner_up_rate {
                (choice.runner_up, choice.runner_up_rate) = (arm, rate);
            }
        }
        if choice.runner_up_rate < 0.0 {
            choice.runner_up_rate = choice.rate;
        }
        choice
    }
}
