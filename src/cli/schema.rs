//! `rollcast schema`: the JSON schema of a scenario.

use std::process::ExitCode;

use super::error::CliError;
use crate::scenario;

pub(super) fn run() -> Result<ExitCode, CliError> {
    super::print(&scenario::schema_text())?;
    Ok(ExitCode::SUCCESS)
}
