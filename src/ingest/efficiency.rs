//! Efficiencies of training and log-probs that give the log's seconds.
//!
//! A stage's seconds are operations over an efficiency, and a few that do not depend on it: each turn of the loop scales the
//! efficiency by forecast over logged seconds, which settles in a few. Left out: generation, which no number is turned for.

use serde_json::json;

use super::found::{Expected, node, round};
use super::lengths::with_error;
use crate::result::RunResult;
use crate::rollout::Stepper;
use crate::scenario::Document;
use crate::study::{StudyError, compare};

/// Turns of the loop, and the relative difference at which it ends.
const TURNS: usize = 6;
const CLOSE: f64 = 1e-3;
/// Error of a solved efficiency: the seconds of a run's steps scatter by about that much.
const ERROR: f64 = 0.03;

/// A solved efficiency.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Solved {
    /// Its key.
    pub path: &'static str,
    /// Its value.
    pub value: f64,
    /// How it came about.
    pub from: String,
    /// The values it was solved from.
    pub of: Vec<String>,
}

/// Stages whose seconds one efficiency makes.
const KEYS: [(&str, &[&str]); 2] =
    [("training.mfu", &["training"]), ("training.logprob_mfu", &["logprob_old", "logprob_reference"])];

/// Solves what `expect` has seconds for, and puts it into the document.
pub(super) fn solve(
    document: &mut Document,
    expect: &[Expected],
    stepper: Stepper,
) -> Result<Vec<Solved>, StudyError> {
    // Few draws are enough for means of stages.
    let mut quick = document.clone();
    for (path, n) in [("uncertainty.workload_draws", 2), ("uncertainty.worlds", 1)] {
        quick.put(path, node(&json!(n))?)?;
    }
    let of = |stages: &[&str]| -> (f64, Vec<String>) {
        let is = |expected: &&Expected| {
            expected.quantity.split_once(".stages_s.").is_some_and(|(_, stage)| stages.contains(&stage))
        };
        let found: Vec<&Expected> = expect.iter().filter(is).collect();
        (found.iter().map(|e| e.value).sum(), found.iter().map(|e| e.quantity.clone()).collect())
    };
    let mut open: Vec<(&'static str, &[&str], f64, Vec<String>, f64)> = Vec::new();
    for (path, stages) in KEYS {
        let (seconds, quantities) = of(stages);
        if seconds > 0.0 {
            open.push((path, stages, seconds, quantities, 0.0));
        }
    }
    if open.is_empty() {
        return Ok(Vec::new());
    }
    for _ in 0..TURNS {
        let result = compare(&quick, stepper)?.result;
        let mut furthest: f64 = 0.0;
        for (path, stages, logged, _, value) in &mut open {
            let forecast = seconds(&result, stages);
            if forecast <= 0.0 {
                continue;
            }
            let training = &result.resolved.training;
            let now = if *path == "training.mfu" { training.mfu.value } else { training.logprob_mfu.value };
            *value = now * forecast / *logged;
            furthest = furthest.max((forecast / *logged - 1.0).abs());
            let within = round(value.min(1.0), 4);
            quick.put(path, node(&json!(within))?)?;
        }
        if furthest < CLOSE {
            break;
        }
    }
    let mut solved = Vec::new();
    for (path, _, logged, of, value) in open {
        if value <= 0.0 {
            continue;
        }
        if value > 1.0 {
            let message = format!(
                "the log's {logged:.1} s would take {value:.2} of the peak rate: model, GPUs, samples or lengths are not the log's"
            );
            return Err(StudyError::Input(document.error_at(path, message, None)));
        }
        let node = node(&with_error(value, ERROR * value))?;
        document.put(path, node)?;
        solved.push(Solved {
            path,
            value,
            from: format!("{value:.3}, solved from {logged:.1} s in the log"),
            of,
        });
    }
    Ok(solved)
}

/// Seconds of stages; training and log-probs are the same with speculation and without.
fn seconds(result: &RunResult, stages: &[&str]) -> f64 {
    let all = &result.forecast.stages_s;
    let named = [
        ("training", all.training),
        ("logprob_old", all.logprob_old),
        ("logprob_reference", all.logprob_reference),
    ];
    named.iter().filter(|(name, _)| stages.contains(name)).map(|(_, seconds)| seconds).sum()
}
