//! `rollcast import`: logs in the forms that frameworks and engines print, as keys of a scenario.

mod common;

use std::fs;

use common::{File, public_table, rollcast, run, small};
use serde_json::Value;

/// A file of `tests/data/import`.
fn file(name: &str) -> String {
    common::root().join("tests/data/import").join(name).display().to_string()
}

fn import(kind: &str, name: &str, more: &[&str]) -> Value {
    let file = file(name);
    run(&[&["import", kind, &file, "--format", "json"], more].concat()).exits(0).json()
}

/// The value of a key that was found.
fn entry<'a>(found: &'a Value, path: &str) -> &'a Value {
    let entries = found["entries"].as_array().map_or(&[][..], Vec::as_slice);
    entries.iter().find(|entry| entry["path"] == path).map_or(&Value::Null, |entry| &entry["value"])
}

/// The number of a key, with or without its error.
fn number(value: &Value) -> f64 {
    value.get("value").unwrap_or(value).as_f64().unwrap_or(f64::NAN)
}

fn expected(found: &Value, quantity: &str) -> f64 {
    let all = found["expect"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().find(|e| e["quantity"] == quantity).map_or(f64::NAN, |e| number(&e["value"]))
}

fn remarks(found: &Value) -> String {
    found["remarks"].to_string()
}

fn near(value: f64, expected: f64, relative: f64) {
    assert!((value / expected - 1.0).abs() <= relative, "{value} for {expected}");
}

#[test]
fn verl_says_the_same_on_its_console_and_in_its_file() {
    let (console, json) = (import("verl", "verl.log", &[]), import("verl", "verl.jsonl", &[]));
    assert_eq!(console["entries"], json["entries"]);
    assert_eq!(console["samples"], json["samples"]);

    let response = &entry(&json, "workload.response_tokens")["lognormal"];
    near(number(&response["mean"]), (1476.36 + 1504.64 + 1547.91 + 1602.68) / 4.0, 1e-3);
    assert_eq!(response["max"], 4096);
    assert_eq!(json["samples"], 1024.0, "tokens over mean lengths");
    assert_eq!(json["gpus"], 8.0, "tokens over throughput and seconds");
    assert_eq!(expected(&json, "forecast.stages_s.generation"), 98.9, "the median of four steps");
    assert_eq!(entry(&json, "training.mfu"), 0.37);
    // Step 3 has 60.5 s of validation inside, step 4 some outside: 288.75 - 60.5 and 229.25.
    near(expected(&json, "forecast.step_s"), f64::midpoint(227.25, 228.25), 3e-4);
    // Without the number of draft tokens a length is no key.
    assert!(entry(&json, "speculation.acceptance").is_null() && remarks(&json).contains("--draft-tokens"));
    let with = import("verl", "verl.jsonl", &["--draft-tokens", "3"]);
    assert_eq!(entry(&with, "speculation.acceptance")["length"]["at_k"], 3);
    let some = import("verl", "verl.log", &["--steps", "2..3"]);
    near(number(&entry(&some, "workload.response_tokens")["lognormal"]["mean"]), 1526.27, 1e-3);
}

#[test]
fn nemo_rl_counts_rounds_by_position_and_both_log_probs_together() {
    let found = import("nemo-rl", "nemo_metrics.json", &[]);
    let rates = &entry(&found, "speculation.acceptance")["per_position"];
    for (j, rate) in [0.712, 0.6994, 0.6647].into_iter().enumerate() {
        near(number(&rates[j]), rate, 1e-3);
    }
    assert_eq!(found["samples"], 128.0);
    // The checkpoint of the last step is not the step's.
    assert!(found["expect"].to_string().contains("less timing/train/checkpointing"));
    assert!(remarks(&found).contains("max_total_sequence_length"));

    // A scenario with a reference model has two passes of these seconds.
    let both = expected(&found, "forecast.stages_s.logprob_old");
    let scenario = File::new(&small(&[]));
    let text =
        run(&["import", "nemo-rl", &file("nemo_metrics.json"), "--into", scenario.name()]).exits(0).out;
    let half = format!("logprob_reference, value: {:.2}", both / 2.0);
    assert!(text.contains(&half) && text.contains("half of it"), "{half}: {text}");
}

#[test]
fn slime_prints_two_maps_for_a_rollout() {
    let found = import("slime", "slime.log", &[]);
    assert_eq!(expected(&found, "forecast.stages_s.training"), 45.2);
    assert_eq!(
        expected(&found, "forecast.stages_s.generation"),
        181.6,
        "numpy's numbers count, and so do repeated lines"
    );
    // Prompts are what total lengths have beyond responses.
    near(number(&entry(&found, "workload.prompt_tokens")["lognormal"]["mean"]), 181.3, 1e-3);
    assert!(remarks(&found).contains("the medians would give a spread of 0.87"));
}

#[test]
fn vllm_counters_are_those_between_two_moments() {
    let (before, after) = (file("vllm_before.prom"), file("vllm_after.prom"));
    let whole = import("vllm", "vllm_after.prom", &[]);
    let between = run(&["import", "vllm", &before, &after, "--format", "json"]).exits(0).json();
    let finished = |found: &Value| found["entries"].to_string().contains("768 finished requests");
    assert!(!finished(&whole) && finished(&between));
    for found in [&whole, &between] {
        let response = &entry(found, "workload.response_tokens")["lognormal"];
        near(number(&response["mean"]), 2926.0, 2e-3);
        near(number(&response["sigma"]), 0.84, 0.03);
        assert_eq!(response["max"], 8192);
        let rates = &entry(found, "speculation.acceptance")["per_position"];
        near(number(&rates[2]), 0.6647, 2e-3);
        // A thousand requests, not a million rounds, make the error.
        let se = rates[0]["se"].as_f64().unwrap_or(0.0);
        assert!((0.003..0.006).contains(&se), "{se}");
    }
    run(&["import", "vllm", &after, &before]).exits(2).says(&["in the order in which they were taken"]);
}

#[test]
fn vllm_logs_of_all_versions_are_read_and_steps_by_batch() {
    let found = import("vllm", "vllm.log", &[]);
    // 0.8's line without positions is left out; 0.9's other order is not. Weights are rounds, not lines.
    let rates = &entry(&found, "speculation.acceptance")["per_position"];
    near(number(&rates[0]), 0.7054, 1e-3);
    let steps = found["steps"].as_array().map_or(&[][..], Vec::as_slice);
    assert_eq!(steps.len(), 2, "batches seen five times and more: {steps:?}");
    assert_eq!((&steps[1]["batch"], &steps[1]["draft_tokens"]), (&Value::from(64), &Value::from(3)));
    near(number(&steps[1]["ms"]), 24.93, 1e-3);
    let scenario = File::new(&small(&[]));
    let text = run(&["import", "vllm", &file("vllm.log"), "--into", scenario.name()]).exits(0).out;
    assert!(text.contains("24.93 ms, median of 11; forecast "), "{text}");
}

#[test]
fn sglang_tells_draft_tokens_by_its_rate_in_either_meaning() {
    let new = import("sglang", "sglang.log", &[]);
    let old = import("sglang", "sglang_old.log", &[]);
    for (found, length) in [(&new, 2.41), (&old, 2.40)] {
        let form = &entry(found, "speculation.acceptance")["length"];
        near(number(&form["value"]), length, 2e-3);
        assert_eq!(form["at_k"], 3);
    }
    // 16 sequences emit 2.4 tokens a step, 2104 a second.
    let step = &new["steps"][0];
    near(number(&step["ms"]), 16.0 * 2.4 / 2104.0 * 1e3, 1e-3);
    near(number(&step["context"]), 1660.0, 1e-3);
}

#[test]
fn lengths_come_from_lines_records_and_dumps() {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{error}"));
        path.display().to_string()
    };
    let of = |path: &str, more: &[&str]| {
        let found = run(&[&["import", "lengths", path, "--format", "json"], more].concat()).exits(0).json();
        found["entries"].to_string()
    };
    assert!(of(&write("plain.txt", "100\n300\n200\n300\n"), &[]).contains("4 lengths: mean 225"));
    let records = "{\"usage\":{\"completion_tokens\":40,\"prompt_tokens\":7}}\n{\"completion_tokens\":60}\n";
    let both = of(&write("records.jsonl", records), &[]);
    assert!(both.contains("2 lengths: mean 50") && both.contains("workload.prompt_tokens"), "{both}");
    let named = write("named.jsonl", "{\"n\":[1,2,3]}\n{\"n\":[1]}\n");
    assert!(of(&named, &["--key", "n"]).contains("2 lengths: mean 2"));
    // A response is its loss mask within the input, padding and tool output left out.
    let nemo = "{\"input_lengths\":[6],\"token_loss_mask\":[[0,0,1,0,1,1,1,1]],\"token_ids\":[[1]]}\n";
    let nemo = of(&write("nemo.jsonl", nemo), &[]);
    assert!(nemo.contains("1 lengths: mean 3") && nemo.contains("1 lengths: mean 2"), "{nemo}");
}

#[test]
fn a_log_goes_into_a_scenario_on_the_side_that_ran() {
    let off = "speculation: off";
    let drafter = small(&[]);
    let start = drafter.find("speculation:").unwrap_or(0);
    let end = drafter.find("training:").unwrap_or(0);
    let without = format!("{}{off}\n{}", &drafter[..start], &drafter[end..]);
    let (drafting, plain) = (File::new(&drafter), File::new(&without));
    let into = |kind: &str, name: &str, scenario: &File| {
        run(&["import", kind, &file(name), "--into", scenario.name()]).exits(0)
    };
    // verl's sample run had a drafter; without its metric it would be the baseline.
    let log = fs::read_to_string(file("verl.jsonl")).unwrap_or_default().replace("rollout/spec_", "other/");
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let bare = folder.path().join("bare.jsonl");
    fs::write(&bare, log).unwrap_or_else(|error| panic!("{error}"));
    let text = run(&["import", "verl", &bare.display().to_string(), "--into", drafting.name()]).exits(0).out;
    assert!(text.contains("quantity: baseline.step_s") && !text.contains("forecast.step_s"), "{text}");
    assert!(into("verl", "verl.log", &drafting).out.contains("quantity: forecast.step_s"));

    // Sizes that differ are said; acceptance without a drafter stays out.
    into("verl", "verl.log", &drafting).says(&["1024 samples a step in the log, 128 in this scenario"]);
    let plain = into("nemo-rl", "nemo_metrics.json", &plain);
    assert!(plain.out.contains(off) && plain.err.contains("no drafter"), "{}", plain.err);

    // Three positions in the log and five in the schedule: the length goes in.
    let longer = File::new(&drafter.replace("{ k: 3 }", "{ k: 5 }"));
    let length =
        into("nemo-rl", "nemo_metrics.json", &longer).says(&["3 positions and the schedule drafts 5"]);
    assert!(
        length.out.contains("length: { value: { value: 2.541, se:") && length.out.contains("at_k: 3"),
        "{}",
        length.out
    );

    // What comes out is a scenario that runs and that can be scored.
    let whole = File::new(&into("nemo-rl", "nemo_metrics.json", &drafting).out);
    let scored = run(&["validate", whole.name()]).exits(0).out;
    assert!(scored.contains("forecast.stages_s.training") && scored.contains("forecast.step_s"), "{scored}");
}

#[test]
fn solved_efficiencies_give_the_seconds_of_the_log() {
    let scenario = File::new(&small(&[("training: { mfu: 0.4, logprob_mfu: 0.36, ", "training: { ")]));
    let file = file("nemo_metrics.json");
    let solved = run(&["import", "nemo-rl", &file, "--into", scenario.name(), "--solve"]).exits(0);
    let solved = File::new(&solved.out);
    let rows = run(&["validate", solved.name(), "--format", "json"]).exits(0).json();
    let rows = rows["rows"].as_array().map_or(&[][..], Vec::as_slice);
    let error = |stage: &str| {
        let quantity = format!("forecast.stages_s.{stage}");
        rows.iter()
            .find(|row| row["quantity"] == quantity.as_str())
            .map_or(f64::NAN, |row| number(&row["error"]))
    };
    for stage in ["training", "logprob_old", "logprob_reference"] {
        assert!(error(stage).abs() < 0.02, "{stage}: {}", error(stage));
    }
    // Another size tells nothing of an efficiency; seconds that no GPU reaches name the key.
    let few = File::new(&small(&[("prompts_per_step: 16", "prompts_per_step: 4096")]));
    run(&["import", "nemo-rl", &file, "--into", few.name(), "--solve"]).exits(0).says(&["are not solved"]);
    let quick = fs::read_to_string(self::file("verl.jsonl"))
        .unwrap_or_default()
        .replace("update_actor\":", "update_actor\":0.01,\"other\":");
    let same = File::new(&small(&[("prompts_per_step: 16", "prompts_per_step: 128")]));
    import_text("verl", "quick.jsonl", &quick, &["--into", same.name(), "--solve"])
        .exits(2)
        .says(&["training.mfu", "of the peak rate"]);
}

#[test]
fn what_is_no_such_log_is_said_and_what_it_is() {
    run(&["import", "verl", &file("slime.log")]).exits(2).says(&["reads as `rollcast import slime`"]);
    run(&["import", "sglang", &file("README.md")]).exits(2).says(&["nothing in it is what sglang writes"]);
    import_text("verl", "empty.log", "", &[]).exits(2).says(&["writes; it is empty"]);
    run(&["import", "verl", "/nowhere"]).exits(2).says(&["/nowhere: cannot be read"]);
    run(&["import", "verl", &file("verl.log"), "--steps", "8..9"]).exits(2).says(&["the log has 0 to 4"]);
    run(&["import", "verl", &file("verl.log"), "--steps", "9..8"]).exits(2).says(&["9 is after 8"]);
    run(&["import", "verl", "."]).exits(2).says(&["is a directory"]);
    rollcast().args(["import", "werl", "x"]).assert().code(2);
}

/// Two real runs of verl (github.com/diqiuzhuanzhuan/verldata).
#[test]
fn a_real_console_is_read() {
    let Some(text) = public_table("traces/verl_console_sample.log") else { return };
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let path = folder.path().join("first.log");
    let first: Vec<&str> = text.lines().take(13).collect();
    fs::write(&path, first.join("\n")).unwrap_or_else(|error| panic!("{error}"));
    let path = path.display().to_string();
    let found = run(&["import", "verl", &path, "--format", "json"]).exits(0).json();
    assert_eq!((&found["samples"], &found["gpus"]), (&Value::from(5120.0), &Value::from(8.0)));
    let response = &entry(&found, "workload.response_tokens")["lognormal"];
    near(number(&response["mean"]), 260.4, 1e-3);
    near(number(&response["sigma"]), 0.816, 1e-3);
    // Two of the eleven steps have two minutes of validation inside.
    near(expected(&found, "forecast.step_s"), 229.6, 1e-3);
}

/// Writes files and imports them.
fn import_text(kind: &str, name: &str, text: &str, more: &[&str]) -> common::Run {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap_or_else(|error| panic!("{error}"));
    run(&[&["import", kind, &path.display().to_string()], more].concat())
}

fn found(kind: &str, name: &str, text: &str) -> Value {
    import_text(kind, name, text, &["--format", "json"]).exits(0).json()
}

#[test]
fn a_resumed_run_leaves_nothing_of_what_it_did_again() {
    let line = |step: u32, mean: u32, more: &str| {
        format!("step:{step} - response_length/mean:{mean}.0 - timing_s/step:100.0{more}\n")
    };
    let before: String =
        (1..6).map(|step| line(step, 500, " - timing_s/ref:33.0 - timing_s/reward:40.0")).collect();
    let after: String = (1..4).map(|step| line(step, 700, "")).collect();
    let found = found("verl", "resumed.log", &(before + &after));
    assert!(remarks(&found).contains("goes back 1 times, first to step 1"));
    assert_eq!(number(&entry(&found, "workload.response_tokens")["lognormal"]["mean"]), 700.0);
    assert!(entry(&found, "reward").is_null() && !found["expect"].to_string().contains("reference"));
}

#[test]
fn exports_of_weights_and_biases_are_of_one_run() {
    let one = "\"Step\",\"a - response_length/mean\",\"a - response_length/mean__MIN\"\n1,400,1\n2,402,1\n";
    near(
        number(&entry(&found("verl", "one.csv", one), "workload.response_tokens")["lognormal"]["mean"]),
        401.0,
        1e-9,
    );
    let two = "\"Step\",\"a - response_length/mean\",\"b - response_length/mean\"\n1,400,800\n";
    import_text("verl", "two.csv", two, &[]).exits(2).says(&["columns of several runs", "export one run"]);
    // SkyRL counts accepted tokens and shares, and no rounds: 1,200 accepted at 0.7 + 0.5 are 1,000 rounds.
    let sky = "trainer/global_step,generate/avg_num_tokens,generate/std_num_tokens,vllm/train/draft_acceptance_rate_pos_1,\
               vllm/train/draft_acceptance_rate_pos_2,vllm/train/draft_num_accepted_tokens\n\
               1,800,500,0.7,0.5,1200\n2,820,505,0.7,0.5,1200\n3,810,503,0.7,0.5,1200\n";
    let sky = found("skyrl", "sky.csv", sky);
    assert!(sky["entries"].to_string().contains("over 3000 rounds"), "{sky}");
    near(number(&entry(&sky, "speculation.acceptance")["per_position"][1]), 5.0 / 7.0, 1e-3);
    near(number(&entry(&sky, "workload.response_tokens")["lognormal"]["sigma"]), 0.571, 0.01);
}

#[test]
fn means_and_shares_are_of_the_same_samples() {
    // 700 of 1,000 samples were not aborted: their mean with their share, all samples in the tokens.
    let line = "step:1 - response_length/mean:700.0 - response_length/max:4096 - response_length/clip_ratio:0.035 - \
                response_length_non_aborted/mean:1000.0 - response_length_non_aborted/max:4096 - \
                response_length_non_aborted/clip_ratio:0.05 - prompt_length/mean:100.0 - perf/total_num_tokens:800000\n";
    let verl = found("verl", "aborted.log", line);
    assert_eq!(verl["samples"], 1000.0);
    assert!(verl["entries"].to_string().contains("from the 5.00 % that were cut"), "{verl}");
    // Tool output is in slime's total and in its response, and not in the effective one.
    let slime = "perf 0: {'rollout/response_len/mean': 2000.0, 'perf/rollout_time': 50.0}\n\
                 rollout 0: {'rollout/response_lengths': 3500.0, 'rollout/total_lengths': 3700.0}\n";
    let slime = found("slime", "tools.log", slime);
    assert_eq!(number(&entry(&slime, "workload.prompt_tokens")["lognormal"]["mean"]), 200.0);
    // Prompts are there once for each of their samples: their spread is that of 64 of them.
    let prompts = "step:1 - prompt_length/mean:100.0 - prompt_length/max:250 - response_length/mean:900.0 - \
                   perf/total_num_tokens:2048000\n";
    let spread = |more: &[&str]| {
        let run = import_text("verl", "prompts.log", prompts, &[&["--format", "json"], more].concat());
        number(&entry(&run.exits(0).json(), "workload.prompt_tokens")["lognormal"]["sigma"])
    };
    assert_eq!(spread(&[]), 0.4, "assumed");
    near(spread(&["--samples-per-prompt", "32"]), 0.441, 1e-3);
}

#[test]
fn validation_comes_off_the_steps_that_hold_it_only() {
    let step = |seconds: &str| {
        let line = format!(
            "step:1 - timing_s/gen:80.0 - timing_s/update_actor:50.0 - timing_s/update_critic:60.0 - timing_s/values:20.0 - \
             timing_s/testing:40.0 - timing_s/step:{seconds}\n"
        );
        expected(&found("verl", "critic.log", &line), "forecast.step_s")
    };
    assert_eq!((step("212.0"), step("252.0")), (212.0, 212.0));
}

#[test]
fn what_a_scenario_says_otherwise_stays() {
    let sandbox = "reward: { sandbox: { latency: 3, concurrency: 64 } }";
    let own = "expect: [{ quantity: forecast.step_s, value: 9, source: a paper }]\n";
    let scenario = File::new(&(small(&[("reward: { rule: { seconds: 2 } }", sandbox)]) + own));
    let into =
        |scenario: &File| run(&["import", "verl", &file("verl.log"), "--into", scenario.name()]).exits(0);
    let once = into(&scenario).says(&["s of scoring are left out"]);
    assert!(once.out.contains("sandbox:") && once.out.contains("a paper"), "{}", once.out);
    // A second time nothing is there twice.
    let again = into(&File::new(&once.out));
    assert_eq!(once.out.matches("quantity:").count(), again.out.matches("quantity:").count());
    // With a reference model in the scenario and none in the log, old log-probs are solved from their own seconds.
    let log =
        fs::read_to_string(file("verl.jsonl")).unwrap_or_default().replace("timing_s/ref", "timing_s/none");
    let sized = ("prompts_per_step: 16", "prompts_per_step: 128");
    let plain = File::new(&small(&[sized, ("training: { mfu: 0.4, logprob_mfu: 0.36, ", "training: { ")]));
    let solved = import_text("verl", "noref.jsonl", &log, &["--into", plain.name(), "--solve"]).exits(0);
    let solved = File::new(&solved.says(&["the log no seconds of a reference model"]).out);
    let rows = run(&["validate", solved.name(), "--format", "json"]).exits(0).json();
    let old = rows["rows"].as_array().and_then(|rows| {
        rows.iter().find(|row| row["quantity"].as_str().is_some_and(|q| q.ends_with("logprob_old")))
    });
    assert!(old.is_some_and(|row| number(&row["error"]).abs() < 0.02), "{rows}");
}

/// What docs/logs.md says of spreads: lengths of a reasoning model (ServeGen's DeepSeek-R1, log spread 0.97) cut at several
/// maxima, as verl and slime would log them.
#[test]
fn ways_to_one_spread() {
    let Some(text) = public_table("traces/servegen_deepseek_r1_output_len_hist.csv") else { return };
    let rows: Vec<[f64; 2]> = text
        .lines()
        .filter_map(|line| {
            let cells: Vec<f64> = line.split(',').map_while(|cell| cell.parse().ok()).collect();
            (cells.len() == 3).then(|| [(cells[0] * cells[1]).sqrt(), cells[2]])
        })
        .collect();
    let all: f64 = rows.iter().map(|[_, share]| share).sum();
    let mut found_by = [Vec::new(), Vec::new()];
    for max in [2048.0, 4096.0, 8192.0, 16_384.0] {
        let mean: f64 = rows.iter().map(|[x, share]| x.min(max) * share / all).sum();
        let cut: f64 = rows.iter().filter(|[x, _]| *x >= max).map(|[_, share]| share / all).sum();
        let line = format!(
            "perf 0: {{'rollout/response_len/mean': {mean}, 'rollout/response_len/median': 792, \
             'rollout/response_len/max': {max}, 'rollout/truncated_ratio': {cut}}}\n"
        );
        let found = found("slime", "servegen.log", &line);
        found_by[0].push(number(&entry(&found, "workload.response_tokens")["lognormal"]["sigma"]));
        let remarks = remarks(&found);
        let other = remarks
            .split("the medians would give a spread of ")
            .nth(1)
            .and_then(|rest| rest.get(..4)?.parse().ok());
        found_by[1].push(other.unwrap_or(f64::NAN));
    }
    // The median of the longest of n, uncut.
    let mean: f64 = rows.iter().map(|[x, share]| x * share / all).sum();
    let longest = [512_u32, 2048, 5120].map(|n| {
        let (mut below, quantile) = (0.0, 0.5_f64.powf(1.0 / f64::from(n)));
        let at = rows.iter().find(|[_, share]| {
            below += share / all;
            below >= quantile
        });
        let line = format!(
            "step:1 - response_length/mean:{mean} - response_length/max:{}\n",
            at.map_or(0.0, |row| row[0])
        );
        let run =
            import_text("verl", "longest.log", &line, &["--samples", &n.to_string(), "--format", "json"]);
        number(&entry(&run.exits(0).json(), "workload.response_tokens")["lognormal"]["sigma"])
    });
    let said = [
        (&found_by[0][..], &[0.92, 1.22, 1.24, 1.14][..]),
        (&found_by[1], &[1.11, 1.10, 1.15, 1.16]),
        (&longest, &[1.04, 0.93, 0.88]),
    ];
    for (found, said) in said {
        for (sigma, said) in found.iter().zip(said) {
            assert!((sigma - said).abs() < 0.01, "{found_by:?} {longest:?}");
        }
    }
}
