//! `result.json` as ARCHITECTURE.md promises it: every key with its type, and the laws between its numbers.
//!
//! Programs and people read this form, so what is checked here is what may not change without a new
//! `schema_version`. How the result is printed and written is in `cli.rs`.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{SMALL, forecast, json, nominal, number, result, small};
use rollcast::resolved::Resolved;
use serde_json::Value;

const SUMMARY: &str = "{mean median p05 p95 n}";
const STAGES: [&str; 7] =
    ["data", "prepare", "generation", "reward", "logprob_old", "logprob_reference", "training"];
const RESPONSES: &str = "response_tokens: { lognormal: { mean: 500, sigma: 0.8, max: 2048 } }";
const ACCEPTANCE: &str = "acceptance: { power_law: { first: 0.776, decay: 0.074, concentration: 12 } }";

/// With everything in it: an expectation met, one missed, and one without a gate.
fn full() -> Value {
    let expect = "expect:\n  - { quantity: forecast.stages_s.reward, value: 2, source: own, gate: 0.01 }\n  \
                  - { quantity: forecast.step_s, value: 0.1, source: none, gate: 0.01 }\n  \
                  - { quantity: speedup.p_gain, value: 0.9, source: none, note: made up }\n";
    result(&format!("{}{expect}", SMALL.replace("decay: 0.074", "decay: { value: 0.074, se: 0.01 }")), &[])
}

// ---- the form ----

/// Asserts that `value` has the form of `form`: `{keys}` of numbers, `[form]`, or a name of a type; `?` allows null.
fn has_form(value: &Value, form: &str, path: &str) {
    if let Some(form) = form.strip_suffix('?') {
        if !value.is_null() {
            has_form(value, form, path);
        }
        return;
    }
    if let Some(keys) = form.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        keys.split(' ').for_each(|key| has_form(&value[key], "number", &format!("{path}.{key}")));
        return;
    }
    if let Some(item) = form.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let items = value.as_array().unwrap_or_else(|| panic!("{path} is no list: {value}"));
        items.iter().enumerate().for_each(|(i, each)| has_form(each, item, &format!("{path}[{i}]")));
        return;
    }
    let right = match form {
        "number" => value.as_f64().is_some_and(f64::is_finite),
        "text" => value.as_str().is_some_and(|text| !text.is_empty()),
        "bool" => value.is_boolean(),
        other => panic!("no such form: {other}"),
    };
    assert!(right, "{path} is no {form}: {value}");
}

#[test]
fn every_promised_key_is_there_with_its_type() {
    let result = full();
    assert_eq!(result["schema_version"], 1);
    let stages = format!("{{{}}}", STAGES.join(" "));
    let exposed = format!("{{{} idle}}", STAGES.join(" "));
    for side in ["baseline", "forecast"] {
        for (key, form) in [
            ("step_s", SUMMARY),
            ("rollout_s", SUMMARY),
            ("usd_per_step", SUMMARY),
            ("response_tokens_per_s_per_gpu", SUMMARY),
            ("stages_s", &stages),
            ("exposed_s", &exposed),
            ("acceptance_length", "number"),
            ("acceptance_per_position", "[number]"),
            ("batch_over_time", "[{seconds running waiting}]"),
            ("completions", "[{share seconds}]"),
            ("preemptions", "number"),
            ("kv_peak_share", "number"),
            ("clipped_share", "number"),
        ] {
            has_form(&result[side][key], form, &format!("{side}.{key}"));
        }
        assert!(!result[side]["batch_over_time"].as_array().unwrap().is_empty());
        let keys = |key: &str| result[side][key].as_object().unwrap().len();
        assert_eq!((keys("stages_s"), keys("exposed_s")), (7, 8), "no stage that is not promised");
    }
    for (path, form) in [
        ("/name", "text"),
        ("/speedup/rollout", SUMMARY),
        ("/speedup/step", SUMMARY),
        ("/speedup/p_gain", "number"),
        ("/provenance/calibration", "text"),
        ("/provenance/engine_profile", "text"),
        ("/provenance/tier_share", "{measured published analytic}"),
        ("/provenance/extrapolated_share", "number"),
        ("/warnings", "[text]"),
        ("/not_modelled", "[text]"),
        ("/simulator", "{simulated_tokens wall_s}"),
        ("/simulator/cpu_s", "number?"),
        ("/response_lengths", "[{from to samples clipped}]"),
    ] {
        has_form(result.pointer(path).unwrap_or(&Value::Null), form, path);
    }
    for (list, keys) in [
        ("assumptions", &[("path", "text"), ("value", "text"), ("source", "text")][..]),
        (
            "expect",
            &[
                ("quantity", "text"),
                ("forecast", "number?"),
                ("published", "number"),
                ("error", "number?"),
                ("in_band", "bool?"),
                ("gate", "number?"),
                ("passed", "bool?"),
                ("note", "text?"),
            ],
        ),
    ] {
        let items = result[list].as_array().unwrap();
        assert!(!items.is_empty(), "{list}");
        for item in items {
            for (key, form) in keys {
                has_form(&item[key], form, &format!("{list}.{key}: {item}"));
            }
        }
    }
    assert!(!result["not_modelled"].as_array().unwrap().is_empty());
}

#[test]
fn expectations_are_scored_as_written() {
    let rows = full()["expect"].clone();
    assert_eq!(
        (&rows[0]["passed"], &rows[0]["in_band"]),
        (&Value::Bool(true), &Value::Null),
        "a number has no band"
    );
    assert_eq!((&rows[1]["passed"], &rows[1]["in_band"]), (&Value::Bool(false), &Value::Bool(false)));
    assert_eq!((&rows[2]["passed"], &rows[2]["gate"]), (&Value::Null, &Value::Null));
    let step = full();
    assert_eq!(
        number(&rows[1], "forecast"),
        number(&step, "forecast.step_s.median"),
        "of a summary the median"
    );
    assert!((number(&rows[1], "error") - (number(&rows[1], "forecast") / 0.1 - 1.0)).abs() < 1e-9);
}

#[test]
fn a_published_zero_is_met_or_missed() {
    let expect = "expect:\n  - { quantity: forecast.preemptions, value: 0, source: none, gate: 0.1 }\n  \
                  - { quantity: forecast.step_s, value: 0, source: none, gate: 0.1 }\n";
    let rows = result(&format!("{SMALL}{expect}"), &[])["expect"].clone();
    assert_eq!((&rows[0]["passed"], number(&rows[0], "error")), (&Value::Bool(true), 0.0));
    assert_eq!((&rows[1]["passed"], &rows[1]["error"]), (&Value::Bool(false), &Value::Null));
}

#[test]
fn resolved_is_the_whole_run_and_reads_back() {
    let result = full();
    let resolved: Resolved = serde_json::from_value(result["resolved"].clone()).unwrap();
    assert_eq!(serde_json::to_value(&resolved).unwrap(), result["resolved"]);
    assert_eq!(resolved.workload.samples(), 128);
    assert_eq!(resolved.speculation.unwrap().acceptance.rates.len(), 3);
    assert!(resolved.generation.kv_blocks > 1000, "nothing is left to be looked up");
}

// ---- laws between numbers ----

#[test]
fn stages_sum_to_the_step_and_shares_to_one() {
    let overlapped = small(&[("rule: { seconds: 2 }", "rule: { seconds: 2, overlapped: true }")]);
    let off = &["speculation=off"][..];
    for (text, overrides) in
        [(SMALL, &[][..]), (SMALL, off), (overlapped.as_str(), &["rl_steps=3", "warmup_steps=1"])]
    {
        let result = result(text, overrides);
        for side in ["baseline", "forecast"] {
            let of = |path: &str| number(&result, &format!("{side}.{path}"));
            let step = of("step_s.mean");
            let exposed: f64 =
                STAGES.iter().chain(&["idle"]).map(|stage| of(&format!("exposed_s.{stage}"))).sum();
            assert!((exposed / step - 1.0).abs() < 1e-6, "{side}: {exposed} {step}");
            for stage in STAGES {
                let (busy, exposed) = (of(&format!("stages_s.{stage}")), of(&format!("exposed_s.{stage}")));
                assert!(
                    busy >= 0.0 && exposed >= 0.0 && exposed <= busy * (1.0 + 1e-9),
                    "{stage}: {busy} {exposed}"
                );
            }
            assert!((of("stages_s.generation") / of("rollout_s.mean") - 1.0).abs() < 1e-9, "synchronous");
            for key in ["step_s", "rollout_s", "usd_per_step", "response_tokens_per_s_per_gpu"] {
                let at = |which: &str| of(&format!("{key}.{which}"));
                assert!(
                    0.0 < at("p05") && at("p05") <= at("median") && at("median") <= at("p95"),
                    "{side}.{key}"
                );
                assert!(at("p05") < at("p95"), "{side}.{key}: a band without width");
                assert_eq!(at("n"), 16.0, "draws x worlds");
            }
            let usd = of("step_s.mean") * 8.0 * 2.5 / 3600.0;
            assert!((of("usd_per_step.mean") / usd - 1.0).abs() < 1e-9);
            for share in ["kv_peak_share", "clipped_share", "tail_share"] {
                assert!((0.0..=1.0).contains(&of(share)), "{side}.{share}: {}", of(share));
            }
        }
        let tiers = ["measured", "published", "analytic"]
            .map(|t| number(&result, &format!("provenance.tier_share.{t}")));
        assert!(
            (tiers.iter().sum::<f64>() - 1.0).abs() < 1e-9 && tiers.iter().all(|t| *t >= 0.0),
            "{tiers:?}"
        );
        assert!((0.0..=1.0).contains(&number(&result, "speedup.p_gain")));
    }
}

#[test]
fn speedups_are_ratios_of_pairs() {
    // Steps vary over draws and worlds; the ratio of a run to itself does not.
    let same = result(SMALL, &["speculation=off"]);
    assert!(number(&same, "forecast.step_s.p95") > 1.02 * number(&same, "forecast.step_s.p05"));
    for of in ["speedup.step", "speedup.rollout"] {
        let band = ["p05", "median", "p95", "mean"].map(|which| number(&same, &format!("{of}.{which}")));
        assert_eq!(band, [1.0; 4], "{of}");
    }
    assert_eq!(number(&same, "speedup.p_gain"), 0.0);
    // With one draw and one world the pair is the two steps themselves.
    let one = result(SMALL, &nominal(&[]));
    let ratio = number(&one, "baseline.rollout_s.mean") / number(&one, "forecast.rollout_s.mean");
    assert!((number(&one, "speedup.rollout.mean") / ratio - 1.0).abs() < 1e-12);
}

#[test]
fn what_is_left_off_changes_no_number() {
    let on = result(SMALL, &[]);
    let off = result(SMALL, &["speculation=off"]);
    assert_eq!(off["forecast"], on["baseline"], "the forecast without speculation is the baseline");
    assert_eq!(off["forecast"], off["baseline"]);
    assert_eq!(number(&off, "forecast.acceptance_length"), 1.0);
    assert_eq!(off["forecast"]["acceptance_per_position"], Value::Array(Vec::new()));
    assert_eq!(off["break_even"], Value::Array(Vec::new()));
    assert_eq!(off["resolved"]["speculation"], Value::Null);
    // Nothing written at all is the same as `off`.
    let (before, speculation) = SMALL.split_once("speculation:").unwrap();
    let after = speculation.split_once("training:").unwrap().1;
    assert_eq!(result(&format!("{before}training:{after}"), &[])["forecast"], off["forecast"]);
}

#[test]
fn a_drafter_that_idles_is_paid_for() {
    let mut extra = Vec::new();
    for overhead in ["generation.overhead=measured", "generation.overhead=none"] {
        let idle = result(SMALL, &nominal(&["speculation.schedule=off", overhead]));
        let (off, idle_s) =
            (number(&idle, "baseline.rollout_s.mean"), number(&idle, "forecast.rollout_s.mean"));
        assert!(idle_s > off, "{overhead}: {idle_s} with an idle drafter, {off} without");
        assert!(idle_s < 1.5 * off, "{overhead}: {idle_s} with an idle drafter, {off} without");
        extra.push(idle_s - off);
        assert_eq!(number(&idle, "forecast.acceptance_length"), 1.0);
        let blocks = number(&idle, "resolved.generation.kv_blocks");
        let without =
            number(&result(SMALL, &nominal(&["speculation=off", overhead])), "resolved.generation.kv_blocks");
        assert!(blocks < without, "it takes memory: {blocks} blocks, {without} without");
    }
    assert!(extra[0] > extra[1], "its software costs too: {extra:?}");
}

#[test]
fn a_stage_longer_by_seconds_makes_the_step_longer_by_as_many() {
    let base = result(SMALL, &[]);
    for longer in [
        "loop.data_seconds=7.2",
        "loop.prepare_seconds=7.5",
        "reward.rule.seconds=9",
        "loop.weight_sync={ seconds: 9 }",
    ] {
        let result = result(SMALL, &[longer]);
        for quantity in ["baseline.step_s.mean", "forecast.step_s.mean", "forecast.step_s.p95"] {
            let more = number(&result, quantity) - number(&base, quantity);
            assert!((more - 7.0).abs() < 1e-6, "{longer}: {quantity} grew by {more}");
        }
    }
}

#[test]
fn bare_kernels_are_the_floor() {
    let measured = result(SMALL, &nominal(&[]));
    let none = result(SMALL, &nominal(&["generation.overhead=none"]));
    for side in ["baseline", "forecast"] {
        let of = |result: &Value, key: &str| number(result, &format!("{side}.{key}"));
        for part in ["rollout", "step"] {
            let bare = of(&measured, &format!("bare_kernels_{part}_s"));
            assert!(bare < of(&measured, &format!("{part}_s.mean")), "{side} {part}: {bare}");
            let kernels = of(&none, &format!("{part}_s.mean"));
            assert!(
                (of(&none, &format!("bare_kernels_{part}_s")) / kernels - 1.0).abs() < 1e-6,
                "{side} {part}"
            );
            assert!(
                kernels <= bare * (1.0 + 1e-9),
                "{side} {part}: padded graphs cost {bare}, kernels alone {kernels}"
            );
        }
    }
}

// ---- acceptance ----

/// Coefficient of determination of the least-squares line.
fn r_squared(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let sum = |of: &dyn Fn(f64, f64) -> f64| points.iter().map(|p| of(p.0 - x, p.1 - y)).sum::<f64>();
    sum(&|dx, dy| dx * dy).powi(2) / (sum(&|dx, _| dx * dx) * sum(&|_, dy| dy * dy))
}

/// Many responses of much work, so that the acceptance of single requests averages out.
fn many() -> String {
    small(&[
        ("prompts_per_step: 16", "prompts_per_step: 64"),
        ("samples_per_prompt: 8", "samples_per_prompt: 32"),
        (RESPONSES, "response_tokens: { lognormal: { mean: 1500, sigma: 0.6, max: 4096 } }"),
    ])
}

#[test]
#[expect(clippy::print_stderr, reason = "the figure is reported")]
fn on_bare_kernels_the_gain_is_linear_in_the_acceptance_length() {
    for k in [5, 7] {
        let points: Vec<(f64, f64)> = (0..=10)
            .map(|i| 1.5 + 0.25 * f64::from(i))
            .map(|length| {
                let acceptance = format!(
                    "  acceptance: {{ length: {{ value: {length}, at_k: {k}, concentration: 12 }} }}"
                );
                let text = many().replace(&format!("  {ACCEPTANCE}"), &acceptance);
                let fixed = format!("speculation.schedule.fixed.k={k}");
                let result = result(&text, &nominal(&["generation.overhead=none", "rl_steps=1", &fixed]));
                (number(&result, "forecast.acceptance_length"), number(&result, "speedup.rollout.mean"))
            })
            .collect();
        let r2 = r_squared(&points);
        eprintln!("K={k}: R2 {r2:.5} over {points:.3?}");
        assert!(r2 >= 0.99, "K={k}: {r2} {points:?}");
        assert!(points.is_sorted_by(|a, b| a.1 < b.1), "K={k}: {points:?}");
    }
    let curved: Vec<(f64, f64)> = (0..=10).map(f64::from).map(|x| (x, x * x)).collect();
    assert!(r_squared(&curved) < 0.99, "a parabola is no line");
}

#[test]
fn the_pooled_length_that_was_given_comes_out() {
    for (acceptance, k, length) in [
        // NeMo-RL, arXiv 2604.26779, table 4: lengths at K = 3 and 7.
        ("{ power_law: { first: 0.776, decay: 0.074, concentration: 12 } }", 3, 2.77),
        ("{ power_law: { first: 0.776, decay: 0.074, concentration: 12 } }", 7, 3.48),
        ("{ power_law: { first: 0.890, decay: 0.037, concentration: 5 } }", 5, 4.35),
        ("{ length: { value: 2.2, at_k: 4, concentration: 4 } }", 4, 2.2),
        ("{ length: { value: 1.3, at_k: 2 } }", 2, 1.3),
        ("{ per_position: [0.8, 0.5, 0.25] }", 3, 1.0 + 0.8 + 0.4 + 0.1),
        ("{ per_position: [0.9, 0.2] }", 1, 1.9),
        ("{ per_position: [0, 0] }", 2, 1.0),
    ] {
        let text = many().replace(ACCEPTANCE, &format!("acceptance: {acceptance}"));
        let fixed = format!("speculation.schedule.fixed.k={k}");
        let result = result(&text, &nominal(&[&fixed]));
        let found = number(&result, "forecast.acceptance_length");
        assert!((found / length - 1.0).abs() < 0.015, "{acceptance} at K={k}: {found}, expected {length}");
        let positions = result["forecast"]["acceptance_per_position"].as_array().unwrap();
        assert_eq!(positions.len(), k, "{acceptance}");
        // Rates and length are two readings of the same counters.
        let mut survival = 1.0;
        let sum = positions.iter().fold(1.0, |sum, rate| {
            survival *= rate.as_f64().unwrap();
            sum + survival
        });
        assert!((sum / found - 1.0).abs() < 1e-9, "{acceptance}: {sum} {found}");
    }
}

/// A schedule that could draft deeper than it ever did has no rates for what it never drafted.
#[test]
fn rates_end_at_the_deepest_draft_that_was_taken() {
    let positions = |schedule: &str| {
        let text = SMALL.replace("schedule: { fixed: { k: 3 } }", &format!("schedule: {schedule}"));
        let result = result(&text, &nominal(&[]));
        result["forecast"]["acceptance_per_position"].as_array().unwrap().len()
    };
    assert_eq!(positions("{ fixed: { k: 3 } }"), 3);
    assert_eq!(positions("{ goodput: { chains: [1] } }"), 1);
    let deep = positions("{ goodput: { chains: [1, 31] } }");
    assert!(deep == 1 || deep > 20, "one of two depths, and its own rates: {deep}");
    let tree = positions("{ goodput: { chains: [1], trees: [{ steps: 5, top_k: 4, tokens: 31 }] } }");
    assert_eq!(tree, 5, "a path of five, not 31 tokens");
}

#[test]
fn break_even_is_where_the_speedup_is_one() {
    let result = result(SMALL, &nominal(&["cluster.gpus=2"]));
    let rows = result["break_even"].as_array().unwrap();
    let batches: Vec<f64> = rows.iter().map(|row| number(row, "batch")).collect();
    assert!(
        batches.is_sorted_by(|a, b| a < b) && batches[0] == 1.0 && batches.last() == Some(&64.0),
        "{batches:?}"
    );
    for row in rows {
        let cost = number(row, "speculative_s") / number(row, "decode_s");
        assert!((number(row, "acceptance_length") / cost - 1.0).abs() < 1e-12);
        let speedup = number(&result, "forecast.acceptance_length") / cost;
        assert!((number(row, "speedup") / speedup - 1.0).abs() < 1e-9 && cost > 1.0, "{row}");
    }
}

#[test]
fn seeds_decide_and_only_seeds() {
    let strip = |seed: &str| {
        let mut result = json(&forecast(SMALL, &[seed]).unwrap());
        result.as_object_mut().unwrap().remove("simulator");
        result
    };
    let (one, again, two) = (strip("seed=1"), strip("seed=1"), strip("seed=2"));
    assert_eq!(one, again);
    assert_ne!(one["forecast"]["step_s"], two["forecast"]["step_s"]);
    assert_ne!(one["baseline"]["step_s"], two["baseline"]["step_s"]);
}
