//! The tail's keys: what holds whatever the run.

use super::Check;
use crate::scenario::Error;
use crate::scenario::raw::{NonNegative, Tail};

/// Largest error of a predictor: it knows nothing then.
const BLIND: f64 = 10.0;

pub(super) fn check(check: &Check<'_>, tail: &Tail, samples: u64) -> Result<(), Error> {
    let error = tail.predictor.as_ref().and_then(|p| p.log_error).map_or(0.0, NonNegative::get);
    let message = format!("found {error}, expected 0 to {BLIND}");
    check.holds(
        error <= BLIND,
        "tail.predictor.log_error",
        &message,
        "0.5 is off by a factor of 1.65 either way",
    )?;
    let Some(regroup) = &tail.regroup else { return Ok(()) };
    check.seconds("tail.regroup.seconds", regroup.seconds)?;
    let below = regroup.below.get();
    let message = format!("found {below}, expected fewer than the {samples} samples of one RL step");
    check.holds(below < samples, "tail.regroup.below", &message, "")
}
