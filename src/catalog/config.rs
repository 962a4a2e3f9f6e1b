//! Reads the keys of a Hugging Face `config.json` into a [`Model`].
//!
//! Sizes must be written out: the only defaults taken are those that a family of models documents (`head_dim` =
//! hidden / heads; untied embeddings; attention biases where the family has them). With latent attention the
//! model's `head_dim` is that of a query or key head (`qk_nope_head_dim` + `qk_rope_head_dim`), whatever the
//! file says, for this is what attention's arithmetic counts; values are in [`Model::latent`]. Experts, latent
//! attention and windows are read in `parts`.
//!
//! An architecture that was not checked is accepted when every size is there, as a llama-like decoder (gated
//! MLPs, RMSNorm), and its source says so; what has other formulas is refused (see `refusals`). Not read:
//! precision and quantisation (the scenario gives them), RoPE (it changes no size), biases of MLPs, experts and
//! output projections, routing groups (they change which experts are taken, not how many).

use serde_json::{Map, Value};

use super::{CatalogError, hybrid, parts, refusals};
use crate::resolved::Model;

/// Sizes that must be there, with the largest value that is taken for one; the first may be in a hybrid's list.
const SIZES: [(&str, u32); 7] = [
    ("num_hidden_layers", 1 << 10),
    ("hidden_size", 1 << 17),
    ("intermediate_size", parts::MOST_WIDTH),
    ("num_attention_heads", 1 << 12),
    ("num_key_value_heads", 1 << 12),
    ("vocab_size", 1 << 23),
    ("max_position_embeddings", 1 << 28),
];
/// Largest head.
pub(super) const MAX_HEAD_DIM: u32 = 1 << 12;
/// Most multi-token-prediction layers.
const MOST_MTP_LAYERS: u32 = 16;

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
        // Where every layer has experts, no dense width need be given (Qwen3.5's mixtures of experts).
        let sizes = SIZES.map(|(key, largest)| match key {
            "intermediate_size" if self.value(key).is_none() && self.value(parts::EXPERT_WIDTH).is_some() => {
                (parts::EXPERT_WIDTH, largest)
            }
            _ => (key, largest),
        });
        let hybrid = hybrid::read(self)?;
        // A hybrid's layers are counted in their list.
        let needed: Vec<_> = sizes[usize::from(hybrid.is_some())..].iter().map(|(key, _)| *key).collect();
        self.present(&needed, "is this a Hugging Face config.json?")?;
        let mut found = [0; SIZES.len()];
        for (place, (size, (key, largest))) in found.iter_mut().zip(sizes).enumerate() {
            *size = match &hybrid {
                Some(hybrid) if place == 0 => hybrid.layers,
                _ => self.size(key, largest)?,
            };
        }
        let [layers, hidden, intermediate, heads, kv_heads, vocab, max_positions] = found;
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
        let qk_norm = self.flag("use_qk_norm")?.unwrap_or(known.is_some_and(|known| known.qk_norm));
        let source = match known {
            Some(_) => source.to_owned(),
            None => format!("{source}; `{family}` was not checked, read as a llama-like decoder"),
        };
        // A hybrid's list says whether there are experts, whatever else its file holds of them.
        let with_experts = hybrid.as_ref().map(|hybrid| hybrid.mixers.experts > 0);
        let required = with_experts.unwrap_or(known.is_some_and(|known| known.experts));
        let experts =
            if with_experts == Some(false) { None } else { parts::experts(self, layers, required)? };
        let latent = parts::latent(self)?;
        let head_dim = match &latent {
            Some(latent) => latent.nope + latent.rope,
            None => self.head_dim(hidden, heads)?,
        };
        Ok(Model {
            id: id.to_owned(),
            source,
            layers,
            hidden,
            intermediate,
            heads,
            kv_heads,
            head_dim,
            vocab,
            tied_embeddings,
            attention_bias,
            qk_norm,
            max_positions,
            experts,
            latent,
            sliding: parts::sliding(self, layers, max_positions)?,
            linear: match &hybrid {
                Some(hybrid) => hybrid.linear,
                None => parts::linear(self, layers)?,
            },
            output_gate: self
                .flag("attn_output_gate")?
                .unwrap_or(known.is_some_and(|known| known.output_gate)),
            gated: hybrid.is_none(),
            mixers: hybrid.map(|hybrid| hybrid.mixers),
            mtp_layers: match self.count("num_nextn_predict_layers", MOST_MTP_LAYERS)? {
                Some(layers) => layers,
                None => self.count("mtp_num_hidden_layers", MOST_MTP_LAYERS)?.unwrap_or(0),
            },
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

    /// Fails with all of the keys that are missing, and with `hint`.
    pub(super) fn present(&self, keys: &[&str], hint: &str) -> Result<(), CatalogError> {
        let missing: Vec<_> =
            keys.iter().filter(|key| self.value(key).is_none()).map(|key| format!("`{key}`")).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(self.error(format!("missing {}: {hint}", missing.join(", "))))
    }

    /// A size that must be there: a whole number from 1 to `largest`.
    pub(super) fn size(&self, key: &str, largest: u32) -> Result<u32, CatalogError> {
        let value = self.value(key).ok_or_else(|| self.error(format!("missing `{key}`")))?;
        self.whole(key, value, 1, largest)
    }

    /// A number that may be absent: a whole number from 0 to `largest`.
    pub(super) fn count(&self, key: &str, largest: u32) -> Result<Option<u32>, CatalogError> {
        self.value(key).map(|value| self.whole(key, value, 0, largest)).transpose()
    }

    fn whole(&self, key: &str, value: &Value, smallest: u32, largest: u32) -> Result<u32, CatalogError> {
        value
            .as_u64()
            .and_then(|size| u32::try_from(size).ok())
            .filter(|size| (smallest..=largest).contains(size))
            .ok_or_else(|| {
                self.error(format!(
                    "`{key}` must be a whole number from {smallest} to {largest}, found {}",
                    shown(value)
                ))
            })
    }

    /// The error `message` about this file.
    pub(super) fn error(&self, message: String) -> CatalogError {
        CatalogError::Config { origin: self.origin.to_owned(), message }
    }

    /// The error for what has no formulas here.
    pub(super) fn refuse(&self, feature: &'static str, key: &str) -> CatalogError {
        let because = self.value(key).map_or(key.to_owned(), |value| format!("{key}: {}", shown(value)));
        CatalogError::Unsupported { origin: self.origin.to_owned(), feature, because }
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
    /// Whether its models always have experts.
    experts: bool,
    /// Whether attention's output is gated.
    output_gate: bool,
}

const fn known(model_type: &'static str, architecture: &'static str) -> Known {
    Known {
        model_type,
        architecture,
        attention_bias: false,
        qk_norm: false,
        experts: false,
        output_gate: false,
    }
}

const KNOWN: [Known; 16] = [
    known("llama", "LlamaForCausalLM"),
    known("mistral", "MistralForCausalLM"),
    Known { attention_bias: true, ..known("qwen2", "Qwen2ForCausalLM") },
    Known { qk_norm: true, ..known("qwen3", "Qwen3ForCausalLM") },
    Known { qk_norm: true, experts: true, ..known("qwen3_moe", "Qwen3MoeForCausalLM") },
    Known { attention_bias: true, ..known("mimo", "MiMoForCausalLM") },
    Known { experts: true, ..known("mixtral", "MixtralForCausalLM") },
    Known { experts: true, ..known("deepseek_v3", "DeepseekV3ForCausalLM") },
    Known { experts: true, ..known("kimi_k2", "DeepseekV3ForCausalLM") },
    Known { experts: true, ..known("glm4_moe", "Glm4MoeForCausalLM") },
    Known { attention_bias: true, experts: true, ..known("gpt_oss", "GptOssForCausalLM") },
    Known { qk_norm: true, experts: true, output_gate: true, ..known("qwen3_next", "Qwen3NextForCausalLM") },
    Known { qk_norm: true, output_gate: true, ..known("qwen3_5_text", "Qwen3_5ForCausalLM") },
    Known {
        qk_norm: true,
        experts: true,
        output_gate: true,
        ..known("qwen3_5_moe_text", "Qwen3_5MoeForCausalLM")
    },
    Known { qk_norm: true, experts: true, ..known("minimax_m2", "MiniMaxM2ForCausalLM") },
    known(hybrid::FAMILY, "NemotronHForCausalLM"),
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
