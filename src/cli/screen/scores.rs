//! Forecasts beside published values.

use super::{numbers, seconds};
use crate::study::validate::Validation;

/// The table of `rollcast validate`, worst first, and how many gates hold.
pub(in crate::cli) fn validation(validation: &Validation) -> String {
    let mut table =
        super::table(&["quantity", "forecast", "published", "error %", "in band", "gate", "scenario"]);
    for row in &validation.rows {
        let e = &row.expected;
        let yes_no = |value: Option<bool>| value.map_or("-", |yes| if yes { "yes" } else { "no" }).to_owned();
        let gate = match (e.gate, e.passed) {
            (Some(gate), Some(passed)) => {
                format!("{:.0} % {}", 100.0 * gate, if passed { "passed" } else { "FAILED" })
            }
            _ => "-".to_owned(),
        };
        let scenario = std::path::Path::new(&row.scenario)
            .file_stem()
            .map_or_else(|| row.scenario.clone(), |stem| stem.to_string_lossy().into_owned());
        table.add_row([
            e.quantity.clone(),
            e.forecast.map_or_else(|| "none".to_owned(), seconds),
            seconds(e.published),
            e.error.map_or_else(|| "-".to_owned(), |error| format!("{:+.1}", 100.0 * error)),
            yes_no(e.in_band),
            gate,
            scenario,
        ]);
    }
    numbers(&mut table, 1..=3);
    let failed = validation.rows.iter().filter(|row| row.expected.passed == Some(false)).count();
    let gated = validation.rows.iter().filter(|row| row.expected.gate.is_some()).count();
    format!("{}\n\n{} of {gated} gates passed\n", table.trim_fmt(), gated - failed)
}
