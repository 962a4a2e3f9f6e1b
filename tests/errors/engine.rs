//! Layouts, number formats and engine settings that model, device or engine version do not have.

use crate::common::number;
use crate::{ENGINE, GPUS, MODEL, accepted, refused};

#[test]
fn impossible_widths_point_at_the_width_and_list_the_possible() {
    let tp = |width: &str| format!("layout: {{ tp: {width} }}, max_num_seqs: 128");
    refused(&[(ENGINE, &tp("3"))], "3 }, max_num", &["generation.layout.tp", "32 query heads", "1, 2, 4, 8"]);
    refused(
        &[(ENGINE, &tp("16"))],
        "16 }, max_num",
        &["generation.layout.tp", "replicas of 16", "1, 2, 4, 8"],
    );
    // 28 heads: 8 divides the GPUs and not the heads.
    let other = [(MODEL, "model: qwen2.5-7b"), ("drafter: eagle3-qwen3-8b", "drafter: eagle3-qwen2.5-7b")];
    let changes: Vec<_> =
        other.into_iter().chain([(ENGINE, "layout: { tp: 8 }, max_num_seqs: 64")]).collect();
    refused(&changes, "8 }, max_num", &["28 query heads", "possible here: 1, 2, 4"]);
    // Between nodes is possible; on a network that nobody measured it is a formula, beyond what was fitted.
    let extrapolated = |network: &str| {
        let gpus = format!("gpus: 16, gpus_per_node: 8, network: {network}");
        let result = accepted(&[(GPUS, &gpus), (ENGINE, "layout: { tp: 16 }")]);
        number(&result, "provenance.extrapolated_share")
    };
    assert!(extrapolated("ethernet-100") > extrapolated("ib-ndr400") + 0.02);
    let training = [("training: { mfu: 0.4,", "training: { layout: { tp: 3 }, mfu: 0.4,")];
    refused(&training, "3 }, mfu", &["training.layout.tp", "32 query heads"]);
    let replicas = [("training: { mfu: 0.4,", "training: { layout: { tp: 2, dp: 3 }, mfu: 0.4,")];
    refused(&replicas, "3 }, mfu", &["training.layout.dp", "4"]);
    refused(&[(GPUS, "gpus: 12")], "12", &["cluster.gpus", "nodes of 8"]);
    let drafter = [("drafter: eagle3-qwen3-8b", "drafter: { id: eagle3-qwen3-8b, tp: 2 }")];
    refused(&drafter, "2 }\n  acc", &["speculation.drafter.tp"]);
}

#[test]
fn formats_that_the_device_lacks_are_refused() {
    let a100 = ("device: h100-sxm", "device: a100-sxm-80g");
    refused(&[a100, (ENGINE, "weights: fp8")], "fp8", &["generation.weights", "no fp8", "bf16"]);
    refused(&[a100, (ENGINE, "kv_cache_dtype: fp8")], "fp8", &["generation.kv_cache_dtype", "no fp8"]);
    let training = ("training: { mfu", "training: { precision: fp8, mfu");
    refused(&[a100, training], "fp8", &["training.precision", "no fp8"]);
    accepted(&[a100]);
}

#[test]
fn settings_that_an_engine_does_not_have_are_refused() {
    refused(&[(ENGINE, "engine_version: '0.1'")], "'0.1'", &["generation.engine_version", "0.8.0", "vllm"]);
    refused(&[(ENGINE, "engine_version: newest")], "newest", &["generation.engine_version", "such as"]);
    let both = "enforce_eager: true, cudagraph_mode: piecewise";
    refused(&[(ENGINE, both)], "piecewise", &["generation.cudagraph_mode", "enforce_eager"]);
    refused(&[(ENGINE, "kernel_floors: 1.5")], "1.5", &["generation.kernel_floors", "0 to 1"]);
    accepted(&[(ENGINE, "engine_version: '0.9.1', max_num_seqs: 256")]);
}

#[test]
fn a_table_by_batch_size_costs_whole_graphs_where_the_engine_says_so() {
    let table =
        ("schedule: { fixed: { k: 3 } }", "schedule: { vllm_table: { table: [[1, 4, 3], [5, 512, 0]] } }");
    let mode = |version: &str| {
        let engine = format!("engine_version: '{version}', max_num_seqs: 128");
        let result = accepted(&[table, (ENGINE, &engine)]);
        result["resolved"]["generation"]["engine"]["graph_mode"].as_str().unwrap().to_owned()
    };
    assert_eq!(mode("0.24.0"), "piecewise");
    assert_eq!(mode("0.25.0"), "full_and_piecewise", "a dense model");
    assert_eq!(mode("0.33.0"), "full_and_piecewise");
    let old = [table, (ENGINE, "engine_version: '0.12.0', max_num_seqs: 128")];
    refused(&old, "schedule: { vllm", &["speculation.schedule", "no such table", "0.24"]);
}
