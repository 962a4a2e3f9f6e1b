//! Stages around generation and training: data, wake, weight transfer, reward.

use super::ResolveError;
use super::book::Book;
use crate::profile::{StageDefault, StageProfile};
use crate::resolved::{
    Generation, LoopMode, LoopSettings, Model, Precision, Quantity, Reward, Source, Transfer, Workload,
};
use crate::scenario::Scenario;
use crate::scenario::raw::{self, WeightSync};

/// The preset in the profile by which weights come to the engines; where seconds were measured, the usual one.
pub(super) fn transfer(raw: &Scenario) -> &'static str {
    match raw.rl_loop.as_ref().and_then(|given| given.weight_sync.as_ref()) {
        Some(WeightSync::Seconds(_)) | None if raw.pools.is_some() => ACROSS,
        Some(WeightSync::Seconds(_) | WeightSync::ColocatedIpc) | None => COLOCATED,
        Some(WeightSync::NcclReshard) => "nccl-reshard",
        Some(WeightSync::NcclBroadcast) => "nccl-broadcast",
        Some(WeightSync::CheckpointEngine) => "checkpoint-engine",
        Some(WeightSync::Rdma) => "rdma",
        Some(WeightSync::Delta) => "delta",
        Some(WeightSync::Slow) => "slow",
    }
}

/// What brings weights to an engine on the same GPUs.
const COLOCATED: &str = "colocated-ipc";
/// What brings weights to an engine on other GPUs, where nobody says.
const ACROSS: &str = "nccl-reshard";

pub(super) fn resolve(
    book: &mut Book<'_>,
    raw: &Scenario,
    (mode, max_staleness): (LoopMode, u32),
    (model, generation, workload): (&Model, &Generation, &Workload),
    defaults: &StageProfile,
) -> Result<(LoopSettings, Reward), ResolveError> {
    let given = raw.rl_loop.clone().unwrap_or_default();
    if mode.split && given.weight_sync == Some(WeightSync::ColocatedIpc) {
        let message = "shared memory handles need generation and training on the same GPUs".to_owned();
        return Err(book.error("loop.weight_sync", message, Some(ACROSS.to_owned())));
    }
    let mut transfer = Transfer { engine_stall: 1.0, trainer_stall: 1.0, rendezvous: true };
    let weight_sync = if let Some(WeightSync::Seconds(seconds)) = &given.weight_sync {
        Quantity { value: seconds.value, se: seconds.se, source: Source::Given }
    } else {
        let name = self::transfer(raw);
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
