//! Rollcast forecasts reinforcement-learning post-training of large language models with speculative
//! decoding: how long a rollout and a training step take, with and without a drafter, and how sure that is.
//!
//! Layers, lowest first; a module imports only lower ones (`tests/layers.rs` checks it, `ARCHITECTURE.md`
//! explains it). With default features off only the speculation layer and what it stands on remain.

// Layer 0
pub mod estimate;
pub mod math;
pub mod piece;
pub mod rng;
pub mod units;
#[cfg(feature = "simulator")]
pub mod yaml;

// Layer 1
#[cfg(feature = "simulator")]
pub mod measured;
#[cfg(feature = "simulator")]
pub mod profile;
#[cfg(feature = "simulator")]
pub mod resolved;
#[cfg(feature = "simulator")]
pub mod result;
#[cfg(feature = "simulator")]
pub mod scenario;

// Layer 2
#[cfg(feature = "simulator")]
pub mod catalog;

// Layer 3
#[cfg(feature = "simulator")]
pub mod cost;
#[cfg(feature = "simulator")]
pub mod workload;

// Layer 4
#[cfg(feature = "simulator")]
pub mod forward;
pub mod speculation;

// Layer 5
#[cfg(feature = "simulator")]
pub mod resolve;

// Layer 6
#[cfg(feature = "simulator")]
pub mod rollout;

// Layer 7
#[cfg(feature = "simulator")]
pub mod rl;

// Layer 8
#[cfg(feature = "simulator")]
pub mod study;

// Layer 9
#[cfg(feature = "simulator")]
pub mod calibrate;
#[cfg(feature = "simulator")]
pub mod ingest;
#[cfg(feature = "simulator")]
pub mod report;

// Layer 10
#[cfg(feature = "simulator")]
pub mod cli;
