//! A lower bound on the nominal seconds of a candidate's RL steps, without simulating it.
//!
//! Same samples as the first draw's. Training and log-probs are what the simulation takes for them. A rollout is bounded from
//! below with a drafter whose every token is accepted: with t tokens a round, a request of L response tokens needs at least
//! ceil((L - 1) / t) rounds (its prefill emits the first), a replica at least as many as its longest request, and the sum of
//! its batches over rounds is at least the sum over requests. A step of b sequences takes at least alpha + beta * b + sigma *
//! (total context) for any line below the prices of all batches (their lower convex hull), so a rollout takes at least
//! alpha * rounds + beta * (request rounds) + sigma * (context over request rounds). Sigma is the least slope at the mean
//! context; what is left of a price is taken at the context between the shortest prompt and the longest sequence where it is
//! least (prices are affine between knots, so at a knot), and at batches that grow by a third, at each of them the least of all
//! larger ones.
//!
//! Where generation runs ahead, a step takes at least what its trainer takes; and of generation what cannot have been done
//! before the steps that count. Left out (so the bound is low): prefill, queues, preemption, what samples wait for.

use crate::estimate::STEP_FAMILIES;
use crate::forward::Engine;
use crate::forward::training::{self, forward_flops};
use crate::piece::Shape;
use crate::resolve::Prepared;
use crate::resolved::{GroupOrder, Resolved, ScheduleInput};
use crate::rollout::assign;
use crate::workload::{Generator, LengthShift, Sample};

/// Pieces of one price that are looked at.
const MOST_PIECES: usize = 64;
/// Growth of the batches that are priced.
const GROWTH: f64 = 1.33;

/// Samples of all RL steps of the first draw, as short as any policy up to then has them, which candidates with the same workload share.
#[derive(Debug)]
pub(super) struct Lengths {
    steps: Vec<Vec<Sample>>,
}

impl Lengths {
    pub(super) fn of(resolved: &Resolved) -> Self {
        let generator = Generator::new(&resolved.workload, resolved.seed, LengthShift::default());
        Lengths { steps: (0..u64::from(resolved.rl_steps)).map(|step| generator.briefest(0, step)).collect() }
    }
}

/// Seconds of an RL step that no simulation of this run's first draw at nominal costs goes below, on average over the steps
/// that count.
pub(super) fn step_seconds(prepared: &Prepared, lengths: &Lengths) -> f64 {
    let resolved = &prepared.resolved;
    let mode = &resolved.cycle.mode;
    let n = lengths.steps.len();
    let first = (resolved.warmup_steps as usize).min(n.saturating_sub(1));
    let counted = (n - first).max(1) as f64;
    let trainer = |samples: &[Sample]| training(resolved, samples);
    if mode.feeds_back() {
        let known = mode.order == GroupOrder::InOrder && mode.filtered() == 0.0 && mode.over_sampling <= 1.0;
        if !known {
            return least_training(resolved, lengths, n - first) / counted;
        }
        let trained: f64 = lengths.steps[first..].iter().map(|samples| trainer(samples)).sum();
        // Groups that were started before the steps that count: what may be outstanding while the step before trains.
        let before = if first == 0 { 0.0 } else { first as f64 - 1.0 + mode.lead + mode.over_sampling };
        let fresh = (before.ceil() as usize).min(n);
        let all: Vec<Sample> = lengths.steps[fresh..].concat();
        let replicas = f64::from(resolved.generation.replicas);
        return trained.max(engine_seconds(prepared, &all) / replicas) / counted;
    }
    let rollout = |samples: &Vec<Sample>| {
        if !resolved.tail.is_off() {
            // A remedy for the tail deals samples otherwise, or onto other engines: nothing is said of it.
            return 0.0;
        }
        let lists = assign(samples, resolved.generation.replicas, resolved.generation.engine.router);
        let floor = Floor::of(prepared, samples, lists.iter().map(Vec::len).max().unwrap_or(1));
        lists.iter().map(|list| floor.rollout(list.iter().map(|(_, sample)| sample))).fold(0.0, f64::max)
    };
    let ahead = resolved.cycle.max_staleness as usize;
    if ahead > 0 {
        let trained: f64 = lengths.steps[first..].iter().map(|samples| trainer(samples)).sum();
        // A rollout begins once all but so many of the steps before it are trained.
        let begun = if first == 0 { 0 } else { (first + ahead).min(n) };
        let generated: f64 = lengths.steps[begun..].iter().map(rollout).sum();
        return trained.max(generated) / counted;
    }
    let cycle = &resolved.cycle;
    let reward = &resolved.reward;
    let alike = reward.servers == 1 && reward.sigma == 0.0;
    let scoring = if alike && !reward.overlapped { reward.seconds.value } else { 0.0 };
    let around = cycle.data.value
        + cycle.prepare.value
        + cycle.weight_sync.value * cycle.transfer.engine_stall
        + scoring;
    let steps = &lengths.steps[first..];
    steps.iter().map(|samples| around + rollout(samples) + trainer(samples)).sum::<f64>() / counted
}

/// Log-prob passes of an RL step.
fn logprobs(resolved: &Resolved) -> f64 {
    let training = &resolved.training;
    f64::from(u8::from(training.old_logprobs) + u8::from(training.reference_logprobs))
}

/// Seconds of training and log-probs on samples: the simulation's own.
fn training(resolved: &Resolved, samples: &[Sample]) -> f64 {
    let lengths: Vec<f64> = samples.iter().map(|s| f64::from(s.prompt + s.response)).collect();
    let (train, logprob) = training::passes(resolved);
    f64::from(resolved.training.epochs) * train.seconds(&resolved.model, &lengths)
        + logprobs(resolved) * logprob.seconds(&resolved.model, &lengths)
}

/// The least seconds of training on any batches of `steps` RL steps, of all groups that could be among them.
fn least_training(resolved: &Resolved, lengths: &Lengths, steps: usize) -> f64 {
    let mode = &resolved.cycle.mode;
    let ahead = (mode.lead + mode.over_sampling).ceil() as u64;
    let n = lengths.steps.len() as u64;
    let generator = Generator::new(&resolved.workload, resolved.seed, LengthShift::default());
    let flops = |samples: &[Sample]| -> Vec<f64> {
        let of = |s: &Sample| forward_flops(&resolved.model, f64::from(s.prompt + s.response));
        samples.chunk_by(|a, b| a.group == b.group).map(|group| group.iter().map(of).sum()).collect()
    };
    // Groups without signal are replaced by later ones, which may be any number of steps further on.
    if mode.filtered() > 0.0 {
        return 0.0;
    }
    let later: Vec<Vec<Sample>> = (n..n + ahead).map(|step| generator.briefest(0, step)).collect();
    let mut groups: Vec<f64> =
        lengths.steps.iter().chain(&later).flat_map(|samples| flops(samples)).collect();
    groups.sort_by(f64::total_cmp);
    let least: f64 = groups.iter().take(steps * resolved.workload.prompts_per_step as usize).sum();
    let gpus = f64::from(resolved.training_cluster().gpus);
    let (train, logprob) = training::passes(resolved);
    let even = |pass: training::Pass| pass.forwards * least / (gpus * pass.rate);
    f64::from(resolved.training.epochs) * even(train) + logprobs(resolved) * even(logprob)
}

/// Seconds that engines work for these samples at least, all replicas together.
fn engine_seconds(prepared: &Prepared, samples: &[Sample]) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    let seats = prepared.resolved.generation.engine.max_num_seqs as usize;
    Floor::of(prepared, samples, seats).shared(samples)
}

/// Least prices of an engine's decode steps.
struct Floor {
    /// Lines in the batch, (alpha, beta), each below every price.
    lines: Vec<(f64, f64)>,
    /// Seconds for a token of context.
    slope: f64,
    /// Tokens that a request emits in a round at most.
    tokens: f64,
    seats: f64,
}

impl Floor {
    /// For batches of up to `most` sequences and what fits the engine.
    fn of(prepared: &Prepared, samples: &[Sample], most: usize) -> Self {
        let seats = (prepared.resolved.generation.engine.max_num_seqs).min(most.max(1) as u32);
        let (engine, draft_tokens, tokens) = least_round(prepared);
        let contexts = samples.iter().map(|s| f64::from(s.prompt) + 0.5 * f64::from(s.response));
        let mean = contexts.sum::<f64>() / samples.len().max(1) as f64;
        let shortest = samples.iter().map(|s| f64::from(s.prompt)).fold(f64::INFINITY, f64::min);
        let longest = samples.iter().map(|s| f64::from(s.prompt + s.response)).fold(0.0, f64::max);
        let mut batches = vec![1_u32];
        while let Some(&last) = batches.last().filter(|last| **last < seats) {
            batches.push(((f64::from(last) * GROWTH).ceil() as u32).max(last + 1).min(seats));
        }
        let shape = |decoding: u32| Shape {
            decoding,
            draft_tokens,
            drafter_asleep: draft_tokens == 0,
            ..Shape::default()
        };
        let slope_at = |&decoding: &u32| {
            let piece = engine.piece(&shape(decoding), f64::from(decoding) * mean);
            piece.per_context_token[..STEP_FAMILIES].iter().sum::<f64>()
        };
        let slope = batches.iter().map(slope_at).fold(f64::INFINITY, f64::min).max(0.0);
        let priced: Vec<f64> = batches
            .iter()
            .map(|&decoding| {
                let n = f64::from(decoding);
                least_beside(&engine, &shape(decoding), slope, (n * shortest, n * longest))
            })
            .collect();
        // At each batch the least price of it and all larger ones, which holds until the next batch.
        let mut least = f64::INFINITY;
        let mut corners: Vec<(f64, f64)> = Vec::with_capacity(batches.len() + 1);
        for (at, fixed) in priced.iter().enumerate().rev() {
            least = least.min(*fixed);
            let until = batches.get(at + 1).map_or(seats, |next| next - 1);
            corners.push((f64::from(until), least));
        }
        corners.push((1.0, least));
        corners.reverse();
        Floor { lines: lines_below(&corners), slope, tokens, seats: f64::from(seats) }
    }

    /// Rounds of a request at least, and the context over them at least: its first round has the odd tokens.
    fn request(&self, sample: &Sample) -> (f64, f64) {
        let left = f64::from(sample.response) - 1.0;
        let rounds = (left / self.tokens).ceil();
        if rounds < 1.0 {
            return (0.0, 0.0);
        }
        let odd = left - (rounds - 1.0) * self.tokens;
        let grown = (rounds - 1.0) * odd + self.tokens * (rounds - 1.0) * (rounds - 2.0) / 2.0;
        (rounds, rounds * f64::from(sample.prompt) + grown)
    }

    /// A replica that has these samples from the start.
    fn rollout<'a>(&self, samples: impl Iterator<Item = &'a Sample>) -> f64 {
        let (mut longest, mut all, mut contexts) = (0.0_f64, 0.0, 0.0);
        for sample in samples {
            let (rounds, context) = self.request(sample);
            longest = longest.max(rounds);
            all += rounds;
            contexts += context;
        }
        self.seconds(longest.max(all / self.seats), all, contexts)
    }

    /// Replicas that share these samples over time.
    fn shared(&self, samples: &[Sample]) -> f64 {
        let sums = samples.iter().map(|sample| self.request(sample));
        let (all, contexts) = sums.fold((0.0, 0.0), |(all, contexts), (r, c)| (all + r, contexts + c));
        self.seconds(all / self.seats, all, contexts)
    }

    fn seconds(&self, rounds: f64, all: f64, contexts: f64) -> f64 {
        let batches = self.lines.iter().map(|(alpha, beta)| alpha * rounds + beta * all);
        batches.fold(0.0, f64::max) + self.slope * contexts
    }
}

/// The least of a step's seconds minus `slope` times its context, over contexts from one number to another: at an end of one
/// of the price's pieces.
fn least_beside(engine: &Engine, shape: &Shape, slope: f64, (from, to): (f64, f64)) -> f64 {
    let (mut least, mut at) = (f64::INFINITY, from);
    for _ in 0..MOST_PIECES {
        let piece = engine.piece(shape, at);
        let end = piece.context.end.min(to);
        for context in [at, end] {
            least = least.min(piece.seconds(context) - slope * context);
        }
        if piece.context.end >= to || piece.context.end <= at {
            return least;
        }
        at = piece.context.end;
    }
    // More pieces than anybody has: longer contexts cost no less than this one.
    least.min(engine.piece(shape, at).seconds(at) - slope * to)
}

/// The engine whose steps are the least, the draft tokens of its shape, and tokens that a request emits in a round at most.
fn least_round(prepared: &Prepared) -> (Engine, u32, f64) {
    let mut engine = prepared.engine.clone();
    match prepared.resolved.speculation.as_ref().map(|s| &s.schedule) {
        None => (engine, 0, 1.0),
        Some(ScheduleInput::Fixed { k }) => (engine, *k, f64::from(k + 1)),
        Some(schedule) => {
            // Whatever it picks costs more than a plain step without a drafter.
            engine.drafter = None;
            (engine, 0, f64::from(schedule.depth() + 1))
        }
    }
}

/// The level of the first corner, and the edges of the lower convex hull of corners with rising batch that do not fall below
/// zero at no batch.
fn lines_below(corners: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut hull: Vec<(f64, f64)> = Vec::new();
    for corner in corners {
        if hull.last().is_some_and(|last| corner.0 <= last.0) {
            // The same batch twice: the lower price counts.
            if let Some(last) = hull.last_mut() {
                last.1 = last.1.min(corner.1);
            }
            continue;
        }
        while let [.., a, b] = hull.as_slice() {
            let above = (b.1 - a.1) * (corner.0 - a.0) >= (corner.1 - a.1) * (b.0 - a.0);
            if !above {
                break;
            }
            hull.pop();
        }
        hull.push(*corner);
    }
    let mut lines: Vec<(f64, f64)> = hull.first().map(|first| (first.1, 0.0)).into_iter().collect();
    lines.extend(hull.windows(2).filter_map(|edge| {
        let beta = (edge[1].1 - edge[0].1) / (edge[1].0 - edge[0].0);
        let alpha = edge[0].1 - beta * edge[0].0;
        (beta >= 0.0 && alpha >= 0.0).then_some((alpha, beta))
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lie_below_all_corners() {
        let corners = [(1.0, 4.0), (2.0, 4.0), (3.0, 4.5), (8.0, 5.0), (20.0, 14.0), (64.0, 30.0)];
        let lines = lines_below(&corners);
        assert!(lines.len() >= 3, "{lines:?}");
        for (alpha, beta) in &lines {
            for (b, seconds) in corners {
                assert!(alpha + beta * b <= seconds + 1e-12, "{alpha} + {beta} * {b} above {seconds}");
            }
        }
        let touched = |b: f64| lines.iter().map(|(alpha, beta)| alpha + beta * b).fold(0.0, f64::max);
        assert!((touched(8.0) - 5.0).abs() < 1e-9 && (touched(64.0) - 30.0).abs() < 1e-9);
    }

    #[test]
    fn a_request_needs_its_rounds_and_their_context() {
        let floor = Floor { lines: vec![(1.0, 0.0)], slope: 0.0, tokens: 4.0, seats: 8.0 };
        let sample = Sample { group: 0, prompt: 10, response: 11, clipped: false };
        // Ten tokens after the first: rounds of 2, 4 and 4, at contexts of 10, 12 and 16.
        assert_eq!(floor.request(&sample), (3.0, 38.0));
        let short = Sample { response: 1, ..sample };
        assert_eq!(floor.request(&short), (0.0, 0.0));
        assert_eq!(floor.rollout([sample, short].iter()), 3.0);
    }
}
