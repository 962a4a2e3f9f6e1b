//! Expected tokens per second, at the batch and its context, as believed.
//!
//! The solver's argmax with hysteresis. The belief is given, or learned from the rounds' counters with older ones fading.
//! Context is looked at in steps of 2^(1/4), so that a decision has a range of contexts in which it holds. With a given
//! belief a decision depends on the snapshot and on the configuration in force alone, and repeating it changes nothing:
//! it may be leapt over.

use super::{Observation, Schedule, Snapshot};
use crate::speculation::acceptance::{Belief, Ranks};
use crate::speculation::solver::{CatchUp, OFF, Solver, Switching};
use crate::speculation::{Arm, Configuration};

/// Steps of context for each doubling.
const STEPS: f64 = 4.0;

/// Goodput-optimal by batch and context.
#[derive(Debug, Clone)]
pub struct Goodput {
    solver: Solver,
    switching: Switching,
    learning: Option<Learning>,
    current: usize,
}

#[derive(Debug, Clone)]
struct Learning {
    belief: Belief,
    every: u32,
    seen: u32,
}

impl Goodput {
    /// With the belief that the solver holds.
    pub fn new(solver: Solver, switching: Switching) -> Self {
        Goodput { solver, switching, learning: None, current: OFF }
    }

    /// With a belief that learns, and is asked again each `every` steps.
    pub fn learning(mut solver: Solver, switching: Switching, belief: Belief, every: u32) -> Self {
        solver.believe(belief.rates(), belief.ranks());
        let learning = Some(Learning { belief, every: every.max(1), seen: 0 });
        Goodput { solver, switching, learning, current: OFF }
    }

    /// The solver, with what it believes now.
    pub fn solver(&self) -> &Solver {
        &self.solver
    }

    /// The belief, where it learns.
    pub fn belief(&self) -> Option<&Belief> {
        self.learning.as_ref().map(|learning| &learning.belief)
    }
}

/// The middle and the end of the step of context that a total lies in.
fn step_of(context: u64) -> (f64, f64) {
    let step = libm::floor(STEPS * libm::log2(context.max(1) as f64));
    (libm::exp2((step + 0.5) / STEPS), libm::exp2((step + 1.0) / STEPS))
}

impl Schedule for Goodput {
    fn decide(&mut self, snapshot: &Snapshot) -> Configuration {
        if snapshot.running > 0 {
            let (context, _) = step_of(snapshot.context);
            let choice = self.solver.best(snapshot.running, context);
            if choice.arm != self.current {
                let rate = self.solver.rate(self.current, snapshot.running, context);
                let starts = self.current == OFF;
                if self.switching.pays(rate, choice.rate, starts, snapshot.running, context) {
                    self.current = choice.arm;
                }
            }
        }
        self.solver.arms()[self.current].configuration()
    }

    fn max_draft_tokens(&self) -> u32 {
        self.solver.arms().iter().map(|arm| arm.configuration().draft_tokens()).max().unwrap_or(0)
    }

    fn leapable(&self) -> bool {
        self.learning.is_none()
    }

    fn trees(&self) -> Vec<Configuration> {
        let trees = self.solver.arms().iter().filter(|arm| arm.tree().is_some());
        trees.map(Arm::configuration).collect()
    }

    fn observe(&mut self, observation: &Observation<'_>) {
        let Some(learning) = &mut self.learning else { return };
        let Some(arm) = self.solver.index_of(observation.configuration) else { return };
        learning.belief.count(&self.solver.arms()[arm], observation.accepted);
        learning.seen += 1;
        if learning.seen >= learning.every {
            learning.seen = 0;
            learning.belief.settle();
            self.solver.believe(learning.belief.rates(), learning.belief.ranks());
        }
    }

    fn know(&mut self, rates: &[f64], ranks: &Ranks) {
        if self.learning.is_none() {
            self.solver.believe(rates, ranks);
        }
    }

    fn catch_up(&self) -> CatchUp {
        self.switching.catch_up
    }

    fn holds_until(&self, snapshot: &Snapshot) -> f64 {
        step_of(snapshot.context).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};
    use crate::speculation::solver::tests::{Linear, chains, curve, solver};

    fn at(running: u32, context: u64) -> Snapshot {
        Snapshot { running, context, ..Snapshot::default() }
    }

    #[test]
    fn a_decision_holds_as_far_as_it_says() {
        let mut schedule = Goodput::new(solver(&chains(7), 0.7, &Linear::default()), Switching::FREE);
        for context in [1, 50, 8_191, 8_192, 1_000_000] {
            let first = schedule.decide(&at(8, context));
            let until = schedule.holds_until(&at(8, context));
            assert!(until > context as f64 && until <= context as f64 * 1.2);
            assert_eq!(schedule.decide(&at(8, (until - 1.0).max(context as f64) as u64)), first);
        }
    }

    #[test]
    fn a_dear_start_is_put_off() {
        let solver = solver(&chains(7), 0.7, &Linear::default());
        let dear = Switching {
            catch_up: CatchUp::HiddenStates { fixed: 100.0, per_token: 0.0 },
            horizon: 50.0,
            margin: 0.0,
        };
        assert_eq!(Goodput::new(solver.clone(), dear).decide(&at(4, 8_000)), Configuration::Off);
        let patient = Switching { horizon: 1e6, ..dear };
        assert_ne!(Goodput::new(solver, patient).decide(&at(4, 8_000)), Configuration::Off);
    }

    #[test]
    fn learns_the_truth_and_then_decides_as_if_it_had_known() {
        let truth = curve(0.85);
        let mut known = Goodput::new(solver(&chains(7), 0.85, &Linear::default()), Switching::FREE);
        let prior = Belief::new(0.4, 0.08, 16, 20.0, 0.999);
        let believer = solver(&chains(7), 0.4, &Linear::default());
        let mut learning = Goodput::learning(believer, Switching::FREE, prior, 10);
        let snapshot = at(16, 64_000);
        assert!(learning.decide(&snapshot).draft_tokens() < known.decide(&snapshot).draft_tokens());
        let mut stream = Stream::new(2, Purpose::AcceptDraft, &[]);
        for _ in 0..3_000 {
            let configuration = learning.decide(&snapshot);
            let arm = Arm::new(configuration, &truth);
            let survival = arm.survival(truth.rates(), truth.ranks());
            let mut accepted = vec![0; arm.depth() + 1];
            for _ in 0..snapshot.running {
                let u = stream.uniform();
                accepted[survival[..arm.depth()].iter().filter(|s| u < **s).count()] += 1;
            }
            learning.observe(&Observation { configuration, running: 16, accepted: &accepted });
        }
        let (a, b) = (learning.decide(&snapshot), known.decide(&snapshot));
        assert!(a.draft_tokens().abs_diff(b.draft_tokens()) <= 1, "{a} {b}");
    }
}
