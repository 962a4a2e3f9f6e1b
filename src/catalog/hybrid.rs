//! Nemotron-H's hybrids (arXiv 2504.03624): layers that are one mixer each, Mamba-2, attention, experts or a dense MLP.
//!
//! Read as `nemotron_h.py` of vLLM 0.24.0 does: MLPs and experts have two matrices, experts may lie behind a projection
//! (`moe_latent_size`), attention has no rotary embedding (which changes no size). States are of 32 bits, as all published
//! configurations say.

use serde_json::Value;

use super::CatalogError;
use super::config::{Config, MAX_HEAD_DIM};
use super::parts::{CONVOLUTION, LONGEST_CONVOLUTION, MOST_HEADS, MOST_WIDTH};
use crate::resolved::{LinearAttention, Mixers, Rule};

/// What such a model calls itself.
pub(super) const FAMILY: &str = "nemotron_h";
/// Keys of the width that routed experts run at.
pub(super) const LATENT: &str = "moe_latent_size";
/// Keys of the kinds of layers: as letters, or as words.
pub(super) const LAYERS: [&str; 2] = ["hybrid_override_pattern", "layers_block_type"];
/// The same of the multi-token-prediction layers.
const MTP_LAYERS: [&str; 2] = ["mtp_hybrid_override_pattern", "mtp_layers_block_type"];
/// Keys of the format of a state.
const STATE_FORMATS: [&str; 2] = ["mamba_ssm_cache_dtype", "mamba_ssm_dtype"];
/// Most layers.
const MOST_LAYERS: usize = 1 << 10;

/// A kind of layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Mamba,
    Attention,
    Experts,
    Dense,
}

impl Block {
    fn of(name: &str) -> Option<Block> {
        match name {
            "M" | "mamba" => Some(Block::Mamba),
            "*" | "attention" => Some(Block::Attention),
            "E" | "moe" => Some(Block::Experts),
            "-" | "mlp" => Some(Block::Dense),
            _ => None,
        }
    }
}

/// The layers of a hybrid.
pub(super) struct Hybrid {
    /// How many there are.
    pub(super) layers: u32,
    /// Those that are not Mamba's.
    pub(super) mixers: Mixers,
    /// Those that are.
    pub(super) linear: Option<LinearAttention>,
}

/// The layers, where the model is such a hybrid.
pub(super) fn read(config: &Config<'_>) -> Result<Option<Hybrid>, CatalogError> {
    if config.family() != FAMILY {
        return Ok(None);
    }
    let Some(blocks) = blocks(config, LAYERS)? else {
        return Err(
            config.error(format!("missing `{}` or `{}`: which layers are which", LAYERS[0], LAYERS[1]))
        );
    };
    let count = |kind| blocks.iter().filter(|block| **block == kind).count() as u32;
    let layers = blocks.len() as u32;
    // Some configurations leave the number to the list.
    let said = config.count("num_hidden_layers", u32::MAX)?;
    if let Some(said) = said.filter(|said| *said != layers) {
        return Err(config.error(format!("`num_hidden_layers` ({said}) beside a list of {layers} layers")));
    }
    let mixers = Mixers {
        attention: count(Block::Attention),
        experts: count(Block::Experts),
        dense: count(Block::Dense),
    };
    if mixers.attention == 0 {
        return Err(config.refuse("a model without any attention over keys and values", LAYERS[0]));
    }
    if let Some(blocks) = blocks_of_prediction(config)?
        && blocks != [Block::Attention, Block::Experts]
    {
        return Err(
            config.refuse("multi-token prediction by other layers than attention and experts", MTP_LAYERS[0])
        );
    }
    let mamba = count(Block::Mamba);
    let linear = if mamba > 0 { Some(linear(config, mamba)?) } else { None };
    Ok(Some(Hybrid { layers, mixers, linear }))
}

/// The width that routed experts run at, where it is not the residual stream's.
pub(super) fn latent(config: &Config<'_>) -> Result<Option<u32>, CatalogError> {
    config.value(LATENT).map(|_| config.size(LATENT, MOST_WIDTH)).transpose()
}

fn blocks_of_prediction(config: &Config<'_>) -> Result<Option<Vec<Block>>, CatalogError> {
    match config.count("num_nextn_predict_layers", u32::MAX)? {
        None | Some(0) => Ok(None),
        Some(_) => blocks(config, MTP_LAYERS),
    }
}

/// The layers that one of two keys lists: the first in letters, the second in words.
fn blocks(config: &Config<'_>, keys: [&str; 2]) -> Result<Option<Vec<Block>>, CatalogError> {
    let Some(key) = keys.into_iter().find(|key| config.value(key).is_some()) else { return Ok(None) };
    let names: Vec<String> = match config.value(key) {
        Some(Value::String(letters)) => letters.chars().map(String::from).collect(),
        Some(Value::Array(words)) => {
            words.iter().map(|word| word.as_str().map_or(word.to_string(), str::to_owned)).collect()
        }
        _ => return Err(config.error(format!("`{key}` must list the kinds of layers"))),
    };
    if names.is_empty() || names.len() > MOST_LAYERS {
        return Err(
            config.error(format!("`{key}` must list 1 to {MOST_LAYERS} layers, found {}", names.len()))
        );
    }
    let known = |name: &String| {
        Block::of(name).ok_or_else(|| {
            let name: String = name.chars().take(20).collect();
            config.error(format!(
                "`{key}` has a layer `{name}`; known are M or mamba, * or attention, E or moe, - or mlp"
            ))
        })
    };
    names.iter().map(known).collect::<Result<_, _>>().map(Some)
}

fn linear(config: &Config<'_>, layers: u32) -> Result<LinearAttention, CatalogError> {
    let needed = ["mamba_num_heads", "mamba_head_dim", "ssm_state_size", "n_groups"];
    config.present(&needed, "layers of Mamba-2 need them")?;
    for key in STATE_FORMATS {
        if config.text(key).is_some_and(|format| format != "float32") {
            return Err(config.refuse("a state of linear attention in other than 32 bits", key));
        }
    }
    let [heads, groups] = [config.size(needed[0], MOST_HEADS)?, config.size(needed[3], MOST_HEADS)?];
    if !heads.is_multiple_of(groups) {
        return Err(
            config.error(format!("`{}` ({heads}) is no multiple of `{}` ({groups})", needed[0], needed[3]))
        );
    }
    let conv = "conv_kernel";
    Ok(LinearAttention {
        rule: Rule::Mamba2,
        layers,
        key_heads: groups,
        key_dim: config.size(needed[2], MAX_HEAD_DIM)?,
        value_heads: heads,
        value_dim: config.size(needed[1], MAX_HEAD_DIM)?,
        conv: if config.value(conv).is_some() {
            config.size(conv, LONGEST_CONVOLUTION)?
        } else {
            CONVOLUTION
        },
    })
}
