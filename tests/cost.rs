//! `rollcast cost` as a user meets it: one engine step or one operator, as a table and as JSON, and what it refuses.
//!
//! What the costs of models and drafters are is in `models.rs`; here is how they are asked for and told.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{File, SMALL, number, run, small};
use serde_json::Value;

const EXPERTS: [&str; 6] = ["--model", "qwen3-235b-a22b", "--tp", "8", "--ep", "8"];
const EAGLE: [&str; 4] = ["--drafter", "eagle3-qwen3-8b", "-k", "3"];
const SEED: [&str; 2] = ["--scenario", "scenarios/seeds/nemo-rl-235b-sync.yaml"];

/// The JSON of a step.
fn step(arguments: &[&str]) -> Value {
    let all = [&["cost", "step", "--format", "json"], arguments].concat();
    let run = run(&all).exits(0);
    assert_eq!(run.err, "", "{arguments:?}");
    run.json()
}

/// The JSON of one operator of a step.
fn op(name: &str, arguments: &[&str]) -> Value {
    run(&[&["cost", "op", name, "--format", "json"], arguments].concat()).exits(0).json()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn operators(step: &Value) -> Vec<&str> {
    step["by_op"].as_array().unwrap().iter().map(|line| line["operator"].as_str().unwrap()).collect()
}

/// Seconds of the whole step.
fn seconds(arguments: &[&str]) -> f64 {
    number(&step(arguments), "seconds.median")
}

// ---- what is told ----

#[test]
fn a_step_is_told_in_the_promised_form() {
    let prefill = [&EAGLE[..], &["-b", "64", "--prefill", "3000"]].concat();
    let alone = ["-b", "0", "--prefill", "3000", "--bare"];
    let tail = ["-b", "512", "-c", "30000", "-k", "7", "--bare"];
    for arguments in [
        &[][..],
        &["-b", "64", "--device", "gb200"],
        &EAGLE,
        &prefill,
        &alone,
        &["-b", "0", "--bare"],
        &EXPERTS,
        &SEED,
        &[&SEED[..], &tail].concat(),
    ] {
        let step = step(arguments);
        let promised =
            ["label", "seconds", "by_op", "bound", "tier", "extrapolated", "extrapolated_s", "warnings"];
        assert_eq!(keys(&step), promised, "{arguments:?}");
        assert_eq!(keys(&step["seconds"]), ["median", "p05", "p95"]);
        assert!(step["extrapolated"].is_boolean());
        let lines = step["by_op"].as_array().unwrap();
        let sum = |key: &str| lines.iter().map(|line| number(line, key)).sum::<f64>();
        let median = number(&step, "seconds.median");
        assert!(
            (sum("seconds") - median).abs() <= 1e-9 * median,
            "{arguments:?}: {} {median}",
            sum("seconds")
        );
        if lines.is_empty() {
            assert_eq!(median, 0.0, "{arguments:?}: nothing to do");
            continue;
        }
        assert!((sum("share") - 1.0).abs() < 1e-9, "{arguments:?}");
        assert!(lines.is_sorted_by(|a, b| number(a, "seconds") >= number(b, "seconds")), "dearest first");
        let band = ["p05", "median", "p95"].map(|at| number(&step, &format!("seconds.{at}")));
        assert!(0.0 < band[0] && band[0] < band[1] && band[1] < band[2], "{arguments:?}: {band:?}");
        for line in lines {
            let of_line =
                ["operator", "family", "seconds", "share", "bound", "tier", "log_sigma", "extrapolated_s"];
            assert_eq!(keys(line), of_line, "{arguments:?}");
            assert!(number(line, "seconds") > 0.0 && number(line, "log_sigma") >= 0.0, "{line}");
        }
        for line in lines.iter().chain([&step]) {
            let known = ["memory", "compute", "latency", "network", "host"];
            assert!(known.contains(&line["bound"].as_str().unwrap()), "{line}");
            assert!(
                ["measured", "published", "analytic"].contains(&line["tier"].as_str().unwrap()),
                "{line}"
            );
        }
        let beyond = sum("extrapolated_s");
        assert!((beyond - number(&step, "extrapolated_s")).abs() <= 1e-9 * median, "{arguments:?}: {beyond}");
        let names = operators(&step);
        assert!((1..names.len()).all(|i| !names[..i].contains(&names[i])), "each once: {names:?}");
    }
}

#[test]
fn an_operator_is_its_part_of_the_step() {
    for arguments in [&EAGLE[..], &EXPERTS, &SEED] {
        let step = step(arguments);
        for line in step["by_op"].as_array().unwrap() {
            let name = line["operator"].as_str().unwrap();
            let alone = op(name, arguments);
            assert_eq!(keys(&alone), keys(&step));
            assert_eq!(operators(&alone), [name]);
            assert_eq!(number(&alone, "seconds.median"), number(line, "seconds"), "{name}");
            assert_eq!(
                (number(&alone["by_op"][0], "share"), &alone["bound"]),
                (1.0, &line["bound"]),
                "{name}"
            );
            let spread = number(&alone, "seconds.p95") / number(&alone, "seconds.median");
            assert!((spread.ln() / 1.6449 - number(line, "log_sigma")).abs() < 1e-3, "{name}: {spread}");
        }
    }
}

#[test]
fn a_table_fits_a_page_and_names_its_operators() {
    let long = [&SEED[..], &["-k", "7", "-b", "65536", "-c", "10000000", "--prefill", "1000000"]].concat();
    for arguments in [&[][..], &EAGLE, &EXPERTS, &SEED, &long] {
        let table = run(&[&["cost", "step"], arguments].concat()).exits(0);
        let widest = table.out.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 100, "{widest} columns:\n{}", table.out);
        assert!(!table.out.contains('\u{1b}') && !table.out.contains("NaN"), "{}", table.out);
        for name in operators(&step(arguments)) {
            assert!(table.out.contains(name), "no `{name}` in:\n{}", table.out);
        }
    }
    let one = run(&["cost", "op", "experts", EXPERTS[0], EXPERTS[1]]).exits(0);
    assert!(one.out.contains("experts") && !one.out.contains("router"), "{}", one.out);
}

#[test]
fn what_has_no_part_in_a_step_is_no_line_of_it() {
    let has = |arguments: &[&str], name: &str| operators(&step(arguments)).contains(&name);
    assert!(has(&["--tp", "2"], "all-reduce") && !has(&[], "all-reduce"));
    assert!(has(&EXPERTS, "experts") && !has(&EXPERTS, "gate-up projection"));
    assert!(has(&EAGLE, "draft head") && has(&EAGLE, "verify attention") && !has(&EAGLE[..2], "draft head"));
    assert!(has(&["--prefill", "100"], "prefill attention") && !has(&[], "prefill attention"));
    assert!(has(&[], "iteration gap") && !has(&["--bare"], "iteration gap"), "software");
    assert!(!has(&["--drafter", "ngram", "-k", "3"], "draft head"), "found, not computed");
}

// ---- what is asked ----

#[test]
fn every_option_counts() {
    let base = seconds(&[]);
    for (dearer, arguments) in [
        (true, &["-b", "64"][..]),
        (true, &["-c", "30000"]),
        (true, &EAGLE),
        (true, &["--prefill", "512"]),
        (true, &["--model", "qwen3-14b"]),
        (false, &["--bare"]),
        (false, &["--tp", "2"]),
        (false, &["--device", "h200-sxm"]),
        (false, &["--set", "generation.weights=fp8"]),
        (false, &["--set", "generation.engine=sglang"]),
    ] {
        let other = seconds(arguments);
        assert_eq!(other > base, dearer, "{arguments:?}: {other} s, {base} s without");
    }
    assert!(seconds(&[&EAGLE[..2], &["-k", "5"]].concat()) > seconds(&EAGLE));
    let narrow = &["--model", "qwen3-235b-a22b", "--tp", "8"];
    assert_ne!(seconds(&EXPERTS), seconds(narrow), "experts spread, and split");
}

#[test]
fn a_scenario_gives_the_engine_and_the_options_the_step() {
    let file = File::new(SMALL);
    let scenario = ["--scenario", file.name()];
    let with = |more: &[&str]| seconds(&[&scenario[..], more].concat());
    // The same engine by options: the small scenario's drafter and layout.
    assert_eq!(with(&["-b", "8", "-k", "3"]), seconds(&[&EAGLE[..], &["-b", "8"]].concat()));
    assert!(
        with(&["-b", "8", "-k", "5"]) > with(&["-b", "8", "-k", "3"]),
        "-k is the step's, not the scenario's"
    );
    assert!(with(&["--bare"]) < with(&[]));
    assert!(with(&["--set", "generation.layout.tp=2"]) < with(&[]));
    // A model that does not fit memory can be priced; a scenario that sizes its own cache must fit.
    assert!(seconds(&["--model", "deepseek-v3"]) > 0.02);
    let large =
        small(&[("model: qwen3-8b", "model: llama-3.1-70b"), ("eagle3-qwen3-8b", "eagle3-llama-3.3-70b")]);
    let large = File::new(&large);
    let step = ["cost", "step", "--scenario", large.name()];
    run(&step).exits(1).says(&["does not fit", "GiB too much"]);
    run(&[&step[..], &["--set", "generation.num_gpu_blocks=100000"]].concat()).exits(0);
}

#[test]
fn what_is_beyond_a_fitted_range_is_named_and_nothing_else_is() {
    // An output head of 151,936 rows is wider than any product in the tables; attention here is inside them.
    let page = run(&["cost", "step", "-b", "8"]).exits(0).out;
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(page.contains("beyond the range that its constants were fitted on: output head"), "{page}");
    assert_eq!(op("attention", &["-b", "8"])["extrapolated"], false);
    assert_eq!(op("output head", &["-b", "8"])["extrapolated"], true);
}

#[test]
fn a_step_that_fits_no_gpu_says_so() {
    let warned = |arguments: &[&str]| step(arguments)["warnings"].to_string();
    assert_eq!(warned(&["-b", "64", "-c", "2048"]), "[]");
    assert!(warned(&["--model", "qwen3-235b-a22b"]).contains("does not fit: 437"));
    // 147,456 bytes a token: 281 GiB of cache.
    assert!(
        warned(&["-b", "1024", "-c", "2000"]).contains("and 281.2 GiB of cache on each GPU; h100-sxm has")
    );
    assert!(warned(&["-c", "50000"]).contains("beyond the 40960 positions of qwen3-8b"));
}

#[test]
fn what_cannot_be_is_refused_with_the_way_out() {
    let folder = File::new("{}");
    let config = folder.folder.path().join("config.json");
    std::fs::write(&config, "{ \"architectures\": [\"MambaForCausalLM\"], \"model_type\": \"mamba\" }")
        .unwrap();
    for (arguments, said) in [
        (&["op", "nonsense"][..], &["no operator `nonsense`", "it has: ", "attention", "output head"][..]),
        (&["op", "experts"], &["no operator `experts`", "gate-up projection"]),
        (&["step", "-k", "3"], &["-k needs a drafter", "--drafter"]),
        (
            &["step", "--scenario", "scenarios/published/verl-7b-8xh100.yaml", "-k", "3"],
            &["-k needs a drafter"],
        ),
        (&["step", "--tp", "3"], &["3 GPUs do not divide the 32 query heads", "possible here: 1"]),
        (&["step", "--tp", "64"], &["64 GPUs do not divide the 32 query heads", "16, 32"]),
        (&["step", "--tp", "0"], &["generation.layout.tp", "found `0`"]),
        (&["step", "--ep", "2"], &["qwen3-8b has no experts to spread"]),
        (
            &["step", EXPERTS[0], EXPERTS[1], "--tp", "8", "--ep", "3"],
            &["3 GPUs do not divide the 128 experts"],
        ),
        (&["step", "--model", "qwen3-9b"], &["unknown model `qwen3-9b`", "qwen3-8b"]),
        (&["step", "--model", config.to_str().unwrap()], &["config.json"]),
        (&["step", "--device", "h101-sxm"], &["unknown device `h101-sxm`", "h100-sxm"]),
        (&["step", "--drafter", "eagle3-llama-3.1-8b"], &["was trained for llama-3.1-8b", "eagle3-qwen3-8b"]),
        (&["step", "--drafter", "dflash-qwen3-8b", "-k", "20"], &["20 draft tokens", "at most 15"]),
        (&["step", "--drafter", "ngram", "-k", "65"], &["65 is not in 0..=64"]),
        (&["step", "--batch", "many"], &["invalid value 'many'"]),
        (&["step", "--scenario", "nowhere.yaml"], &["nowhere.yaml"]),
        (&["step", "--scenario", "scenarios/quickstart.yaml", "--tp", "2"], &["cannot be used with"]),
        (
            &["step", "--scenario", "scenarios/quickstart.yaml", "--drafter", "ngram"],
            &["cannot be used with"],
        ),
        (
            &["step", "--scenario", "scenarios/published/steps-llama-8b-k3.yaml", "-b", "4"],
            &["--batch beside a scenario with `step:`", "--set step."],
        ),
        (
            &["step", "--scenario", "scenarios/published/steps-llama-8b-k3.yaml", "--prefill", "4"],
            &["--prefill beside a scenario with `step:`"],
        ),
        (&["step", "--set", "generation.tp=2"], &["generation.tp"]),
        (&["step", "--set", "nonsense"], &["nonsense"]),
        (&["step", "--device", "a100-sxm-80g", "--set", "generation.weights=fp8"], &["no fp8 units"]),
        (&["nothing"], &["nothing"]),
    ] {
        let refusal = run(&[&["cost"], arguments].concat()).exits(2).says(said);
        assert_eq!(refusal.out, "", "{arguments:?}: nothing but the error");
    }
}
