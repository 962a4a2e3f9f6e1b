//! NVIDIA's simulated speedups (arXiv 2604.26779, Fig 3) beside ours, cell by cell: Qwen3-235B-A22B, FP8, 512 GB200.
//!
//! Their simulator counts kernels, so the gate is on `overhead: none`; what an engine's software takes is printed after
//! it. Lengths, layout and share of generation are not published: the scenario states its own, and no constant is
//! fitted to a cell. Leaves out a gate on the step speedup, which follows from that share.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "the tables are the point")]

mod common;

use rollcast::rollout::Stepper;
use rollcast::scenario::Document;
use rollcast::study::compare;

/// Draft tokens K, acceptance length, rollout and step speedup, as printed in the figure.
const PUBLISHED: [(u32, f64, f64, f64); 21] = [
    (1, 1.5, 1.45, 1.25),
    (1, 2.0, 1.93, 1.46),
    (3, 1.5, 1.36, 1.21),
    (3, 2.0, 1.81, 1.41),
    (3, 2.5, 2.27, 1.57),
    (3, 3.0, 2.72, 1.70),
    (3, 4.0, 3.62, 1.89),
    (5, 2.0, 1.72, 1.37),
    (5, 2.5, 2.14, 1.53),
    (5, 3.0, 2.57, 1.66),
    (5, 4.0, 3.42, 1.85),
    (5, 5.0, 4.27, 1.99),
    (5, 6.0, 5.12, 2.10),
    (7, 2.0, 1.63, 1.34),
    (7, 2.5, 2.04, 1.50),
    (7, 3.0, 2.45, 1.62),
    (7, 4.0, 3.26, 1.82),
    (7, 5.0, 4.07, 1.96),
    (7, 6.0, 4.88, 2.07),
    (7, 7.0, 5.68, 2.15),
    (7, 8.0, 6.49, 2.22),
];

/// Our rollout speedup, step speedup, acceptance length that came out, and generation's share of the baseline step.
struct Cell {
    rollout: f64,
    step: f64,
    length: f64,
    share: f64,
}

fn acceptance(k: u32, length: f64) -> String {
    if length < f64::from(k + 1) {
        format!("{{ length: {{ value: {length}, at_k: {k}, decay: 0.08, concentration: 1000000 }} }}")
    } else {
        format!("{{ per_position: [{}] }}", vec!["1.0"; k as usize].join(", "))
    }
}

fn forecast(k: u32, length: f64, overhead: &str) -> Cell {
    let mut document =
        Document::read(&common::root().join("scenarios/seeds/nemo-rl-235b-sync.yaml")).unwrap();
    for assignment in [
        format!("generation.overhead={overhead}"),
        format!("speculation.schedule.fixed.k={k}"),
        format!("speculation.acceptance={}", acceptance(k, length)),
        "uncertainty={ workload_draws: 1, worlds: 1 }".to_owned(),
        "rl_steps=1".to_owned(),
    ] {
        document.set(&assignment).unwrap();
    }
    let result = compare(&document, Stepper::Leap).unwrap().result;
    Cell {
        rollout: result.speedup.rollout.median,
        step: result.speedup.step.median,
        length: result.forecast.acceptance_length,
        share: result.baseline.rollout_s.mean / result.baseline.step_s.mean,
    }
}

/// All cells, printed; mean absolute errors of rollout and step speedup.
fn table(overhead: &str) -> (Vec<Cell>, [f64; 2]) {
    let cells: Vec<Cell> = PUBLISHED.iter().map(|(k, length, ..)| forecast(*k, *length, overhead)).collect();
    eprintln!(
        "overhead: {overhead}; generation is {:.2} of the baseline step (theirs by Amdahl's law .65)",
        cells[0].share
    );
    eprintln!(" K   AL    got  rollout  theirs  error %   step  theirs  error %");
    let mut errors = [0.0, 0.0];
    for ((k, length, rollout, step), cell) in PUBLISHED.iter().zip(&cells) {
        let error = [cell.rollout / rollout - 1.0, cell.step / step - 1.0];
        eprintln!(
            "{k:2}  {length:.1}  {:5.2}  {:7.2}  {rollout:6.2}  {:+7.1}  {:5.2}  {step:6.2}  {:+7.1}",
            cell.length,
            cell.rollout,
            100.0 * error[0],
            cell.step,
            100.0 * error[1]
        );
        for (sum, error) in errors.iter_mut().zip(error) {
            *sum += error.abs() / PUBLISHED.len() as f64;
        }
    }
    for k in [1, 3, 5, 7] {
        // What a round costs in plain steps: what it emits over what it gains.
        let of_k = PUBLISHED.iter().zip(&cells).filter(|((of, ..), _)| *of == k);
        let costs: Vec<[f64; 2]> = of_k
            .map(|((_, length, theirs, _), cell)| [cell.length / cell.rollout, length / theirs])
            .collect();
        let mean = |side: usize| costs.iter().map(|cost| cost[side]).sum::<f64>() / costs.len() as f64;
        eprintln!("a round of K={k} costs {:.3} plain steps, theirs {:.3}", mean(0), mean(1));
    }
    eprintln!("mean error: rollout {:.1} %, step {:.1} %", 100.0 * errors[0], 100.0 * errors[1]);
    (cells, errors)
}

#[test]
fn bare_kernels_reproduce_the_published_surface() {
    let (cells, [rollout, _]) = table("none");
    for ((k, length, ..), cell) in PUBLISHED.iter().zip(&cells) {
        assert!(
            (cell.length / length - 1.0).abs() < 0.02,
            "K={k}: length {length} was asked, {} came out",
            cell.length
        );
    }
    let at = |k: u32, length: f64| PUBLISHED.iter().position(|row| (row.0, row.1) == (k, length)).unwrap();
    let falling = [1, 3, 5, 7].map(|k| cells[at(k, 2.0)].rollout);
    assert!(falling.is_sorted_by(|a, b| a > b), "more drafts for the same length gain less: {falling:?}");
    let rising = [2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0].map(|length| cells[at(7, length)].rollout);
    assert!(rising.is_sorted_by(|a, b| a < b), "{rising:?}");
    assert!(rollout <= 0.12, "mean error of the rollout speedup: {rollout}");
}

#[test]
fn an_engine_s_software_takes_a_part() {
    let (cells, _) = table("measured");
    let mut lower = 0;
    for ((_, _, rollout, _), cell) in PUBLISHED.iter().zip(&cells) {
        assert!(cell.rollout.is_finite() && cell.rollout > 0.0 && cell.step.is_finite() && cell.step > 0.0);
        lower += usize::from(cell.rollout < *rollout);
    }
    eprintln!("{lower} of {} cells below the published ones", cells.len());
}
