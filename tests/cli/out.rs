//! Files of a run: `--out`, whole or not at all.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::{File, Run, SMALL, rollcast, run};

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
