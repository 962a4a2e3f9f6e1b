//! The RL loop: rollouts, stages around them, and the event machine that orders them in time.
//!
//! A [`Simulation`] runs the rollouts of one draw; each RL step becomes a [`StepWork`] that any calibration
//! world can price into a [`StepPlan`]; the [`machine`] turns plans into a timeline. Synchronous is a
//! staleness bound of 0, not another code path. Leaves out: split pools, streaming, interruption,
//! over-sampling, drafter training.

pub mod machine;
mod memo;
mod work;

pub use machine::{Stage, StepPlan, StepRecord};
pub use work::{InputShift, Simulation, StepWork};
