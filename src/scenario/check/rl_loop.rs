//! The loop's keys: what no loop can be, whatever a preset sets.

use super::Check;
use crate::scenario::Error;
use crate::scenario::raw::{CountOrZero, Loop, Mode, NonNegative, Scenario, WeightSync};

/// Largest staleness bound, in RL steps: beyond it nothing is on-policy in any sense.
const STALEST: u64 = 1000;
/// Largest factor of over-sampling.
const MOST_SAMPLED: f64 = 16.0;

pub(super) fn check(check: &Check<'_>, scenario: &Scenario, rl_loop: &Loop) -> Result<(), Error> {
    check.seconds("loop.data_seconds", rl_loop.data_seconds)?;
    check.seconds("loop.prepare_seconds", rl_loop.prepare_seconds)?;
    if let Some(WeightSync::Seconds(seconds)) = rl_loop.weight_sync {
        check.seconds("loop.weight_sync.seconds", Some(seconds))?;
    }
    let staleness = rl_loop.max_staleness.map_or(0, CountOrZero::get);
    let message = format!("found {staleness}, expected at most {STALEST} RL steps");
    check.holds(staleness <= STALEST, "loop.max_staleness", &message, "")?;
    let partial = rl_loop.partial_rollouts == Some(true);
    let sync = rl_loop.mode == Some(Mode::Sync);
    let message = format!("found {staleness} in a synchronous loop, expected 0");
    let hint = "mode: async lets samples lag; so do partial_rollouts";
    check.holds(!sync || staleness == 0 || partial, "loop.max_staleness", &message, hint)?;
    let message = "found pools of different GPUs, expected false";
    let colocated = rl_loop.colocated == Some(true) && scenario.pools.is_some();
    check.holds(!colocated, "loop.colocated", message, "cluster is the key for shared GPUs")?;
    let lead = rl_loop.lead.map_or(0.0, NonNegative::get);
    let message = format!("found a lead of {lead} RL steps in a synchronous loop, expected 0");
    check.holds(!sync || lead == 0.0, "loop.lead", &message, "mode: async lets samples lag")?;
    let bounded = rl_loop.max_staleness.is_none() || lead <= staleness as f64;
    let message = format!("found a lead of {lead} RL steps beside a staleness of at most {staleness}");
    check.holds(
        bounded,
        "loop.lead",
        &message,
        "what is further ahead than the bound could never be trained",
    )?;
    if let Some(over) = &rl_loop.over_sampling {
        let factor = over.factor.get();
        let message = format!("found {factor}, expected 1 to {MOST_SAMPLED}");
        check.holds((1.0..=MOST_SAMPLED).contains(&factor), "loop.over_sampling.factor", &message, "")?;
    }
    let stray = partial && rl_loop.over_sampling.is_none();
    let message =
        "found partial rollouts without over_sampling: every prompt is waited for, nothing is left over";
    check.holds(!stray, "loop.partial_rollouts", message, "over_sampling: { factor: 1.5 }")?;
    let Some(filter) = &rl_loop.dynamic_sampling else { return Ok(()) };
    let filtered = filter.all_pass.get() + filter.all_fail.get();
    let message = format!("found {filtered} of the groups without signal, expected at most 0.99");
    check.holds(
        filtered <= 0.99,
        "loop.dynamic_sampling",
        &message,
        "a filter that nothing passes never fills a batch",
    )
}
