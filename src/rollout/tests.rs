//! Behaviour of one replica, with costs and schedules made up here.

use std::sync::{LazyLock, Mutex, PoisonError};

use proptest::prelude::*;

use super::{Job, Limits, Outcome, run_exact};
use crate::estimate::{FAMILIES, Family};
use crate::piece::{Doubt, Piece, Shape};
use crate::rng::{Purpose, Stream};
use crate::speculation::acceptance::{Population, power_law};
use crate::speculation::schedule::{Fixed, Observation, Schedule, Snapshot};
use crate::speculation::solver::CatchUp;
use crate::speculation::{Configuration, StepCost};
use crate::workload::Sample;

const FIXED: f64 = 5e-3;
const PER_TOKEN: f64 = 1e-5;
const PER_PAIR: f64 = 1e-9;
const PER_CONTEXT: f64 = 3e-8;

/// Affine in everything, and remembers every step. Its pieces hold nowhere, so that each step asks anew.
#[derive(Default)]
struct Recorder {
    steps: Mutex<Vec<(Shape, u64)>>,
}

impl Recorder {
    fn steps(self) -> Vec<(Shape, u64)> {
        self.steps.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StepCost for Recorder {
    fn piece(&self, shape: &Shape, context: f64) -> Piece {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).push((*shape, context as u64));
        let mut piece = Affine.piece(shape, context);
        piece.context = 0.0..0.0;
        piece
    }
}

/// Affine in everything, in one piece.
struct Affine;

impl StepCost for Affine {
    fn piece(&self, shape: &Shape, _: f64) -> Piece {
        let mut piece = Piece::zero();
        let tokens = shape.decoding * (shape.draft_tokens + 1) + shape.prefill_tokens;
        piece.add(Family::Gemm, PER_TOKEN * f64::from(tokens), 0.0);
        piece.add(Family::Attention, 0.0, PER_CONTEXT);
        piece.per_prefill_pair = PER_PAIR;
        piece.add(Family::Host, FIXED, 0.0);
        piece
    }
}

/// Room for everything.
const AMPLE: Limits = Limits {
    max_num_seqs: 64,
    max_num_batched_tokens: 4096,
    block_size: 16,
    kv_blocks: 1 << 30,
    prefix_caching: false,
};

/// Samples as (group, prompt, response), numbered from 10 so that numbers are not taken for positions.
fn samples(of: &[(u32, u32, u32)]) -> Vec<(u32, Sample)> {
    let sample = |&(group, prompt, response)| Sample { group, prompt, response, clipped: false };
    (10..).zip(of.iter().map(sample)).collect()
}

fn job<'a>(samples: &'a [(u32, Sample)], limits: Limits, acceptance: Option<&'a Population>) -> Job<'a> {
    Job { samples, limits, acceptance, seed: 3, path: [1, 2], per_step: None }
}

fn run(job: &Job<'_>, k: u32) -> Outcome {
    run_exact(job, &Affine, &mut Fixed(Configuration::chain(k)))
}

fn run_recorded(job: &Job<'_>, k: u32) -> (Outcome, Vec<(Shape, u64)>) {
    let cost = Recorder::default();
    let outcome = run_exact(job, &cost, &mut Fixed(Configuration::chain(k)));
    (outcome, cost.steps())
}

/// A population with so many draft positions, solved once: it takes longer than most runs here.
fn population(positions: usize) -> &'static Population {
    static SOLVED: LazyLock<Vec<Population>> =
        LazyLock::new(|| (0..=8).map(|k| Population::solve(&power_law(0.776, 0.074, k), 12.0)).collect());
    &SOLVED[positions]
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// Lengths from 1 to a few hundred tokens in groups of 3, without order.
fn mixed_samples(count: u32) -> Vec<(u32, Sample)> {
    let of: Vec<_> = (0..count).map(|i| (i / 3, 1 + i / 3 * 37 % 90, 1 + i * 61 % 257)).collect();
    samples(&of)
}

#[test]
fn one_request_costs_its_closed_form() {
    let samples = samples(&[(0, 1000, 500)]);
    let limits = Limits { max_num_batched_tokens: 256, ..AMPLE };
    let (outcome, steps) = run_recorded(&job(&samples, limits, None), 0);

    let chunks: Vec<u32> = steps.iter().map(|(shape, _)| shape.prefill_tokens).take(5).collect();
    assert_eq!(chunks, [256, 256, 256, 232, 0]);
    let pairs: u64 = steps.iter().map(|(shape, _)| shape.prefill_pairs).sum();
    assert_eq!(pairs, 1000 * 1001 / 2);
    // The prefill gives the first token, each of 499 decodes one more.
    assert_eq!((outcome.steps, outcome.tokens, outcome.prefilled), (4 + 499, 500, 1000));
    assert_eq!((outcome.rounds, outcome.preemptions), (0, 0));
    let context: f64 = (1..500).map(|emitted| 1000.0 + f64::from(emitted)).sum();
    let seconds = 503.0 * FIXED + 1499.0 * PER_TOKEN + 500_500.0 * PER_PAIR + context * PER_CONTEXT;
    assert!(close(outcome.nominal(), seconds), "{} {seconds}", outcome.nominal());
    assert_eq!(outcome.completions, [(10, outcome.nominal())]);
    assert!(close(outcome.seconds[Family::Host as usize], 503.0 * FIXED));

    let mut world = [1.0; FAMILIES];
    world[Family::Host as usize] = 2.0;
    assert!(close(outcome.seconds_in(&world), seconds + 503.0 * FIXED));
}

#[test]
fn a_response_of_one_token_needs_no_decode() {
    let samples = samples(&[(0, 20, 1), (1, 30, 1)]);
    let outcome = run(&job(&samples, AMPLE, Some(population(3))), 3);
    assert_eq!((outcome.steps, outcome.tokens, outcome.rounds), (1, 2, 0));
}

#[test]
fn nothing_to_do_takes_no_time() {
    assert_eq!(run(&job(&[], AMPLE, None), 0), Outcome::default());
}

#[test]
fn pieces_are_left_where_they_end_and_their_extrapolation_is_counted() {
    /// From a context of 1000 tokens on, twice the slope and attention extrapolated.
    struct TwoPieces;
    impl StepCost for TwoPieces {
        fn piece(&self, shape: &Shape, context: f64) -> Piece {
            let beyond = context >= 1000.0;
            let mut piece = Piece::zero();
            piece.add(Family::Host, if shape.decoding == 0 { 0.0 } else { FIXED }, 0.0);
            let slope = if beyond { 2.0 * PER_CONTEXT } else { PER_CONTEXT };
            piece.add_flagged(Family::Attention, 1e-4, slope, Doubt::outside(f64::from(beyond)));
            piece.context = if beyond { 1000.0..f64::INFINITY } else { 0.0..1000.0 };
            piece
        }
    }
    let samples = samples(&[(0, 900, 300)]);
    let outcome = run_exact(&job(&samples, AMPLE, None), &TwoPieces, &mut Fixed(Configuration::Off));
    let (below, beyond): (Vec<f64>, Vec<f64>) =
        (1..300).map(|t| 900.0 + f64::from(t)).partition(|c| *c < 1000.0);
    // The prefill counts as a step without context.
    let in_range = (below.len() + 1) as f64 * 1e-4 + below.iter().sum::<f64>() * PER_CONTEXT;
    let extrapolated = beyond.len() as f64 * 1e-4 + beyond.iter().sum::<f64>() * 2.0 * PER_CONTEXT;
    assert!(close(outcome.nominal(), 299.0 * FIXED + in_range + extrapolated));
    assert!(close(outcome.extrapolated.seconds, extrapolated));
}

/// A request of the naive engine.
struct Naive {
    prompt: u32,
    response: u32,
    computed: u32,
    emitted: u32,
    admitted: bool,
    stream: Stream,
    survival: Vec<f64>,
}

/// An engine without a KV limit, as one would first write it: every request in the order of arrival, every
/// prompt token on its own. Returns (shape, context of the decoding requests) by step.
fn naive_engine(job: &Job<'_>, k: u32) -> Vec<(Shape, u64)> {
    let mut requests: Vec<Naive> = Vec::new();
    for (id, sample) in job.samples {
        let path = [job.path[0], job.path[1], u64::from(*id)];
        let mut survival = vec![0.0; k as usize];
        if let Some(population) = job.acceptance {
            population.draw_survival(job.seed, &path, &mut survival);
        }
        let fresh = [path[0], path[1], path[2], 0];
        let stream = Stream::new(job.seed, Purpose::AcceptDraft, &fresh);
        let (prompt, response) = (sample.prompt, sample.response);
        requests.push(Naive { prompt, response, computed: 0, emitted: 0, admitted: false, stream, survival });
    }
    let mut steps = Vec::new();
    while requests.iter().any(|r| r.emitted < r.response) {
        let mut shape = Shape { draft_tokens: k, ..Shape::default() };
        let mut context = 0;
        let mut budget = job.limits.max_num_batched_tokens;
        let mut running = requests.iter().filter(|r| r.admitted && r.emitted < r.response).count() as u32;
        // Decodes first. What they emit counts after the step.
        let decodes = |r: &Naive| r.emitted > 0 && r.emitted < r.response;
        for r in requests.iter().filter(|r| decodes(r)) {
            shape.decoding += 1;
            budget -= k + 1;
            context += u64::from(r.prompt + r.emitted);
        }
        let mut emits: Vec<u32> = requests.iter().map(|r| u32::from(decodes(r))).collect();
        for (r, emit) in requests.iter_mut().zip(&mut emits) {
            if *emit > 0 && k > 0 {
                let u = (r.stream.bits() >> 32) as f64 / f64::from(u32::MAX);
                *emit += r.survival.iter().filter(|s| u < **s).count() as u32;
            }
        }
        for (r, emit) in requests.iter_mut().zip(&mut emits) {
            if r.emitted > 0 || budget == 0 || (!r.admitted && running == job.limits.max_num_seqs) {
                continue;
            }
            running += u32::from(!r.admitted);
            r.admitted = true;
            while r.computed < r.prompt && budget > 0 {
                r.computed += 1;
                budget -= 1;
                shape.prefill_tokens += 1;
                shape.prefill_pairs += u64::from(r.computed);
            }
            if r.computed == r.prompt {
                shape.prefill_ends += 1;
                *emit = 1;
            }
        }
        for (r, emit) in requests.iter_mut().zip(emits) {
            r.emitted = (r.emitted + emit).min(r.response);
        }
        steps.push((shape, context));
    }
    steps
}

#[test]
fn every_step_is_the_naive_engines() {
    let samples = mixed_samples(40);
    for (max_num_seqs, max_num_batched_tokens, k) in
        [(1, 8, 0), (5, 40, 0), (64, 64, 0), (64, 8192, 0), (7, 100, 3), (40, 200, 4), (3, 24, 7)]
    {
        let population = population(k as usize);
        let limits = Limits { max_num_seqs, max_num_batched_tokens, ..AMPLE };
        let job = job(&samples, limits, (k > 0).then_some(population));
        let (outcome, steps) = run_recorded(&job, k);
        let expected = naive_engine(&job, k);
        assert_eq!(steps, expected, "{limits:?} K = {k}");
        let price = |(shape, context): &(Shape, u64)| {
            Affine.piece(shape, 0.0).seconds(*context as f64) + PER_PAIR * shape.prefill_pairs as f64
        };
        let seconds: f64 = expected.iter().map(price).sum();
        assert!(close(outcome.nominal(), seconds));
        // Pieces that are kept between steps give the same run as pieces asked for each step.
        assert_eq!(run(&job, k), outcome);
    }
}

/// A job that an engine might get, its KV cache from hopeless to ample.
#[derive(Debug, Clone)]
struct AnyJob {
    samples: Vec<(u32, Sample)>,
    limits: Limits,
    k: u32,
}

impl AnyJob {
    /// Blocks of the longest sequence with its look-ahead.
    fn longest(&self) -> u64 {
        let tokens = self.samples.iter().map(|(_, s)| s.prompt + s.response + self.k + 1).max().unwrap_or(0);
        u64::from(tokens.div_ceil(self.limits.block_size))
    }
}

fn any_job() -> impl Strategy<Value = AnyJob> {
    let length = || prop_oneof![1 => 1_u32..4, 4 => 1_u32..250];
    let group = (length(), prop::collection::vec(length(), 1..6));
    let blocks = prop_oneof![Just(1_u32), Just(4), Just(16)];
    (
        prop::collection::vec(group, 1..7),
        0_u32..=8,
        1_u32..12,
        1_u32..200,
        blocks,
        0.0_f64..1.0,
        any::<bool>(),
    )
        .prop_map(|(groups, k, max_num_seqs, spare_tokens, block_size, room, prefix_caching)| {
            let of: Vec<(u32, u32, u32)> = (0..)
                .zip(&groups)
                .flat_map(|(group, (prompt, responses))| responses.iter().map(move |r| (group, *prompt, *r)))
                .collect();
            let all: u32 =
                of.iter().map(|(_, prompt, response)| (prompt + response + k + 1).div_ceil(block_size)).sum();
            AnyJob {
                samples: samples(&of),
                limits: Limits {
                    max_num_seqs,
                    max_num_batched_tokens: max_num_seqs * (k + 1) + spare_tokens,
                    block_size,
                    kv_blocks: 1 + (room * room * f64::from(all)) as u64,
                    prefix_caching,
                },
                k,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn whatever_the_job_it_completes_within_its_limits(any in any_job()) {
        let population = population(any.k as usize);
        let job = job(&any.samples, any.limits, (any.k > 0).then_some(population));
        let (outcome, steps) = run_recorded(&job, any.k);
        let (count, k) = (any.samples.len() as u64, u64::from(any.k));

        // Everything completes once, in order of time.
        let mut completed: Vec<u32> = outcome.completions.iter().map(|(id, _)| *id).collect();
        completed.sort_unstable();
        prop_assert_eq!(completed, any.samples.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        prop_assert!(outcome.completions.is_sorted_by_key(|(_, seconds)| *seconds));
        prop_assert!(outcome.nominal().is_finite() && outcome.nominal() > 0.0);
        let response: u64 = any.samples.iter().map(|(_, s)| u64::from(s.response)).sum();
        prop_assert_eq!(outcome.tokens, response);

        // Each count is the sum of the steps'.
        prop_assert_eq!(outcome.steps, steps.len() as u64);
        let prefilled: u64 = steps.iter().map(|(s, _)| u64::from(s.prefill_tokens)).sum();
        prop_assert_eq!(outcome.prefilled, prefilled);
        let decodes: u64 = steps.iter().map(|(s, _)| u64::from(s.decoding)).sum();
        prop_assert_eq!(outcome.rounds, if k > 0 { decodes } else { 0 });
        // Tokens come from ends of prefill and from decodes; only a last round offers more than is taken.
        let ends: u64 = steps.iter().map(|(s, _)| u64::from(s.prefill_ends)).sum();
        prop_assert!((count..=count + outcome.preemptions).contains(&ends));
        let offered = ends + decodes + outcome.accepted_at.iter().sum::<u64>();
        prop_assert!((response..=response + k * count).contains(&offered));
        prop_assert_eq!(outcome.accepted_at.len() as u64, k);
        prop_assert!(outcome.accepted_at.iter().is_sorted_by(|a, b| a >= b));
        prop_assert!(outcome.accepted_at.iter().all(|a| *a <= outcome.rounds));

        // No step and no moment is beyond the limits, but for a sequence that alone is too long.
        for (shape, context) in &steps {
            let tokens = shape.decoding * (shape.draft_tokens + 1) + shape.prefill_tokens;
            prop_assert!((1..=any.limits.max_num_batched_tokens).contains(&tokens));
            prop_assert!(shape.decoding <= any.limits.max_num_seqs);
            let cache = any.limits.kv_blocks * u64::from(any.limits.block_size);
            prop_assert!(any.limits.prefix_caching || shape.decoding <= 1 || *context <= cache);
        }
        for point in &outcome.timeline {
            prop_assert!(point.running <= any.limits.max_num_seqs);
            prop_assert!(point.kv_blocks <= any.limits.kv_blocks || point.running == 1);
            prop_assert!(point.kv_blocks <= outcome.kv_peak);
        }
        prop_assert!(outcome.kv_peak <= any.limits.kv_blocks.max(any.longest()));
        let last = outcome.timeline.last().map(|point| (point.running, point.waiting, point.kv_blocks));
        prop_assert_eq!(last, Some((0, 0, 0)), "blocks leaked");

        // Prompts are computed: all of them, or the shared part once a group; more only after preemptions or
        // where a shared part was given up.
        let block = any.limits.block_size;
        let shared = |s: &Sample| if any.limits.prefix_caching { (s.prompt - 1) / block * block } else { 0 };
        let least: u64 = any
            .samples
            .chunk_by(|a, b| a.1.group == b.1.group)
            .map(|group| shared(&group[0].1) + group.iter().map(|(_, s)| s.prompt - shared(s)).sum::<u32>())
            .map(u64::from)
            .sum();
        prop_assert!(outcome.prefilled >= least);
        if !any.limits.prefix_caching && outcome.preemptions == 0 {
            prop_assert_eq!(outcome.prefilled, least);
        }
    }
}

#[test]
fn a_preempted_request_computes_its_context_again() {
    let samples = samples(&[(0, 16, 64), (1, 16, 64)]);
    // Both hold 3 blocks up to 47 tokens. With their 32nd token they need 4 each: the second gives way until
    // the first is through (step 64), prefills 48 tokens for its 33rd token, and decodes the other 31.
    let (outcome, steps) = run_recorded(&job(&samples, Limits { kv_blocks: 6, ..AMPLE }, None), 0);
    assert_eq!((outcome.preemptions, outcome.prefilled, outcome.tokens), (1, 16 + 16 + 48, 128));
    assert_eq!((outcome.steps, outcome.kv_peak), (64 + 1 + 31, 6));
    let decoding: Vec<u32> = steps.iter().map(|(shape, _)| shape.decoding).collect();
    assert_eq!(decoding, [vec![0], vec![2; 31], vec![1; 32], vec![0], vec![1; 31]].concat());
    assert_eq!(steps[64].0.prefill_pairs, 48 * 49 / 2);
}

#[test]
fn a_preempted_request_draws_new_numbers_when_it_comes_back() {
    let samples = samples(&[(0, 16, 300), (1, 16, 300)]);
    // What a lone request emits, round by round, but for its last round.
    let emitted = |steps: &[(Shape, u64)]| -> Vec<u64> {
        let last_prefill = steps.iter().rposition(|(shape, _)| shape.prefill_tokens > 0).unwrap_or(0);
        steps[last_prefill + 1..].windows(2).map(|pair| pair[1].1 - pair[0].1).collect()
    };
    let (_, alone) = run_recorded(&job(&samples[1..], AMPLE, Some(population(3))), 3);
    let limits = Limits { kv_blocks: 20, ..AMPLE };
    let (outcome, together) = run_recorded(&job(&samples, limits, Some(population(3))), 3);
    assert_eq!((outcome.preemptions, outcome.completions[1].0), (1, 11));
    let (first, again) = (emitted(&alone), emitted(&together));
    assert!((20..first.len() - 20).contains(&again.len()), "{} of {}", again.len(), first.len());
    assert_ne!(again, first[..again.len()]);
}

#[test]
fn more_cache_means_fewer_preemptions() {
    let of: Vec<_> = (0..24).map(|i| (i, 64, 300 + 10 * i)).collect();
    let samples = samples(&of);
    let population = population(3);
    for k in [0, 3] {
        let outcomes: Vec<Outcome> = [48, 96, 192, 384, 768]
            .map(|kv_blocks| run(&job(&samples, Limits { kv_blocks, ..AMPLE }, Some(population)), k))
            .to_vec();
        assert!(outcomes[0].preemptions > 10 && outcomes[4].preemptions == 0);
        for pair in outcomes.windows(2) {
            assert!(pair[0].preemptions >= pair[1].preemptions);
            assert!(pair[0].prefilled >= pair[1].prefilled);
            assert!(pair[0].nominal() >= pair[1].nominal());
        }
        assert_eq!(outcomes[4].prefilled, 24 * 64);
    }
}

#[test]
fn the_youngest_is_preempted_and_comes_back_first() {
    let samples = samples(&[(0, 16, 60), (1, 16, 60), (2, 16, 60), (3, 16, 60)]);
    let limits = Limits { kv_blocks: 9, max_num_seqs: 3, ..AMPLE };
    let outcome = run(&job(&samples, limits, None), 0);
    assert!(outcome.preemptions > 0);
    let order: Vec<u32> = outcome.completions.iter().map(|(id, _)| *id).collect();
    assert_eq!(order, [10, 11, 12, 13]);
}

#[test]
fn a_group_shares_the_full_blocks_of_its_prompt() {
    let of: Vec<_> = (0..8).map(|i| (i / 4, 100, 50)).collect();
    let samples = samples(&of);
    let shared = run(&job(&samples, Limits { prefix_caching: true, ..AMPLE }, None), 0);
    let alone = run(&job(&samples, AMPLE, None), 0);
    // 6 blocks of 16 tokens are shared; the other 4 tokens everyone computes.
    assert_eq!(shared.prefilled, 2 * (100 + 3 * 4));
    assert_eq!(alone.prefilled, 8 * 100);
    assert!(shared.nominal() < alone.nominal());
    // 150 tokens and one of look-ahead are 10 blocks, 6 of them shared. They all end in the same step.
    assert_eq!((shared.kv_peak, alone.kv_peak), (2 * (6 + 4 * 4), 8 * 10));
}

#[test]
fn a_shared_prompt_survives_between_members_and_is_paid_once() {
    let of: Vec<_> = (0..8).map(|i| (i / 4, 100, 50)).collect();
    let samples = samples(&of);
    let limits = Limits { prefix_caching: true, max_num_seqs: 1, ..AMPLE };
    assert_eq!(run(&job(&samples, limits, None), 0).prefilled, 2 * (100 + 3 * 4));
}

#[test]
fn a_prefix_whose_prefill_was_broken_off_is_computed_anew() {
    let samples = samples(&[(0, 16, 40), (1, 320, 1)]);
    // The second prompt takes 8 tokens a step. At the 32nd token of the first the cache is full: the second
    // has computed 2 + 31 · 8 tokens, comes back when the first is through, and has to start again.
    let limits = Limits { max_num_batched_tokens: 9, kv_blocks: 24, prefix_caching: true, ..AMPLE };
    let outcome = run(&job(&samples, limits, None), 0);
    assert_eq!(outcome.preemptions, 1);
    assert_eq!(outcome.prefilled, 16 + 250 + 320);
}

#[test]
fn a_sequence_too_long_for_the_cache_runs_alone() {
    for prefix_caching in [false, true] {
        let samples = samples(&[(0, 200, 100), (0, 200, 100), (0, 200, 100), (1, 10, 20)]);
        let outcome = run(&job(&samples, Limits { kv_blocks: 4, prefix_caching, ..AMPLE }, None), 0);
        assert_eq!(outcome.tokens, 320);
        assert!(outcome.timeline.iter().all(|point| point.kv_blocks <= 4 || point.running == 1));
        assert_eq!(outcome.timeline.last().map(|point| point.kv_blocks), Some(0));
        assert_eq!(outcome.kv_peak, 300_u64.div_ceil(16));
    }
}

#[test]
fn the_same_job_gives_the_same_outcome() {
    let samples = mixed_samples(30);
    let population = population(3);
    let limits = Limits { kv_blocks: 40, max_num_seqs: 8, prefix_caching: true, ..AMPLE };
    let job = job(&samples, limits, Some(population));
    let outcome = run(&job, 3);
    assert!(outcome.preemptions > 0);
    assert_eq!(outcome, run(&job, 3));
    assert_ne!(outcome, run(&Job { seed: 4, ..job.clone() }, 3));
    assert_ne!(outcome, run(&Job { path: [1, 3], ..job }, 3));
}

#[test]
fn a_requests_rounds_do_not_depend_on_its_company() {
    let samples = mixed_samples(40);
    let population = population(4);
    let alone: Vec<Outcome> =
        samples.chunks(1).map(|one| run(&job(one, AMPLE, Some(population)), 4)).collect();
    let mut orders = Vec::new();
    for max_num_seqs in [1, 3, 64] {
        let limits = Limits { max_num_seqs, ..AMPLE };
        let together = run(&job(&samples, limits, Some(population)), 4);
        assert_eq!(together.rounds, alone.iter().map(|o| o.rounds).sum::<u64>());
        for (position, accepted) in together.accepted_at.iter().enumerate() {
            assert_eq!(*accepted, alone.iter().map(|o| o.accepted_at[position]).sum::<u64>());
        }
        orders.push(together.completions.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    }
    assert_ne!(orders[0], orders[1]);
    assert_ne!(orders[1], orders[2]);
}

#[test]
fn a_schedule_may_change_k_with_the_batch() {
    /// Drafts 4 tokens from a batch of 8 down, 1 up to 16, none above.
    #[derive(Default)]
    struct ByBatch(Vec<(u32, u64, u32)>);
    impl Schedule for ByBatch {
        fn decide(&mut self, snapshot: &Snapshot) -> Configuration {
            let k =
                [(8, 4), (16, 1)].iter().find(|(most, _)| snapshot.running <= *most).map_or(0, |(_, k)| *k);
            self.0.push((snapshot.running, snapshot.context, k));
            Configuration::chain(k)
        }

        fn max_draft_tokens(&self) -> u32 {
            4
        }

        fn leapable(&self) -> bool {
            true
        }
    }
    let samples = mixed_samples(30);
    let population = population(4);
    let job = job(&samples, AMPLE, Some(population));
    let (cost, mut schedule) = (Recorder::default(), ByBatch::default());
    let outcome = run_exact(&job, &cost, &mut schedule);
    let steps = cost.steps();
    let seen: Vec<_> = steps.iter().map(|(shape, c)| (shape.decoding, *c, shape.draft_tokens)).collect();
    assert_eq!(seen, schedule.0, "a schedule sees the step that it decides");
    for k in [0, 1, 4] {
        assert!(seen.iter().any(|(_, _, seen)| *seen == k));
    }
    let rounds =
        |least| seen.iter().filter(|(_, _, k)| *k >= least).map(|(n, ..)| u64::from(*n)).sum::<u64>();
    assert_eq!(outcome.rounds, rounds(1));
    assert!(outcome.accepted_at[1] <= rounds(4), "only rounds of 4 reach the second position");
    let response: u32 = samples.iter().map(|(_, s)| s.response).sum();
    assert_eq!(outcome.tokens, u64::from(response));
    assert_eq!(run_exact(&job, &Affine, &mut ByBatch::default()), outcome);
}

#[test]
fn steps_of_one_batch_are_priced_by_their_own_k() {
    /// Drafts 0, 1, 2, 3, 0, … tokens, step by step.
    #[derive(Default)]
    struct ByTurns(u32);
    impl Schedule for ByTurns {
        fn decide(&mut self, _: &Snapshot) -> Configuration {
            self.0 += 1;
            Configuration::chain(self.0 % 4)
        }

        fn max_draft_tokens(&self) -> u32 {
            3
        }

        fn leapable(&self) -> bool {
            false
        }
    }
    let samples = mixed_samples(10);
    let job = job(&samples, AMPLE, Some(population(3)));
    let kept = run_exact(&job, &Affine, &mut ByTurns::default());
    assert_eq!(kept, run_exact(&job, &Recorder::default(), &mut ByTurns::default()));
}

#[test]
fn k_zero_of_a_loaded_drafter_only_reserves_its_look_ahead() {
    /// Loads a drafter and never uses it.
    struct Idle;
    impl Schedule for Idle {
        fn decide(&mut self, _: &Snapshot) -> Configuration {
            Configuration::Off
        }

        fn max_draft_tokens(&self) -> u32 {
            16
        }

        fn leapable(&self) -> bool {
            true
        }
    }
    let samples = mixed_samples(20);
    let population = population(3);
    let idle = run_exact(&job(&samples, AMPLE, Some(population)), &Affine, &mut Idle);
    let off = run(&job(&samples, AMPLE, None), 0);
    assert_eq!((idle.seconds, idle.steps, idle.rounds), (off.seconds, off.steps, 0));
    assert!(idle.kv_peak > off.kv_peak);
}

#[test]
fn measured_acceptance_is_the_populations_pooled_length() {
    let population = population(3);
    for k in 1..=3_u32 {
        // Replicas of 100 requests, as (1 + accepted draft tokens a round, emitted tokens a round).
        let lengths: Vec<(f64, f64)> = (0..40)
            .map(|replica| {
                let samples: Vec<_> = samples(&[(0, 10, 1500); 100]);
                let outcome = run(&Job { path: [replica, 0], ..job(&samples, AMPLE, Some(population)) }, k);
                let rounds = outcome.rounds as f64;
                let accepted: u64 = outcome.accepted_at.iter().sum();
                (1.0 + accepted as f64 / rounds, (outcome.tokens - 100) as f64 / rounds)
            })
            .collect();
        let n = lengths.len() as f64;
        let mean = lengths.iter().map(|(length, _)| length).sum::<f64>() / n;
        let variance = lengths.iter().map(|(length, _)| (length - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let expected = population.pooled_length(k as usize);
        let error = (variance / n).sqrt();
        assert!((mean - expected).abs() < 3.0 * error, "K = {k}: {mean} {expected} ± {error}");
        assert!(error < 0.01, "{error}");
        // The last round of a request is cut at its length: at most K of 1500 tokens are lost.
        for (length, emitted) in lengths {
            assert!((0.0..=f64::from(k) / 1499.0).contains(&(1.0 - emitted / length)), "{length} {emitted}");
        }
    }
}

/// Drafts three tokens in every other step: only its own history tells which.
#[derive(Default)]
struct EveryOther {
    steps: u32,
}

impl Schedule for EveryOther {
    fn decide(&mut self, _: &Snapshot) -> Configuration {
        self.steps += 1;
        Configuration::chain(3 * (self.steps % 2))
    }

    fn max_draft_tokens(&self) -> u32 {
        3
    }

    fn leapable(&self) -> bool {
        false
    }
}

#[test]
fn a_schedule_with_a_history_is_stepped_whatever_was_asked_for() {
    let samples = mixed_samples(30);
    let job = job(&samples, AMPLE, Some(population(3)));
    let asked = super::run_replica(super::Stepper::Leap, &job, &Affine, &mut EveryOther::default());
    let mut schedule = EveryOther::default();
    assert_eq!(asked, run_exact(&job, &Affine, &mut schedule));
    assert_eq!(u64::from(schedule.steps), asked.steps, "it decided every step");
}

/// Off beyond one batch, a chain up to it; the drafter sleeps meanwhile and catches up at a price.
struct Sleeper(u32, CatchUp);

impl Schedule for Sleeper {
    fn decide(&mut self, snapshot: &Snapshot) -> Configuration {
        Configuration::chain(if snapshot.running > self.0 { 0 } else { 3 })
    }

    fn max_draft_tokens(&self) -> u32 {
        3
    }

    fn leapable(&self) -> bool {
        true
    }

    fn catch_up(&self) -> CatchUp {
        self.1
    }
}

#[test]
fn a_sleeping_drafter_pays_when_it_is_woken_and_once() {
    let samples = samples(&[(0, 50, 900), (1, 50, 40), (2, 50, 40)]);
    let price = CatchUp::HiddenStates { fixed: 7.0, per_token: 1e-3 };
    let job = job(&samples, AMPLE, Some(population(3)));
    let warm = run_exact(&job, &Affine, &mut Sleeper(1, CatchUp::KeepWarm));
    for leap in [false, true] {
        let mut schedule = Sleeper(1, price);
        let outcome = if leap {
            super::run_leap(&job, &Affine, &mut schedule)
        } else {
            run_exact(&job, &Affine, &mut schedule)
        };
        // The two short responses end after 40 tokens: one switch, at about 90 tokens of the long one.
        assert_eq!(outcome.switches, 1, "leap: {leap}");
        assert!((outcome.catch_up_seconds - 7.09).abs() < 0.01, "{}", outcome.catch_up_seconds);
        assert_eq!(warm.catch_up_seconds, 0.0);
        let difference = outcome.nominal() - warm.nominal() - outcome.catch_up_seconds;
        assert!(leap || difference.abs() < 1e-9, "{difference}");
    }
}

#[test]
fn a_drafter_asleep_is_asked_for_in_plain_steps_alone() {
    let samples = samples(&[(0, 50, 90), (1, 50, 40), (2, 50, 40)]);
    let job = job(&samples, AMPLE, Some(population(3)));
    let cost = Recorder::default();
    run_exact(&job, &cost, &mut Sleeper(1, CatchUp::Window { tokens: 8.0, fixed: 0.0, per_token: 0.0 }));
    for (shape, _) in cost.steps() {
        assert_eq!(shape.drafter_asleep, shape.draft_tokens == 0, "{shape:?}");
    }
}

#[test]
fn a_learning_schedule_is_shown_every_round() {
    struct Shown(Vec<u64>, u64);
    impl Schedule for Shown {
        fn decide(&mut self, snapshot: &Snapshot) -> Configuration {
            Configuration::chain(snapshot.running % 3)
        }
        fn max_draft_tokens(&self) -> u32 {
            3
        }
        fn leapable(&self) -> bool {
            false
        }
        fn observe(&mut self, seen: &Observation<'_>) {
            assert_eq!(seen.accepted.iter().sum::<u64>(), u64::from(seen.running));
            assert_eq!(seen.accepted.len(), seen.configuration.draft_tokens() as usize + 1);
            if seen.configuration != Configuration::Off {
                self.1 += u64::from(seen.running);
                for (n, count) in seen.accepted.iter().enumerate() {
                    self.0[n] += count;
                }
            }
        }
    }
    let samples = mixed_samples(20);
    let job = job(&samples, AMPLE, Some(population(3)));
    let mut schedule = Shown(vec![0; 4], 0);
    let outcome = run_exact(&job, &Affine, &mut schedule);
    assert_eq!(schedule.1, outcome.rounds);
    for j in 0..3 {
        assert_eq!(schedule.0[j + 1..].iter().sum::<u64>(), outcome.accepted_at[j]);
    }
}
