//! Prompts beyond those that are trained: over-sampling, partial rollouts and dynamic sampling.

use crate::common::{SMALL, nominal, number, result};
use crate::{shared, split};

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

#[test]
fn what_is_filtered_is_replaced_once_it_is_scored() {
    let of = |waves: bool, latency: f64| {
        let keys =
            format!("mode: sync, dynamic_sampling: {{ all_pass: 0.3, all_fail: 0.2, waves: {waves} }}");
        let text = shared(&keys).replacen(
            "rule: { seconds: 2 }",
            &format!("sandbox: {{ latency: {latency}, concurrency: 4096 }}"),
            1,
        );
        let run = result(&text, &nominal(&["rl_steps=6", "workload.prompts_per_step=32"]));
        [number(&run, "forecast.step_s.mean"), number(&run, "forecast.exposed_s.reward")]
    };
    for (waves, least, most) in [(true, 4.0, 9.0), (false, 1.0, 9.0)] {
        let ([quick, _], [slow, reward]) = (of(waves, 0.001), of(waves, 30.0));
        // Of 32 prompts half are lost each time: about six rounds of scoring, one behind the other in waves.
        let rounds = (slow - quick) / 30.0;
        assert!(rounds > least && rounds < most, "waves {waves}: {rounds} rounds");
        assert!(reward < 1e-9, "they stand inside generation: {reward}");
    }
}

#[test]
fn extra_prompts_are_all_that_over_sampling_adds() {
    // A thousandth more prompts are none: the same rollout, also where engines have fewer seats than samples.
    for seats in [4, 16, 128] {
        let run = |keys: &str| {
            let text = shared(keys).replacen("max_num_seqs: 128", &format!("max_num_seqs: {seats}"), 1);
            number(&result(&text, &nominal(&["rl_steps=3"])), "forecast.step_s.mean")
        };
        let (plain, over) = (run("mode: sync"), run("mode: sync, over_sampling: { factor: 1.001 }"));
        assert!((plain - over).abs() < 1e-6 * plain, "{seats} seats: {plain} {over}");
    }
}

#[test]
fn a_cache_that_is_computed_again_shares_prompts_too() {
    // Dearer by what weight updates cost, with prompts shared inside a group and not.
    let dearer = |prefix_caching: bool| {
        let step = |interrupt: &str| {
            let text = split(&format!("preset: areal, interrupt: {interrupt}"))
                .replacen("tokens: 130", "tokens: 2000", 1)
                // One engine for eight trainers: it is never idle.
                .replacen(
                    "generation: { device: h100-sxm, gpus: 8",
                    "generation: { device: h100-sxm, gpus_per_node: 1, gpus: 1",
                    1,
                )
                .replacen(
                    "max_num_seqs: 128",
                    &format!("max_num_seqs: 128, router: group_affinity, prefix_caching: {prefix_caching}"),
                    1,
                );
            number(&result(&text, &nominal(&["rl_steps=8", "warmup_steps=4"])), "forecast.rollout_s.mean")
        };
        step("recompute_kv") - step("keep_kv")
    };
    let (shared, alone) = (dearer(true), dearer(false));
    assert!(shared > 0.0 && shared < 0.6 * alone, "{shared} s with shared prompts, {alone} s without");
}

#[test]
fn the_tail_s_engines_count_towards_the_peak_of_the_cache() {
    let peak = |text: &str| number(&result(text, &nominal(&["rl_steps=2"])), "forecast.kv_peak_share");
    let direct = peak(&SMALL.replacen("tp: 1", "tp: 2", 1));
    // All but one sample go over as soon as the first is done.
    let regrouped = peak(&format!("{SMALL}tail: {{ regroup: {{ below: 127, tp: 2 }} }}\n"));
    assert!(regrouped > 0.5 * direct && regrouped < 1.5 * direct, "{regrouped} for {direct}");
}
