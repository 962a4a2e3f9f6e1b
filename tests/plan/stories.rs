//! Known stories: published figures and plain arithmetic that plans have to follow.

use std::fs;

use rollcast::study::plan::{Choice, PlanResult};

use crate::common::root;
use crate::{must, with_plan};

/// A finalist whose title has all of these.
fn choice<'a>(result: &'a PlanResult, words: &[&str]) -> &'a Choice {
    let found = result.finalists.iter().find(|c| words.iter().all(|word| c.title.contains(word)));
    found.unwrap_or_else(|| {
        let all: Vec<&String> = result.finalists.iter().map(|c| &c.title).collect();
        panic!("{words:?} among {all:?}")
    })
}

fn published(name: &str) -> String {
    let text = fs::read_to_string(root().join("scenarios/published").join(name)).unwrap();
    text.replace("workload_draws: 6, worlds: 64", "workload_draws: 1, worlds: 1")
        .replace("rl_steps: 2", "rl_steps: 1")
}

/// verl's practice notes, Qwen2.5-Math-7B: 8 H100 generate for 144 s and update for 167 s, 32 H100 for 74 s and 55 s: with
/// four times the GPUs twice and three times as fast.
#[test]
fn four_times_the_gpus_generate_twice_and_train_three_times_as_fast() {
    let plan = "plan: { minimise: step_s, over: { gpus: [8, 32], generation: { tp: [1] } } }\n";
    let (_, _, result) = must(&(published("verl-7b-32xh100.yaml") + plan), true);
    let (few, many) = (choice(&result, &["gpus 8"]), choice(&result, &["gpus 32"]));
    let ratio = |of: fn(&Choice) -> f64| of(few) / of(many);
    let generation = ratio(|c| c.exposed_s.stages.generation);
    let training = ratio(|c| c.exposed_s.stages.training);
    println!(
        "4x the GPUs: generation {generation:.2}x (published 1.95), training {training:.2}x (published 3.04)"
    );
    assert!((1.5..2.6).contains(&generation), "{generation}");
    // Ranks wait for the fullest at every optimizer step, and with more of them each has fewer samples to even out.
    assert!((2.5..3.5).contains(&training), "{training}");
    assert!(result.notes.iter().any(|note| note.contains("wide layouts train less well than this says")));
}

#[test]
fn at_a_fixed_batch_more_gpus_raise_the_cost_of_a_step() {
    let plan = "plan: { minimise: usd_per_step, over: { gpus: [8, 16, 32, 64], generation: { tp: [1] }, speculation: [off] } }\n";
    let (_, _, result) = must(&with_plan(plan), true);
    let steps: Vec<(f64, f64)> = ["gpus 8", "gpus 16", "gpus 32", "gpus 64"]
        .iter()
        .map(|gpus| choice(&result, &[gpus]))
        .map(|c| (c.step_s.mean, c.usd_per_step.mean))
        .collect();
    for pair in steps.windows(2) {
        assert!(pair[1].0 < pair[0].0, "faster: {steps:?}");
        assert!(pair[1].1 > pair[0].1, "dearer: {steps:?}");
    }
    assert!(result.best.unwrap().title.contains("gpus 8"));
}

#[test]
fn a_split_that_starves_one_side_loses_to_taking_turns() {
    let plan = "\
plan:
  minimise: step_s
  over:
    gpus: [64]
    loop: [sync, one-step-off]
    generation_share: [0.125, 0.5, 0.875]
    generation: { tp: [1] }
    speculation: [off]
";
    // A trainer that has much to do: two epochs at a low efficiency.
    let text = with_plan(plan)
        .replace("prompts_per_step: 16", "prompts_per_step: 64")
        .replace("mfu: 0.4, logprob_mfu: 0.36", "mfu: 0.1, logprob_mfu: 0.1, epochs: 2");
    let (_, _, result) = must(&text, true);
    let sync = choice(&result, &["loop sync"]);
    let starved = choice(&result, &["gpus_generation 56"]);
    println!("sync {:.2} s, 56 + 8 ahead {:.2} s", sync.step_s.mean, starved.step_s.mean);
    assert_eq!((sync.gpus, starved.gpus), (64, 64));
    assert!(starved.step_s.mean > sync.step_s.mean, "{} {}", starved.step_s.mean, sync.step_s.mean);
    assert!(starved.engine_busy_share < 0.5 && starved.trainer_busy_share > 0.8);
}

#[test]
fn a_layout_that_does_not_fit_is_never_proposed() {
    let plan = "\
plan:
  minimise: usd_per_step
  over:
    gpus: [64, 128]
    generation: { device: [h100-sxm, h200-sxm], tp: [1, 2, 4, 8, 16], weights: [bf16, fp8] }
    training: { device: [h100-sxm, h200-sxm] }
";
    let (space, found, result) = must(&(published("nemo-235b-128xh100.yaml") + plan), true);
    let memory: Vec<usize> = (0..space.len()).filter(|c| found.fates[*c].reason() == "memory").collect();
    assert!(!memory.is_empty());
    // 235e9 weights of 2 bytes over 4 GPUs are 110 GiB each; over 8 they are 55 of 79.
    for candidate in 0..space.len() {
        let title = space.title(candidate);
        let narrow = ["tp 1,", "tp 2,", "tp 4,"].iter().any(|tp| title.contains(tp));
        if title.contains("h100") && title.contains("bf16") && narrow {
            assert!(memory.contains(&candidate), "{title}: {:?}", found.fates[candidate]);
        }
    }
    for finalist in &result.finalists {
        let document = space.document(finalist.candidate).unwrap();
        assert!(rollcast::resolve::resolve(&document).is_ok(), "{}", finalist.title);
    }
}
