//! The generating side where samples come and go one by one: replicas in time, prompts that start as others finish.
//!
//! Prompts may be under way up to (lead + over-sampling) RL steps' worth, those in training included: AReaL's rule, submitted <
//! (lead + version + 1) · N, written as what is outstanding. A group has the version of the weights that its first sample
//! started with, and is trained at most `max_staleness` RL steps later: training waits for groups that would come too late
//! (earliest deadline first), or they are thrown away. Time is kept conservatively: no replica runs further ahead of the others
//! than the quickest step so far took to be trained, before which a finished batch changes nothing.
//!
//! Leaves out: what a router knows of lengths; samples that move between replicas; training that starts before its batch
//! is whole.

mod groups;

use super::machine::{Generator, Ready};
use crate::resolved::{GroupOrder, Interruption, LoopMode, Router};
use crate::rollout::{Live, Outcome};
use crate::speculation::StepCost;
use crate::speculation::acceptance::Population;
use crate::units::SimTime;
use crate::workload::Sample;
use groups::Groups;
pub use groups::Ledger;

/// What a stream is made of.
pub trait Supply {
    /// The samples of an RL step's prompts, group by group, as weights after so many RL steps answer them.
    fn samples(&self, rl_step: u64, version: usize) -> Vec<Sample>;
    /// What drafts are accepted of weights after so many RL steps.
    fn population(&self, version: usize) -> Option<&Population>;
    /// What a schedule that knows the acceptance takes it for under these weights: conditional rates by position.
    fn believed(&self, version: usize) -> Vec<f64>;
    /// Whether a group is one that can be trained.
    fn signal(&self, group: u64) -> bool;
    /// Seconds from a group's last token until that is known; 0 where nobody asks.
    fn scoring(&self, group: u64) -> f64;
    /// What follows the generation of these samples, which completed at `ends`.
    fn stages(&self, rl_step: u64, trained: &[Sample], ends: &[SimTime]) -> Behind;
}

/// What follows the generation of an RL step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Behind {
    /// Seconds of reward (what is left when the last sample has come), log-probs (old, reference) and training.
    pub stages: [f64; 4],
    /// Seconds that scoring keeps the reward's servers busy.
    pub scoring: f64,
}

/// Fixed numbers of a stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// How generation and training take turns.
    pub mode: LoopMode,
    /// RL steps that a trained sample's weights may lag.
    pub max_staleness: usize,
    /// Prompts that an RL step trains.
    pub prompts: usize,
    /// Samples of each.
    pub samples_per_prompt: usize,
    /// Sequences that an engine holds.
    pub seats: u32,
    /// How samples are spread.
    pub router: Router,
    /// Seconds of data loading.
    pub data: f64,
    /// Seconds of new weights at the engines.
    pub load: f64,
    /// Seconds of handing them over at the trainer.
    pub hand_over: f64,
    /// Whether trainer and engines hand weights over together.
    pub rendezvous: bool,
}

/// One trained RL step, beside its stages in time.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The trained samples.
    pub samples: Vec<Sample>,
    /// RL steps that each sample's weights lagged.
    pub staleness: Vec<u32>,
    /// What each replica did since the step before was taken.
    pub replicas: Vec<Outcome>,
    /// Response tokens that were thrown away since then.
    pub wasted_tokens: u64,
    /// Groups that were thrown away since then.
    pub wasted_groups: u64,
    /// Of them those without signal.
    pub filtered_groups: u64,
    /// Mean response of all samples that were started so far, tokens.
    pub mean_started: f64,
    /// Seconds of the stages behind generation.
    pub stages: [f64; 4],
}

/// Live replicas and the groups on them.
pub struct Streams<'a, C, S> {
    settings: Settings,
    cost: &'a C,
    supply: &'a S,
    engines: Vec<Live>,
    groups: Groups,
    /// RL steps that are trained, and the weights that the engines have.
    version: usize,
    served: usize,
    /// From when until when the engines loaded weights last; whether they wait for running requests before they load.
    loaded: (SimTime, SimTime),
    draining: bool,
    /// Whether training has the GPUs.
    held: bool,
    /// Seconds that a replica may run ahead of the others.
    lookahead: f64,
    completed: Vec<u32>,
    trained: Vec<Trained>,
}

impl<'a, C: StepCost, S: Supply> Streams<'a, C, S> {
    /// Empty replicas at time 0.
    pub fn new(settings: Settings, engines: Vec<Live>, cost: &'a C, supply: &'a S) -> Self {
        Streams {
            settings,
            cost,
            supply,
            engines,
            groups: Groups::new(settings.prompts, settings.samples_per_prompt),
            version: 0,
            served: 0,
            loaded: (SimTime::ZERO, SimTime::ZERO),
            draining: false,
            held: false,
            lookahead: 1.0,
            completed: Vec::new(),
            trained: Vec::new(),
        }
    }

    /// The trained steps, and what became of every group.
    pub fn finish(self) -> (Vec<Trained>, Ledger) {
        let mut ledger = self.groups.ledger();
        for (generated, held) in self.engines.iter().map(Live::tokens) {
            ledger.generated_tokens += generated;
            ledger.in_flight_tokens += held;
        }
        (self.trained, ledger)
    }

    /// Starts what may be started, and seats what there is room for.
    fn submit(&mut self, now: f64) {
        if self.held || self.draining {
            return;
        }
        let mode = &self.settings.mode;
        let limit = ((mode.lead + mode.over_sampling) * self.settings.prompts as f64).floor() as usize;
        let wave_runs = mode.waves && self.groups.lost_in_wave() && self.groups.running() > 0;
        if !wave_runs {
            self.groups.start_up_to(limit, self.version, self.supply);
        }
        let most = mode.max_concurrent.unwrap_or(u32::MAX);
        // Where nothing runs ahead a step's prompts are dealt together, as in loops of batches, and queue at their engines.
        let at_once = mode.lead == 0.0 && mode.max_concurrent.is_none();
        let mut under_way: u32 = self.engines.iter().map(Live::holds).sum();
        let mut home = None;
        while under_way < most
            && let Some(id) = self.groups.first_pending()
        {
            let affine = self.settings.router == Router::GroupAffinity;
            let first = (id as usize).is_multiple_of(self.settings.samples_per_prompt);
            let sibling = if affine && !first { self.groups.engine_of(id - 1).or(home) } else { None };
            let at = sibling.unwrap_or_else(|| least(&self.engines));
            if !at_once && sibling.is_none() && self.engines[at].holds() >= self.settings.seats {
                break;
            }
            home = Some(at);
            let engine = &mut self.engines[at];
            if engine.holds() == 0 {
                engine.idle_until(now);
            }
            let sample = self.groups.seat(id, at, self.served, engine.clock());
            engine.submit(id, sample, self.supply.population(self.served));
            under_way += 1;
        }
    }

    /// New weights reach the engines from `now` on.
    fn load(&mut self, now: f64, seconds: f64) {
        let until = now + seconds;
        let believed = self.supply.believed(self.version);
        for engine in &mut self.engines {
            engine.know(&believed);
            if engine.holds() == 0 {
                engine.idle_until(until);
            } else {
                engine.stall(seconds);
                if self.settings.mode.interruption == Interruption::RecomputeKv && !self.held {
                    engine.recompute_cache(self.cost);
                }
            }
        }
        self.served = self.version;
        self.loaded = (SimTime::from_seconds(now), SimTime::from_seconds(until));
    }

    /// Throws groups away that have become too old.
    fn drop_stale(&mut self) {
        let Some(oldest) = self.version.checked_sub(self.settings.max_staleness) else { return };
        let stale = self.groups.older_than(oldest);
        self.abort(&stale);
    }

    fn abort(&mut self, chosen: &[u32]) {
        if chosen.is_empty() {
            return;
        }
        let n = self.settings.samples_per_prompt as u32;
        for at in self.groups.replicas_of(chosen) {
            for evicted in self.engines[at].abort(|id| chosen.binary_search(&(id / n)).is_ok()) {
                self.groups.evicted(evicted);
            }
        }
        for group in chosen {
            self.groups.discard(*group);
        }
    }

    /// Whether what over-sampling leaves unfinished is thrown away.
    fn discards_rest(&self) -> bool {
        let mode = &self.settings.mode;
        mode.over_sampling > 1.0 && mode.lead == 0.0 && !mode.partial_rollouts
    }

    /// The groups of a batch, and when it is whole; none while it is not, or while a replica might still change it.
    fn batch(&self, now: SimTime) -> Option<(Vec<u32>, SimTime)> {
        let n = self.settings.prompts;
        let chosen = match self.settings.mode.order {
            GroupOrder::InOrder => self.groups.first_started(n)?,
            order => {
                // What is thrown away need not come in time.
                let due = if self.settings.mode.drop_stale || self.discards_rest() {
                    0
                } else {
                    self.groups.due(self.version, self.settings.max_staleness)
                };
                self.groups.first_done(n, due, now, order == GroupOrder::OldestFirst)?
            }
        };
        let end = self.groups.last_done(&chosen);
        let certain = self.next().unwrap_or(SimTime::from_ns(u64::MAX));
        (end.max(now) <= certain.max(now)).then_some((chosen, end))
    }
}

/// The replica that holds the fewest samples, the first of them.
fn least(engines: &[Live]) -> usize {
    (0..engines.len()).min_by_key(|at| engines[*at].holds()).unwrap_or(0)
}

impl<C: StepCost, S: Supply> Generator for Streams<'_, C, S> {
    fn publish(&mut self, now: SimTime, version: usize) {
        let settings = self.settings;
        self.version = version;
        self.groups.forget_trained();
        self.groups.judge_scored(now, self.supply);
        self.drop_stale();
        let at = now.seconds();
        if version == 0 || settings.mode.lead == 0.0 {
            // Nothing runs ahead: data, then weights, then prompts.
            if !settings.mode.split {
                self.held = false;
            }
            let idle = at + settings.data;
            for engine in &mut self.engines {
                engine.idle_until(idle);
            }
            self.load(idle, settings.load);
        } else if settings.mode.interruption == Interruption::Off
            && self.engines.iter().any(|engine| engine.holds() > 0)
        {
            self.draining = true;
        } else {
            self.held = false;
            self.load(at, settings.load);
        }
        self.submit(at);
    }

    fn next(&self) -> Option<SimTime> {
        if self.held {
            return None;
        }
        let clocks = self.engines.iter().filter(|engine| engine.holds() > 0).map(Live::clock);
        let first = clocks.fold(f64::INFINITY, f64::min);
        let first = first.is_finite().then(|| SimTime::from_seconds(first));
        first.into_iter().chain(self.groups.next_scored()).min()
    }

    fn advance(&mut self, until: SimTime) {
        if let Some(scored) = self.groups.next_scored().filter(|scored| self.next() == Some(*scored)) {
            self.groups.judge_scored(scored, self.supply);
            self.submit(scored.seconds());
            return;
        }
        let busy = (0..self.engines.len()).filter(|at| self.engines[*at].holds() > 0);
        let Some(at) = busy.min_by(|a, b| self.engines[*a].clock().total_cmp(&self.engines[*b].clock()))
        else {
            return;
        };
        let engine = &mut self.engines[at];
        // What is scored meanwhile changes what is started.
        let scored = self.groups.next_scored().map_or(f64::INFINITY, SimTime::seconds);
        let limit = (engine.clock() + self.lookahead).min(until.seconds()).min(scored);
        // Rounding to the clock's ticks must not stand still.
        engine.run_until(limit.max(engine.clock() + 1e-9), self.cost, &mut self.completed);
        let clock = engine.clock();
        let mut changed = false;
        for id in self.completed.drain(..) {
            changed |= self.groups.complete(id, SimTime::from_seconds(clock), self.supply);
        }
        changed |= self.groups.judge_scored(SimTime::from_seconds(clock), self.supply);
        let seats = engine.holds() < self.settings.seats;
        if self.draining && self.engines.iter().all(|engine| engine.holds() == 0) {
            let last = self.engines.iter().map(Live::clock).fold(0.0, f64::max);
            self.draining = false;
            self.load(last, self.settings.load);
            self.submit(last);
        } else if changed || seats {
            self.submit(clock);
        }
    }

    fn take(&mut self, now: SimTime, step: usize) -> Option<Ready> {
        let (chosen, end) = self.batch(now)?;
        let (samples, staleness, ends) = self.groups.train(&chosen, self.version);
        let Behind { stages, scoring } = self.supply.stages(step as u64, &samples, &ends);
        // Weights may come back as soon as the shortest step so far was trained.
        let soonest = stages[1..].iter().sum::<f64>().max(0.05);
        self.lookahead = if self.trained.is_empty() { soonest } else { self.lookahead.min(soonest) };
        let first = self.groups.first_started_at(&chosen);
        let before = SimTime::from_seconds(self.settings.data);
        let loading = SimTime::from_seconds(self.settings.load);
        let prepare = if step == 0 {
            (before, before + loading)
        } else {
            (self.loaded.1.since(loading), self.loaded.1)
        };
        let data_start = prepare.0.since(before);
        let data = if self.settings.mode.lead == 0.0 || step == 0 {
            (data_start, prepare.0)
        } else {
            (data_start, data_start)
        };
        // Where nothing runs ahead, or groups are filtered, engines generate (or wait for rewards) from their weights on, though
        // the first samples may be thrown away.
        let thrown_away = self.settings.mode.lead == 0.0 || self.settings.mode.filtered() > 0.0;
        let start = if thrown_away { first.min(prepare.1) } else { first };
        if !self.settings.mode.split {
            self.held = true;
            if self.settings.mode.partial_rollouts {
                for engine in &mut self.engines {
                    engine.flush();
                }
            }
        }
        if self.discards_rest() {
            let rest = self.groups.unfinished();
            self.abort(&rest);
        }
        let most = staleness.iter().copied().max().unwrap_or(0);
        let mean = staleness.iter().map(|lag| f64::from(*lag)).sum::<f64>() / staleness.len().max(1) as f64;
        let (wasted_tokens, wasted_groups, filtered_groups) = self.groups.take_waste();
        self.trained.push(Trained {
            samples,
            staleness,
            replicas: self.engines.iter_mut().map(Live::count).collect(),
            wasted_tokens,
            wasted_groups,
            filtered_groups,
            mean_started: self.groups.mean_started(),
            stages,
        });
        let spans = [data, prepare, (start, end)];
        Some(Ready { spans, stages, scoring, replica_ends: Vec::new(), lag: (mean, most) })
    }

    fn handed_over(&self, published: SimTime) -> Option<(SimTime, SimTime)> {
        if !self.settings.mode.split || self.settings.hand_over <= 0.0 {
            return Some((published, published));
        }
        if self.settings.rendezvous {
            return (!self.draining).then_some(self.loaded);
        }
        Some((published, published + SimTime::from_seconds(self.settings.hand_over)))
    }
}
