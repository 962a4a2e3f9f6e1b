//! What a forecast advises, in a few words.

use crate::result::{Arm, RunResult};

/// A gain that is sure enough to act on.
const SURE: f64 = 0.95;

/// Whether it drafts, be it in vain: rates are counted as soon as anything is drafted.
pub fn drafts(arm: &Arm) -> bool {
    !arm.acceptance_per_position.is_empty()
}

/// Whether the scenario is its own baseline, so that there is nothing to compare.
pub fn alone(result: &RunResult) -> bool {
    let gain = &result.speedup.step;
    result.baseline.label == result.forecast.label && gain.p05 == 1.0 && gain.p95 == 1.0
}

/// What to do.
pub fn verdict(result: &RunResult) -> String {
    let (off, on) = (&result.baseline, &result.forecast);
    if alone(result) {
        return format!("nothing is compared (speculation {}, as in the baseline)", on.label);
    }
    // Where both draft alike, something else differs.
    let alike = off.label == on.label;
    let (old, new) =
        if alike { ("the baseline", "this scenario") } else { (off.label.as_str(), on.label.as_str()) };
    match (drafts(on), result.speedup.p_gain) {
        (false, _) => format!("compare {} with {}", on.label, off.label),
        (true, p) if drafts(off) && p >= SURE => format!("switch from {old} to {new}"),
        (true, p) if drafts(off) && p <= 1.0 - SURE => format!("stay with {old} ({new} loses)"),
        (true, p) if p >= SURE => format!("turn speculation ON ({})", on.label),
        (true, p) if p <= 1.0 - SURE => format!("leave speculation OFF ({} loses)", on.label),
        (true, _) => format!("UNDECIDED on {}: measure what moves the answer most, below", on.label),
    }
}
