//! The parts that only some models have: experts, latent attention, layers with a window, layers of linear attention.
//!
//! Each reads the keys of its families: experts as Qwen3-MoE (`num_experts`), DeepSeek, Kimi and GLM
//! (`n_routed_experts`) or gpt-oss and Mixtral (`num_local_experts`) write them, latent attention as DeepSeek
//! does, windows as gpt-oss (`layer_types`), Mistral (every layer) and Qwen (`max_window_layers`) do, linear attention with a
//! gated delta rule as Qwen3-Next and Qwen3.5 do (`linear_num_value_heads` and its like).

use serde_json::Value;

use super::config::{Config, MAX_HEAD_DIM};
use super::{CatalogError, hybrid};
use crate::resolved::{Experts, LatentAttention, LinearAttention, Rule, SlidingWindow};

/// Largest width of an MLP.
pub(super) const MOST_WIDTH: u32 = 1 << 20;
/// Most experts of a layer.
const MOST_EXPERTS: u32 = 1 << 14;
/// Most shared experts of a layer.
const MOST_SHARED: u32 = 1 << 8;
/// Largest compressed vector.
const MOST_RANK: u32 = 1 << 16;

/// Most heads of linear attention.
pub(super) const MOST_HEADS: u32 = 1 << 12;
/// Longest convolution before it.
pub(super) const LONGEST_CONVOLUTION: u32 = 1 << 6;
/// What the configuration classes of Qwen3-Next and Nemotron-H take for the convolution where nothing is said.
pub(super) const CONVOLUTION: u32 = 4;
/// Key of the format of a state; the published tables and sizes are of 32 bits, which is the engines' default too.
const STATE_FORMAT: &str = "mamba_ssm_dtype";
/// Key of the width of one expert.
pub(super) const EXPERT_WIDTH: &str = "moe_intermediate_size";
/// Keys that linear attention with a gated delta rule needs.
pub(super) const LINEAR: [&str; 4] =
    ["linear_num_key_heads", "linear_num_value_heads", "linear_key_head_dim", "linear_value_head_dim"];

/// Keys of the number of experts.
const EXPERTS: [&str; 3] = ["num_experts", "n_routed_experts", "num_local_experts"];
/// Keys of the width of all shared experts together.
const SHARED_WIDTH: [&str; 3] =
    ["shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "shared_intermediate_size"];

/// Families that use `sliding_window` only when `use_sliding_window` says so.
const WINDOW_OFF_BY_DEFAULT: [&str; 5] = ["mimo", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe"];
/// Families of which every layer has the window.
const WINDOW_IN_EVERY_LAYER: [&str; 2] = ["mistral", "mixtral"];

/// The experts, of which a model of a `required` family must have some; one expert is a dense MLP.
pub(super) fn experts(
    config: &Config<'_>,
    layers: u32,
    required: bool,
) -> Result<Option<Experts>, CatalogError> {
    let several = |key: &str| config.value(key).is_some_and(|count| count.as_f64().is_none_or(|n| n > 1.0));
    let choice = several("num_experts_per_tok");
    let Some(key) = EXPERTS.into_iter().find(|key| config.value(key).is_some()) else {
        if choice || required {
            let keys = EXPERTS.map(|key| format!("`{key}`")).join(" or ");
            return Err(config.error(format!("missing the number of experts ({keys})")));
        }
        return Ok(None);
    };
    if !(required || choice || several(key)) {
        return Ok(None);
    }
    let count = config.size(key, MOST_EXPERTS)?;
    let per_token = config.size("num_experts_per_tok", MOST_EXPERTS)?;
    if per_token > count {
        return Err(
            config.error(format!("`num_experts_per_tok` ({per_token}) is more than `{key}` ({count})"))
        );
    }
    let width = if key == "num_local_experts" && config.value(EXPERT_WIDTH).is_none() {
        "intermediate_size"
    } else {
        EXPERT_WIDTH
    };
    let intermediate = config.size(width, MOST_WIDTH)?;
    let shared_intermediate = match SHARED_WIDTH.into_iter().find(|key| config.value(key).is_some()) {
        Some(key) => config.count(key, MOST_WIDTH)?.unwrap_or(0),
        None => config.count("n_shared_experts", MOST_SHARED)?.unwrap_or(0) * intermediate,
    };
    let dense_layers = config.count("first_k_dense_replace", layers)?.unwrap_or(0);
    if dense_layers == layers {
        return Err(config.error(format!(
            "`first_k_dense_replace` ({dense_layers}) leaves none of {layers} layers with experts"
        )));
    }
    let latent = hybrid::latent(config)?;
    Ok(Some(Experts { count, per_token, intermediate, shared_intermediate, dense_layers, latent }))
}

/// The latent attention.
pub(super) fn latent(config: &Config<'_>) -> Result<Option<LatentAttention>, CatalogError> {
    let ranks = ["kv_lora_rank", "q_lora_rank"];
    let Some(key) = ranks.into_iter().find(|key| config.value(key).is_some()) else { return Ok(None) };
    let needed = ["kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"];
    config.present(&needed, &format!("`{key}` means latent attention, which needs them"))?;
    let q_rank = config.value("q_lora_rank").map(|_| config.size("q_lora_rank", MOST_RANK)).transpose()?;
    Ok(Some(LatentAttention {
        q_rank,
        kv_rank: config.size("kv_lora_rank", MOST_RANK)?,
        nope: config.size("qk_nope_head_dim", MAX_HEAD_DIM)?,
        rope: config.size("qk_rope_head_dim", MAX_HEAD_DIM)?,
        value: config.size("v_head_dim", MAX_HEAD_DIM)?,
    }))
}

/// The layers of linear attention.
pub(super) fn linear(config: &Config<'_>, layers: u32) -> Result<Option<LinearAttention>, CatalogError> {
    let Some(key) = LINEAR.into_iter().find(|key| config.value(key).is_some()) else { return Ok(None) };
    config.present(&LINEAR, &format!("`{key}` means linear attention, which needs them"))?;
    let of_kind = match (config.value("layer_types"), config.count("full_attention_interval", layers)?) {
        (Some(Value::Array(types)), _) if types.len() >= layers as usize => {
            let of_model = types.iter().take(layers as usize);
            of_model.filter(|layer| **layer == "linear_attention").count() as u32
        }
        (Some(_), _) => return Err(config.error(format!("`layer_types` must list {layers} layers"))),
        // Every so many layers one has keys and values.
        (None, Some(interval)) if interval > 0 => layers - layers / interval,
        _ => {
            return Err(config.error(format!(
                "missing `layer_types` or `full_attention_interval`: `{key}` means linear attention in some layers"
            )));
        }
    };
    if of_kind == 0 {
        return Ok(None);
    }
    if config.text(STATE_FORMAT).is_some_and(|format| format != "float32") {
        return Err(config.refuse("a state of linear attention in other than 32 bits", STATE_FORMAT));
    }
    if of_kind == layers {
        return Err(config.refuse("a model without any attention over keys and values", key));
    }
    let [key_heads, value_heads] = [config.size(LINEAR[0], MOST_HEADS)?, config.size(LINEAR[1], MOST_HEADS)?];
    if !value_heads.is_multiple_of(key_heads) {
        return Err(config.error(format!(
            "`{}` ({value_heads}) is no multiple of `{}` ({key_heads})",
            LINEAR[1], LINEAR[0]
        )));
    }
    let conv = "linear_conv_kernel_dim";
    Ok(Some(LinearAttention {
        rule: Rule::DeltaRule,
        layers: of_kind,
        key_heads,
        key_dim: config.size(LINEAR[2], MAX_HEAD_DIM)?,
        value_heads,
        value_dim: config.size(LINEAR[3], MAX_HEAD_DIM)?,
        conv: if config.value(conv).is_some() {
            config.size(conv, LONGEST_CONVOLUTION)?
        } else {
            CONVOLUTION
        },
    }))
}

/// The layers with a window; none where the window is as long as the longest sequence and so hides nothing.
pub(super) fn sliding(
    config: &Config<'_>,
    layers: u32,
    max_positions: u32,
) -> Result<Option<SlidingWindow>, CatalogError> {
    let types = match config.value("layer_types") {
        None => None,
        Some(Value::Array(types)) if types.len() >= layers as usize => Some(types),
        Some(other) => {
            let found = other.as_array().map_or("no list".to_owned(), |types| types.len().to_string());
            return Err(config.error(format!("`layer_types` must list {layers} layers, found {found}")));
        }
    };
    let family = config.family();
    let on = config
        .flag("use_sliding_window")?
        .unwrap_or_else(|| types.is_some() || !WINDOW_OFF_BY_DEFAULT.contains(&family));
    let windowed = match types {
        // `refusals` let only full and sliding attention pass.
        Some(types) => {
            let of_model = types.iter().take(layers as usize);
            Some(of_model.filter(|layer| **layer == "sliding_attention").count() as u32)
        }
        None if WINDOW_IN_EVERY_LAYER.contains(&family) => Some(layers),
        None => config.count("max_window_layers", u32::MAX)?.map(|first| layers.saturating_sub(first)),
    };
    let missing = config.value("sliding_window").is_none();
    if !on || windowed == Some(0) || (missing && types.is_none()) {
        return Ok(None);
    }
    let tokens = config.size("sliding_window", u32::MAX)?;
    if tokens >= max_positions {
        return Ok(None);
    }
    match windowed {
        Some(layers) => Ok(Some(SlidingWindow { tokens, layers })),
        None => Err(config.refuse("sliding-window attention in unnamed layers", "sliding_window")),
    }
}
