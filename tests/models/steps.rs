//! Whole decode steps beside published ones, and what seams of graphs and fixed times of kernels take of them.

use crate::{Ask, decode, mean_error, ms};

#[test]
fn decode_steps_follow_the_published_ones() {
    // aiconfigurator 0.12, vLLM tables, context 2k: kernels without host time.
    let batches = [1, 8, 32, 128, 256];
    for (model, device, tp, published) in [
        ("qwen3-8b", "h100-sxm", 1, [6.42, 7.60, 10.22, 19.51, 33.96]),
        ("qwen3-8b", "h200-sxm", 1, [5.12, 5.80, 7.64, 15.11, 25.77]),
        ("qwen3-235b-a22b", "h100-sxm", 8, [9.28, 17.56, 26.70, 36.37, 44.53]),
    ] {
        let engine = Ask::new(model, device, tp, tp).unbounded().engine();
        let ours = batches.map(|batch| ms(&engine, &decode(batch, 0), 2048.0));
        eprintln!("{model} on {tp} {device}, ms at batch {batches:?}");
        eprintln!(
            "  ours {ours:6.2?}\n  published {published:6.2?}, mean error {:.1} %",
            100.0 * mean_error(&ours, &published)
        );
        assert!(mean_error(&ours, &published) <= 0.15, "{model} on {device}: {ours:?}");
    }
}

#[test]
fn pieces_of_a_graph_cost_their_seams() {
    // Public losses of PIECEWISE against FULL: 12 % (Kimi-K2, 8 A100), 14-16 % (single stream), 32 % (a small mixture of
    // experts, an early version). Here a dense 8B model, one sequence.
    let ask =
        |mode: &str| Ask { generation: mode.to_owned(), ..Ask::new("qwen3-8b", "h100-sxm", 1, 1) }.engine();
    let step = |mode: &str, batch: u32| ms(&ask(mode), &decode(batch, 0), 1024.0);
    let loss = |batch| {
        1.0 - step("cudagraph_mode: full_and_piecewise, ", batch) / step("cudagraph_mode: piecewise, ", batch)
    };
    assert!((0.08..0.20).contains(&loss(1)), "{}", loss(1));
    assert!(loss(256) < 0.5 * loss(1), "long steps hardly notice: {}", loss(256));
}

#[test]
fn kernels_without_fixed_times_are_a_roofline() {
    let engine = |floors: &str| {
        let ask = Ask::new("qwen3-8b", "h100-sxm", 1, 1);
        let keys = format!("overhead: none, kernel_floors: {floors}, ");
        Ask { generation: ask.generation.replace("overhead: none, ", &keys), ..ask }.unbounded().engine()
    };
    let engines = ["1", "0.5", "0"].map(engine);
    let [fitted, half, roofline] = engines.each_ref().map(|engine| ms(engine, &decode(1, 0), 1000.0));
    // What is left of a step at batch 1 is reading the weights, at the share of the bandwidth that kernels reach.
    let weights = 2.0 * 7.57e9 / 3.35e12 * 1e3;
    assert!((weights..1.3 * weights).contains(&roofline), "{roofline} ms, weights {weights} ms");
    assert!(
        fitted > 1.1 * roofline && (half / (0.5 * (fitted + roofline)) - 1.0).abs() < 0.02,
        "{fitted} {half}"
    );
    // A large step hardly gains.
    let [fitted, _, roofline] = engines.each_ref().map(|engine| ms(engine, &decode(512, 0), 1000.0));
    assert!((0.85 * fitted..fitted).contains(&roofline), "{fitted} {roofline}");
}
