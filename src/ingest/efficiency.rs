//! Efficiencies of training and log-probs that give the log's seconds.
//!
//! A stage's seconds are operations over an efficiency, and a few that do not depend on it: each turn of the loop scales the
//! efficiency by forecast over logged seconds, which settles in a few. Stages count that both the log and the scenario have.
//! Left out: generation, which no number is turned for.

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

/// An efficiency that is being solved.
struct Open<'a> {
    path: &'static str,
    /// What the log has of its stages.
    logged: Vec<(&'static str, &'a Expected)>,
    value: f64,
}

impl Open<'_> {
    /// Logged and forecast seconds of the stages that both sides have.
    fn seconds(&self, result: &RunResult) -> [f64; 2] {
        let mut sums = [0.0; 2];
        for (stage, logged) in &self.logged {
            let forecast = forecast(result, stage);
            if forecast > 0.0 {
                sums[0] += logged.value;
                sums[1] += forecast;
            }
        }
        sums
    }
}

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
    let logged = |stage: &&'static str| {
        let of = |expected: &&Expected| expected.quantity.ends_with(&format!(".stages_s.{stage}"));
        expect.iter().find(of).filter(|expected| expected.value > 0.0).map(|expected| (*stage, expected))
    };
    let all = KEYS.map(|(path, stages)| Open {
        path,
        logged: stages.iter().filter_map(logged).collect(),
        value: 0.0,
    });
    let mut open: Vec<Open> = all.into_iter().filter(|open| !open.logged.is_empty()).collect();
    let mut last = None;
    for _ in 0..TURNS {
        if open.is_empty() {
            break;
        }
        let result = compare(&quick, stepper)?.result;
        let mut furthest: f64 = 0.0;
        for open in &mut open {
            let [logged, forecast] = open.seconds(&result);
            if logged <= 0.0 {
                continue;
            }
            let training = &result.resolved.training;
            let now = if open.path == KEYS[0].0 { training.mfu.value } else { training.logprob_mfu.value };
            open.value = now * forecast / logged;
            furthest = furthest.max((forecast / logged - 1.0).abs());
            quick.put(open.path, node(&json!(round(open.value.min(1.0), 4)))?)?;
        }
        last = Some(result);
        if furthest < CLOSE {
            break;
        }
    }
    let Some(result) = last else { return Ok(Vec::new()) };
    let mut solved = Vec::new();
    for open in open.iter().filter(|open| open.value > 0.0) {
        let (path, value) = (open.path, open.value);
        let [logged, _] = open.seconds(&result);
        if value > 1.0 {
            let message = format!(
                "the log's {logged:.1} s would take {value:.2} of the peak rate: model, GPUs, samples or lengths are not the log's"
            );
            return Err(StudyError::Input(document.error_at(path, message, None)));
        }
        document.put(path, node(&with_error(value, ERROR * value))?)?;
        let from = format!("{value:.3}, solved from {logged:.1} s in the log");
        let there = open.logged.iter().filter(|(stage, _)| forecast(&result, stage) > 0.0);
        solved.push(Solved { path, value, from, of: there.map(|(_, e)| e.quantity.clone()).collect() });
    }
    Ok(solved)
}

/// Seconds of a stage; training and log-probs are the same with speculation and without.
fn forecast(result: &RunResult, stage: &str) -> f64 {
    let all = &result.forecast.stages_s;
    match stage {
        "training" => all.training,
        "logprob_old" => all.logprob_old,
        _ => all.logprob_reference,
    }
}
