//! Reads `result.json`: the version first, so that a form of another version is told as such and not by its first odd key.

use std::io::Read;

use serde_json::Value;

use super::{RunResult, SCHEMA_VERSION};

/// Why a text is no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No JSON.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Another version of the form.
    #[error("found schema_version {0}, expected {SCHEMA_VERSION}")]
    Version(String),
    /// A run that this program could not have resolved.
    #[error("is no forecast: {0}")]
    Value(&'static str),
    /// Of this version, and of another form.
    #[error("is no forecast of this version: {0}")]
    Form(serde_json::Error),
}

impl RunResult {
    /// Reads a result that `rollcast run --out` wrote.
    pub fn read(from: impl Read) -> Result<Self, ReadError> {
        let value: Value = serde_json::from_reader(from)?;
        let version = value.get("schema_version");
        if version.and_then(Value::as_u64) != Some(u64::from(SCHEMA_VERSION)) {
            return Err(ReadError::Version(version.map_or("none".to_owned(), Value::to_string)));
        }
        let result: RunResult = serde_json::from_value(value).map_err(ReadError::Form)?;
        possible(&result).map_err(ReadError::Value)?;
        Ok(result)
    }
}

/// Whether what readers compute with can be computed.
fn possible(result: &RunResult) -> Result<(), &'static str> {
    let (workload, layout) = (&result.resolved.workload, &result.resolved.generation.layout);
    if layout.tp == 0 || layout.ep == 0 {
        return Err("a layout of no GPUs");
    }
    if workload.prompts_per_step.checked_mul(workload.samples_per_prompt).is_none() {
        return Err("more samples than a step can have");
    }
    Ok(())
}
