//! Drafter, acceptance and schedule.

use super::ResolveError;
use super::book::Book;
use super::schedule::Bounds;
use crate::catalog;
use crate::math::logit;
use crate::resolved::{
    AcceptanceInput, DrafterKind, Layout, Model, Precision, Source, Speculation, Workload,
};
use crate::scenario::raw::{self, Acceptance, Uncertain};
use crate::speculation::acceptance::{power_law, solve_first_rate};

/// Spread of the requests' own acceptance where nobody gives it: EAGLE's 5-95 % range of per-request
/// lengths implies 8 to 15.
const CONCENTRATION: f64 = 12.0;
/// Decay over positions where only a length is known: in-domain drafters show .04-.08, others .1.
const DECAY: f64 = 0.08;

pub(super) fn resolve(
    book: &mut Book<'_>,
    given: Option<&raw::Speculation>,
    model_name: Option<&str>,
    model: &Model,
    workload: &Workload,
) -> Result<Option<Speculation>, ResolveError> {
    let config = match given {
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
        let name = model_name.unwrap_or(&model.id);
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
    let context = workload.prompt_tokens.model.mean() + 0.5 * workload.response_tokens.model.mean();
    let bounds = Bounds { kind: drafter.kind, block: drafter.block, positions: one_by_one, context };
    let schedule = super::schedule::resolve(book, given, &bounds)?;
    let positions = schedule.depth() as usize;
    let acceptance = acceptance(book, config, positions)?;
    let weights = match named.weights {
        Some(raw::Precision::Fp8) => Precision::Fp8,
        Some(raw::Precision::Bf16) => Precision::Bf16,
        None => {
            book.note("speculation.drafter.weights", "bf16", Source::Default, "as drafters are published");
            Precision::Bf16
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
    Ok(Some(Speculation { drafter, weights, tp, acceptance, schedule }))
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

fn acceptance(
    book: &mut Book<'_>,
    config: &raw::SpeculationConfig,
    positions: usize,
) -> Result<AcceptanceInput, ResolveError> {
    let given = book.required("speculation.acceptance", config.acceptance.as_ref())?;
    let (rates, logit_se, own) = match given {
        Acceptance::PowerLaw(law) => {
            let rates = power_law(law.first.value, law.decay.value, positions);
            (rates, logit_error(law.first, law.decay, positions), law.concentration)
        }
        Acceptance::PerPosition(given) => {
            if given.len() < positions {
                let message = format!("{} rates, and the schedule drafts {positions} tokens", given.len());
                let hint = "give one rate for each draft position".to_owned();
                return Err(book.error("speculation.acceptance.per_position", message, Some(hint)));
            }
            let rates: Vec<f64> = given.iter().take(positions).map(|rate| rate.value).collect();
            let errors = given.iter().take(positions).map(|rate| slope(rate.value) * rate.se);
            (rates, errors.fold(0.0, f64::max), None)
        }
        Acceptance::Length(length) => {
            let decay = length.decay.unwrap_or_else(|| {
                let path = "speculation.acceptance.length.decay";
                book.note(
                    path,
                    DECAY,
                    Source::Default,
                    "one length does not tell how rates fall with position",
                );
                Uncertain::exact(DECAY)
            });
            let k = length.at_k.get() as usize;
            let first = |value: f64| solve_first_rate(value, decay.value, k);
            // Near the longest possible length the law's first rate is capped.
            let rate = |first: f64| power_law(first, decay.value, 1).first().copied().unwrap_or(0.0);
            let Some(best) = first(length.value.value) else {
                let message =
                    format!("no acceptance rate gives {} tokens at {k} draft tokens", length.value.value);
                let hint = format!("the bonus token counts: more than 1, less than {}", k + 1);
                return Err(book.error("speculation.acceptance.length.value", message, Some(hint)));
            };
            let above = first(length.value.value + length.value.se).unwrap_or(best);
            let logit_se =
                if length.value.se > 0.0 { (logit(rate(above)) - logit(rate(best))).abs() } else { 0.0 };
            (power_law(best, decay.value, positions), logit_se, length.concentration)
        }
    };
    let concentration = own.or(config.concentration).map_or_else(
        || {
            let why = "EAGLE drafters' spread between requests";
            book.note("speculation.acceptance.concentration", CONCENTRATION, Source::Default, why);
            CONCENTRATION
        },
        raw::Positive::get,
    );
    Ok(AcceptanceInput { rates, logit_se, concentration, source: Source::Given })
}

/// d logit(a) / d a.
fn slope(rate: f64) -> f64 {
    1.0 / (rate * (1.0 - rate)).max(1e-3)
}

/// The error of all logits together: that of the first rate, and of the decay at the middle position.
fn logit_error(first: Uncertain, decay: Uncertain, positions: usize) -> f64 {
    let middle = 1.0 + (positions as f64 - 1.0).max(0.0) / 2.0;
    let of_decay = decay.se * libm::log(middle) / (1.0 - first.value).max(1e-3);
    (slope(first.value) * first.se).hypot(of_decay)
}
