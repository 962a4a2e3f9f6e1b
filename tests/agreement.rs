//! The stepper `leap` against the oracle `exact`, over 200 fixed seeds (or `ROLLCAST_SEEDS`) on workloads that an engine
//! might meet.
//!
//! A workload's samples are fixed; a seed moves acceptance alone. Costs do not act back on a run, so each run is made
//! twice: once with costs that are piecewise affine in context, for makespans, and once at one second an iteration,
//! where completion seconds *are* iterations. Each seed gives one number to a Kolmogorov-Smirnov test (its last
//! completion, its mean completion, the completion of one and the same request), since requests of one seed share
//! their company and are not independent. Steps are divided by the request's expected rounds, which are inputs: under
//! a wide spread of acceptance they would otherwise hide a bias.
//!
//! Where requests are alike the two steppers get different seeds, so that nothing is shared. Where their
//! acceptance is spread they get the same, which are the same requests with other rounds: differences are then paired,
//! and what little correlation division leaves makes the test of laws the more lenient, never the stricter.

#![cfg(feature = "simulator")]
#![expect(clippy::print_stdout, reason = "each workload prints its row of the table of agreement")]

#[path = "agreement/workloads.rs"]
mod workloads;

use std::sync::{Mutex, PoisonError};

use proptest::prelude::*;
use rollcast::estimate::Family;
use rollcast::piece::{Piece, Shape};
use rollcast::rollout::{Limits, Outcome};
use rollcast::speculation::StepCost;
use rollcast::workload::Sample;
use workloads::{
    Count, Knotted, Workload, groups, groups_under_pressure, k_by_batch, k_by_batch_and_spread, k_by_context,
    long_prompts, off_at_large_batch, one_request, preemption, pressure_at_the_end, queue, spread, tiny,
    trees_and_spread, trees_at_small_batch,
};

/// Seeds of each arm, or `ROLLCAST_SEEDS`: 2,000 take a minute and see a third of the bias that 200 do.
fn seeds() -> u64 {
    std::env::var("ROLLCAST_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

/// Smallest p-value of a test of laws: .001 over all of this file's, three a workload.
const LEAST_P: f64 = 0.001 / 45.0;

// ---- statistics ----

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Difference of means and its standard error, of pairs.
fn difference(a: &[f64], b: &[f64]) -> (f64, f64) {
    let pairs: Vec<f64> = a.iter().zip(b).map(|(a, b)| b - a).collect();
    let (d, n) = (mean(&pairs), pairs.len() as f64);
    let variance = pairs.iter().map(|x| (x - d).powi(2)).sum::<f64>() / (n - 1.0);
    (d, (variance / n).sqrt())
}

/// p-value of the two-sample Kolmogorov-Smirnov test (asymptotic, with Stephens' correction); ties make it lenient.
fn kolmogorov_smirnov(a: &[f64], b: &[f64]) -> f64 {
    let below =
        |values: &[f64], x: f64| values.iter().filter(|v| **v <= x).count() as f64 / values.len() as f64;
    let gap = a.iter().chain(b).map(|x| (below(a, *x) - below(b, *x)).abs()).fold(0.0, f64::max);
    let n = (a.len() * b.len()) as f64 / (a.len() + b.len()) as f64;
    let lambda = (n.sqrt() + 0.12 + 0.11 / n.sqrt()) * gap;
    if lambda < 0.3 {
        return 1.0;
    }
    let term = |j: i32| f64::from(1 - 2 * ((j + 1) % 2)) * (-2.0 * (f64::from(j) * lambda).powi(2)).exp();
    (2.0 * (1..=100).map(term).sum::<f64>()).clamp(0.0, 1.0)
}

#[test]
fn kolmogorov_smirnov_gives_its_tabled_values() {
    let grid = |from: f64| (0..200).map(|i| from + f64::from(i)).collect::<Vec<f64>>();
    // λ = 1.36 is the 5 % point and 1.95 the .1 % point of the law; here λ = 10.131 · gap.
    for (shift, p) in [(27.0, 0.048), (38.0, 0.0012), (0.0, 1.0)] {
        let value = kolmogorov_smirnov(&grid(0.0), &grid(shift));
        assert!((value / p - 1.0).abs() < 0.06, "{shift}: {value}");
    }
}

// ---- the comparison ----

/// What one stepper gave, a value a seed.
#[derive(Clone)]
struct Arm {
    makespan: Vec<f64>,
    attention: Vec<f64>,
    peak: Vec<f64>,
    /// Last completion, mean completion and one request's, in steps for an expected round.
    steps: [Vec<f64>; 3],
    counters: Vec<(String, Vec<f64>)>,
}

fn arm(workload: &Workload, seeds: impl Iterator<Item = u64>, leap: bool) -> Arm {
    let mut arm = Arm {
        makespan: vec![],
        attention: vec![],
        peak: vec![],
        steps: Default::default(),
        counters: vec![],
    };
    let tokens: u64 = workload.samples.iter().map(|(_, s)| u64::from(s.response)).sum();
    let ids: Vec<u32> = workload.samples.iter().map(|(id, _)| *id).collect();
    let one = ids.len() / 2;
    for seed in seeds {
        let outcome = workload.run(seed, leap, &Knotted);
        let counted = workload.run(seed, leap, &Count);
        let mut completions = counted.completions.clone();
        completions.sort_by_key(|(id, _)| *id);
        assert_eq!(
            completions.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
            ids,
            "everything completes once"
        );
        assert_eq!((outcome.tokens, outcome.steps), (tokens, counted.steps));
        assert_eq!(counted.nominal(), counted.steps as f64);

        arm.makespan.push(outcome.nominal());
        arm.attention.push(outcome.seconds[Family::Attention as usize]);
        arm.peak.push(outcome.kv_peak as f64);
        let steps: Vec<f64> = completions.iter().map(|(_, step)| *step).collect();
        let expected = workload.expected_rounds(seed);
        arm.steps[0].push(counted.nominal() / expected.iter().copied().fold(0.0, f64::max));
        arm.steps[1].push(mean(&steps) / mean(&expected));
        arm.steps[2].push(steps[one] / expected[one]);
        let rounds = outcome.rounds as f64;
        let mut counters = vec![
            ("steps".to_owned(), outcome.steps as f64),
            ("rounds".to_owned(), rounds),
            ("prefilled".to_owned(), outcome.prefilled as f64),
            ("preemptions".to_owned(), outcome.preemptions as f64),
            ("batch changes".to_owned(), outcome.timeline.len() as f64),
        ];
        let accepted = outcome.accepted_at.iter().zip(1..);
        counters.extend(accepted.map(|(n, j)| (format!("acceptance at {j}"), *n as f64 / rounds)));
        if arm.counters.is_empty() {
            arm.counters = counters.iter().map(|(name, _)| (name.clone(), vec![])).collect();
        }
        arm.counters.iter_mut().zip(counters).for_each(|((_, all), (_, value))| all.push(value));
    }
    arm
}

/// Where the arms differ by more than chance.
fn disagreements(exact: &Arm, leap: &Arm) -> Vec<String> {
    let mut found = Vec::new();
    for (name, a, b) in
        [("makespan", &exact.makespan, &leap.makespan), ("attention", &exact.attention, &leap.attention)]
    {
        let (d, se) = difference(a, b);
        if d.abs() > (3.0 * se).max(0.003 * mean(a)) {
            found.push(format!("{name}: {} {} ± {se}", mean(a), mean(b)));
        }
    }
    // A leaping replica knows its blocks from mean lengths alone.
    let (a, b) = (mean(&exact.peak), mean(&leap.peak));
    if (a - b).abs() > 0.01 * a + 4.0 {
        found.push(format!("KV peak: {a} {b}"));
    }
    for (name, (a, b)) in ["last", "mean", "one"].iter().zip(exact.steps.iter().zip(&leap.steps)) {
        let p = kolmogorov_smirnov(a, b);
        if p < LEAST_P {
            found.push(format!("{name} completion: p = {p}, {} {}", mean(a), mean(b)));
        }
    }
    for ((name, a), (_, b)) in exact.counters.iter().zip(&leap.counters) {
        let (d, se) = difference(a, b);
        if d.abs() > 3.0 * se + 1e-9 * mean(a).abs() {
            found.push(format!("{name}: {} {} ± {se}", mean(a), mean(b)));
        }
    }
    found
}

fn agree(workload: &Workload) {
    // Alike requests need no common seeds, and then nothing is common.
    let other = if workload.concentration.is_finite() { 0 } else { 1000 };
    let exact = arm(workload, 0..seeds(), false);
    let leap = arm(workload, other..other + seeds(), true);
    let (d, se) = difference(&exact.makespan, &leap.makespan);
    let (a, b) = (mean(&exact.makespan), mean(&leap.makespan));
    let p = [0, 1, 2].map(|at| kolmogorov_smirnov(&exact.steps[at], &leap.steps[at]));
    println!(
        "{:22} {a:9.3} {b:9.3} {:+7.3} % ± {:.3} %   KS {:.3} {:.3} {:.3}   KV peak {:+.2} %",
        workload.name,
        100.0 * d / a,
        100.0 * se / a,
        p[0],
        p[1],
        p[2],
        100.0 * (mean(&leap.peak) / mean(&exact.peak) - 1.0)
    );
    assert_eq!(disagreements(&exact, &leap), Vec::<String>::new(), "{}", workload.name);
    assert_eq!(workload.run(5, true, &Knotted), workload.run(5, true, &Knotted), "the same bits again");

    // The same checks catch a bias of 1 % in seconds, and one of 1 % in steps alone.
    let scaled = |values: &[f64]| values.iter().map(|v| v * 1.01).collect::<Vec<f64>>();
    let slow = Arm { makespan: scaled(&leap.makespan), ..leap.clone() };
    assert!(disagreements(&exact, &slow).iter().any(|d| d.starts_with("makespan")), "{} {se}", workload.name);
    let mut late = Arm { steps: leap.steps.each_ref().map(|steps| scaled(steps)), ..leap };
    late.counters[0].1 = scaled(&late.counters[0].1);
    // Where K changes among spread requests their expected rounds say too little: there pairs of steps find it.
    let paired = workload.concentration.is_finite();
    let catches = |d: &String| d.contains("completion") || (paired && d.starts_with("steps"));
    assert!(disagreements(&exact, &late).iter().any(catches), "{}", workload.name);
}

macro_rules! agreements {
    ($($workload:ident),*) => {
        mod agrees {
            $(#[test] fn $workload() { super::agree(&super::$workload()); })*
        }
    };
}

agreements!(
    queue,
    preemption,
    pressure_at_the_end,
    groups,
    groups_under_pressure,
    k_by_batch,
    k_by_batch_and_spread,
    k_by_context,
    trees_at_small_batch,
    trees_and_spread,
    off_at_large_batch,
    spread,
    long_prompts,
    tiny,
    one_request
);

/// Remembers the context of every charge; its pieces hold nowhere, so that each iteration asks anew.
#[derive(Default)]
struct Contexts(Mutex<Vec<f64>>);

impl StepCost for Contexts {
    fn piece(&self, _: &Shape, context: f64) -> Piece {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(context);
        let mut piece = Piece::zero();
        piece.add(Family::Host, 1.0, 0.0);
        piece.context = 0.0..0.0;
        piece
    }
}

/// How often a leaping run goes over to exact stepping: there contexts are whole numbers for many steps.
fn stretches_of_exact_steps(workload: &Workload) -> usize {
    let contexts = Contexts::default();
    workload.run(0, true, &contexts);
    let contexts = contexts.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    contexts
        .chunk_by(|a, b| (a.fract() == 0.0) == (b.fract() == 0.0))
        .filter(|c| c[0].fract() == 0.0 && c.len() > 9)
        .count()
}

#[test]
fn the_workloads_are_what_they_are_called() {
    for (workload, preempts) in [
        (queue(), false),
        (preemption(), true),
        (pressure_at_the_end(), true),
        (groups(), false),
        (groups_under_pressure(), true),
    ] {
        let preemptions = workload.run(0, false, &Count).preemptions;
        assert_eq!(preemptions > 3, preempts, "{}: {preemptions}", workload.name);
        let stretches = stretches_of_exact_steps(&workload);
        println!("{:22} {preemptions} preemptions, {stretches} stretches of exact steps", workload.name);
        let expected = if workload.name == "pressure at the end" {
            1..=3
        } else if preempts {
            3..=99
        } else {
            0..=0
        };
        assert!(expected.contains(&stretches), "{}: {stretches}", workload.name);
    }
}

/// The batch over time, with seconds.
fn timeline(outcome: &Outcome) -> Vec<(u32, u32, f64)> {
    outcome.timeline.iter().map(|point| (point.running, point.waiting, point.seconds)).collect()
}

fn by_id(outcome: &Outcome) -> Vec<(u32, f64)> {
    let mut completions = outcome.completions.clone();
    completions.sort_by_key(|(id, _)| *id);
    completions
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// Without drafting nothing is random: whatever the stepper, the same iterations.
fn assert_same_iterations(exact: &Outcome, leap: &Outcome) {
    let counts = |o: &Outcome| (o.steps, o.tokens, o.prefilled, o.preemptions, o.rounds);
    assert_eq!(counts(exact), counts(leap));
    assert!(exact.seconds.iter().zip(&leap.seconds).all(|(a, b)| close(*a, *b)), "{exact:?} {leap:?}");
    assert!(close(exact.extrapolated.weighted, leap.extrapolated.weighted));
    assert_eq!(exact.timeline.len(), leap.timeline.len());
    for (a, b) in timeline(exact).iter().zip(timeline(leap)) {
        assert!((a.0, a.1) == (b.0, b.1) && close(a.2, b.2), "{a:?} {b:?}");
    }
    assert!(by_id(exact).iter().zip(by_id(leap)).all(|(a, b)| a.0 == b.0 && close(a.1, b.1)));
}

#[test]
fn without_drafting_both_take_the_same_iterations() {
    for workload in [
        queue(),
        preemption(),
        pressure_at_the_end(),
        groups(),
        groups_under_pressure(),
        long_prompts(),
        tiny(),
        one_request(),
    ] {
        let workload = Workload { schedule: vec![(0, 0)], ..workload };
        assert_same_iterations(&workload.run(1, false, &Knotted), &workload.run(1, true, &Knotted));
    }
}

#[test]
fn requests_too_short_to_leap_take_the_very_rounds_of_the_exact_stepper() {
    let workload = tiny();
    for seed in 0..20 {
        let (exact, leap) = (workload.run(seed, false, &Count), workload.run(seed, true, &Count));
        assert_eq!(by_id(&exact), by_id(&leap));
        assert_eq!((exact.rounds, &exact.accepted_at), (leap.rounds, &leap.accepted_at));
    }
}

// ---- whatever the job ----

#[derive(Debug, Clone)]
struct AnyJob {
    samples: Vec<(u32, Sample)>,
    limits: Limits,
    schedule: Vec<(u32, u32)>,
    leading: u32,
}

fn any_job() -> impl Strategy<Value = AnyJob> {
    let length = || prop_oneof![1 => 1_u32..4, 4 => 1_u32..250];
    let group = (length(), prop::collection::vec(length(), 1..6));
    let schedule = prop_oneof![
        1 => Just(vec![(0, 0)]),
        2 => (1_u32..=7).prop_map(|k| vec![(0, k)]),
        2 => (1_u32..9, 0_u32..=7, 0_u32..=7).prop_map(|(most, small, large)| vec![(most, small), (99, large)]),
    ];
    let states = prop_oneof![2 => Just(0_u32), 1 => 1_u32..90];
    let limits =
        (1_u32..12, 1_u32..200, prop_oneof![Just(1_u32), Just(4), Just(16)], any::<[bool; 2]>(), states);
    (prop::collection::vec(group, 1..7), schedule, limits, 0.0_f64..1.2).prop_map(
        |(groups, schedule, limits, room)| {
            let (max_num_seqs, spare_tokens, block_size, [prefix_caching, prefill_alone], state_tokens) =
                limits;
            let members = (0..).zip(&groups).flat_map(|(group, (prompt, responses))| {
                responses.iter().map(move |r| Sample { group, prompt: *prompt, response: *r, clipped: false })
            });
            let samples: Vec<(u32, Sample)> = (10..).zip(members).collect();
            let k = schedule.iter().map(|(_, k)| *k).max().unwrap_or(0);
            let blocks =
                |s: &Sample| u64::from((s.prompt + s.response + k + 1 + state_tokens).div_ceil(block_size));
            let (all, longest) = samples
                .iter()
                .fold((0, 0), |(all, longest), (_, s)| (all + blocks(s), longest.max(blocks(s))));
            let kv_blocks = longest.max((room * room * all as f64) as u64);
            let max_num_batched_tokens = max_num_seqs * (k + 1) + spare_tokens;
            let limits = Limits {
                max_num_seqs,
                max_num_batched_tokens,
                block_size,
                kv_blocks,
                prefix_caching,
                prefill_alone,
                state_tokens,
            };
            AnyJob { samples, limits, schedule, leading: k }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn whatever_the_job_it_completes_within_its_limits(any in any_job()) {
        let AnyJob { samples, limits, schedule, leading } = any;
        let workload = Workload { schedule, concentration: 4.0, ..Workload::new("any", samples, limits) };
        let outcome = workload.run(9, true, &Knotted);
        prop_assert_eq!(by_id(&outcome).iter().map(|(id, _)| *id).collect::<Vec<_>>(), workload.samples.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        prop_assert!(outcome.completions.is_sorted_by_key(|(_, seconds)| *seconds));
        prop_assert!(outcome.nominal().is_finite() && outcome.nominal() > 0.0);
        let response: u64 = workload.samples.iter().map(|(_, s)| u64::from(s.response)).sum();
        prop_assert_eq!(outcome.tokens, response);
        prop_assert!(outcome.accepted_at.is_sorted_by(|a, b| a >= b));
        prop_assert!(outcome.accepted_at.iter().all(|accepted| *accepted <= outcome.rounds));
        // Rounds offer all tokens but those that prefills and plain steps emit; a last round may offer K too many.
        let offered = outcome.rounds + outcome.accepted_at.iter().sum::<u64>();
        let count = workload.samples.len() as u64;
        prop_assert!(offered <= response + u64::from(leading) * count);
        for point in &outcome.timeline {
            prop_assert!(point.running <= limits.max_num_seqs);
            prop_assert!(point.kv_blocks <= outcome.kv_peak, "{:?} {}", point, outcome.kv_peak);
        }
        prop_assert!(outcome.kv_peak <= limits.kv_blocks);
        let last = outcome.timeline.last().map(|point| (point.running, point.waiting, point.kv_blocks));
        prop_assert_eq!(last, Some((0, 0, 0)));
        if leading == 0 {
            assert_same_iterations(&workload.run(9, false, &Knotted), &outcome);
        }
    }
}
