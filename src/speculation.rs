//! Speculative decoding: configurations, acceptance, and the schedules that pick configurations.
//!
//! This layer sees costs only through the trait [`StepCost`] and knows nothing of models, devices or
//! scenarios: with default features off it is what an inference engine embeds. Chains only; trees, the
//! solver, drift and the exact sampler are not here yet.

pub mod acceptance;
mod configuration;
pub mod schedule;
mod step_cost;

pub use configuration::Configuration;
pub use step_cost::StepCost;
