//! The binary as a user meets it: what it prints where, what it writes, and the exit code.
//!
//! In here: output formats, files, streams and flags. What an error says of a scenario is in `scenario_errors.rs` and
//! `errors.rs`, what the numbers mean in `contract.rs`.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{File, Run, SMALL, number, rollcast, root, run};
use serde_json::Value;

const QUICKSTART: &str = "scenarios/quickstart.yaml";
/// As little as a scenario can run.
const BRIEF: [&str; 8] = [
    "--set",
    "rl_steps=1",
    "--set",
    "warmup_steps=0",
    "--set",
    "uncertainty.workload_draws=1",
    "--set",
    "uncertainty.worlds=4",
];

/// Words in order, whatever the line breaks and columns between them.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn widest(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

/// A result without the one block that may differ between runs, as text.
fn comparable(run: &Run) -> String {
    let mut result = run.json();
    result.as_object_mut().unwrap().remove("simulator").unwrap();
    result.to_string()
}

// ---- rollcast run ----

#[test]
fn quickstart_is_a_screen_to_act_on() {
    let screen = run(&["run", QUICKSTART]).exits(0);
    let said = words(&screen.out);
    for word in [" DO ", "break-even", "NOT MODELLED", "rests on", "generation", "P(faster)", "batch"] {
        assert!(said.contains(word), "no `{word}` in:\n{}", screen.out);
    }
    assert!(widest(&screen.out) <= 80, "{} columns:\n{}", widest(&screen.out), screen.out);
    assert!(!screen.out.contains('\u{1b}'), "escape sequences off a terminal");
    assert_eq!(screen.err, "", "nothing is amiss");
}

#[test]
fn the_screen_stays_narrow_with_longer_numbers_and_names() {
    let file = File::new(SMALL);
    let long = format!("name={}", "a name of many words ".repeat(12));
    let many = [
        "run",
        file.name(),
        "--set",
        &long,
        "--set",
        "workload.prompts_per_step=2000",
        "--set",
        "rl_steps=1",
    ];
    let screen = run(&many).exits(0);
    // The name is the user's own and printed as it is.
    let rest: String = screen.out.lines().skip(1).flat_map(|line| [line, "\n"]).collect();
    assert!(widest(&rest) <= 80, "{} columns:\n{rest}", widest(&rest));
}

#[test]
fn a_wide_terminal_behind_standard_error_does_not_widen_a_pipe() {
    // `script` gives its child a terminal; only the program's standard output goes into the file.
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let program = rollcast().get_program().to_string_lossy().into_owned();
    let shell =
        format!("stty rows 50 cols 160; {program} run {QUICKSTART} {} > {}", BRIEF.join(" "), out.display());
    let script = Command::new("script").args(["-qec", &shell, "/dev/null"]).current_dir(root()).output();
    let Ok(script) = script else {
        eprint_skip("a_wide_terminal_behind_standard_error_does_not_widen_a_pipe: no `script` here");
        return;
    };
    assert!(script.status.success(), "{script:?}");
    let text = fs::read_to_string(out).unwrap();
    assert!(widest(&text) <= 80, "{} columns", widest(&text));
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn eprint_skip(what: &str) {
    eprintln!("SKIPPED {what}");
}

#[test]
fn json_is_the_whole_answer() {
    let quiet = run(&["run", QUICKSTART, "--format", "json", "--quiet"]).exits(0);
    assert_eq!(quiet.err, "");
    let result = quiet.json();
    assert_eq!(result["schema_version"], 1);
    assert_eq!(result["name"], "Qwen3-8B GRPO, synchronous, 32 x H100");
}

#[test]
fn bytes_are_the_same_on_any_number_of_threads() {
    let outputs: Vec<(String, Vec<u8>, Vec<u8>)> = ["1", "2", "8"]
        .iter()
        .map(|threads| {
            let folder = tempfile::tempdir().unwrap();
            let out = folder.path().to_str().unwrap();
            let run =
                run(&["run", QUICKSTART, "--format", "json", "--threads", threads, "--out", out]).exits(0);
            let file = |name: &str| fs::read(folder.path().join(name)).unwrap();
            (comparable(&run), file("steps.csv"), file("trace.json"))
        })
        .collect();
    assert!(outputs[0] == outputs[1], "1 and 2 threads differ");
    assert!(outputs[0] == outputs[2], "1 and 8 threads differ");
    assert!(outputs[0].0.len() > 10_000);
}

#[test]
fn speculation_may_be_off_in_the_forecast_itself() {
    let file = File::new(SMALL);
    let screen = run(&["run", file.name(), "--set", "speculation=off"]).exits(0);
    assert!(!words(&screen.out).contains("turn speculation"), "there is nothing to turn on:\n{}", screen.out);
    let result = run(&["run", file.name(), "--set", "speculation=off", "--format", "json"]).exits(0).json();
    assert_eq!(number(&result, "speedup.step.median"), 1.0);
}

#[test]
fn what_a_published_value_rests_on_is_said_beside_it() {
    let seed = root().join("scenarios/seeds/nemo-rl-235b-async.yaml");
    let page = tempfile::tempdir().unwrap();
    let page = page.path().join("page.html");
    let arguments = ["run", seed.to_str().unwrap(), "--report", page.to_str().unwrap()];
    let brief: Vec<&str> = arguments.into_iter().chain(BRIEF).collect();
    let screen = run(&brief).exits(0);
    // Nobody published which share of the step generation is, so no agreement would confirm the step's gain.
    for text in [words(&screen.out), words(&fs::read_to_string(page).unwrap())] {
        for said in
            ["speedup.step", "share of generation, which are not published", ".84", ".65", "confirm nothing"]
        {
            assert!(text.contains(said), "{said}:\n{}", screen.out);
        }
    }
}

#[test]
fn kernels_without_their_fixed_times_are_a_bound_and_called_so() {
    let file = File::new(SMALL);
    let with = |floors: &str| {
        run(&["run", file.name(), "--format", "json", "--set", &format!("generation.kernel_floors={floors}")])
            .exits(0)
            .json()
    };
    let [fitted, bound] = ["1", "0"].map(with);
    let seconds = |result| number(result, "forecast.stages_s.generation");
    assert!(seconds(&bound) < seconds(&fitted));
    let published = |result| number(result, "provenance.tier_share.published");
    assert!(published(&bound) < 0.5 * published(&fitted), "{} {}", published(&bound), published(&fitted));
    let warned = |result: &serde_json::Value| result["warnings"].to_string().contains("kernel_floors");
    assert!(warned(&bound) && !warned(&fitted), "{}", bound["warnings"]);
}

#[test]
fn the_advice_follows_the_numbers() {
    let file = File::new(SMALL);
    let told = |assignments: &[&str]| {
        let flags = assignments.iter().flat_map(|assignment| ["--set", assignment]);
        let screen = run(&["run", file.name()].into_iter().chain(flags).collect::<Vec<_>>()).exits(0);
        words(&screen.out)
    };
    assert!(told(&[]).contains("DO turn speculation ON (eagle3-qwen3-8b"));
    let useless = told(&["speculation.acceptance={ per_position: [0, 0, 0] }"]);
    assert!(useless.contains("DO leave speculation OFF"), "{useless}");
    let poor = told(&["speculation.acceptance={ length: { value: 1.01, at_k: 3 } }"]);
    assert!(poor.contains("DO leave speculation OFF"), "{poor}");
    // A drafter that is loaded and never asked costs what it holds of the cache, or nothing.
    let unused = told(&["speculation.schedule.fixed.k=0"]);
    assert!(unused.contains("DO leave speculation OFF") || unused.contains("DO either will do"), "{unused}");
    assert!(!unused.contains("compare"), "{unused}");
    // What an engine does not have is forecast, and said.
    let tree = ["speculation.schedule={ goodput: { trees: [{ steps: 5, top_k: 8, tokens: 32 }] } }"];
    assert!(told(&tree).contains("vLLM verifies no draft trees"));
    let of_sglang = told(&[tree[0], "generation.engine=sglang"]);
    assert!(!of_sglang.contains("verifies no draft trees"), "{of_sglang}");
    // The baseline drafts too: there is nothing to turn on or off.
    let switch = told(&["baseline={ speculation: { schedule: { fixed: { k: 1 } } } }"]);
    assert!(
        switch.contains("DO switch from eagle3-qwen3-8b, chain K=1 to eagle3-qwen3-8b, chain K=3"),
        "{switch}"
    );
    let stay = told(&[
        "speculation.acceptance={ power_law: { first: 0.2, decay: 0.1 } }",
        "baseline={ speculation: { schedule: { fixed: { k: 1 } } } }",
    ]);
    assert!(stay.contains("DO stay with eagle3-qwen3-8b, chain K=1"), "{stay}");
    let gpus = told(&["baseline={ cluster: { gpus: 16 } }"]);
    assert!(gpus.contains("DO stay with the baseline"), "{gpus}");
}

#[test]
fn overrides_are_obeyed_and_their_errors_name_the_flag() {
    let file = File::new(SMALL);
    let set = |assignments: &[&str]| {
        let flags = assignments.iter().flat_map(|assignment| ["--set", assignment]);
        run(&["run", file.name(), "--format", "json"].into_iter().chain(flags).collect::<Vec<_>>())
    };
    let bare = set(&["generation.overhead=none"]).exits(0).json();
    assert_eq!(bare["resolved"]["generation"]["engine"]["overhead"], "none");
    let of_both =
        set(&["speculation.schedule.fixed.k=5", "cluster.gpus=16", "speculation.schedule.fixed.k=6"])
            .exits(0)
            .json();
    assert_eq!(of_both["resolved"]["cluster"]["gpus"], 16);
    assert_eq!(of_both["resolved"]["speculation"]["schedule"]["fixed"]["k"], 6, "the last one counts");
    set(&["speculation.schedule.fixed.kk=5"]).exits(2).says(&["--set speculation.schedule.fixed.kk", "`k`"]);
    set(&["cluster.device=h100-sxx"]).exits(2).says(&["--set cluster.device", "h100-sxm"]);
    set(&["generation.layout.tp=3"])
        .exits(2)
        .says(&["--set generation.layout.tp", "possible here: 1, 2, 4, 8"]);
    set(&["rl_steps=no"]).exits(2).says(&["--set rl_steps", "whole number"]);
    set(&["rl_steps"]).exits(2).says(&["--set", "PATH=VALUE"]);
}

#[test]
fn every_scenario_that_comes_with_the_program_runs() {
    let mut left = vec![root().join("scenarios")];
    let mut ran = 0;
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            let file = path.to_str().unwrap();
            if path.parent().is_some_and(|folder| folder.ends_with("schedules")) {
                // Rollouts alone, on fewer GPUs than training would take.
                run(&["solve", file, "--batches", "1,16"]).exits(0);
                continue;
            }
            if fs::read_to_string(&path).unwrap().contains("\nstep:") {
                // One engine step: `cost` prices it, `run` says so.
                run(&["cost", "step", "--scenario", file]).exits(0);
                run(&["run", file]).exits(2).says(&["rollcast cost step"]);
                continue;
            }
            if fs::read_to_string(&path).unwrap().contains("\naxes:") {
                // A sweep of many: `sweep` checks it, `run` knows no such key.
                run(&["sweep", file, "--check"]).exits(0);
                run(&["run", file]).exits(2);
                continue;
            }
            let arguments: Vec<&str> = ["run", file].into_iter().chain(BRIEF).collect();
            let screen = run(&arguments).exits(0);
            assert!(words(&screen.out).contains("NOT MODELLED"), "{file}:\n{}", screen.out);
            assert!(widest(&screen.out) <= 80, "{file}: {} columns:\n{}", widest(&screen.out), screen.out);
            ran += 1;
        }
    }
    assert!(ran >= 6, "only {ran} scenarios found");
}

#[test]
fn wrong_arguments_are_bad_input() {
    run(&[]).exits(2);
    run(&["run"]).exits(2);
    run(&["runn", QUICKSTART]).exits(2);
    run(&["run", QUICKSTART, "--format", "yaml"]).exits(2);
    run(&["run", QUICKSTART, "--threads", "0"]).exits(2);
    run(&["run", "scenarios/nowhere.yaml"]).exits(2).says(&["scenarios/nowhere.yaml", "no such file"]);
    for tree in ["5,8,foo,32", "5,8", "5,8,32,1", "5,,8"] {
        run(&["solve", QUICKSTART, "--tree", tree]).exits(2).says(&["expected three numbers"]);
    }
    run(&["run", "scenarios"]).exits(2).says(&["is a directory"]);
}

// ---- --out ----

/// Runs the small scenario into `folder`.
fn out_into(folder: &Path) -> Run {
    let file = File::new(SMALL);
    run(&["run", file.name(), "--format", "json", "--out", folder.to_str().unwrap()])
}

/// All that lies in a folder.
fn listing(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// Runs into a folder of folders that does not exist yet.
fn written() -> (tempfile::TempDir, PathBuf, Run) {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("deep/er");
    let run = out_into(&inside).exits(0);
    (folder, inside, run)
}

#[test]
fn out_writes_the_result_that_is_printed_and_nothing_else() {
    let (_kept, folder, run) = written();
    assert_eq!(listing(&folder), ["result.json", "steps.csv", "trace.json"].map(str::to_owned).into());
    assert_eq!(fs::read_to_string(folder.join("result.json")).unwrap(), run.out);
    assert!(run.err.contains(folder.to_str().unwrap()), "a note says where: {}", run.err);
    // Over an older run.
    out_into(&folder).exits(0);
    assert_eq!(listing(&folder).len(), 3);
}

#[test]
fn steps_csv_has_a_row_for_each_side_draw_and_step() {
    let (_kept, folder, run) = written();
    let mut reader = csv::Reader::from_path(folder.join("steps.csv")).unwrap();
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2 * 2 * 2, "sides x draws x RL steps");
    let of =
        |row: &csv::StringRecord, name: &str| row[header.iter().position(|h| h == name).unwrap()].to_owned();
    let number = |row: &csv::StringRecord, name: &str| of(row, name).parse::<f64>().unwrap();
    let keys: BTreeSet<_> = rows.iter().map(|r| (of(r, "side"), of(r, "draw"), of(r, "rl_step"))).collect();
    assert_eq!(keys.len(), rows.len(), "each once");
    for row in &rows {
        let stages =
            ["data", "prepare", "generation", "reward", "logprob_old", "logprob_reference", "training"];
        let sum: f64 = stages.iter().map(|stage| number(row, &format!("{stage}_s"))).sum();
        assert!((sum / number(row, "step_s") - 1.0).abs() < 1e-9, "{row:?}");
        assert_eq!(number(row, "samples"), 128.0);
        assert_eq!(of(row, "acceptance_length") == "1.0", of(row, "side") == "baseline", "{row:?}");
    }
    let tokens: f64 = rows.iter().map(|row| number(row, "response_tokens")).sum();
    assert_eq!(tokens, run.json()["simulator"]["simulated_tokens"].as_f64().unwrap());
}

#[test]
fn the_trace_opens_in_a_viewer_and_agrees_with_the_steps() {
    let (_kept, folder, _run) = written();
    let trace: Value = serde_json::from_slice(&fs::read(folder.join("trace.json")).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let named: BTreeSet<(u64, u64)> = events
        .iter()
        .filter(|e| e["ph"] == "M" && e["name"] == "thread_name")
        .map(|e| (e["pid"].as_u64().unwrap(), e["tid"].as_u64().unwrap()))
        .collect();
    let spans: Vec<&Value> = events.iter().filter(|e| e["ph"] == "X").collect();
    // Two sides of two steps: at least generation, training and eight replicas each.
    assert!(spans.len() >= 2 * 2 * 10, "{}", spans.len());
    let mut ends = [0.0_f64; 3];
    for span in &spans {
        let (ts, dur) = (span["ts"].as_f64().unwrap(), span["dur"].as_f64().unwrap());
        let (pid, tid) = (span["pid"].as_u64().unwrap(), span["tid"].as_u64().unwrap());
        assert!(ts >= 0.0 && dur >= 0.0 && span["name"].is_string(), "{span}");
        assert!(named.contains(&(pid, tid)), "a track without a name: {span}");
        ends[pid as usize] = ends[pid as usize].max(ts + dur);
    }
    for (pid, side) in [(1, "baseline"), (2, "forecast")] {
        let rows =
            csv::Reader::from_path(folder.join("steps.csv")).unwrap().into_records().map(Result::unwrap);
        // Columns: side, draw, rl_step, warmup, step_s; the trace is of draw 0.
        let steps: f64 =
            rows.filter(|r| &r[0] == side && &r[1] == "0").map(|r| r[4].parse::<f64>().unwrap()).sum();
        assert!(
            (ends[pid] / 1e6 - steps).abs() < 1e-3,
            "{side}: the trace ends at {} us, steps {steps} s",
            ends[pid]
        );
        let running: Vec<f64> = events
            .iter()
            .filter(|e| e["ph"] == "C" && e["pid"] == pid)
            .map(|e| e["args"].as_object().unwrap().values().next().unwrap().as_f64().unwrap())
            .collect();
        let most = running.iter().copied().fold(0.0, f64::max);
        assert!((1.0..=128.0).contains(&most) && running.iter().all(|n| *n >= 0.0), "{side}: {most} at once");
        assert_eq!(running.last(), Some(&0.0), "{side}: all have finished");
    }
}

#[test]
fn a_place_that_cannot_be_written_is_told_and_left_clean() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a_file");
    fs::write(&file, "mine").unwrap();
    out_into(&file).exits(1).says(&["cannot write", "a_file"]);
    out_into(&file.join("below")).exits(1).says(&["cannot write", "a_file"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine", "it was not touched");

    // A directory where a file should go: what was written beside it must not stay.
    let blocked = folder.path().join("blocked");
    fs::create_dir_all(blocked.join("steps.csv")).unwrap();
    out_into(&blocked).exits(1).says(&["cannot write", "steps.csv"]);
    assert_eq!(listing(&blocked), ["result.json", "steps.csv"].map(str::to_owned).into());
    let whole: Value = serde_json::from_slice(&fs::read(blocked.join("result.json")).unwrap()).unwrap();
    assert!(whole["simulator"].is_object());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_half_file() {
    let folder = tempfile::tempdir().unwrap();
    // The unfinished file is on a full device.
    std::os::unix::fs::symlink("/dev/full", folder.path().join(".trace.json.unfinished")).unwrap();
    out_into(folder.path()).exits(1).says(&["cannot write", "trace.json", "No space left"]);
    assert_eq!(listing(folder.path()), ["result.json", "steps.csv"].map(str::to_owned).into());

    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let program = rollcast().get_program().to_owned();
    let mut catalog = Command::new(program);
    let output = catalog.arg("catalog").stdout(Stdio::from(full)).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"), "{output:?}");
}

// ---- the other commands ----

#[test]
fn the_catalog_lists_every_kind() {
    let all = run(&["catalog"]).exits(0);
    for id in ["qwen3-8b", "eagle3-llama-3.1-8b", "h100-sxm", "ib-ndr400"] {
        assert!(all.out.contains(id), "no {id} in:\n{}", all.out);
    }
    // Hybrids have entries, and the reason why they are no models here.
    for line in ["known by name and not modelled", "qwen3.5-9b", "hybrid or linear attention"] {
        assert!(all.out.contains(line), "no `{line}` in:\n{}", all.out);
    }
    let models = run(&["catalog", "models", "--format", "json"]).exits(0).json();
    let ids: BTreeSet<&str> =
        models.as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert!(ids.contains("llama-3.1-70b") && !ids.contains("h100-sxm"), "{ids:?}");
    let devices = run(&["catalog", "devices"]).exits(0);
    assert!(devices.out.contains("gb200") && !devices.out.contains("qwen"), "{}", devices.out);
    // Networks say whether anybody measured all-reduces over them.
    let networks = run(&["catalog", "networks"]).exits(0).out;
    let line = |id: &str| networks.lines().find(|line| line.contains(id)).unwrap_or_default();
    assert!(line("ib-ndr400").ends_with("35 %   50, 81"), "{networks}");
    assert!(line("ethernet-100").ends_with("50 %   by formula"), "{networks}");
    run(&["catalog", "planets"]).exits(2);
}

#[test]
fn the_schema_is_the_committed_one() {
    let schema = run(&["schema"]).exits(0);
    assert!(schema.out == fs::read_to_string(root().join("scenarios/schema.json")).unwrap());
    assert_eq!(schema.err, "");
}

#[test]
fn validate_scores_gates_worst_first() {
    run(&["validate", "tests/data/gates/passing.yaml"]).exits(0);
    let failing = run(&["validate", "tests/data/gates/failing.yaml"]).exits(3);
    assert!(failing.out.contains("FAILED") && failing.out.contains("0 of 1 gates passed"), "{}", failing.out);
    let both = run(&["validate", "tests/data/gates", "--format", "json", "--quiet"]).exits(3);
    let rows = both.json()["rows"].as_array().unwrap().clone();
    assert_eq!(rows.len(), 5, "of both scenarios of the directory");
    let errors: Vec<f64> = rows.iter().map(|row| row["error"].as_f64().unwrap().abs()).collect();
    assert!(errors.is_sorted_by(|a, b| a >= b), "{errors:?}");
    let passed = |name: &str, quantity: &str| {
        let mut of = rows
            .iter()
            .filter(|r| r["scenario"].as_str().unwrap().ends_with(name) && r["quantity"] == quantity);
        of.next().unwrap()["passed"].clone()
    };
    assert_eq!(passed("failing.yaml", "forecast.stages_s.reward"), false);
    assert_eq!(passed("passing.yaml", "forecast.stages_s.reward"), true);
    assert_eq!(passed("passing.yaml", "forecast.step_s"), Value::Null, "no gate, no verdict");
}

#[test]
fn validate_refuses_what_it_cannot_score() {
    let unknown = "tests/data/no_gates/unknown_quantity.yaml";
    let line = fs::read_to_string(root().join(unknown))
        .unwrap()
        .lines()
        .position(|l| l.contains("step_seconds"))
        .unwrap();
    let place = format!("{unknown}:{}:", line + 1);
    run(&["validate", unknown]).exits(2).says(&[&place, "expect[2].quantity", "forecast.step_seconds"]);
    run(&["validate", "tests/data/no_gates/nothing.yaml"]).exits(2).says(&["expect"]);
    run(&["validate"]).exits(2);
    // Beside one that has something to score, one that has nothing is skipped with a note.
    run(&["validate", "tests/data/no_gates/nothing.yaml", "tests/data/gates/passing.yaml"])
        .exits(0)
        .says(&["nothing.yaml", "skipped"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let program = rollcast().get_program().to_owned();
    for arguments in [&["catalog"][..], &["schema"], &["run", QUICKSTART, "--format", "json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(&program);
        let output = command.args(arguments).current_dir(root()).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
    let shell = format!("{} catalog | head -1", Path::new(&program).display());
    let output = Command::new("sh").args(["-c", &shell]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("models"));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
