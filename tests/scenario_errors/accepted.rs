//! What must be accepted: every key, and every spelling the documentation shows.

use rollcast::scenario::raw::{Acceptance, Count, Speculation, Uncertain};
use rollcast::scenario::{Document, Error};

use crate::{GOOD, changed, scenario};

/// Every key that is not planned, in the sections where all are optional.
const EVERY_KEY: &str = "\
version: 1
description: every key
model: qwen3-8b
cluster: { device: h100-sxm, gpus: 32, gpus_per_node: 8, network: ib-ndr400, usd_per_gpu_hour: 0 }
workload:
  prompts_per_step: 64
  samples_per_prompt: 32
  prompt_tokens: { file: { path: prompts.txt, max: 2048 } }
  response_tokens: { histogram: { edges: [0, 100, 1000.5], weights: [1, 2.5], max: 900 } }
  group_correlation: 0.3
  response_drift: [[0, 1], [100, 1.4]]
generation:
  engine: sglang
  engine_version: \"0.5\"
  overhead: none
  kernel_floors: 0.5
  layout: { tp: 1, pp: 1, ep: 1, dp_attention: false }
  max_num_seqs: 256
  max_num_batched_tokens: 8192
  max_model_len: 20000
  num_gpu_blocks: 9000
  block_size: 16
  gpu_memory_utilization: 0.6
  enforce_eager: false
  cudagraph_mode: full_and_piecewise
  cudagraph_capture_sizes: [1, 2, 4]
  kv_cache_dtype: fp8
  weights: fp8
  temperature: 1
  router: group_affinity
  prefix_caching: true
  routing: { skew: 0.5, chain_overlap: 0.2, transport: all_to_all }
  chunked_prefill: true
speculation:
  drafter: eagle3-qwen3-8b
  acceptance: { per_position: [0.8, { value: 0.7, se: 0.02 }] }
  concentration: 12
  schedule: { fixed: { k: 0 } }
training:
  layout: { tp: 2, pp: 1, cp: 1, ep: 1, dp: 16 }
  precision: bf16
  global_batch_size: 2048
  epochs: 1
  packing: true
  micro_batch_tokens: 16384
  balance: step
  update_seconds: 0.5
  recompute: full
  mfu: { value: 0.4, se: 0.05 }
  logprob_mfu: 0.5
  reference_logprobs: true
  old_logprobs: true
loop:
  mode: sync
  colocated: false
  max_staleness: 0
  data_seconds: 1
  prepare_seconds: { value: 3, se: 0 }
  weight_sync: { seconds: { value: 4, se: 1 } }
  streaming: false
reward: { rule: { seconds: 2, overlapped: true } }
rl_steps: 10
warmup_steps: 2
seed: 18446744073709551615
uncertainty: { workload_draws: 8, worlds: 64 }
vars: { anything: [goes, 1] }
";

#[test]
fn every_key_of_the_example_is_read() -> Result<(), Error> {
    let read = scenario(GOOD)?;
    let text = serde_json::to_string(&read).unwrap_or_default();
    assert_eq!(
        Document::parse("again.json", &text)?.scenario()?,
        read,
        "a scenario written as JSON reads the same"
    );
    let shown = scenario(EVERY_KEY)?;
    let json = serde_json::to_value(&shown).unwrap_or_default();
    for section in ["cluster", "workload", "generation", "training", "uncertainty"] {
        let keys =
            json[section].as_object().map(|map| map.iter().filter(|(_, value)| value.is_null()).count());
        let planned = usize::from(section == "training");
        assert_eq!(keys, Some(planned), "{section}: {}", json[section]);
    }
    Ok(())
}

#[test]
fn speculation_is_off_in_every_spelling() -> Result<(), Error> {
    let start = GOOD.find("speculation:").unwrap_or(0);
    let end = GOOD.find("training:").unwrap_or(0);
    for off in ["off", "Off", "OFF", "\"off\"", "false", "'off'"] {
        let text = format!("{}speculation: {off}\n{}", &GOOD[..start], &GOOD[end..]);
        assert_eq!(scenario(&text)?.speculation, Some(Speculation::Off), "{off}");
    }
    for off in ["off", "false", "\"off\"", "{ off: }"] {
        let text = changed("{ fixed: { k: 3 } }", off);
        assert!(format!("{:?}", scenario(&text)?.speculation).contains("Off"), "{off}");
    }
    Ok(())
}

#[test]
fn uncertain_numbers_and_short_forms() -> Result<(), Error> {
    let law = "{ power_law: { first: 0.776, decay: 0.074, concentration: 12 } }";
    let read = scenario(&changed(law, "{ per_position: [1, 0.5, { value: 0.4, se: 0.1 }] }"))?;
    let Some(Speculation::On(config)) = read.speculation else { panic!("speculation is on") };
    let expected = vec![Uncertain::exact(1.0), Uncertain::exact(0.5), Uncertain { value: 0.4, se: 0.1 }];
    assert_eq!(config.acceptance, Some(Acceptance::PerPosition(expected)));
    let read = scenario(&changed("{ id: eagle3-qwen3-8b, tp: 1, weights: bf16 }", "eagle3-qwen3-8b"))?;
    assert!(format!("{read:?}").contains("Drafter { id: Some(\"eagle3-qwen3-8b\"), tp: None"));
    Ok(())
}

#[test]
fn anchors_and_merge_keys_are_resolved() -> Result<(), Error> {
    let text = changed("seed: 1", "vars: { shape: &shape { tp: 2, pp: 1 } }")
        .replace("layout: { tp: 1 }", "layout: { <<: *shape, tp: 4 }");
    // The anchor must stand before its use.
    let (vars, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("vars"));
    let read = scenario(&[vars, rest].concat().join("\n"))?;
    let layout = read.generation.and_then(|generation| generation.layout).unwrap_or_default();
    assert_eq!((layout.tp.map(Count::get), layout.pp.map(Count::get)), (Some(4), Some(1)));
    Ok(())
}
