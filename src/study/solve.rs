//! `rollcast solve`: which configuration to run at which batch and context, and what each schedule is worth.
//!
//! The table asks the solver at batches that double and at some contexts; rates are nominal, at the pooled acceptance
//! that the scenario gives, and `certainty` says in how many worlds the answer stays. `schedules` runs the scenario's own rollouts under each schedule, `export` writes
//! the answer in the form that an engine or framework reads.

mod certainty;
mod export;
mod schedules;

pub use export::{Export, Target, export};
pub use schedules::{ScheduleRow, ScheduleScores, schedules};

use serde::Serialize;

use super::StudyError;
use super::break_even::doubling;
use crate::resolve::schedule::Plan;
use crate::resolve::{Prepared, ResolveError, resolve_engine};
use crate::resolved::{CatchUpInput, DraftInput, ScheduleInput};
use crate::scenario::Document;
use crate::speculation::Configuration;
use crate::speculation::solver::{CatchUp, Decisions, Solver};
use crate::workload::running_context;

/// What to solve over, beside what the scenario says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Question {
    /// Draft lengths; empty for those of the scenario's schedule, or 1 to 7.
    pub chains: Vec<u32>,
    /// Trees as (num_steps, topk, num_draft_tokens).
    pub trees: Vec<[u32; 3]>,
    /// Batches of a replica; empty for doubling ones.
    pub batches: Vec<u32>,
    /// Tokens of context of each sequence; empty for some around the workload's mean.
    pub contexts: Vec<u32>,
    /// A table by batch of the user's own, [first, last, K], to compare with the other schedules.
    pub table: Option<Vec<[u32; 3]>>,
    /// Path or Hugging Face id of the drafter's weights, for exported documents.
    pub draft_weights: Option<String>,
}

/// One cell of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// Decoding sequences of a replica.
    pub batch: u32,
    /// Tokens of context of each.
    pub context: f64,
    /// What to run.
    pub configuration: String,
    /// SGLang's num_steps, topk and num_draft_tokens; none for off.
    pub sglang: Option<(u32, u32, u32)>,
    /// Tokens per second of the replica.
    pub tokens_per_s: f64,
    /// That over plain decoding's.
    pub gain: f64,
    /// The next best.
    pub runner_up: String,
    /// Share of tokens per second that is lost with it.
    pub runner_up_loss: f64,
    /// Tokens of a round that the best drafting configuration needs to match plain decoding.
    pub break_even_length: f64,
    /// Tokens of a round that it is believed to have.
    pub length: f64,
    /// Share of calibration worlds in which it is the best, the acceptance's own error included.
    pub p_best: f64,
    /// What is best in most of the other worlds, and in what share of all.
    pub else_best: Option<(String, f64)>,
    /// Engines that can run it.
    pub deployable_in: Vec<&'static str>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SolveReport {
    /// The scenario.
    pub name: String,
    /// Model, device and drafter.
    pub label: String,
    /// What was chosen from.
    pub choices: Vec<String>,
    /// Pooled conditional acceptance rates by position.
    pub acceptance: Vec<f64>,
    /// Cells by batch, then context.
    pub cells: Vec<Cell>,
    /// Cells that this engine never meets, and why.
    pub warnings: Vec<String>,
}

/// A run whose schedule is `goodput` over the asked choices, and its solver.
pub(super) struct Asked {
    pub(super) prepared: Prepared,
    pub(super) solver: Solver,
    pub(super) choices: Vec<DraftInput>,
    /// Mean context of a sequence over a rollout, tokens.
    pub(super) context: f64,
    /// Most sequences of a replica.
    pub(super) most_batch: u32,
}

impl Asked {
    pub(super) fn new(document: &Document, question: &Question) -> Result<Self, StudyError> {
        let mut document = document.clone();
        let own = document.scenario()?.speculation.and_then(|given| match given {
            crate::scenario::raw::Speculation::On(config) => config.schedule,
            crate::scenario::raw::Speculation::Off => None,
        });
        let keeps = matches!(own, Some(crate::scenario::raw::Schedule::Goodput(_)));
        if own.is_none() {
            let hint = Some("give `speculation:` a drafter, its acceptance and a schedule".to_owned());
            let message = "there is nothing to solve without a drafter";
            return Err(ResolveError::Input(document.error_at("speculation", message, hint)));
        }
        if !keeps || !question.chains.is_empty() || !question.trees.is_empty() {
            document.set(&format!("speculation.schedule={}", goodput(question)))?;
        }
        let prepared = resolve_engine(&document)?;
        let unsolved =
            || ResolveError::Input(document.error_at("speculation", "nothing to choose from", None));
        let speculation = prepared.resolved.speculation.as_ref().ok_or_else(unsolved)?;
        let ScheduleInput::Goodput { choices, catch_up, .. } = &speculation.schedule else {
            return Err(unsolved());
        };
        let resolved = &prepared.resolved;
        // A batch that no replica reaches is priced as well, where it is asked for.
        let most_batch = resolved.most_sequences();
        let plan = Plan {
            speculation,
            generation: &resolved.generation,
            engine: &prepared.engine,
            most_batch: question.batches.iter().copied().max().unwrap_or(1).max(most_batch),
        };
        let way =
            if *catch_up == CatchUpInput::KeepWarm { CatchUp::KeepWarm } else { plan.catch_up(*catch_up) };
        let solver = plan.solver(choices, &way).map_err(|error| {
            ResolveError::Input(document.error_at("speculation.schedule", error.to_string(), None))
        })?;
        let choices = choices.clone();
        let workload = &resolved.workload;
        let context = running_context(workload, 1.0);
        Ok(Asked { prepared, solver, choices, context, most_batch })
    }
}

/// The schedule `goodput` over the asked choices, as a scenario has it.
fn goodput(question: &Question) -> String {
    let mut keys = Vec::new();
    if !question.chains.is_empty() {
        let list: Vec<String> = question.chains.iter().map(u32::to_string).collect();
        keys.push(format!("chains: [{}]", list.join(", ")));
    }
    if !question.trees.is_empty() {
        let list: Vec<String> = question
            .trees
            .iter()
            .map(|[steps, top_k, tokens]| format!("{{ steps: {steps}, top_k: {top_k}, tokens: {tokens} }}"))
            .collect();
        keys.push(format!("trees: [{}]", list.join(", ")));
    }
    if keys.is_empty() {
        "{ goodput: {} }".to_owned()
    } else {
        format!("{{ goodput: {{ {} }} }}", keys.join(", "))
    }
}

/// Solves the table of a scenario.
pub fn solve(document: &Document, question: &Question) -> Result<SolveReport, StudyError> {
    let asked = Asked::new(document, question)?;
    let resolved = &asked.prepared.resolved;
    let batches = if question.batches.is_empty() {
        doubling(asked.most_batch).collect()
    } else {
        question.batches.clone()
    };
    let contexts: Vec<f64> = if question.contexts.is_empty() {
        let longest = f64::from(resolved.generation.engine.max_model_len);
        [0.25, 1.0, 4.0].iter().map(|share| libm::round(share * asked.context).min(longest)).collect()
    } else {
        question.contexts.iter().map(|context| f64::from(*context)).collect()
    };
    let decisions = Decisions::solve(&asked.solver, &batches, &contexts);
    let cells = decisions
        .cells
        .iter()
        .map(|cell| {
            let winners = certainty::winners(&asked, cell);
            Cell {
                p_best: winners.share,
                else_best: winners.other,
                batch: cell.batch,
                context: cell.context,
                configuration: cell.configuration.to_string(),
                sglang: cell.configuration.to_sglang(),
                tokens_per_s: cell.rate,
                gain: cell.gain,
                runner_up: cell.runner_up.to_string(),
                runner_up_loss: cell.runner_up_loss,
                break_even_length: cell.break_even,
                length: cell.length,
                deployable_in: deployable(cell.configuration),
            }
        })
        .collect();
    let speculation = resolved.speculation.as_ref();
    Ok(SolveReport {
        name: resolved.name.clone(),
        label: format!(
            "{} on {} (tp {}), {}",
            resolved.model.id,
            resolved.cluster.device.id,
            resolved.generation.layout.tp,
            speculation.map_or("no drafter", |s| s.drafter.id.as_str())
        ),
        choices: asked.solver.arms().iter().map(|arm| arm.configuration().to_string()).collect(),
        acceptance: speculation.map(|s| s.acceptance.rates.clone()).unwrap_or_default(),
        warnings: warnings(&asked, &batches, &contexts),
        cells,
    })
}

/// Which asked batches and contexts the scenario's engine never meets.
fn warnings(asked: &Asked, batches: &[u32], contexts: &[f64]) -> Vec<String> {
    let generation = &asked.prepared.resolved.generation;
    let mut warnings = Vec::new();
    let (batch, context) = (batches.iter().max().copied(), contexts.iter().copied().fold(0.0, f64::max));
    if let Some(batch) = batch.filter(|batch| *batch > asked.most_batch) {
        warnings.push(format!("batch {batch}: a replica here has at most {}", asked.most_batch));
    }
    let longest = generation.engine.max_model_len;
    if context > f64::from(longest) {
        warnings.push(format!("context {context}: max_model_len is {longest}"));
    }
    let room = generation.kv_blocks as f64 * f64::from(generation.engine.block_size);
    let states = f64::from(generation.state_tokens);
    let over = |batch: &u32| contexts.iter().any(|context| f64::from(*batch) * (context + states) > room);
    if let Some(batch) = batches.iter().filter(|batch| over(batch)).min() {
        warnings.push(format!(
            "from batch {batch} on some contexts exceed the KV cache of {room:.0} tokens: the engine would hold fewer"
        ));
    }
    warnings
}

/// Engines that run a configuration: vLLM 0.33 has no trees; SGLang 0.5 has, with fixed steps only.
fn deployable(configuration: Configuration) -> Vec<&'static str> {
    match configuration {
        Configuration::Tree { .. } => vec!["sglang (static)", "fastrl"],
        _ => vec!["vllm", "sglang", "fastrl"],
    }
}
