//! Linear attention: what a model's layers of it keep and weigh.

use serde::{Deserialize, Serialize};

/// Layers of gated linear attention (Gated DeltaNet, arXiv 2412.06464): a state of fixed size takes the place of the cache.
/// Every value head keeps a matrix of key by value numbers in 32 bits, and the inputs of a short causal convolution are
/// kept in 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinearAttention {
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

    /// Weights of one layer's attention: projections in (queries, keys, values, output gate, and two numbers a value head)
    /// and out, convolution, decay and step of each value head, output norm.
    pub(super) fn params(&self, hidden: f64) -> f64 {
        let (keys, values, heads) = (self.key_width(), self.value_width(), f64::from(self.value_heads));
        hidden * (2.0 * keys + 2.0 * values + 2.0 * heads)
            + values * hidden
            + f64::from(self.conv) * self.channels()
            + 2.0 * heads
            + f64::from(self.value_dim)
    }

    /// Operations of one layer's recurrence for one token: each value head decays its state, reads it twice (with the key
    /// and with the query) and adds an outer product, of as many multiply-adds as it has numbers (Megatron-LM counts four).
    pub fn recurrence_flops(&self) -> f64 {
        8.0 * f64::from(self.key_dim) * self.value_width()
    }
}
