//! Every kind of loop: prompts and tokens that come in go out, and no bound on staleness is broken.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner, contextualize_config};
use rollcast::rl::Stage;

use crate::{prepared, shared, split, stream};

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
        prop_oneof![
            Just("rule: { seconds: 2 }"),
            Just("sandbox: { latency: 20, sigma: 0.5, concurrency: 64 }")
        ],
    );
    keys.prop_map(|(bound, order, stale, interrupt, over, partial, filter, cap, gpus, (seed, router), reward)| {
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
        let text = text.replacen("rule: { seconds: 2 }", reward, 1);
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
