//! Speculative decoding: configurations, acceptance, and the schedules that pick configurations.
//!
//! This layer sees costs only through the trait [`StepCost`] and knows nothing of models, devices or
//! scenarios: with default features off it is what an inference engine embeds. `acceptance` says how much of a draft
//! is kept, `tree` and `Arm` how many tokens a configuration yields, `solver` which one emits most tokens a second,
//! `schedule` when to use which; `verify` runs verification itself on small vocabularies.

pub mod acceptance;
mod arm;
mod configuration;
pub mod schedule;
pub mod solver;
pub mod staleness;
mod step_cost;
pub mod tree;
pub mod verify;

pub use arm::{Arm, Yield};
pub use configuration::{Configuration, ConfigurationError};
pub use step_cost::StepCost;
