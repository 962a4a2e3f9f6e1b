//! One step's cost: total with band, then its operators, dearest first.

use super::{numbers, paragraph};
use crate::study::step::StepReport;

/// The table of `rollcast cost`.
pub(in crate::cli) fn step(report: &StepReport) -> String {
    let ms = |seconds: f64| format!("{:.3}", seconds * 1e3);
    let seconds = &report.seconds;
    let label = textwrap::fill(&report.label, super::columns());
    let band = format!("5-95 %: {} - {}", ms(seconds.p05), ms(seconds.p95));
    let mut text = format!("{label}\n\n{} ms ({band})\n\n", ms(seconds.median));
    let mut table = super::table(&["operator", "ms", "share %", "bound", "basis", "log-sigma"]);
    for line in &report.by_op {
        table.add_row([
            line.operator.to_owned(),
            ms(line.seconds),
            format!("{:.1}", 100.0 * line.share),
            format!("{:?}", line.bound).to_lowercase(),
            line.tier.to_string(),
            format!("{:.2}", line.log_sigma),
        ]);
    }
    numbers(&mut table, 1..=2);
    numbers(&mut table, 5..=5);
    text += &table.trim_fmt();
    text.push('\n');
    if report.extrapolated {
        let share = report.extrapolated_s / seconds.median;
        let beyond: Vec<&str> =
            report.by_op.iter().filter(|line| line.extrapolated_s > 0.0).map(|line| line.operator).collect();
        text += "\n";
        text += &paragraph(
            "WARNING",
            &format!(
                "{:.0} % of this is beyond the range that its constants were fitted on: {}",
                100.0 * share,
                beyond.join(", ")
            ),
        );
    }
    for warning in &report.warnings {
        text += "\n";
        text += &paragraph("WARNING", warning);
    }
    text
}
