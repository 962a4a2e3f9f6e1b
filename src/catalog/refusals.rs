//! Architectures that have other formulas than those of `Model`: refused by name, so that no forecast rests on
//! the wrong ones.

use serde_json::Value;

use super::CatalogError;
use super::config::Config;
use super::hybrid::{self, LATENT, LAYERS};
use super::parts::LINEAR;

/// Keys of layers that keep a state instead of keys and values, of another form than `parts::linear` and `hybrid` read.
const STATE: [&str; 4] = ["linear_attn_config", "attn_layer_period", "mamba_d_state", "ssm_cfg"];
/// Those that `hybrid` reads, of a family of its own.
const HYBRID: [&str; 4] = [LAYERS[0], LAYERS[1], "mamba_num_heads", "ssm_state_size"];
/// Families whose MLP has no gate: two matrices, not three.
const UNGATED: [&str; 10] =
    ["bloom", "falcon", "gpt2", "gpt_bigcode", "gpt_neox", "gptj", "nemotron", "opt", "phi", "starcoder2"];
/// Keys that put experts where our formulas do not, and the value that does not.
const EXPERTS_ELSEWHERE: [(&str, u64); 3] =
    [("decoder_sparse_step", 1), ("moe_layer_freq", 1), ("interleave_moe_layer_step", 1)];

/// Fails where the keys describe what is not modelled.
pub(super) fn check(config: &Config<'_>) -> Result<(), CatalogError> {
    let hybrid = config.family() == hybrid::FAMILY;
    for key in STATE.into_iter().chain(HYBRID.into_iter().filter(|_| !hybrid)) {
        if config.value(key).is_some() {
            return Err(config.refuse("hybrid or linear attention", key));
        }
    }
    let interval = "full_attention_interval";
    if config.value(interval).is_some() && !delta_rule(config) {
        return Err(config.refuse("hybrid or linear attention", interval));
    }
    encoder(config)?;
    for key in ["text_config", "llm_config", "language_config"] {
        if config.value(key).is_some_and(Value::is_object) {
            return Err(CatalogError::Unsupported {
                origin: config.origin().to_owned(),
                feature: "a model of several parts (vision, audio)",
                because: key.to_owned(),
            });
        }
    }
    if UNGATED.contains(&config.family()) {
        return Err(config.refuse("an MLP without a gate", "model_type"));
    }
    experts(config)?;
    attention(config)
}

/// Whether the sizes of linear attention with a gated delta rule are there.
fn delta_rule(config: &Config<'_>) -> bool {
    LINEAR.iter().any(|key| config.value(key).is_some())
}

fn encoder(config: &Config<'_>) -> Result<(), CatalogError> {
    if config.flag("is_encoder_decoder")? == Some(true) {
        return Err(config.refuse("an encoder", "is_encoder_decoder"));
    }
    let not_causal = config.architecture().is_some_and(|name| {
        ["ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForConditionalGeneration"]
            .iter()
            .any(|ending| name.ends_with(ending))
    });
    if not_causal {
        return Err(config.refuse("a model that is no causal language model", "architectures"));
    }
    Ok(())
}

/// Every layer after the first dense ones must have the same experts, of the residual stream's width but in Nemotron-H.
fn experts(config: &Config<'_>) -> Result<(), CatalogError> {
    for (key, everywhere) in EXPERTS_ELSEWHERE {
        if config.value(key).is_some_and(|value| value.as_u64() != Some(everywhere)) {
            return Err(config.refuse("experts in some layers only", key));
        }
    }
    if config.value("mlp_only_layers").is_some_and(|layers| layers.as_array().is_none_or(|l| !l.is_empty())) {
        return Err(config.refuse("experts in some layers only", "mlp_only_layers"));
    }
    if config.value("moe_num_experts").is_some() {
        return Err(config.refuse("a mixture of experts of this form", "moe_num_experts"));
    }
    if config.value(LATENT).is_some() && config.family() != hybrid::FAMILY {
        return Err(config.refuse("experts behind a projection", LATENT));
    }
    Ok(())
}

/// Every layer must attend to the whole context or to a window's last tokens.
fn attention(config: &Config<'_>) -> Result<(), CatalogError> {
    if config.value("index_topk").is_some() {
        return Err(config.refuse("sparse attention", "index_topk"));
    }
    let array = |key| config.value(key).and_then(Value::as_array);
    if array("attn_type_list").is_some_and(|types| types.iter().any(|of_layer| *of_layer != 1)) {
        return Err(config.refuse("hybrid or linear attention", "attn_type_list"));
    }
    let linear = delta_rule(config);
    let known = |layer: &Value| {
        layer == "full_attention" || layer == "sliding_attention" || (linear && layer == "linear_attention")
    };
    if let Some(other) = array("layer_types").and_then(|layers| layers.iter().find(|layer| !known(layer))) {
        let chunked = other.as_str().is_some_and(|name| name.contains("chunked"));
        let feature = if chunked { "attention in chunks" } else { "hybrid or linear attention" };
        return Err(config.refuse(feature, "layer_types"));
    }
    Ok(())
}
