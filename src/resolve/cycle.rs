//! Stages around generation and training: data, wake, weight transfer, reward.

use super::ResolveError;
use super::book::Book;
use crate::profile::{StageDefault, StageProfile};
use crate::resolved::{Generation, LoopSettings, Model, Precision, Quantity, Reward, Source};
use crate::scenario::Scenario;
use crate::scenario::raw::{self, WeightSync};

/// The name of a preset in the profile.
fn preset(sync: &WeightSync) -> &'static str {
    match sync {
        WeightSync::NcclReshard => "nccl-reshard",
        WeightSync::NcclBroadcast => "nccl-broadcast",
        WeightSync::CheckpointEngine => "checkpoint-engine",
        WeightSync::ColocatedIpc | WeightSync::Seconds(_) => COLOCATED,
    }
}

/// What brings weights to an engine on the same GPUs.
const COLOCATED: &str = "colocated-ipc";

pub(super) fn resolve(
    book: &mut Book<'_>,
    raw: &Scenario,
    model: &Model,
    generation: &Generation,
    defaults: &StageProfile,
) -> Result<(LoopSettings, Reward), ResolveError> {
    let given = raw.rl_loop.clone().unwrap_or_default();
    if given.colocated == Some(false) {
        let message = "split pools are planned and not built yet; built: true".to_owned();
        return Err(book.error("loop.colocated", message, None));
    }
    let weight_sync = match &given.weight_sync {
        Some(WeightSync::Seconds(seconds)) => {
            Quantity { value: seconds.value, se: seconds.se, source: Source::Given }
        }
        named => {
            let name = named.as_ref().map_or(COLOCATED, preset);
            let preset = defaults.weight_transfer.preset(name)?;
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
    let (given_reward, overlapped) = match &raw.reward {
        Some(raw::Reward::Rule(rule)) => (Some(rule.seconds), rule.overlapped.unwrap_or(false)),
        _ => (None, false),
    };
    let seconds = or_default("reward.rule.seconds", given_reward, &seconds.rule_reward);
    let cycle = LoopSettings { max_staleness: 0, data, prepare, weight_sync };
    Ok((cycle, Reward { seconds, overlapped }))
}
