//! Asynchronous steps beside the published law, and what their lag leaves for drafting to gain.

use rollcast::piece::Shape;
use rollcast::resolve::Prepared;

use crate::common::{nominal, number, result};
use crate::{prepared, split};

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
