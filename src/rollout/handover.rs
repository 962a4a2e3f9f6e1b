//! A rollout in two parts: replicas that stop with samples unfinished, and replicas that go on with such samples.
//!
//! A sample that goes on has its context computed again, or finds its cache there and computes its last token alone. Its
//! acceptance goes on in a fresh stream, as after a preemption. Leaves out: caches that are partly there.

use super::leap::Leaper;
use super::outcome::Outcome;
use super::{Job, Stepper};
use crate::speculation::StepCost;
use crate::speculation::schedule::Schedule;
use crate::workload::Sample;

/// A sample that has yet to be finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfinished {
    /// Its index.
    pub id: u32,
    /// The sample.
    pub sample: Sample,
    /// Response tokens that it has.
    pub emitted: u32,
    /// Whether its keys and values are in a cache: a preempted sample has lost them.
    pub cached: bool,
}

impl Unfinished {
    /// Tokens of its context, if it has been admitted.
    pub fn context(&self) -> u64 {
        if self.emitted > 0 { u64::from(self.sample.prompt) + u64::from(self.emitted) } else { 0 }
    }

    /// Those of them whose keys and values are in a cache.
    pub fn cached_tokens(&self) -> u64 {
        if self.cached { self.context() } else { 0 }
    }
}

fn leaper(stepper: Stepper, job: &Job<'_>, schedule: &dyn Schedule) -> Leaper {
    let mut leaper = Leaper::new(job, schedule);
    if stepper == Stepper::Exact {
        leaper.exact_only = true;
        leaper.leave();
    }
    leaper
}

/// Runs one replica to nominal seconds `until`, an iteration later at most. Returns what is left.
pub fn run_to(
    stepper: Stepper,
    job: &Job<'_>,
    cost: &impl StepCost,
    schedule: &mut dyn Schedule,
    until: f64,
) -> (Outcome, Vec<Unfinished>) {
    let mut leaper = leaper(stepper, job, schedule);
    leaper.limit = until;
    while !leaper.finished() && leaper.replica.outcome.nominal() < until {
        leaper.turn(cost, schedule);
    }
    leaper.leave();
    let replica = &leaper.replica;
    let of = |index: u32, emitted: u32, cached: bool| {
        let (id, sample) = replica.samples[index as usize];
        Unfinished { id, sample, emitted, cached: cached && emitted > 0 }
    };
    let batch =
        replica.batch.index.iter().zip(&replica.batch.remaining).map(|(index, remaining)| {
            of(*index, replica.samples[*index as usize].1.response - remaining, true)
        });
    let queued = replica.prefilling.iter().map(|prefill| &prefill.pending).chain(&replica.waiting);
    let left =
        batch.chain(queued.map(|pending| of(pending.index, pending.emitted, pending.cached))).collect();
    (leaper.finish(), left)
}

/// Runs one replica to the end of samples that were begun elsewhere; `job` has no samples of its own. `cached`: their caches
/// came with them.
pub fn run_from(
    stepper: Stepper,
    job: &Job<'_>,
    begun: &[Unfinished],
    cached: bool,
    cost: &impl StepCost,
    schedule: &mut dyn Schedule,
) -> Outcome {
    let samples: Vec<(u32, Sample)> = begun.iter().map(|left| (left.id, left.sample)).collect();
    let job = Job { samples: &samples, ..job.clone() };
    let mut leaper = leaper(stepper, &job, schedule);
    for (pending, left) in leaper.replica.waiting.iter_mut().zip(begun) {
        pending.emitted = left.emitted;
        pending.cached = cached && left.cached;
    }
    while !leaper.finished() {
        leaper.turn(cost, schedule);
    }
    leaper.finish()
}
