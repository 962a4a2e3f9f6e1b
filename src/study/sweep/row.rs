//! One point's figures as one row of text: numbers in the shortest form that reads back as the same number.

use crate::math::Summary;
use crate::resolve::ResolveError;
use crate::result::{Arm, RunResult};

/// Columns after the axes'. Seconds, USD, shares of 1; `_p05` and `_p95` are the 5-95 % interval of the column before
/// them, whose own figure is the median. `basis_*`: shares of seconds by what they rest on. `warnings`: as `run` shows them,
/// apart by ` | `. `error`: why there is none.
pub const FIGURES: [&str; 37] = [
    "speculation",
    "baseline_step_s",
    "baseline_step_s_p05",
    "baseline_step_s_p95",
    "baseline_rollout_s",
    "baseline_rollout_s_p05",
    "baseline_rollout_s_p95",
    "baseline_usd_per_step",
    "baseline_usd_per_step_p05",
    "baseline_usd_per_step_p95",
    "step_s",
    "step_s_p05",
    "step_s_p95",
    "rollout_s",
    "rollout_s_p05",
    "rollout_s_p95",
    "usd_per_step",
    "usd_per_step_p05",
    "usd_per_step_p95",
    "step_speedup",
    "step_speedup_p05",
    "step_speedup_p95",
    "rollout_speedup",
    "rollout_speedup_p05",
    "rollout_speedup_p95",
    "p_gain",
    "acceptance_length",
    "kv_peak_share",
    "preemptions",
    "clipped_share",
    "tokens_per_s_per_gpu",
    "extrapolated_share",
    "basis_measured",
    "basis_published",
    "basis_analytic",
    "warnings",
    "error",
];

/// Between two warnings of a point.
const APART: &str = " | ";

/// Warnings of many points by what they are of, whatever their numbers: how many points have each, and the first one's text.
#[derive(Debug, Clone, Default)]
pub struct Warnings {
    kinds: Vec<(String, usize, String)>,
}

impl Warnings {
    /// Takes in the text of a point's column.
    pub fn see(&mut self, cell: &str) {
        for warning in cell.split(APART).filter(|warning| !warning.is_empty()) {
            let kind: String = warning.chars().filter(|c| !c.is_ascii_digit() && *c != '.').collect();
            match self.kinds.iter_mut().find(|(known, ..)| *known == kind) {
                Some((_, points, _)) => *points += 1,
                None => self.kinds.push((kind, 1, warning.to_owned())),
            }
        }
    }

    /// Points and the first one's text, the most frequent kinds first.
    pub fn texts(&self) -> Vec<String> {
        let mut kinds: Vec<&(String, usize, String)> = self.kinds.iter().collect();
        kinds.sort_by_key(|(_, points, _)| std::cmp::Reverse(*points));
        let points = |n: usize| if n == 1 { "1 point".to_owned() } else { format!("{n} points, such as") };
        kinds.iter().map(|(_, n, first)| format!("{}: {first}", points(*n))).collect()
    }
}

/// One row: its cells are the axes' values and then [`FIGURES`].
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The point's index.
    pub index: u64,
    /// Cells in the order of the columns.
    pub cells: Vec<String>,
}

impl Row {
    /// Of a point that has a forecast.
    pub(super) fn of(index: u64, labels: Vec<String>, result: &RunResult) -> Self {
        let mut cells = labels;
        cells.push(result.forecast.label.clone());
        let mut summary = |summary: &Summary| {
            cells.extend([summary.median, summary.p05, summary.p95].map(number));
        };
        let arm = |arm: &Arm| [arm.step_s, arm.rollout_s, arm.usd_per_step];
        arm(&result.baseline).iter().chain(&arm(&result.forecast)).for_each(&mut summary);
        [result.speedup.step, result.speedup.rollout].iter().for_each(&mut summary);
        let forecast = &result.forecast;
        let basis = &result.provenance.tier_share;
        cells.extend(
            [
                result.speedup.p_gain,
                forecast.acceptance_length,
                forecast.kv_peak_share,
                forecast.preemptions,
                forecast.clipped_share,
                forecast.response_tokens_per_s_per_gpu.median,
                result.provenance.extrapolated_share,
                basis.measured,
                basis.published,
                basis.analytic,
            ]
            .map(number),
        );
        cells.push(result.warnings.join(APART));
        cells.push(String::new());
        Row { index, cells }
    }

    /// Of a point that has none.
    pub(super) fn failed(index: u64, labels: Vec<String>, error: &ResolveError) -> Self {
        let text = match error {
            ResolveError::Input(error) => format!("{}: {}", error.path(), error.message()),
            other => other.to_string(),
        };
        let mut cells = labels;
        cells.extend(std::iter::repeat_n(String::new(), FIGURES.len() - 1));
        cells.push(text.split_whitespace().collect::<Vec<_>>().join(" "));
        Row { index, cells }
    }

    /// Why there is no forecast; empty where there is one.
    pub fn error(&self) -> &str {
        self.cells.last().map_or("", String::as_str)
    }
}

fn number(value: f64) -> String {
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_counted_by_kind() {
        let mut all = Warnings::default();
        for cell in ["", "12 preemptions over all draws | 7.5 % beyond", "3 preemptions over all draws"] {
            all.see(cell);
        }
        assert_eq!(
            all.texts(),
            ["2 points, such as: 12 preemptions over all draws", "1 point: 7.5 % beyond"]
        );
    }
}
