//! What every schedule keeps to, on a fake cost model.

use super::*;
use crate::rng::{Purpose, Stream};
use crate::speculation::acceptance::Belief;
use crate::speculation::solver::tests::{Linear, chains, solver};
use crate::speculation::solver::{Solver, Switching};
use proptest::prelude::*;

fn tree() -> Configuration {
    Configuration::tree(5, 4, 16).unwrap_or_else(|e| panic!("{e}"))
}

fn solved(first: f64, cost: &Linear) -> Solver {
    let mut configurations = chains(7);
    configurations.push(tree());
    solver(&configurations, first, cost)
}

/// All schedules that judge by cost, believing a first rate, and whether they are to be off where SD loses.
fn judging(first: f64, cost: &Linear) -> Vec<(&'static str, Box<dyn Schedule>)> {
    let solver = solved(first, cost);
    let batches = [1, 2, 4, 8, 16, 32, 64, 128];
    let profile = Profile::measure(&solver, &batches, 2e3).unwrap_or_else(|e| panic!("{e}"));
    let specrl =
        SpecRl::solved(&solver, tree(), Configuration::chain(1), 2e3, 128).unwrap_or_else(|e| panic!("{e}"));
    let belief = Belief::new(first, 0.08, 16, 20.0, 0.999);
    vec![
        ("goodput", Box::new(Goodput::new(solver.clone(), Switching::FREE))),
        ("learning", Box::new(Goodput::learning(solver.clone(), Switching::FREE, belief, 5))),
        ("oracle", Box::new(Oracle::new(solver))),
        ("respec", Box::new(Respec::new(profile, CatchUp::KeepWarm))),
        ("specrl", Box::new(specrl)),
    ]
}

fn all() -> Vec<(&'static str, Box<dyn Schedule>)> {
    let table = VllmTable::new(&[[1, 4, 7], [5, 16, 4], [17, 64, 2], [65, 512, 0]], 7, 512);
    let tiers = SglangTiers::new(&SglangConfig::default(), 3, Vec::new());
    let mut schedules = judging(0.7, &Linear::default());
    schedules.push(("off", Box::new(Fixed(Configuration::Off))));
    schedules.push(("fixed", Box::new(Fixed(Configuration::chain(3)))));
    schedules.push(("fixed tree", Box::new(Fixed(tree()))));
    schedules.push(("vllm_table", Box::new(table.unwrap_or_else(|e| panic!("{e}")))));
    schedules.push(("sglang_tiers", Box::new(tiers.unwrap_or_else(|e| panic!("{e}")))));
    schedules
}

/// A rollout's worth of snapshots and rounds; what was decided.
fn drive(schedule: &mut dyn Schedule, seed: u64) -> Vec<Configuration> {
    let mut stream = Stream::new(seed, Purpose::AcceptDraft, &[]);
    (0..400_u32)
        .map(|step| {
            let running = 1 + (stream.bits() % 100) as u32;
            let context = u64::from(running) * (100 + 10 * u64::from(step));
            let snapshot = Snapshot { running, prefilling: step % 3, waiting: 0, context };
            let configuration = schedule.decide(&snapshot);
            let depth = configuration.depth() as usize;
            let mut accepted = vec![0; depth + 1];
            for _ in 0..running {
                accepted[(0..depth).take_while(|_| stream.uniform() < 0.7).count()] += 1;
            }
            schedule.observe(&Observation { configuration, running, accepted: &accepted });
            configuration
        })
        .collect()
}

#[test]
fn the_same_history_gives_the_same_decisions() {
    for ((name, mut a), (_, mut b)) in all().into_iter().zip(all()) {
        assert_eq!(drive(a.as_mut(), 1), drive(b.as_mut(), 1), "{name}");
    }
}

#[test]
fn nobody_asks_for_more_than_was_announced() {
    for (name, mut schedule) in all() {
        let (most, trees) = (schedule.max_draft_tokens(), schedule.trees());
        for configuration in drive(schedule.as_mut(), 2) {
            assert!(configuration.draft_tokens() <= most, "{name}: {configuration}");
            let is_tree = matches!(configuration, Configuration::Tree { .. });
            assert!(!is_tree || trees.contains(&configuration), "{name}: {configuration} was not announced");
        }
    }
}

#[test]
fn leapable_schedules_forget() {
    // Asked again about the same snapshot, after anything else and after repeating it, they say the same.
    for (name, mut schedule) in all().into_iter().filter(|(_, schedule)| schedule.leapable()) {
        let snapshot = Snapshot { running: 7, context: 30_000, ..Snapshot::default() };
        let first = schedule.decide(&snapshot);
        assert_eq!(schedule.decide(&snapshot), first, "{name}");
        drive(schedule.as_mut(), 3);
        assert_eq!(schedule.decide(&snapshot), first, "{name}");
    }
}

#[test]
fn off_where_they_believe_that_speculation_loses() {
    // A token costs as much as a step: nothing that verifies more can gain.
    let dear = Linear { step: 1e-4, token: 1e-2, ..Linear::default() };
    let useless = Linear::default();
    for (first, cost) in [(0.7, &dear), (0.0, &useless)] {
        for (name, mut schedule) in judging(first, cost) {
            for running in [1, 3, 20, 100] {
                let snapshot =
                    Snapshot { running, context: 2_000 * u64::from(running), ..Snapshot::default() };
                assert_eq!(schedule.decide(&snapshot), Configuration::Off, "{name} at {running}");
            }
        }
    }
}

#[test]
fn the_order_in_which_candidates_are_named_changes_nothing() {
    let mut candidates = chains(7);
    candidates.push(tree());
    let decided = |candidates: &[Configuration]| {
        let mut schedule = Goodput::new(solver(candidates, 0.7, &Linear::default()), Switching::FREE);
        drive(&mut schedule, 4)
    };
    let forward = decided(&candidates);
    candidates.reverse();
    assert_eq!(decided(&candidates), forward);
}

proptest! {
    #[test]
    fn on_random_costs_judging_schedules_stay_within_what_they_may(
        step in 1e-3_f64..2e-2, token in 1e-6_f64..2e-3, draft in 1e-5_f64..5e-3, first in 0.0_f64..0.99,
        running in 1_u32..200, each in 1_u64..30_000,
    ) {
        let cost = Linear { step, token, draft, ..Linear::default() };
        let reference = solved(first, &cost);
        for (name, mut schedule) in judging(first, &cost) {
            let snapshot = Snapshot { running, context: each * u64::from(running), ..Snapshot::default() };
            let decision = schedule.decide(&snapshot);
            prop_assert!(decision.draft_tokens() <= schedule.max_draft_tokens(), "{}", name);
            if name == "goodput" {
                let arm = reference.index_of(decision).unwrap_or(0);
                let total = snapshot.context as f64;
                // The middle of a step of context is at most 2^(1/8) away.
                prop_assert!(reference.rate(arm, running, total) >= 0.9 * reference.best(running, total).rate);
            }
        }
    }
}
