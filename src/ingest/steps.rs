//! Engine steps as a log shows them: a median by batch, to hold `rollcast cost step` against.
//!
//! Left out: what a context does where the log does not tell it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::found::Found;

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
