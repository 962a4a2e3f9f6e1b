//! The command line: parsing and printing, no logic. One file a command.
//!
//! Results go to standard output, notes and errors to standard error. Exit codes: 0 good, 1 no forecast
//! (memory, output that cannot be written), 2 bad input, 3 a gate failed.

mod calibrate;
mod catalog;
mod cost;
mod error;
mod fit;
mod import;
mod plan;
mod progress;
mod report;
mod run;
mod schema;
mod screen;
mod solve;
mod sweep;
mod validate;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::rollout::Stepper;
use crate::scenario::Document;
use error::CliError;

/// Forecasts RL post-training of language models with speculative decoding.
#[derive(Debug, Parser)]
#[command(name = "rollcast", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Forecast one scenario beside its baseline.
    Run(run::Arguments),
    /// Run scenarios that carry `expect:` and score the forecasts; exit 3 where a gate fails.
    Validate(validate::Arguments),
    /// Forecast every point of a sweep file; a sweep that was stopped goes on where it was.
    Sweep(sweep::Arguments),
    /// Search GPUs, split, layout, loop and speculation for a goal; exit 1 where nothing is within its limits.
    Plan(plan::Arguments),
    /// Draw the HTML report of a forecast or a sweep from what is in its directory.
    Report(report::Arguments),
    /// Price one engine step or one operator.
    Cost(cost::Arguments),
    /// Pick the configuration for each batch and context; compare schedules; export tables.
    Solve(solve::Arguments),
    /// Fit a device's profile to measured kernel times, with its errors on rows it has not seen.
    Fit(fit::Arguments),
    /// Measure draft and verify kernels on a GPU: what is planned, whether kernels compile, the run itself.
    Calibrate(calibrate::Arguments),
    /// Turn logs of runs and engines into keys of a scenario: lengths, acceptance, seconds to compare with.
    Import(import::Arguments),
    /// List the models, drafters, devices and networks that are known by name.
    Catalog(catalog::Arguments),
    /// Print the JSON schema of a scenario.
    Schema,
}

/// Output options of every command that has results.
#[derive(Debug, Clone, Copy, Args)]
struct OutputOptions {
    /// How results are printed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// No notes on standard error.
    #[arg(long, short)]
    quiet: bool,
}

/// Options of every command that reads scenarios.
#[derive(Debug, Clone, Args)]
struct ScenarioOptions {
    /// Override a key, such as `--set speculation.schedule.fixed.k=5`; may be given again.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    overrides: Vec<String>,
    /// Threads; by default one a core. The result does not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// How rollouts are simulated.
    #[arg(long, value_enum, default_value_t = StepperChoice::Leap)]
    stepper: StepperChoice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StepperChoice {
    /// From change to change of the batch.
    Leap,
    /// Every engine iteration: slow, and the oracle.
    Exact,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

impl ScenarioOptions {
    /// Reads a scenario and applies the overrides.
    fn read(&self, path: &Path) -> Result<Document, CliError> {
        let mut document = Document::read(path)?;
        for assignment in &self.overrides {
            document.set(assignment)?;
        }
        Ok(document)
    }

    /// The command that makes the same again, for a shell. Threads and where output goes are left out: they change nothing.
    fn command(&self, command: &str, file: &Path, more: &str) -> String {
        let quoted = |text: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
            if !text.is_empty() && text.chars().all(plain) {
                return text.to_owned();
            }
            format!("'{}'", text.replace('\'', "'\\''"))
        };
        let mut words = format!("rollcast {command} {}", quoted(&file.display().to_string()));
        for assignment in &self.overrides {
            words = format!("{words} --set {}", quoted(assignment));
        }
        if self.stepper == StepperChoice::Exact {
            words += " --stepper exact";
        }
        words + more
    }

    fn stepper(&self) -> Stepper {
        match self.stepper {
            StepperChoice::Leap => Stepper::Leap,
            StepperChoice::Exact => Stepper::Exact,
        }
    }

    /// Runs `work` on the asked number of threads.
    fn on_threads<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, CliError> {
        match self.threads {
            None => Ok(work()),
            Some(n) => {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(usize::from(n)).build()?;
                Ok(pool.install(work))
            }
        }
    }
}

/// Parses the arguments, runs the command, prints what went wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Validate(arguments) => validate::run(&arguments),
        Command::Sweep(arguments) => sweep::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Cost(arguments) => cost::run(&arguments),
        Command::Solve(arguments) => solve::run(&arguments),
        Command::Fit(arguments) => fit::run(&arguments),
        Command::Calibrate(arguments) => calibrate::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Catalog(arguments) => catalog::run(&arguments),
        Command::Schema => schema::run(),
    };
    match result {
        Ok(code) => code,
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do where even standard error is closed.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Writes a result to standard output.
fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Prints any result as JSON.
fn print_json(value: &impl serde::Serialize) -> Result<(), CliError> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    print(&text)
}

/// Writes a note to standard error, unless told to be quiet.
fn note(options: OutputOptions, text: &str) {
    if !options.quiet {
        // A note that nobody can read is no reason to fail.
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}
