//! Whole engine steps beside public serving runs: software constants are fitted to one half of the runs and tested on
//! the other. Needs a public table of runs, and says so where it is missing.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints its table"
)]

mod common;

use common::public_table;
use rollcast::study::engine_fit::{self, Composed, LONG_OUTPUT};

/// Memory of a device that KV cache may take, and what a token holds: runs beyond it queue.
fn fits(composed: &Composed) -> bool {
    let (weights, token): (f64, f64) = match composed.run.model.as_str() {
        "llama-3.1-8b" => (16.1e9, 131_072.0),
        _ => (65.5e9, 262_144.0),
    };
    let weights = if composed.run.fp8 { 0.5 * weights } else { weights };
    let memory = if composed.run.device == "h200-sxm" { 150.8e9 } else { 85.5e9 };
    let free = 0.9 * memory * f64::from(composed.run.tp) - weights;
    composed.run.tokens() as f64 * token < 0.95 * free
}

#[test]
fn half_of_the_runs_forecast_the_other_half() {
    let Some(text) = public_table("figures/engine_tpot_dev.csv") else { return };
    let (runs, left_out) = engine_fit::read("engine_tpot_dev.csv", &text).unwrap();
    let composed: Vec<Composed> = runs.iter().map(|run| engine_fit::compose(run).unwrap()).collect();
    let queued = composed.iter().filter(|composed| !fits(composed)).count();
    println!("{} runs, {queued} queue, left out {left_out:?}", runs.len());
    let mut families: Vec<String> = runs.iter().map(engine_fit::Run::family).collect();
    families.sort();
    families.dedup();
    println!("| family | runs | gap us | per request us | prefill share | test median % | mean % | bias % |");
    println!("|---|---|---|---|---|---|---|---|");
    for family in families {
        let own: Vec<Composed> =
            composed.iter().filter(|c| c.run.family() == family && fits(c)).cloned().collect();
        let long = own.iter().filter(|c| c.run.output_tokens >= LONG_OUTPUT).count();
        let Some(fit) = engine_fit::fit(&family, &own) else {
            println!("| {family} | {long} | too few | | | | | |");
            continue;
        };
        println!(
            "| {family} | {} | {:.0} +- {:.0} | {:.0} +- {:.0} | {:.2} | {:.1} | {:.1} | {:+.1} |",
            fit.runs,
            fit.iteration_gap_us,
            fit.spread[0],
            fit.per_request_us,
            fit.spread[1],
            fit.prefill_share,
            1e2 * fit.test.median,
            1e2 * fit.test.mean,
            1e2 * fit.test.bias
        );
        for row in &fit.rows {
            println!(
                "|   {} | {} | | | | {:.1} | {:.1} | {:+.1} |",
                row.label,
                row.errors.runs,
                1e2 * row.errors.median,
                1e2 * row.errors.mean,
                1e2 * row.errors.bias
            );
        }
        if family.starts_with("vllm 0.12 bf16") || family.starts_with("sglang 0.5 bf16") {
            assert!(fit.test.median <= 0.10 && fit.test.mean <= 0.14, "{family}: {:?}", fit.test);
        }
    }
}
