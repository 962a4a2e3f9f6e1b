//! Forecasts against published values.

use serde::Serialize;

use super::compare::{StudyError, compare};
use super::step::{self, StepQuestion};
use crate::resolve::resolve_engine;
use crate::result::{Expected, quantity};
use crate::rollout::Stepper;
use crate::scenario::Document;
use crate::scenario::raw::Expectation;

/// One scored value of one scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The scenario's file.
    pub scenario: String,
    /// The value.
    #[serde(flatten)]
    pub expected: Expected,
}

/// Scored values, worst first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Validation {
    /// Rows, by falling error; those without a forecast come first.
    pub rows: Vec<Row>,
}

impl Validation {
    /// Whether every gate holds.
    pub fn passed(&self) -> bool {
        self.rows.iter().all(|row| row.expected.passed != Some(false))
    }
}

/// Runs scenarios and scores what they expect.
pub fn validate(documents: &[Document], stepper: Stepper) -> Result<Validation, StudyError> {
    let mut rows = Vec::new();
    for document in documents {
        let scored = if document.has("step") {
            step_expected(document)?
        } else {
            compare(document, stepper)?.result.expect
        };
        let name = document.name();
        rows.extend(scored.into_iter().map(|expected| Row { scenario: name.to_owned(), expected }));
    }
    let badness = |row: &Row| row.expected.error.map_or(f64::INFINITY, f64::abs);
    rows.sort_by(|a, b| badness(b).total_cmp(&badness(a)));
    Ok(Validation { rows })
}

/// Prices the step of a scenario and scores what it expects.
pub fn step_expected(document: &Document) -> Result<Vec<Expected>, StudyError> {
    let scenario = document.scenario()?;
    let question = StepQuestion::of(&scenario.step.clone().unwrap_or_default());
    let report = step::step(&resolve_engine(document)?, &question);
    let expectations = scenario.expect.as_deref().unwrap_or_default();
    let rows = expected(&report, expectations);
    known_quantities(document, expectations, &rows)?;
    Ok(rows)
}

/// An expectation about a number that no result has is a slip of the pen, not a miss.
pub(super) fn known_quantities(
    document: &Document,
    asked: &[Expectation],
    rows: &[Expected],
) -> Result<(), StudyError> {
    for (index, (expectation, row)) in asked.iter().zip(rows).enumerate() {
        if row.forecast.is_none() {
            let message = format!("the result has no number at `{}`", expectation.quantity);
            let hint =
                "a path of the result, such as forecast.step_s, speedup.step, or of a step seconds.median";
            let path = format!("expect[{index}].quantity");
            return Err(StudyError::Input(document.error_at(&path, message, Some(hint.to_owned()))));
        }
    }
    Ok(())
}

/// Scores expectations against a result.
pub(super) fn expected(result: &impl Serialize, expectations: &[Expectation]) -> Vec<Expected> {
    if expectations.is_empty() {
        return Vec::new();
    }
    // A result serialises: it holds no maps with other keys than text, and no numbers that JSON lacks.
    let json = serde_json::to_value(result).unwrap_or_default();
    expectations
        .iter()
        .map(|expectation| {
            let published = expectation.value.get();
            let found = quantity(&json, &expectation.quantity);
            // A published zero is met or not; no share of it is an error.
            let error = found.and_then(|q| match (q.value == 0.0, published == 0.0) {
                (exact, true) => exact.then_some(0.0),
                _ => Some(q.value / published - 1.0),
            });
            let gate = expectation.gate.map(crate::scenario::raw::Positive::get);
            Expected {
                quantity: expectation.quantity.clone(),
                forecast: found.map(|q| q.value),
                published,
                error,
                in_band: found.and_then(|q| q.band).map(|(low, high)| (low..=high).contains(&published)),
                gate,
                // A gate on a quantity that the result does not have is failed, not skipped.
                passed: gate.map(|gate| error.is_some_and(|e| e.abs() <= gate)),
                source: expectation.source.clone(),
                note: expectation.note.clone(),
            }
        })
        .collect()
}
