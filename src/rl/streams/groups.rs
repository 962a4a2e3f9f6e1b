//! What became of every group of a stream: each is trained, thrown away, under way or being scored, exactly once.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

use super::Supply;
use crate::rollout::Evicted;
use crate::units::SimTime;
use crate::workload::Sample;

/// Where a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    UnderWay,
    /// Whole, and being scored: what filters groups waits for their rewards.
    Scoring,
    Done,
    /// In training: it counts as outstanding until the new weights are there.
    Training,
    Discarded,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    fate: Fate,
    /// Samples that have not completed.
    left: u32,
    /// Weights that its first sample started with; none before it starts.
    version: Option<usize>,
    started: SimTime,
    done: SimTime,
}

/// How many groups there were, by what became of them; they sum to `started`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ledger {
    /// Groups that were started.
    pub started: u64,
    /// Of them trained, those of the last step included.
    pub trained: u64,
    /// Thrown away: too old, over-sampled, or without signal.
    pub discarded: u64,
    /// Still under way at the end, or waiting for training.
    pub in_flight: u64,
    /// Response tokens of the trained, and of the thrown away as far as they had come.
    pub trained_tokens: u64,
    /// See `trained_tokens`.
    pub wasted_tokens: u64,
    /// Response tokens of what is in flight, as far as they have come.
    pub in_flight_tokens: u64,
    /// All response tokens that the engines have generated: the sum of the three.
    pub generated_tokens: u64,
}

#[derive(Debug)]
pub(super) struct Groups {
    /// Groups of an RL step, and samples of a group.
    prompts: usize,
    each: usize,
    all: Vec<Group>,
    samples: Vec<Sample>,
    /// Weights that each sample started with, and where it runs.
    versions: Vec<u32>,
    engines: Vec<u32>,
    /// When each sample completed.
    ends: Vec<SimTime>,
    pending: VecDeque<u32>,
    /// Groups that are neither trained nor thrown away, in the order of their start.
    open: BTreeSet<u32>,
    /// Open groups with samples to come or that are being scored.
    under_way: usize,
    /// When each group's rewards are known.
    scored: BinaryHeap<Reverse<(SimTime, u32)>>,
    /// Groups in training.
    training: usize,
    started_tokens: u64,
    /// Since the last step was taken: tokens, groups, groups without signal.
    waste: (u64, u64, u64),
    lost: bool,
    ledger: Ledger,
}

/// No replica.
const NOWHERE: u32 = u32::MAX;
/// Done.
const COMPLETED: u32 = u32::MAX - 1;

impl Groups {
    pub(super) fn new(prompts: usize, each: usize) -> Self {
        Groups {
            prompts,
            each,
            all: Vec::new(),
            samples: Vec::new(),
            versions: Vec::new(),
            engines: Vec::new(),
            ends: Vec::new(),
            pending: VecDeque::new(),
            open: BTreeSet::new(),
            under_way: 0,
            scored: BinaryHeap::new(),
            training: 0,
            started_tokens: 0,
            waste: (0, 0, 0),
            lost: false,
            ledger: Ledger::default(),
        }
    }

    fn of(&self, group: u32) -> std::ops::Range<usize> {
        let start = group as usize * self.each;
        start..start + self.each
    }

    /// Starts groups until `limit` are outstanding; the policy after `version` RL steps answers them.
    pub(super) fn start_up_to(&mut self, limit: usize, version: usize, supply: &impl Supply) {
        while self.open.len() + self.training < limit {
            let group = self.all.len();
            if self.samples.len() <= group * self.each {
                self.samples.extend(supply.samples((group / self.prompts) as u64, version));
            }
            let fresh = Group {
                fate: Fate::UnderWay,
                left: self.each as u32,
                version: None,
                started: SimTime::ZERO,
                done: SimTime::ZERO,
            };
            self.all.push(fresh);
            self.open.insert(group as u32);
            self.under_way += 1;
            self.ledger.started += 1;
            for id in self.of(group as u32) {
                self.versions.push(0);
                self.engines.push(NOWHERE);
                self.ends.push(SimTime::ZERO);
                self.pending.push_back(id as u32);
                self.started_tokens += u64::from(self.samples[id].response);
            }
            self.lost = false;
        }
    }

    pub(super) fn running(&self) -> usize {
        self.under_way
    }

    /// Whether groups without signal have left a wave short.
    pub(super) fn lost_in_wave(&self) -> bool {
        self.lost
    }

    pub(super) fn first_pending(&self) -> Option<u32> {
        self.pending.front().copied()
    }

    pub(super) fn engine_of(&self, id: u32) -> Option<usize> {
        let engine = self.engines[id as usize];
        (engine < COMPLETED).then_some(engine as usize)
    }

    /// Takes the first pending sample to a replica.
    pub(super) fn seat(&mut self, id: u32, engine: usize, version: usize, clock: f64) -> Sample {
        self.pending.pop_front();
        self.engines[id as usize] = engine as u32;
        self.versions[id as usize] = version as u32;
        let group = &mut self.all[id as usize / self.each];
        if group.version.is_none() {
            group.version = Some(version);
            group.started = SimTime::from_seconds(clock);
        }
        // Groups of different RL steps must not share prompts on a replica.
        Sample { group: id / self.each as u32, ..self.samples[id as usize] }
    }

    /// A sample has completed; whether its group has. What filters groups waits for their rewards: until then the group can
    /// neither be trained nor replaced.
    pub(super) fn complete(&mut self, id: u32, now: SimTime, supply: &impl Supply) -> bool {
        self.engines[id as usize] = COMPLETED;
        self.ends[id as usize] = now;
        let at = id as usize / self.each;
        let group = &mut self.all[at];
        group.left -= 1;
        group.done = group.done.max(now);
        if group.left > 0 {
            return false;
        }
        let seconds = supply.scoring(at as u64);
        group.done += SimTime::from_seconds(seconds);
        group.fate = Fate::Scoring;
        if seconds > 0.0 {
            self.scored.push(Reverse((group.done, at as u32)));
        } else {
            self.judge(at as u32, supply);
        }
        true
    }

    /// A group's rewards are known: it can be trained, or is thrown away.
    fn judge(&mut self, group: u32, supply: &impl Supply) {
        if supply.signal(u64::from(group)) {
            self.all[group as usize].fate = Fate::Done;
            self.under_way -= 1;
        } else {
            self.waste.2 += 1;
            self.lost = true;
            self.discard(group);
        }
    }

    /// When the next group's rewards are known.
    pub(super) fn next_scored(&self) -> Option<SimTime> {
        self.scored.peek().map(|Reverse((at, _))| *at)
    }

    /// Judges the groups whose rewards are known at `now`; whether there was any.
    pub(super) fn judge_scored(&mut self, now: SimTime, supply: &impl Supply) -> bool {
        let mut any = false;
        while let Some(Reverse((_, group))) =
            self.scored.peek().filter(|Reverse((at, _))| *at <= now).copied()
        {
            self.scored.pop();
            // It may have become too old meanwhile.
            if self.all[group as usize].fate == Fate::Scoring {
                self.judge(group, supply);
                any = true;
            }
        }
        any
    }

    /// A sample was taken off its replica.
    pub(super) fn evicted(&mut self, evicted: Evicted) {
        self.waste.0 += u64::from(evicted.emitted);
        self.ledger.wasted_tokens += u64::from(evicted.emitted);
    }

    /// Replicas that hold samples of these groups.
    pub(super) fn replicas_of(&self, groups: &[u32]) -> BTreeSet<usize> {
        groups.iter().flat_map(|g| self.of(*g)).filter_map(|id| self.engine_of(id as u32)).collect()
    }

    /// Throws a group away: its completed samples are wasted, its pending ones do not start.
    pub(super) fn discard(&mut self, group: u32) {
        let range = self.of(group);
        let entry = &mut self.all[group as usize];
        let before = std::mem::replace(&mut entry.fate, Fate::Discarded);
        if matches!(before, Fate::UnderWay | Fate::Scoring) {
            self.under_way -= 1;
        }
        if before == Fate::UnderWay {
            let (start, end) = (range.start as u32, range.end as u32);
            self.pending.retain(|id| !(start..end).contains(id));
        }
        let completed = range.filter(|id| self.engines[*id] == COMPLETED);
        let tokens: u64 = completed.map(|id| u64::from(self.samples[id].response)).sum();
        self.waste.0 += tokens;
        self.waste.1 += 1;
        self.ledger.wasted_tokens += tokens;
        self.ledger.discarded += 1;
        self.open.remove(&group);
    }

    /// Open groups whose weights are older than those of a version, rising.
    pub(super) fn older_than(&self, version: usize) -> Vec<u32> {
        let old = |group: &u32| self.all[*group as usize].version.is_some_and(|v| v < version);
        self.open.iter().copied().filter(old).collect()
    }

    /// Open groups that are not whole, rising.
    pub(super) fn unfinished(&self) -> Vec<u32> {
        self.open.iter().copied().filter(|g| self.all[*g as usize].fate == Fate::UnderWay).collect()
    }

    /// How many of the oldest groups the next batch must hold, so that none exceeds the bound later: of the groups that are
    /// due within j steps more, j batches' worth may wait.
    pub(super) fn due(&self, version: usize, bound: usize) -> usize {
        let mut by_slack = vec![0_usize; bound + 1];
        for group in &self.open {
            if let Some(started) = self.all[*group as usize].version {
                by_slack[(started + bound).saturating_sub(version).min(bound)] += 1;
            }
        }
        let mut sum = 0;
        let required = by_slack.iter().enumerate().map(|(slack, count)| {
            sum += count;
            sum.saturating_sub(slack * self.prompts)
        });
        required.max().unwrap_or(0).min(self.prompts)
    }

    /// The first `n` open groups by start, where all are done.
    pub(super) fn first_started(&self, n: usize) -> Option<Vec<u32>> {
        let first = self.open.iter().copied().take(n);
        let done: Vec<u32> = first.filter(|g| self.all[*g as usize].fate == Fate::Done).collect();
        (done.len() == n).then_some(done)
    }

    /// The `due` oldest groups, which must be done, and others that were done first (or are oldest) at the earliest time
    /// from `now` on at which there are `n`.
    pub(super) fn first_done(&self, n: usize, due: usize, now: SimTime, oldest: bool) -> Option<Vec<u32>> {
        let version = |g: &u32| self.all[*g as usize].version.unwrap_or(usize::MAX);
        let mut open: Vec<u32> = self.open.iter().copied().collect();
        open.sort_by_key(|g| (version(g), *g));
        let (must, rest) = open.split_at(due.min(open.len()));
        if must.iter().any(|g| self.all[*g as usize].fate != Fate::Done) {
            return None;
        }
        let mut chosen = must.to_vec();
        let mut rest: Vec<u32> =
            rest.iter().copied().filter(|g| self.all[*g as usize].fate == Fate::Done).collect();
        let missing = n - chosen.len();
        if rest.len() < missing {
            return None;
        }
        let done = |g: &u32| (self.all[*g as usize].done, *g);
        rest.sort_by_key(done);
        if oldest && missing > 0 {
            let whole = now.max(done(&rest[missing - 1]).0).max(self.last_done(&chosen));
            rest.retain(|g| done(g).0 <= whole);
            rest.sort_by_key(|g| (version(g), *g));
        }
        chosen.extend(&rest[..missing]);
        Some(chosen)
    }

    pub(super) fn last_done(&self, groups: &[u32]) -> SimTime {
        groups.iter().map(|g| self.all[*g as usize].done).max().unwrap_or(SimTime::ZERO)
    }

    pub(super) fn first_started_at(&self, groups: &[u32]) -> SimTime {
        groups.iter().map(|g| self.all[*g as usize].started).min().unwrap_or(SimTime::ZERO)
    }

    /// Takes groups to training: their samples, how far each lags behind `version`, and when each completed.
    pub(super) fn train(&mut self, groups: &[u32], version: usize) -> (Vec<Sample>, Vec<u32>, Vec<SimTime>) {
        let (mut samples, mut staleness, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        let mut in_order = groups.to_vec();
        in_order.sort_unstable();
        for group in in_order {
            self.all[group as usize].fate = Fate::Training;
            self.open.remove(&group);
            for id in self.of(group) {
                samples.push(self.samples[id]);
                ends.push(self.ends[id]);
                staleness.push((version as u32).saturating_sub(self.versions[id]));
                self.ledger.trained_tokens += u64::from(self.samples[id].response);
            }
        }
        self.training = groups.len();
        self.ledger.trained += groups.len() as u64;
        (samples, staleness, ends)
    }

    /// What was in training is no longer outstanding.
    pub(super) fn forget_trained(&mut self) {
        self.training = 0;
    }

    pub(super) fn take_waste(&mut self) -> (u64, u64, u64) {
        std::mem::take(&mut self.waste)
    }

    pub(super) fn mean_started(&self) -> f64 {
        self.started_tokens as f64 / (self.all.len() * self.each).max(1) as f64
    }

    pub(super) fn ledger(&self) -> Ledger {
        let of_open = self.open.iter().flat_map(|group| self.of(*group));
        let completed = of_open.filter(|id| self.engines[*id] == COMPLETED);
        let in_flight_tokens = completed.map(|id| u64::from(self.samples[id].response)).sum();
        Ledger { in_flight: self.open.len() as u64, in_flight_tokens, ..self.ledger }
    }
}
