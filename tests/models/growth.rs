//! More of anything is never cheaper, whatever the engine.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner, contextualize_config};
use rollcast::forward::Engine;
use rollcast::piece::Shape;

use crate::{Ask, beside, decode, ms};

/// Engines of every kind: dense, experts split or spread or behind data-parallel attention, latent attention, windows;
/// kernels alone or with software; with every kind of drafter or none.
fn engines() -> Vec<(String, Engine)> {
    let dp = |model, device, ep| Ask { dp_attention: true, ..Ask::new(model, device, 1, ep) };
    let asks = [
        Ask::new("qwen3-8b", "h100-sxm", 1, 1),
        Ask::new("qwen3-8b", "h100-sxm", 1, 1).drafting("eagle3-qwen3-8b", 1, 3),
        Ask::new("qwen3-8b", "h200-sxm", 2, 1).drafting("draft-qwen3-0.6b", 2, 3),
        Ask::new("qwen3-8b", "gb200", 1, 1).drafting("dflash-qwen3-8b", 1, 3),
        Ask::new("qwen2.5-32b", "h100-sxm", 4, 1).drafting("ngram", 1, 3),
        Ask::new("qwen3-235b-a22b", "h100-sxm", 8, 1).drafting("eagle3-qwen3-235b-a22b", 8, 3),
        Ask::new("qwen3-235b-a22b", "h200-sxm", 8, 8).with("routing: { skew: 0.74, chain_overlap: 0.4 }, "),
        dp("qwen3-235b-a22b", "h200-sxm", 16),
        dp("qwen3-235b-a22b", "h200-sxm", 8).with("routing: { transport: all_to_all }, "),
        Ask::new("gpt-oss-120b", "h100-sxm", 4, 4).drafting("eagle3-gpt-oss-120b", 1, 3),
        Ask::new("glm-4.5-air", "h100-sxm", 4, 4).drafting("mtp-glm-4.5-air", 1, 3).with("weights: fp8, "),
        Ask::new("deepseek-v3", "h200-sxm", 8, 8).drafting("mtp-deepseek-v3", 1, 3),
        dp("deepseek-v3", "h200-sxm", 32).drafting("mtp-deepseek-v3", 1, 3).with("routing: { skew: 1.2 }, "),
        Ask::new("kimi-k2", "gb200", 16, 16).with("kv_cache_dtype: fp8, "),
    ];
    let software = ["overhead: none, ", "", "enforce_eager: true, ", "engine: sglang, "];
    let all = asks.iter().flat_map(|ask| {
        software.map(|keys| {
            let ask = Ask { generation: ask.generation.replace("overhead: none, ", keys), ..ask.clone() }
                .unbounded();
            (format!("{ask:?}"), ask.engine())
        })
    });
    all.collect()
}

/// A step of any kind and context, and one with more of something.
fn grown() -> impl Strategy<Value = ((Shape, f64), (Shape, f64), u32)> {
    let sequences = prop_oneof![0..40_u32, 0..600_u32];
    let prefill = prop_oneof![2 => Just(0_u32), 1 => 1..600_u32, 1 => 1..9000_u32];
    let context = prop_oneof![0.0..3000.0_f64, 0.0..40_000.0_f64];
    (sequences, 0..8_u32, prefill, context, 0..4_u32, 1..60_u32).prop_map(
        |(sequences, k, prefill, context, axis, more)| {
            let shape = |sequences, k, prefill| beside(decode(sequences, k), prefill);
            let bigger = match axis {
                0 => (shape(sequences + more, k, prefill), context),
                1 => (shape(sequences, (k + more).min(8), prefill), context),
                2 => (shape(sequences, k, prefill + 10 * more), context),
                _ => (shape(sequences, k, prefill), context + 100.0 * f64::from(more)),
            };
            ((shape(sequences, k, prefill), context), bigger, axis)
        },
    )
}

#[test]
fn more_of_anything_is_never_cheaper() {
    let engines = engines();
    let config = Config {
        cases: 6000,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    };
    let strategy = (0..engines.len(), grown());
    let outcome =
        TestRunner::new(contextualize_config(config)).run(&strategy, |(index, (less, more, axis))| {
            let (name, engine) = &engines[index];
            // SGLang's graphs hold decodes only: beside a prompt they run unpadded, which can be less.
            if axis == 2 && less.0.prefill_tokens == 0 && name.contains("sglang") {
                return Ok(());
            }
            let [before, after] = [less, more].map(|(shape, context)| ms(engine, &shape, context));
            prop_assert!(
                after >= before * (1.0 - 1e-12),
                "axis {}: {} ms, then {} ms: {}",
                axis,
                before,
                after,
                name
            );
            Ok(())
        });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
