//! Architectures that have other formulas than a dense decoder with grouped-query attention: refused by name, so
//! that no forecast rests on the wrong ones.

use super::CatalogError;
use super::config::Config;

/// Keys that count experts; 0 and 1 mean a dense MLP.
const EXPERTS: [&str; 5] =
    ["num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts", "num_experts_per_tok"];
/// Keys of layers that keep a state instead of keys and values.
const STATE: [&str; 8] = [
    "hybrid_override_pattern",
    "full_attention_interval",
    "linear_num_key_heads",
    "linear_attn_config",
    "attn_layer_period",
    "mamba_d_state",
    "ssm_cfg",
    "ssm_state_size",
];
/// Families whose MLP has no gate: two matrices, not three.
const UNGATED: [&str; 10] =
    ["bloom", "falcon", "gpt2", "gpt_bigcode", "gpt_neox", "gptj", "nemotron", "opt", "phi", "starcoder2"];
/// Families that use `sliding_window` only when `use_sliding_window` says so.
const WINDOW_OFF_BY_DEFAULT: [&str; 2] = ["qwen2", "qwen3"];

/// Fails where the keys describe what is not modelled.
pub(super) fn check(config: &Config<'_>) -> Result<(), CatalogError> {
    encoder(config)?;
    for key in ["text_config", "llm_config", "language_config"] {
        if config.value(key).is_some_and(serde_json::Value::is_object) {
            return Err(CatalogError::Unsupported {
                origin: config.origin().to_owned(),
                feature: "a model of several parts (vision, audio)",
                because: key.to_owned(),
                planned: false,
            });
        }
    }
    for key in EXPERTS {
        if config.value(key).is_some_and(|count| count.is_array() || count.as_f64().is_some_and(|n| n > 1.0))
        {
            return Err(config.refuse("mixture of experts", key, true));
        }
    }
    for key in ["kv_lora_rank", "q_lora_rank"] {
        if config.value(key).is_some() {
            return Err(config.refuse("multi-head latent attention", key, true));
        }
    }
    if config.value("num_nextn_predict_layers").is_some_and(|layers| layers.as_f64() != Some(0.0)) {
        return Err(config.refuse("multi-token prediction", "num_nextn_predict_layers", true));
    }
    for key in STATE {
        if config.value(key).is_some() {
            return Err(config.refuse("hybrid or linear attention", key, false));
        }
    }
    if UNGATED.contains(&config.family()) {
        return Err(config.refuse("an MLP without a gate", "model_type", false));
    }
    attention(config)
}

fn encoder(config: &Config<'_>) -> Result<(), CatalogError> {
    if config.flag("is_encoder_decoder")? == Some(true) {
        return Err(config.refuse("an encoder", "is_encoder_decoder", false));
    }
    let not_causal = config.architecture().is_some_and(|name| {
        ["ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForConditionalGeneration"]
            .iter()
            .any(|ending| name.ends_with(ending))
    });
    if not_causal {
        return Err(config.refuse("a model that is no causal language model", "architectures", false));
    }
    Ok(())
}

/// Every layer must attend to the whole context.
fn attention(config: &Config<'_>) -> Result<(), CatalogError> {
    let layers = config.value("layer_types").and_then(|layers| layers.as_array());
    if let Some(other) = layers.and_then(|layers| layers.iter().find(|layer| *layer != "full_attention")) {
        let sliding = other.as_str().is_some_and(|name| name.contains("sliding") || name.contains("chunked"));
        let feature = if sliding { "sliding-window attention" } else { "hybrid or linear attention" };
        return Err(config.refuse(feature, "layer_types", false));
    }
    let window = config.value("sliding_window").and_then(serde_json::Value::as_u64);
    let reach = config.value("max_position_embeddings").and_then(serde_json::Value::as_u64);
    let on = config
        .flag("use_sliding_window")?
        .unwrap_or_else(|| layers.is_none() && !WINDOW_OFF_BY_DEFAULT.contains(&config.family()));
    // A window as long as the longest sequence hides nothing.
    if on && window.is_some_and(|window| reach.is_none_or(|reach| window < reach)) {
        return Err(config.refuse("sliding-window attention", "sliding_window", false));
    }
    Ok(())
}
