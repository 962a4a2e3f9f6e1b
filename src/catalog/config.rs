//! Reads the keys of a Hugging Face `config.json` into a [`Model`].
//!
//! Sizes must be written out: the only defaults taken are those that a family of models documents (`head_dim` =
//! hidden / heads; untied embeddings and no attention bias for llama, biases on q, k and v for qwen2). An
//! architecture that was not checked is accepted when every size is there, as a llama-like decoder (gated MLP,
//! RMSNorm), and its source says so; what has other formulas is refused (see `refusals`). Not read: precision
//! and quantisation (the scenario gives them), RoPE (it changes no size), MLP and output-projection biases
//! (under 0.1 % of the weights).

use serde_json::{Map, Value};

use super::{CatalogError, refusals};
use crate::resolved::Model;

/// Sizes that must be there, with the largest value that is taken for one.
const SIZES: [(&str, u32); 7] = [
    ("num_hidden_layers", 1 << 10),
    ("hidden_size", 1 << 17),
    ("intermediate_size", 1 << 20),
    ("num_attention_heads", 1 << 12),
    ("num_key_value_heads", 1 << 12),
    ("vocab_size", 1 << 23),
    ("max_position_embeddings", 1 << 28),
];
/// Largest head.
const MAX_HEAD_DIM: u32 = 1 << 12;

/// The keys of one `config.json`, with the name to use in errors.
pub(super) struct Config<'a> {
    origin: &'a str,
    keys: &'a Map<String, Value>,
}

impl<'a> Config<'a> {
    /// The keys of the file (or catalog entry) `origin`.
    pub(super) fn new(origin: &'a str, keys: &'a Map<String, Value>) -> Self {
        Self { origin, keys }
    }

    /// The model that the keys describe.
    pub(super) fn model(&self, id: &str, source: &str) -> Result<Model, CatalogError> {
        refusals::check(self)?;
        let missing: Vec<_> = SIZES
            .iter()
            .filter(|(key, _)| self.value(key).is_none())
            .map(|(key, _)| format!("`{key}`"))
            .collect();
        if !missing.is_empty() {
            return Err(
                self.error(format!("missing {}: is this a Hugging Face config.json?", missing.join(", ")))
            );
        }
        let mut sizes = [0; SIZES.len()];
        for (size, (key, largest)) in sizes.iter_mut().zip(SIZES) {
            *size = self.size(key, largest)?;
        }
        let [layers, hidden, intermediate, heads, kv_heads, vocab, max_positions] = sizes;
        if !heads.is_multiple_of(kv_heads) {
            return Err(self.error(format!(
                "`num_attention_heads` ({heads}) is no multiple of `num_key_value_heads` ({kv_heads})"
            )));
        }
        let family = self.family();
        let known = KNOWN.iter().find(|known| known.model_type == family);
        let tied_embeddings = match (self.flag("tie_word_embeddings")?, known) {
            (Some(tied), _) => tied,
            (None, Some(_)) => false,
            (None, None) => {
                return Err(self.error(format!(
                    "missing `tie_word_embeddings`, which has no known default for `{family}`"
                )));
            }
        };
        let attention_bias =
            self.flag("attention_bias")?.unwrap_or(known.is_some_and(|known| known.attention_bias));
        let source = match known {
            Some(_) => source.to_owned(),
            None => format!("{source}; `{family}` was not checked, read as a llama-like dense decoder"),
        };
        Ok(Model {
            id: id.to_owned(),
            source,
            layers,
            hidden,
            intermediate,
            heads,
            kv_heads,
            head_dim: self.head_dim(hidden, heads)?,
            vocab,
            tied_embeddings,
            attention_bias,
            qk_norm: known.is_some_and(|known| known.qk_norm),
            max_positions,
        })
    }

    /// What the model calls itself: `model_type`, else what its architecture implies, else `unnamed`.
    pub(super) fn family(&self) -> &'a str {
        if let Some(model_type) = self.text("model_type") {
            return model_type;
        }
        let Some(architecture) = self.architecture() else { return "unnamed" };
        KNOWN
            .iter()
            .find(|known| known.architecture == architecture)
            .map_or(architecture, |known| known.model_type)
    }

    /// The name to use in errors.
    pub(super) fn origin(&self) -> &'a str {
        self.origin
    }

    /// The first of `architectures`.
    pub(super) fn architecture(&self) -> Option<&'a str> {
        self.value("architectures")?.as_array()?.first()?.as_str()
    }

    /// A key's value; `null` is as good as absent.
    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.keys.get(key).filter(|value| !value.is_null())
    }

    /// A key's text, if it is text.
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.value(key)?.as_str()
    }

    /// A size that must be there: a whole number from 1 to `largest`.
    pub(super) fn size(&self, key: &str, largest: u32) -> Result<u32, CatalogError> {
        let value = self.value(key).ok_or_else(|| self.error(format!("missing `{key}`")))?;
        value
            .as_u64()
            .and_then(|size| u32::try_from(size).ok())
            .filter(|size| (1..=largest).contains(size))
            .ok_or_else(|| {
                self.error(format!(
                    "`{key}` must be a whole number from 1 to {largest}, found {}",
                    shown(value)
                ))
            })
    }

    /// The error `message` about this file.
    pub(super) fn error(&self, message: String) -> CatalogError {
        CatalogError::Config { origin: self.origin.to_owned(), message }
    }

    /// The error for what has no formulas here.
    pub(super) fn refuse(&self, feature: &'static str, key: &str, planned: bool) -> CatalogError {
        let because = self.value(key).map_or(key.to_owned(), |value| format!("{key}: {}", shown(value)));
        CatalogError::Unsupported { origin: self.origin.to_owned(), feature, because, planned }
    }

    /// A yes or no that may be absent.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, CatalogError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(self.error(format!("`{key}` must be true or false, found {}", shown(other)))),
        }
    }

    fn head_dim(&self, hidden: u32, heads: u32) -> Result<u32, CatalogError> {
        if self.value("head_dim").is_some() {
            return self.size("head_dim", MAX_HEAD_DIM);
        }
        if !hidden.is_multiple_of(heads) {
            return Err(self.error(format!(
                "`hidden_size` ({hidden}) is no multiple of `num_attention_heads` ({heads}) and `head_dim` is missing"
            )));
        }
        Ok(hidden / heads)
    }
}

/// A family of models, with the defaults of its configuration class in Hugging Face transformers.
struct Known {
    model_type: &'static str,
    architecture: &'static str,
    attention_bias: bool,
    qk_norm: bool,
}

const KNOWN: [Known; 4] = [
    Known { model_type: "llama", architecture: "LlamaForCausalLM", attention_bias: false, qk_norm: false },
    Known {
        model_type: "mistral",
        architecture: "MistralForCausalLM",
        attention_bias: false,
        qk_norm: false,
    },
    Known { model_type: "qwen2", architecture: "Qwen2ForCausalLM", attention_bias: true, qk_norm: false },
    Known { model_type: "qwen3", architecture: "Qwen3ForCausalLM", attention_bias: false, qk_norm: true },
];

/// A value as an error shows it: no longer than a line.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 40;
    let text = value.to_string();
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain("...".chars()).collect()
}
