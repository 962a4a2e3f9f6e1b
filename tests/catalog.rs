//! The catalog's entries as a user meets them: every one is sound and agrees with what was published, and names are
//! found or the likely ones suggested.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::{Duration, Instant};

use rollcast::catalog::{self, CatalogError};
use rollcast::resolved::{
    DrafterKind, Experts, LatentAttention, LinearAttention, Mixers, Model, Precision, Rule, SlidingWindow,
};

fn model(name: &str) -> Model {
    catalog::model(name, Path::new(".")).unwrap()
}

/// Of which no exact total is published: Kimi-K2's is rounded to "1T" (the sizes give 1.026e12), MiMo's to the
/// "7B" of its name (7.62e9 without the multi-token-prediction layer).
const ROUNDED: [&str; 2] = ["kimi-k2", "mimo-7b"];

#[test]
fn every_model_has_its_published_size() {
    let listing = catalog::list();
    assert!(listing.models.len() >= 29);
    assert!(listing.models.len() + listing.refused.len() + listing.drafters.len() > 40);
    for row in &listing.models {
        let error = row.params_billions / row.published_params_billions - 1.0;
        let most = if ROUNDED.contains(&row.id.as_str()) { 0.1 } else { 0.015 };
        assert!(error.abs() < most, "{}: {:.3} B, {:+.2} %", row.id, row.params_billions, 100.0 * error);
        assert!(!row.source.is_empty());
        assert_eq!(model(&row.id).id, row.id);
    }
}

#[test]
fn sizes_are_exact_where_the_weights_were_counted() {
    for (name, weights) in [
        ("qwen3-0.6b", 596_049_920.0),
        ("qwen3-8b", 8_190_735_360.0),
        ("qwen3-8b-base", 8_190_735_360.0),
        ("qwen2.5-1.5b", 1_543_714_304.0),
        ("qwen2.5-3b", 3_085_938_688.0),
        ("qwen2.5-7b", 7_615_616_512.0),
        ("qwen2.5-32b", 32_763_876_352.0),
        ("qwen2.5-72b", 72_706_203_648.0),
        ("llama-3.1-8b", 8_030_261_248.0),
        ("llama-3.1-70b", 70_553_706_496.0),
    ] {
        assert_eq!(model(name).params(), weights, "{name}");
    }
}

#[test]
fn kv_bytes_per_token_are_the_known_ones() {
    for (name, bytes) in [
        ("qwen3-8b", 147_456.0),
        ("qwen3-8b-base", 147_456.0),
        ("qwen3-14b", 163_840.0),
        ("qwen3-32b", 262_144.0),
        ("qwen2.5-7b", 57_344.0),
        ("qwen2.5-math-7b", 57_344.0),
        ("qwen2.5-14b", 196_608.0),
        ("llama-3.1-8b", 131_072.0),
        ("llama-3.1-70b", 327_680.0),
        ("llama-3.3-70b", 327_680.0),
        ("llama-3.1-405b", 516_096.0),
        ("qwen3-0.6b", 114_688.0),
        ("qwen2.5-0.5b", 12_288.0),
        ("qwen3-30b-a3b", 98_304.0),
        ("qwen3-235b-a22b", 192_512.0),
        ("qwen3-coder-480b-a35b", 253_952.0),
        ("deepseek-v3", 70_272.0),
        ("kimi-k2", 70_272.0),
        ("glm-4.5", 376_832.0),
        ("glm-4.5-air", 188_416.0),
        ("gpt-oss-20b", 49_152.0),
        ("gpt-oss-120b", 73_728.0),
        ("mimo-7b", 147_456.0),
        ("minimax-m2.5", 253_952.0),
        // A quarter of the layers keeps keys and values.
        ("qwen3.5-9b", 32_768.0),
        ("qwen3.5-35b-a3b", 20_480.0),
        ("qwen3.5-397b-a17b", 30_720.0),
    ] {
        assert_eq!(model(name).kv_bytes_per_token(Precision::Bf16), bytes, "{name}");
        assert_eq!(model(name).kv_bytes_per_token(Precision::Fp8), bytes / 2.0, "{name}");
    }
}

#[test]
fn family_traits_follow_from_the_model_type() {
    let (qwen3, qwen2, llama) = (model("qwen3-8b"), model("qwen2.5-7b"), model("llama-3.1-8b"));
    assert!(qwen3.qk_norm && !qwen3.attention_bias);
    assert!(!qwen2.qk_norm && qwen2.attention_bias && qwen2.head_dim == 128);
    assert!(!llama.qk_norm && !llama.attention_bias);
    assert_eq!(model("qwen2.5-math-7b").max_positions, 4096);
    assert_eq!((model("qwen3-8b").max_positions, model("qwen3-8b-base").max_positions), (40_960, 32_768));
}

#[test]
fn one_token_takes_its_share_of_the_weights() {
    for (name, total, of_a_token) in [
        ("qwen3-30b-a3b", 30.532e9, 3.042e9),
        ("qwen3-235b-a22b", 235.093e9, 21.568e9),
        ("qwen3-coder-480b-a35b", 480.154e9, 34.540e9),
        ("deepseek-v3", 671.025e9, 36.625e9),
        ("kimi-k2", 1026.407e9, 31.686e9),
        ("glm-4.5", 352.797e9, 32.855e9),
        ("glm-4.5-air", 106.852e9, 12.803e9),
        ("gpt-oss-20b", 20.908e9, 3.607e9),
        ("gpt-oss-120b", 116.789e9, 5.131e9),
        ("mimo-7b", 7.622e9, 7.001e9),
        ("minimax-m2.5", 228.689e9, 10.423e9),
        ("qwen3-8b", 8.190e9, 7.568e9),
    ] {
        let model = model(name);
        for (found, known) in [(model.params(), total), (model.params_per_token(), of_a_token)] {
            // The known figures leave out norms and some biases.
            assert!((found / known - 1.0).abs() < 1e-3, "{name}: {found} against {known}");
        }
    }
}

#[test]
fn experts_latent_attention_and_windows_are_read() {
    let qwen = model("qwen3-235b-a22b");
    let experts = Experts {
        count: 128,
        per_token: 8,
        intermediate: 1536,
        shared_intermediate: 0,
        dense_layers: 0,
        latent: None,
    };
    assert_eq!(qwen.experts, Some(experts));
    assert!(qwen.qk_norm && qwen.latent.is_none() && qwen.sliding.is_none() && qwen.mtp_layers == 0);

    let deepseek = model("deepseek-ai/DeepSeek-R1");
    let experts = Experts {
        count: 256,
        per_token: 8,
        intermediate: 2048,
        shared_intermediate: 2048,
        dense_layers: 3,
        latent: None,
    };
    assert_eq!((deepseek.id.as_str(), deepseek.experts), ("deepseek-v3", Some(experts)));
    let latent = LatentAttention { q_rank: Some(1536), kv_rank: 512, nope: 128, rope: 64, value: 128 };
    assert_eq!((deepseek.latent, deepseek.head_dim, deepseek.mtp_layers), (Some(latent), 192, 1));
    // 187,105,280 in the projections, and the norms of both compressed vectors.
    assert_eq!(deepseek.attention_params(), 187_105_280.0 + 1536.0 + 512.0);
    assert_eq!(model("kimi-k2").mtp_layers, 0);

    let oss = model("gpt-oss-120b");
    assert_eq!(oss.sliding, Some(SlidingWindow { tokens: 128, layers: 18 }));
    assert_eq!(oss.experts.unwrap().intermediate, 2880);
    assert_eq!((oss.dense_layers(), oss.expert_layers()), (0, 36));

    let (glm, air) = (model("glm-4.5"), model("glm-4.5-air"));
    assert!(glm.qk_norm && !air.qk_norm && glm.attention_bias && air.attention_bias);
    assert_eq!((glm.experts.unwrap().dense_layers, glm.mtp_layers), (3, 1));
    assert_eq!(air.experts.unwrap().shared_intermediate, 1408);
    let mimo = model("mimo-7b");
    assert!(mimo.attention_bias && mimo.sliding.is_none() && mimo.mtp_layers == 1);
}

#[test]
fn layers_of_linear_attention_are_read() {
    let small = model("Qwen/Qwen3.5-9B");
    let linear = LinearAttention {
        rule: Rule::DeltaRule,
        layers: 24,
        key_heads: 16,
        key_dim: 128,
        value_heads: 32,
        value_dim: 128,
        conv: 4,
    };
    assert_eq!((small.linear, small.cached_layers()), (Some(linear), 8));
    assert!(small.output_gate && small.qk_norm && small.mtp_layers == 1 && small.experts.is_none());
    // 32 matrices of 128 x 128 in 32 bits, and three tokens of 8192 channels in 16: 50 MiB a sequence.
    assert_eq!(linear.state_bytes(), 4.0 * 32.0 * 16_384.0 + 2.0 * 3.0 * 8192.0);
    // Attention with keys and values: queries and their gate, keys and values, output, and the norms.
    let full = 4096.0 * (2.0 * 4096.0 + 2.0 * 1024.0) + 4096.0 * 4096.0 + 2.0 * 256.0;
    assert_eq!(small.attention_params(), full);

    let mixture = model("qwen3.5-35b-a3b");
    let experts = Experts {
        count: 256,
        per_token: 8,
        intermediate: 512,
        shared_intermediate: 512,
        dense_layers: 0,
        latent: None,
    };
    assert_eq!((mixture.experts, mixture.linear_layers(), mixture.cached_layers()), (Some(experts), 30, 10));
    let names: Vec<String> = catalog::list()
        .models
        .into_iter()
        .filter(|row| row.drafters.iter().any(|drafter| drafter.starts_with("mtp-qwen3.5")))
        .map(|row| row.id)
        .collect();
    assert_eq!(names.len(), 5, "each has its own prediction layer: {names:?}");
}

#[test]
fn nemotron_hybrids_have_their_published_sizes() {
    // Totals and a token's share (with the head, without the embedding) as worked out by hand from the published sizes, and
    // the multi-token-prediction layer's; NVIDIA's model cards say 31.6, 120.6 and 550 B.
    for (name, total, of_a_token, predicting) in [
        ("nemotron-3-nano-30b-a3b", 31.578e9, 3.228e9, 0.0),
        ("nemotron-3-super-120b-a12b", 120.669e9, 12.233e9, 2.942e9),
        ("nemotron-3-ultra-550b-a55b", 549.309e9, 54.985e9, 11.216e9),
    ] {
        let model = model(name);
        for (found, known) in [(model.params(), total), (model.params_per_token(), of_a_token)] {
            assert!((found / known - 1.0).abs() < 2e-3, "{name}: {found} against {known}");
        }
        if model.mtp_layers > 0 {
            let found: f64 = model.mtp_params().iter().sum();
            assert!((found / predicting - 1.0).abs() < 2e-3, "{name}: {found} against {predicting}");
        }
        assert!(!model.gated && !model.qk_norm && model.latent.is_none() && model.sliding.is_none());
        assert_eq!(model.sublayers(), model.layers, "one mixer a layer");
    }
}

#[test]
fn nemotron_layers_and_states_are_the_published_ones() {
    let (nano, big) =
        (model("nemotron-3-nano-30b-a3b"), model("nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-FP8"));
    let mixers = |attention, experts| Some(Mixers { attention, experts, dense: 0 });
    assert_eq!((nano.layers, nano.mixers, nano.linear_layers()), (52, mixers(6, 23), 23));
    assert_eq!((big.layers, big.mixers, big.linear_layers()), (88, mixers(8, 40), 40));
    let ultra = model("nemotron-3-ultra-550b-a55b");
    assert_eq!((ultra.layers, ultra.mixers, ultra.linear_layers()), (108, mixers(12, 48), 48));
    let linear = LinearAttention {
        rule: Rule::Mamba2,
        layers: 40,
        key_heads: 8,
        key_dim: 128,
        value_heads: 128,
        value_dim: 64,
        conv: 4,
    };
    assert_eq!(big.linear, Some(linear));
    // In 32 bits: 4 MiB a layer, and three tokens of 10,240 channels in 16: 60 KiB.
    assert_eq!(linear.state_bytes(), 4_194_304.0 + 61_440.0);
    let mib = |model: &Model| model.state_bytes() / 1_048_576.0;
    for (model, known) in [(&nano, 46.8), (&big, 162.3), (&ultra, 389.1)] {
        assert!((mib(model) - known).abs() < 0.06, "{}: {} MiB", model.id, mib(model));
    }
    assert_eq!((big.kv_bytes_per_token(Precision::Bf16), big.attention_layers()), (8192.0, 48));
    assert_eq!((nano.experts.unwrap().latent, big.experts.unwrap().latent), (None, Some(1024)));
    // Up and down, at the width of the latent.
    assert_eq!(big.expert_params(), 2.0 * 1024.0 * 2688.0);
    assert_eq!(nano.expert_params(), 2.0 * 2688.0 * 1856.0);
    let layer = big.cached_layer();
    assert_eq!((layer.cached_layers(), layer.expert_layers(), layer.sublayers()), (1, 1, 2));
    assert!(layer.state_bytes() == 0.0, "the layer that predicts has no state");
    // Megatron-LM counts seven operations for each number of a state.
    assert_eq!(linear.recurrence_flops(), 7.0 * 128.0 * 128.0 * 64.0);
    for id in ["mtp-nemotron-3-super-120b-a12b", "mtp-nemotron-3-ultra-550b-a55b"] {
        let drafter = catalog::drafter(id).unwrap();
        assert_eq!((drafter.kind, drafter.draft_vocab), (DrafterKind::Mtp, 131_072));
    }
    assert_eq!(catalog::drafters_for(&nano), ["ngram", "suffix"]);
}

#[test]
fn what_is_refused_is_listed_with_the_reason() {
    let refused = catalog::list().refused;
    let ids: Vec<&str> = refused.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["deepseek-v3.2"]);
    for row in &refused {
        assert_eq!(row.why, "sparse attention (index_topk: 2048)");
        for name in [&row.id, &row.hf_id] {
            let error = catalog::model(name, Path::new(".")).unwrap_err();
            assert!(matches!(error, CatalogError::Unsupported { .. }), "{error}");
            assert_eq!(error.to_string(), format!("{}: {} is not modelled", row.id, row.why));
        }
    }
}

#[test]
fn eagle_drafters_weigh_what_was_derived_from_their_files() {
    for (id, per_pass, fusion) in [
        ("eagle3-deepseek-v3", 1_293_680_640.0, 154_140_672.0),
        ("eagle3-gpt-oss-120b", 282_746_880.0, 24_883_200.0),
        ("eagle3-gpt-oss-20b", 282_746_880.0, 24_883_200.0),
        ("eagle3-llama-3.1-8b", 374_341_632.0, 50_331_648.0),
        ("eagle3-llama-3.3-70b", 1_201_668_096.0, 201_326_592.0),
        // Inferred sizes: h 5120, q 40 x 128, kv 8 x 128, ffn 13824, head 16,000; and h 2048, 16 and 2 heads, 11008.
        ("eagle3-qwen2.5-14b", 393_871_360.0, 78_643_200.0),
        ("eagle3-qwen2.5-3b", 115_081_216.0, 12_582_912.0),
        ("eagle3-qwen2.5-7b", 306_905_088.0, 38_535_168.0),
        ("eagle3-qwen3-235b-a22b", 542_113_792.0, 50_331_648.0),
        ("eagle3-qwen3-30b-a3b", 170_393_600.0, 12_582_912.0),
        ("eagle3-qwen3-32b", 703_856_640.0, 78_643_200.0),
        ("eagle3-qwen3-4b", 198_574_080.0, 19_660_800.0),
        ("eagle3-qwen3-8b", 349_175_808.0, 50_331_648.0),
    ] {
        let drafter = catalog::drafter(id).unwrap();
        assert_eq!((drafter.params_per_pass(), drafter.fusion_params()), (per_pass, fusion), "{id}");
        assert_eq!((drafter.kind, drafter.block), (DrafterKind::Eagle3, 0));
    }
    // EAGLE-1, counted as if its projection lay in q, k and v.
    for (id, per_pass) in [
        ("eagle-llama-3.3-70b-fastrl", 2_040_528_896.0),
        ("eagle-qwen2.5-32b-fastrl", 1_318_584_320.0),
        ("eagle-qwen2.5-7b-fastrl", 803_733_504.0),
    ] {
        let drafter = catalog::drafter(id).unwrap();
        let error = drafter.params_per_pass() / per_pass - 1.0;
        assert!((-0.026..0.0).contains(&error) && drafter.fusion_params() == 0.0, "{id}: {error}");
        assert!(drafter.source.contains("EAGLE-1"));
    }
}

#[test]
fn other_drafters_have_what_their_kind_needs() {
    // The layers' norms (per layer two, and two per head in Qwen3) are not in the derived figures.
    for (id, block, fused, layers, head) in [
        ("dflash-qwen3-8b", 15, 5, 964_689_920.0, 622_329_856.0),
        ("dspark-qwen3-8b", 7, 5, 964_689_920.0, 622_329_856.0),
        ("peagle-qwen3-8b", 8, 3, 771_751_936.0, 131_072_000.0),
    ] {
        let drafter = catalog::drafter(id).unwrap();
        assert_eq!((drafter.kind, drafter.block, drafter.fused_layers), (DrafterKind::Block, block, fused));
        let error: f64 = drafter.params_per_pass() / (layers + head) - 1.0;
        assert!(error.abs() < 1e-4, "{id}: {error}");
        assert_eq!(drafter.draft_vocab, if id.starts_with("peagle") { 32_000 } else { 151_936 });
    }
    for id in ["mtp-deepseek-v3", "mtp-glm-4.5", "mtp-glm-4.5-air", "mtp-mimo-7b"] {
        let drafter = catalog::drafter(id).unwrap();
        let target = model(&drafter.targets[0]);
        assert_eq!((drafter.kind, drafter.model.as_ref()), (DrafterKind::Mtp, None));
        assert_eq!((drafter.draft_vocab, drafter.params_per_pass()), (target.vocab, 0.0));
        assert!(target.mtp_layers > 0 && drafter.targets.len() == 1);
    }
    for id in ["draft-qwen3-0.6b", "draft-qwen3-1.7b", "draft-qwen2.5-0.5b"] {
        let drafter = catalog::drafter(id).unwrap();
        let own = drafter.model.as_ref().unwrap();
        assert_eq!((drafter.kind, drafter.draft_vocab), (DrafterKind::Model, own.vocab));
        assert_eq!((format!("draft-{}", own.id), drafter.params()), (drafter.id.clone(), own.params()));
        assert!(drafter.targets.iter().all(|target| model(target).params() > own.params()));
    }
    for (id, kind) in [("ngram", DrafterKind::Ngram), ("suffix", DrafterKind::Suffix)] {
        let drafter = catalog::drafter(id).unwrap();
        assert_eq!((drafter.kind, drafter.model.is_none(), drafter.params()), (kind, true, 0.0));
    }
}

#[test]
fn every_drafter_fits_its_targets() {
    let listing = catalog::list();
    assert!(listing.drafters.len() >= 26);
    for row in &listing.drafters {
        let drafter = catalog::drafter(&row.id).unwrap();
        assert_eq!((&drafter.id, drafter.kind, &drafter.targets), (&row.id, row.kind, &row.targets));
        assert!(!drafter.source.is_empty());
        for target in &drafter.targets {
            let target = model(target);
            assert!(catalog::fits(&drafter, &target));
            assert!(catalog::drafters_for(&target).contains(&drafter.id));
            assert!(drafter.draft_vocab <= target.vocab);
            let Some(own) = &drafter.model else { continue };
            if drafter.kind == DrafterKind::Model {
                // The same tokens; tables may be padded to multiples of 128 or 512 rows.
                assert!(target.vocab.abs_diff(own.vocab) < 512, "{}", row.id);
            } else {
                assert_eq!((own.hidden, own.vocab), (target.hidden, target.vocab), "{}", row.id);
            }
        }
    }
    for row in &listing.models {
        assert_eq!(row.drafters, catalog::drafters_for(&model(&row.id)), "{}", row.id);
    }
    let of_8b = [
        "dflash-qwen3-8b",
        "draft-qwen3-0.6b",
        "draft-qwen3-1.7b",
        "dspark-qwen3-8b",
        "eagle3-qwen3-8b",
        "ngram",
        "peagle-qwen3-8b",
        "suffix",
    ];
    assert_eq!(catalog::drafters_for(&model("Qwen/Qwen3-8B")), of_8b);
    assert_eq!(catalog::drafters_for(&model("llama-3.1-405b")), ["ngram", "suffix"]);
    assert!(!catalog::fits(&catalog::drafter("eagle3-qwen3-8b").unwrap(), &model("llama-3.1-8b")));
}

#[test]
fn devices_and_networks_have_possible_figures() {
    let listing = catalog::list();
    assert!(listing.devices.len() >= 6 && listing.networks.len() >= 6);
    for row in &listing.devices {
        let device = catalog::device(&row.id).unwrap();
        assert_eq!(device.id, row.id);
        assert!(device.fp8_tflops.is_none_or(|fp8| (fp8 / device.bf16_tflops - 2.0).abs() < 0.001));
        assert!((50.0..400.0).contains(&device.memory_gib) && (1e3..2e4).contains(&device.memory_gb_per_s));
        assert!((70..200).contains(&device.sm_count) && device.nvlink_gb_per_s >= 300.0);
        assert!(device.nvlink_domain >= device.gpus_per_node && !device.source.is_empty());
        assert_eq!(device.usd_per_gpu_hour.is_some(), device.price_source.is_some(), "{}", row.id);
    }
    assert!(catalog::device("a100-sxm-80g").unwrap().fp8_tflops.is_none());
    for row in &listing.networks {
        let network = catalog::network(&row.id).unwrap();
        assert_eq!(network.id, row.id);
        assert!(
            (1.0..=900.0).contains(&network.gb_per_s_per_gpu) && (1.0..1000.0).contains(&network.latency_us)
        );
        assert!(!network.source.is_empty() && (0.1..1.0).contains(&network.spread));
        let Some(measured) = &network.all_reduce else { continue };
        assert!(measured.bytes.len() == measured.us.len() && measured.bytes.len() > 2, "{}", row.id);
        assert!(measured.bytes.is_sorted() && measured.us.is_sorted() && !measured.source.is_empty());
        assert!((0.0..1.0).contains(&measured.growth) && measured.spread < network.spread, "{}", row.id);
    }
}

#[test]
fn no_name_stands_for_two_entries() {
    let models = catalog::list().models;
    let mut names: Vec<String> = models
        .iter()
        .flat_map(|row| row.aliases.iter().chain([&row.id, &row.hf_id]))
        .map(|name| name.to_ascii_lowercase())
        .collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
    for row in &models {
        for name in row.aliases.iter().chain([&row.hf_id]) {
            assert_eq!(model(name).id, row.id);
        }
    }
}

#[test]
fn names_are_found_in_any_case_and_the_nearest_suggested() {
    assert_eq!(model("Qwen3-8B").id, "qwen3-8b");
    assert_eq!(model("meta-llama/llama-3.3-70b-instruct").id, "llama-3.3-70b");

    let error = catalog::model("qwen3-8", Path::new(".")).unwrap_err();
    let CatalogError::Unknown { nearest, known, .. } = &error else { panic!("{error}") };
    assert_eq!(nearest[0], "qwen3-8b");
    assert!(known.contains(&"llama-3.1-8b".to_owned()));
    let text = error.to_string();
    assert!(text.starts_with("unknown model `qwen3-8`; nearest: qwen3-8b"), "{text}");
    assert!(text.ends_with("; or give the path of a Hugging Face config.json"), "{text}");

    let text = catalog::device("h100").unwrap_err().to_string();
    assert_eq!(text, "unknown device `h100`; nearest: h100-sxm");
    let text = catalog::network("token-ring").unwrap_err().to_string();
    assert!(text.starts_with("unknown network `token-ring`; known: efa-3200, "), "{text}");
    let text = catalog::drafter("eagle-qwen3-8b").unwrap_err().to_string();
    assert!(text.contains("nearest: eagle3-qwen3-8b"), "{text}");
}

#[test]
fn the_whole_catalog_is_listed_in_milliseconds() {
    let listing = catalog::list();
    // The best of some, for a machine that has other work.
    let best = (0..20).map(|_| {
        let start = Instant::now();
        assert_eq!(listing, catalog::list());
        start.elapsed()
    });
    let best = best.min().unwrap();
    assert!(best < Duration::from_millis(5), "{best:?}");
    assert!(serde_json::to_value(&listing).unwrap()["models"].is_array());
}
