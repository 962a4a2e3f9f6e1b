//! Numbers beyond all use: refused, rather than an aborted process or an infinite second. And keys, standard
//! errors and prices that must count or be named.

use crate::common::{number, run};
use crate::{GPUS, accepted, refused};

#[test]
fn what_would_not_fit_this_machine_is_refused() {
    refused(&[(GPUS, "gpus: 1000000000")], "1000000000", &["cluster.gpus", "at most 100000"]);
    refused(&[("rl_steps: 2", "rl_steps: 1000000000")], "1000000000", &["rl_steps", "at most 10000"]);
    let together = [(GPUS, "gpus: 80000"), ("rl_steps: 2", "rl_steps: 100")];
    refused(&together, "100\nseed", &["rl_steps", "80000 GPUs x 100 RL steps x 2 draws"]);
    let years = [("data_seconds: 0.2", "data_seconds: 1e7"), ("rl_steps: 2", "rl_steps: 1000")];
    refused(&years, "1000\nseed", &["rl_steps", "s together"]);
    refused(&[("mfu: 0.4,", "mfu: 1e-300,")], "2\nseed", &["rl_steps", "s together"]);
    let worlds = [("workload_draws: 2, worlds: 8", "workload_draws: 1000, worlds: 10000")];
    refused(&worlds, "uncertainty", &["1000 draws x 10000 worlds"]);
}

#[test]
fn a_standard_error_beyond_its_number_is_refused() {
    let of = |from: &str, to: &str, path: &str| {
        let at = to.find("se: ").map(|start| &to[start + 4..]).unwrap();
        refused(&[(from, to)], at, &[path, "standard error of at most"]);
    };
    of("data_seconds: 0.2", "data_seconds: { value: 0.2, se: 1e15 }", "loop.data_seconds.se");
    of("rule: { seconds: 2 }", "rule: { seconds: { value: 0, se: 0.5 } }", "reward.rule.seconds.se");
    of("mfu: 0.4,", "mfu: { value: 0.4, se: 5 },", "training.mfu.se");
    of("mean: 500", "mean: { value: 500, se: 501 }", "lognormal.mean.se");
    of("sigma: 0.8", "sigma: { value: 0.8, se: 4 }", "lognormal.sigma.se");
    of("first: 0.776", "first: { value: 0.776, se: 0.6 }", "power_law.first.se");
    of("decay: 0.074", "decay: { value: 0.074, se: 11 }", "power_law.decay.se");
    accepted(&[
        ("data_seconds: 0.2", "data_seconds: { value: 0.2, se: 0.2 }"),
        ("mean: 500", "mean: { value: 500, se: 500 }"),
    ]);
}

#[test]
fn what_would_have_no_effect_is_refused() {
    let length = "{ length: { value: 2.77, at_k: 3, decay: { value: 0.08, se: 0.01 } } }";
    let law = "{ power_law: { first: 0.776, decay: 0.074, concentration: 12 } }";
    refused(&[(law, length)], "0.01 }", &["acceptance.length.decay.se", "nothing carries it"]);
    let training = "training: { mfu: 0.4,";
    let with = |keys: &str| format!("training: {{ {keys}, mfu: 0.4,");
    refused(
        &[(training, &with("update_seconds: -20"))],
        "-20",
        &["training.update_seconds", "expected 0 to"],
    );
    refused(&[(training, &with("layout: { ep: 7 }"))], "7 }", &["training.layout.ep", "qwen3-8b has none"]);
    let moe = [("model: qwen3-8b", "model: qwen3-30b-a3b"), ("drafter: eagle3-qwen3-8b", "drafter: ngram")];
    let spread = |ep: u32| with(&format!("layout: {{ ep: {ep} }}"));
    refused(&[moe[0], moe[1], (training, &spread(7))], "7 }", &["do not divide the 128 experts"]);
    refused(&[moe[0], moe[1], (training, &spread(64))], "64 }", &["8 GPUs of a pipeline stage do not split"]);
    accepted(&[moe[0], moe[1], (training, &spread(8))]);
    let contention = with("drafter: { contention: 0.5, seconds: 1 }");
    refused(&[(training, &contention)], "0.5", &["training.drafter.contention", "placement: overlapped"]);
    refused(
        &[("rl_steps: 2\n", "rl_steps: 2\nwarmup_steps: 4\n")],
        "4\n",
        &["warmup_steps: found 4", "fewer than rl_steps, 2"],
    );
    let run = accepted(&[("rl_steps: 2\n", "warmup_steps: 4\n")]);
    assert_eq!(number(&run, "resolved.rl_steps"), 8.0, "four beside those that are left out");
}

#[test]
fn every_error_that_is_read_widens_a_band() {
    let spread = |changes: &[(&str, &str)]| {
        let run = accepted(changes);
        number(&run, "forecast.step_s.p95") - number(&run, "forecast.step_s.p05")
    };
    let update = |se: &str| format!("training: {{ update_seconds: {{ value: 5, se: {se} }}, mfu: 0.4,");
    let of = |se: &str| spread(&[("training: { mfu: 0.4,", &update(se))]);
    assert!(of("4") > of("0") + 2.0, "{} {}", of("4"), of("0"));
    let prompt = |se: &str| {
        format!(
            "prompt_tokens: {{ lognormal: {{ mean: {{ value: 4000, se: {se} }}, sigma: 0.5, max: 8192 }} }}"
        )
    };
    let prompts = "prompt_tokens: { constant: { tokens: 130 } }";
    let (sure, unsure) = (prompt("0"), prompt("1500"));
    assert!(spread(&[(prompts, &unsure)]) > 1.2 * spread(&[(prompts, &sure)]));
    let run = accepted(&[(prompts, &unsure)]);
    let rows = run["sensitivity"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["input"] == "mean prompt length"), "{rows:#?}");
}

#[test]
fn a_pool_without_a_price_is_named() {
    let pools = "pools: { generation: { device: h100-sxm, gpus: 8 }, training: { device: gb200, gpus: 8 } }";
    let run = accepted(&[("cluster: { device: h100-sxm, gpus: 8, usd_per_gpu_hour: 2.5 }", pools)]);
    let said = run["warnings"].to_string();
    assert!(said.contains("gb200, so it counts as free: pools.training.usd_per_gpu_hour"), "{said}");
}

#[test]
fn a_key_that_changes_nothing_is_named() {
    let named = |from: &str, to: &str, said: &str| {
        let warnings = accepted(&[(from, to)])["warnings"].to_string();
        assert!(warnings.contains(said), "no `{said}` in {warnings}");
    };
    let layout = "layout: { tp: 1 }, max_num_seqs";
    let routing = "layout: { tp: 1 }, routing: { skew: 0.5 }, max_num_seqs";
    named(layout, routing, "generation.routing has no effect: the model is dense");
    let reward = "reward: { rule";
    named(
        reward,
        "tail: { cap: 4096 }\nreward: { rule",
        "tail.cap has no effect: no response is longer than 2048",
    );
    let predictor = "tail: { predictor: { log_error: 0.3 } }\nreward: { rule";
    named(reward, predictor, "tail.predictor has no effect: nothing predicts");
    let trained =
        ("reference_logprobs: true }", "reference_logprobs: true, drafter: { placement: trainer_forward } }");
    named(trained.0, trained.1, "part of the difference is padding, not speculation");
    let plain = accepted(&[(reward, "tail: { cap: 1024 }\nreward: { rule")])["warnings"].to_string();
    assert!(!plain.contains("no effect"), "{plain}");
}

#[test]
fn a_flag_that_sets_the_value_of_an_uncertain_number_is_named() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/quickstart.yaml");
    let flag = "workload.response_tokens.lognormal.mean.value=-5";
    run(&["run", file, "--set", flag]).exits(2).says(&["--set workload", "found -5"]);
}
