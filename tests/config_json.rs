//! A `config.json` of the user's own: it is read, or refused with the key and the reason.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use rollcast::catalog::{self, CatalogError};
use rollcast::resolved::{LatentAttention, Mixers, Model, Rule, SlidingWindow};
use serde_json::{Value, json};

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
    let mut own = catalog::model("deepseek-v3", Path::new(".")).unwrap();
    own.id = "./config.json".to_owned();
    assert!(catalog::drafters_for(&own).contains(&"mtp-deepseek-v3".to_owned()));
    own.mtp_layers = 0;
    assert_eq!(catalog::drafters_for(&own), ["eagle3-deepseek-v3", "ngram", "suffix"]);
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

/// A configuration with linear attention in three of its four layers.
fn sound_linear() -> Value {
    let mut config = sound();
    for (key, value) in [
        ("full_attention_interval", json!(4)),
        ("linear_num_key_heads", json!(2)),
        ("linear_num_value_heads", json!(4)),
        ("linear_key_head_dim", json!(32)),
        ("linear_value_head_dim", json!(32)),
    ] {
        config[key] = value;
    }
    config
}

#[test]
fn the_text_part_of_a_model_that_sees_is_read() {
    let mut part = sound_linear();
    part["model_type"] = json!("qwen3_5_text");
    part.as_object_mut().unwrap().remove("tie_word_embeddings");
    let whole = |part: &Value| json!({ "architectures": ["Qwen3_5ForConditionalGeneration"], "tie_word_embeddings": true, "text_config": part });
    let model = read(&whole(&part).to_string()).unwrap();
    assert!(model.tied_embeddings && model.output_gate && model.linear_layers() == 3);
    assert!(model.source.contains("the vision encoder is left out"), "{}", model.source);
    part["model_type"] = json!("llava");
    let error = read(&whole(&part).to_string()).unwrap_err().to_string();
    assert!(error.contains("is not modelled"), "{error}");
}

#[test]
fn linear_attention_is_read_or_refused_with_the_key() {
    let linear = read(&sound_linear().to_string()).unwrap().linear.unwrap();
    assert_eq!((linear.layers, linear.conv, linear.value_heads), (3, 4, 4));
    let mut listed = sound_linear();
    listed["layer_types"] =
        json!(["linear_attention", "full_attention", "linear_attention", "full_attention"]);
    assert_eq!(read(&listed.to_string()).unwrap().linear_layers(), 2);
    let cases = [
        (
            "linear_num_value_heads",
            json!(3),
            "`linear_num_value_heads` (3) is no multiple of `linear_num_key_heads` (2)",
        ),
        ("linear_value_head_dim", json!(null), "missing `linear_value_head_dim`"),
        ("full_attention_interval", json!(null), "missing `layer_types` or `full_attention_interval`"),
        ("full_attention_interval", json!(9), "`full_attention_interval` must be a whole number from 0 to 4"),
        ("mamba_ssm_dtype", json!("bfloat16"), "a state of linear attention in other than 32 bits"),
        ("linear_conv_kernel_dim", json!(0), "`linear_conv_kernel_dim` must be a whole number from 1"),
        ("layer_types", json!(["linear_attention"]), "`layer_types` must list 4 layers"),
        ("layer_types", json!(vec!["linear_attention"; 4]), "without any attention over keys and values"),
        ("layer_types", json!(vec!["mamba"; 4]), "hybrid or linear attention"),
    ];
    for (key, value, expected) in cases {
        let mut config = sound_linear();
        config[key] = value;
        let error = read(&config.to_string()).unwrap_err().to_string();
        assert!(error.contains(expected), "{key}: {error}");
    }
}

/// A small valid hybrid of Mamba-2, attention, experts and dense MLPs.
fn sound_hybrid() -> Value {
    json!({
        "architectures": ["NemotronHForCausalLM"], "model_type": "nemotron_h", "hidden_size": 256,
        "intermediate_size": 512, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64,
        "vocab_size": 1000, "tie_word_embeddings": false, "max_position_embeddings": 2048,
        "hybrid_override_pattern": "MEM*EM-", "mamba_num_heads": 16, "mamba_head_dim": 32, "ssm_state_size": 64,
        "n_groups": 4, "conv_kernel": 4, "mamba_ssm_cache_dtype": "float32", "n_routed_experts": 16,
        "num_experts_per_tok": 2, "moe_intermediate_size": 64, "n_shared_experts": 1,
        "moe_shared_expert_intermediate_size": 128, "moe_latent_size": 96, "num_nextn_predict_layers": 1,
        "mtp_hybrid_override_pattern": "*E", "num_hidden_layers": 7
    })
}

#[test]
fn a_hybrid_with_mamba_is_read_from_a_path() {
    let model = read(&sound_hybrid().to_string()).unwrap();
    assert_eq!((model.layers, model.mixers), (7, Some(Mixers { attention: 1, experts: 2, dense: 1 })));
    assert_eq!(
        (model.linear_layers(), model.cached_layers(), model.dense_layers(), model.expert_layers()),
        (3, 1, 1, 2)
    );
    let linear = model.linear.unwrap();
    assert_eq!((linear.rule, linear.key_heads, linear.value_heads), (Rule::Mamba2, 4, 16));
    // Mamba-2, attention, experts with what is beside them, dense: each with a norm; embedding, head and final norm.
    let (h, inner) = (256.0, 512.0);
    let channels = inner + 2.0 * 256.0;
    let mamba = h * (2.0 * inner + 2.0 * 256.0 + 16.0) + 5.0 * channels + 3.0 * 16.0 + inner + inner * h + h;
    let attention = h * (8.0 + 2.0 * 2.0) * 64.0 + 512.0 * h + h;
    let experts = 16.0 * 2.0 * 96.0 * 64.0 + h * 16.0 + 2.0 * h * 128.0 + 2.0 * h * 96.0 + h;
    let dense = 2.0 * h * 512.0 + h;
    assert_eq!(model.params(), 3.0 * mamba + attention + 2.0 * experts + dense + 2.0 * 1000.0 * h + h);

    // In words, and without a number of layers: as newer configurations say it.
    let mut words = sound_hybrid();
    words["hybrid_override_pattern"] = Value::Null;
    words["num_hidden_layers"] = Value::Null;
    words["layers_block_type"] = json!(["mamba", "moe", "mamba", "attention", "moe", "mamba", "mlp"]);
    words["mtp_hybrid_override_pattern"] = Value::Null;
    words["mtp_layers_block_type"] = json!(["attention", "moe"]);
    assert_eq!(read(&words.to_string()).unwrap(), model);
    // Nemotron-3's own files hold a number that is not JSON's.
    let text = sound_hybrid().to_string().replacen('{', "{\"time_step_limit\": [0.0, Infinity], ", 1);
    assert_eq!(read(&text).unwrap(), model);
    let quoted = sound_hybrid().to_string().replacen('{', "{\"why\": \"to \\\"Infinity\", ", 1);
    assert_eq!(read(&quoted).unwrap(), model);
    let text = read("{\"a\": [Infinity], \"b\" 5}").unwrap_err().to_string();
    assert!(text.contains("config.json:1:23: not valid JSON"), "{text}");
}

#[test]
fn malformed_hybrids_are_refused_with_the_key() {
    let cases = [
        (
            "hybrid_override_pattern",
            json!("MEM*EMX"),
            "`hybrid_override_pattern` has a layer `X`; known are M or",
        ),
        ("hybrid_override_pattern", json!(["mamba", 5]), "has a layer `5`"),
        ("hybrid_override_pattern", json!(7), "`hybrid_override_pattern` must list the kinds of layers"),
        ("hybrid_override_pattern", json!(""), "must list 1 to 1024 layers, found 0"),
        ("hybrid_override_pattern", json!(null), "missing `hybrid_override_pattern` or `layers_block_type`"),
        ("hybrid_override_pattern", json!("MEMEME-"), "without any attention over keys and values"),
        ("num_hidden_layers", json!(8), "`num_hidden_layers` (8) beside a list of 7 layers"),
        ("mamba_num_heads", json!(null), "missing `mamba_num_heads`"),
        ("mamba_num_heads", json!(18), "`mamba_num_heads` (18) is no multiple of `n_groups` (4)"),
        ("ssm_state_size", json!(0), "`ssm_state_size` must be a whole number from 1"),
        ("mamba_ssm_cache_dtype", json!("bfloat16"), "a state of linear attention in other than 32 bits"),
        ("mamba_ssm_dtype", json!("float16"), "in other than 32 bits (mamba_ssm_dtype: \"float16\")"),
        ("mtp_hybrid_override_pattern", json!("ME"), "multi-token prediction by other layers"),
        ("moe_latent_size", json!(0), "`moe_latent_size` must be a whole number from 1"),
        ("n_routed_experts", json!(null), "missing the number of experts"),
        ("mamba_d_state", json!(16), "hybrid or linear attention"),
        ("model_type", json!("mamba2"), "hybrid or linear attention (hybrid_override_pattern: \"MEM*EM-\")"),
    ];
    for (key, value, expected) in cases {
        let error = changed(sound_hybrid(), key, value).unwrap_err().to_string();
        assert!(error.contains(expected), "{key}: {error}");
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
