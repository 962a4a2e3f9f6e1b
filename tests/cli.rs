//! The binary as a user meets it: what it prints where, what it writes, and the exit code.
//!
//! In here: output formats, files, streams and flags. What an error says of a scenario is in `scenario_errors.rs` and
//! `errors.rs`, what the numbers mean in `contract.rs`.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "cli/others.rs"]
mod others;
#[path = "cli/out.rs"]
mod out;

use std::fs;
use std::process::Command;

use common::{File, Run, SMALL, number, rollcast, root, run};

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
    // A drafter that is loaded and never asked still costs.
    let unused = told(&["speculation.schedule.fixed.k=0"]);
    assert!(unused.contains("DO leave speculation OFF (eagle3-qwen3-8b, chain K=0 loses)"), "{unused}");
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
