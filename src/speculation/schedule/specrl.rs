//! SpecRL's rule (slides, Peking University and StepFun): a tree at small batch, a chain at large batch.
//!
//! Their settings are 5 iterations of top-8 for small batches and 1 iteration of top-1 for large ones, without the batch
//! at which one gives way to the other and without the tokens verified. The batch is given, or taken from the solver:
//! the largest up to which the tree is never the slower one. Off beyond a second batch is our addition.

use super::{Schedule, ScheduleError, Snapshot};
use crate::speculation::Configuration;
use crate::speculation::solver::{OFF, Solver};

/// A tree up to one batch, a chain up to another, plain decoding beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecRl {
    tree: Configuration,
    chain: Configuration,
    tree_upto: u32,
    chain_upto: u32,
}

impl SpecRl {
    /// With both batches given; the chain's may be `u32::MAX`.
    pub fn new(
        tree: Configuration,
        chain: Configuration,
        tree_upto: u32,
        chain_upto: u32,
    ) -> Result<Self, ScheduleError> {
        if chain_upto < tree_upto {
            let what = "batches of tree and chain";
            return Err(ScheduleError::NotRising { what, value: chain_upto, previous: tree_upto });
        }
        Ok(SpecRl { tree, chain, tree_upto, chain_upto })
    }

    /// With the batches where the solver changes its mind, at `context` tokens of each sequence and batches up to
    /// `most_batch`. Both configurations must be among the solver's.
    pub fn solved(
        solver: &Solver,
        tree: Configuration,
        chain: Configuration,
        context: f64,
        most_batch: u32,
    ) -> Result<Self, ScheduleError> {
        let index = |configuration| {
            solver
                .index_of(configuration)
                .ok_or(ScheduleError::Empty("the solver's list of that configuration"))
        };
        let (t, c) = (index(tree)?, index(chain)?);
        let upto = |holds: &dyn Fn(u32, f64) -> bool| {
            (1..=most_batch).take_while(|batch| holds(*batch, context * f64::from(*batch))).count() as u32
        };
        let rate = |arm, batch, total| solver.rate(arm, batch, total);
        let tree_upto = upto(&|b, x| rate(t, b, x) >= rate(c, b, x) && rate(t, b, x) > rate(OFF, b, x));
        let beyond = (tree_upto + 1..=most_batch)
            .take_while(|b| {
                let total = context * f64::from(*b);
                rate(c, *b, total) > rate(OFF, *b, total)
            })
            .count() as u32;
        // As good at the largest batch that was asked about: taken as good beyond.
        let chain_upto = if tree_upto + beyond == most_batch { u32::MAX } else { tree_upto + beyond };
        SpecRl::new(tree, chain, tree_upto, chain_upto)
    }

    /// The largest batches of the tree and of the chain.
    pub fn thresholds(&self) -> (u32, u32) {
        (self.tree_upto, self.chain_upto)
    }
}

impl Schedule for SpecRl {
    fn decide(&mut self, snapshot: &Snapshot) -> Configuration {
        match snapshot.running {
            batch if batch <= self.tree_upto => self.tree,
            batch if batch <= self.chain_upto => self.chain,
            _ => Configuration::Off,
        }
    }

    fn max_draft_tokens(&self) -> u32 {
        self.tree.draft_tokens().max(self.chain.draft_tokens())
    }

    fn leapable(&self) -> bool {
        true
    }

    fn trees(&self) -> Vec<Configuration> {
        let both = [self.tree, self.chain].into_iter();
        both.filter(|c| matches!(c, Configuration::Tree { .. })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speculation::solver::tests::{Linear, solver};

    fn tree() -> Configuration {
        Configuration::tree(5, 8, 32).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn three_regions() {
        let mut schedule =
            SpecRl::new(tree(), Configuration::chain(1), 8, 64).unwrap_or_else(|e| panic!("{e}"));
        let mut at = |running| schedule.decide(&Snapshot { running, ..Snapshot::default() });
        assert_eq!((at(1), at(8)), (tree(), tree()));
        assert_eq!((at(9), at(64)), (Configuration::chain(1), Configuration::chain(1)));
        assert_eq!(at(65), Configuration::Off);
        assert!(SpecRl::new(tree(), Configuration::chain(1), 8, 4).is_err());
    }

    #[test]
    fn solved_batches_are_where_rates_cross() {
        let chain = Configuration::chain(1);
        let cost = Linear { token: 1e-4, draft: 4e-4, ..Linear::default() };
        let solver = solver(&[tree(), chain], 0.7, &cost);
        let schedule = SpecRl::solved(&solver, tree(), chain, 2e3, 128).unwrap_or_else(|e| panic!("{e}"));
        let (upto, _) = schedule.thresholds();
        let (t, c) = (solver.index_of(tree()).unwrap_or(0), solver.index_of(chain).unwrap_or(0));
        let better = |batch: u32| {
            let total = 2e3 * f64::from(batch);
            solver.rate(t, batch, total) >= solver.rate(c, batch, total)
        };
        assert!(upto > 0 && upto < 128 && better(upto) && !better(upto + 1), "{upto}");
        assert!(SpecRl::solved(&solver, tree(), Configuration::chain(9), 2e3, 8).is_err());
    }
}
