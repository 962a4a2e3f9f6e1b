//! Rollcast forecasts reinforcement-learning post-training of large language models with speculative
//! decoding: how long a rollout and a training step take, with and without a drafter, and how sure that is.
//!
//! Layers, lowest first; a module imports only lower ones (`tests/layers.rs` checks it, `ARCHITECTURE.md`
//! explains it). With default features off only the speculation layer and what it stands on remain.

// 0
pub mod estimate;
pub mod math;
pub mod piece;
pub mod rng;
pub mod units;
// 4, and all that an engine embeds
pub mod speculation;
