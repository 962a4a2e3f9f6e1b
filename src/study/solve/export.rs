//! The solver's answer as an engine or a framework reads it.
//!
//! Engines take a table by batch alone, so each batch is solved at the workload's mean context. Sources of the forms:
//! vLLM 0.33.0 (`--speculative-config`), sglang 0.5.23 (`--speculative-adaptive-config`, `dspark_sps.py`), NeMo-RL (its
//! `vllm_kwargs`), verl's `model.mtp`, fastrl's `speculative` (its `eagle_mab.py`). Where a form holds one configuration
//! only, it is the one that drains the scenario's largest batch down to nothing fastest when it alone is run. Where
//! drafting pays at no batch there is nothing to configure, and the document is null.

mod names;
mod notes;

use serde_json::{Value, json};

use super::{Asked, Question};
use crate::piece::Shape;
use crate::resolve::ResolveError;
use crate::scenario::Document;
use crate::speculation::schedule::SglangConfig;
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

/// What is written from: the answer, and what the engine calls the drafter.
struct Answer<'a> {
    asked: &'a Asked,
    drafter: names::Drafting,
}

/// The document for a target.
pub fn export(document: &Document, question: &Question, target: Target) -> Result<Export, StudyError> {
    let asked = Asked::new(document, question)?;
    let refused = |path: &str, message: &str, hint: &str| {
        ResolveError::Input(document.error_at(path, message, Some(hint.to_owned())))
    };
    let speculation = asked.prepared.resolved.speculation.as_ref();
    let drafter = speculation.map(|s| &s.drafter).ok_or_else(|| {
        refused(
            "speculation",
            "there is nothing to export without a drafter",
            "give `speculation:` a drafter",
        )
    })?;
    let drafter = names::Drafting::of(drafter, question.draft_weights.as_deref());
    if target == Target::Sglang {
        if !drafter.sglang_adapts() {
            let message = "SGLang's adaptive steps run with EAGLE and EAGLE-3 heads only";
            Err(refused("speculation.drafter", message, "--export vllm has a table for other drafters"))?;
        }
        if asked.prepared.resolved.generation.layout.dp_attention {
            let message = "SGLang refuses adaptive steps with data-parallel attention";
            Err(refused("generation.layout", message, "leave out `dp_attention`"))?;
        }
    }
    let answer = Answer { asked: &asked, drafter };
    let (document, configurations, folded) = answer.form(target);
    Ok(Export { notes: notes::notes(&answer, target, &configurations, folded), document })
}

impl Answer<'_> {
    /// The document, the configurations that it names, and how many ranges it could not hold.
    fn form(&self, target: Target) -> (Value, Vec<Configuration>, usize) {
        let asked = self.asked;
        let chains = |c| matches!(c, Configuration::Chain { .. });
        let ranges = match target {
            Target::Fastrl => ranges(asked, |_| true),
            _ => ranges(asked, chains),
        };
        let mut named: Vec<Configuration> =
            ranges.iter().map(|range| range.2).filter(|c| *c != Configuration::Off).collect();
        named.dedup();
        if named.is_empty() {
            return (Value::Null, named, 0);
        }
        let document = match target {
            Target::Vllm => self.vllm(&ranges),
            Target::NemoRl => json!({
                "policy": { "generation": { "vllm_kwargs": { "speculative_config": self.vllm(&ranges) } } }
            }),
            Target::Sglang => {
                let own = SglangConfig::default();
                let mut config = json!({
                    "ema_alpha": own.ema_alpha,
                    "update_interval": own.update_interval,
                    "warmup_batches": own.warmup_batches,
                });
                for (start, _, c) in &ranges {
                    config[start.to_string()] = json!({ "candidate_steps": [c.draft_tokens()] });
                }
                config
            }
            Target::Verl => {
                named = vec![best_alone(asked, chains)];
                let k = named[0].draft_tokens();
                json!({ "actor_rollout_ref": { "model": { "mtp": {
                    "enable": true,
                    "enable_rollout": k > 0,
                    "method": self.drafter.method,
                    "num_speculative_tokens": k,
                    "speculative_num_steps": k,
                    "speculative_eagle_topk": 1,
                    "speculative_num_draft_tokens": k + 1,
                } } } })
            }
            Target::Fastrl => {
                let (groups, folded) = falling(&ranges);
                named = groups.iter().map(|group| group.2).collect();
                return (fastrl(&groups), named, folded);
            }
            Target::Dspark => dspark(asked),
        };
        (document, named, 0)
    }

    fn vllm(&self, ranges: &[(u32, u32, Configuration)]) -> Value {
        let table: Vec<[u32; 3]> =
            ranges.iter().map(|(first, last, c)| [*first, *last, c.draft_tokens()]).collect();
        let mut config = json!({ "method": self.drafter.method });
        if let Some(weights) = &self.drafter.weights {
            config["model"] = json!(weights);
            let tp = self.asked.prepared.resolved.speculation.as_ref().map_or(1, |s| s.tp);
            config["draft_tensor_parallel_size"] = json!(tp);
        }
        if self.drafter.parallel {
            config["parallel_drafting"] = json!(true);
        }
        config["num_speculative_tokens"] = json!(table.iter().map(|range| range[2]).max());
        config["num_speculative_tokens_per_batch_size"] = json!(table);
        config
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
fn best_alone(asked: &Asked, admits: impl Fn(Configuration) -> bool) -> Configuration {
    let solver = &asked.solver;
    let seconds = |arm: usize| -> f64 {
        (1..=asked.most_batch)
            .map(|batch| f64::from(batch) / solver.rate(arm, batch, asked.context * f64::from(batch)))
            .sum()
    };
    (0..solver.arms().len())
        .filter(|arm| *arm == OFF || admits(solver.arms()[*arm].configuration()))
        .min_by(|a, b| seconds(*a).total_cmp(&seconds(*b)))
        .map_or(Configuration::Off, |arm| solver.arms()[arm].configuration())
}

/// The ranges that draft, as fastrl can hold them, and how many more there were: it sorts its groups by verified tokens,
/// largest first, and lays them on rising batches, so a range that verifies no fewer than the one before goes on with
/// that one's configuration.
fn falling(ranges: &[(u32, u32, Configuration)]) -> (Vec<(u32, u32, Configuration)>, usize) {
    let mut groups: Vec<(u32, u32, Configuration)> = Vec::new();
    let mut folded = 0;
    for range in ranges.iter().filter(|range| range.2 != Configuration::Off) {
        match groups.last_mut() {
            Some(last) if range.2.draft_tokens() >= last.2.draft_tokens() => {
                last.1 = range.1;
                folded += usize::from(range.2 != last.2);
            }
            _ => groups.push(*range),
        }
    }
    (groups, folded)
}

/// fastrl: groups of verified tokens by batch thresholds, and a batch from which nothing is drafted. Each group has one
/// arm, so that its bandit has nothing to try.
fn fastrl(groups: &[(u32, u32, Configuration)]) -> Value {
    let sglang: Vec<(u32, u32, u32)> = groups.iter().filter_map(|group| group.2.to_sglang()).collect();
    let arms = sglang.iter().map(|(steps, top_k, tokens)| format!("{steps}_{top_k}_{tokens}"));
    let (steps, top_k, tokens) = sglang.first().copied().unwrap_or((0, 1, 1));
    json!({ "speculative": {
        "enable": true,
        "bs_threshold": groups.last().map_or(1, |group| group.1 + 1),
        "eagle": {
            "spec_steps": steps,
            "spec_topk": top_k,
            "spec_verify_tokens": tokens,
            "tune_algorithm": "BEG",
            "mab_configs": arms.collect::<Vec<String>>(),
            "mab_bs_threshold": groups.iter().map(|group| group.0).collect::<Vec<u32>>(),
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
    for batch in crate::study::break_even::doubling(asked.most_batch) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_verified_tokens_fall_as_batches_rise() {
        let chain = Configuration::chain;
        let ranges = [
            (1, 2, chain(3)),
            (3, 4, chain(5)),
            (5, 8, Configuration::Off),
            (9, 16, chain(3)),
            (17, 32, chain(2)),
            (33, 64, Configuration::Off),
        ];
        let (groups, folded) = falling(&ranges);
        assert_eq!((groups.as_slice(), folded), (&[(1, 16, chain(3)), (17, 32, chain(2))][..], 1));
        let eagle = &fastrl(&groups)["speculative"];
        assert_eq!(
            (&eagle["bs_threshold"], &eagle["eagle"]["mab_bs_threshold"]),
            (&json!(33), &json!([1, 17]))
        );
    }
}
