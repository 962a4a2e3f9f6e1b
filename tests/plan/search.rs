//! The search: it finds what simulating everything finds, its bounds hold, and nothing of how it ran shows.

use std::collections::BTreeSet;
use std::fs;

use rayon::prelude::*;
use rollcast::resolve::resolve;
use rollcast::rng::mix;
use rollcast::rollout::Stepper;
use rollcast::scenario::Document;
use rollcast::study::plan::{self, Found, PlanResult};

use crate::{PLAN, again, command, must, with_plan};

#[test]
fn a_search_finds_what_simulating_everything_finds() {
    for goal in [
        "minimise: usd_per_step",
        "minimise: step_s\n  subject_to: { usd_per_step: 0.12, p: 0.8 }",
        "minimise: gpus\n  subject_to: { step_s: 13, max_staleness: 0 }",
    ] {
        let text = with_plan(&PLAN.replace("minimise: usd_per_step", goal));
        let (space, found, searched) = must(&text, false);
        let (_, all, everything) = must(&text, true);
        assert!((150..=300).contains(&space.len()), "{}", space.len());
        assert!(searched.simulated[2] < everything.simulated[2] / 2, "{goal}: nothing was saved");
        let best = |result: &PlanResult| result.best.as_ref().map(|best| best.candidate);
        assert!(best(&everything).is_some(), "{goal}: nothing to compare");
        assert_eq!(best(&searched), best(&everything), "{goal}");
        assert_eq!(searched.best.as_ref().map(|b| b.step_s), everything.best.as_ref().map(|b| b.step_s));
        let front = |result: &PlanResult| result.front.iter().map(|c| c.candidate).collect::<Vec<_>>();
        assert!(front(&everything).len() >= 2, "{goal}: {:?}", front(&everything));
        assert_eq!(front(&searched), front(&everything), "{goal}");
        // Each candidate is accounted for, once.
        let counted: usize = searched.left_out.iter().map(|reason| reason.count).sum();
        assert_eq!(counted + searched.finalists.len(), space.len());
        // What cannot be is the same either way.
        let cannot = |found: &Found| -> Vec<usize> {
            let all = found.fates.iter().enumerate();
            all.filter(|(_, f)| ["nodes", "divisibility", "memory"].contains(&f.reason()))
                .map(|(i, _)| i)
                .collect()
        };
        assert_eq!(cannot(&found), cannot(&all));
    }
}

/// Loops that run ahead leave the steps that fill them out; so do those beside them, or chance and drift would decide.
#[test]
fn every_candidate_counts_the_same_steps() {
    let text = with_plan(PLAN).replace("rl_steps: 3\nwarmup_steps: 1\n", "");
    let (space, _, result) = must(&text, false);
    let steps = |candidate: usize| {
        let resolved = resolve(&space.document(candidate).unwrap()).unwrap().resolved;
        (resolved.rl_steps, resolved.warmup_steps)
    };
    let of =
        |word: &str| result.finalists.iter().find(|choice| choice.title.contains(word)).unwrap().candidate;
    assert_eq!((steps(of("loop sync")), steps(of("one-step-off"))), ((7, 3), (7, 3)));
    let best = plan::scenario_text(&space, result.best.unwrap().candidate, "").unwrap();
    assert!(best.contains("rl_steps: 7") && best.contains("warmup_steps: 3"), "{best}");
}

/// A random scenario that may or may not be possible; short, so that ten thousand of them run in seconds.
fn random(seed: u64) -> String {
    let mut state = mix(seed ^ 0x5eed);
    let mut pick = |n: u64| {
        state = mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
        state % n
    };
    let models = [
        ("qwen3-8b", Some("eagle3-qwen3-8b")),
        ("qwen3-30b-a3b", None),
        ("llama-3.1-8b-instruct", None),
        ("gpt-oss-20b", None),
        ("qwen3-8b", Some("ngram")),
    ];
    let (model, drafter) = models[pick(5) as usize];
    let device = ["h100-sxm", "h200-sxm", "a100-sxm-80g", "b200"][pick(4) as usize];
    let of = |list: &[u64], at: u64| list[at as usize % list.len()];
    let gpus = of(&[8, 16, 32, 8], pick(4));
    let tp = of(&[1, 2, 4, 8], pick(4));
    let seats = of(&[2, 4, 16, 64], pick(4));
    let (prompts, samples) = (2 + pick(5), 1 + pick(8));
    let mean = 60 + pick(900);
    let sigma = [0.2, 0.6, 1.1][pick(3) as usize];
    let engine = ["vllm", "sglang"][pick(2) as usize];
    let overhead = ["measured", "none"][pick(2) as usize];
    let loops = [
        "mode: sync",
        "mode: sync",
        "mode: sync",
        "preset: one-step-off",
        "preset: nemo-rl-max-age",
        "preset: areal",
        "preset: nemo-rl-windowed",
    ];
    let rl_loop = loops[pick(7) as usize];
    let (steps, warmup) = [(1, 0), (2, 1), (4, 1), (5, 2)][pick(4) as usize];
    let shared = rl_loop == "mode: sync";
    let half = gpus / 2;
    let pools = if shared {
        format!("cluster: {{ device: {device}, gpus: {gpus} }}")
    } else {
        format!(
            "pools: {{ generation: {{ device: {device}, gpus: {half} }}, training: {{ device: {device}, gpus: {half} }} }}"
        )
    };
    let first = 0.3 + 0.065 * pick(10) as f64;
    let speculation = match (drafter, pick(4)) {
        (None, _) | (_, 0) => "off".to_owned(),
        (Some(drafter), way) => {
            let k = 1 + pick(7);
            let schedule = if way == 1 && drafter != "ngram" {
                "goodput: {}".to_owned()
            } else {
                format!("fixed: {{ k: {k} }}")
            };
            format!(
                "{{ drafter: {drafter}, acceptance: {{ power_law: {{ first: {first}, decay: 0.07 }} }}, schedule: {{ {schedule} }} }}"
            )
        }
    };
    let reward =
        ["{ rule: { seconds: 1.5 } }", "{ rule: { seconds: 3, overlapped: true } }"][pick(2) as usize];
    let batch = prompts * samples;
    let router = ["least_loaded", "group_affinity"][pick(2) as usize];
    let packing = pick(3) > 0;
    format!(
        "version: 1\nmodel: {model}\n{pools}\nworkload:\n  prompts_per_step: {prompts}\n  samples_per_prompt: {samples}\n  \
         prompt_tokens: {{ lognormal: {{ mean: 150, sigma: 0.5, max: 600 }} }}\n  \
         response_tokens: {{ lognormal: {{ mean: {mean}, sigma: {sigma}, max: 2048 }} }}\n\
         generation: {{ engine: {engine}, overhead: {overhead}, layout: {{ tp: {tp} }}, max_num_seqs: {seats}, max_model_len: 4096, router: {router} }}\n\
         speculation: {speculation}\n\
         training: {{ global_batch_size: {batch}, packing: {packing}, reference_logprobs: true }}\nreward: {reward}\n\
         loop: {{ {rl_loop}, data_seconds: 0.3, prepare_seconds: 0.4 }}\n\
         rl_steps: {steps}\nwarmup_steps: {warmup}\nseed: {seed}\nuncertainty: {{ workload_draws: 1, worlds: 1 }}\n"
    )
}

#[test]
fn a_bound_is_never_above_what_is_simulated() {
    // An unoptimised build takes minutes for all.
    let asked = std::env::var("ROLLCAST_CANDIDATES").ok().and_then(|n| n.parse().ok());
    let all: u64 = asked.unwrap_or(10_000);
    let shares: Vec<(bool, f64)> = (0..all)
        .into_par_iter()
        .filter_map(|seed| {
            let text = random(seed);
            let document =
                Document::parse("random.yaml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            // Some do not fit: a candidate like any other.
            let (least, seconds) = plan::bound_and_value(&document, Stepper::Leap).ok()?;
            assert!(least <= seconds * (1.0 + 1e-9), "bound {least} above {seconds}:\n{text}");
            assert!(least > 0.0 && seconds.is_finite());
            Some((text.contains("mode: sync"), least / seconds))
        })
        .collect();
    assert!(shares.len() as u64 > all * 6 / 10, "only {} of {all} ran", shares.len());
    // A bound that says little would be true too.
    let mut sync: Vec<f64> = shares.iter().filter(|(sync, _)| *sync).map(|(_, share)| *share).collect();
    sync.sort_by(f64::total_cmp);
    let median = sync[sync.len() / 2];
    println!("{} ran; bound over simulated of synchronous ones: median {median:.3}", shares.len());
    assert!(median > 0.5, "{median}");
}

#[test]
fn threads_and_interruptions_change_nothing() {
    let text = with_plan(&PLAN.replace("[8, 16, 24, 32]", "[8, 16]"));
    let (one, first) = command(&text, &["--threads", "1", "--out", "@out", "--format", "json"]);
    let first = first.exits(0);
    let (_two, second) = command(&text, &["--threads", "3", "--format", "json"]);
    assert_eq!(first.out, second.exits(0).out, "threads");
    // A kill in the midst of it: the journal breaks off inside a line.
    let journal = one.path().join("out/plan.journal");
    let whole = fs::read(&journal).unwrap();
    let lines = whole.split(|byte| *byte == b'\n').count() - 1;
    assert!(lines > 10, "{lines}");
    fs::write(&journal, &whole[..whole.len() / 2]).unwrap();
    let third = again(one.path(), &["--out", "@out", "--format", "json"]).exits(0);
    assert_eq!(first.out, third.out, "interrupted");
    let full = |bytes: &[u8]| -> BTreeSet<String> {
        String::from_utf8_lossy(bytes).lines().skip(1).map(str::to_owned).collect()
    };
    assert_eq!(full(&whole), full(&fs::read(&journal).unwrap()), "the same simulations, none twice");
    // Another plan's journal is refused.
    fs::write(one.path().join("p.yaml"), text.replace("mean: 500", "mean: 600")).unwrap();
    again(one.path(), &["--out", "@out"]).exits(2).says(&["mean = 500", "mean = 600"]);
}
