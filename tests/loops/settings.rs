//! What a loop may be set to: presets, and combinations that are refused.

use crate::common::{forecast, nominal, number, result};
use crate::{prepared, shared, split};

#[test]
fn presets_are_written_down() {
    for preset in [
        "one-step-off",
        "nemo-rl-max-age",
        "nemo-rl-in-order",
        "nemo-rl-weight-fifo",
        "nemo-rl-windowed",
        "verl-staleness-wait",
        "verl-staleness-drop",
        "areal",
        "skyrl",
    ] {
        let run = result(&split(&format!("preset: {preset}")), &nominal(&["rl_steps=5"]));
        let assumptions = run["assumptions"].as_array().unwrap();
        let why = format!("of the preset {preset}");
        let set = assumptions.iter().filter(|a| a["why"] == why.as_str()).count();
        assert_eq!(set, 6, "{preset}: {assumptions:#?}");
        let (max, bound) =
            (number(&run, "forecast.loop.staleness_max"), number(&run, "resolved.loop.max_staleness"));
        assert!(max <= bound && bound >= 1.0, "{preset}");
    }
}

#[test]
fn a_fraction_that_a_framework_counts_stays_where_its_bound_is_written() {
    let lead = |keys: &str| prepared(&split(keys)).resolved.cycle.mode.lead;
    for preset in ["preset: verl-staleness-wait", "preset: verl-staleness-wait, max_staleness: 1"] {
        assert_eq!(lead(preset), 0.5, "{preset}");
    }
    assert_eq!(lead("preset: areal, max_staleness: 4"), 4.0);
}

#[test]
fn what_cannot_run_ahead_says_so() {
    let refused = |text: &str, said: &str| {
        let error = forecast(text, &[]).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    };
    refused(&shared("mode: async"), "loop.mode: generation and training take turns on one `cluster`");
    refused(&shared("preset: areal"), "loop.preset");
    refused(&shared("colocated: false"), "loop.colocated");
    refused(&shared("max_staleness: 2"), "loop.max_staleness: generation and training take turns");
    refused(&shared("lead: 2, streaming: true"), "loop.lead: generation and training take turns");
    refused(&split("mode: sync, lead: 1"), "loop.lead: found a lead of 1 RL steps in a synchronous loop");
    for key in ["lead: 1", "max_concurrent: 64", "order: first_done", "stale: drop", "interrupt: keep_kv"] {
        refused(&split(&format!("preset: one-step-off, {key}")), "so this key has no effect");
    }
    refused(
        &shared("mode: sync, max_concurrent: 64"),
        "loop.max_concurrent: an RL step's prompts start together",
    );
    refused(
        &split("weight_sync: colocated-ipc").replacen("weight_sync: { seconds: 2 }, ", "", 1),
        "same GPUs",
    );
    refused(&split("mode: async, max_concurrent: 4"), "loop.max_concurrent: 4 samples under way");
    refused(&split("mode: sync, preset: skyrl"), "loop.mode: `sync` beside the preset skyrl");
    let without = split("mode: async").replacen(
        ", training: { device: h100-sxm, gpus: 8, usd_per_gpu_hour: 2.5 }",
        "",
        1,
    );
    refused(&without, "missing key `training`");
}

/// Waiting for engines that finish what runs is generation, whatever stage it stands behind; only the hand-over is preparing.
#[test]
fn engines_that_drain_are_waited_for_as_generation() {
    let more = nominal(&["rl_steps=6", "warmup_steps=2"]);
    let run = result(&split("mode: async, max_staleness: 2, interrupt: off"), &more);
    let exposed = |stage: &str| number(&run, &format!("forecast.exposed_s.{stage}"));
    let step = number(&run, "forecast.step_s.mean");
    assert!(exposed("generation") > 0.3 * step, "{} of {step}", exposed("generation"));
    assert!(exposed("prepare") <= number(&run, "forecast.stages_s.prepare") + 1e-6, "{}", exposed("prepare"));
}

#[test]
fn what_the_trainer_hides_is_neither_won_nor_lost() {
    // A trainer ten times slower than generation: drafting changes what nobody waits for.
    let text = split("mode: async, max_staleness: 4").replacen("mfu: 0.4,", "mfu: 0.002,", 1);
    let comparison = forecast(&text, &nominal(&["rl_steps=6", "warmup_steps=3"])).unwrap();
    let told = rollcast::report::verdict(&comparison.result);
    assert!(told.starts_with("either will do"), "{told}: {:?}", comparison.result.speedup);
}

#[test]
fn a_loop_that_runs_ahead_leaves_out_the_steps_that_fill_it() {
    let bare = |keys: &str| split(keys).replacen("rl_steps: 2\n", "", 1);
    let steps = |text: &str| {
        let resolved = prepared(text).resolved;
        (resolved.rl_steps, resolved.warmup_steps)
    };
    assert_eq!(steps(&bare("mode: sync")), (4, 0));
    assert_eq!(steps(&bare("mode: async")), (7, 3));
    assert_eq!(steps(&bare("mode: async, max_staleness: 4")), (10, 6));
    // Half of few steps, and what is given stays.
    assert_eq!(steps(&split("mode: async, max_staleness: 4")), (2, 1));
    let given =
        |text: &str, warmup: u32| text.replacen("seed: 1", &format!("warmup_steps: {warmup}\nseed: 1"), 1);
    assert_eq!(steps(&given(&bare("mode: async"), 0)), (4, 0));
    assert_eq!(steps(&given(&bare("mode: async"), 9)), (13, 9));
    let warned = |text: &str| {
        let run = result(text, &nominal(&[]));
        let told = run["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|w| w.as_str().unwrap().contains("fill the pipeline"));
        let booked = run["assumptions"].as_array().unwrap().iter().any(|a| a["path"] == "warmup_steps");
        (told, booked)
    };
    assert_eq!(warned(&bare("mode: async")), (false, true));
    assert_eq!(warned(&given(&bare("mode: async"), 0)), (true, false));
    assert_eq!(warned(&bare("mode: sync")), (false, false));
}

/// What is left out makes the mean that of a long run.
#[test]
fn the_usual_steps_give_a_long_runs_mean() {
    let text = split("mode: async, max_staleness: 4").replacen("rl_steps: 2\n", "", 1);
    // Alike, so that chance has no part in it, and as many as keep engines and trainer busy.
    let alike = "lognormal: { mean: 500, sigma: 0.8, max: 2048 }";
    let text = text.replacen(alike, "constant: { tokens: 2000 }", 1);
    let text = text.replacen("prompts_per_step: 16", "prompts_per_step: 64", 1);
    let step = |more: &[&str]| number(&result(&text, &nominal(more)), "forecast.step_s.mean");
    let (usual, long) = (step(&[]), step(&["rl_steps=40", "warmup_steps=20"]));
    let cold = step(&["rl_steps=4", "warmup_steps=0"]);
    assert!((usual / long - 1.0).abs() < 0.01, "{usual} {long}");
    assert!(cold / long > 1.1, "{cold} {long}");
}

#[test]
fn both_sides_count_the_same_steps() {
    let text = split("mode: async, max_staleness: 3").replacen("rl_steps: 2\n", "", 1);
    let text = format!("{text}baseline: {{ loop: {{ mode: sync, max_staleness: 0 }} }}\n");
    let rows = forecast(&text, &nominal(&[])).unwrap().steps;
    let steps = |side: &str| {
        let all = || rows.iter().filter(|row| row.side == side);
        (all().count(), all().filter(|row| row.warmup).count())
    };
    assert_eq!(steps("forecast"), (9, 5));
    assert_eq!(steps("baseline"), (9, 5));
    // Candidates, too, and where the other side is the one that runs ahead; a warm-up that is given holds for all.
    let candidates = "  candidates:\n    - { drafter: eagle3-qwen3-8b, acceptance: { power_law: { first: 0.776, decay: 0.074, \
                      concentration: 12 } }, schedule: { fixed: { k: 3 } } }\n";
    let schedule = "  schedule: { fixed: { k: 3 } }\n";
    let sync = split("mode: sync").replacen("rl_steps: 2\n", "", 1).replacen(
        schedule,
        &format!("{schedule}{candidates}"),
        1,
    );
    let run =
        result(&format!("{sync}baseline: {{ loop: {{ mode: async, max_staleness: 2 }} }}\n"), &nominal(&[]));
    assert_eq!(number(&run, "resolved.warmup_steps"), 4.0);
    assert_eq!(run["candidates"][0]["step_s"]["mean"], run["forecast"]["step_s"]["mean"]);
    assert!(run["assumptions"].as_array().unwrap().iter().any(|a| a["path"] == "warmup_steps"));
    let text = text.replacen("seed: 1", "warmup_steps: 6\nseed: 1", 1);
    let rows = forecast(&text, &nominal(&[])).unwrap().steps;
    assert!(
        ["forecast", "baseline"].iter().all(|side| rows.iter().filter(|row| row.side == *side).count() == 10)
    );
}
