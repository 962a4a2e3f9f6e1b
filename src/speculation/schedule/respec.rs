//! ReSpec's solver and scheduler (arXiv 2510.26475, section 5.2).
//!
//! Off line, the speedup over plain decoding is profiled for configurations (s, t, n) at some batches; a fit gives it at
//! the others, here by lines between the rows, level outside them. At run time the best configuration for the active
//! batch runs, plain decoding where none gains. Going from plain to speculative decoding re-uses the prefill (extend)
//! path to rebuild the drafter's cache; going back drops it. Context and acceptance are whatever the profile had.

use super::{Schedule, ScheduleError, Snapshot};
use crate::speculation::Configuration;
use crate::speculation::solver::{CatchUp, OFF, Solver};

/// Speedups by batch and configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    batches: Vec<u32>,
    configurations: Vec<Configuration>,
    /// A row for each batch, a value for each configuration.
    speedups: Vec<f64>,
}

impl Profile {
    /// From measured rows: rising batches, and speedups over plain decoding for each configuration.
    pub fn new(
        batches: Vec<u32>,
        configurations: Vec<Configuration>,
        rows: &[Vec<f64>],
    ) -> Result<Self, ScheduleError> {
        if batches.is_empty() || configurations.is_empty() {
            return Err(ScheduleError::Empty("the profile"));
        }
        if let Some(pair) = batches.windows(2).find(|pair| pair[1] <= pair[0]) {
            let (value, previous) = (pair[1], pair[0]);
            return Err(ScheduleError::NotRising { what: "batches of the profile", value, previous });
        }
        if rows.len() != batches.len() {
            let (row, got, wanted) = (rows.len(), 0, configurations.len());
            return Err(ScheduleError::Width { row, got, wanted });
        }
        for (row, values) in rows.iter().enumerate() {
            if values.len() != configurations.len() {
                return Err(ScheduleError::Width { row, got: values.len(), wanted: configurations.len() });
            }
            if let Some(&value) = values.iter().find(|v| !(**v > 0.0 && v.is_finite())) {
                return Err(ScheduleError::Number { what: "a speedup", value, wanted: "positive" });
            }
        }
        Ok(Profile { batches, configurations, speedups: rows.concat() })
    }

    /// What a profiling run would have seen, at `context` tokens of each sequence.
    pub fn measure(solver: &Solver, batches: &[u32], context: f64) -> Result<Self, ScheduleError> {
        let drafting = 1..solver.arms().len();
        let row = |batch: &u32| {
            let total = context * f64::from(*batch);
            let off = solver.rate(OFF, *batch, total);
            drafting.clone().map(|arm| solver.rate(arm, *batch, total) / off).collect()
        };
        let rows: Vec<Vec<f64>> = batches.iter().map(row).collect();
        let configurations = drafting.clone().map(|arm| solver.arms()[arm].configuration()).collect();
        Profile::new(batches.to_vec(), configurations, &rows)
    }

    /// The configurations, in the order of the columns.
    pub fn configurations(&self) -> &[Configuration] {
        &self.configurations
    }

    /// The fitted speedup of a configuration.
    pub fn speedup(&self, configuration: usize, batch: u32) -> f64 {
        let width = self.configurations.len();
        let value = |row: usize| self.speedups[row * width + configuration];
        let upper = self.batches.partition_point(|row| *row < batch);
        if upper == 0 {
            return value(0);
        }
        if upper == self.batches.len() {
            return value(upper - 1);
        }
        let (low, high) = (f64::from(self.batches[upper - 1]), f64::from(self.batches[upper]));
        let share = (f64::from(batch) - low) / (high - low);
        value(upper - 1) + share * (value(upper) - value(upper - 1))
    }

    /// The best configuration and its speedup; off, at one, where none gains. The first among equals.
    pub fn best(&self, batch: u32) -> (Configuration, f64) {
        let mut best = (Configuration::Off, 1.0);
        for (at, configuration) in self.configurations.iter().enumerate() {
            let speedup = self.speedup(at, batch);
            if speedup > best.1 {
                best = (*configuration, speedup);
            }
        }
        best
    }
}

/// The argmax of a profile at the active batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Respec {
    profile: Profile,
    extend: CatchUp,
}

impl Respec {
    /// From a profile and the price of an extend.
    pub fn new(profile: Profile, extend: CatchUp) -> Self {
        Respec { profile, extend }
    }
}

impl Schedule for Respec {
    fn decide(&mut self, snapshot: &Snapshot) -> Configuration {
        self.profile.best(snapshot.running.max(1)).0
    }

    fn max_draft_tokens(&self) -> u32 {
        self.profile.configurations.iter().map(|c| c.draft_tokens()).max().unwrap_or(0)
    }

    fn leapable(&self) -> bool {
        true
    }

    fn trees(&self) -> Vec<Configuration> {
        let trees = self.profile.configurations.iter().copied();
        trees.filter(|c| matches!(c, Configuration::Tree { .. })).collect()
    }

    fn catch_up(&self) -> CatchUp {
        self.extend
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speculation::solver::tests::{Linear, chains, solver};

    #[test]
    fn lines_between_rows_and_level_outside() {
        let chains = vec![Configuration::chain(1), Configuration::chain(3)];
        let rows = [vec![1.2, 1.5], vec![1.1, 0.9]];
        let profile = Profile::new(vec![2, 10], chains, &rows).unwrap_or_else(|e| panic!("{e}"));
        for (batch, speedup) in [(1, 1.5), (2, 1.5), (6, 1.2), (10, 0.9), (90, 0.9)] {
            assert!((profile.speedup(1, batch) - speedup).abs() < 1e-12, "{batch}");
        }
        assert_eq!(profile.best(2).0, Configuration::chain(3));
        assert_eq!(profile.best(10).0, Configuration::chain(1));
    }

    #[test]
    fn a_profile_of_the_solver_decides_like_it_at_its_rows() {
        let solver = solver(&chains(7), 0.7, &Linear::default());
        let batches = [1, 2, 4, 8, 16, 32, 64, 128];
        let profile = Profile::measure(&solver, &batches, 2e3).unwrap_or_else(|e| panic!("{e}"));
        for batch in batches {
            let best = solver.best(batch, 2e3 * f64::from(batch));
            assert_eq!(profile.best(batch).0, solver.arms()[best.arm].configuration(), "{batch}");
        }
    }

    #[test]
    fn impossible_profiles_are_refused() {
        let one = || vec![Configuration::chain(1)];
        assert!(matches!(Profile::new(vec![], one(), &[]), Err(ScheduleError::Empty(_))));
        let same = Profile::new(vec![2, 2], one(), &[vec![1.0], vec![1.0]]);
        assert!(matches!(same, Err(ScheduleError::NotRising { .. })));
        let wide = Profile::new(vec![2], one(), &[vec![1.0, 1.0]]);
        assert!(matches!(wide, Err(ScheduleError::Width { .. })));
        assert!(matches!(Profile::new(vec![2], one(), &[vec![f64::NAN]]), Err(ScheduleError::Number { .. })));
    }
}
