//! The solver's table, and schedules beside each other.

use super::{numbers, paragraph, seconds};
use crate::study::solve::{ScheduleScores, SolveReport};

/// The table of `rollcast solve`.
pub(in crate::cli) fn solve(report: &SolveReport) -> String {
    let mut text = format!("{}\n{}\n\n", report.name, report.label);
    let header = [
        "batch",
        "context",
        "run",
        "tokens/s",
        "gain",
        "next best",
        "loss %",
        "sure %",
        "else",
        "needs",
        "has",
    ];
    let mut table = super::table(&header);
    for cell in &report.cells {
        table.add_row([
            cell.batch.to_string(),
            format!("{:.0}", cell.context),
            cell.configuration.clone(),
            format!("{:.0}", cell.tokens_per_s),
            format!("{:.2}x", cell.gain),
            cell.runner_up.clone(),
            format!("{:.1}", 100.0 * cell.runner_up_loss),
            format!("{:.0}", 100.0 * cell.p_best),
            cell.else_best.as_ref().map_or_else(String::new, |(other, _)| other.clone()),
            format!("{:.2}", cell.break_even_length),
            format!("{:.2}", cell.length),
        ]);
    }
    numbers(&mut table, 0..=1);
    numbers(&mut table, 3..=4);
    numbers(&mut table, 6..=7);
    numbers(&mut table, 9..=10);
    text += &table.trim_fmt();
    text += "\n\n";
    text += &paragraph(
        "columns",
        "tokens/s of a replica, gain over plain decoding; in how many calibration worlds the answer is the best, and what \
         is in most of the others; tokens a draft round needs to break even, and has, for the best configuration that \
         drafts",
    );
    if report.cells.iter().any(|cell| cell.configuration.starts_with("tree")) {
        text += &paragraph("trees", "run in SGLang with fixed steps and in fastrl; vLLM has none");
    }
    for warning in &report.warnings {
        text += &paragraph("WARNING", warning);
    }
    text
}

/// The table of `rollcast solve --compare`.
pub(in crate::cli) fn schedules(scores: &ScheduleScores) -> String {
    let mut text = format!("{} rollouts each, the same requests\n\n", scores.rollouts);
    let header = ["schedule", "rollout s", "speedup", "+-", "length", "switches", "catch-up s"];
    let mut table = super::table(&header);
    for row in &scores.rows {
        table.add_row([
            row.schedule.clone(),
            seconds(row.rollout_s),
            format!("{:.3}", row.speedup),
            format!("{:.3}", row.se),
            format!("{:.2}", row.acceptance_length),
            format!("{:.0}", row.switches),
            seconds(row.catch_up_s),
        ]);
    }
    numbers(&mut table, 1..=6);
    text += &table.trim_fmt();
    text.push('\n');
    for warning in &scores.warnings {
        text.push('\n');
        text += &paragraph("WARNING", warning);
    }
    for reason in &scores.left_out {
        text.push('\n');
        text += &paragraph("left out", reason);
    }
    text
}
