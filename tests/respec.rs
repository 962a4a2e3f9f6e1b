//! ReSpec's own figures as an exact test of the table-driven solver (arXiv 2510.26475).
//!
//! Figure 7 prints speedups over plain decoding by batch and (num_steps, topk, num_draft_tokens): Qwen2.5-7B-Instruct,
//! temperature 0.6, MT-bench, one H100. Figure 6 shows the running requests of an engine over a rollout: 1,000 samples at
//! equal times. With lines between the rows of figure 7, the harmonic mean of the speedups over these samples is what a
//! configuration, or the choice among them, is worth over that rollout in equal tokens per sample.

use std::path::PathBuf;

use rollcast::speculation::Configuration;
use rollcast::speculation::schedule::{Profile, Respec, Schedule, Snapshot};
use rollcast::speculation::solver::CatchUp;

const BATCHES: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];
const CELLS: [(u32, u32, u32); 9] =
    [(3, 5, 8), (3, 5, 16), (3, 5, 32), (3, 8, 8), (3, 8, 16), (3, 8, 32), (5, 8, 8), (5, 8, 16), (5, 8, 32)];

/// Figure 7 as printed.
const SPEEDUPS: [[f64; 9]; 7] = [
    [1.237, 1.358, 1.27, 1.191, 1.307, 1.323, 1.145, 1.358, 1.411],
    [1.2, 1.249, 1.319, 1.273, 1.351, 1.372, 1.24, 1.23, 1.464],
    [1.114, 1.23, 1.236, 1.156, 1.335, 1.241, 1.231, 1.229, 1.246],
    [1.175, 1.251, 1.144, 1.255, 1.114, 1.113, 1.063, 1.206, 1.135],
    [1.301, 1.239, 1.129, 1.383, 1.361, 1.115, 1.204, 1.369, 1.129],
    [1.114, 0.957, 0.795, 1.113, 1.003, 0.852, 0.968, 1.009, 0.755],
    [0.843, 0.735, 0.536, 0.837, 0.801, 0.555, 0.786, 0.634, 0.448],
];

fn cells() -> Vec<Configuration> {
    CELLS
        .iter()
        .map(|(s, t, n)| Configuration::from_sglang(*s, *t, *n).unwrap_or_else(|e| panic!("{e}")))
        .collect()
}

fn profile() -> Profile {
    let rows: Vec<Vec<f64>> = SPEEDUPS.iter().map(|row| row.to_vec()).collect();
    Profile::new(BATCHES.to_vec(), cells(), &rows).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn the_best_printed_cell_at_every_batch_and_off_at_64() {
    let mut schedule = Respec::new(profile(), CatchUp::KeepWarm);
    let best = [
        Some((5, 8, 32)),
        Some((5, 8, 32)),
        Some((3, 8, 16)),
        Some((3, 8, 8)),
        Some((3, 8, 8)),
        Some((3, 5, 8)),
        None,
    ];
    for (running, cell) in BATCHES.into_iter().zip(best) {
        let decision = schedule.decide(&Snapshot { running, ..Snapshot::default() });
        assert_eq!(decision.to_sglang(), cell, "batch {running}");
    }
}

/// The digitised figure 6, where `ROLLCAST_TABLES` says it is.
fn running_requests() -> Option<Vec<u32>> {
    let folder = PathBuf::from(std::env::var_os("ROLLCAST_TABLES")?);
    let text = std::fs::read_to_string(folder.join("figures/respec_fig6_running_requests.csv")).ok()?;
    text.lines().skip(1).map(|line| line.split(',').nth(1)?.trim().parse().ok()).collect()
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn adaptive_against_static_over_their_rollout() {
    let Some(samples) = running_requests() else {
        eprintln!("SKIPPED: adaptive_against_static_over_their_rollout: no figure 6 under ROLLCAST_TABLES");
        return;
    };
    assert_eq!(samples.len(), 1000);
    let profile = profile();
    let harmonic = |speedup: &dyn Fn(u32) -> f64| {
        samples.len() as f64 / samples.iter().map(|batch| 1.0 / speedup(*batch)).sum::<f64>()
    };
    let adaptive = harmonic(&|batch| profile.best(batch).1);
    let fixed: Vec<f64> = (0..9).map(|cell| harmonic(&|batch| profile.speedup(cell, batch))).collect();
    let best = (0..9).max_by(|a, b| fixed[*a].total_cmp(&fixed[*b])).unwrap_or(0);
    // Computed apart from this program, from the same two tables.
    assert!((adaptive - 1.3135).abs() < 5e-5, "{adaptive}");
    assert!((fixed[best] - 1.2513).abs() < 5e-5, "{fixed:?}");
    assert_eq!(CELLS[best], (5, 8, 16));
}
