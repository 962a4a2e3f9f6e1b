//! What one step of the engine does: plain decoding, or a draft and its verification.
//!
//! Engines name the same things differently. vLLM's `num_speculative_tokens` K counts draft tokens; SGLang's
//! `num_draft_tokens` counts what is verified, root included, so its chains have num_steps + 1 of them (it sets that
//! itself where topk is 1). vLLM has no trees.

use super::tree::MOST_NODES;
use crate::piece::{DraftTree, Shape};

/// One SD configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Configuration {
    /// Plain decoding.
    Off,
    /// A chain of `draft_tokens` (num_speculative_tokens, K ≥ 1), verified in one pass of K + 1 tokens.
    Chain {
        /// K.
        draft_tokens: u32,
    },
    /// The likeliest nodes of a beam search, verified in one pass.
    Tree {
        /// Draft passes (num_steps).
        depth: u32,
        /// Beams, and children of a node (topk).
        top_k: u32,
        /// Tokens that the target verifies, root included (num_draft_tokens).
        verify_tokens: u32,
    },
}

/// A configuration that no engine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    /// Too large a tree.
    #[error("a tree of {verify_tokens} tokens, root included; at most {MOST_NODES}")]
    TooManyNodes {
        /// Tokens asked for.
        verify_tokens: u32,
    },
    /// More tokens than the beams propose.
    #[error(
        "{verify_tokens} tokens to verify, and {depth} steps of {top_k} beams propose {candidates} with the root"
    )]
    TooFewCandidates {
        /// Steps.
        depth: u32,
        /// Beams.
        top_k: u32,
        /// Tokens asked for.
        verify_tokens: u32,
        /// Tokens there are.
        candidates: u64,
    },
    /// A number that must be at least one.
    #[error("{what} is {value}; it must be at least {least}")]
    TooSmall {
        /// What it is.
        what: &'static str,
        /// Its value.
        value: u32,
        /// The least that works.
        least: u32,
    },
}

impl Configuration {
    /// A chain of `k` tokens; off when `k` is zero.
    pub fn chain(k: u32) -> Self {
        if k == 0 { Configuration::Off } else { Configuration::Chain { draft_tokens: k } }
    }

    /// A tree; with one beam it is a chain.
    pub fn tree(depth: u32, top_k: u32, verify_tokens: u32) -> Result<Self, ConfigurationError> {
        for (what, value, least) in
            [("num_steps", depth, 1), ("topk", top_k, 1), ("tokens", verify_tokens, 2)]
        {
            if value < least {
                return Err(ConfigurationError::TooSmall { what, value, least });
            }
        }
        if verify_tokens as usize > MOST_NODES {
            return Err(ConfigurationError::TooManyNodes { verify_tokens });
        }
        let (k, further) = (u64::from(top_k), u64::from(depth - 1));
        let candidates = 1 + k + further * k * k;
        if u64::from(verify_tokens) > candidates {
            return Err(ConfigurationError::TooFewCandidates { depth, top_k, verify_tokens, candidates });
        }
        if top_k == 1 {
            return Ok(Configuration::chain(verify_tokens - 1));
        }
        Ok(Configuration::Tree { depth, top_k, verify_tokens })
    }

    /// From SGLang's `speculative_num_steps`, `_eagle_topk` and `_num_draft_tokens`; zero steps are off, and one beam
    /// is a chain of as many tokens as there are steps, whatever the third says.
    pub fn from_sglang(num_steps: u32, topk: u32, num_draft_tokens: u32) -> Result<Self, ConfigurationError> {
        if num_steps == 0 || topk == 1 {
            return Ok(Configuration::chain(num_steps));
        }
        Configuration::tree(num_steps, topk, num_draft_tokens)
    }

    /// SGLang's three numbers; none for plain decoding.
    pub fn to_sglang(self) -> Option<(u32, u32, u32)> {
        match self {
            Configuration::Off => None,
            Configuration::Chain { draft_tokens } => Some((draft_tokens, 1, draft_tokens + 1)),
            Configuration::Tree { depth, top_k, verify_tokens } => Some((depth, top_k, verify_tokens)),
        }
    }

    /// vLLM's K; none for trees, which it cannot run.
    pub fn to_vllm(self) -> Option<u32> {
        match self {
            Configuration::Tree { .. } => None,
            other => Some(other.draft_tokens()),
        }
    }

    /// Draft tokens per sequence and step, K: what is verified beside the root.
    #[inline]
    pub fn draft_tokens(self) -> u32 {
        match self {
            Configuration::Off => 0,
            Configuration::Chain { draft_tokens } => draft_tokens,
            Configuration::Tree { verify_tokens, .. } => verify_tokens - 1,
        }
    }

    /// Most draft tokens that a round can accept.
    #[inline]
    pub fn depth(self) -> u32 {
        match self {
            // A tree of few tokens need not reach its last pass.
            Configuration::Tree { depth, verify_tokens, .. } => depth.min(verify_tokens - 1),
            other => other.draft_tokens(),
        }
    }

    /// The shape of a step in which `decoding` sequences run it and nothing is prefilled.
    #[inline]
    pub fn shape(self, decoding: u32) -> Shape {
        let tree = match self {
            Configuration::Tree { depth, top_k, .. } => Some(DraftTree { depth, width: top_k }),
            _ => None,
        };
        Shape { decoding, draft_tokens: self.draft_tokens(), tree, ..Shape::default() }
    }
}

impl std::fmt::Display for Configuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Configuration::Off => f.write_str("off"),
            Configuration::Chain { draft_tokens } => write!(f, "K={draft_tokens}"),
            Configuration::Tree { depth, top_k, verify_tokens } => {
                write!(f, "tree {depth},{top_k},{verify_tokens}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_numbers_and_back() {
        // SGLang's defaults: (3, 1, 4) is vLLM's K = 3, (5, 4, 8) a tree of 7 draft tokens.
        let chain = Configuration::from_sglang(3, 1, 4);
        assert_eq!(chain, Ok(Configuration::chain(3)));
        assert_eq!(Configuration::chain(3).to_sglang(), Some((3, 1, 4)));
        assert_eq!(Configuration::chain(3).to_vllm(), Some(3));
        let tree = Configuration::from_sglang(5, 4, 8).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((tree.draft_tokens(), tree.depth(), tree.to_vllm()), (7, 5, None));
        assert_eq!(tree.to_sglang(), Some((5, 4, 8)));
        assert_eq!(Configuration::from_sglang(0, 4, 8), Ok(Configuration::Off));
        assert_eq!(tree.to_string(), "tree 5,4,8");
    }

    #[test]
    fn shapes_of_chains_are_what_they_were() {
        let shape = Configuration::chain(3).shape(8);
        assert_eq!(shape, Shape { decoding: 8, draft_tokens: 3, ..Shape::default() });
        assert_eq!((shape.draft_depth(), shape.draft_width()), (3, 1));
        let tree = Configuration::tree(5, 4, 8).map(|c| c.shape(2)).unwrap_or_default();
        assert_eq!((tree.draft_tokens, tree.draft_depth(), tree.draft_width()), (7, 5, 4));
        assert_eq!(Configuration::Off.shape(8), Shape { decoding: 8, ..Shape::default() });
    }

    #[test]
    fn what_no_engine_runs_is_refused() {
        assert_eq!(
            Configuration::tree(5, 8, 65),
            Err(ConfigurationError::TooManyNodes { verify_tokens: 65 })
        );
        assert!(matches!(
            Configuration::tree(2, 2, 8),
            Err(ConfigurationError::TooFewCandidates { candidates: 7, .. })
        ));
        assert!(Configuration::tree(2, 2, 7).is_ok());
        for (depth, top_k, tokens) in [(0, 2, 4), (2, 0, 4), (2, 2, 1)] {
            assert!(matches!(
                Configuration::tree(depth, top_k, tokens),
                Err(ConfigurationError::TooSmall { .. })
            ));
        }
    }
}
