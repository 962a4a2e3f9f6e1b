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
