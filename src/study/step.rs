//! One engine step or one operator, priced with its error: what `rollcast cost` shows.
//!
//! The median is the nominal time; the band comes from the same calibration worlds as a forecast's. Each operator's
//! own band is its family's spread.

use serde::Serialize;

use super::worlds::{self, Z95};
use crate::estimate::{Confidence, FAMILIES, Family, Tier};
use crate::forward::Engine;
use crate::forward::memory::Demand;
use crate::math::quantile_sorted;
use crate::piece::{Bound, Doubt, Extrapolated, Shape};
use crate::resolve::Prepared;
use crate::scenario::raw::{CountOrZero, EngineStep};
use crate::units::Bytes;

/// Worlds behind a band.
const WORLDS: u32 = 512;

/// A time with its band.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Band {
    /// Nominal.
    pub median: f64,
    /// 5 % quantile.
    pub p05: f64,
    /// 95 % quantile.
    pub p95: f64,
}

/// The part of one operator, over all layers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperatorCost {
    /// What runs.
    pub operator: &'static str,
    /// Its family.
    pub family: Family,
    /// Nominal seconds.
    pub seconds: f64,
    /// Share of the step.
    pub share: f64,
    /// What limits it.
    pub bound: Bound,
    /// What it rests on.
    pub tier: Tier,
    /// Standard deviation of the logarithm.
    pub log_sigma: f64,
    /// Of its seconds, those beyond the range that its constants were fitted on.
    pub extrapolated_s: f64,
}

/// The cost of one step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepReport {
    /// What was priced, for people.
    pub label: String,
    /// The whole step.
    pub seconds: Band,
    /// Its operators, dearest first.
    pub by_op: Vec<OperatorCost>,
    /// What limits most of it.
    pub bound: Bound,
    /// What most of it rests on.
    pub tier: Tier,
    /// Whether any operator is beyond its fitted range.
    pub extrapolated: bool,
    /// Nominal seconds of operators beyond their fitted range.
    pub extrapolated_s: f64,
    /// Why no engine may run such a step: its weights or its context do not fit.
    pub warnings: Vec<String>,
}

impl StepReport {
    /// Leaves one operator: its own seconds and spread.
    pub fn keep(&mut self, operator: &str) {
        self.by_op.retain(|line| line.operator == operator);
        let sum: f64 = self.by_op.iter().map(|line| line.seconds).sum();
        // An operator of two families (there is none yet) would have the wider spread.
        let sigma = self.by_op.iter().map(|line| line.log_sigma).fold(0.0, f64::max);
        self.seconds =
            Band { median: sum, p05: sum * libm::exp(-Z95 * sigma), p95: sum * libm::exp(Z95 * sigma) };
        self.label = format!("{operator}: {}", self.label);
        self.bound = heaviest(&self.by_op, |line| line.bound).unwrap_or(self.bound);
        self.tier = heaviest(&self.by_op, |line| line.tier).unwrap_or(self.tier);
        self.extrapolated_s = self.by_op.iter().map(|line| line.extrapolated_s).sum();
        self.extrapolated = self.extrapolated_s > 0.0;
        for line in &mut self.by_op {
            line.share = line.seconds / sum;
        }
    }
}

/// What is asked of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepQuestion {
    /// Sequences of a replica that decode.
    pub batch: u32,
    /// Tokens of context of each.
    pub context: f64,
    /// Draft tokens; 0: plain decoding.
    pub draft_tokens: u32,
    /// Prompt tokens prefilled beside them.
    pub prefill_tokens: u32,
}

impl StepQuestion {
    /// The question of a scenario that describes one step.
    pub fn of(step: &EngineStep) -> Self {
        let or_zero = |n: Option<CountOrZero>| n.map_or(0, |n| n.get() as u32);
        StepQuestion {
            batch: step.batch.map_or(1, |n| n.get() as u32),
            context: step.context.map_or(2048.0, |n| n.get() as f64),
            draft_tokens: or_zero(step.draft_tokens),
            prefill_tokens: or_zero(step.prefill_tokens),
        }
    }
}

/// Prices one step of a prepared run's engine.
pub fn step(prepared: &Prepared, question: &StepQuestion) -> StepReport {
    let shape = Shape {
        decoding: question.batch,
        draft_tokens: question.draft_tokens,
        prefill_tokens: question.prefill_tokens,
        prefill_pairs: u64::from(question.prefill_tokens) * u64::from(question.prefill_tokens + 1) / 2,
        prefill_ends: u32::from(question.prefill_tokens > 0),
        ..Shape::default()
    };
    let total = question.context * f64::from(question.batch);
    // A step that is asked about by itself has its sequences evenly on its ranks.
    let engine = Engine { dealt: 0, ..prepared.engine.clone() };
    let piece = engine.itemised(&shape, total);
    let pairs = shape.prefill_pairs as f64 * piece.per_prefill_pair;
    let mut families = [0.0; FAMILIES];
    let mut by_op: Vec<OperatorCost> = Vec::new();
    let mut add = |operator, family: Family, seconds: f64, bound, doubt: Doubt| {
        families[family as usize] += seconds;
        let Confidence { log_sigma, tier } = prepared.confidence[family as usize];
        let extrapolated_s = if doubt.outside { seconds } else { 0.0 };
        match by_op.iter_mut().find(|line| line.operator == operator && line.family == family) {
            Some(line) => {
                line.seconds += seconds;
                line.extrapolated_s += extrapolated_s;
            }
            None => by_op.push(OperatorCost {
                operator,
                family,
                seconds,
                share: 0.0,
                bound,
                tier,
                log_sigma,
                extrapolated_s,
            }),
        }
    };
    for (line, doubt) in piece.lines.iter().flatten() {
        let seconds = line.fixed + total * line.per_context_token;
        add(line.operator, line.family, seconds, line.bound, *doubt);
    }
    if pairs > 0.0 {
        add("prefill attention", Family::Attention, pairs, Bound::Compute, Doubt::NONE);
    }
    // What this layout has no part in (an all-reduce over one GPU) is no operator of the step.
    by_op.retain(|line| line.seconds != 0.0);
    let nominal: f64 = families.iter().sum();
    for line in &mut by_op {
        line.share = line.seconds / nominal;
    }
    by_op.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let extrapolated = piece.extrapolated_in(1.0, total);
    StepReport {
        label: label(prepared, question),
        seconds: band(&families, nominal, extrapolated, prepared),
        bound: heaviest(&by_op, |line| line.bound).unwrap_or(Bound::Latency),
        tier: heaviest(&by_op, |line| line.tier).unwrap_or(Tier::Analytic),
        by_op,
        extrapolated: extrapolated.seconds > 0.0,
        extrapolated_s: extrapolated.seconds,
        warnings: warnings(prepared, question),
    }
}

/// Whether a GPU has room for the weights and for the step's context. A step is priced all the same: the prices of a
/// layout that does not fit are how one sees what it would bring.
fn warnings(prepared: &Prepared, question: &StepQuestion) -> Vec<String> {
    let resolved = &prepared.resolved;
    let (generation, device) = (&resolved.generation, &resolved.cluster.device);
    let states = prepared.engine.linear_states;
    let demand = Demand {
        model: &resolved.model,
        weights: generation.weights,
        kv_cache: generation.kv_cache,
        layout: generation.layout,
        drafter: resolved.speculation.as_ref().map(|s| (&s.drafter, s.weights, s.tp)),
        max_num_batched_tokens: 0,
        max_logit_rows: 0,
        states: states.count(question.draft_tokens),
        state_ratio: None,
        context: question.context,
        activations_beside: false,
        reserved_gib: 0.0,
    };
    let plan = demand.plan(device, 1.0);
    let context =
        question.context * f64::from(question.batch) / f64::from(generation.layout.attention_ranks());
    let sequences = f64::from(question.batch) / f64::from(generation.layout.attention_ranks());
    let cache = Bytes(context * plan.kv_per_token + sequences * plan.states_per_sequence);
    let mut warnings = Vec::new();
    if plan.kv.0 < cache.0 {
        let weights = Bytes(plan.weights.0 + plan.drafter.0);
        warnings.push(format!(
            "does not fit: {weights} of weights and {cache} of cache on each GPU; {} has {} GiB",
            device.id, device.memory_gib
        ));
    }
    let longest = f64::from(resolved.model.max_positions);
    if question.context > longest {
        warnings.push(format!("beyond the {longest} positions of {}", resolved.model.id));
    }
    warnings
}

fn label(prepared: &Prepared, question: &StepQuestion) -> String {
    let resolved = &prepared.resolved;
    let what = match (question.draft_tokens, question.prefill_tokens) {
        (0, 0) => "decode".to_owned(),
        (k, 0) => format!("draft round and verification, K={k}"),
        (0, p) => format!("decode beside {p} prompt tokens"),
        (k, p) => format!("draft round and verification, K={k}, beside {p} prompt tokens"),
    };
    format!(
        "{} on {} ({} GPUs a replica), {what}, batch {}, context {:.0}",
        resolved.model.id,
        resolved.cluster.device.id,
        resolved.generation.layout.gpus(),
        question.batch,
        question.context
    )
}

fn band(families: &[f64; FAMILIES], nominal: f64, extrapolated: Extrapolated, prepared: &Prepared) -> Band {
    let sigma = prepared.engine.kernels.profile().form.extrapolation_sigma;
    let mut samples: Vec<f64> = worlds::normals(prepared.resolved.seed, WORLDS)
        .iter()
        .zip(worlds::beyond(prepared.resolved.seed, WORLDS))
        .map(|(z, x)| {
            let world = worlds::multipliers(z, &prepared.confidence);
            let beyond = extrapolated.excess(sigma * x);
            families.iter().zip(&world).map(|(seconds, multiplier)| seconds * multiplier).sum::<f64>()
                + beyond
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    Band { median: nominal, p05: quantile_sorted(&samples, 0.05), p95: quantile_sorted(&samples, 0.95) }
}

/// What most of the seconds have in common.
fn heaviest<T: Copy + Ord>(lines: &[OperatorCost], key: fn(&OperatorCost) -> T) -> Option<T> {
    let mut sums: Vec<(T, f64)> = Vec::new();
    for line in lines {
        let kind = key(line);
        match sums.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, sum)) => *sum += line.seconds,
            None => sums.push((kind, line.seconds)),
        }
    }
    sums.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(kind, _)| kind)
}
