//! What to know beside an exported document: what its form cannot say, how to start the engine with it, and how to force
//! the assumed acceptance there, so that a user can check a cell on GPUs of his own.

use super::{Answer, Target};
use crate::resolved::{DraftInput, DrafterKind};
use crate::speculation::acceptance::Ranks;
use crate::speculation::{Arm, Configuration};

/// The notes of a target's document, which names these configurations; `folded`: ranges that it could not hold.
pub(super) fn notes(
    answer: &Answer,
    target: Target,
    configurations: &[Configuration],
    folded: usize,
) -> Vec<String> {
    let asked = answer.asked;
    let (most, context) = (asked.most_batch, asked.context);
    if configurations.is_empty() {
        return vec![format!(
            "drafting gains at no batch up to {most} at context {context:.0}: start the engine without a drafter"
        )];
    }
    let mut limits = limits(answer, target);
    if folded > 0 {
        limits.push(format!(
            "{folded} ranges of batches: groups must verify fewer tokens as the batch rises, so the group before goes on"
        ));
    }
    let mut notes: Vec<String> =
        limits.into_iter().map(|note| format!("not expressed or to know: {note}")).collect();
    if answer.drafter.placeholder && target != Target::Dspark {
        notes.push(format!(
            "to do: `{}` is a name of this program; give the path or Hugging Face id of its weights with \
             --draft-weights",
            answer.drafter.id
        ));
    }
    notes.extend(launch(answer, target, configurations));
    notes.push(forced(answer, target, configurations));
    notes
}

/// What the form cannot express.
fn limits(answer: &Answer, target: Target) -> Vec<String> {
    let asked = answer.asked;
    let mut limits = Vec::new();
    let trees = asked.choices.iter().any(|choice| matches!(choice, DraftInput::Tree { .. }));
    let by_context = "the answer by context: each batch is solved at the rollout's mean context".to_owned();
    match target {
        Target::Vllm | Target::NemoRl => {
            limits.push(by_context);
            limits.push(if asked.prepared.resolved.generation.layout.dp_attention {
                "attention here is data parallel, and vLLM ignores a table with data_parallel_size above 1".to_owned()
            } else {
                "a table is ignored with data_parallel_size above 1, and costs whole CUDA graphs before 0.25 (before \
                 0.29 with experts)"
                    .to_owned()
            });
        }
        Target::Sglang => {
            limits.push(by_context);
            limits.push(
                "a batch is padded to its CUDA graph before its tier is looked up; attention data parallelism refuses \
                 adaptive steps"
                    .to_owned(),
            );
        }
        Target::Verl => {
            limits.push("a change with the batch: one configuration for all batches".to_owned());
            if answer.drafter.kind != DrafterKind::Mtp {
                limits.push(format!(
                    "`{}`: model.mtp drafts with the target's own heads for multi-token prediction",
                    answer.drafter.id
                ));
            }
        }
        Target::Fastrl => limits.push(by_context),
        Target::Dspark => {
            limits.push("draft passes: the table is of verification".to_owned());
            if answer.drafter.method != "dspark" {
                limits
                    .push(format!("`{}`: SGLang reads this table with a DSpark drafter", answer.drafter.id));
            }
        }
    }
    if trees && target != Target::Fastrl {
        limits.push("trees: chains alone were taken".to_owned());
    }
    limits
}

/// How SGLang is started with its document.
fn launch(answer: &Answer, target: Target, configurations: &[Configuration]) -> Option<String> {
    if target != Target::Sglang {
        return None;
    }
    let steps = configurations.iter().map(|c| c.draft_tokens()).max().unwrap_or(1);
    let path = answer.drafter.weights.as_ref();
    let path = path.map_or(String::new(), |path| format!(" --speculative-draft-model-path {path}"));
    Some(format!(
        "to start: --speculative-algorithm {}{path} --speculative-num-steps {steps} --speculative-eagle-topk 1 \
         --speculative-num-draft-tokens {} --speculative-adaptive --speculative-adaptive-config FILE",
        answer.drafter.sglang_algorithm(),
        steps + 1,
    ))
}

/// The switches that force the assumed acceptance. vLLM wants as many rates as draft tokens, unconditional and falling;
/// SGLang one length, which is that of one configuration.
fn forced(answer: &Answer, target: Target, configurations: &[Configuration]) -> String {
    let asked = answer.asked;
    let acceptance = asked.prepared.resolved.speculation.as_ref().map(|s| &s.acceptance);
    let rates = acceptance.map(crate::resolved::AcceptanceInput::rates_over_all).unwrap_or_default();
    if matches!(target, Target::Vllm | Target::NemoRl | Target::Verl) {
        let most = configurations.iter().map(|c| c.draft_tokens()).max().unwrap_or(0) as usize;
        let mut survival = 1.0;
        let rates: Vec<f64> = (0..most)
            .map(|j| {
                survival *= rates.get(j).copied().unwrap_or(0.0);
                libm::round(1e4 * survival) / 1e4
            })
            .collect();
        return format!(
            "to force this acceptance: add \"rejection_sample_method\": \"synthetic\", \
             \"synthetic_acceptance_rates\": {rates:?}"
        );
    }
    let ranks = Ranks::default();
    let length = |c: &Configuration| {
        let arm: Option<&Arm> = asked.solver.arms().iter().find(|arm| arm.configuration() == *c);
        arm.map_or(1.0, |arm| arm.tokens(&rates, &ranks).mean)
    };
    let lengths: Vec<String> = configurations.iter().map(|c| format!("{:.2} for {c}", length(c))).collect();
    format!(
        "to force this acceptance, one configuration at a time: SGLANG_SIMULATE_ACC_METHOD=match-expected and \
         SGLANG_SIMULATE_ACC_LEN={}",
        lengths.join(", ")
    )
}
