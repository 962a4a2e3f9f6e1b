//! Studies: what is learnt from many runs of the machine.
//!
//! `compare` runs a scenario beside its baseline, and candidate drafters beside both, in the same draws and worlds;
//! `levers` sets remedies for the tail beside speculation; `step` prices one engine step; `solve` picks configurations and
//! compares schedules; `validate` scores published values; `engine_fit` fits software constants to serving runs; `sweep` makes
//! one scenario many; `plan` searches among many.

mod break_even;
mod compare;
mod detail;
mod drafting;
pub mod engine_fit;
mod levers;
mod loops;
mod notes;
mod paces;
pub mod plan;
mod rl_steps;
mod sensitivity;
pub mod solve;
pub mod step;
mod summarise;
pub mod sweep;
mod timeline;
mod update_interval;
pub mod validate;
mod whole_run;
mod worlds;

pub use compare::{Comparison, StudyError, compare};
pub use levers::levers;
