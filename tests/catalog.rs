//! The catalog as a user meets it: every entry is sound and agrees with what was published, names are found or
//! the likely ones suggested, and a `config.json` is read or refused with the reason.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::time::Instant;

use rollcast::catalog::{self, CatalogError};
use rollcast::resolved::{Model, Precision};
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

fn read(text: &str) -> Result<Model, CatalogError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), text).unwrap();
    catalog::model("./config.json", folder.path())
}

/// The sound configuration with one key set, or removed by `null`.
fn spoilt(key: &str, value: Value) -> Result<Model, CatalogError> {
    let mut config = sound();
    config[key] = value;
    read(&config.to_string())
}

#[test]
fn every_model_has_its_published_size() {
    let listing = catalog::list();
    assert!(listing.models.len() >= 19);
    for row in &listing.models {
        let error = row.params_billions / row.published_params_billions - 1.0;
        assert!(error.abs() < 0.015, "{}: {:.3} B, {:+.2} %", row.id, row.params_billions, 100.0 * error);
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
fn every_drafter_fits_its_targets_and_weighs_what_was_derived_from_its_file() {
    let known = [
        ("eagle3-llama-3.1-8b", 374_341_632.0, 50_331_648.0),
        ("eagle3-llama-3.3-70b", 1_201_668_096.0, 201_326_592.0),
        ("eagle3-qwen2.5-7b", 306_905_088.0, 38_535_168.0),
        ("eagle3-qwen3-32b", 703_856_640.0, 78_643_200.0),
        ("eagle3-qwen3-4b", 198_574_080.0, 19_660_800.0),
        ("eagle3-qwen3-8b", 349_175_808.0, 50_331_648.0),
    ];
    assert_eq!(catalog::list().drafters.len(), known.len());
    for (id, per_pass, fusion) in known {
        let drafter = catalog::drafter(id).unwrap();
        assert_eq!((drafter.params_per_pass(), drafter.fusion_params()), (per_pass, fusion), "{id}");
        assert!(!drafter.targets.is_empty());
        for target in &drafter.targets {
            let target = model(target);
            assert_eq!((drafter.model.hidden, drafter.model.vocab), (target.hidden, target.vocab), "{id}");
            assert!(drafter.draft_vocab <= target.vocab);
            assert!(catalog::drafters_for(&target.id).contains(&drafter.id));
        }
    }
    assert_eq!(catalog::drafters_for("Qwen/Qwen3-8B"), ["eagle3-qwen3-8b"]);
    assert!(catalog::drafters_for("qwen3-14b").is_empty());
    assert!(catalog::drafters_for("./config.json").is_empty());
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
fn what_is_planned_is_refused_with_that_word() {
    for name in ["qwen3-30b-a3b", "Qwen/Qwen3-30B-A3B", "deepseek-ai/DeepSeek-V3"] {
        let text = catalog::model(name, Path::new(".")).unwrap_err().to_string();
        assert!(text.ends_with("mixture of experts is planned and not built yet"), "{text}");
    }
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
        ("num_experts", json!(128), "mixture of experts (num_experts: 128) is planned and not built yet"),
        ("n_routed_experts", json!(256), "mixture of experts"),
        ("num_local_experts", json!(8), "mixture of experts"),
        ("kv_lora_rank", json!(512), "multi-head latent attention"),
        ("num_nextn_predict_layers", json!(1), "multi-token prediction"),
        ("full_attention_interval", json!(4), "hybrid or linear attention"),
        ("layer_types", json!(["full_attention", "linear_attention"]), "hybrid or linear attention"),
        ("layer_types", json!(["sliding_attention", "full_attention"]), "sliding-window attention"),
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
        ("layer_types", json!(["full_attention"])),
        ("sliding_window", json!(512)),
    ] {
        assert!(spoilt(key, value).is_ok(), "{key}");
    }
}

#[test]
fn a_sliding_window_counts_where_it_is_on_and_hides_something() {
    let mut config = sound();
    config["model_type"] = json!("mistral");
    for (window, on, refused) in
        [(512, None, true), (4096, None, false), (512, Some(false), false), (512, Some(true), true)]
    {
        config["sliding_window"] = json!(window);
        config["use_sliding_window"] = json!(on);
        assert_eq!(read(&config.to_string()).is_err(), refused, "{window} {on:?}");
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
    let start = Instant::now();
    let again = catalog::list();
    let elapsed = start.elapsed();
    assert_eq!(listing, again);
    // About 1 ms optimised; the bound leaves room for a busy machine.
    assert!(elapsed.as_millis() < 100, "{elapsed:?}");
    assert!(serde_json::to_value(&listing).unwrap()["models"].is_array());
}
