//! Stages around generation and training: data, wake, weight transfer, reward.

use super::ResolveError;
use super::book::Book;
use crate::resolved::{Generation, LoopSettings, Model, Precision, Quantity, Reward, Source};
use crate::scenario::Scenario;
use crate::scenario::raw::{self, WeightSync};

/// Log-sigma of a transfer time that comes from a preset.
const TRANSFER_SIGMA: f64 = 0.35;

/// A way to bring weights to the engine: seconds = fixed + bytes of one serving GPU / rate.
struct Preset {
    name: &'static str,
    fixed_s: f64,
    gb_per_s: f64,
    why: &'static str,
}

const COLOCATED: Preset = Preset {
    name: "colocated-ipc",
    fixed_s: 0.4,
    gb_per_s: 8.7,
    why: "slime, 30B-A3B colocated: 61 GB in 7 s",
};

fn preset(sync: &WeightSync) -> Option<Preset> {
    Some(match sync {
        WeightSync::ColocatedIpc => COLOCATED,
        WeightSync::NcclReshard => Preset {
            name: "nccl-reshard",
            fixed_s: 0.4,
            gb_per_s: 24.0,
            why: "least squares over four NeMo-RL reshard figures, 4B to 397B on H100",
        },
        WeightSync::NcclBroadcast => Preset {
            name: "nccl-broadcast",
            fixed_s: 0.4,
            gb_per_s: 15.6,
            why: "0.65 of the reshard rate: NeMo-RL, DeepSeek-V3, 9.25 against 14.21 s",
        },
        WeightSync::CheckpointEngine => Preset {
            name: "checkpoint-engine",
            fixed_s: 0.4,
            gb_per_s: 10.1,
            why: "checkpoint-engine, Qwen3-235B bf16 on 8 H800: 6.22 s",
        },
        WeightSync::Seconds(_) => return None,
    })
}

pub(super) fn resolve(
    book: &mut Book<'_>,
    raw: &Scenario,
    model: &Model,
    generation: &Generation,
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
            let preset = named.as_ref().and_then(preset).unwrap_or(COLOCATED);
            let share = 1.0 / f64::from(generation.layout.gpus());
            let bytes = model.params() * Precision::Bf16.bytes() * share;
            let value = preset.fixed_s + bytes / (preset.gb_per_s * 1e9);
            let shown = format!("{} ({value:.2} s)", preset.name);
            book.note("loop.weight_sync", shown, Source::Default, preset.why);
            Quantity { value, se: TRANSFER_SIGMA * value, source: Source::Default }
        }
    };
    for (path, given) in
        [("loop.data_seconds", given.data_seconds), ("loop.prepare_seconds", given.prepare_seconds)]
    {
        if given.is_some_and(|seconds| seconds.value < 0.0) {
            return Err(book.error(path, "found a negative number, expected seconds", None));
        }
    }
    let data = book.quantity("loop.data_seconds", given.data_seconds, (0.2, 0.1), "NeMo-RL, 8B: 0.2-0.3 s");
    let prepare = book.quantity(
        "loop.prepare_seconds",
        given.prepare_seconds,
        (0.5, 0.3),
        "engine wake and cache set-up (assumed)",
    );
    let (given_reward, overlapped) = match &raw.reward {
        Some(raw::Reward::Rule(rule)) => (Some(rule.seconds), rule.overlapped.unwrap_or(false)),
        _ => (None, false),
    };
    let seconds =
        book.quantity("reward.rule.seconds", given_reward, (1.0, 0.5), "a rule-based check (assumed)");
    let cycle = LoopSettings { max_staleness: 0, data, prepare, weight_sync };
    Ok((cycle, Reward { seconds, overlapped }))
}
