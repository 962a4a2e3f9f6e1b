//! `trace.json`: timelines in the Chrome trace-event format, which Perfetto opens.
//!
//! One process a side (baseline, forecast), one thread a track, complete events (`ph: X`) for spans and
//! counter events (`ph: C`). Times are microseconds, as the format asks.

use std::io::{self, Write};

use serde_json::{Value, json};

/// Something that lasts.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Row it is drawn in, such as `replica 3`.
    pub track: String,
    /// What happens.
    pub name: String,
    /// Start, nanoseconds.
    pub start_ns: u64,
    /// Length, nanoseconds.
    pub duration_ns: u64,
}

/// A number that changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Counter {
    /// Its name.
    pub name: &'static str,
    /// When, nanoseconds.
    pub time_ns: u64,
    /// Its value from then on.
    pub value: f64,
}

/// One side of a comparison over time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Timeline {
    /// Name of the side.
    pub name: String,
    /// Spans, in any order.
    pub spans: Vec<Span>,
    /// Counters, in any order.
    pub counters: Vec<Counter>,
}

/// Writes timelines as one trace.
pub fn write_trace(mut out: impl Write, timelines: &[Timeline]) -> io::Result<()> {
    out.write_all(b"{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n")?;
    let mut first = true;
    let mut event = |value: &Value| -> io::Result<()> {
        if !first {
            out.write_all(b",\n")?;
        }
        first = false;
        serde_json::to_writer(&mut out, value).map_err(io::Error::from)
    };
    for (process, timeline) in timelines.iter().enumerate() {
        let pid = process + 1;
        event(&json!({ "ph": "M", "name": "process_name", "pid": pid, "args": { "name": timeline.name } }))?;
        let mut tracks: Vec<&str> = Vec::new();
        let mut spans: Vec<&Span> = timeline.spans.iter().collect();
        // By time on every track; of two that begin together the longer one first, as it holds the other.
        spans.sort_by_key(|span| (span.start_ns, std::cmp::Reverse(span.duration_ns)));
        for span in spans {
            let known = tracks.iter().position(|track| *track == span.track);
            let tid = known.unwrap_or(tracks.len()) + 1;
            if known.is_none() {
                tracks.push(&span.track);
                event(
                    &json!({ "ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": { "name": span.track } }),
                )?;
                event(
                    &json!({ "ph": "M", "name": "thread_sort_index", "pid": pid, "tid": tid, "args": { "sort_index": tid } }),
                )?;
            }
            event(&json!({
                "ph": "X", "name": span.name, "cat": "rl", "pid": pid, "tid": tid,
                "ts": microseconds(span.start_ns), "dur": microseconds(span.duration_ns),
            }))?;
        }
        let mut counters: Vec<&Counter> = timeline.counters.iter().collect();
        counters.sort_by_key(|counter| counter.time_ns);
        for counter in counters {
            event(&json!({
                "ph": "C", "name": counter.name, "pid": pid, "tid": 0,
                "ts": microseconds(counter.time_ns), "args": { counter.name: counter.value },
            }))?;
        }
    }
    out.write_all(b"\n]}\n")
}

fn microseconds(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_is_valid_json_with_named_tracks() -> Result<(), Box<dyn std::error::Error>> {
        let span = |track: &str, start_ns| Span {
            track: track.into(),
            name: "generation".into(),
            start_ns,
            duration_ns: 5_000,
        };
        let timeline = Timeline {
            name: "forecast".into(),
            spans: vec![span("replica 0", 0), span("replica 1", 10), span("replica 0", 9_000)],
            counters: vec![Counter { name: "running", time_ns: 1_000, value: 64.0 }],
        };
        let mut text = Vec::new();
        write_trace(&mut text, &[timeline])?;
        let trace: Value = serde_json::from_slice(&text)?;
        let events = trace["traceEvents"].as_array().ok_or("no events")?;
        let spans: Vec<&Value> = events.iter().filter(|e| e["ph"] == "X").collect();
        assert_eq!(spans.len(), 3);
        assert_eq!(spans[0]["tid"], spans[2]["tid"]);
        assert_ne!(spans[0]["tid"], spans[1]["tid"]);
        assert_eq!(spans[0]["dur"], 5.0);
        assert_eq!(events.iter().filter(|e| e["name"] == "thread_name").count(), 2);
        assert!(events.iter().any(|e| e["ph"] == "C" && e["args"]["running"] == 64.0));
        Ok(())
    }
}
