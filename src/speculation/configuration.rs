//! What one step of the engine does: plain decoding, or a draft and its verification.

/// One SD configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Configuration {
    /// Plain decoding.
    Off,
    /// A chain of `draft_tokens` (num_speculative_tokens, K ≥ 1), verified in one pass of K + 1 tokens.
    Chain {
        /// K.
        draft_tokens: u32,
    },
}

impl Configuration {
    /// A chain of `k` tokens; off when `k` is zero.
    pub fn chain(k: u32) -> Self {
        if k == 0 { Configuration::Off } else { Configuration::Chain { draft_tokens: k } }
    }

    /// Draft tokens per sequence and step, K.
    #[inline]
    pub fn draft_tokens(self) -> u32 {
        match self {
            Configuration::Off => 0,
            Configuration::Chain { draft_tokens } => draft_tokens,
        }
    }
}
