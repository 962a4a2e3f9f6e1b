//! How generation and training take turns: a framework's preset, what the scenario sets beside it, and what cannot be.
//!
//! A preset is data: it fills the keys that are not given, and each that it fills is written down. Semantics are those of
//! the frameworks' documentation (NeMo-RL async GRPO and its samplers, verl one_step_off and fully_async, `AReaL`'s staleness
//! manager, `SkyRL` fully_async, slime `train_async`). Leaves out: triggers of several weight syncs in an RL step, training
//! that starts before its batch is whole.

use super::ResolveError;
use super::book::Book;
use crate::resolved::{self, GroupOrder, Interruption, LoopMode, Source, Workload};
use crate::scenario::Scenario;
use crate::scenario::raw::{self, LoopPreset};

/// What a preset sets.
struct Preset {
    name: &'static str,
    max_staleness: u32,
    /// Less than the bound where a framework counts a fraction.
    lead: f64,
    streaming: bool,
    order: GroupOrder,
    drop_stale: bool,
    interruption: Interruption,
}

const SYNC: Preset = Preset {
    name: "sync",
    max_staleness: 0,
    lead: 0.0,
    streaming: false,
    order: GroupOrder::InOrder,
    drop_stale: false,
    interruption: Interruption::Off,
};

/// Asynchronous, nothing more said: what NeMo-RL does with an age of one.
const ASYNC: Preset = Preset { name: "async", max_staleness: 1, lead: 1.0, streaming: true, ..SYNC };

fn preset(asked: LoopPreset) -> Preset {
    let oldest = Preset { order: GroupOrder::OldestFirst, ..ASYNC };
    let first = Preset { order: GroupOrder::FirstDone, ..ASYNC };
    let verl = Preset { lead: 0.5, interruption: Interruption::RecomputeKv, ..first };
    match asked {
        LoopPreset::Sync => SYNC,
        LoopPreset::OneStepOff => Preset { name: "one-step-off", streaming: false, ..ASYNC },
        LoopPreset::NemoRlMaxAge => Preset { name: "nemo-rl-max-age", ..ASYNC },
        LoopPreset::NemoRlInOrder => {
            Preset { name: "nemo-rl-in-order", interruption: Interruption::KeepKv, ..ASYNC }
        }
        LoopPreset::NemoRlWeightFifo => {
            Preset { name: "nemo-rl-weight-fifo", interruption: Interruption::KeepKv, ..oldest }
        }
        LoopPreset::NemoRlWindowed => Preset {
            name: "nemo-rl-windowed",
            interruption: Interruption::KeepKv,
            drop_stale: true,
            ..Preset { order: GroupOrder::FirstDone, ..ASYNC }
        },
        LoopPreset::VerlStalenessWait => Preset { name: "verl-staleness-wait", ..verl },
        LoopPreset::VerlStalenessDrop => Preset { name: "verl-staleness-drop", drop_stale: true, ..verl },
        LoopPreset::Areal => Preset {
            name: "areal",
            max_staleness: 2,
            lead: 2.0,
            interruption: Interruption::RecomputeKv,
            ..oldest
        },
        LoopPreset::Skyrl => Preset {
            name: "skyrl",
            max_staleness: 4,
            lead: 4.0,
            interruption: Interruption::RecomputeKv,
            ..oldest
        },
    }
}

/// The mode and its staleness bound, RL steps.
pub(super) fn resolve(
    book: &mut Book<'_>,
    raw: &Scenario,
    workload: &Workload,
) -> Result<(LoopMode, u32), ResolveError> {
    let given = raw.rl_loop.clone().unwrap_or_default();
    let split = raw.pools.is_some();
    if given.colocated == Some(false) && !split {
        let message = "generation and training on GPUs of their own, and one `cluster`".to_owned();
        let hint = "pools: { generation: { … }, training: { … } } instead of cluster".to_owned();
        return Err(book.error("loop.colocated", message, Some(hint)));
    }
    let (defaults, runs_ahead) = defaults(&given);
    let named = given.preset.is_some() || given.mode == Some(raw::Mode::Async);
    if given.mode == Some(raw::Mode::Sync) && defaults.max_staleness > 0 {
        let message = format!("`sync` beside the preset {}, which is asynchronous", defaults.name);
        return Err(book.error("loop.mode", message, Some("leave one of the two out".to_owned())));
    }
    if let Some(key) = ahead(&given, runs_ahead).filter(|_| !split) {
        let message =
            "generation and training take turns on one `cluster`, so neither can run ahead".to_owned();
        let hint = "pools: { generation: { … }, training: { … } } instead of cluster".to_owned();
        return Err(book.error(key, message, Some(hint)));
    }
    let why = format!("of the preset {}", defaults.name);
    let mut note = |key: &str, value: String, set: bool| {
        if named && !set {
            book.note(&format!("loop.{key}"), value, Source::Default, &why);
        }
    };
    let over_sampling = given.over_sampling.as_ref().map_or(1.0, |over| over.factor.get());
    // Without a prompt more than are trained nothing is left over.
    let partial_rollouts = given.partial_rollouts == Some(true) && over_sampling > 1.0;
    let staleness = given.max_staleness.map(|n| n.get() as u32);
    let usual = if partial_rollouts { defaults.max_staleness.max(1) } else { defaults.max_staleness };
    let from_lead = given.lead.map(|lead| lead.get().ceil() as u32);
    let max_staleness = staleness.or(from_lead).unwrap_or(usual);
    note("max_staleness", max_staleness.to_string(), staleness.is_some());
    let lead = lead(&given, &defaults, runs_ahead);
    note("lead", lead.to_string(), given.lead.is_some());
    let streaming = given.streaming.unwrap_or(defaults.streaming);
    note("streaming", streaming.to_string(), given.streaming.is_some());
    let first_of_more = given.order.is_none() && over_sampling > 1.0 && !runs_ahead;
    let order = match given.order {
        Some(raw::Order::InOrder) => GroupOrder::InOrder,
        Some(raw::Order::OldestFirst) => GroupOrder::OldestFirst,
        Some(raw::Order::FirstDone) => GroupOrder::FirstDone,
        // In order, those that were started for nothing would be waited for.
        None if first_of_more => GroupOrder::FirstDone,
        None => defaults.order,
    };
    note("order", order.key().to_owned(), given.order.is_some() || first_of_more);
    let drop_stale = given.stale.map_or(defaults.drop_stale, |stale| stale == raw::Stale::Drop);
    note("stale", if drop_stale { "drop" } else { "wait" }.to_owned(), given.stale.is_some());
    let interruption = match given.interrupt {
        Some(raw::Interrupt::Off) => Interruption::Off,
        Some(raw::Interrupt::KeepKv) => Interruption::KeepKv,
        Some(raw::Interrupt::RecomputeKv) => Interruption::RecomputeKv,
        None => defaults.interruption,
    };
    note("interrupt", interruption.key().to_owned(), given.interrupt.is_some());
    if first_of_more {
        let why = "over-sampling trains the groups that finish first";
        book.note("loop.order", order.key(), Source::Default, why);
    }
    let max_concurrent = given.max_concurrent.map(|n| n.get() as u32);
    if let Some(most) = max_concurrent.filter(|most| *most < workload.samples_per_prompt) {
        let message = format!("{most} samples under way, and a prompt has {}", workload.samples_per_prompt);
        let hint = Some("room for one prompt at least".to_owned());
        return Err(book.error("loop.max_concurrent", message, hint));
    }
    let filter = given.dynamic_sampling.as_ref();
    let mode = LoopMode {
        split,
        lead,
        streaming,
        order,
        drop_stale,
        interruption,
        max_concurrent,
        over_sampling,
        partial_rollouts,
        without_signal: filter.map_or((0.0, 0.0), |f| (f.all_pass.get(), f.all_fail.get())),
        waves: filter.and_then(|f| f.waves).unwrap_or(false),
    };
    if let Some(key) = without_effect(&given).filter(|_| !mode.feeds_back()) {
        let message =
            "an RL step's prompts start together in this loop, so this key has no effect".to_owned();
        let hint = "it is one for loops with `streaming`, `over_sampling` or `dynamic_sampling`; `max_staleness` alone \
                    says how far others run ahead";
        return Err(book.error(&format!("loop.{key}"), message, Some(hint.to_owned())));
    }
    Ok((mode, max_staleness))
}

/// RL steps that fill the pipeline of a loop as it is written: what [`LoopMode::filling`] says of it once it is resolved.
pub fn filling(given: &raw::Loop) -> u32 {
    let (defaults, runs_ahead) = defaults(given);
    let over = given.over_sampling.as_ref().map_or(1.0, |over| over.factor.get());
    resolved::filling(lead(given, &defaults, runs_ahead), given.partial_rollouts == Some(true) && over > 1.0)
}

/// What fills the keys that are not given, and whether it lets generation run ahead.
fn defaults(given: &raw::Loop) -> (Preset, bool) {
    let defaults = match (given.preset, given.mode) {
        (Some(asked), _) => preset(asked),
        (None, Some(raw::Mode::Async)) => ASYNC,
        _ => SYNC,
    };
    let runs_ahead = given.mode == Some(raw::Mode::Async) || defaults.max_staleness > 0;
    (defaults, runs_ahead)
}

/// RL steps that generation may be ahead. A bound of one's own is a lead of one's own, but where the framework counts a fraction.
fn lead(given: &raw::Loop, defaults: &Preset, runs_ahead: bool) -> f64 {
    let usual = match given.max_staleness.map(|bound| bound.get() as f64) {
        Some(bound) if runs_ahead && defaults.lead.fract() == 0.0 => bound,
        Some(bound) => defaults.lead.min(bound),
        None => defaults.lead,
    };
    given.lead.map_or(usual, raw::NonNegative::get)
}

/// The key that lets generation run ahead of training, if any does.
fn ahead(given: &raw::Loop, runs_ahead: bool) -> Option<&'static str> {
    let partial = given.partial_rollouts == Some(true);
    if runs_ahead {
        return Some(if given.preset.is_some() { "loop.preset" } else { "loop.mode" });
    }
    if given.lead.is_some_and(|lead| lead.get() > 0.0) {
        return Some("loop.lead");
    }
    // What over-sampling leaves goes on with older weights, and still takes turns.
    (!partial && given.max_staleness.is_some_and(|bound| bound.get() > 0)).then_some("loop.max_staleness")
}

/// A key that is given and says something about prompts that start one by one only.
fn without_effect(given: &raw::Loop) -> Option<&'static str> {
    let keys = [
        ("lead", given.lead.is_some()),
        ("max_concurrent", given.max_concurrent.is_some()),
        ("order", given.order.is_some()),
        ("stale", given.stale.is_some()),
        ("interrupt", given.interrupt.is_some()),
    ];
    keys.into_iter().find_map(|(key, is_given)| is_given.then_some(key))
}
