//! `rollcast validate`: forecasts beside published values, worst first.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::error::CliError;
use super::{Format, OutputOptions, ScenarioOptions, screen};
use crate::study::validate::validate;

/// Exit code of a failed gate.
const GATE_FAILED: u8 = 3;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Scenarios, or directories of them.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    options: ScenarioOptions,
    #[command(flatten)]
    output: OutputOptions,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let mut documents = Vec::new();
    for path in &arguments.paths {
        for file in files(path)? {
            let document = arguments.options.read(&file)?;
            if document.has("expect") {
                documents.push(document);
            } else {
                super::note(arguments.output, &format!("{}: no `expect:`, skipped", file.display()));
            }
        }
    }
    if documents.is_empty() {
        let message = "none of these scenarios carries `expect:`, so there is nothing to score".to_owned();
        return Err(CliError::Usage { message });
    }
    let validation = arguments.options.on_threads(|| validate(&documents, arguments.options.stepper()))??;
    match arguments.output.format {
        Format::Table => super::print(&screen::validation(&validation))?,
        Format::Json => super::print_json(&validation)?,
    }
    Ok(if validation.passed() { ExitCode::SUCCESS } else { ExitCode::from(GATE_FAILED) })
}

/// The file itself, or the YAML files below a directory, in order of name.
fn files(path: &Path) -> Result<Vec<PathBuf>, CliError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |error| CliError::Usage { message: format!("cannot read {}: {error}", path.display()) };
    let mut found = Vec::new();
    let mut entries: Vec<PathBuf> =
        fs::read_dir(path).map_err(unreadable)?.filter_map(Result::ok).map(|entry| entry.path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            found.extend(files(&entry)?);
        } else if entry.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            found.push(entry);
        }
    }
    Ok(found)
}
