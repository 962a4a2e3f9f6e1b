//! `rollcast cost`: one engine step or one operator, in milliseconds, with band and breakdown.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::error::CliError;
use super::{Format, OutputOptions, screen};
use crate::resolve::resolve_engine;
use crate::scenario::Document;
use crate::study::step::{self, StepQuestion, StepReport};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// One step of one replica's engine: decode, or a draft round and its verification.
    Step(StepArguments),
    /// One operator of such a step, by name.
    Op(OpArguments),
}

#[derive(Debug, Args)]
struct StepArguments {
    /// Take model, device, layout and engine from a scenario; and the step, where it has `step:`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "device", "tp", "ep", "drafter"])]
    scenario: Option<PathBuf>,
    /// Model: a catalog id, or the path of a config.json.
    #[arg(long, default_value = "qwen3-8b")]
    model: String,
    /// Device of the catalog.
    #[arg(long, default_value = "h100-sxm")]
    device: String,
    /// Tensor-parallel width.
    #[arg(long, default_value_t = 1)]
    tp: u32,
    /// GPUs that the experts are spread over.
    #[arg(long, default_value_t = 1)]
    ep: u32,
    /// Sequences of the replica; 1 by default.
    #[arg(long, short, value_parser = clap::value_parser!(u32).range(0..=65_536))]
    batch: Option<u32>,
    /// Tokens of context of each; 2048 by default.
    #[arg(long, short, value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    context: Option<u32>,
    /// Draft tokens, 0 by default; needs a drafter.
    #[arg(long, short, value_parser = clap::value_parser!(u32).range(0..=64))]
    k: Option<u32>,
    /// Drafter of the catalog.
    #[arg(long)]
    drafter: Option<String>,
    /// Prompt tokens that are prefilled beside the decodes; 0 by default.
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    prefill: Option<u32>,
    /// Kernels only, no engine software.
    #[arg(long)]
    bare: bool,
    /// Override a key of the scenario; may be given again.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    overrides: Vec<String>,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Args)]
struct OpArguments {
    /// The operator's name, such as "verify attention" or "experts".
    operator: String,
    #[command(flatten)]
    step: StepArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    match &arguments.what {
        What::Step(step) => {
            let report = report(step)?;
            show(step.output, &report)
        }
        What::Op(op) => {
            let mut report = report(&op.step)?;
            let known: Vec<&str> = report.by_op.iter().map(|line| line.operator).collect();
            if !known.contains(&op.operator.as_str()) {
                let message =
                    format!("no operator `{}` in this step; it has: {}", op.operator, known.join(", "));
                return Err(CliError::Usage { message });
            }
            report.keep(&op.operator);
            show(op.step.output, &report)
        }
    }
}

fn show(output: OutputOptions, report: &StepReport) -> Result<ExitCode, CliError> {
    match output.format {
        Format::Table => super::print(&screen::step(report))?,
        Format::Json => super::print_json(report)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn report(arguments: &StepArguments) -> Result<StepReport, CliError> {
    let mut document = match &arguments.scenario {
        Some(path) => Document::read(path)?,
        None => Document::parse("cost", &scenario(arguments))?,
    };
    if arguments.bare {
        document.set("generation.overhead=none")?;
    }
    for assignment in &arguments.overrides {
        document.set(assignment)?;
    }
    let prepared = resolve_engine(&document)?;
    let drafted = arguments.k.unwrap_or(0);
    if drafted > 0 && prepared.engine.drafter.is_none() {
        return Err(CliError::Usage {
            message: "-k needs a drafter: --drafter, or a scenario with one".to_owned(),
        });
    }
    let written = document.scenario()?.step.map(|step| StepQuestion::of(&step));
    let asked = [
        ("--batch", arguments.batch),
        ("--context", arguments.context),
        ("-k", arguments.k),
        ("--prefill", arguments.prefill),
    ];
    let asked = asked.iter().find_map(|(option, value)| value.map(|_| option));
    if let (Some(_), Some(option)) = (&written, asked) {
        let message = format!(
            "{option} beside a scenario with `step:`, which says it: --set step.KEY=VALUE changes it"
        );
        return Err(CliError::Usage { message });
    }
    let question = written.unwrap_or(StepQuestion {
        batch: arguments.batch.unwrap_or(1),
        context: f64::from(arguments.context.unwrap_or(2048)),
        draft_tokens: drafted,
        prefill_tokens: arguments.prefill.unwrap_or(0),
    });
    let block = prepared.engine.drafter.as_ref().map_or(0, |loaded| loaded.drafter.block);
    if block > 0 && question.draft_tokens > block {
        let message =
            format!("{} draft tokens; this drafter proposes at most {block} a round", question.draft_tokens);
        return Err(CliError::Usage { message });
    }
    Ok(step::step(&prepared, &question))
}

/// A scenario around the asked step: its workload only sizes the engine.
fn scenario(arguments: &StepArguments) -> String {
    let gpus = arguments.tp.max(arguments.ep);
    let speculation = match &arguments.drafter {
        Some(drafter) => format!(
            "{{ drafter: \"{drafter}\", acceptance: {{ power_law: {{ first: 0.8, decay: 0.07, concentration: 12 }} }}, \
             schedule: {{ fixed: {{ k: {} }} }} }}",
            arguments.k.unwrap_or(0).max(1)
        ),
        None => "off".to_owned(),
    };
    format!(
        "version: 1\n\
         model: \"{}\"\n\
         cluster: {{ device: \"{}\", gpus: {gpus}, gpus_per_node: {} }}\n\
         workload:\n  prompts_per_step: 1\n  samples_per_prompt: 1\n\
         \x20 prompt_tokens: {{ constant: {{ tokens: 16 }} }}\n  response_tokens: {{ constant: {{ tokens: 16 }} }}\n\
         generation: {{ layout: {{ tp: {}, ep: {} }}, num_gpu_blocks: 1000000 }}\n\
         speculation: {speculation}\n",
        arguments.model,
        arguments.device,
        gpus.min(8),
        arguments.tp,
        arguments.ep,
    )
}
