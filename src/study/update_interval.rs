//! How often a drafter is best trained, on this run's own seconds: a training costs what the loop is longer for, and until the
//! next one generation takes longer by the acceptance length that is lost.
//!
//! Seconds of an age: T (A_0 / A_age - 1), T the mean rollout, A the acceptance length at the drafter's untrained rate. Where
//! A falls in a straight line this is the square-root law (`speculation::staleness`). A training is taken to restore
//! everything; rounds are taken to cost the same at every acceptance. Leaves out: what a stale drafter does to the tail.

use super::compare::Side;
use crate::result::UpdateInterval;
use crate::rl::{StepWork, idle_gpu_seconds};
use crate::rollout::Outcome;
use crate::speculation::acceptance::shift;
use crate::speculation::staleness::{cheapest_interval, logit_shift};

pub(super) fn of(side: &Side<'_>) -> Option<UpdateInterval> {
    let resolved = &side.prepared.resolved;
    let (speculation, drafter) = (resolved.speculation.as_ref()?, resolved.training.drafter?);
    let rates = &speculation.untrained_rates;
    let first = *rates.first()?;
    let drafted = (speculation.schedule.max_draft_tokens() as usize).min(speculation.acceptance.rates.len());
    let length = |rate: f64| {
        let moved = shift(&speculation.acceptance.rates[..drafted], logit_shift(first, rate));
        let survivals = moved.iter().scan(1.0, |product, rate| {
            *product *= rate;
            Some(*product)
        });
        1.0 + survivals.sum::<f64>()
    };
    let steps = side.counted().count().max(1) as f64;
    let longest = |step: &StepWork| step.replicas.iter().map(Outcome::nominal).fold(0.0, f64::max);
    let generation_s = side.counted().map(longest).sum::<f64>() / steps;
    let fresh = length(first);
    let lost = |age: u32| {
        let rate = rates.get(age as usize).or(rates.last()).copied().unwrap_or(first);
        (generation_s * (fresh / length(rate) - 1.0)).max(0.0)
    };
    // What idle GPUs take of a training differs from step to step; where samples come one by one they are never all idle.
    let gpus = resolved.generation.layout.gpus();
    let idle =
        |step: &StepWork| if side.loops.is_empty() { idle_gpu_seconds(&step.replicas, gpus) } else { 0.0 };
    let exposed_s = side.counted().map(|step| drafter.exposed(idle(step))).sum::<f64>() / steps;
    let update_s = exposed_s + drafter.sync_seconds;
    let most = resolved.rl_steps;
    let (best_every, best_s) = cheapest_interval(update_s, lost, most);
    let spent = (0..drafter.every).map(lost).sum::<f64>() + update_s;
    Some(UpdateInterval {
        every: drafter.every,
        seconds_per_step: spent / f64::from(drafter.every),
        best_every,
        best_seconds_per_step: best_s,
        update_s,
        at_the_end_of_the_run: best_every == most,
    })
}
