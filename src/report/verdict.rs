//! What a forecast advises, in a few words.

use crate::result::{Arm, RunResult};

/// A gain that is sure enough to act on.
const SURE: f64 = 0.95;
/// A change of the step's seconds, either way, that is none.
const SAME: f64 = 0.005;

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
    let (gain, p) = (&result.speedup.step, result.speedup.p_gain);
    // What neither side is limited by changes nothing, and a tie is no loss.
    if gain.p05 > 1.0 - SAME && gain.p95 < 1.0 + SAME {
        return format!("either will do: {new} changes no step's seconds");
    }
    let turned_on = drafts(on) && !drafts(off) && !alike;
    match p {
        p if p >= SURE && turned_on => format!("turn speculation ON ({new})"),
        p if p >= SURE => format!("switch from {old} to {new}"),
        p if p <= 1.0 - SURE && !drafts(off) && !alike => format!("leave speculation OFF ({new} loses)"),
        p if p <= 1.0 - SURE => format!("stay with {old} ({new} loses)"),
        _ => format!("UNDECIDED on {new}: measure what moves the answer most, below"),
    }
}
