//! Acceptance and schedule: rates that are rates, lengths that the number of draft tokens allows.

use super::Check;
use crate::scenario::Error;
use crate::scenario::raw::{
    Acceptance, AcceptanceLength, HistoryAcceptance, PowerLaw, Schedule, Speculation, Uncertain,
};

/// Most draft tokens in one step.
const MOST_DRAFT_TOKENS: u64 = 64;
/// Steepest decay over positions.
const STEEPEST: f64 = 10.0;
/// Largest standard error of a rate: beyond it the rate is unknown.
const RATE_ERROR: f64 = 0.5;

pub(super) fn check(check: &Check<'_>, speculation: &Speculation) -> Result<(), Error> {
    let Speculation::On(config) = speculation else {
        return Ok(());
    };
    let id = config.drafter.as_ref().and_then(|drafter| drafter.id.as_deref()).unwrap_or("unnamed");
    check.holds(!id.trim().is_empty(), "speculation.drafter", "found nothing, expected a drafter id", "")?;
    if let Some(acceptance) = &config.acceptance {
        let stray = config.concentration.is_some() && !matches!(acceptance, Acceptance::PerPosition(_));
        let message = "this key belongs to acceptance `per_position`, which is not used here";
        let hint = "write it inside `power_law` or `length`";
        check.holds(!stray, "speculation.concentration", message, hint)?;
        match acceptance {
            Acceptance::PowerLaw(law) => power_law(check, law)?,
            Acceptance::PerPosition(rates) => per_position(check, rates)?,
            Acceptance::Length(length) => self::length(check, length)?,
            Acceptance::History(history) => self::history(check, history)?,
        }
    }
    check.share("speculation.proposal_share", config.proposal_share)?;
    exact(check, "speculation.proposal_share", config.proposal_share)?;
    if let Some(Schedule::Fixed(fixed)) = &config.schedule {
        let message = format!("found {}, expected at most {MOST_DRAFT_TOKENS} draft tokens", fixed.k);
        check.holds(fixed.k.get() <= MOST_DRAFT_TOKENS, "speculation.schedule.fixed.k", &message, "")?;
    }
    Ok(())
}

fn power_law(check: &Check<'_>, law: &PowerLaw) -> Result<(), Error> {
    let first = law.first.value;
    let message = format!("found {first}, expected a rate above 0 and below 1");
    let hint = if first > 1.0 { "an acceptance length goes into `length: { value, at_k }`" } else { "" };
    check.holds(first > 0.0 && first < 1.0, "speculation.acceptance.power_law.first", &message, hint)?;
    check.error("speculation.acceptance.power_law.first", law.first, RATE_ERROR)?;
    if let Some(k) = law.at_k {
        counted_at(check, "speculation.acceptance.power_law", k.get())?;
    }
    decay(check, "speculation.acceptance.power_law.decay", law.decay)
}

fn per_position(check: &Check<'_>, rates: &[Uncertain]) -> Result<(), Error> {
    let path = "speculation.acceptance.per_position";
    let message = format!("found {} positions, expected 1 to {MOST_DRAFT_TOKENS}", rates.len());
    check.holds((1..=MOST_DRAFT_TOKENS).contains(&(rates.len() as u64)), path, &message, "")?;
    for (index, rate) in rates.iter().enumerate() {
        check.range(&format!("{path}[{index}]"), *rate, 0.0, 1.0)?;
        check.error(&format!("{path}[{index}]"), *rate, RATE_ERROR)?;
    }
    Ok(())
}

/// The draft tokens of the rounds in which an acceptance was counted.
fn counted_at(check: &Check<'_>, path: &str, k: u64) -> Result<(), Error> {
    let message = format!("found {k}, expected at most {MOST_DRAFT_TOKENS} draft tokens");
    check.holds(k <= MOST_DRAFT_TOKENS, &format!("{path}.at_k"), &message, "")
}

fn length(check: &Check<'_>, length: &AcceptanceLength) -> Result<(), Error> {
    let path = "speculation.acceptance.length";
    let k = length.at_k.get();
    counted_at(check, path, k)?;
    let most = (k + 1) as f64;
    let value = length.value.value;
    let message = format!("found {value}, expected 1 to {most}");
    let hint = format!("{k} draft tokens and the bonus token are at most {most} tokens a verify step");
    check.holds((1.0..=most).contains(&value), &format!("{path}.value"), &message, &hint)?;
    check.error(&format!("{path}.value"), length.value, value)?;
    length.decay.map_or(Ok(()), |number| decay(check, &format!("{path}.decay"), number))?;
    exact(check, &format!("{path}.decay"), length.decay)
}

fn history(check: &Check<'_>, history: &HistoryAcceptance) -> Result<(), Error> {
    let path = "speculation.acceptance.history";
    let k = history.at_k.get();
    counted_at(check, path, k)?;
    let most = (k + 1) as f64;
    for (key, number) in [("start", history.start), ("limit", history.limit)] {
        let value = number.value;
        let message = format!("found {value}, expected more than 1 and less than {most}");
        let hint = format!("{k} draft tokens and the bonus token are at most {most} tokens a verify step");
        check.holds(value > 1.0 && value < most, &format!("{path}.{key}"), &message, &hint)?;
        check.error(&format!("{path}.{key}"), number, value)?;
    }
    history.decay.map_or(Ok(()), |number| decay(check, &format!("{path}.decay"), number))?;
    exact(check, &format!("{path}.decay"), history.decay)
}

/// A number whose error no draw would carry.
fn exact(check: &Check<'_>, path: &str, number: Option<Uncertain>) -> Result<(), Error> {
    let se = number.map_or(0.0, |number| number.se);
    let message = format!("found a standard error of {se}, expected none: nothing carries it into the bands");
    let hint = "run the scenario at both ends of its range, as a sweep does";
    check.holds(se == 0.0, &format!("{path}.se"), &message, hint)
}

fn decay(check: &Check<'_>, path: &str, number: Uncertain) -> Result<(), Error> {
    check.range(path, number, 0.0, STEEPEST)?;
    check.error(path, number, STEEPEST)
}
