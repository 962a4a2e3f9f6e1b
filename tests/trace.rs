//! `trace.json` against the trace-event format: what Perfetto needs to open it, and that it stays small enough to open.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a size is worth a line")]

mod common;

use std::collections::BTreeMap;

use common::{SMALL, forecast, small};
use rollcast::result::write_trace;
use serde_json::Value;

fn trace(text: &str, overrides: &[&str]) -> (Value, usize) {
    let comparison = forecast(text, overrides).unwrap();
    let mut out = Vec::new();
    write_trace(&mut out, &comparison.timelines).unwrap();
    (serde_json::from_slice(&out).unwrap(), out.len())
}

/// Asserts the format's rules; the names of tracks and counters.
fn is_sound(trace: &Value) -> (Vec<String>, Vec<String>) {
    let (mut tracks, mut counters) = (BTreeMap::new(), Vec::new());
    let mut ends: BTreeMap<(u64, u64), Vec<f64>> = BTreeMap::new();
    let mut last: BTreeMap<String, f64> = BTreeMap::new();
    for event in trace["traceEvents"].as_array().unwrap() {
        let kind = event["ph"].as_str().unwrap();
        let name = event["name"].as_str().unwrap();
        let pid = event["pid"].as_u64().unwrap();
        if kind == "M" {
            assert!(event["args"].is_object(), "{event}");
            if name == "thread_name" {
                let track = (pid, event["tid"].as_u64().unwrap());
                assert!(tracks.insert(track, event["args"]["name"].as_str().unwrap().to_owned()).is_none());
            }
            continue;
        }
        let (ts, tid) = (event["ts"].as_f64().unwrap(), event["tid"].as_u64().unwrap());
        assert!(ts.is_finite() && ts >= 0.0, "{event}");
        let row = if kind == "C" { format!("{pid} {name}") } else { format!("{pid} {tid}") };
        let before = last.insert(row, ts).unwrap_or(0.0);
        assert!(ts >= before, "{ts} after {before}: {event}");
        match kind {
            "X" => {
                let duration = event["dur"].as_f64().unwrap();
                assert!(duration.is_finite() && duration >= 0.0, "{event}");
                assert!(tracks.contains_key(&(pid, tid)), "a track without a name: {event}");
                // Spans of one track are one after the other, or one inside the other.
                let open = ends.entry((pid, tid)).or_default();
                open.retain(|end| *end > ts + 1e-3);
                assert!(open.iter().all(|end| ts + duration <= end + 1e-3), "spans cross: {event}");
                open.push(ts + duration);
            }
            "C" => {
                let value = event["args"][name].as_f64().unwrap();
                assert!(value.is_finite() && value >= 0.0, "{event}");
                if !counters.contains(&name.to_owned()) {
                    counters.push(name.to_owned());
                }
            }
            other => panic!("an event of kind {other}, which would have to be closed"),
        }
    }
    (tracks.into_values().collect(), counters)
}

#[test]
fn a_trace_has_the_tracks_and_counters_that_one_looks_for() {
    let (trace, _) = trace(SMALL, &[]);
    let (tracks, counters) = is_sound(&trace);
    for track in ["data", "weight sync", "generation", "reward", "trainer", "replica 0", "replica 7"] {
        assert_eq!(tracks.iter().filter(|name| *name == track).count(), 2, "{track}, once a side");
    }
    let expected = [
        "running sequences",
        "waiting sequences",
        "KV cache in use, %",
        "draft tokens (K)",
        "acceptance length",
        "staleness, RL steps",
    ];
    for counter in expected {
        assert!(counters.iter().any(|name| name == counter), "no counter {counter}");
    }
    let values = |pid: u64, name: &str| -> Vec<f64> {
        let events = trace["traceEvents"].as_array().unwrap().iter();
        let of = events.filter(|event| event["ph"] == "C" && event["pid"] == pid && event["name"] == name);
        of.map(|event| event["args"][name].as_f64().unwrap()).collect()
    };
    assert_eq!(values(2, "draft tokens (K)"), [3.0, 0.0, 3.0, 0.0], "two RL steps");
    assert_eq!(values(1, "draft tokens (K)"), [0.0; 2], "the baseline drafts nothing");
    let running = values(2, "running sequences");
    assert_eq!(running.iter().copied().fold(0.0, f64::max), 128.0, "all samples run at once");
    assert_eq!(running.last(), Some(&0.0), "the batch drains");
    assert!(values(2, "KV cache in use, %").iter().all(|share| *share <= 100.0));
}

/// The values of a counter of the forecast.
fn forecast_values(trace: &Value, name: &str) -> Vec<f64> {
    let events = trace["traceEvents"].as_array().unwrap().iter();
    let of = events.filter(|event| event["ph"] == "C" && event["pid"] == 2 && event["name"] == name);
    of.map(|event| event["args"][name].as_f64().unwrap()).collect()
}

#[test]
fn a_schedule_that_looks_at_the_batch_is_seen_to_change() {
    let table = "schedule: { vllm_table: { table: [[1, 4, 5], [5, 8, 3], [9, 128, 0]] } }";
    let text = small(&[("schedule: { fixed: { k: 3 } }", table)]);
    let (trace, _) = trace(&text, &["cluster.gpus=2", "generation.layout.tp=2", "rl_steps=1"]);
    is_sound(&trace);
    let mut drafted = forecast_values(&trace, "draft tokens (K)");
    let all = drafted.clone();
    drafted.dedup();
    assert_eq!(all, drafted, "a value that does not change is no event");
    // 128 samples on one replica: a full batch, then a draining one.
    assert_eq!(drafted, [0.0, 3.0, 5.0, 0.0]);
}

/// The small scenario with a pool of engines and one of trainers.
fn pools(keys: &str) -> String {
    let pool = "{ device: h100-sxm, gpus: 8, usd_per_gpu_hour: 2.5 }";
    small(&[
        ("cluster: {", "pools: { generation: POOL, training: {"),
        ("usd_per_gpu_hour: 2.5 }\n", "usd_per_gpu_hour: 2.5 } }\n"),
        ("POOL", pool),
        ("loop: {", &format!("loop: {{ {keys}, ")),
        ("rl_steps: 2", "rl_steps: 8"),
    ])
}

#[test]
fn pools_that_run_ahead_have_tracks_of_their_own() {
    // Samples one by one, and batches: in both generation goes on while the trainer trains.
    for keys in ["mode: async, max_staleness: 2, interrupt: keep_kv", "preset: one-step-off"] {
        let (trace, _) = trace(&pools(keys), &[]);
        let (tracks, counters) = is_sound(&trace);
        for track in ["generation", "trainer", "weight sync", "replica 0", "replica 7"] {
            assert!(tracks.iter().any(|name| name == track), "{keys}: no {track}: {tracks:?}");
        }
        for counter in ["running sequences", "acceptance length", "draft tokens (K)", "KV cache in use, %"] {
            assert!(counters.iter().any(|name| name == counter), "{keys}: no {counter}");
        }
        let lag = forecast_values(&trace, "staleness, RL steps");
        assert_eq!(lag.len(), 8, "{keys}: one value an RL step");
        assert!(lag[0] == 0.0 && lag[7] > 0.0, "{keys}: {lag:?}");
        let spans = |track: &str| -> Vec<(f64, f64)> {
            let events = || trace["traceEvents"].as_array().unwrap().iter().filter(|event| event["pid"] == 2);
            let tid =
                events().find(|e| e["name"] == "thread_name" && e["args"]["name"] == track).unwrap()["tid"]
                    .clone();
            let of = events().filter(|e| e["ph"] == "X" && e["tid"] == tid);
            of.map(|e| (e["ts"].as_f64().unwrap(), e["dur"].as_f64().unwrap())).collect()
        };
        let (generation, trainer) = (spans("generation"), spans("trainer"));
        let beside = |(start, length): &(f64, f64)| {
            trainer.iter().any(|(at, long)| start < &(at + long) && at < &(start + length))
        };
        assert!(generation.iter().any(beside), "{keys}: nothing is generated while the trainer trains");
    }
}

#[test]
fn an_overlapped_reward_crosses_no_other_span() {
    let text = small(&[("rule: { seconds: 2 }", "rule: { seconds: 2, overlapped: true }")]);
    is_sound(&trace(&text, &[]).0);
}

#[test]
fn a_large_run_stays_small_enough_to_open() {
    let large = [
        "cluster.gpus=256",
        "workload.prompts_per_step=2048",
        "rl_steps=200",
        "uncertainty.workload_draws=1",
        "uncertainty.worlds=2",
        "workload.samples_per_prompt=1",
        "workload.response_tokens.lognormal.mean=100",
    ];
    let (trace, bytes) = trace(SMALL, &large);
    is_sound(&trace);
    assert!(bytes <= 20_000_000, "{bytes} bytes");
    assert!(trace.to_string().contains("RL steps\""), "the name says that not all steps are there");
    eprintln!("a trace of 256 replicas x 200 RL steps: {bytes} bytes");
}
