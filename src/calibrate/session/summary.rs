//! What is said of a run at its end: `run.json`, and the terminal's text.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Options;
use crate::calibrate::bars::{self, Bar};
use crate::calibrate::correctness::Check;
use crate::calibrate::drift::{Drift, Sentinels};
use crate::calibrate::forecast::hash;
use crate::calibrate::kernels;
use crate::calibrate::outcome::{Measured, Outcome};
use crate::calibrate::tables::Provenance;
use crate::math::quantile_sorted;

/// JSON as a file has it.
pub(super) fn pretty(value: &Value) -> String {
    let mut text = format!("{value:#}");
    text.push('\n');
    text
}

/// What a run measured beside its tables.
pub(super) struct Found<'a> {
    pub(super) first: &'a [Measured],
    pub(super) outcome: &'a Outcome,
    pub(super) bars: &'a [Bar],
    pub(super) seconds: f64,
    pub(super) frozen: u64,
}

/// `run.json`.
pub(super) fn summary(
    provenance: &Provenance,
    options: &Options,
    found: &Found,
    correct: Option<bool>,
) -> Value {
    let Found { first, outcome, bars, seconds, frozen } = *found;
    let drift: Vec<Value> = Sentinels::works()
        .iter()
        .enumerate()
        .filter_map(|(index, work)| {
            let drift = Drift::of(&outcome.sentinels, index)?;
            Some(json!({ "work": work.to_string(), "ln_change": drift.change, "error": drift.error,
                         "readings": drift.readings, "detected": drift.detected() }))
        })
        .collect();
    let rates: Vec<Value> = first
        .iter()
        .map(|row| {
            let (work, s) = (&row.point.work, row.spread.median);
            json!({ "work": work.to_string(), "us": 1e6 * s, "gb_per_s": work.bytes() / s / 1e9,
                    "tflop_per_s": work.flops() / s / 1e12, "note": row.opened.note })
        })
        .collect();
    let hot: Vec<Value> = outcome
        .hot
        .iter()
        .map(|(work, [cold, hot])| json!({ "work": work.to_string(), "cold_us": 1e6 * cold, "hot_us": 1e6 * hot }))
        .collect();
    let mut clocks: Vec<f64> = outcome.rows.iter().filter_map(|row| row.sm_mhz).collect();
    clocks.sort_by(f64::total_cmp);
    json!({
        "device": provenance.device, "driver": provenance.driver, "versions": provenance.versions,
        "provider": provenance.provider,
        "kernels": kernels::SOURCES.iter().map(|(name, text)| (*name, format!("{:016x}", hash(text.as_bytes())))).collect::<std::collections::BTreeMap<_, _>>(),
        "budget_s": options.budget_s, "seed": options.seed, "seconds": seconds, "correct": correct,
        "checks": options.checks.name(),
        "broken": outcome.broken.as_ref().map(ToString::to_string),
        "ceilings": rates, "drift": drift, "reproducibility": outcome.reproducibility(),
        "sm_mhz": { "p05": quantile_sorted(&clocks, 0.05), "median": quantile_sorted(&clocks, 0.5) },
        "hot": hot,
        "rows": outcome.rows.len(), "unstable": outcome.rows.iter().filter(|row| row.unstable).count(),
        "skipped": outcome.skipped.iter().map(|point| point.work.to_string()).collect::<Vec<_>>(),
        "refused": outcome.refused.iter().map(|(work, why)| format!("{work}: {why}")).collect::<Vec<_>>(),
        "frozen_forecasts": format!("{frozen:016x}"),
        "bars": bars.iter().map(|bar| json!({ "what": bar.what, "bar": bar.bar, "found": bar.found, "met": bar.met })).collect::<Vec<_>>(),
    })
}

/// For the terminal.
pub(super) fn screen(outcome: &Outcome, bars: &[Bar], checks: &[Check], seconds: f64) -> String {
    let mut text = match &outcome.broken {
        Some(error) => format!("BROKEN, and what was measured until then stays: {error}\n"),
        None => String::new(),
    };
    // Writing into a string cannot fail.
    let _ = writeln!(
        text,
        "{} points in {seconds:.1} s, {} left out, {} refused, {} unsteady",
        outcome.rows.len(),
        outcome.skipped.len(),
        outcome.refused.len(),
        outcome.rows.iter().filter(|row| row.unstable).count()
    );
    let failed: Vec<&Check> = checks.iter().filter(|check| !check.passed).collect();
    let verdict = match (checks.len(), failed.len()) {
        (0, _) => "not checked, there is no kernel to run".to_owned(),
        (all, 0) => format!("all {all} checks passed"),
        (all, n) => format!("{n} of {all} checks FAILED: all rows are flagged, and none counts"),
    };
    let _ = writeln!(text, "correctness: {verdict}");
    for check in failed {
        let _ = writeln!(text, "  {check}");
    }
    for (index, work) in Sentinels::works().iter().enumerate() {
        if let Some(drift) = Drift::of(&outcome.sentinels, index) {
            let seen = if drift.detected() { "DRIFT" } else { "no drift" };
            let _ = writeln!(
                text,
                "{seen}: {work} {:+.2} % +- {:.2} over the run",
                100.0 * drift.change,
                100.0 * drift.error
            );
        }
    }
    text += "\n";
    text + &bars::text(bars)
}
