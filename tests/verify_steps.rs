//! Verification beside decoding, on an A100 whose tables have no verification: 178 public pairs (EfficientRollout,
//! Qwen2.5-7B on vLLM 0.11.2, Apache-2.0). The ratio of the two decides whether drafting pays, and no constant is
//! fitted to a row. Their batches share one prompt's KV blocks, so contexts of 4096 read less memory than ours do.

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

/// Median milliseconds by (batch, context, draft tokens).
fn rows(text: &str, mode: &str) -> BTreeMap<(u32, u32, u32), f64> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|h| h == name).unwrap();
    let (batch, seq, gamma, kind, ms) =
        (column("batch"), column("seq"), column("gamma"), column("mode"), column("median_ms"));
    reader
        .records()
        .map(Result::unwrap)
        .filter(|row| &row[kind] == mode && &row[batch] != "0")
        .map(|row| {
            let count = |i: usize| row[i].parse::<u32>().unwrap();
            ((count(batch), count(seq), count(gamma)), row[ms].parse().unwrap())
        })
        .collect()
}

#[test]
fn verification_costs_what_it_costs_beside_a_decode_step() {
    let Some(text) = public_table("figures/efficientrollout_a100_qwen25_7b.csv") else { return };
    let document = Document::parse(
        "a100",
        "version: 1\nmodel: qwen2.5-7b\ncluster: { device: a100-sxm-80g, gpus: 1, gpus_per_node: 1 }\n\
         workload: { prompts_per_step: 1, samples_per_prompt: 1, prompt_tokens: { constant: { tokens: 16 } }, \
         response_tokens: { constant: { tokens: 16 } } }\n\
         generation: { overhead: none, layout: { tp: 1 }, num_gpu_blocks: 1000000 }\nspeculation: off\n",
    );
    let engine = resolve_engine(&document.unwrap()).unwrap().engine;
    let ms = |batch: u32, context: u32, draft_tokens: u32| {
        let total = f64::from(batch) * f64::from(context);
        let shape = Shape { decoding: batch, draft_tokens, ..Shape::default() };
        1e3 * engine.piece(&shape, total).seconds(total)
    };
    let (decode, verify) = (rows(&text, "target_decode"), rows(&text, "target_verify"));
    let mut errors: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for (&(batch, context, gamma), measured) in &verify {
        let Some(plain) = decode.get(&(batch, context, 0)) else { continue };
        let forecast = ms(batch, context, gamma) / ms(batch, context, 0);
        errors.entry(context).or_default().push(forecast / (measured / plain) - 1.0);
    }
    let mean = |errors: &[f64]| errors.iter().map(|e| e.abs()).sum::<f64>() / errors.len() as f64;
    for (context, errors) in &errors {
        println!(
            "context {context:5}: {} pairs, mean error of the ratio {:.1} %",
            errors.len(),
            1e2 * mean(errors)
        );
    }
    let all: Vec<f64> = errors.into_values().flatten().collect();
    println!("all: {} pairs, mean error of the ratio {:.1} %", all.len(), 1e2 * mean(&all));
    assert!(all.len() >= 170 && mean(&all) <= 0.12, "{}", mean(&all));
}
