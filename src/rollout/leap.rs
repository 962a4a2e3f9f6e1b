//! The stepper `leap`: cost that grows with requests, not with tokens.
//!
//! Between changes of the batch every iteration has the same shape, so the seconds of many are summed in closed
//! form; and how often the next rounds of a request accepted 0, 1, … K tokens is one multinomial draw, over as many
//! rounds as will hardly end it (`slot`). Each request leaps on its own clock; a heap holds the ends of leaps. A change of configuration inside a leap splits its counts by a hypergeometric draw, which is their
//! exact conditional law. Completion *iterations* are therefore exact in distribution. The one approximation is
//! total context between leap ends, which runs at the mean rate of the drawn leaps and is put right at every end.
//!
//! A request is admitted with room for all that it will ever hold. Where that is not to be had, the KV cache might
//! run full and preempt: the replica is then stepped exactly until the room is there again.

mod slot;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Job;
use super::outcome::{Outcome, TimelinePoint};
use super::replica::{Pending, Replica, Room};
use crate::estimate::STEP_FAMILIES;
use crate::piece::Shape;
use crate::speculation::schedule::{Schedule, Snapshot};
use crate::speculation::{Configuration, StepCost};
use slot::Slot;

/// Runs one replica to the end of its samples. The schedule must be `leapable`.
pub fn run_leap(job: &Job<'_>, cost: &impl StepCost, schedule: &mut dyn Schedule) -> Outcome {
    let mut leaper = Leaper::new(job, schedule);
    while !leaper.finished() {
        leaper.turn(cost, schedule);
    }
    leaper.finish()
}

pub(super) struct Leaper {
    /// Queue, prefills, cache, counters; and the batch while stepping exactly.
    pub(super) replica: Replica,
    leaping: bool,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Ends of leaps: (iteration, slot, version of the slot).
    ends: BinaryHeap<Reverse<(u64, u32, u32)>>,
    /// Iterations so far.
    now: u64,
    running: u32,
    /// The configuration in force.
    configuration: Configuration,
    /// Total context of the running requests, at its mean rate since the last leap end.
    context: f64,
    /// Mean tokens that an iteration adds to it.
    rate: f64,
    admitted: u64,
    /// Blocks that running requests have reserved, and of them those that are shared prompts.
    reserved: u64,
    shared: u64,
    /// Nominal seconds at which it stops, an iteration later at most.
    pub(super) limit: f64,
    /// Whether every iteration is stepped.
    pub(super) exact_only: bool,
}

impl Leaper {
    pub(super) fn new(job: &Job<'_>, schedule: &dyn Schedule) -> Self {
        let mut leaper = Leaper {
            replica: Replica::new(job, schedule),
            leaping: false,
            slots: Vec::new(),
            free: Vec::new(),
            ends: BinaryHeap::new(),
            now: 0,
            running: 0,
            configuration: Configuration::Off,
            context: 0.0,
            rate: 0.0,
            admitted: 0,
            reserved: 0,
            shared: 0,
            limit: f64::INFINITY,
            exact_only: !schedule.leapable(),
        };
        leaper.enter_if_room();
        leaper
    }

    /// Whether every sample has completed.
    pub(super) fn finished(&self) -> bool {
        self.running == 0 && self.replica.finished()
    }

    /// Runs to the next change of the batch, or to the limit.
    pub(super) fn turn(&mut self, cost: &impl StepCost, schedule: &mut dyn Schedule) {
        if self.leaping {
            if self.has_room() {
                self.advance(cost, schedule);
                return;
            }
            self.leave();
        }
        self.step_exactly(cost, schedule);
    }

    /// Sequences in the batch.
    pub(super) fn decoding(&self) -> u32 {
        self.running + self.replica.batch.index.len() as u32
    }

    /// Leaping requests, with the tokens that were to come when their leaps started.
    pub(super) fn seated(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.slots.iter().filter(|slot| slot.seated).map(|slot| (slot.index, slot.remaining))
    }

    /// Their total context, tokens.
    pub(super) fn total_context(&self) -> f64 {
        if self.leaping { self.context } else { self.replica.context as f64 }
    }

    pub(super) fn finish(self) -> Outcome {
        self.replica.finish()
    }

    /// Blocks that a sample holds at its end.
    fn final_blocks(&self, index: u32) -> u64 {
        let sample = &self.replica.samples[index as usize].1;
        self.replica.pool.blocks_for(sample.prompt + sample.response + self.replica.lookahead)
    }

    /// Blocks that the next admissions would reserve: as many as there are seats.
    fn next_blocks(&self) -> u64 {
        let seated =
            self.running + self.replica.batch.index.len() as u32 + self.replica.prefilling.len() as u32;
        let seats = self.replica.limits.max_num_seqs.saturating_sub(seated) as usize;
        self.replica.waiting.iter().take(seats).map(|pending| self.final_blocks(pending.index)).sum()
    }

    /// Whether whoever is admitted next can reserve its whole room.
    fn has_room(&self) -> bool {
        self.replica.pool.used() + self.next_blocks() <= self.replica.limits.kv_blocks
    }

    /// Goes over to leaping where everybody's whole room can be reserved.
    pub(super) fn enter_if_room(&mut self) {
        if self.exact_only {
            return;
        }
        let replica = &self.replica;
        let held = replica.batch.own_blocks.iter().map(|b| u64::from(*b)).sum::<u64>()
            + replica.prefilling.iter().map(|p| p.own_blocks).sum::<u64>();
        let batch = replica.batch.index.iter().map(|index| self.final_blocks(*index)).sum::<u64>();
        let prefilling = replica.prefilling.iter().map(|p| self.final_blocks(p.pending.index)).sum::<u64>();
        let whole = replica.pool.used() - held + batch + prefilling + self.next_blocks();
        if whole > replica.limits.kv_blocks {
            return;
        }
        self.leaping = true;
        let blocks = self.replica.limits.block_size;
        for i in 0..self.replica.prefilling.len() {
            let prefill = self.replica.prefilling[i];
            let shared =
                self.replica.pool.blocks_for(prefill.target + self.replica.lookahead) - prefill.own_blocks;
            let reserved = self.final_blocks(prefill.pending.index) - shared;
            self.replica.pool.take(reserved - prefill.own_blocks);
            self.replica.prefilling[i].own_blocks = reserved;
        }
        let batch = std::mem::take(&mut self.replica.batch);
        self.context = 0.0;
        self.rate = 0.0;
        for i in 0..batch.index.len() {
            let shared = u64::from(batch.capacity[i] / blocks - batch.own_blocks[i]);
            let reserved = self.final_blocks(batch.index[i]) - shared;
            self.replica.pool.take(reserved - u64::from(batch.own_blocks[i]));
            let stream = crate::rng::Stream::resume(batch.key[i], batch.counter[i]);
            self.seat(Slot::new(
                batch.index[i],
                batch.remaining[i],
                batch.length[i],
                stream,
                reserved,
                shared,
            ));
        }
    }

    /// Goes back to exact stepping: every leap is cut at this iteration.
    pub(super) fn leave(&mut self) {
        if !self.leaping {
            return;
        }
        self.leaping = false;
        let mut order: Vec<usize> = (0..self.slots.len()).filter(|slot| self.slots[*slot].seated).collect();
        order.sort_by_key(|slot| self.slots[*slot].admitted);
        let (lookahead, block) = (self.replica.lookahead, self.replica.limits.block_size);
        for at in order {
            self.cut(at);
            let slot = &mut self.slots[at];
            slot.seated = false;
            slot.version += 1;
            let blocks = self.replica.pool.blocks_for(slot.length + lookahead);
            let own = blocks - slot.shared;
            self.replica.pool.give_back(slot.reserved - own);
            let batch = &mut self.replica.batch;
            batch.index.push(slot.index);
            batch.remaining.push(slot.remaining);
            batch.length.push(slot.length);
            batch.capacity.push(blocks as u32 * block);
            batch.key.push(slot.stream.key());
            batch.counter.push(slot.stream.drawn());
            batch.own_blocks.push(own as u32);
        }
        for prefill in &mut self.replica.prefilling {
            let sample = self.replica.samples[prefill.pending.index as usize].1;
            let whole = self.replica.pool.blocks_for(sample.prompt + sample.response + lookahead);
            let own = self.replica.pool.blocks_for(prefill.target + lookahead) + prefill.own_blocks - whole;
            self.replica.pool.give_back(prefill.own_blocks - own);
            prefill.own_blocks = own;
        }
        self.replica.context = self.replica.batch.length.iter().map(|tokens| u64::from(*tokens)).sum();
        self.slots.clear();
        self.free.clear();
        self.ends.clear();
        (self.running, self.reserved, self.shared) = (0, 0, 0);
    }

    /// Steps exactly up to the next change of the batch.
    fn step_exactly(&mut self, cost: &impl StepCost, schedule: &mut dyn Schedule) {
        let points = self.replica.outcome.timeline.len();
        while !self.replica.finished()
            && self.replica.outcome.timeline.len() == points
            && self.replica.outcome.nominal() < self.limit
        {
            self.replica.step(cost, schedule);
            self.now += 1;
        }
        self.enter_if_room();
    }

    /// Runs to the next change: one iteration where there is prefill, else to the next end of a leap.
    fn advance(&mut self, cost: &impl StepCost, schedule: &mut dyn Schedule) {
        let snapshot = Snapshot {
            running: self.running,
            prefilling: self.replica.prefilling.len() as u32,
            waiting: self.replica.waiting.len() as u32,
            context: self.context as u64,
        };
        let configuration = self.replica.lanes.within(schedule.decide(&snapshot));
        if configuration != self.configuration {
            self.switch(configuration);
        }
        let mut shape = self.replica.shape(configuration, self.running, self.context);
        let ended = self.replica.schedule_prefill(&mut shape, Room::ToTheEnd);
        if shape.prefill_tokens > 0 {
            if self.replica.waits(&shape) {
                self.replica.charge(&shape, 1, 0.0, 0.0, cost);
            } else {
                self.replica.charge(&shape, 1, self.context, self.context, cost);
                self.context += self.rate;
                self.now += 1;
            }
        } else {
            self.run_to_next_end(&shape, cost, schedule.holds_until(&snapshot));
        }
        self.note_peak();
        self.settle();
        self.start_decoding(ended);
        if self.replica.changed {
            self.record();
        }
    }

    /// Charges all iterations up to the next end of a leap, or to where the decision no longer holds.
    fn run_to_next_end(&mut self, shape: &Shape, cost: &impl StepCost, holds_until: f64) {
        while let Some(Reverse((_, slot, version))) = self.ends.peek() {
            if self.slots[*slot as usize].version == *version {
                break;
            }
            self.ends.pop();
        }
        let Some(Reverse((end, _, _))) = self.ends.peek().copied() else { return };
        while self.now < end {
            let piece_end = self.replica.pieces.get(shape, self.context, cost).context.end;
            // Iterations whose context still lies in this piece; at least the one at hand.
            let fitting = ((piece_end.min(holds_until) - self.context) / self.rate).ceil().max(1.0);
            let mut steps = (end - self.now).min(fitting as u64);
            if self.limit.is_finite() {
                steps = self.within_limit(shape, steps, cost);
            }
            let n = steps as f64;
            let contexts = n * self.context + self.rate * n * (n - 1.0) / 2.0;
            self.replica.charge(shape, steps, self.context, contexts, cost);
            self.context += self.rate * n;
            self.now += steps;
            if self.context >= holds_until || self.replica.outcome.nominal() >= self.limit {
                return;
            }
        }
    }

    /// The fewest of `steps` iterations that reach the limit; all where they do not.
    fn within_limit(&mut self, shape: &Shape, steps: u64, cost: &impl StepCost) -> u64 {
        let left = self.limit - self.replica.outcome.nominal();
        let piece = self.replica.pieces.get(shape, self.context, cost);
        let mut seconds = [0.0; STEP_FAMILIES];
        piece.accumulate(1.0, self.context, 0.0, &mut seconds);
        let first: f64 = seconds.iter().sum();
        let mut seconds = [0.0; STEP_FAMILIES];
        piece.accumulate(1.0, self.context + self.rate, 0.0, &mut seconds);
        let growth = (seconds.iter().sum::<f64>() - first).max(0.0);
        // n steps take n first + growth n (n - 1) / 2: a quadratic in n.
        let (a, b) = (0.5 * growth, first - 0.5 * growth);
        let root = if a > 0.0 { 2.0 * left / (b + libm::sqrt(b * b + 4.0 * a * left)) } else { left / b };
        steps.min(root.ceil().max(1.0) as u64)
    }

    /// Closes the leaps that end now: their requests complete or leap again.
    fn settle(&mut self) {
        while let Some(Reverse((end, at, version))) = self.ends.peek().copied() {
            if end > self.now {
                break;
            }
            self.ends.pop();
            if self.slots[at as usize].version != version {
                continue;
            }
            self.close(at as usize);
            if self.slots[at as usize].remaining == 0 {
                self.complete(at as usize);
            } else {
                self.leap(at as usize);
            }
        }
    }

    /// Books a whole leap.
    fn close(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        if self.configuration != Configuration::Off {
            self.replica.outcome.rounds += u64::from(slot.rounds);
            for (sum, count) in self.replica.accepted.iter_mut().zip(&slot.counts) {
                *sum += u64::from(*count);
            }
        }
        self.context += f64::from(slot.gain) - slot.mean * f64::from(slot.rounds);
        self.replica.outcome.tokens += u64::from(slot.gain);
        slot.remaining -= slot.gain;
        slot.length += slot.gain;
    }

    /// Shortens a leap to the iterations that have passed, and books those.
    fn cut(&mut self, at: usize) {
        let passed = (self.now - self.slots[at].start) as u32;
        let thresholds = self.replica.lanes.of(self.slots[at].index, self.configuration);
        self.slots[at].shorten(passed, thresholds);
        self.close(at);
    }

    fn complete(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        slot.seated = false;
        slot.version += 1;
        let (id, sample) = self.replica.samples[slot.index as usize];
        self.context -= f64::from(slot.length);
        self.rate -= slot.mean;
        self.running -= 1;
        self.reserved -= slot.reserved;
        self.shared -= slot.shared;
        self.replica.pool.finish(sample.group, slot.reserved);
        self.free.push(at as u32);
        self.replica.outcome.completions.push((id, self.replica.outcome.nominal()));
        self.replica.changed = true;
        if self.running == 0 {
            // Nobody is left: what rounding has gathered is not carried on.
            (self.context, self.rate) = (0.0, 0.0);
        }
    }

    /// Every leap goes on with another configuration.
    fn switch(&mut self, configuration: Configuration) {
        let seated: Vec<usize> = (0..self.slots.len()).filter(|slot| self.slots[*slot].seated).collect();
        for at in &seated {
            self.cut(*at);
        }
        self.configuration = configuration;
        for at in seated {
            self.slots[at].version += 1;
            self.leap(at);
        }
    }

    /// Seats a request and starts its first leap.
    fn seat(&mut self, mut slot: Slot) {
        slot.admitted = self.admitted;
        self.admitted += 1;
        self.running += 1;
        self.context += f64::from(slot.length);
        self.reserved += slot.reserved;
        self.shared += slot.shared;
        let at = if let Some(at) = self.free.pop() {
            slot.version = self.slots[at as usize].version + 1;
            self.slots[at as usize] = slot;
            at as usize
        } else {
            self.slots.push(slot);
            self.slots.len() - 1
        };
        self.leap(at);
    }

    /// Starts a leap, and takes the mean of the rounds that were drawn for it as the request's rate.
    fn leap(&mut self, at: usize) {
        let thresholds = self.replica.lanes.of(self.slots[at].index, self.configuration);
        let slot = &mut self.slots[at];
        self.rate -= slot.mean;
        slot.leap(self.now, thresholds);
        self.rate += slot.mean;
        self.ends.push(Reverse((self.now + u64::from(slot.rounds), at as u32, slot.version)));
    }

    /// Requests whose prefill has ended emit their first token and run from the next iteration on.
    fn start_decoding(&mut self, ended: usize) {
        let prefills: Vec<_> = self.replica.prefilling.drain(..ended).collect();
        for prefill in prefills {
            let Pending { index, emitted, .. } = prefill.pending;
            let (id, sample) = self.replica.samples[index as usize];
            self.replica.outcome.tokens += 1;
            self.replica.changed = true;
            if emitted + 1 >= sample.response {
                self.replica.pool.finish(sample.group, prefill.own_blocks);
                self.replica.outcome.completions.push((id, self.replica.outcome.nominal()));
                continue;
            }
            let stream = self.replica.acceptance_stream(id, emitted);
            let shared = self.final_blocks(index) - prefill.own_blocks;
            let remaining = sample.response - emitted - 1;
            self.seat(Slot::new(index, remaining, prefill.target + 1, stream, prefill.own_blocks, shared));
        }
    }

    /// Blocks in use: exact for what is shared or waits, from mean lengths for what runs.
    fn blocks_in_use(&self) -> u64 {
        let block = f64::from(self.replica.limits.block_size);
        // A sequence's last block is half full on average.
        let each = f64::from(self.replica.lookahead) / block + 0.5;
        let own = (self.context / block + each * f64::from(self.running) - self.shared as f64).max(0.0);
        let pool = &self.replica.pool;
        let prefills = self.replica.prefilling.iter();
        let ahead: u64 = prefills
            .map(|p| self.final_blocks(p.pending.index) - pool.blocks_for(p.target + self.replica.lookahead))
            .sum();
        (pool.used() - self.reserved - ahead) + own as u64
    }

    fn note_peak(&mut self) {
        let used = self.blocks_in_use().min(self.replica.limits.kv_blocks);
        self.replica.outcome.kv_peak = self.replica.outcome.kv_peak.max(used);
    }

    fn record(&mut self) {
        self.replica.changed = false;
        let point = TimelinePoint {
            seconds: self.replica.outcome.nominal(),
            running: self.running + self.replica.prefilling.len() as u32,
            waiting: self.replica.waiting.len() as u32,
            kv_blocks: self.blocks_in_use(),
        };
        self.replica.outcome.timeline.push(point);
    }
}
