//! `rollcast run`: one scenario beside its baseline.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::error::CliError;
use super::{Format, OutputOptions, ScenarioOptions, screen};
use crate::report::run_page;
use crate::result::{write_steps, write_trace};
use crate::study::{self, Comparison};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The scenario, a YAML file.
    scenario: PathBuf,
    /// Write result.json, steps.csv and trace.json into this directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write a report, one HTML file that needs nothing else.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Also run every remedy for the long tail, alone and beside speculation: wider TP, in all of generation or in the tail,
    /// migration, order, isolation, cap, over-sampling.
    #[arg(long)]
    levers: bool,
    #[command(flatten)]
    options: ScenarioOptions,
    #[command(flatten)]
    output: OutputOptions,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let document = arguments.options.read(&arguments.scenario)?;
    let mut comparison =
        arguments.options.on_threads(|| study::compare(&document, arguments.options.stepper()))??;
    let more = if arguments.levers { " --levers" } else { "" };
    comparison.result.simulator.command = Some(arguments.options.command("run", &arguments.scenario, more));
    if arguments.levers {
        let levers = || study::levers(&document, arguments.options.stepper());
        comparison.result.levers = Some(arguments.options.on_threads(levers)??);
    }
    match arguments.output.format {
        Format::Table => {
            let levers = comparison.result.levers.as_ref().map(screen::levers).unwrap_or_default();
            super::print(&format!("{}{levers}", screen::first_screen(&comparison.result)))?;
        }
        Format::Json => super::print_json(&comparison.result)?,
    }
    if let Some(directory) = &arguments.out {
        write(directory, &comparison)?;
        super::note(
            arguments.output,
            &format!("wrote result.json, steps.csv and trace.json to {}", directory.display()),
        );
    }
    if let Some(path) = &arguments.report {
        super::report::write(path, &run_page(&comparison.result))?;
        super::note(arguments.output, &format!("wrote {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn write(directory: &Path, comparison: &Comparison) -> Result<(), CliError> {
    let failed = |path: &Path, source| CliError::Write { path: path.to_owned(), source };
    fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    file(directory, "result.json", |out| {
        serde_json::to_writer_pretty(&mut *out, &comparison.result)?;
        out.write_all(b"\n")
    })?;
    file(directory, "steps.csv", |out| Ok(write_steps(out, &comparison.steps)?))?;
    file(directory, "trace.json", |out| write_trace(out, &comparison.timelines))
}

/// Writes a file beside its final name and renames it into place, so that a failure leaves no half of it.
pub(super) fn file(
    directory: &Path,
    name: &str,
    content: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), CliError> {
    let path = directory.join(name);
    let unfinished = directory.join(format!(".{name}.unfinished"));
    let written = (|| {
        let mut out = BufWriter::new(File::create(&unfinished)?);
        content(&mut out)?;
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&unfinished, &path)
    })();
    written.map_err(|source| {
        // The message is about the first failure; a leftover is harmless and overwritten next time.
        let _ = fs::remove_file(&unfinished);
        CliError::Write { path, source }
    })
}
