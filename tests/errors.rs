//! Scenarios that are well written and cannot be: what `resolve` refuses, where it points, and whether what it
//! proposes instead works. What the form itself refuses is in `scenario_errors.rs`.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "errors/engine.rs"]
mod engine;
#[path = "errors/lengths.rs"]
mod lengths;
#[path = "errors/memory.rs"]
mod memory;
#[path = "errors/names.rs"]
mod names;
#[path = "errors/numbers.rs"]
mod numbers;
#[path = "errors/speculation.rs"]
mod speculation;

use common::{File, run, small};
use serde_json::Value;

const MODEL: &str = "model: qwen3-8b";
const GPUS: &str = "gpus: 8, usd_per_gpu_hour: 2.5";
const RESPONSES: &str = "response_tokens: { lognormal: { mean: 500, sigma: 0.8, max: 2048 } }";
const ENGINE: &str = "layout: { tp: 1 }, max_num_seqs: 128";
const DRAFTER: &str = "  drafter: eagle3-qwen3-8b\n";
const ACCEPTANCE: &str = "  acceptance: { power_law: { first: 0.776, decay: 0.074, concentration: 12 } }\n";
const SCHEDULE: &str = "  schedule: { fixed: { k: 3 } }\n";

/// The small scenario, changed, must be bad input: refused where `at` stands in the file, in these words.
fn refused(changes: &[(&str, &str)], at: &str, said: &[&str]) {
    let text = small(changes);
    let file = File::new(&text);
    let start = text.find(at).unwrap_or_else(|| panic!("no `{at}` in:\n{text}"));
    let line = text[..start].matches('\n').count() + 1;
    let column = start - text[..start].rfind('\n').map_or(0, |end| end + 1) + 1;
    let place = format!("{}:{line}:{column}:", file.name());
    let refusal = run(&["run", file.name()]).exits(2).says(&[&place]).says(said);
    assert_eq!(refusal.out, "", "nothing but the error");
}

#[test]
fn the_small_scenario_is_right() {
    accepted(&[]);
}

/// The small scenario, changed, must run.
fn accepted(changes: &[(&str, &str)]) -> Value {
    let file = File::new(&small(changes));
    run(&["run", file.name(), "--format", "json"]).exits(0).json()
}
