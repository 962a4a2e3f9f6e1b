//! Loops of every kind: what is conserved, what bounds hold, and how a forecast compares with the published law of
//! asynchronous steps.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "laws and figures beside ours are the point")]

#[path = "loops/beside.rs"]
mod beside;
mod common;
#[path = "loops/conserved.rs"]
mod conserved;
#[path = "loops/drift.rs"]
mod drift;
#[path = "loops/law.rs"]
mod law;
#[path = "loops/rewards.rs"]
mod rewards;
#[path = "loops/sampling.rs"]
mod sampling;
#[path = "loops/settings.rs"]
mod settings;
#[path = "loops/steps.rs"]
mod steps;

use common::small;
use rollcast::resolve::{Prepared, resolve};
use rollcast::rl::{InputShift, LoopRun, Simulation};
use rollcast::rollout::Stepper;
use rollcast::scenario::Document;

const CLUSTER: &str = "cluster: { device: h100-sxm, gpus: 8, usd_per_gpu_hour: 2.5 }";
const POOLS: &str = "pools: { generation: { device: h100-sxm, gpus: 8, usd_per_gpu_hour: 2.5 }, \
                     training: { device: h100-sxm, gpus: 8, usd_per_gpu_hour: 2.5 } }";
const LOOP: &str = "loop: { data_seconds: 0.2, prepare_seconds: 0.5, weight_sync: { seconds: 2 } }";

/// The small scenario on two pools, with keys of its loop.
fn split(keys: &str) -> String {
    let line = LOOP.replace(" }\n", "");
    let line = format!("{}, {keys} }}", line.trim_end().trim_end_matches('}').trim_end());
    small(&[(CLUSTER, POOLS), (LOOP, &line)])
}

/// The same on one pool.
fn shared(keys: &str) -> String {
    split(keys).replacen(POOLS, CLUSTER, 1)
}

fn prepared(text: &str) -> Prepared {
    resolve(&Document::parse("test.yaml", text).unwrap()).unwrap()
}

fn stream(prepared: &Prepared, pace: f64) -> LoopRun {
    Simulation::new(prepared, InputShift::default(), Stepper::Leap).stream(0, pace)
}
