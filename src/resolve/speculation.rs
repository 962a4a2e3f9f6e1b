//! Drafter and schedule; acceptance is beside it.

use super::book::Book;
use super::schedule::Bounds;
use super::{ResolveError, acceptance};
use crate::catalog;
use crate::resolved::{DrafterKind, Layout, Model, Precision, Source, Speculation, Workload};
use crate::scenario::Scenario;
use crate::scenario::raw::{self, Acceptance};

pub(super) fn resolve(
    book: &mut Book<'_>,
    raw: &Scenario,
    model: &Model,
    (workload, context): (&Workload, f64),
) -> Result<Option<Speculation>, ResolveError> {
    let config = match &raw.speculation {
        Some(raw::Speculation::On(config)) => config,
        Some(raw::Speculation::Off) => return Ok(None),
        None => {
            book.note("speculation", "off", Source::Default, "nothing was asked for");
            return Ok(None);
        }
    };
    let named = book.required("speculation.drafter", config.drafter.as_ref())?;
    let id = book.required("speculation.drafter", named.id.as_ref())?;
    let drafter = catalog::drafter(id).map_err(|e| book.lookup("speculation.drafter", &e))?;
    if !catalog::fits(&drafter, model) {
        let name = raw.model.as_deref().unwrap_or(&model.id);
        let fitting = catalog::drafters_for(model);
        let hint = if fitting.is_empty() {
            format!("no drafter of the catalog fits {name}")
        } else {
            format!("drafters for {name}: {}", fitting.join(", "))
        };
        let message =
            format!("{} was trained for {}, not for {name}", drafter.id, drafter.targets.join(", "));
        return Err(book.error("speculation.drafter", message, Some(hint)));
    }
    let given = book.required("speculation.schedule", config.schedule.as_ref())?;
    let one_by_one = match &config.acceptance {
        Some(Acceptance::PerPosition(rates)) => Some(rates.len() as u32),
        _ => None,
    };
    let bounds = Bounds { kind: drafter.kind, block: drafter.block, positions: one_by_one, context };
    let schedule = super::schedule::resolve(book, given, &bounds)?;
    let positions = schedule.depth() as usize;
    let acceptance = acceptance::resolve(book, config, &drafter, workload, (positions, schedule.fixed()))?;
    let weights = match named.weights {
        Some(raw::Precision::Fp8) => Precision::Fp8,
        Some(raw::Precision::Bf16) => Precision::Bf16,
        None => {
            let target = raw.generation.as_ref().and_then(|generation| generation.weights);
            let (weights, why) = match (drafter.kind, target) {
                (DrafterKind::Mtp, Some(raw::Precision::Fp8)) => (Precision::Fp8, "a layer of the target's"),
                _ => (Precision::Bf16, "as drafters are published"),
            };
            let name = if weights == Precision::Fp8 { "fp8" } else { "bf16" };
            book.note("speculation.drafter.weights", name, Source::Default, why);
            weights
        }
    };
    // Zero until the target's layout is known: see `drafter_tp`.
    let tp = named.tp.map_or(0, |n| n.get() as u32);
    if let Some(own) = drafter.model.as_ref().filter(|own| tp > 0 && !own.heads.is_multiple_of(tp)) {
        let message = format!("{tp} GPUs do not divide the drafter's {} heads", own.heads);
        return Err(book.error("speculation.drafter.tp", message, None));
    }
    let positions = schedule.max_draft_tokens() as usize;
    if drafter.block > 0 && positions > drafter.block as usize {
        let message =
            format!("{positions} draft tokens; {} proposes at most {} a round", drafter.id, drafter.block);
        return Err(book.error("speculation.schedule", message, None));
    }
    if drafter.kind == DrafterKind::Mtp && model.mtp_layers == 0 {
        let message = format!("{} has no multi-token-prediction layer", model.id);
        return Err(book.error("speculation.drafter", message, None));
    }
    let inexactness = config.inexactness.map_or(0.0, raw::Probability::get);
    let (first_rates, untrained_rates) = (Vec::new(), Vec::new());
    Ok(Some(Speculation {
        drafter,
        weights,
        tp,
        acceptance,
        schedule,
        first_rates,
        untrained_rates,
        inexactness,
    }))
}

/// The drafter's tensor-parallel width: as given, else the target's, as engines do it; 1 where its heads do not divide.
pub(super) fn drafter_tp(speculation: &Speculation, layout: Layout) -> u32 {
    let fits = |tp: u32| {
        speculation.drafter.model.as_ref().is_none_or(|own| {
            own.heads.is_multiple_of(tp)
                && (own.kv_heads.is_multiple_of(tp) || tp.is_multiple_of(own.kv_heads))
        })
    };
    match speculation.tp {
        0 if fits(layout.tp) => layout.tp,
        0 => 1,
        given => given,
    }
}
