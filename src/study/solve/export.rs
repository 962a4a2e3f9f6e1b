//! The solver's answer as an engine or a framework reads it.
//!
//! Engines take a table by batch alone, so each batch is solved at the workload's mean context. Sources of the forms:
//! vLLM 0.33.0 (`--speculative-config`), sglang 0.5.23 (`--speculative-adaptive-config`, `dspark_sps.py`), NeMo-RL (its
//! `vllm_kwargs`), verl's `model.mtp`, fastrl's `speculative`. Where a form holds one configuration only, it is the one
//! that drains the scenario's largest batch down to nothing fastest when it alone is run.

use serde_json::{Value, json};

use super::{Asked, Question};
use crate::piece::Shape;
use crate::resolved::{DraftInput, DrafterKind};
use crate::scenario::Document;
use crate::speculation::solver::OFF;
use crate::speculation::{Arm, Configuration};
use crate::study::StudyError;

/// Share of tokens per second that a shorter table may cost.
const SLACK: f64 = 0.01;

/// What to write for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// vLLM's speculative config, with the table by batch.
    Vllm,
    /// SGLang's adaptive config, one candidate a tier.
    Sglang,
    /// NeMo-RL's generation section.
    NemoRl,
    /// verl's model section.
    Verl,
    /// fastrl's speculative section.
    Fastrl,
    /// SGLang DSpark's table of steps per second by verified tokens.
    Dspark,
}

/// What an engine reads, and what to know beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Export {
    /// As the engine or framework reads it.
    pub document: Value,
    /// What that form cannot say, and how to force the assumed acceptance in the real engine.
    pub notes: Vec<String>,
}

/// The document for a target.
pub fn export(document: &Document, question: &Question, target: Target) -> Result<Export, StudyError> {
    let asked = Asked::new(document, question)?;
    let document = form(&asked, target);
    Ok(Export { document, notes: notes(&asked, target) })
}

/// What the form cannot express, and the switches by which a user checks a cell on GPUs of his own.
fn notes(asked: &Asked, target: Target) -> Vec<String> {
    let mut notes = Vec::new();
    let trees = asked.choices.iter().any(|choice| matches!(choice, DraftInput::Tree { .. }));
    let table = "the answer by context: each batch is solved at the rollout's mean context".to_owned();
    match target {
        Target::Vllm | Target::NemoRl => {
            notes.push(table);
            notes.push(
                "a table is ignored with data_parallel_size above 1, and costs whole CUDA graphs before 0.25 (before 0.29 \
                 with experts)"
                    .to_owned(),
            );
        }
        Target::Sglang => {
            notes.push(table);
            notes.push(
                "start the engine with --speculative-eagle-topk 1 --speculative-adaptive and a --speculative-num-steps that \
                 a tier names; attention data parallelism refuses it"
                    .to_owned(),
            );
        }
        Target::Verl => notes.push("a change with the batch: one configuration for all batches".to_owned()),
        Target::Fastrl => notes.push(table),
        Target::Dspark => notes.push("draft passes: the table is of verification".to_owned()),
    }
    if trees && !matches!(target, Target::Fastrl) {
        notes.push("trees: chains alone were taken".to_owned());
    }
    let mut notes: Vec<String> =
        notes.into_iter().map(|note| format!("not expressed or to know: {note}")).collect();
    if let Some(speculation) = &asked.prepared.resolved.speculation {
        let mut survival = 1.0;
        let share = speculation.acceptance.proposal_share;
        let rates: Vec<f64> = speculation
            .acceptance
            .rates
            .iter()
            .map(|rate| {
                survival *= rate;
                libm::round(1e4 * share * survival) / 1e4
            })
            .collect();
        let length = 1.0 + rates.iter().sum::<f64>();
        notes.push(match target {
            Target::Sglang | Target::Fastrl | Target::Dspark => format!(
                "to force this acceptance: SGLANG_SIMULATE_ACC_LEN={length:.2} SGLANG_SIMULATE_ACC_METHOD=match-expected \
                 (at {} draft tokens)",
                rates.len()
            ),
            _ => format!(
                "to force this acceptance: add \"rejection_sample_method\": \"synthetic\", \
                 \"synthetic_acceptance_rates\": {rates:?}"
            ),
        });
    }
    notes
}

fn form(asked: &Asked, target: Target) -> Value {
    let (method, model, tp) = asked.prepared.resolved.speculation.as_ref().map_or(("eagle3", "", 1), |s| {
        let method = match s.drafter.kind {
            DrafterKind::Eagle3 => "eagle3",
            DrafterKind::Mtp => "mtp",
            DrafterKind::Model => "draft_model",
            DrafterKind::Block if s.drafter.id.starts_with("dflash") => "dflash",
            DrafterKind::Block if s.drafter.id.starts_with("peagle") => "eagle3",
            DrafterKind::Block => "dspark",
            DrafterKind::Ngram => "ngram",
            DrafterKind::Suffix => "suffix",
        };
        (method, s.drafter.id.as_str(), s.tp)
    });
    let vllm = || {
        let ranges = vllm_ranges(asked);
        let most = ranges.iter().map(|range| range[2]).max().unwrap_or(0);
        json!({
            "method": method,
            "model": model,
            "num_speculative_tokens": most,
            "num_speculative_tokens_per_batch_size": ranges,
            "draft_tensor_parallel_size": tp,
        })
    };
    match target {
        Target::Vllm => vllm(),
        Target::NemoRl => json!({
            "policy": { "generation": { "vllm_kwargs": { "speculative_config": vllm() } } }
        }),
        Target::Sglang => {
            let mut config = json!({ "ema_alpha": 0.2, "update_interval": 5, "warmup_batches": 10 });
            for [start, _, k] in vllm_ranges(asked) {
                config[start.to_string()] = json!({ "candidate_steps": [k] });
            }
            config
        }
        Target::Verl => {
            let k = best_alone(asked, |c| matches!(c, Configuration::Chain { .. }))
                .map_or(0, Configuration::draft_tokens);
            json!({ "actor_rollout_ref": { "model": { "mtp": {
                "enable": true,
                "enable_rollout": k > 0,
                "method": method,
                "num_speculative_tokens": k,
                "speculative_num_steps": k,
                "speculative_eagle_topk": 1,
                "speculative_num_draft_tokens": k + 1,
            } } } })
        }
        Target::Fastrl => fastrl(asked),
        Target::Dspark => dspark(asked),
    }
}

/// What is best at each batch among the arms that `admits` lets in, as (first, last, configuration). What ran at the
/// batch before goes on while it is within `SLACK` of the best: padding to captured graphs makes neighbours alternate.
fn ranges(asked: &Asked, admits: impl Fn(Configuration) -> bool) -> Vec<(u32, u32, Configuration)> {
    let solver = &asked.solver;
    let configuration = |arm: usize| solver.arms()[arm].configuration();
    let arms: Vec<usize> =
        (0..solver.arms().len()).filter(|arm| *arm == OFF || admits(configuration(*arm))).collect();
    let mut ranges: Vec<(u32, u32, usize)> = Vec::new();
    for batch in 1..=asked.most_batch {
        let rate = |arm: usize| solver.rate(arm, batch, asked.context * f64::from(batch));
        // The first among equals, as the solver takes it.
        let best = arms.iter().copied().rev().max_by(|a, b| rate(*a).total_cmp(&rate(*b))).unwrap_or(OFF);
        match ranges.last_mut() {
            Some(last) if rate(last.2) >= (1.0 - SLACK) * rate(best) => last.1 = batch,
            _ => ranges.push((batch, batch, best)),
        }
    }
    ranges.into_iter().map(|(first, last, arm)| (first, last, configuration(arm))).collect()
}

/// vLLM's ranges [first, last, K], chains only.
pub(super) fn vllm_ranges(asked: &Asked) -> Vec<[u32; 3]> {
    ranges(asked, |c| matches!(c, Configuration::Chain { .. }))
        .into_iter()
        .map(|(first, last, c)| [first, last, c.draft_tokens()])
        .collect()
}

/// The configuration that drains the largest batch fastest alone: Σ over batches of one over the rate of a sequence.
fn best_alone(asked: &Asked, admits: impl Fn(Configuration) -> bool) -> Option<Configuration> {
    let solver = &asked.solver;
    let seconds = |arm: usize| -> f64 {
        (1..=asked.most_batch)
            .map(|batch| f64::from(batch) / solver.rate(arm, batch, asked.context * f64::from(batch)))
            .sum()
    };
    (0..solver.arms().len())
        .filter(|arm| *arm == OFF || admits(solver.arms()[*arm].configuration()))
        .min_by(|a, b| seconds(*a).total_cmp(&seconds(*b)))
        .map(|arm| solver.arms()[arm].configuration())
}

/// fastrl: groups of verified tokens by batch thresholds, and a batch from which nothing is drafted. Each group has one
/// arm, so that its bandit has nothing to try.
fn fastrl(asked: &Asked) -> Value {
    let ranges = ranges(asked, |_| true);
    let drafting: Vec<_> = ranges.iter().filter(|range| range.2 != Configuration::Off).collect();
    let off_from = drafting.last().map_or(1, |range| range.1 + 1);
    let arms: Vec<String> = drafting
        .iter()
        .filter_map(|range| range.2.to_sglang())
        .map(|(steps, top_k, tokens)| format!("{steps}_{top_k}_{tokens}"))
        .collect();
    let (steps, top_k, tokens) = drafting.first().and_then(|range| range.2.to_sglang()).unwrap_or((0, 1, 1));
    json!({ "speculative": {
        "enable": !drafting.is_empty(),
        "bs_threshold": off_from,
        "eagle": {
            "spec_steps": steps,
            "spec_topk": top_k,
            "spec_verify_tokens": tokens,
            "tune_algorithm": "BEG",
            "mab_configs": arms,
            "mab_bs_threshold": drafting.iter().map(|range| range.0).collect::<Vec<u32>>(),
        },
    } })
}

/// Steps per second by verified tokens, every request verifying as many as the longest chain has. Between two probes
/// the engine takes the lower one.
fn dspark(asked: &Asked) -> Value {
    let chains = asked.solver.arms().iter().map(Arm::configuration);
    let k = chains
        .filter(|c| matches!(c, Configuration::Chain { .. }))
        .map(Configuration::draft_tokens)
        .max()
        .unwrap_or(1);
    let (mut tokens, mut rates) = (Vec::new(), Vec::new());
    for batch in super::doubling(asked.most_batch) {
        let shape = Shape { decoding: batch, draft_tokens: k, ..Shape::default() };
        let total = asked.context * f64::from(batch);
        tokens.push(batch * (k + 1));
        rates.push(1.0 / asked.prepared.engine.piece(&shape, total).seconds(total));
    }
    json!({
        "max_batch_tokens": tokens.last().copied().unwrap_or(1),
        "sample_batch_tokens": tokens,
        "sample_steps_per_sec": rates,
    })
}
