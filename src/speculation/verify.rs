//! Verification itself, run token by token on small vocabularies.
//!
//! The rates elsewhere assume that an engine's output is the target's own law, whatever the drafter proposes. Here that
//! is a fact to test: `Sampler` walks a tree (a chain is a tree with one child a node) under each verification
//! semantics, and `law` gives the exact law of its first tokens by enumeration. Lossless ones must equal the target's;
//! relaxed ones differ by a distance that can be read off; planted bugs must be found. Rules at one node:
//!   sampled       children are drawn from q without replacement; child x is accepted with min(1, p/q), after a rejection
//!                 p ← max(p - q, 0) and q ← q without x, both normalised (arXiv 2211.17192; trees: 2402.12374);
//!   argmax draft, top-k tree   children are the likeliest of q; they share one uniform u: child i is accepted where u
//!                 lies below the sum of p over children 1 … i (SGLang's target-only sampling);
//!   exact match   children are drawn from q; the target samples, and the child that equals the sample is taken.
//! Leaves out: drafting ahead of the walk, which draws the same laws in another order; speed.

mod language;
mod law;
mod sampler;

pub use language::{Hashed, Language};
pub use law::{law, shift, target_law};
pub use sampler::{Flaw, Relaxation, Sampler};

#[cfg(test)]
mod tests;
