//! Whole serving runs of mixtures of experts beside forecasts, nothing fitted to any of them. Needs the public table of
//! runs (`calibration/public_tables.py WHEEL runs OUT`), and says so where it is missing.

#![cfg(feature = "simulator")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints its table"
)]

mod common;

use std::collections::BTreeMap;

use common::public_table;
use rollcast::piece::Shape;
use rollcast::resolve::resolve_engine;
use rollcast::scenario::Document;

/// Share of a prompt's prefill that a run's time per output token holds, by engine: `rollcast`'s own engine fits
/// (calibration/README.md).
const PREFILL_SHARES: [(&str, f64); 2] = [("sglang", 0.60), ("vllm", 0.87)];

/// Milliseconds per output token of a run at a constant batch: a decode step at the mean context, and the prefills of the
/// requests that take the place of those that end.
fn forecast(run: &BTreeMap<&str, &str>) -> f64 {
    let count = |name: &str| run[name].parse::<u32>().unwrap();
    let (batch, prompt, output) = (count("batch"), count("isl"), count("osl"));
    let text = format!(
        "version: 1\nmodel: {}\ncluster: {{ device: {}, gpus: {tp}, gpus_per_node: {tp}, usd_per_gpu_hour: 1 }}\n\
         workload: {{ prompts_per_step: 1, samples_per_prompt: 1, prompt_tokens: {{ constant: {{ tokens: 16 }} }}, \
         response_tokens: {{ constant: {{ tokens: 16 }} }} }}\n\
         generation: {{ engine: {}, engine_version: \"{}\", layout: {{ tp: {tp}, ep: {ep} }}, weights: fp8, \
         num_gpu_blocks: 10000000 }}\nspeculation: off\n",
        run["model"],
        run["device"],
        run["engine"],
        run["version"],
        tp = count("tp"),
        ep = count("ep"),
    );
    let engine = resolve_engine(&Document::parse("run", &text).unwrap()).unwrap().engine;
    let context = f64::from(batch) * (f64::from(prompt) + f64::from(output) / 2.0);
    let decode = Shape { decoding: batch, ..Shape::default() };
    let prefill = Shape {
        prefill_tokens: prompt,
        prefill_pairs: u64::from(prompt) * u64::from(prompt) / 2,
        prefill_ends: 1,
        ..Shape::default()
    };
    let seconds = |shape: &Shape, context: f64| {
        let piece = engine.piece(shape, context);
        piece.seconds(context) + piece.per_prefill_pair * shape.prefill_pairs as f64
    };
    let prompts_a_step = f64::from(batch) / f64::from(output);
    let share = PREFILL_SHARES.iter().find(|(engine, _)| *engine == run["engine"]).unwrap().1;
    1e3 * (seconds(&decode, context) + share * prompts_a_step * seconds(&prefill, 0.0))
}

#[test]
fn runs_of_mixtures_of_experts_are_forecast() {
    let Some(text) = public_table("figures/serving_runs.csv") else { return };
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let mut families: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for record in reader.records().map(Result::unwrap) {
        let run: BTreeMap<&str, &str> = header.iter().zip(record.iter()).collect();
        let error = forecast(&run) / run["tpot_ms"].parse::<f64>().unwrap() - 1.0;
        let spread = if run["ep"] == "1" { "" } else { ", experts spread" };
        let family = format!("{} on {}, {}{spread}", run["model"], run["device"], run["engine"]);
        families.entry(family).or_default().push(error);
    }
    println!("| runs | | median % | mean % | bias % |\n|---|---|---|---|---|");
    for (family, errors) in &families {
        let mut sizes: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        let mean = |values: &[f64]| 1e2 * values.iter().sum::<f64>() / values.len() as f64;
        let median = 1e2 * sizes[sizes.len() / 2];
        println!(
            "| {family} | {} | {median:.1} | {:.1} | {:+.1} |",
            errors.len(),
            mean(&sizes),
            mean(errors)
        );
        // Ten runs of one release on the B300, slower than the B200's of the same layout, are shown without a bound; models that
        // came later have a wider one.
        let later = ["qwen3.5", "minimax"].iter().any(|name| family.starts_with(name));
        assert!(errors.len() < 20 || median < if later { 18.0 } else { 15.0 }, "{family}: {median:.1} %");
    }
}
