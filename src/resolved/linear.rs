//! Linear attention: what a model's layers of it keep and weigh.

use serde::{Deserialize, Serialize};

/// What updates the state of a layer of linear attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The gated delta rule (Gated DeltaNet, arXiv 2412.06464).
    #[default]
    DeltaRule,
    /// Mamba-2's selective state space (arXiv 2405.21060). Its names: groups are key heads, the state's size is a key's, its
    /// heads are value heads, B are keys, C queries and x values.
    Mamba2,
}

/// Layers of linear attention: a state of fixed size takes the place of the cache. Every value head keeps a matrix of key by
/// value numbers in 32 bits, and the inputs of a short causal convolution are kept in 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinearAttention {
    /// What updates the state.
    #[serde(default)]
    pub rule: Rule,
    /// How many of the model's layers are of this kind.
    pub layers: u32,
    /// Query and key heads.
    pub key_heads: u32,
    /// Numbers of one of them.
    pub key_dim: u32,
    /// Value heads: a multiple of the key heads.
    pub value_heads: u32,
    /// Numbers of one of them.
    pub value_dim: u32,
    /// Tokens that the convolution sees.
    pub conv: u32,
}

impl LinearAttention {
    /// Width of all keys together (queries are as wide).
    pub fn key_width(&self) -> f64 {
        f64::from(self.key_heads) * f64::from(self.key_dim)
    }

    /// Width of all values together.
    pub fn value_width(&self) -> f64 {
        f64::from(self.value_heads) * f64::from(self.value_dim)
    }

    /// Channels of the convolution: queries, keys and values.
    pub fn channels(&self) -> f64 {
        2.0 * self.key_width() + self.value_width()
    }

    /// Bytes of the matrices that one sequence keeps in one layer.
    pub fn matrix_bytes(&self) -> f64 {
        4.0 * f64::from(self.key_dim) * self.value_width()
    }

    /// Bytes that one sequence keeps in one layer.
    pub fn state_bytes(&self) -> f64 {
        self.matrix_bytes() + 2.0 * f64::from(self.conv.saturating_sub(1)) * self.channels()
    }

    /// Weights of one layer's attention: projections in (queries, keys, values, output gate, and two numbers a value head) and
    /// out, convolution, decay and step of each value head, output norm. Mamba-2 projects one number a head, its convolution
    /// has a bias, a head has a decay, a step and a skip connection, and the norm runs over all heads (vLLM 0.24.0,
    /// `mamba_mixer2.py`).
    pub(super) fn params(&self, hidden: f64) -> f64 {
        let (keys, values, heads) = (self.key_width(), self.value_width(), f64::from(self.value_heads));
        let conv = f64::from(self.conv) * self.channels();
        let (small, rest) = match self.rule {
            Rule::DeltaRule => (2.0 * heads, conv + 2.0 * heads + f64::from(self.value_dim)),
            Rule::Mamba2 => (heads, conv + self.channels() + 3.0 * heads + values),
        };
        hidden * (2.0 * keys + 2.0 * values + small) + values * hidden + rest
    }

    /// Operations of one layer's recurrence for one token. Each value head decays its state, reads it twice (with the key
    /// and with the query) and adds an outer product, of as many multiply-adds as it has numbers: Megatron-LM counts four of
    /// them, eight operations a number, and seven for Mamba-2 (`training.py`, `mamba_layer_flops`: the scan).
    pub fn recurrence_flops(&self) -> f64 {
        let of_number = match self.rule {
            Rule::DeltaRule => 8.0,
            Rule::Mamba2 => 7.0,
        };
        of_number * f64::from(self.key_dim) * self.value_width()
    }
}
