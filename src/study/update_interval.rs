//! How often a drafter is best trained, on this run's own seconds: a training costs what the loop is longer for, and generation
//! takes longer by the acceptance length that the drafter lags behind.
//!
//! Each interval's course of first-position rates is gone through (`speculation::staleness`). A step at rate a generates for
//! W / A(a) seconds: A is the acceptance length, W the mean over this run's steps of seconds times acceptance length. What it
//! loses is counted against the best rate that the drafter could have. Rounds are taken to cost the same at every acceptance.
//! Leaves out: what a stale drafter does to the tail.

use super::compare::Side;
use crate::result::UpdateInterval;
use crate::rl::{StepWork, idle_gpu_seconds};
use crate::rollout::Outcome;
use crate::speculation::acceptance::shift;
use crate::speculation::staleness::{Course, Learner, cheapest_interval, interval_cost, logit_shift, rates};

/// Points of the table of acceptance lengths by rate.
const RATES: usize = 200;

pub(super) fn of(side: &Side<'_>) -> Option<UpdateInterval> {
    let resolved = &side.prepared.resolved;
    let (speculation, drafter) = (resolved.speculation.as_ref()?, resolved.training.drafter?);
    let untrained = &speculation.untrained_rates;
    let first = *untrained.first()?;
    let drafted = (speculation.schedule.max_draft_tokens() as usize).min(speculation.acceptance.rates.len());
    let exact = |rate: f64| {
        let moved = shift(&speculation.acceptance.rates[..drafted], logit_shift(first, rate));
        let survivals = moved.iter().scan(1.0, |product, rate| {
            *product *= rate;
            Some(*product)
        });
        1.0 + survivals.sum::<f64>()
    };
    let table: Vec<f64> = (0..=RATES).map(|i| exact(i as f64 / RATES as f64)).collect();
    let length = |rate: f64| {
        let at = rate * RATES as f64;
        let i = (at as usize).min(RATES - 1);
        table[i] + (at - i as f64) * (table[i + 1] - table[i])
    };
    let longest = |step: &StepWork| step.replicas.iter().map(Outcome::nominal).fold(0.0, f64::max);
    // Seconds of a step times the acceptance length that it was simulated with.
    let rate_of = |step: usize| speculation.first_rates.get(step).copied().unwrap_or(first);
    let from = side.first_counted();
    let work = side.draws.iter().flat_map(|steps| {
        steps.iter().enumerate().skip(from).map(|(step, work)| longest(work) * length(rate_of(step)))
    });
    let steps = side.counted().count().max(1) as f64;
    let work = work.sum::<f64>() / steps;
    let attainable = length((first + drafter.initial_gap).min(0.999));
    let lost = |rate: f64| (work * (1.0 / length(rate) - 1.0 / attainable)).max(0.0);
    // What idle GPUs take of a training differs from step to step; where samples come one by one they are never all idle.
    let gpus = resolved.generation.layout.gpus();
    let idle =
        |step: &StepWork| if side.loops.is_empty() { idle_gpu_seconds(&step.replicas, gpus) } else { 0.0 };
    let exposed_s = side.counted().map(|step| drafter.exposed(idle(step))).sum::<f64>() / steps;
    let update_s = exposed_s + drafter.sync_seconds;
    let most = resolved.rl_steps;
    let course = Course::Points(untrained.iter().enumerate().map(|(i, rate)| (i as f64, *rate)).collect());
    let rates_at = |every: u32| {
        let learner = Learner {
            every,
            updates: drafter.updates.0,
            recovery: drafter.updates.1,
            lag: drafter.lag,
            initial_gap: drafter.initial_gap,
        };
        rates(first, Some(&course), Some(&learner), most as usize)
    };
    let (best_every, best_s) = cheapest_interval(rates_at, update_s, lost, most);
    Some(UpdateInterval {
        every: drafter.every,
        seconds_per_step: interval_cost(&rates_at(drafter.every), drafter.every, update_s, lost),
        best_every,
        best_seconds_per_step: best_s,
        update_s,
        at_the_end_of_the_run: best_every == most,
    })
}
