//! What several test files share: a small scenario, and the ways to run one.

#![allow(dead_code, reason = "every test file uses its own part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use assert_cmd::Command;
use rollcast::resolve::ResolveError;
use rollcast::rollout::Stepper;
use rollcast::scenario::Document;
use rollcast::study::{Comparison, compare};
use serde_json::Value;
use tempfile::TempDir;

/// A scenario that takes milliseconds, with nothing uncertain in its inputs: one line a section, to be changed.
pub(crate) const SMALL: &str = "\
version: 1
name: small
model: qwen3-8b
cluster: { device: h100-sxm, gpus: 8, usd_per_gpu_hour: 2.5 }
workload:
  prompts_per_step: 16
  samples_per_prompt: 8
  prompt_tokens: { constant: { tokens: 130 } }
  response_tokens: { lognormal: { mean: 500, sigma: 0.8, max: 2048 } }
generation: { layout: { tp: 1 }, max_num_seqs: 128 }
speculation:
  drafter: eagle3-qwen3-8b
  acceptance: { power_law: { first: 0.776, decay: 0.074, concentration: 12 } }
  schedule: { fixed: { k: 3 } }
training: { mfu: 0.4, logprob_mfu: 0.36, reference_logprobs: true }
reward: { rule: { seconds: 2 } }
loop: { data_seconds: 0.2, prepare_seconds: 0.5, weight_sync: { seconds: 2 } }
rl_steps: 2
seed: 1
uncertainty: { workload_draws: 2, worlds: 8 }
";

/// [`SMALL`] with texts in it replaced.
pub(crate) fn small(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(SMALL.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the small scenario has no `{from}`");
        text.replacen(from, to, 1)
    })
}

/// Runs a scenario's text with overrides, in this process, as the program does by default.
pub(crate) fn forecast(text: &str, overrides: &[&str]) -> Result<Comparison, ResolveError> {
    forecast_by(Stepper::Leap, text, overrides)
}

/// The same, stepped as asked.
pub(crate) fn forecast_by(
    stepper: Stepper,
    text: &str,
    overrides: &[&str],
) -> Result<Comparison, ResolveError> {
    let mut document = Document::parse("test.yaml", text)?;
    for assignment in overrides {
        document.set(assignment)?;
    }
    compare(&document, stepper)
}

/// The same for one that must run, as `result.json` has it.
pub(crate) fn result(text: &str, overrides: &[&str]) -> Value {
    match forecast(text, overrides) {
        Ok(comparison) => json(&comparison),
        Err(error) => panic!("{overrides:?}: {error}"),
    }
}

/// As `result.json` has it.
pub(crate) fn json(comparison: &Comparison) -> Value {
    serde_json::to_value(&comparison.result).unwrap_or_else(|error| panic!("{error}"))
}

/// The number at a dotted path; panics where there is none.
pub(crate) fn number(value: &Value, path: &str) -> f64 {
    let found = path.split('.').fold(value, |at, step| &at[step]);
    found.as_f64().unwrap_or_else(|| panic!("no number at {path}: {found}"))
}

/// Draw 0, nominal costs: what a formula can be checked against.
pub(crate) const NOMINAL: [&str; 2] = ["uncertainty.workload_draws=1", "uncertainty.worlds=1"];

/// [`NOMINAL`] and more.
pub(crate) fn nominal<'a>(more: &[&'a str]) -> Vec<&'a str> {
    NOMINAL.iter().chain(more).copied().collect()
}

/// The root of the project.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The binary, off a terminal and away from the user's settings.
pub(crate) fn rollcast() -> Command {
    let mut command = assert_cmd::cargo::cargo_bin_cmd!("rollcast");
    command.env_remove("COLUMNS").env_remove("NO_COLOR").current_dir(root()).timeout(Duration::from_secs(60));
    command
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str]) -> Run {
    Run::of(rollcast().args(arguments))
}

/// What a run of the binary left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output: Output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap_or_else(|error| panic!("{error}"));
        // A process that a signal ended has no code.
        Run { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Asserts the exit code.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n{}\n{}", self.out, self.err);
        self
    }

    /// Asserts that standard error says all of these, whatever the line breaks.
    pub(crate) fn says(self, words: &[&str]) -> Self {
        let text = self.err.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(text.contains(word), "no `{word}` in:\n{}", self.err);
        }
        assert!(!text.contains("panicked"), "{}", self.err);
        self
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}:\n{}\n{}", self.out, self.err))
    }
}

/// A scenario in a directory of its own.
pub(crate) struct File {
    /// The directory; gone with this value.
    pub(crate) folder: TempDir,
    pub(crate) path: PathBuf,
}

impl File {
    pub(crate) fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let path = folder.path().join("s.yaml");
        fs::write(&path, text).unwrap_or_else(|error| panic!("{error}"));
        File { folder, path }
    }

    pub(crate) fn name(&self) -> &str {
        self.path.to_str().unwrap_or_else(|| panic!("{}", self.path.display()))
    }
}

/// A public table by its path under the folder that the variable `ROLLCAST_TABLES` names. Tables of others are not
/// part of this repository: a test that needs one says so and is skipped.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn public_table(path: &str) -> Option<String> {
    let folder = std::env::var_os("ROLLCAST_TABLES");
    let text = folder.and_then(|folder| std::fs::read_to_string(Path::new(&folder).join(path)).ok());
    if text.is_none() {
        eprintln!("SKIPPED: {path} is not here; ROLLCAST_TABLES names the folder of public tables");
    }
    text
}
