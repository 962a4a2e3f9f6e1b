//! The RL loop: rollouts, stages around them, and the event machine that orders them in time.
//!
//! A [`Simulation`] runs the rollouts of one draw; each RL step becomes a [`StepWork`] that any calibration
//! world can price into a [`StepPlan`]. The [`machine`] is the trainer of every loop; two sides generate for it:
//! batches of priced plans, and [`streams`] of live replicas whose samples come and go one by one. Synchronous is a
//! staleness bound of 0, not another code path. Leaves out: training that starts before its batch is whole, several weight
//! syncs in an RL step, evaluations, checkpoints and failures.

mod batches;
mod feed;
pub mod machine;
mod memo;
mod rollouts;
mod scoring;
pub mod streams;
mod work;

pub use batches::{StepPlan, Turns, run};
pub use feed::LoopRun;
pub use machine::{Stage, StepRecord};
pub(crate) use work::{HIGHEST_RATE, idle_gpu_seconds};
pub use work::{InputShift, Simulation, StepWork};
