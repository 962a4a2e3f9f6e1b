//! The solver told the truth: what knowing the acceptance at every moment would be worth.
//!
//! Whoever runs it (a simulator, a replay) tells it the true rates before a decision. Switching is free. Other schedules
//! are judged against it; no engine has it.

use super::{Goodput, Schedule, Snapshot};
use crate::speculation::Configuration;
use crate::speculation::acceptance::Ranks;
use crate::speculation::solver::{Solver, Switching};

/// Goodput-optimal with true acceptance.
#[derive(Debug, Clone)]
pub struct Oracle(Goodput);

impl Oracle {
    /// With the rates that the solver holds, true until others are told.
    pub fn new(solver: Solver) -> Self {
        Oracle(Goodput::new(solver, Switching::FREE))
    }

    /// The rates from now on.
    pub fn tell(&mut self, rates: &[f64], ranks: &Ranks) {
        self.0.know(rates, ranks);
    }
}

impl Schedule for Oracle {
    fn decide(&mut self, snapshot: &Snapshot) -> Configuration {
        self.0.decide(snapshot)
    }

    fn max_draft_tokens(&self) -> u32 {
        self.0.max_draft_tokens()
    }

    fn leapable(&self) -> bool {
        true
    }

    fn trees(&self) -> Vec<Configuration> {
        self.0.trees()
    }

    fn holds_until(&self, snapshot: &Snapshot) -> f64 {
        self.0.holds_until(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speculation::solver::tests::{Linear, chains, solver};

    #[test]
    fn follows_what_it_is_told() {
        let mut oracle = Oracle::new(solver(&chains(7), 0.9, &Linear::default()));
        let snapshot = Snapshot { running: 4, context: 4_000, ..Snapshot::default() };
        assert!(oracle.decide(&snapshot).draft_tokens() > 3);
        oracle.tell(&[0.01; 16], &Ranks::default());
        assert_eq!(oracle.decide(&snapshot), Configuration::Off);
    }
}
