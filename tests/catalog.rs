//! The catalog as a user meets it: every entry is sound and agrees with what was published, names are found or
//! the likely ones suggested, and a `config.json` is read or refused with the reason.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rollcast::catalog::{self, CatalogError};
use rollcast::resolved::{DrafterKind, Experts, LatentAttention, Model, Precision, SlidingWindow};
use serde_json::{Value, json};

fn model(name: &str) -> Model {
    catalog::model(name, Path::new(".")).unwrap()
}

/// A small valid configuration, to be spoilt key by key.
fn sound() -> Value {
    json!({
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "num_hidden_layers": 4, "hidden_size": 256,
        "intermediate_size": 512, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64,
        "vocab_size": 1000, "tie_word_embeddings": false, "max_position_embeddings": 2048
    })
}

/// A small valid mixture of experts with latent attention.
fn sound_latent() -> Value {
    json!({
        "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "num_hidden_layers": 4,
        "hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 8, "num_key_value_heads": 8,
        "vocab_size": 1000, "max_position_embeddings": 2048, "n_routed_experts": 16, "num_experts_per_tok": 2,
        "moe_intermediate_size": 64, "n_shared_experts": 2, "first_k_dense_replace": 1, "moe_layer_freq": 1,
        "q_lora_rank": 96, "kv_lora_rank": 32, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 24,
        "num_nextn_predict_layers": 1
    })
}

fn read(text: &str) -> Result<Model, CatalogError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), text).unwrap();
    catalog::model("./config.json", folder.path())
}

/// A configuration with one key set, or removed by `null`.
fn changed(mut config: Value, key: &str, value: Value) -> Result<Model, CatalogError> {
    config[key] = value;
    read(&config.to_string())
}

fn spoilt(key: &str, value: Value) -> Result<Model, CatalogError> {
    changed(sound(), key, value)
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
    let experts =
        Experts { count: 128, per_token: 8, intermediate: 1536, shared_intermediate: 0, dense_layers: 0 };
    assert_eq!(qwen.experts, Some(experts));
    assert!(qwen.qk_norm && qwen.latent.is_none() && qwen.sliding.is_none() && qwen.mtp_layers == 0);

    let deepseek = model("deepseek-ai/DeepSeek-R1");
    let experts =
        Experts { count: 256, per_token: 8, intermediate: 2048, shared_intermediate: 2048, dense_layers: 3 };
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
fn hybrids_are_listed_and_refused_with_the_reason() {
    let refused = catalog::list().refused;
    let ids: Vec<&str> = refused.iter().map(|row| row.id.as_str()).collect();
    let known = [
        "nemotron-3-nano-30b-a3b",
        "nemotron-3-super-120b-a12b",
        "nemotron-3-ultra-550b-a55b",
        "qwen3.5-35b-a3b",
        "qwen3.5-9b",
    ];
    assert_eq!(ids, known);
    for row in &refused {
        assert!(row.why.starts_with("hybrid or linear attention ("), "{}", row.why);
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
fn a_target_of_the_users_own_takes_the_drafters_of_its_sizes() {
    let mut config = json!({
        "model_type": "qwen2", "num_hidden_layers": 28, "hidden_size": 3584, "intermediate_size": 18944,
        "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152_064, "max_position_embeddings": 32768
    });
    let drafters = catalog::drafters_for(&read(&config.to_string()).unwrap());
    assert_eq!(
        drafters,
        ["draft-qwen2.5-0.5b", "eagle-qwen2.5-7b-fastrl", "eagle3-qwen2.5-7b", "ngram", "suffix"]
    );
    config["num_hidden_layers"] = json!(27);
    assert_eq!(catalog::drafters_for(&read(&config.to_string()).unwrap()), ["ngram", "suffix"]);

    // A target without its heads for multi-token prediction keeps its other drafters.
    let mut own = model("deepseek-v3");
    own.id = "./config.json".to_owned();
    assert!(catalog::drafters_for(&own).contains(&"mtp-deepseek-v3".to_owned()));
    own.mtp_layers = 0;
    assert_eq!(catalog::drafters_for(&own), ["eagle3-deepseek-v3", "ngram", "suffix"]);
}

#[test]
fn devices_and_networks_have_possible_figures() {
    let listing = catalog::list();
    assert!(listing.devices.len() >= 5 && listing.networks.len() >= 6);
    for row in &listing.devices {
        let device = catalog::device(&row.id).unwrap();
        assert_eq!(device.id, row.id);
        assert!(device.fp8_tflops.is_none_or(|fp8| (fp8 / device.bf16_tflops - 2.0).abs() < 0.001));
        assert!((50.0..400.0).contains(&device.memory_gib) && (1e3..2e4).contains(&device.memory_gb_per_s));
        assert!((100..200).contains(&device.sm_count) && device.nvlink_gb_per_s >= 300.0);
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
        assert!(!network.source.is_empty());
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
fn a_config_is_read_from_a_file_or_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("mine")).unwrap();
    fs::write(folder.path().join("mine/config.json"), sound().to_string()).unwrap();
    for path in ["mine/config.json", "./mine", "mine/"] {
        let model = catalog::model(path, folder.path()).unwrap();
        assert_eq!((model.id.as_str(), model.layers, model.head_dim), (path, 4, 64));
        assert!(model.qk_norm && model.source.contains("config.json"));
    }
    let absolute = folder.path().join("mine/config.json");
    assert_eq!(catalog::model(absolute.to_str().unwrap(), Path::new("elsewhere")).unwrap().layers, 4);
}

#[test]
fn a_path_at_which_nothing_lies_says_so() {
    let error = catalog::model("models/qwen3-8b.json", Path::new("nowhere")).unwrap_err();
    assert!(matches!(error, CatalogError::Missing { .. }), "{error}");
    assert!(error.to_string().contains("there is no nowhere"), "{error}");
    let text = catalog::model("Qwen/Qwen3-8", Path::new(".")).unwrap_err().to_string();
    assert!(text.contains("nearest in the catalog: qwen3-8b"), "{text}");
}

#[test]
fn malformed_configs_are_refused_with_the_key() {
    let cases = [
        ("num_hidden_layers", json!(null), "missing `num_hidden_layers`"),
        ("num_hidden_layers", json!("36"), "whole number from 1 to 1024, found \"36\""),
        ("num_hidden_layers", json!(36.5), "found 36.5"),
        ("num_hidden_layers", json!(1_000_000), "found 1000000"),
        ("hidden_size", json!(-4096), "`hidden_size` must be a whole number"),
        ("hidden_size", json!(0), "found 0"),
        ("vocab_size", json!(1e30), "`vocab_size` must be"),
        ("intermediate_size", json!([512]), "found [512]"),
        (
            "num_key_value_heads",
            json!(3),
            "`num_attention_heads` (8) is no multiple of `num_key_value_heads` (3)",
        ),
        ("num_key_value_heads", json!(16), "no multiple"),
        ("head_dim", json!(true), "`head_dim` must be"),
        ("tie_word_embeddings", json!("no"), "`tie_word_embeddings` must be true or false, found \"no\""),
        ("attention_bias", json!(1), "`attention_bias` must be true or false"),
        ("max_position_embeddings", json!(null), "missing `max_position_embeddings`"),
    ];
    for (key, value, expected) in cases {
        let error = spoilt(key, value).unwrap_err();
        assert!(matches!(error, CatalogError::Config { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{key}: {error}");
        assert!(error.to_string().contains("config.json"), "{key}: {error}");
    }
    let mut config = sound();
    config["head_dim"] = Value::Null;
    config["num_attention_heads"] = json!(6);
    let text = read(&config.to_string()).unwrap_err().to_string();
    assert!(text.contains("`hidden_size` (256) is no multiple of `num_attention_heads` (6)"), "{text}");
    let text = read("{}").unwrap_err().to_string();
    assert!(text.contains("missing `num_hidden_layers`, `hidden_size`"), "{text}");
}

#[test]
fn broken_json_is_placed() {
    let text = read("{\n  \"hidden_size\": 4096,\n  \"vocab_size\" 5\n}").unwrap_err().to_string();
    assert!(text.contains("config.json:3:16: not valid JSON: expected `:`"), "{text}");
    for text in ["", "[1, 2]", "42", "{\"a\": 1", "model_type: qwen3", "{\"hidden_size\": 4096}}"] {
        assert!(read(text).is_err(), "{text}");
    }
    assert!(read(&"[".repeat(100_000)).is_err());
    let text = read(&" ".repeat(2 << 20)).unwrap_err().to_string();
    assert!(text.contains("too many for a config.json"), "{text}");

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), [0xff, 0xfe, 0x00]).unwrap();
    assert!(matches!(catalog::model("./", folder.path()), Err(CatalogError::Read { .. })));
}

#[test]
fn other_architectures_are_refused_by_name() {
    let cases = [
        (
            "full_attention_interval",
            json!(4),
            "hybrid or linear attention (full_attention_interval: 4) is not",
        ),
        ("hybrid_override_pattern", json!("MEM*"), "hybrid or linear attention"),
        ("attn_type_list", json!([0, 0, 1]), "hybrid or linear attention"),
        ("layers_block_type", json!(["mamba"]), "hybrid or linear attention"),
        ("index_topk", json!(2048), "sparse attention"),
        ("layer_types", json!(["chunked_attention"]), "attention in chunks"),
        ("decoder_sparse_step", json!(2), "experts in some layers only (decoder_sparse_step: 2)"),
        ("moe_layer_freq", json!([0, 1, 1, 1]), "experts in some layers only (moe_layer_freq: [0,1,1,1])"),
        ("mlp_only_layers", json!([0]), "experts in some layers only (mlp_only_layers: [0])"),
        ("moe_num_experts", json!(64), "a mixture of experts of this form"),
        ("moe_latent_size", json!(1024), "experts behind a projection"),
        ("layer_types", json!(["full_attention", "linear_attention"]), "hybrid or linear attention"),
        ("is_encoder_decoder", json!(true), "an encoder"),
        ("architectures", json!(["BertForMaskedLM"]), "no causal language model"),
        ("text_config", json!({"hidden_size": 4096}), "a model of several parts"),
        ("model_type", json!("starcoder2"), "an MLP without a gate"),
    ];
    for (key, value, expected) in cases {
        let error = spoilt(key, value).unwrap_err();
        assert!(matches!(error, CatalogError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{key}: {error}");
    }
    // What only looks like it.
    for (key, value) in [
        ("num_experts", json!(1)),
        ("num_nextn_predict_layers", json!(0)),
        ("layer_types", json!(vec!["full_attention"; 4])),
        ("decoder_sparse_step", json!(1)),
        ("mlp_only_layers", json!([])),
        ("n_routed_experts", json!(0)),
        ("moe_intermediate_size", json!(1407)),
        ("sliding_window", json!(512)),
    ] {
        assert!(spoilt(key, value).is_ok(), "{key}");
    }
}

#[test]
fn malformed_experts_are_refused_with_the_key() {
    assert!(read(&sound_latent().to_string()).is_ok());
    let cases = [
        ("num_experts_per_tok", json!(17), "`num_experts_per_tok` (17) is more than `n_routed_experts` (16)"),
        ("num_experts_per_tok", json!(0), "`num_experts_per_tok` must be a whole number from 1"),
        ("num_experts_per_tok", json!(null), "missing `num_experts_per_tok`"),
        ("n_routed_experts", json!(0), "`n_routed_experts` must be a whole number from 1 to 16384, found 0"),
        ("n_routed_experts", json!([16]), "found [16]"),
        (
            "n_routed_experts",
            json!(null),
            "missing the number of experts (`num_experts` or `n_routed_experts`",
        ),
        ("moe_intermediate_size", json!(null), "missing `moe_intermediate_size`"),
        ("moe_intermediate_size", json!(-1), "`moe_intermediate_size` must be"),
        ("n_shared_experts", json!(1.5), "`n_shared_experts` must be a whole number from 0"),
        (
            "first_k_dense_replace",
            json!(4),
            "`first_k_dense_replace` (4) leaves none of 4 layers with experts",
        ),
        ("first_k_dense_replace", json!(5), "`first_k_dense_replace` must be a whole number from 0 to 4"),
    ];
    for (key, value, expected) in cases {
        let error = changed(sound_latent(), key, value).unwrap_err();
        assert!(matches!(error, CatalogError::Config { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{key}: {error}");
    }
    // Experts in a family that has none by itself.
    let mut config = sound();
    config["num_experts"] = json!(0);
    config["num_experts_per_tok"] = json!(8);
    assert!(read(&config.to_string()).unwrap_err().to_string().contains("`num_experts` must be"));
    config["num_experts"] = json!(8);
    config["moe_intermediate_size"] = json!(64);
    assert_eq!(read(&config.to_string()).unwrap().experts.unwrap().per_token, 8);
    let text = spoilt("num_experts_per_tok", json!(2)).unwrap_err().to_string();
    assert!(text.contains("missing the number of experts"), "{text}");
    let text = spoilt("model_type", json!("qwen3_moe")).unwrap_err().to_string();
    assert!(text.contains("missing the number of experts"), "{text}");
}

#[test]
fn malformed_latent_attention_is_refused_with_the_key() {
    let mut config = sound();
    config["kv_lora_rank"] = json!(32);
    let text = read(&config.to_string()).unwrap_err().to_string();
    let missing = "missing `qk_nope_head_dim`, `qk_rope_head_dim`, `v_head_dim`: `kv_lora_rank` means latent";
    assert!(text.contains(missing), "{text}");

    for (key, value, expected) in [
        ("kv_lora_rank", json!(null), "missing `kv_lora_rank`: `q_lora_rank` means latent attention"),
        ("kv_lora_rank", json!(0), "`kv_lora_rank` must be a whole number from 1"),
        ("q_lora_rank", json!("96"), "`q_lora_rank` must be a whole number"),
        ("v_head_dim", json!(null), "missing `v_head_dim`"),
        ("qk_rope_head_dim", json!(0.5), "`qk_rope_head_dim` must be"),
        ("num_key_value_heads", json!(3), "no multiple of `num_key_value_heads` (3)"),
        ("num_nextn_predict_layers", json!(-1), "`num_nextn_predict_layers` must be a whole number from 0"),
    ] {
        let error = changed(sound_latent(), key, value).unwrap_err();
        assert!(error.to_string().contains(expected), "{key}: {error}");
    }

    let model = changed(sound_latent(), "q_lora_rank", json!(null)).unwrap();
    let latent = LatentAttention { q_rank: None, kv_rank: 32, nope: 32, rope: 16, value: 24 };
    assert_eq!((model.latent, model.head_dim), (Some(latent), 48));
    // A head size beside latent attention (transformers writes the rotary part there) says nothing.
    assert_eq!(changed(sound_latent(), "head_dim", json!(16)).unwrap().head_dim, 48);
    assert_eq!(spoilt("num_nextn_predict_layers", json!(2)).unwrap().mtp_layers, 2);
}

#[test]
fn a_sliding_window_counts_where_it_is_on_and_hides_something() {
    let mut config = sound();
    config["model_type"] = json!("mistral");
    let every = |tokens| Some(SlidingWindow { tokens, layers: 4 });
    for (window, on, sliding) in
        [(512, None, every(512)), (4096, None, None), (512, Some(false), None), (512, Some(true), every(512))]
    {
        config["sliding_window"] = json!(window);
        config["use_sliding_window"] = json!(on);
        assert_eq!(read(&config.to_string()).unwrap().sliding, sliding, "{window} {on:?}");
    }

    let types = json!(["sliding_attention", "full_attention", "sliding_attention", "full_attention"]);
    config["model_type"] = json!("gpt_oss");
    config["layer_types"] = types.clone();
    config["num_local_experts"] = json!(8);
    config["num_experts_per_tok"] = json!(2);
    config["use_sliding_window"] = json!(null);
    assert_eq!(read(&config.to_string()).unwrap().sliding, Some(SlidingWindow { tokens: 512, layers: 2 }));
    config["layer_types"] = json!(["sliding_attention"]);
    let text = read(&config.to_string()).unwrap_err().to_string();
    assert!(text.contains("`layer_types` must list 4 layers, found 1"), "{text}");
    let text = spoilt("layer_types", types).unwrap_err().to_string();
    assert!(text.contains("missing `sliding_window`"), "{text}");

    // Qwen: layers from `max_window_layers` on; another family must say which.
    let mut config = sound();
    config["sliding_window"] = json!(512);
    config["use_sliding_window"] = json!(true);
    let text = read(&config.to_string()).unwrap_err().to_string();
    assert!(text.contains("sliding-window attention in unnamed layers"), "{text}");
    for (first, sliding) in [(3, Some(SlidingWindow { tokens: 512, layers: 1 })), (28, None)] {
        config["max_window_layers"] = json!(first);
        assert_eq!(read(&config.to_string()).unwrap().sliding, sliding);
    }
}

#[test]
fn an_unchecked_architecture_is_read_as_dense_and_says_so() {
    let model = spoilt("model_type", json!("granite")).unwrap();
    assert!(model.source.contains("`granite` was not checked"), "{}", model.source);
    assert!(!model.qk_norm && !model.attention_bias);

    let mut config = sound();
    config["model_type"] = json!("granite");
    config["tie_word_embeddings"] = Value::Null;
    let text = read(&config.to_string()).unwrap_err().to_string();
    assert!(
        text.contains("missing `tie_word_embeddings`, which has no known default for `granite`"),
        "{text}"
    );

    config["model_type"] = Value::Null;
    let model = read(&config.to_string()).unwrap();
    assert!(model.qk_norm && !model.source.contains("not checked"), "the architecture tells the family");
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
