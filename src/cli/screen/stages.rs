//! The stage table: baseline, forecast, band, basis.

use super::{numbers, seconds};
use crate::result::{Arm, RunResult};

/// Seconds of each stage on the critical path, and of the step.
pub(super) fn table(result: &RunResult) -> String {
    let (off, on) = (&result.baseline, &result.forecast);
    let header = ["seconds a step", short(off), short(on), "5-95 %", "basis"];
    let mut table = super::table(&header);
    let basis = &on.stage_basis;
    let (a, b) = (off.exposed_s.stages.to_array(), on.exposed_s.stages.to_array());
    let (low, high) = (on.stage_bands_s.p05.to_array(), on.stage_bands_s.p95.to_array());
    let names = [
        ("data", basis.data),
        ("prepare", basis.prepare),
        ("generation", basis.generation),
        ("reward", basis.reward),
        ("old log-probs", basis.logprob),
        ("ref. log-probs", basis.logprob),
        ("training", basis.training),
    ];
    for (stage, (name, basis)) in names.into_iter().enumerate() {
        // A stage that neither side has would only be noise.
        if a[stage] == 0.0 && b[stage] == 0.0 {
            continue;
        }
        let band = format!("{} - {}", seconds(low[stage]), seconds(high[stage]));
        table.add_row([name.to_owned(), seconds(a[stage]), seconds(b[stage]), band, basis.label().to_owned()]);
    }
    let band = format!("{} - {}", seconds(on.step_s.p05), seconds(on.step_s.p95));
    table.add_row(["step".to_owned(), seconds(off.step_s.mean), seconds(on.step_s.mean), band, String::new()]);
    numbers(&mut table, 1..=3);
    format!("{}\n", table.trim_fmt())
}

fn short(arm: &Arm) -> &'static str {
    if arm.label == "off" {
        "off"
    } else if arm.acceptance_length > 1.0 {
        "SD"
    } else {
        "not drafting"
    }
}
