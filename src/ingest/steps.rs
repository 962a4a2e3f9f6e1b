//! Engine steps as a log shows them: a median by batch, and a scenario's forecast beside each.
//!
//! Left out: what a context does where the log does not tell it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::found::Found;
use crate::resolve;
use crate::scenario::Document;
use crate::study::StudyError;
use crate::study::step::{StepQuestion, step};
use crate::workload::running_context;

/// Fewest steps behind a median.
const FEWEST: usize = 5;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Seen {
    pub batch: f64,
    /// Tokens that each sequence had verified: 1 without drafts.
    pub tokens_each: f64,
    /// Mean context of a sequence, in tokens.
    pub context: Option<f64>,
    pub ms: f64,
}

/// Steps of about one batch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepTime {
    /// Decoding sequences.
    pub batch: u64,
    /// Draft tokens that a sequence had verified.
    pub draft_tokens: u64,
    /// Their mean context, in tokens, where the log tells it.
    pub context: Option<u64>,
    /// Median time, in milliseconds.
    pub ms: f64,
    /// Steps behind it.
    pub steps: usize,
}

impl fmt::Display for StepTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let context = self.context.map_or(String::new(), |context| format!(", context {context}"));
        let (batch, k, ms, n) = (self.batch, self.draft_tokens, self.ms, self.steps);
        write!(f, "of {batch} sequences, {k} draft tokens{context}: {ms} ms, median of {n}")
    }
}

/// Steps by octave of the batch and by draft tokens.
#[derive(Debug, Default)]
pub(super) struct Steps {
    by: BTreeMap<(u64, i32), Vec<Seen>>,
}

impl Steps {
    pub(super) fn add(&mut self, seen: Seen) {
        let k = (seen.tokens_each - 1.0).round().max(0.0) as u64;
        // Halves of an octave: batches 1, 1.4, 2, 2.8, …
        let octave = libm::round(2.0 * libm::log2(seen.batch)) as i32;
        self.by.entry((k, octave)).or_default().push(seen);
    }

    pub(super) fn into_found(self, found: &mut Found) {
        for ((draft_tokens, _), seen) in self.by {
            if seen.len() < FEWEST {
                continue;
            }
            let of = |value: &dyn Fn(&Seen) -> f64| {
                let mut values: Vec<f64> = seen.iter().map(value).collect();
                values.sort_by(f64::total_cmp);
                values[values.len() / 2]
            };
            let known = seen.iter().all(|s| s.context.is_some());
            found.steps.push(StepTime {
                batch: of(&|s| s.batch).round() as u64,
                draft_tokens,
                context: known.then(|| of(&|s| s.context.unwrap_or(0.0)).round() as u64),
                ms: super::found::round(of(&|s| s.ms), 4),
                steps: seen.len(),
            });
        }
    }
}

/// Forecasts of these steps by a scenario, which has a drafter or not, a line each.
pub(super) fn beside(
    steps: &[StepTime],
    document: &Document,
    drafts: bool,
) -> Result<Vec<String>, StudyError> {
    if steps.is_empty() {
        return Ok(Vec::new());
    }
    let prepared = resolve::resolve_engine(document)?;
    let assumed = running_context(&prepared.resolved.workload, 1.0);
    let mut lines = Vec::new();
    for seen in steps {
        if seen.draft_tokens > 0 && !drafts {
            lines.push(format!("engine step {seen}: this scenario has no drafter"));
            continue;
        }
        let report = step(&prepared, &question(seen, assumed));
        let (ms, low, high) =
            (1e3 * report.seconds.median, 1e3 * report.seconds.p05, 1e3 * report.seconds.p95);
        let at = if seen.context.is_none() {
            format!(" at an assumed context of {assumed:.0}")
        } else {
            String::new()
        };
        lines.push(format!(
            "engine step {seen}; forecast {ms:.2} ({low:.2}-{high:.2}){at}, {:+.0} %",
            100.0 * (ms / seen.ms - 1.0)
        ));
    }
    Ok(lines)
}

fn question(seen: &StepTime, assumed: f64) -> StepQuestion {
    StepQuestion {
        batch: seen.batch as u32,
        context: seen.context.map_or(assumed, |context| context as f64),
        draft_tokens: seen.draft_tokens as u32,
        prefill_tokens: 0,
    }
}
