//! Hybrids of Mamba-2, attention and experts (Nemotron-3) as a user meets them: runs with their own prediction layer, how they
//! may lie on GPUs, and what their states take.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{File, number, run};
use serde_json::Value;

/// Nemotron-3 Super with its multi-token-prediction layer on sixteen GPUs, eight a replica, rollout and training in turn.
const SUPER: &str = "version: 1
model: nemotron-3-super-120b-a12b
cluster: { device: h200-sxm, gpus: 16 }
workload:
  prompts_per_step: 16
  samples_per_prompt: 4
  prompt_tokens: { constant: { tokens: 512 } }
  response_tokens: { lognormal: { mean: 1500, sigma: 0.6, max: 6000 } }
generation: { engine: vllm, engine_version: \"0.24.0\", layout: { tp: 8 }, max_num_seqs: 64 }
speculation:
  drafter: mtp-nemotron-3-super-120b-a12b
  acceptance: { per_position: [0.8, 0.7, 0.6] }
  schedule: { fixed: { k: 3 } }
training: { global_batch_size: 64 }
reward: { rule: { seconds: 2 } }
uncertainty: { workload_draws: 2, worlds: 50 }
";

fn json(text: &str) -> Value {
    let file = File::new(text);
    run(&["run", file.name(), "--format", "json"]).exits(0).json()
}

#[test]
fn a_hybrid_runs_whole_with_its_prediction_layer() {
    let result = json(SUPER);
    let speedup = number(&result, "speedup.step.mean");
    assert!((1.0..2.5).contains(&speedup), "{speedup}");
    assert!(number(&result, "forecast.stages_s.generation") > 1.0);
    // One mixer a layer: 88 of them, 8 with keys and values, and a state of 162.3 MiB a sequence for each token verified,
    // taken from the cache as tokens: a GPU has one of two heads in the target's eight layers and in the drafter's one.
    assert_eq!(number(&result, "resolved.model.mixers.attention"), 8.0);
    let state: f64 = 40.0 * (4_194_304.0 + 61_440.0) / 8.0;
    let kv = 9.0 * 2.0 * 128.0 * 2.0;
    let known = (4.0 * state / kv).ceil();
    assert_eq!(number(&result, "resolved.generation.state_tokens"), known);
    // SGLang keeps them apart.
    let other = json(&SUPER.replace("engine: vllm, engine_version: \"0.24.0\"", "engine: sglang"));
    assert_eq!(number(&other, "resolved.generation.state_tokens"), 0.0);
}

#[test]
fn groups_of_heads_bound_tensor_parallelism() {
    let file = File::new(&SUPER.replace("tp: 8", "tp: 16"));
    run(&["run", file.name()]).exits(2).says(&[
        "generation.layout.tp",
        "16 GPUs do not divide the 8 groups of heads of nemotron-3-super-120b-a12b",
        "possible here: 1, 2, 4, 8",
    ]);
}

#[test]
fn what_no_table_holds_counts_as_extrapolated() {
    let step = |device: &str, model: &str| {
        let model = ["--model", model, "--tp", "8", "--device", device];
        let step = [&["cost", "step", "-b", "256", "--bare", "--format", "json"], &model[..]].concat();
        run(&step).exits(0).json()
    };
    let outside = |step: &Value| {
        let lines = step["by_op"].as_array().unwrap();
        let line = lines.iter().find(|line| line["operator"] == "linear attention").unwrap();
        number(line, "extrapolated_s") / number(line, "seconds")
    };
    assert_eq!(outside(&step("h200-sxm", "nemotron-3-super-120b-a12b")), 1.0);
    assert_eq!(outside(&step("h200-sxm", "qwen3.5-35b-a3b")), 0.0);
}
