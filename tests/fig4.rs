//! Figure 4a of arXiv 2604.26779 beside ours: the rollout's speedup by GPUs and policy lag, Qwen3-235B-A22B, K=5 at an
//! acceptance length of 4. Which GPUs generate, lengths and instances are not published: the seed states what is taken.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the table is the point")]

mod common;

use common::{json, number};
use rollcast::rollout::Stepper;
use rollcast::scenario::Document;
use rollcast::study::compare;

/// Published: total GPUs, then lags 0, 2, 4, 8.
const PUBLISHED: [(u32, [f64; 4]); 4] = [
    (32, [2.63, 2.18, 1.89, 1.80]),
    (128, [3.12, 2.80, 2.37, 1.99]),
    (512, [3.42, 3.29, 3.20, 2.88]),
    (2048, [2.94, 3.46, 3.31, 3.28]),
];
const LAGS: [u32; 4] = [0, 2, 4, 8];

/// Half of the GPUs generate, where the other half can hold the training state; 8 of 32.
fn speedup(gpus: u32, lag: u32) -> f64 {
    let generation = if gpus == 32 { 8 } else { gpus / 2 };
    let mut set: Vec<String> = vec![
        format!("pools.generation.gpus={generation}"),
        format!("pools.training.gpus={}", gpus - generation),
        format!("loop.max_staleness={lag}"),
        "uncertainty.workload_draws=1".to_owned(),
        "uncertainty.worlds=1".to_owned(),
        format!("rl_steps={}", 6 + 2 * lag),
        format!("warmup_steps={}", 4 + lag),
    ];
    if gpus < 2048 {
        // Instances of eight GPUs; 64 are theirs at 2048.
        set.push("generation.layout={ tp: 8, ep: 8 }".to_owned());
        set.push("generation.routing={}".to_owned());
    }
    if gpus == 32 {
        set.push("training.layout={ tp: 4, ep: 4 }".to_owned());
    }
    let mut document =
        Document::read(&common::root().join("scenarios/seeds/nemo-rl-235b-async.yaml")).unwrap();
    for assignment in &set {
        document.set(assignment).unwrap();
    }
    number(&json(&compare(&document, Stepper::Leap).unwrap()), "speedup.rollout.median")
}

/// Speedups at these lags, printed beside the published ones.
fn row(gpus: u32, lags: &[usize]) -> Vec<f64> {
    let published = PUBLISHED.iter().find(|(of, _)| *of == gpus).map(|(_, row)| row).unwrap();
    let ours: Vec<f64> = lags.iter().map(|lag| speedup(gpus, LAGS[*lag])).collect();
    let cells: Vec<String> =
        lags.iter().zip(&ours).map(|(lag, ours)| format!("{ours:.2} ({:.2})", published[*lag])).collect();
    println!("{gpus:>5} GPUs  {}", cells.join("  "));
    ours
}

#[test]
fn lag_fills_batches_and_gpus_empty_them() {
    println!("rollout speedup at lag 0 / 2 / 8 (published)");
    let (few, many) = (row(128, &[0, 1, 3]), row(2048, &[0, 1, 3]));
    for row in [&few, &many] {
        // Lag fills the batch, and a full batch leaves less to gain.
        assert!(row.iter().all(|gain| *gain > 1.2) && row[2] < row[0], "{row:?}");
    }
    // More GPUs, smaller batches: more is gained at every lag, and less is lost to it.
    assert!(few.iter().zip(&many).all(|(few, many)| many > few), "{few:?} {many:?}");
    assert!(many[2] / many[0] > few[2] / few[0], "{few:?} {many:?}");
    // The headline's rollout: 2048 GPUs, lag 2.
    assert!((3.0..3.6).contains(&many[1]), "{many:?}");
}

#[test]
#[ignore = "slow: all sixteen cells, for the table of the README"]
fn the_whole_figure() {
    println!("rollout speedup at lag 0 / 2 / 4 / 8 (published)");
    let mut errors = Vec::new();
    for (gpus, published) in &PUBLISHED {
        let ours = row(*gpus, &[0, 1, 2, 3]);
        errors.extend(ours.iter().zip(published).map(|(ours, theirs)| (ours / theirs - 1.0).abs()));
    }
    println!("mean error {:.1} %", 100.0 * errors.iter().sum::<f64>() / errors.len() as f64);
}
