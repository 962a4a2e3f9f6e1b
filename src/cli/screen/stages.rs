//! The stage table: baseline, forecast, band, basis.

use super::{numbers, seconds};
use crate::report::{alone, drafts};
use crate::result::{Arm, RunResult};

/// Share of a step below which idle seconds are rounding.
const IDLE: f64 = 0.001;

/// Seconds of each stage on the critical path, and of the step.
pub(super) fn table(result: &RunResult) -> String {
    let (off, on) = (&result.baseline, &result.forecast);
    let alone = alone(result);
    // A scenario that is its own baseline has one column of seconds.
    let row = |name: &str, before: f64, after: f64, band: String, basis: &str| {
        let mut cells = vec![name.to_owned(), seconds(before), seconds(after), band, basis.to_owned()];
        if alone {
            cells.remove(1);
        }
        cells
    };
    let mut header = vec!["seconds a step", short(off), short(on), "5-95 %", "basis"];
    if alone {
        header.remove(1);
    }
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
        table.add_row(row(name, a[stage], b[stage], band, basis.label()));
    }
    // What is left of the step: nobody's.
    let (a, b) = (off.exposed_s.idle, on.exposed_s.idle);
    if a > IDLE * off.step_s.mean || b > IDLE * on.step_s.mean {
        table.add_row(row("idle", a, b, String::new(), ""));
    }
    let band = format!("{} - {}", seconds(on.step_s.p05), seconds(on.step_s.p95));
    table.add_row(row("step", off.step_s.mean, on.step_s.mean, band, ""));
    numbers(&mut table, if alone { 1..=2 } else { 1..=3 });
    format!("{}\n", table.trim_fmt())
}

fn short(arm: &Arm) -> &'static str {
    if arm.label == "off" {
        "off"
    } else if drafts(arm) {
        "SD"
    } else {
        "not drafting"
    }
}
