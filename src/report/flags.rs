//! A forecast's settings as flags of the engines, to be copied.
//!
//! Names as in vLLM 0.33.0 and SGLang 0.5.23 (their argument parsers and speculative-decoding pages, read November 2026).
//! NeMo-RL passes the same JSON on: `policy.generation.vllm_kwargs.speculative_config`. What an engine has no flag for
//! is not written; block drafters are left to their own documentation, as their method's name depends on the drafter.

use serde_json::{Map, Value, json};

use crate::resolved::{DrafterKind, GraphMode, Precision, Resolved, ScheduleInput, Speculation};

/// Where a drafter's weights are: nobody told this program.
const WEIGHTS: &str = "PATH_OF_YOUR_DRAFTER";

/// Commands, each with the engine's name; the scenario's own engine first.
pub(super) fn commands(resolved: &Resolved) -> Vec<(&'static str, String)> {
    let mut commands = vec![("vLLM", vllm(resolved)), ("SGLang", sglang(resolved))];
    if resolved.generation.engine.engine.starts_with("sglang") {
        commands.reverse();
    }
    commands
}

/// Draft tokens, if anything is drafted.
fn drafting(resolved: &Resolved) -> Option<(&Speculation, u32)> {
    let speculation = resolved.speculation.as_ref()?;
    match speculation.schedule {
        ScheduleInput::Fixed { k } if k > 0 => Some((speculation, k)),
        _ => None,
    }
}

/// Whether a schedule chooses what is drafted.
fn by_batch(resolved: &Resolved) -> bool {
    let schedule = resolved.speculation.as_ref().map(|speculation| &speculation.schedule);
    schedule.is_some_and(|schedule| !matches!(schedule, ScheduleInput::Off | ScheduleInput::Fixed { .. }))
}

/// vLLM's `--speculative-config`; none where nothing is drafted or the method is not known here.
pub(super) fn speculative_config(resolved: &Resolved) -> Option<Value> {
    let (speculation, k) = drafting(resolved)?;
    let mut config = Map::new();
    let method = match speculation.drafter.kind {
        DrafterKind::Eagle3 => "eagle3",
        DrafterKind::Mtp => "mtp",
        DrafterKind::Model => "draft_model",
        DrafterKind::Ngram => "ngram",
        DrafterKind::Suffix => "suffix",
        DrafterKind::Block => return None,
    };
    config.insert("method".to_owned(), json!(method));
    if matches!(speculation.drafter.kind, DrafterKind::Eagle3 | DrafterKind::Model) {
        config.insert("model".to_owned(), json!(WEIGHTS));
        config.insert("draft_tensor_parallel_size".to_owned(), json!(speculation.tp));
    }
    config.insert("num_speculative_tokens".to_owned(), json!(k));
    Some(Value::Object(config))
}

fn vllm(resolved: &Resolved) -> String {
    let generation = &resolved.generation;
    let engine = &generation.engine;
    let mut flags = vec![
        format!("vllm serve {}", resolved.model.id),
        format!("--tensor-parallel-size {}", generation.layout.tp),
    ];
    if generation.layout.ep > 1 {
        flags.push("--enable-expert-parallel".to_owned());
    }
    if generation.layout.dp_attention {
        flags.push(format!("--data-parallel-size {}", generation.layout.attention_ranks()));
    }
    // Limits of each rank that takes requests of its own.
    let ranks = generation.layout.attention_ranks().max(1);
    flags.push(format!("--max-num-seqs {}", engine.max_num_seqs.div_ceil(ranks)));
    flags.push(format!("--max-num-batched-tokens {}", engine.max_num_batched_tokens.div_ceil(ranks)));
    flags.push(format!("--max-model-len {}", engine.max_model_len));
    flags.push(match engine.gpu_memory_utilization {
        Some(share) => format!("--gpu-memory-utilization {share}"),
        None => format!("--num-gpu-blocks-override {}", generation.kv_blocks.div_ceil(u64::from(ranks))),
    });
    if generation.weights == Precision::Fp8 {
        flags.push("--quantization fp8".to_owned());
    }
    if generation.kv_cache == Precision::Fp8 {
        flags.push("--kv-cache-dtype fp8".to_owned());
    }
    let graphs = |mode: &str| format!("--compilation-config '{{\"cudagraph_mode\": \"{mode}\"}}'");
    match engine.graph_mode {
        GraphMode::None => flags.push("--enforce-eager".to_owned()),
        GraphMode::Piecewise => flags.push(graphs("PIECEWISE")),
        GraphMode::FullDecodeOnly => flags.push(graphs("FULL_DECODE_ONLY")),
        GraphMode::FullAndPiecewise => {}
    }
    if let Some(config) = speculative_config(resolved) {
        flags.push(format!("--speculative-config '{config}'"));
    }
    flags.join(" \\\n  ")
}

fn sglang(resolved: &Resolved) -> String {
    let generation = &resolved.generation;
    let engine = &generation.engine;
    let mut flags = vec![
        format!("python -m sglang.launch_server --model-path {}", resolved.model.id),
        format!("--tp-size {}", generation.layout.gpus()),
    ];
    if generation.layout.ep > 1 {
        flags.push(format!("--ep-size {}", generation.layout.ep));
    }
    if generation.layout.dp_attention {
        flags.push(format!("--dp-size {} --enable-dp-attention", generation.layout.attention_ranks()));
    }
    flags.push(format!("--max-running-requests {}", engine.max_num_seqs));
    flags.push(format!("--chunked-prefill-size {}", engine.max_num_batched_tokens));
    flags.push(format!("--context-length {}", engine.max_model_len));
    let of_rank = generation.kv_blocks.div_ceil(u64::from(generation.layout.attention_ranks().max(1)));
    flags.push(match engine.gpu_memory_utilization {
        Some(share) => format!("--mem-fraction-static {share}"),
        None => format!("--max-total-tokens {}", of_rank * u64::from(engine.block_size)),
    });
    if generation.weights == Precision::Fp8 {
        flags.push("--quantization fp8".to_owned());
    }
    if generation.kv_cache == Precision::Fp8 {
        flags.push("--kv-cache-dtype fp8_e4m3".to_owned());
    }
    if engine.graph_mode == GraphMode::None {
        flags.push("--disable-cuda-graph".to_owned());
    }
    if let Some((speculation, k)) = drafting(resolved) {
        let chain = format!(
            "--speculative-num-steps {k} --speculative-eagle-topk 1 --speculative-num-draft-tokens {}",
            k.saturating_add(1)
        );
        match speculation.drafter.kind {
            DrafterKind::Eagle3 => {
                flags
                    .push(format!("--speculative-algorithm EAGLE3 --speculative-draft-model-path {WEIGHTS}"));
                flags.push(chain);
            }
            // The target's own layer is its draft model.
            DrafterKind::Mtp => {
                flags.push("--speculative-algorithm EAGLE".to_owned());
                flags.push(chain);
            }
            DrafterKind::Model => {
                flags.push(format!(
                    "--speculative-algorithm STANDALONE --speculative-draft-model-path {WEIGHTS}"
                ));
                flags.push(chain);
            }
            DrafterKind::Ngram => {
                flags.push(format!(
                    "--speculative-algorithm NGRAM --speculative-num-draft-tokens {}",
                    k.saturating_add(1)
                ));
            }
            DrafterKind::Suffix | DrafterKind::Block => {}
        }
    }
    flags.join(" \\\n  ")
}

/// What the flags do not say.
pub(super) fn remark(resolved: &Resolved) -> String {
    let replicas = resolved.generation.replicas;
    let mut text = format!(
        "For each of {replicas} replicas; the model by its name here, the share of memory at the engine's default. "
    );
    match drafting(resolved) {
        // One flag cannot say what is drafted at which batch.
        None if by_batch(resolved) => {
            text += "What is drafted changes with the batch: `rollcast solve --export` writes the engine's table.";
        }
        None => text += "Nothing is drafted.",
        Some((speculation, _)) => match speculation.drafter.kind {
            DrafterKind::Block => {
                text += "A block drafter's method is named after the drafter: see the engine's own page.";
            }
            DrafterKind::Suffix => text += "SGLang has no suffix drafter.",
            _ => text += "In NeMo-RL the JSON goes into policy.generation.vllm_kwargs.speculative_config.",
        },
    }
    text
}
