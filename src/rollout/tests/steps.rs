//! Steps and their seconds: against closed forms, and step by step against an engine as one would first write it.

use super::{
    AMPLE, Affine, FIXED, PER_CONTEXT, PER_PAIR, PER_TOKEN, close, job, mixed_samples, population, run,
    run_recorded, samples,
};
use crate::estimate::{FAMILIES, Family};
use crate::piece::{Doubt, Piece, Shape};
use crate::rng::{Purpose, Stream};
use crate::rollout::{Job, Limits, Outcome, run_exact};
use crate::speculation::schedule::Fixed;
use crate::speculation::{Configuration, StepCost};

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

#[test]
fn decoding_waits_for_prompts_that_are_prefilled_alone() {
    // Two seats for three requests: the third is prefilled while another decodes.
    let samples = samples(&[(0, 10, 4), (1, 10, 9), (2, 10, 4)]);
    let limits = Limits { max_num_seqs: 2, ..AMPLE };
    let (beside, _) = run_recorded(&job(&samples, limits, None), 0);
    let (alone, steps) = run_recorded(&job(&samples, Limits { prefill_alone: true, ..limits }, None), 0);
    assert!(steps.iter().all(|(shape, _)| shape.decoding == 0 || shape.prefill_tokens == 0));
    // The same decodes and prompts, in one step more: the prefill of the third.
    assert_eq!((alone.steps, alone.tokens, alone.prefilled), (beside.steps + 1, 17, 30));
    assert!(close(alone.nominal() - beside.nominal(), FIXED));
}
