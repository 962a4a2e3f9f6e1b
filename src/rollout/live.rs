//! A replica that samples reach over time: it runs up to a given time, and new weights, aborts and pauses reach it there.
//!
//! Its clock is idle time plus its engine's nominal seconds times a pace, which stands for a calibration world: the same
//! work takes longer or shorter. It stands on the steppers of whole rollouts and steps no finer than they do, so a time is
//! kept to within one iteration. Leaves out: what an abort costs the engine; the spread of contexts in a recomputed cache.

use super::Job;
use super::leap::Leaper;
use super::outcome::Outcome;
use super::replica::Pending;
use crate::piece::Shape;
use crate::speculation::StepCost;
use crate::speculation::acceptance::{Population, Ranks};
use crate::speculation::schedule::Schedule;
use crate::workload::Sample;

/// A sample that was taken off a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evicted {
    /// Its index.
    pub id: u32,
    /// Response tokens that it had.
    pub emitted: u32,
}

/// A replica in time.
pub struct Live {
    leaper: Leaper,
    schedule: Box<dyn Schedule>,
    /// Seconds of the clock for one nominal second.
    pace: f64,
    /// Seconds without work.
    idle: f64,
    /// Samples that it holds.
    holds: u32,
    /// What was counted when it was asked last.
    counted: Outcome,
    accepted: Vec<u64>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live")
            .field("clock", &self.clock())
            .field("holds", &self.holds)
            .finish_non_exhaustive()
    }
}

impl Live {
    /// An empty replica at time 0; `job` has no samples. `exact` steps every iteration.
    pub fn new(job: &Job<'_>, schedule: Box<dyn Schedule>, pace: f64, exact: bool) -> Self {
        let mut leaper = Leaper::new(job, schedule.as_ref());
        if exact {
            leaper.exact_only = true;
            leaper.leave();
        }
        let accepted = vec![0; leaper.replica.accepted.len()];
        Live { leaper, schedule, pace, idle: 0.0, holds: 0, counted: Outcome::default(), accepted }
    }

    /// Seconds since the start.
    pub fn clock(&self) -> f64 {
        self.idle + self.pace * self.leaper.replica.outcome.nominal()
    }

    /// Samples that it holds, waiting ones included.
    pub fn holds(&self) -> u32 {
        self.holds
    }

    /// Stands idle up to a time.
    pub fn idle_until(&mut self, time: f64) {
        self.idle += (time - self.clock()).max(0.0);
    }

    /// Stands still for seconds.
    pub fn stall(&mut self, seconds: f64) {
        self.idle += seconds;
    }

    /// Tells a schedule that knows the acceptance what it is from now on; no rates where nothing is drafted.
    pub fn know(&mut self, rates: &[f64]) {
        if !rates.is_empty() {
            self.schedule.know(rates, &Ranks::default());
        }
    }

    /// Adds a sample to the queue, drawn from a population.
    pub fn submit(&mut self, id: u32, sample: Sample, population: Option<&Population>) {
        let replica = &mut self.leaper.replica;
        let index = replica.samples.len() as u32;
        replica.samples.push((id, sample));
        let entity = replica.names.of(id);
        replica.lanes.push(population, replica.names.seed, &entity);
        replica.pool.announce(sample.group, sample.prompt);
        replica.waiting.push_back(Pending { index, emitted: 0, cached: false });
        self.holds += 1;
    }

    /// Runs until samples complete, or to a time; the samples that completed.
    pub fn run_until(&mut self, time: f64, cost: &impl StepCost, completed: &mut Vec<u32>) {
        self.leaper.limit = (time - self.idle) / self.pace;
        while !self.leaper.finished() && self.leaper.replica.outcome.nominal() < self.leaper.limit {
            self.leaper.turn(cost, self.schedule.as_mut());
            self.leaper.replica.outcome.timeline.clear();
            let done = &mut self.leaper.replica.outcome.completions;
            if !done.is_empty() {
                self.holds -= done.len() as u32;
                completed.extend(done.drain(..).map(|(id, _)| id));
                return;
            }
        }
    }

    /// Computes the KV cache of all running requests again: prefill in chunks, all contexts alike; what a group shares of its
    /// prompt once.
    pub fn recompute_cache(&mut self, cost: &impl StepCost) {
        let sequences = f64::from(self.leaper.decoding());
        let total = self.leaper.total_context() - self.shared_again() as f64;
        if sequences < 1.0 || total < 1.0 {
            return;
        }
        let replica = &mut self.leaper.replica;
        let mut left = total as u64;
        // Each token attends to half of its sequence on average.
        let pairs_a_token = 0.5 * total / sequences;
        while left > 0 {
            let chunk = left.min(u64::from(replica.limits.max_num_batched_tokens));
            left -= chunk;
            let shape = Shape {
                prefill_tokens: chunk as u32,
                prefill_pairs: (chunk as f64 * pairs_a_token) as u64,
                ..Shape::default()
            };
            replica.charge(&shape, 1, 0.0, 0.0, cost);
        }
    }

    /// Prompt tokens of decoding requests that a sibling has in the cache too: all but one of each group's.
    fn shared_again(&self) -> u64 {
        let replica = &self.leaper.replica;
        if !replica.limits.prefix_caching {
            return 0;
        }
        let indices = replica.batch.index.iter().copied().chain(self.leaper.seated().map(|(index, _)| index));
        let mut groups: Vec<(u32, u32)> = indices
            .map(|index| {
                let sample = replica.samples[index as usize].1;
                (sample.group, sample.prompt)
            })
            .collect();
        groups.sort_unstable();
        let again = groups.windows(2).filter(|pair| pair[0].0 == pair[1].0);
        again.map(|pair| u64::from(replica.pool.shared_tokens(pair[0].1))).sum()
    }

    /// Puts every running request back into the queue, its cache lost.
    pub fn flush(&mut self) {
        self.take_off(|_| true, true);
    }

    /// Takes the samples off that are chosen; they do not come back.
    pub fn abort(&mut self, chosen: impl Fn(u32) -> bool) -> Vec<Evicted> {
        self.take_off(chosen, false)
    }

    fn take_off(&mut self, chosen: impl Fn(u32) -> bool, back: bool) -> Vec<Evicted> {
        self.leaper.leave();
        let replica = &mut self.leaper.replica;
        let mut off = Vec::new();
        let mut returned = Vec::new();
        let mut kept = 0;
        for i in 0..replica.batch.index.len() {
            let index = replica.batch.index[i];
            let (id, sample) = replica.samples[index as usize];
            if !chosen(id) {
                replica.batch.copy_within(i, kept);
                kept += 1;
                continue;
            }
            let (own, length) = (u64::from(replica.batch.own_blocks[i]), replica.batch.length[i]);
            let emitted = sample.response - replica.batch.remaining[i];
            replica.context -= u64::from(length);
            off.push(Evicted { id, emitted });
            if back {
                replica.pool.preempt(sample.group, own, length);
                returned.push(Pending { index, emitted, cached: false });
            } else {
                replica.pool.finish(sample.group, own);
            }
        }
        replica.batch.truncate(kept);
        for prefill in std::mem::take(&mut replica.prefilling) {
            let (id, sample) = replica.samples[prefill.pending.index as usize];
            if !chosen(id) {
                replica.prefilling.push(prefill);
                continue;
            }
            off.push(Evicted { id, emitted: prefill.pending.emitted });
            if back {
                replica.pool.preempt(sample.group, prefill.own_blocks, prefill.done);
                returned.push(prefill.pending);
            } else {
                replica.pool.finish(sample.group, prefill.own_blocks);
            }
        }
        if back {
            for pending in returned.into_iter().rev() {
                replica.waiting.push_front(pending);
            }
        } else {
            for pending in std::mem::take(&mut replica.waiting) {
                let (id, sample) = replica.samples[pending.index as usize];
                if chosen(id) {
                    replica.pool.withdraw(sample.group);
                    off.push(Evicted { id, emitted: pending.emitted });
                } else {
                    replica.waiting.push_back(pending);
                }
            }
            self.holds -= off.len() as u32;
        }
        self.leaper.enter_if_room();
        off
    }

    /// Response tokens that it has generated in all, and those of them that samples hold which it has yet to finish.
    pub fn tokens(&self) -> (u64, u64) {
        let replica = &self.leaper.replica;
        let emitted =
            |index: u32, remaining: u32| u64::from(replica.samples[index as usize].1.response - remaining);
        let batch = &replica.batch;
        let exact = batch.index.iter().zip(&batch.remaining).map(|(index, left)| emitted(*index, *left));
        let queued = replica.waiting.iter().chain(replica.prefilling.iter().map(|p| &p.pending));
        let held = exact.sum::<u64>()
            + queued.map(|pending| u64::from(pending.emitted)).sum::<u64>()
            + self.leaper.seated().map(|(index, left)| emitted(index, left)).sum::<u64>();
        (replica.outcome.tokens, held)
    }

    /// What it did since it was asked last.
    pub fn count(&mut self) -> Outcome {
        let replica = &mut self.leaper.replica;
        let (now, before) = (&replica.outcome, &self.counted);
        let mut since = Outcome {
            seconds: std::array::from_fn(|i| now.seconds[i] - before.seconds[i]),
            extrapolated: now.extrapolated,
            steps: now.steps - before.steps,
            rounds: now.rounds - before.rounds,
            accepted_at: vec![0; replica.accepted.len() - 1],
            switches: now.switches - before.switches,
            catch_up_seconds: now.catch_up_seconds - before.catch_up_seconds,
            tokens: now.tokens - before.tokens,
            prefilled: now.prefilled - before.prefilled,
            preemptions: now.preemptions - before.preemptions,
            kv_peak: now.kv_peak.max(replica.pool.peak().min(replica.limits.kv_blocks)),
            ..Outcome::default()
        };
        since.extrapolated.add(-1.0, before.extrapolated);
        let mut deeper = 0;
        for j in (0..since.accepted_at.len()).rev() {
            deeper += replica.accepted[j + 1] - self.accepted[j + 1];
            since.accepted_at[j] = deeper;
        }
        self.accepted.copy_from_slice(&replica.accepted);
        self.counted = now.clone();
        since
    }
}
