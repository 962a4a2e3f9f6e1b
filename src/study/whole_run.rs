//! The whole run that some RL steps are a sample of: start-up, evaluations and checkpoints beside its steps, and after how many
//! steps a drafter has paid for its training.
//!
//! hours = (start-up + steps · step + evaluations + checkpoints) / 3600, in each draw and world. The simulated steps stand
//! for all: lengths do not drift, and acceptance no further than to the last simulated step.

use super::compare::Side;
use super::summarise::Priced;
use crate::math::Summary;
use crate::result::WholeRun;
use crate::scenario::raw::{Count, Interruption, NonNegative, WholeRun as Asked};

/// Both sides of the run that was asked about.
pub(super) fn of(asked: &Asked, sides: [(&Side<'_>, &Priced); 2]) -> WholeRun {
    let steps = asked.rl_steps.map_or(1, Count::get);
    let usd_of = |given: Option<NonNegative>| given.map_or(0.0, NonNegative::get);
    let stops = |given: &Option<Interruption>| {
        given.as_ref().map_or(0.0, |stop| (steps / stop.every.get()) as f64 * stop.seconds.get())
    };
    let beside = usd_of(asked.startup_seconds) + stops(&asked.evaluation) + stops(&asked.checkpoint);
    let drafter = usd_of(asked.drafter_usd);
    let seconds = |priced: &Priced| -> Vec<f64> {
        priced.step_s.iter().map(|step| beside + steps as f64 * step).collect()
    };
    let scaled = |seconds: &[f64], factor: f64, plus: f64| {
        Summary::of(&seconds.iter().map(|s| s * factor + plus).collect::<Vec<f64>>())
    };
    let [(slow, slow_priced), (fast, fast_priced)] = sides;
    let prices = [slow, fast].map(|side| side.prepared.resolved.usd_per_second());
    let (before, after) = (seconds(slow_priced), seconds(fast_priced));
    let mean = |priced: &Priced| priced.step_s.iter().sum::<f64>() / priced.step_s.len().max(1) as f64;
    let saved = mean(slow_priced) * prices[0] - mean(fast_priced) * prices[1];
    WholeRun {
        rl_steps: steps,
        baseline_hours: scaled(&before, 1.0 / 3600.0, 0.0),
        forecast_hours: scaled(&after, 1.0 / 3600.0, 0.0),
        baseline_usd: scaled(&before, prices[0], 0.0),
        forecast_usd: scaled(&after, prices[1], drafter),
        payback_steps: (saved > 0.0).then(|| drafter / saved),
    }
}
