//! `rollcast import`: logs of runs and engines as keys of a scenario.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum, builder::PossibleValue};

use super::error::CliError;
use super::{Format, OutputOptions};
use crate::ingest::{self, Kind, Options};
use crate::rollout::Stepper;
use crate::scenario::{Document, raw};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What the files are of.
    #[arg(value_enum)]
    kind: Kind,
    /// Logs, in order. Of an engine's `/metrics`: one file counts from the engine's start, two from the first to the last.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print this scenario with everything found in it, instead of a piece of YAML; its comments are lost.
    #[arg(long, value_name = "SCENARIO", conflicts_with = "format")]
    into: Option<PathBuf>,
    /// With --into: also solve the efficiencies of training and log-probs that give the log's seconds.
    #[arg(long, requires = "into")]
    solve: bool,
    /// RL steps that count; by default all of the log.
    #[arg(long, value_name = "FIRST..LAST", value_parser = range)]
    steps: Option<(u64, u64)>,
    /// Samples of an RL step, where neither the log nor the scenario tells: the spread of lengths can come from the longest.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..))]
    samples: Option<u64>,
    /// Samples of each prompt, for the spread of prompts; with --into the scenario's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    samples_per_prompt: Option<u64>,
    /// Draft tokens of a round, where the log has an acceptance length only.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=64))]
    draft_tokens: Option<u32>,
    /// For `lengths`: the name of a response's length in JSON lines.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    #[command(flatten)]
    output: OutputOptions,
}

impl ValueEnum for Kind {
    fn value_variants<'a>() -> &'a [Self] {
        const KINDS: [Kind; Kind::ALL.len()] = {
            let mut kinds = [Kind::Verl; Kind::ALL.len()];
            let mut i = 0;
            while i < kinds.len() {
                kinds[i] = Kind::ALL[i].0;
                i += 1;
            }
            kinds
        };
        &KINDS
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Kind::Verl => "verl: the console, or the file logger's JSON lines",
            Kind::NemoRl => "NeMo-RL: metrics as JSON (json_dump_tb_logs.py)",
            Kind::Slime => "slime or miles: the console",
            Kind::Skyrl => "SkyRL: metrics as CSV or JSON lines",
            Kind::Vllm => "vLLM: /metrics, or the server's log",
            Kind::Sglang => "SGLang: /metrics, or the server's log",
            Kind::Lengths => "one length a line, JSON lines, or NeMo-RL's train_data_step*.jsonl",
        };
        Kind::ALL.iter().find(|(kind, _)| kind == self).map(|(_, name)| PossibleValue::new(*name).help(help))
    }
}

/// `3..20`.
fn range(text: &str) -> Result<(u64, u64), String> {
    let wrong = || "expected FIRST..LAST, such as 5..40".to_owned();
    let (first, last) = text.split_once("..").ok_or_else(wrong)?;
    let of = |part: &str| part.trim().parse().map_err(|_| wrong());
    let (first, last) = (of(first)?, of(last)?);
    if first > last { Err(format!("{first} is after {last}")) } else { Ok((first, last)) }
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let document = arguments.into.as_ref().map(|path| Document::read(path)).transpose()?;
    let written = document.as_ref().map(Document::scenario).transpose()?;
    let workload = written.as_ref().and_then(|scenario| scenario.workload.as_ref());
    let group = workload.and_then(|workload| workload.samples_per_prompt).map(raw::Count::get);
    let options = Options {
        steps: arguments.steps,
        samples: arguments.samples,
        expected_samples: written.as_ref().and_then(ingest::samples),
        group: arguments.samples_per_prompt.or(group),
        draft_tokens: arguments.draft_tokens,
        key: arguments.key.clone(),
    };
    let found = ingest::import(arguments.kind, &arguments.files, &options)?;
    if arguments.output.format == Format::Json {
        super::print_json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(document) = document else {
        super::print(&found.fragment()?)?;
        return Ok(ExitCode::SUCCESS);
    };
    let solve = arguments.solve.then_some(Stepper::Leap);
    let scenario = ingest::into_scenario(&found, document, solve)?;
    for warning in &scenario.warnings {
        super::note(arguments.output, &format!("warning: {warning}"));
    }
    super::print(&scenario.text)?;
    Ok(ExitCode::SUCCESS)
}
