//! Workloads that an engine might meet, with costs and schedules made up here.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rollcast::estimate::Family;
use rollcast::math::normal_quantile;
use rollcast::piece::{Doubt, Piece, Shape};
use rollcast::rng::{Purpose, Stream};
use rollcast::rollout::{Job, Limits, Outcome, run_exact, run_leap};
use rollcast::speculation::acceptance::{Population, power_law};
use rollcast::speculation::schedule::{Schedule, Snapshot};
use rollcast::speculation::{Configuration, StepCost};
use rollcast::workload::Sample;

/// Affine between knots of the mean context, continuous at them, extrapolated beyond the last.
pub(crate) struct Knotted;

impl StepCost for Knotted {
    fn piece(&self, shape: &Shape, context: f64) -> Piece {
        const KNOTS: [f64; 5] = [0.0, 250.0, 700.0, 1800.0, f64::INFINITY];
        const SLOPES: [f64; 4] = [1e-8, 6e-8, 3e-8, 9e-8];
        let tokens = shape.decoding * (shape.draft_tokens + 1) + shape.prefill_tokens;
        let mut piece = Piece::zero();
        piece.add(Family::Gemm, 5e-3 + 2e-5 * f64::from(tokens), 0.0);
        piece.add(Family::Host, 1e-3, 0.0);
        piece.per_prefill_pair = 1e-10;
        let knots = KNOTS.map(|knot| knot * f64::from(shape.decoding.max(1)));
        let at = (0..4).find(|at| context < knots[at + 1]).unwrap_or(3);
        let fixed: f64 = (0..at).map(|below| (SLOPES[below] - SLOPES[below + 1]) * knots[below + 1]).sum();
        piece.add_flagged(Family::Attention, fixed, SLOPES[at], Doubt::outside(f64::from(at == 3)));
        piece.context = knots[at]..knots[at + 1];
        piece
    }
}

/// One second an iteration.
pub(crate) struct Count;

impl StepCost for Count {
    fn piece(&self, _: &Shape, _: f64) -> Piece {
        let mut piece = Piece::zero();
        piece.add(Family::Host, 1.0, 0.0);
        piece
    }
}

/// At most so many sequences: so many draft tokens. The first row that holds decides, the last one always does.
/// Below that a tree up to one batch, and beyond a total context the last row whatever the batch.
/// Gives up on a run that asks for ever.
#[derive(Clone)]
pub(crate) struct ByBatch(Vec<(u32, u32)>, u64, u32, u64);

/// What drafts trees: 9 tokens, at most 4 accepted.
pub(crate) const TREE: Configuration = Configuration::Tree { depth: 4, top_k: 3, verify_tokens: 10 };

impl Schedule for ByBatch {
    fn decide(&mut self, snapshot: &Snapshot) -> Configuration {
        self.1 += 1;
        assert!(self.1 < 5_000_000, "the run does not end");
        if snapshot.context >= self.3 {
            return Configuration::chain(self.0.last().map_or(0, |(_, k)| *k));
        }
        if snapshot.running <= self.2 {
            return TREE;
        }
        let row = self.0.iter().find(|(most, _)| snapshot.running <= *most);
        Configuration::chain(row.or(self.0.last()).map_or(0, |(_, k)| *k))
    }

    fn max_draft_tokens(&self) -> u32 {
        let chain = self.0.iter().map(|(_, k)| *k).max().unwrap_or(0);
        if self.2 > 0 { chain.max(TREE.draft_tokens()) } else { chain }
    }

    fn trees(&self) -> Vec<Configuration> {
        if self.2 > 0 { vec![TREE] } else { Vec::new() }
    }

    fn holds_until(&self, snapshot: &Snapshot) -> f64 {
        if snapshot.context < self.3 { self.3 as f64 } else { f64::INFINITY }
    }

    fn leapable(&self) -> bool {
        true
    }
}

/// A population with up to seven draft positions; solving one takes longer than many runs.
pub(crate) fn population(concentration: f64) -> Arc<Population> {
    type Solved = Mutex<Vec<(f64, Arc<Population>)>>;
    static SOLVED: LazyLock<Solved> = LazyLock::new(Mutex::default);
    let mut solved = SOLVED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, kept)) = solved.iter().find(|(c, _)| *c == concentration) {
        return Arc::clone(kept);
    }
    let fresh = Arc::new(Population::solve(&power_law(0.776, 0.074, 7), concentration));
    solved.push((concentration, Arc::clone(&fresh)));
    fresh
}

/// Room for everything.
pub(crate) const AMPLE: Limits = Limits {
    max_num_seqs: 64,
    max_num_batched_tokens: 4096,
    block_size: 16,
    kv_blocks: 1 << 30,
    prefix_caching: false,
    prefill_alone: false,
    state_tokens: 0,
};

pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) samples: Vec<(u32, Sample)>,
    pub(crate) limits: Limits,
    pub(crate) schedule: Vec<(u32, u32)>,
    /// Of the requests' acceptance; infinite: all alike.
    pub(crate) concentration: f64,
    /// Batches up to which a tree is drafted.
    pub(crate) tree_upto: u32,
    /// Total context from which the schedule's last row holds.
    pub(crate) turns_at: u64,
}

impl Workload {
    /// K = 3, alike.
    pub(crate) fn new(name: &'static str, samples: Vec<(u32, Sample)>, limits: Limits) -> Self {
        let (schedule, concentration) = (vec![(0, 3)], f64::INFINITY);
        Workload { name, samples, limits, schedule, concentration, tree_upto: 0, turns_at: u64::MAX }
    }

    fn decider(&self) -> ByBatch {
        ByBatch(self.schedule.clone(), 0, self.tree_upto, self.turns_at)
    }

    pub(crate) fn run(&self, seed: u64, leap: bool, cost: &impl StepCost) -> Outcome {
        let population = population(self.concentration);
        let mut schedule = self.decider();
        let speculates = schedule.max_draft_tokens() > 0;
        let job = Job {
            samples: &self.samples,
            limits: self.limits,
            acceptance: speculates.then_some(&*population),
            seed,
            path: [4, 2],
            per_step: None,
        };
        if leap { run_leap(&job, cost, &mut schedule) } else { run_exact(&job, cost, &mut schedule) }
    }

    /// Rounds that each request is expected to take, were the longest chain always drafted.
    pub(crate) fn expected_rounds(&self, seed: u64) -> Vec<f64> {
        let population = population(self.concentration);
        let mut survival = vec![0.0; self.decider().max_draft_tokens() as usize];
        let rounds = self.samples.iter().map(|(id, sample)| {
            population.draw_survival(seed, &[4, 2, u64::from(*id)], &mut survival);
            f64::from(sample.response) / (1.0 + survival.iter().sum::<f64>())
        });
        rounds.collect()
    }
}

/// `count` samples in groups of `members`, lognormal about a median and cut at four times that, numbered from 10.
pub(crate) fn lognormal(
    count: u32,
    members: u32,
    prompt: u32,
    response: u32,
    sigma: f64,
) -> Vec<(u32, Sample)> {
    let draw = |purpose, entity, median: u32| {
        let z = normal_quantile(Stream::new(77, purpose, &[u64::from(entity)]).open_uniform());
        ((f64::from(median) * (sigma * z).exp()) as u32).clamp(1, 4 * median)
    };
    let sample = |i| Sample {
        group: i / members,
        prompt: draw(Purpose::PromptLength, i / members, prompt),
        response: draw(Purpose::ResponseLength, i, response),
        clipped: false,
    };
    (0..count).map(|i| (i + 10, sample(i))).collect()
}

/// Makes the responses of some samples longer.
pub(crate) fn stretch(
    mut samples: Vec<(u32, Sample)>,
    longer: impl Fn(usize) -> bool,
    factor: u32,
) -> Vec<(u32, Sample)> {
    for (at, (_, sample)) in samples.iter_mut().enumerate() {
        sample.response *= if longer(at) { factor } else { 1 };
    }
    samples
}

pub(crate) fn queue() -> Workload {
    Workload::new("queue", lognormal(240, 1, 100, 900, 0.7), AMPLE)
}

/// Waves of short and long responses: the cache runs full in the long ones alone.
pub(crate) fn preemption() -> Workload {
    let samples = stretch(lognormal(800, 1, 60, 200, 0.4), |at| at % 160 >= 120, 5);
    Workload::new("preemption", samples, Limits { max_num_seqs: 40, kv_blocks: 1500, ..AMPLE })
}

pub(crate) fn pressure_at_the_end() -> Workload {
    let samples = stretch(lognormal(200, 1, 60, 250, 0.4), |at| at >= 170, 6);
    Workload::new("pressure at the end", samples, Limits { max_num_seqs: 32, kv_blocks: 1500, ..AMPLE })
}

pub(crate) fn groups() -> Workload {
    let limits = Limits { max_num_seqs: 48, prefix_caching: true, ..AMPLE };
    Workload::new("groups", lognormal(192, 8, 300, 600, 0.6), limits)
}

pub(crate) fn groups_under_pressure() -> Workload {
    let limits = Limits { max_num_seqs: 40, kv_blocks: 1700, prefix_caching: true, ..AMPLE };
    let samples = stretch(lognormal(800, 8, 200, 150, 0.4), |at| at % 260 >= 200, 6);
    Workload::new("groups under pressure", samples, limits)
}

pub(crate) fn k_by_batch() -> Workload {
    let schedule = vec![(16, 7), (48, 3), (64, 1)];
    Workload { schedule, ..Workload::new("K by batch", lognormal(128, 1, 100, 900, 0.8), AMPLE) }
}

pub(crate) fn k_by_batch_and_spread() -> Workload {
    Workload { name: "K by batch, spread", concentration: 8.0, ..k_by_batch() }
}

pub(crate) fn trees_at_small_batch() -> Workload {
    Workload { name: "trees at small batch", tree_upto: 24, ..k_by_batch() }
}

pub(crate) fn trees_and_spread() -> Workload {
    let samples = lognormal(48, 1, 100, 900, 0.6);
    let concentration = 8.0;
    Workload { concentration, tree_upto: 64, ..Workload::new("trees, spread", samples, AMPLE) }
}

/// Few requests and long leaps, in the middle of which the context turns the decision.
pub(crate) fn k_by_context() -> Workload {
    let samples = lognormal(4, 1, 100, 6000, 0.4);
    let schedule = vec![(64, 5), (64, 1)];
    Workload { schedule, turns_at: 9_000, ..Workload::new("K by context", samples, AMPLE) }
}

pub(crate) fn off_at_large_batch() -> Workload {
    let samples = lognormal(128, 1, 100, 700, 0.8);
    Workload { schedule: vec![(48, 3), (64, 0)], ..Workload::new("off at large batch", samples, AMPLE) }
}

pub(crate) fn spread() -> Workload {
    Workload {
        concentration: 2.0,
        ..Workload::new("spread of acceptance", lognormal(64, 1, 100, 1200, 0.5), AMPLE)
    }
}

pub(crate) fn long_prompts() -> Workload {
    let limits = Limits { max_num_seqs: 32, max_num_batched_tokens: 512, ..AMPLE };
    Workload::new("long prompts", lognormal(80, 1, 1500, 400, 0.6), limits)
}

pub(crate) fn tiny() -> Workload {
    let mut samples = lognormal(1500, 1, 20, 1, 0.5);
    for (at, (_, sample)) in samples.iter_mut().enumerate() {
        sample.response = 1 + at as u32 * 7 % 20;
    }
    Workload::new("tiny lengths", samples, Limits { max_num_seqs: 32, ..AMPLE })
}

pub(crate) fn one_request() -> Workload {
    let sample = Sample { group: 0, prompt: 300, response: 9000, clipped: false };
    Workload::new("one request", vec![(10, sample)], AMPLE)
}
