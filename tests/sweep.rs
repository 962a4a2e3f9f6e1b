//! `rollcast sweep`: what is in the table, that nothing of it depends on threads, order or interruptions, and that a sweep
//! with mistakes is told all of them before anything runs.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Run, SMALL, rollcast, root, run};
use rollcast::rng::mix;
use rollcast::scenario::Document;
use rollcast::study::sweep::{Options, Sweep, journal};

/// A sweep in a directory of its own, its base beside it.
struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    fn new(sweep: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("base.yaml"), SMALL).unwrap();
        fs::write(folder.path().join("s.yaml"), sweep).unwrap();
        Folder { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn arguments(&self, out: &str, more: &[&str]) -> Vec<String> {
        let path = |name: &str| self.path(name).to_str().unwrap().to_owned();
        let fixed = ["sweep".to_owned(), path("s.yaml"), "--out".to_owned(), path(out), "--quiet".to_owned()];
        fixed.into_iter().chain(more.iter().map(|&word| word.to_owned())).collect()
    }

    /// Runs the sweep into `out`.
    fn sweep(&self, out: &str, more: &[&str]) -> Run {
        Run::of(rollcast().args(self.arguments(out, more)))
    }
}

/// Twelve points of a few milliseconds.
const GRID: &str = "\
version: 1
name: grid
base: base.yaml
set: { rl_steps: 1, uncertainty: { workload_draws: 1, worlds: 4 } }
axes:
  - { name: gpus, path: cluster.gpus, values: [2, 4, 8] }
  - { name: K, path: speculation.schedule.fixed.k, range: { from: 1, to: 4, step: 1 } }
";

/// Points that take longer, so that a kill strikes in the midst of them.
fn long() -> String {
    let more = "  - { name: seed, path: seed, range: { from: 1, to: 6, step: 1 } }\n";
    GRID.replace("workload_draws: 1, worlds: 4", "workload_draws: 8, worlds: 64") + more
}

/// Rows of a table by column name.
fn rows(text: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(|row| row.unwrap()).collect()
}

// ---- the table ----

#[test]
fn every_row_is_the_forecast_of_its_point() {
    let folder = Folder::new(GRID);
    folder.sweep("out", &[]).exits(0);
    let rows = rows(&folder.text("out/sweep.csv"));
    assert_eq!(rows.len(), 12);
    assert!(rows.iter().enumerate().all(|(i, row)| row["index"] == i.to_string()));
    let points: Vec<(&str, &str)> =
        rows.iter().map(|row| (row["gpus"].as_str(), row["K"].as_str())).collect();
    assert_eq!(points[..5], [("2", "1"), ("2", "2"), ("2", "3"), ("2", "4"), ("4", "1")]);
    for row in &rows[4..6] {
        let gpus = format!("cluster.gpus={}", row["gpus"]);
        let k = format!("speculation.schedule.fixed.k={}", row["K"]);
        let alone = ["rl_steps=1", "uncertainty.workload_draws=1", "uncertainty.worlds=4", &gpus, &k];
        let result = common::result(SMALL, &alone);
        for (column, path) in [
            ("step_s", "forecast.step_s.median"),
            ("baseline_rollout_s_p95", "baseline.rollout_s.p95"),
            ("usd_per_step_p05", "forecast.usd_per_step.p05"),
            ("step_speedup", "speedup.step.median"),
            ("p_gain", "speedup.p_gain"),
            ("acceptance_length", "forecast.acceptance_length"),
            ("kv_peak_share", "forecast.kv_peak_share"),
            ("extrapolated_share", "provenance.extrapolated_share"),
            ("basis_published", "provenance.tier_share.published"),
        ] {
            let cell: f64 = row[column].parse().unwrap();
            assert_eq!(cell, common::number(&result, path), "{column}");
        }
        assert_eq!(row["error"], "");
    }
}

#[test]
fn a_point_that_cannot_run_is_a_row_with_its_reason() {
    let sweep = GRID
        .replace("gpus, path: cluster.gpus, values: [2, 4, 8]", "gpus, path: cluster.gpus, values: [1, 8]");
    let folder = Folder::new(&sweep);
    let done = folder.sweep("out", &[]).exits(0);
    assert!(done.out.contains("4 of 8 points have no forecast"), "{}", done.out);
    let rows = rows(&folder.text("out/sweep.csv"));
    let failed: Vec<bool> = rows.iter().map(|row| row["error"].contains("GiB")).collect();
    assert_eq!(failed, [true, true, true, true, false, false, false, false]);
    assert_eq!((rows[0]["step_s"].as_str(), rows[0]["gpus"].as_str()), ("", "1"));
}

#[test]
fn axes_of_every_kind() {
    let sweep = "\
version: 1
base: base.yaml
set: { rl_steps: 1, uncertainty: { workload_draws: 1, worlds: 2 } }
axes:
  - zip:
      - { name: device, path: cluster.device, values: [h100-sxm, h200-sxm] }
      - { name: price, path: cluster.usd_per_gpu_hour, values: [2.5, 3.2] }
  - { name: prompts, path: workload.prompts_per_step, log_range: { from: 4, to: 16, points: 3 } }
  - { name: drafting, variants: { none: { speculation: 'off' }, k1: { speculation.schedule.fixed.k: 1 }, as_it_is: {} } }
exclude:
  - { device: h200-sxm, prompts: [4, 8] }
  - { drafting: none, prompts: 16 }
";
    let folder = Folder::new(sweep);
    let checked = folder.sweep("out", &["--check"]).exits(0);
    assert!(checked.out.contains("10 points"), "{}", checked.out);
    assert!(!folder.path("out").exists(), "a check writes nothing");
    folder.sweep("out", &[]).exits(0);
    let rows = rows(&folder.text("out/sweep.csv"));
    let points: Vec<String> = rows
        .iter()
        .map(|row| ["device", "price", "prompts", "drafting"].map(|column| row[column].as_str()).join(" "))
        .collect();
    assert_eq!(points[0], "h100-sxm 2.5 4 none");
    assert_eq!(points[9], "h200-sxm 3.2 16 as_it_is");
    assert_eq!(points.len(), 10);
    assert_eq!(rows[0]["speculation"], "off");
    assert_eq!(rows[1]["speculation"], "eagle3-qwen3-8b, chain K=1");
}

#[test]
fn a_sample_uses_each_slice_of_each_axis_once() {
    let sweep = GRID.replace("range: { from: 1, to: 4, step: 1 }", "range: { from: 1, to: 4 }")
        + "  - { name: first, path: speculation.acceptance.power_law.first, range: { from: 0.5, to: 0.9 } }\n";
    let folder = Folder::new(&sweep);
    // Without --sample such a range has no values.
    folder.sweep("out", &[]).exits(2).says(&["the range of `K`", "the range of `first`", "--sample"]);
    folder.sweep("out", &["--sample", "12"]).exits(0);
    let rows = rows(&folder.text("out/sweep.csv"));
    let column = |name: &str| -> Vec<f64> { rows.iter().map(|row| row[name].parse().unwrap()).collect() };
    let slices: BTreeSet<u32> =
        column("first").iter().map(|x| ((x - 0.5) / 0.4 * 12.0).floor() as u32).collect();
    assert_eq!(slices.len(), 12, "{:?}", column("first"));
    for (name, value, times) in [("K", 1.0, 3), ("K", 4.0, 3), ("gpus", 2.0, 4), ("gpus", 8.0, 4)] {
        assert_eq!(column(name).iter().filter(|x| **x == value).count(), times, "{name} {value}");
    }
    folder.sweep("again", &["--sample", "12"]).exits(0);
    assert_eq!(folder.text("out/sweep.csv"), folder.text("again/sweep.csv"));
}

#[test]
fn a_sample_of_lists_has_no_point_twice_and_no_more_than_there_are() {
    let folder = Folder::new(GRID);
    let points = |sample: &str, out: &str| -> Vec<String> {
        folder.sweep(out, &["--sample", sample]).exits(0);
        let rows = rows(&folder.text(&format!("{out}/sweep.csv")));
        rows.iter().map(|row| format!("{} {}", row["gpus"], row["K"])).collect()
    };
    folder.sweep("grid", &[]).exits(0);
    let all = rows(&folder.text("grid/sweep.csv")).len();
    let some = points("8", "some");
    assert_eq!(some.iter().collect::<BTreeSet<_>>().len(), some.len(), "{some:?}");
    assert!(some.len() > 4 && some.len() < all, "{some:?} of {all}");
    assert_eq!(points("100", "more").len(), all);
}

// ---- mistakes ----

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_the_nearest_name() {
    let sweep = "\
version: 1
base: base.yaml
axes:
  - { name: gpus, path: cluster.gpu, values: [2, 4] }
  - { name: K, path: speculation.schedule.fixed.k, values: [1, many, 3] }
  - { name: model, path: model, values: [qwen3-8b, qwen3-8bb] }
  - { name: drafting, variants: { one: { speculation.shedule: 'off' }, two: {} } }
";
    let folder = Folder::new(sweep);
    let told = folder.sweep("out", &[]).exits(2);
    let told = told.says(&[
        "s.yaml:4:",
        "cluster.gpu: unknown key",
        "did you mean `gpus`?",
        "4 mistakes",
        "nothing was run",
    ]);
    drop(told);
    assert!(!folder.path("out").exists());
    // Without the key that spoils every point the others are told each at its own place.
    let folder = Folder::new(&sweep.replace("cluster.gpu,", "cluster.gpus,"));
    folder.sweep("out", &[]).exits(2).says(&[
        "s.yaml:5:64",
        "found the text `many`, expected a whole number",
        "s.yaml:6:",
        "qwen3-8bb",
        "s.yaml:7:",
        "speculation.shedule: unknown key",
        "did you mean `schedule`?",
        "3 mistakes",
    ]);
}

#[test]
fn mistakes_of_form_are_told_together() {
    let sweep = "\
version: 1
bose: base.yaml
base: nowhere.yaml
axes:
  - { name: a, path: seed }
  - { name: b, path: seed, values: [1, 1] }
  - { name: c, pth: seed, values: [1] }
  - { name: d, path: seed, range: { from: 5, to: 1, step: 1 } }
  - { zip: [{ path: seed, values: [1] }, { path: name, values: [a, b] }] }
";
    Folder::new(sweep).sweep("out", &[]).exits(2).says(&[
        "s.yaml:2:1: bose: unknown key",
        "did you mean `base`?",
        "s.yaml:3:7: base: there is no such file",
        "axes[0]: found none, expected one of values, range, log_range, zip, variants",
        "axes[1]: the value `1` is given twice",
        "axes[2].pth: unknown key",
        "did you mean `path`?",
        "axes[3]: found 5 to 1",
        "axes[4].zip: found members of 1 and 2 values",
        "7 mistakes",
    ]);
    let twice = "version: 1\nbase: base.yaml\naxes:\n  - { name: a, path: seed, values: [1, 2] }\n  - { name: b, path: seed, values: [3, 4] }\n";
    Folder::new(twice)
        .sweep("out", &[])
        .exits(2)
        .says(&["s.yaml:5:5", "`b` and the axis `a` both set seed, so one of them would have no effect"]);
    let once = "version: 1\nbase: base.yaml\naxes: [{ name: a, path: seed, values: [1, 2] }]\n";
    Folder::new(once).sweep("out", &["--set", "seed=9"]).exits(2).says(&["`a` and --set seed both set seed"]);
    let exclude = format!("{GRID}exclude: [{{ gpu: 2 }}, {{ K: 9 }}, {{ gpus: [2, 4, 8] }}]\n");
    Folder::new(&exclude).sweep("out", &[]).exits(2).says(&[
        "no axis has the column `gpu`",
        "did you mean `gpus`?",
        "`9` is no value of `K`",
    ]);
}

// ---- threads, kills, shards ----

#[test]
fn the_table_is_the_same_bytes_on_any_number_of_threads() {
    let folder = Folder::new(GRID);
    let tables: Vec<String> = ["1", "2", "5", "64"]
        .iter()
        .map(|threads| {
            folder.sweep(threads, &["--threads", threads]).exits(0);
            folder.text(&format!("{threads}/sweep.csv"))
        })
        .collect();
    assert!(tables.windows(2).all(|pair| pair[0] == pair[1]));
}

/// Kills; `ROLLCAST_KILLS` asks for more than a quick run of the tests wants.
fn kills() -> u64 {
    std::env::var("ROLLCAST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(5)
}

#[test]
#[cfg(unix)]
fn a_kill_at_any_moment_loses_no_finished_point() {
    let folder = Folder::new(&long());
    let started = std::time::Instant::now();
    folder.sweep("whole", &["--threads", "2"]).exits(0);
    let whole = started.elapsed().as_millis() as u64;
    let expected = folder.text("whole/sweep.csv");
    let (mut struck, mut seed) = (0, 1);
    for kill in 0..kills() {
        let out = format!("killed{kill}");
        let mut child = Command::new(rollcast().get_program())
            .args(folder.arguments(&out, &["--threads", "2"]))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        seed = mix(seed + kill);
        // A machine with other work may have been slow the first time: later runs end earlier.
        std::thread::sleep(Duration::from_millis(seed % (whole * 3 / 5).max(1)));
        // On Unix this is SIGKILL.
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        struck += u64::from(!ended.success());
        let lines = fs::read_to_string(folder.path(&format!("{out}/sweep.journal"))).unwrap_or_default();
        let before = lines.matches('\n').count().saturating_sub(1);
        let resumed = rollcast().args(folder.arguments(&out, &["--threads", "2"])).output().unwrap();
        assert!(resumed.status.success(), "{resumed:?}");
        assert!(
            folder.text(&format!("{out}/sweep.csv")) == expected,
            "kill {kill}, {before} points before it"
        );
        let after = folder.text(&format!("{out}/sweep.journal")).matches('\n').count() - 1;
        assert_eq!(after, 72, "kill {kill}: no point ran twice");
    }
    assert!(struck * 2 >= kills(), "only {struck} kills struck a running sweep");
}

#[test]
fn what_is_there_already_does_not_run_again() {
    let folder = Folder::new(GRID);
    folder.sweep("out", &[]).exits(0);
    let journal = folder.text("out/sweep.journal");
    fs::remove_file(folder.path("out/sweep.csv")).unwrap();
    let arguments = folder.arguments("out", &[]);
    let again = Run::of(rollcast().args(arguments.iter().filter(|word| *word != "--quiet"))).exits(0);
    assert!(again.err.contains("12 of 12 points are there already"), "{}", again.err);
    assert_eq!(folder.text("out/sweep.journal"), journal);
    assert!(folder.path("out/sweep.csv").exists());
}

#[test]
fn shards_together_are_the_whole() {
    let folder = Folder::new(GRID);
    folder.sweep("whole", &[]).exits(0);
    for shard in ["1/3", "2/3", "3/3"] {
        folder.sweep("parts", &["--shard", shard]).exits(0);
    }
    assert_eq!(rows(&folder.text("parts/sweep.2-of-3.csv")).len(), 4);
    let merged = folder.sweep("parts", &[]).exits(0);
    drop(merged);
    assert_eq!(folder.text("parts/sweep.csv"), folder.text("whole/sweep.csv"));
    assert_eq!(folder.text("parts/sweep.journal").lines().count(), 1, "nothing was left to run");
    for wrong in ["0/3", "4/3", "x", "1/0"] {
        folder.sweep("parts", &["--shard", wrong]).exits(2);
    }
}

#[test]
fn a_changed_sweep_is_refused_with_the_difference() {
    let folder = Folder::new(GRID);
    folder.sweep("out", &[]).exits(0);
    let before = folder.text("out/sweep.csv");
    fs::write(folder.path("base.yaml"), SMALL.replace("mean: 500", "mean: 600")).unwrap();
    folder.sweep("out", &[]).exits(2).says(&[
        "sweep.journal",
        "something else",
        "- base.workload.response_tokens.lognormal.mean = 500",
        "+ base.workload.response_tokens.lognormal.mean = 600",
    ]);
    fs::write(folder.path("base.yaml"), SMALL).unwrap();
    folder.sweep("out", &["--set", "seed=2"]).exits(2).says(&["- base.seed = 1", "+ base.seed = 2"]);
    folder.sweep("out", &["--stepper", "exact"]).exits(2).says(&["- stepper = leap", "+ stepper = exact"]);
    assert_eq!(folder.text("out/sweep.csv"), before);
}

#[test]
fn a_broken_last_line_is_dropped_and_one_before_it_is_an_error() {
    let folder = Folder::new(GRID);
    folder.sweep("out", &[]).exits(0);
    let (table, journal) = (folder.text("out/sweep.csv"), folder.text("out/sweep.journal"));
    fs::write(folder.path("out/sweep.journal"), &journal[..journal.len() - 40]).unwrap();
    let arguments = folder.arguments("out", &[]);
    let again = Run::of(rollcast().args(arguments.iter().filter(|word| *word != "--quiet"))).exits(0);
    let again = again.says(&["its last line was broken off and is dropped", "11 of 12 points"]);
    drop(again);
    assert_eq!(folder.text("out/sweep.csv"), table);
    let mut lines: Vec<&str> = journal.lines().collect();
    lines[5] = "0123456789abcdef [0]";
    fs::write(folder.path("out/sweep.journal"), lines.join("\n") + "\n").unwrap();
    folder.sweep("out", &[]).exits(1).says(&["sweep.journal: line 6 is broken", "checksum"]);
}

#[test]
#[cfg(unix)]
fn a_full_disk_is_told_and_loses_nothing() {
    let folder = Folder::new(GRID);
    folder.sweep("whole", &[]).exits(0);
    // A limit on the size of files: writes fail as on a full disk, at a byte that is no end of a line.
    let words: Vec<String> = folder.arguments("out", &[]).iter().map(|word| format!("'{word}'")).collect();
    let program = rollcast().get_program().to_string_lossy().into_owned();
    let shell = format!("trap '' XFSZ; ulimit -f 8; exec '{program}' {}", words.join(" "));
    let full = Command::new("bash").args(["-c", &shell]).current_dir(root()).output().unwrap();
    let told = String::from_utf8_lossy(&full.stderr).into_owned();
    assert_eq!(full.status.code(), Some(1), "{told}");
    assert!(told.contains("cannot write") && told.contains("points are in it and stay there"), "{told}");
    let journal = folder.text("out/sweep.journal");
    assert!(journal.ends_with('\n') && journal.lines().count() > 1, "{journal}");
    folder.sweep("out", &[]).exits(0);
    assert_eq!(folder.text("out/sweep.csv"), folder.text("whole/sweep.csv"));
    assert!(
        folder.text("out/sweep.journal").starts_with(&journal),
        "rows from before the limit are still there"
    );
    // A device that is always full in the journal's place, and behind standard output.
    if Path::new("/dev/full").exists() {
        fs::create_dir(folder.path("device")).unwrap();
        std::os::unix::fs::symlink("/dev/full", folder.path("device/sweep.journal")).unwrap();
        folder.sweep("device", &[]).exits(1).says(&["sweep.journal", "no regular file"]);
        let stdout = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(&program);
        let output = command.args(folder.arguments("whole", &[])).stdout(stdout).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write to standard output"));
    }
}

#[test]
#[cfg(unix)]
fn a_second_process_in_the_directory_is_told_so() {
    let folder = Folder::new(&long().replace("worlds: 64", "worlds: 2000"));
    let mut first = Command::new(rollcast().get_program())
        .args(folder.arguments("out", &["--threads", "1"]))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let journal = folder.path("out/sweep.journal");
    while !fs::read_to_string(&journal).is_ok_and(|text| text.lines().count() > 1) {
        assert!(first.try_wait().unwrap().is_none(), "the first process ended too soon");
        std::thread::sleep(Duration::from_millis(5));
    }
    folder.sweep("out", &[]).exits(1).says(&["sweep.journal", "another process is at work on this sweep"]);
    first.kill().unwrap();
    first.wait().unwrap();
    // A lock ends with its process, however that ended.
    let mut third = Command::new(rollcast().get_program());
    let mut third = third.args(folder.arguments("out", &[])).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert!(third.try_wait().unwrap().is_none_or(|status| status.success()), "the lock outlived its process");
    third.kill().unwrap();
    third.wait().unwrap();
}

#[test]
fn off_a_terminal_there_is_no_progress_line() {
    let folder = Folder::new(GRID);
    let arguments = folder.arguments("out", &[]);
    let loud = Run::of(rollcast().args(arguments.iter().filter(|word| *word != "--quiet"))).exits(0);
    assert_eq!(loud.err, "");
    assert!(!loud.out.contains('\r') && !loud.out.contains('\u{1b}'));
    let json = folder.sweep("out", &["--format", "json"]).exits(0).json();
    assert_eq!(json["points"], 12);
    assert_eq!(json["fastest"].as_array().unwrap().len(), 5);
}

// ---- readers that never panic ----

#[test]
fn the_corpus_of_broken_sweeps_is_refused_in_words() {
    let mut seen = 0;
    for entry in fs::read_dir(root().join("tests/data/corpus/sweep")).unwrap() {
        let path = entry.unwrap().path();
        let read = Document::read(&path).map_err(|error| error.to_string()).and_then(|document| {
            let sweep = Sweep::read(&document, Options::default()).map_err(|errors| errors.to_string())?;
            sweep.check().map_err(|errors| errors.to_string())
        });
        let told = read.err().unwrap_or_default();
        assert!(!told.is_empty(), "{} is accepted", path.display());
        seen += 1;
    }
    assert!(seen >= 12);
}

#[test]
fn the_corpus_of_broken_journals_is_read_without_a_panic() {
    let mut seen = 0;
    for entry in fs::read_dir(root().join("tests/data/corpus/journal")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        // Whole, cut anywhere, and with any one byte changed.
        for cut in 0..=bytes.len().min(400) {
            let _ = journal::read(&bytes[..cut], |_, _, _| {});
        }
        for at in 0..bytes.len().min(400) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x15;
            let _ = journal::read(changed.as_slice(), |_, _, _| {});
        }
        let _ = journal::read(bytes.as_slice(), |_, _, _| {});
        seen += 1;
    }
    assert!(seen >= 12);
}

#[test]
fn committed_sweeps_are_sound() {
    for entry in fs::read_dir(root().join("scenarios/sweeps")).unwrap() {
        let path = entry.unwrap().path();
        run(&["sweep", path.to_str().unwrap(), "--check"]).exits(0);
    }
}
