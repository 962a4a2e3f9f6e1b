//! The state of one replica, and the phases of an engine iteration: schedule, price, advance.
//!
//! Both steppers stand on this. Each request draws its acceptance from its own stream, one number a round, so that
//! results do not depend on the order in the batch. Work per iteration grows with the batch; nothing is
//! allocated between changes of the batch.

use std::collections::VecDeque;

use super::kv::Pool;
use super::lanes::Lanes;
use super::outcome::{Outcome, TimelinePoint};
use super::pieces::PieceCache;
use super::{Job, Limits};
use crate::estimate::Family;
use crate::piece::Shape;
use crate::rng::{Purpose, Stream, mix};
use crate::speculation::schedule::{Observation, Schedule, Snapshot};
use crate::speculation::solver::CatchUp;
use crate::speculation::{Configuration, StepCost};
use crate::workload::Sample;

/// What an admission takes of the KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// What the request holds now; it grows later, as engines do it.
    Now,
    /// All that it will ever hold: nothing can go wrong later.
    ToTheEnd,
}

/// What names the random streams of samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    pub(super) seed: u64,
    /// Draw and RL step.
    pub(super) path: [u64; 2],
    /// Where samples of several RL steps meet: samples of one, so that a sample has the name that it has in a rollout of
    /// its own.
    pub(super) per_step: Option<u32>,
}

impl Names {
    /// Draw, RL step and sample.
    pub(super) fn of(&self, id: u32) -> [u64; 3] {
        match self.per_step {
            Some(n) => [self.path[0], u64::from(id / n), u64::from(id % n)],
            None => [self.path[0], self.path[1], u64::from(id)],
        }
    }
}

/// A request that waits or is being prefilled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) index: u32,
    /// Response tokens that were emitted before a preemption.
    pub(super) emitted: u32,
    /// Whether its keys and values have come from another replica.
    pub(super) cached: bool,
}

/// A request whose context is being computed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prefilling {
    pub(super) pending: Pending,
    pub(super) own_blocks: u64,
    /// Context tokens that are in the cache.
    pub(super) done: u32,
    /// Context tokens that must be there before it decodes.
    pub(super) target: u32,
}

/// The decoding requests, one array a field so that the loop over them stays tight.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) index: Vec<u32>,
    /// Response tokens still to come.
    pub(super) remaining: Vec<u32>,
    /// Tokens in the KV cache.
    pub(super) length: Vec<u32>,
    /// Tokens that the request's blocks hold, shared ones included.
    pub(super) capacity: Vec<u32>,
    /// State of the request's acceptance stream.
    pub(super) key: Vec<u64>,
    pub(super) counter: Vec<u64>,
    pub(super) own_blocks: Vec<u32>,
}

pub(super) struct Replica {
    pub(super) samples: Vec<(u32, Sample)>,
    pub(super) limits: Limits,
    /// What names the streams of its samples.
    pub(super) names: Names,
    pub(super) waiting: VecDeque<Pending>,
    pub(super) prefilling: Vec<Prefilling>,
    pub(super) batch: Batch,
    pub(super) pool: Pool,
    /// What each sample accepts.
    pub(super) lanes: Lanes,
    /// How the drafter's cache catches up, and whether it has to.
    catch_up: CatchUp,
    behind: bool,
    /// The configuration of the last step that decoded.
    last: Option<Configuration>,
    /// Counters before the last step, for schedules that are shown each.
    seen: Vec<u64>,
    /// Tokens beyond its length that a decoding request must have room for, its states among them.
    pub(super) lookahead: u32,
    /// Total context of the decoding requests.
    pub(super) context: u64,
    pub(super) changed: bool,
    pub(super) outcome: Outcome,
    /// How often a round accepted exactly j draft tokens.
    pub(super) accepted: Vec<u64>,
    pub(super) pieces: PieceCache,
}

impl Replica {
    pub(super) fn new(job: &Job<'_>, schedule: &dyn Schedule) -> Self {
        let positions = schedule.max_draft_tokens() as usize;
        let mut pool = Pool::new(job.limits.kv_blocks, job.limits.block_size, job.limits.prefix_caching);
        for (_, sample) in job.samples {
            pool.announce(sample.group, sample.prompt);
        }
        Replica {
            samples: job.samples.to_vec(),
            limits: job.limits,
            names: Names { seed: job.seed, path: job.path, per_step: job.per_step },
            waiting: (0..job.samples.len() as u32)
                .map(|index| Pending { index, emitted: 0, cached: false })
                .collect(),
            prefilling: Vec::new(),
            batch: Batch::default(),
            pool,
            lanes: Lanes::new(job, schedule),
            catch_up: schedule.catch_up(),
            behind: false,
            last: None,
            seen: vec![0; positions + 1],
            lookahead: positions as u32 + 1 + job.limits.state_tokens,
            context: 0,
            changed: false,
            outcome: Outcome { accepted_at: vec![0; positions], ..Outcome::default() },
            accepted: vec![0; positions + 1],
            pieces: PieceCache::default(),
        }
    }

    /// The stream of a sample's acceptance, a fresh one each time that it is admitted again.
    pub(super) fn acceptance_stream(&self, id: u32, emitted: u32) -> Stream {
        let [draw, step, sample] = self.names.of(id);
        Stream::new(self.names.seed, Purpose::AcceptDraft, &[draw, step, sample, u64::from(emitted)])
    }

    /// Whether every sample has completed.
    pub(super) fn finished(&self) -> bool {
        self.batch.index.is_empty() && self.waiting.is_empty() && self.prefilling.is_empty()
    }

    /// One engine iteration: schedule, price, advance.
    pub(super) fn step(&mut self, cost: &impl StepCost, schedule: &mut dyn Schedule) {
        let configuration = self.lanes.within(schedule.decide(&Snapshot {
            running: self.batch.index.len() as u32,
            prefilling: self.prefilling.len() as u32,
            waiting: self.waiting.len() as u32,
            context: self.context,
        }));
        let mut shape = self.shape(configuration, self.batch.index.len() as u32, self.context as f64);
        let finished_prefills = self.schedule_prefill(&mut shape, Room::Now);
        if self.waits(&shape) {
            self.charge(&shape, 1, 0.0, 0.0, cost);
            self.start_decoding(finished_prefills);
            self.relieve_pressure();
            if self.changed {
                self.record();
            }
            return;
        }
        let context = self.context as f64;
        self.charge(&shape, 1, context, context, cost);
        let history = !schedule.leapable();
        if history {
            self.seen.copy_from_slice(&self.accepted);
        }
        self.decode(configuration);
        if history {
            self.show(configuration, shape.decoding, schedule);
        }
        self.start_decoding(finished_prefills);
        self.relieve_pressure();
        if self.changed {
            self.record();
        }
    }

    /// The shape of a step before its prefills. Charges what going over to the configuration costs.
    pub(super) fn shape(&mut self, configuration: Configuration, decoding: u32, context: f64) -> Shape {
        let mut shape = configuration.shape(decoding);
        let drafts = configuration != Configuration::Off;
        shape.drafter_asleep = !drafts && self.catch_up.asleep();
        if decoding > 0 {
            self.outcome.switches += u64::from(self.last.is_some_and(|last| last != configuration));
            self.last = Some(configuration);
            if drafts && self.behind {
                // Mostly matrix products over the context that the drafter has not seen.
                let seconds = self.catch_up.seconds(decoding, context);
                self.outcome.seconds[Family::Gemm as usize] += seconds;
                self.outcome.catch_up_seconds += seconds;
            }
        }
        // Prompts that are prefilled meanwhile are not in its cache either.
        self.behind = shape.drafter_asleep;
        shape
    }

    /// Shows a schedule what the last step accepted.
    fn show(&mut self, configuration: Configuration, decoding: u32, schedule: &mut dyn Schedule) {
        let (_, depth) = self.lanes.lane(configuration);
        for (before, now) in self.seen.iter_mut().zip(&self.accepted) {
            *before = now - *before;
        }
        if depth == 0 {
            self.seen[0] = u64::from(decoding);
        }
        let accepted = &self.seen[..=depth];
        schedule.observe(&Observation { configuration, running: decoding, accepted });
    }

    /// Closes the counters.
    pub(super) fn finish(mut self) -> Outcome {
        let positions = self.outcome.accepted_at.len();
        for j in (0..positions).rev() {
            let deeper = if j + 1 < positions { self.outcome.accepted_at[j + 1] } else { 0 };
            self.outcome.accepted_at[j] = deeper + self.accepted[j + 1];
        }
        self.outcome.kv_peak = self.outcome.kv_peak.max(self.pool.peak());
        self.outcome
    }

    /// Spends what the decodes leave of the token budget on prefill: unfinished ones first, then new
    /// admissions. Returns how many prefills (the first ones of the list) end in this step.
    pub(super) fn schedule_prefill(&mut self, shape: &mut Shape, room: Room) -> usize {
        if self.prefilling.is_empty() && self.waiting.is_empty() {
            return 0;
        }
        let alone = self.limits.prefill_alone;
        let decode_tokens = if alone { 0 } else { shape.decoding * (shape.draft_tokens + 1) };
        let mut budget = self.limits.max_num_batched_tokens.saturating_sub(decode_tokens);
        let mut ended = 0;
        for prefill in &mut self.prefilling {
            ended += usize::from(advance(prefill, &mut budget, shape));
        }
        while budget > 0 && shape.decoding + (self.prefilling.len() as u32) < self.limits.max_num_seqs {
            let Some(mut prefill) = self.admit(shape.decoding, room) else { break };
            ended += usize::from(advance(&mut prefill, &mut budget, shape));
            self.prefilling.push(prefill);
        }
        shape.prefill_ends = ended as u32;
        if alone && shape.prefill_tokens > 0 {
            *shape = Shape { decoding: 0, draft_tokens: 0, tree: None, ..*shape };
        }
        ended
    }

    /// Whether the decoding requests wait for the prefills of a step.
    pub(super) fn waits(&self, shape: &Shape) -> bool {
        self.limits.prefill_alone && shape.prefill_tokens > 0
    }

    /// Admits the first waiting request where there is room for its context and look-ahead.
    fn admit(&mut self, decoding: u32, room: Room) -> Option<Prefilling> {
        let pending = *self.waiting.front()?;
        let sample = self.samples[pending.index as usize].1;
        let target = sample.prompt + pending.emitted;
        // Alone and still no room: run it all the same, or the loop would never end.
        let alone = decoding == 0 && self.prefilling.is_empty();
        let tokens = match room {
            Room::Now => target,
            Room::ToTheEnd => sample.prompt + sample.response,
        };
        let (done, own_blocks) = self.pool.admit(sample.group, tokens + self.lookahead, alone)?;
        if room == Room::Now {
            self.pool.note_peak();
        }
        self.waiting.pop_front();
        self.changed = true;
        let done = if pending.cached { target } else { done };
        // A preempted request can share no more than its prompt, and computes at least its last token.
        Some(Prefilling { pending, own_blocks, done: done.min(target - 1), target })
    }

    /// Adds the seconds of `steps` steps of one shape, the first at total context `context`, whose contexts add
    /// up to `contexts` and all lie in one piece.
    pub(super) fn charge(
        &mut self,
        shape: &Shape,
        steps: u64,
        context: f64,
        contexts: f64,
        cost: &impl StepCost,
    ) {
        let piece = self.pieces.get(shape, context, cost);
        piece.accumulate(steps as f64, contexts, shape.prefill_pairs as f64, &mut self.outcome.seconds);
        self.outcome.extrapolated.add(1.0, piece.extrapolated_in(steps as f64, contexts));
        self.outcome.steps += steps;
        self.outcome.prefilled += u64::from(shape.prefill_tokens);
    }

    /// Emits the step's tokens of every decoding request, grows their blocks, and lets the finished go.
    fn decode(&mut self, configuration: Configuration) {
        let count = self.batch.index.len();
        if count == 0 {
            return;
        }
        let (offset, depth) = self.lanes.lane(configuration);
        let (width, thresholds) = (self.lanes.width(), self.lanes.thresholds());
        let block = self.limits.block_size;
        let mut grown = 0;
        let mut finished = 0;
        let mut emitted = 0_u64;
        let Batch { index, remaining, length, capacity, key, counter, own_blocks } = &mut self.batch;
        for i in 0..count {
            let mut tokens = 1;
            if depth > 0 {
                // Same numbers as `Stream::bits`, kept in two arrays.
                counter[i] = counter[i].wrapping_add(1);
                let bits = (mix(key[i].wrapping_add(counter[i].wrapping_mul(STREAM_STEP))) >> 32) as u32;
                let row = index[i] as usize * width + offset;
                for threshold in &thresholds[row..row + depth] {
                    tokens += u32::from(bits < *threshold);
                }
                self.accepted[tokens as usize - 1] += 1;
            }
            let tokens = tokens.min(remaining[i]);
            remaining[i] -= tokens;
            length[i] += tokens;
            emitted += u64::from(tokens);
            finished += u32::from(remaining[i] == 0);
            while length[i] + self.lookahead > capacity[i] {
                capacity[i] += block;
                own_blocks[i] += 1;
                grown += 1;
            }
        }
        self.context += emitted;
        self.outcome.tokens += emitted;
        if depth > 0 {
            self.outcome.rounds += count as u64;
        }
        self.pool.take(grown);
        if finished > 0 {
            self.remove_finished();
        }
    }

    fn remove_finished(&mut self) {
        let now = self.outcome.nominal();
        let mut kept = 0;
        for i in 0..self.batch.index.len() {
            if self.batch.remaining[i] == 0 {
                let (id, sample) = self.samples[self.batch.index[i] as usize];
                self.context -= u64::from(self.batch.length[i]);
                self.pool.finish(sample.group, u64::from(self.batch.own_blocks[i]));
                self.outcome.completions.push((id, now));
            } else {
                self.batch.copy_within(i, kept);
                kept += 1;
            }
        }
        self.batch.truncate(kept);
        self.changed = true;
    }

    /// Requests whose prefill has ended emit their first token and decode from the next step on.
    fn start_decoding(&mut self, ended: usize) {
        for _ in 0..ended {
            let prefill = self.prefilling.remove(0);
            let (id, sample) = self.samples[prefill.pending.index as usize];
            let emitted = prefill.pending.emitted + 1;
            self.outcome.tokens += 1;
            self.changed = true;
            if emitted >= sample.response {
                self.pool.finish(sample.group, prefill.own_blocks);
                self.outcome.completions.push((id, self.outcome.nominal()));
                continue;
            }
            let length = prefill.target + 1;
            self.batch.index.push(prefill.pending.index);
            self.batch.remaining.push(sample.response - emitted);
            self.batch.length.push(length);
            // Blocks were taken for the context and its look-ahead, one token less than is held now.
            let held = self.pool.blocks_for(prefill.target + self.lookahead) as u32 * self.limits.block_size;
            let grown = u32::from(length + self.lookahead > held);
            self.pool.take(u64::from(grown));
            self.batch.capacity.push(held + grown * self.limits.block_size);
            self.batch.own_blocks.push(prefill.own_blocks as u32 + grown);
            let stream = self.acceptance_stream(id, prefill.pending.emitted);
            self.batch.key.push(stream.key());
            self.batch.counter.push(stream.drawn());
            self.context += u64::from(length);
        }
    }

    /// Preempts the youngest requests until the rest fit the KV cache.
    fn relieve_pressure(&mut self) {
        while self.pool.overdrawn() && self.batch.index.len() + self.prefilling.len() > 1 {
            self.changed = true;
            self.outcome.preemptions += 1;
            if let Some(prefill) = self.prefilling.pop() {
                let group = self.samples[prefill.pending.index as usize].1.group;
                self.pool.preempt(group, prefill.own_blocks, prefill.done);
                self.waiting.push_front(Pending { cached: false, ..prefill.pending });
                continue;
            }
            let last = self.batch.index.len() - 1;
            let index = self.batch.index[last];
            let sample = self.samples[index as usize].1;
            let length = self.batch.length[last];
            self.context -= u64::from(length);
            self.pool.preempt(sample.group, u64::from(self.batch.own_blocks[last]), length);
            let emitted = sample.response - self.batch.remaining[last];
            self.waiting.push_front(Pending { index, emitted, cached: false });
            self.batch.truncate(last);
        }
        self.pool.note_peak();
    }

    pub(super) fn record(&mut self) {
        self.changed = false;
        self.outcome.timeline.push(TimelinePoint {
            seconds: self.outcome.nominal(),
            running: (self.batch.index.len() + self.prefilling.len()) as u32,
            waiting: self.waiting.len() as u32,
            kv_blocks: self.pool.used(),
        });
    }
}

/// What `Stream` adds to its counter for each number (its golden ratio).
const STREAM_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Gives a prefill what the budget allows; whether it ended.
fn advance(prefill: &mut Prefilling, budget: &mut u32, shape: &mut Shape) -> bool {
    let chunk = (prefill.target - prefill.done).min(*budget);
    *budget -= chunk;
    shape.prefill_tokens += chunk;
    shape.prefill_pairs +=
        u64::from(chunk) * u64::from(prefill.done) + u64::from(chunk) * u64::from(chunk + 1) / 2;
    prefill.done += chunk;
    prefill.done == prefill.target
}

impl Batch {
    pub(super) fn copy_within(&mut self, from: usize, to: usize) {
        self.index[to] = self.index[from];
        self.remaining[to] = self.remaining[from];
        self.length[to] = self.length[from];
        self.capacity[to] = self.capacity[from];
        self.key[to] = self.key[from];
        self.counter[to] = self.counter[from];
        self.own_blocks[to] = self.own_blocks[from];
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.index.truncate(len);
        self.remaining.truncate(len);
        self.length.truncate(len);
        self.capacity.truncate(len);
        self.key.truncate(len);
        self.counter.truncate(len);
        self.own_blocks.truncate(len);
    }
}
