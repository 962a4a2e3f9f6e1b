//! Speculation that lacks a part, whose drafts do not fit a step or their rates, or whose keys its drafter has no use
//! for.

use serde_json::Value;

use crate::common::number;
use crate::{ACCEPTANCE, DRAFTER, ENGINE, SCHEDULE, accepted, refused};

#[test]
fn speculation_needs_all_of_its_parts() {
    refused(&[(SCHEDULE, "")], "speculation:", &["speculation.schedule", "required"]);
    refused(&[(ACCEPTANCE, "")], "speculation:", &["speculation.acceptance", "required"]);
    refused(&[(DRAFTER, "")], "speculation:", &["speculation.drafter", "required"]);
}

#[test]
fn drafts_fit_the_step_and_their_rates() {
    let budget = "layout: { tp: 1 }, max_num_seqs: 128, max_num_batched_tokens: 512";
    accepted(&[(ENGINE, budget)]);
    let deeper = ("k: 3", "k: 4");
    refused(
        &[(ENGINE, budget), deeper],
        "128, max_num",
        &["generation.max_num_seqs", "640", "512", "102 fit"],
    );
    accepted(&[(ENGINE, &budget.replace("128", "102")), deeper]);
    refused(&[(ENGINE, &budget.replace("128", "103")), deeper], "103, max_num", &["515"]);

    let two = (ACCEPTANCE, "  acceptance: { per_position: [0.8, 0.7] }\n");
    refused(&[two], "per_position", &["speculation.acceptance.per_position", "2 rates", "3 tokens"]);
    accepted(&[two, ("k: 3", "k: 2")]);
    let useless = (ACCEPTANCE, "  acceptance: { length: { value: 1, at_k: 3 } }\n");
    refused(&[useless], "1, at_k", &["speculation.acceptance.length.value", "more than 1"]);
}

#[test]
fn a_step_too_small_for_one_draft_says_what_it_needs() {
    let tiny = "layout: { tp: 1 }, max_num_seqs: 1, max_num_batched_tokens: 3";
    refused(&[(ENGINE, tiny)], "1, max_num_b", &["generation.max_num_batched_tokens of 4 or more"]);
    accepted(&[(ENGINE, &tiny.replace("tokens: 3", "tokens: 4"))]);
}

#[test]
fn what_only_look_ups_have_is_refused_elsewhere() {
    let schedule = "schedule: { fixed";
    let share = format!("proposal_share: 0.4\n  {schedule}");
    refused(&[(schedule, &share)], "0.4\n", &["speculation.proposal_share", "has weights", "ngram"]);
    let ngram = ("drafter: eagle3-qwen3-8b", "drafter: ngram");
    accepted(&[ngram, (schedule, &share)]);
    let history = "{ history: { start: 1.6, limit: 4, at_k: 7, rollouts: 16, dataset_prompts: 17000 } }";
    let law = "{ power_law: { first: 0.776, decay: 0.074, concentration: 12 } }";
    refused(
        &[ngram, (law, history)],
        "history: {",
        &["speculation.acceptance.history", "keeps nothing", "suffix"],
    );
    accepted(&[("drafter: eagle3-qwen3-8b", "drafter: suffix"), (law, history)]);
}

#[test]
fn a_large_concentration_is_no_spread_and_takes_no_time() {
    let with =
        |concentration: &str| accepted(&[("concentration: 12", &format!("concentration: {concentration}"))]);
    let length = |result: Value| number(&result, "forecast.acceptance_length");
    let started = std::time::Instant::now();
    let (alike, nearly) = (length(with("1e15")), length(with("1e5")));
    assert!(started.elapsed().as_secs_f64() < 5.0, "{:?}", started.elapsed());
    assert!((alike / nearly - 1.0).abs() < 0.02, "{alike} {nearly}");
}
