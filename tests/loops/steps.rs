//! How long a step takes, by how far the engines may run ahead of the trainer.

use rollcast::resolve::resolve;
use rollcast::scenario::Document;

use crate::common::{SMALL, forecast, nominal, number, result};
use crate::{prepared, split, stream};

#[test]
fn a_bound_of_zero_is_the_synchronous_loop() {
    let shifts = nominal(&[]);
    let sync = result(&split("mode: sync"), &shifts);
    let one_pool = result(SMALL, &shifts);
    for keys in ["mode: async, max_staleness: 0, streaming: false", "mode: async, max_staleness: 0"] {
        let run = result(&split(keys), &shifts);
        for path in ["forecast.step_s.mean", "forecast.exposed_s.generation", "baseline.step_s.mean"] {
            let (of, wanted) = (number(&run, path), number(&sync, path));
            assert!((of / wanted - 1.0).abs() < 1e-6, "{keys}: {path} {of} {wanted}");
            // The same GPUs for each half of the work: two pools of eight are as fast as eight in turns.
            assert!((number(&one_pool, path) / wanted - 1.0).abs() < 1e-6);
        }
        assert_eq!(number(&run, "forecast.loop.staleness_max"), 0.0);
    }
    let usd = |value| number(value, "forecast.usd_per_step.mean");
    assert!((usd(&sync) / usd(&one_pool) - 2.0).abs() < 1e-6, "twice the GPUs, twice the price");
}

#[test]
fn a_rollout_takes_what_its_slowest_replica_takes() {
    // Eight replicas of one GPU: their mean is below the slowest, and not below an eighth of all work.
    let run = result(SMALL, &nominal(&[]));
    let [mean, slowest, step, busy] = [
        "forecast.loop.replica_mean_s",
        "forecast.stages_s.generation",
        "forecast.step_s.mean",
        "forecast.loop.engine_busy_share",
    ]
    .map(|path| number(&run, path));
    assert!(mean < slowest && mean > slowest / 8.0, "{mean} {slowest}");
    // One draw: what is busy is what the mean replica generates.
    assert!((busy * step / mean - 1.0).abs() < 1e-6, "{busy} of {step}, {mean}");
}

#[test]
fn one_step_off_takes_the_longer_of_its_halves() {
    let more = nominal(&["rl_steps=12", "warmup_steps=4"]);
    let sync = result(&split("mode: sync"), &more);
    let run = result(&split("preset: one-step-off"), &more);
    let of = |key: &str| number(&sync, &format!("forecast.stages_s.{key}"));
    let engines = of("generation") + of("prepare");
    let trainer = of("logprob_old") + of("logprob_reference") + of("training") + of("prepare");
    let step = number(&run, "forecast.step_s.mean");
    let longer = engines.max(trainer);
    // A reward after each batch and the slowest of each pair of batches come on top.
    assert!(step > 0.97 * longer && step < 1.12 * longer, "{step} {engines} {trainer}");
    assert!(step < 0.95 * number(&sync, "forecast.step_s.mean"));
    assert_eq!(number(&run, "forecast.loop.staleness_max"), 1.0);
    let exposed: f64 = ["data", "prepare", "generation", "reward", "logprob_old", "logprob_reference"]
        .iter()
        .chain(&["training", "idle"])
        .map(|key| number(&run, &format!("forecast.exposed_s.{key}")))
        .sum();
    assert!((exposed / step - 1.0).abs() < 1e-9, "exposed seconds sum to the step");
}

#[test]
fn steps_that_run_ahead_are_told_as_they_pass() {
    let text = split("preset: one-step-off").replacen("mfu: 0.4", "mfu: 0.04", 1);
    let run = forecast(&text, &nominal(&["rl_steps=6", "warmup_steps=2"])).unwrap();
    for (side, arm) in [("baseline", &run.result.baseline), ("forecast", &run.result.forecast)] {
        let rows = run.steps.iter().filter(|row| row.side == side && !row.warmup);
        let steps: Vec<f64> = rows.map(|row| row.step_s).collect();
        let mean = steps.iter().sum::<f64>() / steps.len() as f64;
        assert!((mean / arm.step_s.mean - 1.0).abs() < 1e-9, "{side}: {mean} {}", arm.step_s.mean);
    }
    // The trainer is what binds: better drafts hardly make a step shorter.
    let uncertain = |text: &str| {
        let text = text.replacen("first: 0.776", "first: { value: 0.776, se: 0.03 }", 1);
        let run = result(&text, &nominal(&["rl_steps=6", "warmup_steps=2"]));
        let rows = run["sensitivity"].as_array().unwrap().clone();
        let row = rows.iter().find(|row| row["input"] == "acceptance");
        row.map_or(0.0, |row| (row["low_s"].as_f64().unwrap() - row["high_s"].as_f64().unwrap()).abs())
    };
    let (ahead, turns) =
        (uncertain(&text), uncertain(&text.replacen("preset: one-step-off", "mode: sync", 1)));
    assert!(turns > 0.1 && ahead < 0.2 * turns, "{ahead} {turns}");
}

#[test]
fn engines_that_run_ahead_hold_more_than_their_share_of_a_step() {
    let of = |keys: &str, path: &str| {
        let run = result(&split(keys), &nominal(&["rl_steps=4"]));
        let last = run["break_even"].as_array().unwrap().last().unwrap()["batch"].as_u64().unwrap();
        (last, number(&run, path))
    };
    let blocks = "resolved.generation.kv_blocks";
    let (sync, ahead) = (of("mode: sync", blocks), of("mode: async, max_staleness: 2", blocks));
    // 128 samples on eight engines, and three steps' worth of them.
    assert_eq!((sync.0, ahead.0), (16, 48));
    assert!(ahead.1 < sync.1, "their logits take room from the cache: {} {}", ahead.1, sync.1);
    assert_eq!(of("preset: one-step-off", blocks), sync, "one step's prompts at a time");
}

#[test]
fn slower_engines_never_make_a_loop_faster() {
    let prepared = prepared(&split("mode: async, max_staleness: 2, interrupt: keep_kv"));
    let ends: Vec<f64> = [0.5, 0.8, 1.0, 1.3, 2.0]
        .iter()
        .map(|pace| stream(&prepared, *pace).records.last().unwrap().end().seconds())
        .collect();
    assert!(ends.is_sorted(), "{ends:?}");
}

#[test]
fn paces_between_lie_near_the_lines() {
    // What `study` takes for worlds between the paces that it simulates.
    let prepared = prepared(&split("mode: async, max_staleness: 1, interrupt: keep_kv").replacen(
        "rl_steps: 2",
        "rl_steps: 16",
        1,
    ));
    let step = |pace: f64| {
        let records = stream(&prepared, pace).records;
        records[6..].iter().map(rollcast::rl::StepRecord::period).sum::<f64>() / (records.len() - 6) as f64
    };
    let nodes: Vec<(f64, f64)> = [0.7, 0.9, 1.0, 1.1, 1.3].iter().map(|pace| (*pace, step(*pace))).collect();
    for pair in nodes.windows(2) {
        let middle = 0.5 * (pair[0].0 + pair[1].0);
        let line = 0.5 * (pair[0].1 + pair[1].1);
        assert!((step(middle) / line - 1.0).abs() < 0.02, "{middle}: {} {line}", step(middle));
    }
}

/// Expert parallelism leaves fewer copies of the experts, so less to exchange at an optimizer step.
#[test]
fn experts_that_are_spread_are_exchanged_among_fewer() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/published/nemo-30b-a3b-32xh100.yaml");
    let update = |ep: u32| {
        let mut document = Document::read(path.as_ref()).unwrap();
        document.set(&format!("training.layout.ep={ep}")).unwrap();
        resolve(&document).unwrap().resolved.training.update.value
    };
    let [one, eight, all] = [1, 8, 32].map(update);
    assert!(eight < 0.8 * one && all < eight, "{one} {eight} {all}");
    // One copy of the experts is left: what is exchanged is the rest, a twentieth of the weights.
    assert!(all < 0.1 * one, "{one} {all}");
}
