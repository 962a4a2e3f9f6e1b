//! Loops of every kind: what is conserved, what bounds hold, and how a forecast compares with the published law of
//! asynchronous steps.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "laws and figures beside ours are the point")]

mod common;

use common::{SMALL, forecast, nominal, number, result, small};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner, contextualize_config};
use rollcast::piece::Shape;
use rollcast::resolve::{Prepared, resolve};
use rollcast::rl::{InputShift, LoopRun, Simulation, Stage};
use rollcast::rollout::Stepper;
use rollcast::scenario::Document;

const CLUSTER: &str = "cluster: { device: h100-sxm, gpus: 8, usd_per_gpu_hour: 2.5 }";
const POOLS: &str = "pools: { generation: { device: h100-sxm, gpus: 8, usd_per_gpu_hour: 2.5 }, \
                     training: { device: h100-sxm, gpus: 8, usd_per_gpu_hour: 2.5 } }";
const LOOP: &str = "loop: { data_seconds: 0.2, prepare_seconds: 0.5, weight_sync: { seconds: 2 } }";

/// The small scenario on two pools, with keys of its loop.
fn split(keys: &str) -> String {
    let line = LOOP.replace(" }\n", "");
    let line = format!("{}, {keys} }}", line.trim_end().trim_end_matches('}').trim_end());
    small(&[(CLUSTER, POOLS), (LOOP, &line)])
}

/// The same on one pool.
fn shared(keys: &str) -> String {
    split(keys).replacen(POOLS, CLUSTER, 1)
}

fn prepared(text: &str) -> Prepared {
    resolve(&Document::parse("test.yaml", text).unwrap()).unwrap()
}

fn stream(prepared: &Prepared, pace: f64) -> LoopRun {
    Simulation::new(prepared, InputShift::default(), Stepper::Leap).stream(0, pace)
}

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

/// Every kind of loop.
fn modes() -> impl Strategy<Value = (String, u32)> {
    let keys = (
        0_u32..5,
        prop_oneof![Just("in_order"), Just("oldest_first"), Just("first_done")],
        prop_oneof![Just("wait"), Just("drop")],
        prop_oneof![Just("off"), Just("keep_kv"), Just("recompute_kv")],
        prop_oneof![Just(""), Just(", over_sampling: { factor: 1.5 }")],
        prop_oneof![Just(""), Just(", partial_rollouts: true")],
        prop_oneof![
            Just(""),
            Just(", dynamic_sampling: { all_pass: 0.3, all_fail: 0.2 }"),
            Just(", dynamic_sampling: { all_pass: 0.3, all_fail: 0.2, waves: true }")
        ],
        prop_oneof![Just(""), Just(", max_concurrent: 40")],
        prop_oneof![Just("cluster"), Just("pools")],
        (1_u64..1000, prop_oneof![Just("least_loaded"), Just("group_affinity")]),
    );
    keys.prop_map(|(bound, order, stale, interrupt, over, partial, filter, cap, gpus, (seed, router))| {
        let partial = if over.is_empty() { "" } else { partial };
        let on_one = gpus == "cluster";
        let mode = if on_one { "mode: sync".to_owned() } else { format!("mode: async, max_staleness: {bound}") };
        let bound = match (on_one, partial.is_empty()) {
            (true, true) => 0,
            (true, false) => 1,
            _ => bound,
        };
        let keys = format!(
            "{mode}, streaming: true, order: {order}, stale: {stale}, interrupt: {interrupt}{over}{partial}{filter}{cap}"
        );
        let text = if on_one { shared(&keys) } else { split(&keys) };
        let text = text.replacen("layout: { tp: 1 }", &format!("layout: {{ tp: 1 }}, router: {router}"), 1);
        let text = text.replacen("seed: 1", &format!("seed: {seed}"), 1).replacen("rl_steps: 2", "rl_steps: 7", 1);
        (text, bound)
    })
}

#[test]
fn nothing_is_lost_and_no_bound_is_broken() {
    let mut runner = TestRunner::new(contextualize_config(Config {
        cases: 60,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..Config::default()
    }));
    runner
        .run(&modes(), |(text, bound)| {
            let prepared = prepared(&text);
            let run = stream(&prepared, 1.0);
            let (resolved, ledger) = (&prepared.resolved, run.ledger);
            let prompts = u64::from(resolved.workload.prompts_per_step);
            prop_assert_eq!(run.records.len(), 7, "it came to a halt\n{}", text);
            prop_assert_eq!(ledger.trained, 7 * prompts);
            prop_assert_eq!(ledger.started, ledger.trained + ledger.discarded + ledger.in_flight);
            for (record, trained) in run.records.iter().zip(&run.trained) {
                prop_assert_eq!(trained.samples.len(), resolved.workload.samples() as usize);
                prop_assert!(trained.staleness.iter().all(|lag| *lag <= bound), "{}", text);
                prop_assert!(record.spans.iter().all(|(start, end)| start <= end));
                prop_assert!(record.spans[3..].windows(2).all(|pair| pair[0].1 <= pair[1].0));
                let exposed: f64 = record.exposed().iter().sum();
                prop_assert!(
                    (exposed - record.period()).abs() < 1e-6,
                    "{} of {}\n{}",
                    exposed,
                    record.period(),
                    text
                );
                prop_assert!(record.before <= record.spans[Stage::LogprobOld as usize].0);
            }
            let trained: u64 =
                run.trained.iter().flat_map(|t| &t.samples).map(|s| u64::from(s.response)).sum();
            prop_assert_eq!(trained, ledger.trained_tokens);
            let out = ledger.trained_tokens + ledger.wasted_tokens + ledger.in_flight_tokens;
            prop_assert_eq!(ledger.generated_tokens, out, "tokens in and tokens out\n{}", text);
            if !resolved.cycle.mode.split {
                for pair in run.records.windows(2) {
                    let started = pair[1].spans[Stage::Prepare as usize].0;
                    prop_assert!(started >= pair[0].end(), "engines and trainer on the same GPUs\n{}", text);
                }
            }
            Ok(())
        })
        .unwrap();
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

#[test]
fn over_sampling_wastes_and_partial_rollouts_keep() {
    let more = nominal(&["rl_steps=8", "warmup_steps=2"]);
    let run = |keys: &str| result(&shared(keys), &more);
    let (plain, over, partial) = (
        run("mode: sync"),
        run("mode: sync, over_sampling: { factor: 1.5 }"),
        run("mode: sync, over_sampling: { factor: 1.5 }, partial_rollouts: true"),
    );
    for run in [&over, &partial] {
        assert_eq!(run["resolved"]["loop"]["mode"]["order"], "first_done");
        let noted = run["assumptions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|a| a["path"] == "loop.order" && a["value"] == "first_done");
        assert!(noted, "a default that changes seconds is written down");
    }
    let in_order = run("mode: sync, order: in_order, over_sampling: { factor: 1.5 }");
    let of = |value, key: &str| number(value, &format!("forecast.loop.{key}"));
    assert_eq!(of(&plain, "wasted_token_share"), 0.0);
    assert!(of(&over, "wasted_token_share") > 0.05 && of(&over, "length_bias") < -0.02);
    assert!(of(&partial, "wasted_token_share") < 0.5 * of(&over, "wasted_token_share"));
    assert!(of(&partial, "staleness_max") <= 1.0 && of(&over, "staleness_max") == 0.0);
    let step = |value| number(value, "forecast.exposed_s.generation");
    assert!(step(&over) < step(&plain), "the longest samples are not waited for");
    assert!(step(&over) < step(&in_order), "the first ones that were started would be");
}

#[test]
fn dynamic_sampling_draws_what_the_rates_say() {
    let keys = "mode: sync, dynamic_sampling: { all_pass: 0.3, all_fail: 0.2 }";
    let run = result(&shared(keys), &nominal(&["rl_steps=20", "workload.prompts_per_step=32"]));
    // R / (1 - p) groups for R: one thrown away for each that is trained, with the spread of 640 draws.
    let filtered = number(&run, "forecast.loop.filtered_prompts_per_trained");
    assert!((filtered - 1.0).abs() < 0.2, "{filtered}");
    let waves = result(
        &shared("mode: sync, dynamic_sampling: { all_pass: 0.3, all_fail: 0.2, waves: true }"),
        &nominal(&["rl_steps=20", "workload.prompts_per_step=32"]),
    );
    let step = |value| number(value, "forecast.step_s.mean");
    assert!(step(&waves) > step(&run), "waves wait for their last sample");
}

/// tau(eta) = max(T_train + T_sync, W / s, (M + T_train + T_sync) / (eta + 1)): a step is bound by the trainer, by the
/// engines, or by the wait for a batch's longest sample, whose weights may be eta steps old. The concurrency that M and W
/// depend on follows from Little's law; an engine step is priced at it.
fn law(prepared: &Prepared, eta: f64, trainer: f64, sync: f64) -> f64 {
    let resolved = &prepared.resolved;
    let samples = f64::from(resolved.workload.samples());
    let engines = f64::from(resolved.generation.replicas);
    let drawn = rollcast::workload::Generator::new(
        &resolved.workload,
        resolved.seed,
        rollcast::workload::LengthShift::default(),
    );
    let steps: Vec<Vec<f64>> =
        (0..8).map(|step| drawn.step(0, step).iter().map(|s| f64::from(s.response)).collect()).collect();
    let all: Vec<f64> = steps.iter().flatten().copied().collect();
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    let square = all.iter().map(|l| l * l).sum::<f64>() / all.len() as f64;
    let longest =
        steps.iter().map(|s| s.iter().copied().fold(0.0, f64::max)).sum::<f64>() / steps.len() as f64;
    let context = 130.0 + square / (2.0 * mean);
    let step = |batch: f64| {
        // Between whole batches a line: engines pad to captured sizes, and the mean batch is no whole one.
        let at = |n: f64| {
            let shape = Shape { decoding: n as u32, ..Shape::default() };
            let piece = prepared.engine.piece(&shape, n * context);
            let mut seconds = [0.0; rollcast::estimate::STEP_FAMILIES];
            piece.accumulate(1.0, n * context, 0.0, &mut seconds);
            seconds.iter().sum::<f64>()
        };
        let (low, share) = (batch.floor().max(1.0), batch.fract());
        at(low) + share * (at(low + 1.0) - at(low))
    };
    // Little: running samples are those that arrive in a step, times how long they stay.
    let waiting = |tau: f64| {
        let mut batch = samples / engines;
        for _ in 0..200 {
            let stay = mean * step(batch);
            batch = 0.5 * (batch + samples * stay / (engines * tau));
        }
        (longest * step(batch) + trainer + sync) / (eta + 1.0)
    };
    let mut tau = trainer + sync;
    for _ in 0..200 {
        tau = 0.5 * (tau + waiting(tau));
    }
    let cap = ((eta + 1.0) * samples / engines).min(f64::from(resolved.generation.engine.max_num_seqs));
    let bound_by_engines = samples / engines * mean * step(cap) / cap;
    tau.max(trainer + sync).max(bound_by_engines)
}

#[test]
fn the_law_of_asynchronous_steps_holds() {
    for eta in [0_u32, 1, 2, 4, 8] {
        let keys = format!("mode: async, max_staleness: {eta}, interrupt: keep_kv");
        let text = split(&keys)
            .replacen("prompts_per_step: 16", "prompts_per_step: 64", 1)
            .replacen("mean: 500, sigma: 0.8, max: 2048", "mean: 2000, sigma: 0.8, max: 8192", 1)
            .replacen("max_num_seqs: 128", "max_num_seqs: 512", 1)
            .replacen("rule: { seconds: 2 }", "rule: { seconds: 0 }", 1)
            .replacen("rl_steps: 2", "rl_steps: 30\nwarmup_steps: 14", 1);
        let run = result(&text, &nominal(&[]));
        let of = |key: &str| number(&run, &format!("baseline.{key}"));
        let trainer = ["logprob_old", "logprob_reference", "training"]
            .iter()
            .map(|stage| of(&format!("stages_s.{stage}")))
            .sum();
        let step = of("step_s.mean");
        let sync = if eta == 0 { 2.7 } else { 2.5 };
        let off = prepared(&text.replacen("fixed: { k: 3 }", "off", 1));
        let law = law(&off, f64::from(eta), trainer, sync);
        println!("eta {eta}: simulated {step:.1} s, law {law:.1} s ({:+.1} %)", 100.0 * (step / law - 1.0));
        assert!((step / law - 1.0).abs() < 0.1, "eta {eta}: {step} {law}");
        assert!(of("loop.staleness_max") <= f64::from(eta));
    }
}

#[test]
fn more_lag_leaves_drafting_less_to_gain() {
    // Figure 4a of arXiv 2604.26779: lag fills the batch, and a full batch leaves less to gain; more GPUs, more gain.
    let speedup = |gpus: u32, lag: u32| {
        let keys = format!("mode: async, max_staleness: {lag}, interrupt: keep_kv");
        let text = split(&keys)
            .replacen("h100-sxm, gpus: 8", &format!("h100-sxm, gpus: {gpus}"), 1)
            // A trainer that never waits for anybody but the engines.
            .replacen("training: { mfu: 0.4, logprob_mfu: 0.36", "training: { mfu: 1, logprob_mfu: 1", 1)
            .replacen("h100-sxm, gpus: 8", "h100-sxm, gpus: 512", 1)
            .replacen("prompts_per_step: 16", "prompts_per_step: 128", 1)
            .replacen("rl_steps: 2", "rl_steps: 16\nwarmup_steps: 8", 1)
            .replacen("mean: 500, sigma: 0.8, max: 2048", "mean: 2000, sigma: 0.8, max: 8192", 1)
            .replacen(
                "data_seconds: 0.2, prepare_seconds: 0.5, weight_sync: { seconds: 2 }",
                "data_seconds: 0, prepare_seconds: 0, weight_sync: { seconds: 0 }",
                1,
            )
            .replacen("rule: { seconds: 2 }", "rule: { seconds: 0 }", 1)
            .replacen("max_num_seqs: 128", "max_num_seqs: 512", 1);
        // The engines bind every step here, so a step is a rollout.
        number(&result(&text, &nominal(&[])), "speedup.step.mean")
    };
    let few: Vec<f64> = [0, 2, 8].iter().map(|lag| speedup(8, *lag)).collect();
    let many: Vec<f64> = [0, 2, 8].iter().map(|lag| speedup(32, *lag)).collect();
    println!("8 GPUs {few:.2?}, 32 GPUs {many:.2?}");
    assert!(few.is_sorted_by(|a, b| a > b), "{few:?}");
    // Where batches are small a drain's tail is of the requests that are seldom accepted, and lag takes that tail away.
    assert!(many[2] < many[1] && many[2] < many[0], "{many:?}");
    assert!(few.iter().zip(&many).all(|(few, many)| many > &(0.95 * few)), "{few:?} {many:?}");
}

#[test]
fn one_pool_takes_turns_whatever_samples_may_lag() {
    let more = nominal(&["rl_steps=4"]);
    let plain = result(SMALL, &more);
    // Over-sampling by nothing leaves nothing over.
    for keys in [
        "partial_rollouts: true, over_sampling: { factor: 1 }",
        "max_staleness: 2, partial_rollouts: true, over_sampling: { factor: 1 }",
    ] {
        let run = result(&shared(keys), &more);
        assert_eq!(number(&run, "forecast.step_s.mean"), number(&plain, "forecast.step_s.mean"), "{keys}");
        assert_eq!(number(&run, "forecast.loop.staleness_max"), 0.0);
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
fn a_schedule_that_knows_the_acceptance_knows_how_it_drifts() {
    let drift = "schedule: { goodput: {} }\n  drift: { exponential: { limit: 0.02, steps: 1 } }\n";
    let drifting = |text: &str| {
        text.replacen("schedule: { fixed: { k: 3 } }\n", drift, 1).replacen("rl_steps: 2", "rl_steps: 12", 1)
    };
    let shifts = InputShift::default();
    let turns = prepared(&drifting(SMALL));
    let simulation = Simulation::new(&turns, shifts, Stepper::Leap);
    let rounds = |step| simulation.step(0, step).replicas.iter().map(|r| r.rounds).sum::<u64>();
    assert!(rounds(0) > 100 && rounds(11) == 0, "{} {}", rounds(0), rounds(11));
    // Drafts over time are told by the schedule of that step.
    let run = result(&drifting(SMALL), &nominal(&["warmup_steps=11"]));
    let curve = run["forecast"]["batch_over_time"].as_array().unwrap().clone();
    assert!(curve.iter().all(|point| point["draft_tokens"].as_f64().unwrap_or(0.0) == 0.0));
    let streaming = prepared(&drifting(&split("mode: async, max_staleness: 1, interrupt: keep_kv")));
    let trained = stream(&streaming, 1.0).trained;
    let rounds = |at: usize| trained[at].replicas.iter().map(|r| r.rounds).sum::<u64>();
    assert!(rounds(0) > 100 && rounds(11) == 0, "{} {}", rounds(0), rounds(11));
}

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

#[test]
fn a_drafter_that_goes_stale_and_one_that_learns() {
    let drifting = |drift: &str, learner: &str| {
        let text = small(&[
            ("  schedule: { fixed: { k: 3 } }\n", &format!("  schedule: {{ fixed: {{ k: 3 }} }}\n{drift}")),
            ("reference_logprobs: true }", &format!("reference_logprobs: true{learner} }}")),
            ("rl_steps: 2", "rl_steps: 40\nwarmup_steps: 30"),
        ]);
        result(&text, &nominal(&[]))
    };
    let length = |value| number(value, "forecast.acceptance_length");
    let training = |value| number(value, "forecast.stages_s.training");
    let fixed = drifting("", "");
    let falling = "  drift: { exponential: { limit: 0.5, steps: 10 } }\n";
    let frozen = drifting(falling, "");
    let rising = drifting("  drift: { exponential: { limit: 0.9, steps: 10 } }\n", "");
    assert!(length(&frozen) < length(&fixed) - 0.5 && length(&rising) > length(&fixed) + 0.3);
    // Acceptance lengths of .5 and .9 at the first position, the others moved by the same logit.
    let learner = ", drafter: { every: 1, updates: 40, recovery: 10, seconds: 3 }";
    let learning = drifting(falling, learner);
    assert!((length(&learning) - length(&fixed)).abs() < 0.05, "what is lost in a step is learnt in a step");
    assert!((training(&learning) - training(&frozen) - 3.0).abs() < 1e-6, "and is paid for");
    let beside = drifting(
        falling,
        ", drafter: { every: 5, updates: 40, recovery: 10, seconds: 3, placement: overlapped, contention: 0.5 }",
    );
    // A training every fifth step, half of it hidden.
    assert!((training(&beside) - training(&frozen) - 0.3).abs() < 1e-6);
    assert!(length(&beside) < length(&learning) && length(&beside) > length(&frozen));
    let idle = drifting(
        falling,
        ", drafter: { every: 1, updates: 40, recovery: 10, seconds: 0.1, placement: idle }",
    );
    assert!((training(&idle) - training(&frozen)).abs() < 1e-6, "the long tail has room for it");
    let waited = drifting(falling, ", drafter: { every: 1, updates: 40, recovery: 10, seconds: 0.1 }");
    let hidden = number(&waited, "update_interval.update_s") - number(&idle, "update_interval.update_s");
    assert!((hidden - 0.1).abs() < 1e-6, "what idle GPUs take costs the loop nothing: {hidden}");
    // Engines that work on several steps are never all idle: a stream pays for all of it, and says so.
    let learner = |keys: &str| {
        let text = split("mode: async, max_staleness: 1, interrupt: keep_kv").replacen(
            "reference_logprobs: true }",
            &format!("reference_logprobs: true{keys} }}"),
            1,
        );
        let run = result(&text, &nominal(&["rl_steps=6"]));
        number(&run, "forecast.stages_s.training")
    };
    let paid = learner(", drafter: { every: 1, updates: 40, recovery: 10, seconds: 0.1, placement: idle }");
    assert!((paid - learner("") - 0.1).abs() < 1e-6);
    let by_kl = drifting("  drift: { divergence: { kl_per_step: 0.0005, share: 1 } }\n", "");
    assert!(length(&by_kl) < length(&fixed));
}

#[test]
fn the_best_interval_is_what_simulation_finds() {
    let run = |every: u32| {
        let text = small(&[
            (
                "  schedule: { fixed: { k: 3 } }\n",
                "  schedule: { fixed: { k: 3 } }\n  drift: { points: [[0, 0.776], [240, 0.4]] }\n",
            ),
            (
                "reference_logprobs: true }",
                &format!(
                    "reference_logprobs: true, drafter: {{ every: {every}, updates: 400, recovery: 10, seconds: 0.5 }} }}"
                ),
            ),
            ("rl_steps: 2", "rl_steps: 240"),
            ("prompts_per_step: 16", "prompts_per_step: 64"),
            ("workload_draws: 2", "workload_draws: 1"),
        ]);
        result(&text, &nominal(&[]))
    };
    let every = [2, 4, 8, 16, 32, 64, 120];
    let runs: Vec<_> = every.iter().map(|n| run(*n)).collect();
    let steps: Vec<f64> = runs.iter().map(|run| number(run, "forecast.step_s.mean")).collect();
    let found = every[(0..every.len()).min_by(|a, b| steps[*a].total_cmp(&steps[*b])).unwrap()];
    // All runs' own estimates agree, as none depends on the interval that was asked for.
    for run in &runs {
        let best = number(run, "update_interval.best_every");
        println!("asked {}, best {best}, simulated best {found}", number(run, "update_interval.every"));
        assert!(best / f64::from(found) > 0.5 && best / f64::from(found) < 2.0, "{best} {found} {steps:?}");
    }
    assert!(steps[0] > steps[3] && steps[6] > steps[3], "{steps:?}");
}

#[test]
fn lengths_may_drift_and_inexactness_is_said() {
    let text = small(&[
        ("max: 2048", "max: 16384"),
        ("  response_tokens:", "  response_drift: [[0, 1], [10, 1.5]]\n  response_tokens:"),
        ("rl_steps: 2", "rl_steps: 20\nwarmup_steps: 10"),
    ]);
    let still = small(&[("max: 2048", "max: 16384"), ("rl_steps: 2", "rl_steps: 20\nwarmup_steps: 10")]);
    let (drifting, fixed) = (result(&text, &nominal(&[])), result(&still, &nominal(&[])));
    let rollout = |run| number(run, "baseline.rollout_s.mean");
    // Half as long again, every one of them.
    let longer = rollout(&drifting) / rollout(&fixed);
    assert!((1.35..1.6).contains(&longer), "{longer}");
    let fixed = result(SMALL, &nominal(&[]));
    let text = small(&[("  schedule:", "  inexactness: 0.001\n  schedule:")]);
    let inexact = result(&text, &nominal(&[]));
    for path in ["forecast.step_s.mean", "forecast.acceptance_length"] {
        assert_eq!(number(&inexact, path), number(&fixed, path), "{path}");
    }
    // 1 - .999^500 of the responses.
    let said = inexact["warnings"].to_string();
    assert!(said.contains("inexact by 0.001") && (said.contains("39 %") || said.contains("40 %")), "{said}");
    assert!(!fixed["warnings"].to_string().contains("inexact"));
}

#[test]
fn sandboxes_and_reward_models_hide_behind_generation() {
    let with = |reward: &str| result(&small(&[("reward: { rule: { seconds: 2 } }", reward)]), &nominal(&[]));
    let exposed = |value| number(value, "forecast.exposed_s.reward");
    let busy = |value| number(value, "forecast.stages_s.reward");
    let few = with("reward: { sandbox: { latency: 1, concurrency: 4, overlapped: false } }");
    // 128 samples of a second on four sandboxes.
    assert!((busy(&few) - 32.0).abs() < 1e-9 && (exposed(&few) - 32.0).abs() < 1e-6);
    let hidden = with("reward: { sandbox: { latency: 1, concurrency: 64 } }");
    assert!(exposed(&hidden) >= 1.0 - 1e-6 && exposed(&hidden) < busy(&few));
    let model = with("reward: { model: { gpus: 8, latency: 1, concurrency: 64 } }");
    assert!((exposed(&model) - exposed(&hidden)).abs() < 1e-9);
    let usd = |value| number(value, "forecast.usd_per_step.mean");
    assert!((usd(&model) / usd(&hidden) - 2.0).abs() < 1e-6, "its GPUs are paid for");
}

#[test]
fn a_whole_run_adds_what_lies_beside_its_steps() {
    let text = format!(
        "{SMALL}whole_run: {{ rl_steps: 500, startup_seconds: 300, evaluation: {{ every: 20, seconds: 60 }}, \
         checkpoint: {{ every: 100, seconds: 30 }}, drafter_usd: 50 }}\n"
    );
    let run = result(&text, &nominal(&[]));
    let step = number(&run, "forecast.step_s.mean");
    let seconds = 300.0 + 25.0 * 60.0 + 5.0 * 30.0 + 500.0 * step;
    assert!((number(&run, "whole_run.forecast_hours.mean") * 3600.0 / seconds - 1.0).abs() < 1e-9);
    let usd = seconds * 8.0 * 2.5 / 3600.0 + 50.0;
    assert!((number(&run, "whole_run.forecast_usd.mean") / usd - 1.0).abs() < 1e-9);
    let saved = number(&run, "baseline.usd_per_step.mean") - number(&run, "forecast.usd_per_step.mean");
    let payback = &run["whole_run"]["payback_steps"];
    match payback.as_f64() {
        Some(steps) => assert!((steps * saved / 50.0 - 1.0).abs() < 1e-6),
        None => assert!(saved <= 0.0),
    }
}
