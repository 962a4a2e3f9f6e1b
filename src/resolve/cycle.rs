//! Stages around generation and training: data, wake, weight transfer, reward.

use super::book::Book;
use super::{ResolveError, modes};
use crate::profile::{StageDefault, StageProfile};
use crate::resolved::{
    Generation, LoopSettings, Model, Precision, Quantity, Reward, Source, Transfer, Workload,
};
use crate::scenario::Scenario;
use crate::scenario::raw::{self, WeightSync};

/// The name of a preset in the profile.
fn preset(sync: &WeightSync) -> &'static str {
    match sync {
        WeightSync::NcclReshard => "nccl-reshard",
        WeightSync::NcclBroadcast => "nccl-broadcast",
        WeightSync::CheckpointEngine => "checkpoint-engine",
        WeightSync::Rdma => "rdma",
        WeightSync::Delta => "delta",
        WeightSync::Slow => "slow",
        WeightSync::ColocatedIpc | WeightSync::Seconds(_) => COLOCATED,
    }
}

/// What brings weights to an engine on the same GPUs.
const COLOCATED: &str = "colocated-ipc";
/// What brings weights to an engine on other GPUs, where nobody says.
const ACROSS: &str = "nccl-reshard";

pub(super) fn resolve(
    book: &mut Book<'_>,
    raw: &Scenario,
    model: &Model,
    generation: &Generation,
    workload: &Workload,
    defaults: &StageProfile,
) -> Result<(LoopSettings, Reward), ResolveError> {
    let given = raw.rl_loop.clone().unwrap_or_default();
    let (mode, max_staleness) = modes::resolve(book, raw, workload)?;
    if mode.split && given.weight_sync == Some(WeightSync::ColocatedIpc) {
        let message = "shared memory handles need generation and training on the same GPUs".to_owned();
        return Err(book.error("loop.weight_sync", message, Some(ACROSS.to_owned())));
    }
    let mut transfer = Transfer { engine_stall: 1.0, trainer_stall: 1.0, rendezvous: true };
    let weight_sync = match &given.weight_sync {
        Some(WeightSync::Seconds(seconds)) => {
            Quantity { value: seconds.value, se: seconds.se, source: Source::Given }
        }
        named => {
            let usual = if mode.split { ACROSS } else { COLOCATED };
            let name = named.as_ref().map_or(usual, preset);
            let preset = defaults.weight_transfer.preset(name)?;
            transfer = Transfer {
                engine_stall: preset.engine_stall,
                trainer_stall: preset.trainer_stall,
                rendezvous: preset.rendezvous,
            };
            let share = 1.0 / f64::from(generation.layout.gpus());
            let bytes = model.params() * Precision::Bf16.bytes() * share;
            let value = preset.fixed_s + bytes / (preset.gb_per_s * 1e9);
            let shown = format!("{name} ({value:.2} s)");
            book.note("loop.weight_sync", shown, Source::Default, &preset.source);
            Quantity { value, se: defaults.weight_transfer.sigma * value, source: Source::Default }
        }
    };
    for (path, given) in
        [("loop.data_seconds", given.data_seconds), ("loop.prepare_seconds", given.prepare_seconds)]
    {
        if given.is_some_and(|seconds| seconds.value < 0.0) {
            return Err(book.error(path, "found a negative number, expected seconds", None));
        }
    }
    let mut or_default = |path: &str, given, default: &StageDefault| {
        book.quantity(path, given, default.pair(), &default.source)
    };
    let seconds = &defaults.seconds;
    let data = or_default("loop.data_seconds", given.data_seconds, &seconds.data);
    let prepare = or_default("loop.prepare_seconds", given.prepare_seconds, &seconds.prepare);
    // Many servers: all of a step's samples keep them busy for samples x latency / servers.
    let served = |latency: raw::Uncertain, servers: raw::Count| {
        let rounds = f64::from(workload.samples()) / servers.get() as f64;
        raw::Uncertain { value: latency.value * rounds, se: latency.se * rounds }
    };
    let sigma = |given: Option<raw::NonNegative>| given.map_or(0.0, raw::NonNegative::get);
    let (given_reward, overlapped, servers, sigma, gpus) = match &raw.reward {
        Some(raw::Reward::Rule(rule)) => (Some(rule.seconds), rule.overlapped.unwrap_or(false), 1, 0.0, 0),
        Some(raw::Reward::Sandbox(sandbox)) => (
            Some(served(sandbox.latency, sandbox.concurrency)),
            sandbox.overlapped.unwrap_or(true),
            sandbox.concurrency.get() as u32,
            sigma(sandbox.sigma),
            0,
        ),
        Some(raw::Reward::Model(model)) => (
            Some(served(model.latency, model.concurrency)),
            model.overlapped.unwrap_or(true),
            model.concurrency.get() as u32,
            sigma(model.sigma),
            model.gpus.get() as u32,
        ),
        None => (None, false, 1, 0.0, 0),
    };
    let seconds = or_default("reward.rule.seconds", given_reward, &seconds.rule_reward);
    let cycle = LoopSettings { max_staleness, mode, data, prepare, weight_sync, transfer };
    Ok((cycle, Reward { seconds, overlapped, servers, sigma, gpus }))
}
