//! `rollcast solve`: the best configuration by batch and context, schedules compared, tables for engines.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::error::CliError;
use super::{Format, OutputOptions, ScenarioOptions, screen};
use crate::study::solve::{self, Question, Target};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Scenario with a drafter and its acceptance.
    scenario: PathBuf,
    /// Draft lengths to choose from, such as 1,3,5.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=64))]
    chains: Vec<u32>,
    /// A tree to choose from, as num_steps,topk,num_draft_tokens; may be given again.
    #[arg(long = "tree", value_name = "S,T,N", value_parser = tree)]
    trees: Vec<[u32; 3]>,
    /// Batches of the table.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batches: Vec<u32>,
    /// Contexts of the table, tokens of each sequence.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    contexts: Vec<u32>,
    /// Run every schedule on the scenario's rollouts instead.
    #[arg(long, conflicts_with = "export")]
    compare: bool,
    /// Compare with a table of your own too: `vllm-table FILE`, the list [[first, last, K], ...] in JSON, alone or in
    /// a speculative config.
    #[arg(long, num_args = 2, value_names = ["KIND", "FILE"], conflicts_with = "export")]
    from: Option<Vec<String>>,
    /// Print what an engine or a framework reads instead.
    #[arg(long, value_enum)]
    export: Option<ExportTarget>,
    /// Path or Hugging Face id of the drafter's weights, to stand in what --export prints.
    #[arg(long, value_name = "PATH", requires = "export")]
    draft_weights: Option<String>,
    #[command(flatten)]
    scenario_options: ScenarioOptions,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportTarget {
    /// speculative_config with a table by batch.
    Vllm,
    /// Adaptive config with one candidate a tier.
    Sglang,
    /// vllm_kwargs of the generation section.
    NemoRl,
    /// model.mtp.
    Verl,
    /// speculative.
    Fastrl,
    /// SGLang DSpark's cost table.
    Dspark,
}

fn tree(text: &str) -> Result<[u32; 3], String> {
    let numbers: Result<Vec<u32>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    let expected = || "expected three numbers, such as 5,8,32".to_owned();
    numbers.map_err(|_| expected())?.try_into().map_err(|_| expected())
}

/// The table of `--from vllm-table FILE`.
fn own_table(from: &[String]) -> Result<Vec<[u32; 3]>, CliError> {
    let usage = |message: String| CliError::Usage { message };
    let [kind, file] = from else { return Err(usage("--from takes a kind and a file".to_owned())) };
    if kind != "vllm-table" {
        return Err(usage(format!("--from {kind}: expected vllm-table")));
    }
    let text =
        std::fs::read_to_string(file).map_err(|error| usage(format!("{file}: cannot be read: {error}")))?;
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| usage(format!("{file}:{}:{}: {error}", error.line(), error.column())))?;
    let table = value.get("num_speculative_tokens_per_batch_size").unwrap_or(&value);
    serde_json::from_value(table.clone()).map_err(|_| {
        usage(format!("{file}: expected a list of [first, last, K], such as [[1, 4, 3], [5, 64, 0]]"))
    })
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let document = arguments.scenario_options.read(&arguments.scenario)?;
    let question = Question {
        chains: arguments.chains.clone(),
        trees: arguments.trees.clone(),
        batches: arguments.batches.clone(),
        contexts: arguments.contexts.clone(),
        table: arguments.from.as_deref().map(own_table).transpose()?,
        draft_weights: arguments.draft_weights.clone(),
    };
    if let Some(target) = arguments.export {
        let target = match target {
            ExportTarget::Vllm => Target::Vllm,
            ExportTarget::Sglang => Target::Sglang,
            ExportTarget::NemoRl => Target::NemoRl,
            ExportTarget::Verl => Target::Verl,
            ExportTarget::Fastrl => Target::Fastrl,
            ExportTarget::Dspark => Target::Dspark,
        };
        let export = solve::export(&document, &question, target)?;
        super::print_json(&export.document)?;
        for line in &export.notes {
            super::note(arguments.output, line);
        }
    } else if arguments.compare || question.table.is_some() {
        let stepper = arguments.scenario_options.stepper();
        let scores =
            arguments.scenario_options.on_threads(|| solve::schedules(&document, &question, stepper))??;
        match arguments.output.format {
            Format::Table => super::print(&screen::schedules(&scores))?,
            Format::Json => super::print_json(&scores)?,
        }
    } else {
        let report = solve::solve(&document, &question)?;
        match arguments.output.format {
            Format::Table => super::print(&screen::solve(&report))?,
            Format::Json => super::print_json(&report)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}
