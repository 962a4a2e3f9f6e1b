//! The first draw over time, for a trace: stages, weight sync, trainer, reward and replicas as spans; batch, draft length,
//! acceptance length and KV cache as counters. Nominal seconds.
//!
//! A trace is to be opened, so it is bounded: as many RL steps as [`MOST_SPANS`] holds, and of counters the last value of
//! each of a number of equal slots. Draft length and acceptance length are those of a whole rollout: their course inside
//! one is not kept.

use super::compare::Side;
use super::{detail, loops};
use crate::resolved::ScheduleInput;
use crate::result::{Counter, Span, Timeline};
use crate::rl::{Stage, StepWork};

/// Most spans of a side: about 4 MB of trace.
const MOST_SPANS: usize = 30_000;
/// Most values of each counter of a side: about 1 MB of trace.
const MOST_VALUES: usize = 10_000;

/// The side over time.
pub(super) fn timeline(side: &Side<'_>) -> Timeline {
    let resolved = &side.prepared.resolved;
    let name = format!("{} ({})", side.name, resolved.name);
    let mut timeline = Timeline { name: name.clone(), ..Timeline::default() };
    let Some(steps) = side.draws.first() else { return timeline };
    let spans_a_step = Stage::ALL.len() + steps.first().map_or(0, |step| step.replicas.len());
    let shown = (MOST_SPANS / spans_a_step.max(1)).clamp(1, steps.len().max(1));
    if shown < steps.len() {
        timeline.name = format!("{name}, the first {shown} of {} RL steps", steps.len());
    }
    let slots = (MOST_VALUES / shown).max(2);
    let draft = match resolved.speculation.as_ref().map(|speculation| &speculation.schedule) {
        Some(ScheduleInput::Fixed { k }) => *k,
        _ => 0,
    };
    let records = loops::records(side);
    for (index, (step, record)) in steps.iter().zip(&records).enumerate().take(shown) {
        for stage in Stage::ALL {
            let (start, end) = record.spans[stage as usize];
            if end > start {
                timeline.spans.push(Span {
                    track: track(stage).to_owned(),
                    name: format!("{} (step {index})", stage.key()),
                    start_ns: start.ns(),
                    duration_ns: end.since(start).ns(),
                });
            }
        }
        let (start, end) = record.spans[Stage::Generation as usize];
        for (replica, end) in record.replica_ends.iter().enumerate() {
            timeline.spans.push(Span {
                track: format!("replica {replica}"),
                name: format!("rollout (step {index})"),
                start_ns: start.ns(),
                duration_ns: end.since(start).ns(),
            });
        }
        let blocks = resolved.generation.kv_blocks * step.replicas.len() as u64;
        let of = |value: fn(&crate::rollout::TimelinePoint) -> u64| changes(step, start.ns(), slots, value);
        let mut count = |name: &'static str, values: Vec<(u64, u64)>, unit: f64| {
            let values = values.into_iter().map(|(time_ns, value)| Counter {
                name,
                time_ns,
                value: value as f64 * unit,
            });
            timeline.counters.extend(values);
        };
        count("running sequences", of(|point| u64::from(point.running)), 1.0);
        count("waiting sequences", of(|point| u64::from(point.waiting)), 1.0);
        count("KV cache in use, %", of(|point| point.kv_blocks), 100.0 / blocks.max(1) as f64);
        let (length, _) = detail::acceptance(step.replicas.iter());
        for (name, value) in [("draft tokens (K)", f64::from(draft)), ("acceptance length", length)] {
            timeline.counters.push(Counter { name, time_ns: start.ns(), value });
            timeline.counters.push(Counter { name, time_ns: end.ns(), value: 0.0 });
        }
    }
    timeline
}

/// Stages that can overlap others, or that are looked for, have rows of their own.
fn track(stage: Stage) -> &'static str {
    match stage {
        Stage::Training => "trainer",
        Stage::Prepare => "weight sync",
        Stage::Reward => "reward",
        _ => "stages",
    }
}

/// A number summed over replicas, at each change of any; of each slot of time its last value.
fn changes(
    step: &StepWork,
    start_ns: u64,
    slots: usize,
    value: fn(&crate::rollout::TimelinePoint) -> u64,
) -> Vec<(u64, u64)> {
    let mut changes: Vec<(u64, i64)> = Vec::new();
    for replica in &step.replicas {
        let mut before = 0;
        for point in &replica.timeline {
            let now = value(point).cast_signed();
            changes.push(((point.seconds * 1e9) as u64, now - before));
            before = now;
        }
        // A replica that has ended holds nothing.
        if let Some(last) = replica.timeline.last() {
            changes.push((((last.seconds.max(replica.nominal())) * 1e9) as u64, -before));
        }
    }
    changes.sort_unstable();
    let slot_ns = changes.last().map_or(1, |last| (last.0 / slots as u64).max(1));
    let mut sum = 0;
    let mut values: Vec<(u64, u64)> = Vec::new();
    for same in changes.chunk_by(|a, b| a.0 / slot_ns == b.0 / slot_ns) {
        sum += same.iter().map(|(_, change)| change).sum::<i64>();
        // The time of the change that made it so.
        let at = same.last().map_or(0, |last| last.0);
        values.push((start_ns.saturating_add(at), sum.max(0) as u64));
    }
    values
}
