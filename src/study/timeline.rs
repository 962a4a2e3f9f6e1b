//! The first draw over time, for a trace: stages, weight sync, trainer, reward and replicas as spans; batch, draft length,
//! acceptance length, KV cache and staleness as counters. Nominal seconds.
//!
//! A trace is to be opened, so it is bounded: as many RL steps as [`MOST_SPANS`] holds, and of counters the last value of
//! each of a number of equal slots. Acceptance length is that of a whole rollout: its course inside one is not kept. Where
//! samples come and go one by one no course inside an RL step is: counters are means of a step, and a replica's span says for
//! how much of the time between two batches it worked.

use std::collections::BTreeMap;

use super::compare::Side;
use super::{detail, drafting, loops, rl_steps};
use crate::resolved::ScheduleInput;
use crate::result::{Counter, Span, Timeline};
use crate::rl::{Stage, StepRecord, StepWork};
use crate::rollout::TimelinePoint;
use crate::units::SimTime;

/// Most spans of a side: about 4 MB of trace.
const MOST_SPANS: usize = 30_000;
/// Most values of each counter of a side: about 1 MB of trace.
const MOST_VALUES: usize = 10_000;

const RUNNING: &str = "running sequences";
const WAITING: &str = "waiting sequences";
const CACHE: &str = "KV cache in use, %";
const DRAFT: &str = "draft tokens (K)";
const LENGTH: &str = "acceptance length";
const STALENESS: &str = "staleness, RL steps";

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
    let records = loops::records(side);
    let streamed = !side.loops.is_empty();
    let mut lanes = Lanes::default();
    let mut taken = SimTime::ZERO;
    for (index, (step, record)) in steps.iter().zip(&records).enumerate().take(shown) {
        for stage in Stage::ALL {
            let name = format!("{} (step {index})", stage.key());
            lanes.add(&mut timeline, track(stage), name, record.spans[stage as usize]);
        }
        if streamed {
            let until = record.spans[Stage::LogprobOld as usize].0;
            between_batches(side, &mut timeline, index, step, (taken, until));
            taken = until;
        } else {
            one_rollout(side, &mut timeline, index, (step, record), slots);
        }
        let value = record.lag.0;
        let time_ns = record.spans[Stage::Training as usize].0.ns();
        timeline.counters.push(Counter { name: STALENESS, time_ns, value });
    }
    timeline
}

/// Rows of a trace: stages that overlap one of another RL step get a second row.
#[derive(Default)]
struct Lanes(BTreeMap<&'static str, Vec<(SimTime, SimTime)>>);

impl Lanes {
    fn add(
        &mut self,
        timeline: &mut Timeline,
        track: &'static str,
        name: String,
        (start, end): (SimTime, SimTime),
    ) {
        let lanes = self.0.entry(track).or_default();
        // One load of weights serves every step whose samples came after it.
        if end <= start || lanes.contains(&(start, end)) {
            return;
        }
        let lane = lanes.iter().position(|(_, last)| *last <= start).unwrap_or(lanes.len());
        if lane == lanes.len() {
            lanes.push((start, end));
        }
        lanes[lane] = (start, end);
        let track = if lane == 0 { track.to_owned() } else { format!("{track} {}", lane + 1) };
        timeline.spans.push(Span { track, name, start_ns: start.ns(), duration_ns: end.since(start).ns() });
    }
}

fn track(stage: Stage) -> &'static str {
    match stage {
        Stage::Data => "data",
        Stage::Prepare => "weight sync",
        Stage::Generation => "generation",
        Stage::Reward => "reward",
        Stage::LogprobOld | Stage::LogprobReference | Stage::Training => "trainer",
    }
}

/// Replicas and counters of a rollout that is one step's own.
fn one_rollout(
    side: &Side<'_>,
    timeline: &mut Timeline,
    index: usize,
    (step, record): (&StepWork, &StepRecord),
    slots: usize,
) {
    let (start, end) = record.spans[Stage::Generation as usize];
    for (replica, end) in record.replica_ends.iter().enumerate() {
        timeline.spans.push(Span {
            track: format!("replica {replica}"),
            name: format!("rollout (step {index})"),
            start_ns: start.ns(),
            duration_ns: end.since(start).ns(),
        });
    }
    let blocks = side.prepared.resolved.generation.kv_blocks * step.replicas.len() as u64;
    let of = |value: &dyn Fn(usize, usize, &TimelinePoint) -> u64| changes(step, slots, value);
    let running = of(&|_, _, point| u64::from(point.running));
    let mut count = |name: &'static str, values: Vec<(u64, u64)>, unit: f64| {
        timeline.counters.extend(values.into_iter().map(|(at, value)| Counter {
            name,
            time_ns: start.ns().saturating_add(at),
            value: value as f64 * unit,
        }));
    };
    count(RUNNING, running.clone(), 1.0);
    count(WAITING, of(&|_, _, point| u64::from(point.waiting)), 1.0);
    count(CACHE, of(&|_, _, point| point.kv_blocks), 100.0 / blocks.max(1) as f64);
    if let Some(drafted) = drafting::draft_tokens(side, step) {
        let tokens = of(&|replica, place, point| u64::from(point.running * drafted[replica][place]));
        let mean = |tokens: u64, running: u64| tokens as f64 / running.max(1) as f64;
        let mut means: Vec<(u64, f64)> =
            tokens.iter().zip(&running).map(|((at, sum), (_, n))| (*at, mean(*sum, *n))).collect();
        means.dedup_by_key(|(_, value)| *value);
        timeline.counters.extend(means.into_iter().map(|(at, value)| Counter {
            name: DRAFT,
            time_ns: start.ns().saturating_add(at),
            value,
        }));
    }
    let (length, _) = detail::acceptance(step.replicas.iter());
    for (time, value) in [(start, length), (end, 0.0)] {
        timeline.counters.push(Counter { name: LENGTH, time_ns: time.ns(), value });
    }
}

/// Replicas and counters between two batches, of samples that come and go one by one.
fn between_batches(
    side: &Side<'_>,
    timeline: &mut Timeline,
    index: usize,
    step: &StepWork,
    (from, until): (SimTime, SimTime),
) {
    let between = until.since(from);
    if between == SimTime::ZERO {
        return;
    }
    for (replica, outcome) in step.replicas.iter().enumerate() {
        let busy = (outcome.nominal() / between.seconds()).min(1.0);
        timeline.spans.push(Span {
            track: format!("replica {replica}"),
            name: format!("works {:.0} % (step {index})", 100.0 * busy),
            start_ns: from.ns(),
            duration_ns: between.ns(),
        });
    }
    let resolved = &side.prepared.resolved;
    let peak = step.replicas.iter().map(|replica| replica.kv_peak).max().unwrap_or(0);
    let mut count = |name, value| timeline.counters.push(Counter { name, time_ns: from.ns(), value });
    count(RUNNING, rl_steps::running(step));
    count(CACHE, 100.0 * peak as f64 / resolved.generation.kv_blocks.max(1) as f64);
    count(LENGTH, detail::acceptance(step.replicas.iter()).0);
    match resolved.speculation.as_ref().map(|speculation| &speculation.schedule) {
        None | Some(ScheduleInput::Off) => count(DRAFT, 0.0),
        Some(ScheduleInput::Fixed { k }) => count(DRAFT, f64::from(*k)),
        // Which one of several it was is not kept.
        Some(_) => {}
    }
}

/// A number summed over replicas, at each change of any; of each slot of time its last value. Times from the rollout's start,
/// nanoseconds. The number is of a replica, a place in its timeline and the point there.
fn changes(
    step: &StepWork,
    slots: usize,
    value: &dyn Fn(usize, usize, &TimelinePoint) -> u64,
) -> Vec<(u64, u64)> {
    let mut changes: Vec<(u64, i64)> = Vec::new();
    for (number, replica) in step.replicas.iter().enumerate() {
        let mut before = 0;
        for (place, point) in replica.timeline.iter().enumerate() {
            let now = value(number, place, point).cast_signed();
            changes.push(((point.seconds * 1e9) as u64, now - before));
            before = now;
        }
        // A replica that has ended holds nothing.
        if let Some(last) = replica.timeline.last() {
            changes.push((((last.seconds.max(replica.nominal())) * 1e9) as u64, -before));
        }
    }
    changes.sort_unstable_by_key(|(at, _)| *at);
    let slot_ns = changes.last().map_or(1, |last| (last.0 / slots as u64).max(1));
    let mut sum = 0;
    let mut values: Vec<(u64, u64)> = Vec::new();
    for same in changes.chunk_by(|a, b| a.0 / slot_ns == b.0 / slot_ns) {
        sum += same.iter().map(|(_, change)| change).sum::<i64>();
        // The time of the change that made it so.
        let at = same.last().map_or(0, |last| last.0);
        values.push((at, sum.max(0) as u64));
    }
    values
}
