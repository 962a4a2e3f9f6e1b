//! Remedies for the tail of a rollout: what each does, what it must not do, and the table of `rollcast run --levers`.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BinaryHeap;

use common::{File, NOMINAL, SMALL, forecast, nominal, number, result, run, small};
use rollcast::estimate::Family;
use rollcast::piece::{Piece, Shape};
use rollcast::resolve::{Prepared, resolve};
use rollcast::resolved::{Router, Tail};
use rollcast::rl::{InputShift, Simulation, StepWork};
use rollcast::rollout::{Job, Limits, Outcome, Stepper, deal, run_exact, run_from, run_leap, run_to};
use rollcast::scenario::Document;
use rollcast::speculation::schedule::Fixed;
use rollcast::speculation::{Configuration, StepCost};
use rollcast::workload::Sample;
use serde_json::Value;

/// A queue: 16 samples for each of eight engines, which hold four.
fn queue() -> String {
    small(&[("max_num_seqs: 128", "max_num_seqs: 4"), ("workload_draws: 2", "workload_draws: 32")])
}

const ROLLOUT: &str = "forecast.rollout_s.mean";

fn prepared(overrides: &[&str]) -> Prepared {
    let mut document = Document::parse("test.yaml", SMALL).unwrap();
    for assignment in NOMINAL.iter().chain(overrides) {
        document.set(assignment).unwrap();
    }
    resolve(&document).unwrap()
}

fn one_step(overrides: &[&str], stepper: Stepper) -> StepWork {
    Simulation::new(&prepared(overrides), InputShift::default(), stepper).step(0, 0)
}

// ---- order ----

/// One second an iteration, whatever is in it.
struct Count;

impl StepCost for Count {
    fn piece(&self, _: &Shape, _: f64) -> Piece {
        let mut piece = Piece::zero();
        piece.add(Family::Host, 1.0, 0.0);
        piece
    }
}

fn lengths(n: u32) -> Vec<Sample> {
    // A long tail by a formula of its own: n / (rank + 1), in no order.
    (0..n)
        .map(|i| {
            let rank = (i * 37) % n;
            Sample { group: i, prompt: 8, response: 1 + 4000 / (rank + 2), clipped: false }
        })
        .collect()
}

/// List scheduling by hand: each job to the seat that is free first.
fn list_schedule(jobs: &[u32], seats: usize) -> u64 {
    let mut free: BinaryHeap<std::cmp::Reverse<u64>> = (0..seats).map(|_| std::cmp::Reverse(0)).collect();
    let mut last = 0;
    for job in jobs {
        let start = free.pop().unwrap().0;
        last = last.max(start + u64::from(*job));
        free.push(std::cmp::Reverse(start + u64::from(*job)));
    }
    last
}

#[test]
fn longest_first_is_list_scheduling_within_grahams_bound() {
    let samples = lengths(101);
    let predicted: Vec<f64> = samples.iter().map(|s| f64::from(s.response)).collect();
    for seats in [2_u32, 5, 12] {
        let limits = Limits {
            max_num_seqs: seats,
            max_num_batched_tokens: 1 << 20,
            block_size: 16,
            kv_blocks: 1 << 30,
            prefix_caching: false,
            prefill_alone: false,
            state_tokens: 0,
        };
        for longest_first in [false, true] {
            let tail = Tail { longest_first, ..Tail::default() };
            let list = deal(&samples, &predicted, 1, Router::LeastLoaded, &tail).remove(0);
            let job = Job { samples: &list, limits, acceptance: None, seed: 1, path: [0, 0], per_step: None };
            let exact = run_exact(&job, &Count, &mut Fixed(Configuration::Off));
            let leap = run_leap(&job, &Count, &mut Fixed(Configuration::Off));
            // A seat is taken for as many iterations as there are tokens: the prefill emits the first.
            let order: Vec<u32> = list.iter().map(|(_, sample)| sample.response).collect();
            let by_hand = list_schedule(&order, seats as usize);
            assert_eq!((exact.steps, leap.steps), (by_hand, by_hand), "{seats} seats, {longest_first}");
            if longest_first {
                let total: u64 = order.iter().map(|n| u64::from(*n)).sum();
                let least = total.div_ceil(u64::from(seats)).max(u64::from(order[0])) as f64;
                let bound = (4.0 / 3.0 - 1.0 / (3.0 * f64::from(seats))) * least;
                assert!(exact.steps as f64 <= bound, "{} steps, bound {bound}", exact.steps);
            }
        }
    }
}

#[test]
fn order_pays_where_requests_queue_and_the_predictor_knows() {
    let of = |tail: &str| number(&result(&queue(), &[tail]), ROLLOUT);
    let fifo = of("tail=null");
    let by = |error: f64| {
        fifo / of(&format!("tail={{ predictor: {{ log_error: {error} }}, admission: longest_first }}"))
    };
    let (oracle, fair, blind) = (by(0.0), by(0.5), by(10.0));
    assert!(oracle > 1.03, "an oracle gains {oracle}");
    assert!(oracle >= fair - 0.01 && fair > blind - 0.01, "{oracle} {fair} {blind}");
    // A blind order is another draw of the arrival order: no gain beyond the noise: makespans have a spread of 8 %, and there are 64 of them.
    assert!((blind - 1.0).abs() < 0.04, "a blind one {blind}");
    let seats = |tail: &str| number(&result(SMALL, &[tail]), ROLLOUT);
    let alike = seats("tail=null") / seats("tail={ predictor: { log_error: 0 }, admission: longest_first }");
    assert!((alike - 1.0).abs() < 0.05, "with a seat for everybody there is nothing to order: {alike}");
}

#[test]
fn remedies_that_ask_for_nothing_change_nothing() {
    let plain = result(SMALL, &[]);
    for tail in ["tail={}", "tail={ admission: fifo }", "tail={ predictor: { log_error: 1 } }"] {
        let mut other = result(SMALL, &[tail]);
        other["simulator"] = plain["simulator"].clone();
        if tail.contains("predictor") {
            // Nothing, but for being told so.
            assert!(
                other["warnings"].to_string().contains("tail.predictor has no effect"),
                "{}",
                other["warnings"]
            );
            other["warnings"] = plain["warnings"].clone();
            other["resolved"].as_object_mut().unwrap().remove("without_effect");
        }
        assert!(other == plain, "{tail}");
    }
    assert!(plain["resolved"].get("tail").is_none() && plain.get("levers").is_none());
}

// ---- cap ----

#[test]
fn a_cap_cuts_what_was_drawn_and_leaves_the_distribution() {
    let (whole, cut) = (one_step(&[], Stepper::Leap), one_step(&["tail={ cap: 700 }"], Stepper::Leap));
    let document = prepared(&[]);
    let drawn = rollcast::workload::Generator::new(
        &document.resolved.workload,
        document.resolved.seed,
        rollcast::workload::LengthShift::default(),
    )
    .step(0, 0);
    let tokens: u64 = drawn.iter().map(|s| u64::from(s.response.min(700))).sum();
    assert_eq!(cut.response_tokens, tokens);
    assert_eq!(cut.clipped, drawn.iter().filter(|s| s.response > 700).count());
    assert!(whole.response_tokens > tokens);
    assert_eq!(cut.replicas.iter().map(|r| r.tokens).sum::<u64>(), tokens);
}

// ---- regrouping ----

const REGROUPINGS: [&str; 4] = [
    "tail={ regroup: { below: 12, tp: 4, kv: recompute } }",
    "tail={ regroup: { below: 40, tp: 2, kv: move } }",
    "tail={ regroup: { below: 12, kv: move } }",
    "tail={ isolate: { share: 0.2 }, admission: longest_first, regroup: { below: 8, tp: 8 } }",
];

#[test]
fn nothing_is_lost_and_nothing_twice_where_running_samples_move() {
    for tail in REGROUPINGS {
        for seats in ["generation.max_num_seqs=128", "generation.max_num_seqs=4"] {
            for stepper in [Stepper::Leap, Stepper::Exact] {
                let step = one_step(&[tail, seats], stepper);
                let tokens: u64 = step.replicas.iter().map(|r| r.tokens).sum();
                assert_eq!(tokens, step.response_tokens, "{tail} {seats} {stepper:?}");
                let mut done: Vec<u32> =
                    step.replicas.iter().flat_map(|r| r.completions.iter().map(|(id, _)| *id)).collect();
                done.sort_unstable();
                assert_eq!(done, (0..128).collect::<Vec<_>>(), "{tail} {seats} {stepper:?}");
                assert_eq!(step.replicas.len(), 8);
            }
        }
    }
}

#[test]
fn both_steppers_agree_on_regrouped_rollouts() {
    let slowest = |step: &StepWork| step.replicas.iter().map(Outcome::nominal).fold(0.0, f64::max);
    for tail in REGROUPINGS {
        let [leap, exact] =
            [Stepper::Leap, Stepper::Exact].map(|stepper| slowest(&one_step(&[tail], stepper)));
        // One draw each: makespans differ by the noise of acceptance.
        assert!((leap / exact - 1.0).abs() < 0.08, "{tail}: {leap} {exact}");
    }
}

#[test]
fn a_pause_is_paid_once_and_moving_one_sample_costs_nothing_else() {
    let of = |tail: &str| number(&result(SMALL, &nominal(&[tail])), ROLLOUT);
    let free = of("tail={ regroup: { below: 12, tp: 4, seconds: 0 } }");
    let dear = of("tail={ regroup: { below: 12, tp: 4, seconds: 100 } }");
    assert!((dear - free - 100.0).abs() < 1e-6, "{dear} - {free}");
    let (plain, moved) = (of("tail=null"), of("tail={ regroup: { below: 1, kv: move } }"));
    assert!((moved / plain - 1.0).abs() < 0.02, "{moved} {plain}");
}

#[test]
fn a_cache_that_moves_saves_its_prefill() {
    let prefilled = |kv: &str| {
        let tail = format!("tail={{ regroup: {{ below: 12, kv: {kv} }} }}");
        one_step(&[&tail], Stepper::Leap).replicas.iter().map(|r| r.prefilled).sum::<u64>()
    };
    let (never, moved, again) = (
        one_step(&[], Stepper::Leap).replicas.iter().map(|r| r.prefilled).sum::<u64>(),
        prefilled("move"),
        prefilled("recompute"),
    );
    // Its last token alone: one for each of at most a dozen samples.
    assert!((never..=never + 12).contains(&moved), "{never} {moved}");
    assert!(again > moved + 12 * 500, "contexts of a thousand tokens and more: {moved} {again}");
}

#[test]
fn a_rollout_in_two_parts_takes_as_long_as_in_one() {
    let list: Vec<(u32, Sample)> = (0..).zip(lengths(24)).collect();
    let limits = Limits {
        max_num_seqs: 64,
        max_num_batched_tokens: 1 << 20,
        block_size: 16,
        kv_blocks: 1 << 30,
        prefix_caching: false,
        prefill_alone: false,
        state_tokens: 0,
    };
    let job = Job { samples: &list, limits, acceptance: None, seed: 1, path: [0, 0], per_step: None };
    let whole = run_exact(&job, &Count, &mut Fixed(Configuration::Off));
    for stepper in [Stepper::Leap, Stepper::Exact] {
        for until in [0.0, 1.0, 300.0, 1e9] {
            let (first, left) = run_to(stepper, &job, &Count, &mut Fixed(Configuration::Off), until);
            let rest = Job { samples: &[], ..job.clone() };
            let second = run_from(stepper, &rest, &left, true, &Count, &mut Fixed(Configuration::Off));
            // The iteration that computes the last token again emits the next one.
            assert_eq!(first.steps + second.steps, whole.steps, "{stepper:?} {until}");
            assert_eq!(first.tokens + second.tokens, whole.tokens);
            assert_eq!(first.completions.len() + second.completions.len(), 24);
        }
    }
}

#[test]
fn a_preempted_sample_has_no_cache_to_take_along() {
    let list: Vec<(u32, Sample)> = (0..).zip(lengths(24)).collect();
    let longest = list.iter().map(|(_, sample)| sample.prompt + sample.response).max().unwrap();
    let limits = Limits {
        max_num_seqs: 64,
        max_num_batched_tokens: 1 << 20,
        block_size: 16,
        // Room for the longest and some more: all start, and most are put back.
        kv_blocks: u64::from(longest.div_ceil(16)) + 64,
        prefix_caching: false,
        prefill_alone: false,
        state_tokens: 0,
    };
    let job = Job { samples: &list, limits, acceptance: None, seed: 1, path: [0, 0], per_step: None };
    let mut put_back = 0;
    for until in [50.0, 100.0, 200.0, 400.0] {
        let (_, left) = run_to(Stepper::Leap, &job, &Count, &mut Fixed(Configuration::Off), until);
        let lost = left.iter().filter(|one| one.emitted > 0 && !one.cached);
        put_back += lost.clone().count();
        assert!(lost.clone().all(|one| one.cached_tokens() == 0 && one.context() > 0));
        let held: u64 = left.iter().map(|one| one.cached_tokens().div_ceil(16)).sum();
        assert!(held <= limits.kv_blocks, "{held} blocks at {until}");
    }
    assert!(put_back > 0, "something was preempted");
}

#[test]
fn wider_engines_end_a_drain_sooner() {
    // A TP 4 engine has four times the bandwidth for the same few sequences.
    let of = |tail: &str| number(&result(SMALL, &nominal(&[tail])), ROLLOUT);
    let (plain, wide) = (of("tail=null"), of("tail={ regroup: { below: 12, tp: 4, seconds: 0, kv: move } }"));
    assert!(wide < plain, "{wide} {plain}");
}

// ---- bad input ----

#[test]
fn what_cannot_be_is_refused_at_its_key() {
    for (overrides, path, words) in [
        (&["tail={ regroup: { below: 4, tp: 3 } }"][..], "tail.regroup.tp", "3 GPUs do not divide"),
        (
            &["generation.layout.tp=4", "tail={ regroup: { below: 4, tp: 2 } }"],
            "tail.regroup.tp",
            "multiple of",
        ),
        (&["tail={ isolate: { replicas: 8 } }"], "tail.isolate.replicas", "at most 7"),
        (&["generation.layout.tp=8", "tail={ isolate: {} }"], "tail.isolate", "one engine"),
        (&["tail={ regroup: { below: 128 } }"], "tail.regroup.below", "fewer than the 128 samples"),
        (&["tail={ predictor: { log_error: 11 } }"], "tail.predictor.log_error", "expected 0 to 10"),
        (&["loop.over_sampling={ factor: 1.5 }", "tail={ admission: longest_first }"], "tail", "one by one"),
        (&["tail={ admision: fifo }"], "tail", "admission"),
    ] {
        let error = forecast(SMALL, overrides).unwrap_err().to_string();
        assert!(error.contains(path) && error.contains(words), "{overrides:?}: {error}");
    }
}

// ---- the table ----

#[test]
fn every_lever_stands_beside_speculation_and_alone() {
    let file = File::new(SMALL);
    let arguments = ["run", file.name(), "--levers"];
    let screen = run(&arguments).exits(0);
    let words = screen.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for word in [
        "lever alone",
        "beside SD",
        "wider TP, tp",
        "tail TP, tp",
        "migration, at",
        "longest first",
        "isolation",
        "cap,",
        "over-sampling, x",
        "partial rollouts, x",
        "best pair",
    ] {
        assert!(words.contains(word), "no `{word}` in:\n{}", screen.out);
    }
    assert!(screen.out.lines().all(|line| line.chars().count() <= 80), "{}", screen.out);

    let json = run(&["run", file.name(), "--levers", "--format", "json"]).exits(0).json();
    let levers = &json["levers"];
    assert_eq!(levers["plain"]["step_s"], json["baseline"]["step_s"], "the same draws and worlds");
    assert_eq!(levers["speculation"]["step_s"], json["forecast"]["step_s"]);
    assert_eq!(number(levers, "plain.speedup.median"), 1.0);
    let rows = levers["levers"].as_array().unwrap();
    let median = |row: &Value| number(row, "beside.step_s.median");
    let eligible = rows
        .iter()
        .filter(|row| row["trains_on"] == "same" && row["bound"] == false && !row["beside"].is_null());
    let fastest = eligible.min_by(|a, b| median(a).total_cmp(&median(b))).unwrap();
    let alone = number(levers, "speculation.step_s.median");
    let expected = if median(fastest) < alone { fastest["name"].clone() } else { Value::Null };
    assert_eq!(levers["best_pair"], expected);
    // A lever is nothing but its overrides.
    for row in rows.iter().filter(|row| !row["beside"].is_null()) {
        let overrides: Vec<&str> =
            row["beside"]["overrides"].as_array().unwrap().iter().map(|o| o.as_str().unwrap()).collect();
        // Through text, as the binary's numbers have gone.
        let by_hand: Value = serde_json::from_str(&result(SMALL, &overrides).to_string()).unwrap();
        assert_eq!(by_hand["forecast"]["step_s"], row["beside"]["step_s"], "{}", row["name"]);
    }
}

#[test]
fn without_speculation_the_levers_stand_alone() {
    let file = File::new(SMALL);
    let off = ["run", file.name(), "--levers", "--set", "speculation=off"];
    let screen = run(&off).exits(0);
    assert!(!screen.out.contains("beside SD"), "{}", screen.out);
    let json = run(&[&off[..], &["--format", "json"]].concat()).exits(0).json();
    assert!(json["levers"]["speculation"].is_null() && json["levers"]["best_pair"].is_null());
}
