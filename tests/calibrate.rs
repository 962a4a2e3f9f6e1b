//! `rollcast calibrate` as a user meets it: the plan, machines without CUDA, a rehearsal and what it leaves behind, and
//! the way of its tables into `rollcast fit`.

#![cfg(feature = "simulator")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skipped"
)]

mod common;

use std::fs;
use std::path::Path;

use common::{Run, rollcast, root, run};
use rollcast::measured::{self, L2, Op};
use serde_json::Value;

/// Whether this machine has what a run needs: then it is not the machine that these tests are about.
fn has_cuda() -> bool {
    let found = ["libcuda.so", "libcuda.so.1"].iter().any(|name| {
        ["/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/local/nvidia/lib64"]
            .iter()
            .any(|folder| Path::new(folder).join(name).exists())
    });
    if found {
        println!("SKIPPED: there is a CUDA driver here; this is about machines without");
    }
    found
}

#[test]
fn the_plan_says_what_is_measured_and_for_how_long() {
    let plan = run(&["calibrate", "plan"]).exits(0);
    for line in
        ["gemm ", "verify ", "step ", "of 540 s: points until 349, whole steps until 451, repeats until 513"]
    {
        assert!(plan.out.contains(line), "no `{line}` in\n{}", plan.out);
    }
    let total: f64 = plan
        .out
        .lines()
        .find(|line| line.starts_with("all "))
        .unwrap()
        .split_whitespace()
        .last()
        .unwrap()
        .parse()
        .unwrap();
    assert!((20.0..450.0).contains(&total), "{total} s must fit into 540 with checks and repeats");
    let few = run(&["calibrate", "plan", "--families", "verify,copy", "--points"]).exits(0);
    assert!(few.out.contains("verify attention 32/8 batch 2 queries 8 context 1024 page 16"), "{}", few.out);
    assert!(few.out.contains("copy of 4096 bytes") && !few.out.contains("gemm"), "{}", few.out);
    assert!(!plan.out.contains("do not fit"), "{}", plan.out);
    let short = run(&["calibrate", "plan", "--budget-s", "10"]).exits(0);
    assert!(short.out.contains("do not fit: those that are worth most"), "{}", short.out);
    run(&["calibrate", "plan", "--budget-s", "0"]).exits(2).says(&["expected seconds from 1 to 86400"]);
    run(&["calibrate", "plan", "--families", "gem"]).exits(2).says(&["gemm"]);
}

#[test]
fn without_cuda_there_is_a_message_and_no_panic() {
    if has_cuda() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let refusal = run(&["calibrate", "run", "--out", out.to_str().unwrap()]).exits(1);
    assert_eq!(refusal.out, "");
    refusal.says(&["no CUDA driver: libcuda.so is not on this machine", "H100 or H200", "--rehearse"]);
    assert!(!out.exists(), "nothing is left behind");
    let empty = folder.path().to_str().unwrap();
    run(&["calibrate", "run", "--cuda-lib-dir", empty]).exits(1).says(&["none of libnvrtc.so.*"]);
    run(&["calibrate", "check", "--cuda-lib-dir", empty]).exits(1).says(&["none of libnvrtc.so.*"]);
    run(&["calibrate", "check", "--cuda-lib-dir", "nowhere"]).exits(1).says(&["nowhere: cannot be read"]);
    // A file that has the name and is no library.
    fs::write(folder.path().join("libnvrtc.so.13"), "no library").unwrap();
    run(&["calibrate", "check", "--cuda-lib-dir", empty]).exits(1).says(&["none of libnvrtc.so.*"]);
}

#[test]
fn check_compiles_every_kernel_where_there_is_a_compiler() {
    let fetched = root().join(".cuda/unpacked");
    let find = |name: &str| {
        let mut open = vec![fetched.clone()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    open.push(entry.path());
                } else if entry.file_name().to_string_lossy().starts_with(name) {
                    return Some(entry.path().parent().unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        None
    };
    let (Some(nvrtc), Some(nvdisasm)) = (find("libnvrtc.so"), find("nvdisasm")) else {
        println!("SKIPPED: no NVRTC here; .ci/kernels fetches it");
        return;
    };
    let mut command = rollcast();
    command.args(["calibrate", "check", "--cuda-lib-dir", &nvrtc, "--cuda-bin-dir", &nvdisasm]);
    let checked = Run::of(command.timeout(std::time::Duration::from_secs(300))).exits(0);
    for words in ["attention_rows16", "HMMA.16816.F32.BF16", "verify_chain", "spills 0"] {
        assert!(checked.out.contains(words), "no `{words}` in\n{}", checked.out);
    }
    assert!(!checked.out.contains("WRONG"), "{}", checked.out);
}

fn rehearse(folder: &Path, more: &[&str]) -> Run {
    let mut command = rollcast();
    command.args(["calibrate", "run", "--rehearse", "--out", folder.to_str().unwrap()]).args(more);
    Run::of(&mut command)
}

#[test]
fn a_rehearsal_writes_what_a_run_writes_and_says_that_it_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["a", "b"].map(|name| folder.path().join(name));
    let screen = rehearse(&first, &[]).exits(0).out;
    for words in [" 0 left out, 0 refused", "correctness: not checked", "no drift", "asked", "found"] {
        assert!(screen.contains(words), "no `{words}` in\n{screen}");
    }
    rehearse(&second, &[]).exits(0);
    let mut names: Vec<String> =
        fs::read_dir(&first).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "algorithms.csv",
            "attention_decode.csv",
            "attention_prefill.csv",
            "attention_variant.csv",
            "correctness.json",
            "elementwise.csv",
            "elementwise_mixed.csv",
            "gemm.csv",
            "gemm_best.csv",
            "log",
            "overhead.csv",
            "run.json",
            "sampling.csv",
            "steps.csv"
        ]
    );
    for name in &names {
        let of = |folder: &Path| fs::read_to_string(folder.join(name)).unwrap();
        assert!(of(&first) == of(&second), "{name} differs between two runs of one seed");
    }
    let mut ops = Vec::new();
    let measured = |name: &&String| {
        let plain = ["steps.csv", "algorithms.csv"].contains(&name.as_str());
        Path::new(name).extension().is_some_and(|e| e == "csv") && !plain
    };
    for name in names.iter().filter(measured) {
        for table in measured::read(&first.join(name)).unwrap() {
            assert!(table.header.provider.contains("not measured"), "{name}: {}", table.header.provider);
            assert!(
                table
                    .rows
                    .iter()
                    .all(|row| row.timing.samples.unwrap() >= 20 && row.timing.interval.is_some())
            );
            ops.push((table.header.op, table.header.l2));
        }
    }
    assert!(ops.contains(&(Op::AttentionDecode, L2::Cold)) && ops.contains(&(Op::Sampling, L2::Cold)));
    assert!(ops.contains(&(Op::Elementwise, L2::Mixed)), "large activations do not fit the cache");
    let algorithms = fs::read_to_string(first.join("algorithms.csv")).unwrap();
    assert!(algorithms.contains("\nbf16,1,6144,4096,first,made up (no. 1 of 1)\n"), "{}", &algorithms[..400]);
    let summary: Value = serde_json::from_str(&fs::read_to_string(first.join("run.json")).unwrap()).unwrap();
    assert_eq!(summary["skipped"], serde_json::json!([]), "540 s are enough");
    assert!(summary["seconds"].as_f64().unwrap() <= 540.0);
    assert!(summary["bars"].as_array().unwrap().len() >= 8);
    assert!(summary["hot"].as_array().unwrap().len() > 200, "{}", summary["hot"]);
    assert_eq!(summary["broken"], Value::Null);
    let correctness = fs::read_to_string(first.join("correctness.json")).unwrap();
    assert!(
        correctness.contains("\"all_passed\": false"),
        "nothing was checked, so nothing passed: {correctness}"
    );
    // Forecasts were frozen before steps were measured, and the log shows which came last.
    let log = fs::read_to_string(first.join("log")).unwrap();
    let place = |words: &str| log.find(words).unwrap_or_else(|| panic!("no `{words}` in the log"));
    assert!(place("forecasts of whole steps frozen") < place("step qwen3-8b batch 1 queries 1"));
}

#[test]
fn a_short_rehearsal_stays_within_its_time_and_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    rehearse(&out, &["--budget-s", "10", "--seed", "4"]).exits(0);
    let summary: Value = serde_json::from_str(&fs::read_to_string(out.join("run.json")).unwrap()).unwrap();
    assert!(summary["seconds"].as_f64().unwrap() <= 10.0, "{}", summary["seconds"]);
    assert!(summary["skipped"].as_array().unwrap().len() > 100);
    let bars = summary["bars"].as_array().unwrap();
    let whole = bars.iter().find(|bar| bar["what"] == "the whole run").unwrap();
    assert_eq!(whole["bar"], "<= 10 s", "the bar is the budget");
}

#[test]
fn a_file_that_cannot_be_written_is_told_at_the_end_and_the_others_are_there() {
    let folder = tempfile::tempdir().unwrap();
    // A folder of the table's name.
    fs::create_dir_all(folder.path().join("gemm.csv/inside")).unwrap();
    let ended = rehearse(folder.path(), &["--budget-s", "20", "--families", "gemm,verify"]).exits(1);
    assert!(ended.out.contains("points in "), "{}", ended.out);
    ended.says(&["cannot write", "gemm.csv"]);
    for name in ["attention_decode.csv", "run.json", "correctness.json", "log"] {
        assert!(folder.path().join(name).metadata().unwrap().len() > 0, "{name}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    rehearse(&file, &["--budget-s", "2"]).exits(1).says(&["cannot write"]);
}

#[test]
fn own_tables_are_fitted_as_measured_and_what_they_do_not_hold_stays_published() {
    let folder = tempfile::tempdir().unwrap();
    rehearse(folder.path(), &[]).exits(0);
    let tables = [
        "gemm.csv",
        "attention_decode.csv",
        "attention_prefill.csv",
        "elementwise_mixed.csv",
        "sampling.csv",
    ];
    let profile = folder.path().join("profile.yaml");
    let fit = |own: bool| {
        let mut arguments = vec!["fit".to_owned()];
        for name in tables {
            let path = folder.path().join(name);
            if own {
                // What a run on a GPU would have written as provider.
                let text = fs::read_to_string(&path).unwrap();
                let at = text.find("provider: ").unwrap();
                let end = at + text[at..].find('\n').unwrap();
                fs::write(&path, format!("{}provider: \"own: a test\"{}", &text[..at], &text[end..]))
                    .unwrap();
            }
            arguments.push(path.to_str().unwrap().to_owned());
        }
        arguments.extend(["-o".to_owned(), profile.to_str().unwrap().to_owned()]);
        let mut command = rollcast();
        let said = Run::of(command.args(&arguments).timeout(std::time::Duration::from_secs(300))).exits(0);
        (said.out, fs::read_to_string(&profile).unwrap())
    };
    let (_, rehearsed) = fit(false);
    assert!(rehearsed.contains("\ntier: published\n") && !rehearsed.contains("\nmeasured:"));
    let (said, own) = fit(true);
    assert!(own.contains("\ntier: measured\n"), "{}", &own[..400]);
    let measured = own.lines().find(|line| line.starts_with("measured: ")).unwrap();
    for family in [
        "gemm bf16",
        "gemm fp8",
        "attention_decode",
        "verify_attention",
        "elementwise",
        "sampling",
        "verification",
    ] {
        assert!(measured.contains(&format!("\"{family}\"")), "{measured}");
    }
    assert!(!measured.contains("moe"), "{measured}");
    assert!(own.contains(", verification: { t0_us: "), "verification has a line of its own");
    assert!(own.contains("\nsource: \"measured: own: a test; other families: "), "{}", &own[..400]);
    assert!(said.contains("verify_attention  unseen query tokens"), "{said}");
}
