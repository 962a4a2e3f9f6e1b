//! Acceptance: from what a scenario says to pooled rates by position, their error and their spread.
//!
//! Drafters that look tokens up have two inputs more: the share of rounds in which they find anything, and what they
//! have seen of a prompt before. Leaves out: growth inside an RL step beyond an average over the group.

use super::ResolveError;
use super::book::Book;
use crate::math::logit;
use crate::resolved::{
    AcceptanceInput, Drafter, DrafterKind, Router, SeenHistory, Source, Speculation, Workload,
};
use crate::scenario::raw::{self, Acceptance, Uncertain};
use crate::speculation::acceptance::{History, power_law, solve_first_rate};

/// Spread of the requests' own acceptance where nobody gives it: EAGLE's 5-95 % range of per-request
/// lengths implies 8 to 15.
pub const CONCENTRATION: f64 = 12.0;
/// Draft tokens of the rounds behind a power law, where neither it nor the schedule says: assumed, what most counters were
/// published at.
const COUNTED_AT: u32 = 3;
/// Decay over positions where only a length is known: in-domain drafters show .04-.08, others .1.
const DECAY: f64 = 0.08;
/// Share of the rounds in which a look-up finds something, where nobody says: assumed, between what chat shows (.13
/// and .16 on MT-bench: vLLM #24852, #24986) and a drafter that always proposes. Reasoning repeats itself more.
const PROPOSAL_SHARE: f64 = 0.5;
/// Share of a sibling's response that a sample of the same group sees on average: all are written at once.
const SIBLING_SHARE: f64 = 0.5;

pub(super) fn resolve(
    book: &mut Book<'_>,
    config: &raw::SpeculationConfig,
    drafter: &Drafter,
    workload: &Workload,
    (positions, fixed): (usize, Option<u32>),
) -> Result<AcceptanceInput, ResolveError> {
    let mut history = None;
    let given = book.required("speculation.acceptance", config.acceptance.as_ref())?;
    let (rates, counted, logit_se, own) = match given {
        Acceptance::PowerLaw(law) => {
            let of = |positions| power_law(law.first.value, law.decay.value, positions);
            let counted = law.at_k.map_or_else(
                || {
                    fixed.unwrap_or_else(|| {
                        let path = "speculation.acceptance.power_law.at_k";
                        let why =
                            "the rounds in which the rates were counted: the schedule has several lengths";
                        book.note(path, COUNTED_AT, Source::Default, why);
                        COUNTED_AT
                    })
                },
                |at_k| at_k.get() as u32,
            );
            (
                of(positions),
                of(counted as usize),
                logit_error(law.first, law.decay, positions),
                law.concentration,
            )
        }
        Acceptance::PerPosition(given) => {
            if given.len() < positions {
                let message = format!("{} rates, and the schedule drafts {positions} tokens", given.len());
                let hint = "give one rate for each draft position".to_owned();
                return Err(book.error("speculation.acceptance.per_position", message, Some(hint)));
            }
            let counted: Vec<f64> = given.iter().map(|rate| rate.value).collect();
            let rates = counted[..positions].to_vec();
            let errors = given.iter().take(positions).map(|rate| slope(rate.value) * rate.se);
            (rates, counted, errors.fold(0.0, f64::max), None)
        }
        Acceptance::Length(length) => {
            let decay = decay(book, length.decay, "speculation.acceptance.length.decay");
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
            let logit_se = length_error(length.value.value, length.value.se, |at| first(at).map(rate));
            let of = |positions| power_law(best, decay.value, positions);
            (of(positions), of(k), logit_se, length.concentration)
        }
        Acceptance::History(given) => {
            let seen = seen_history(book, given, drafter, workload)?;
            let positions = if seen.at_k as usize >= positions { positions } else { seen.at_k as usize };
            let at = |length: f64| solve_first_rate(length, seen.decay, seen.at_k as usize);
            let length = grown(&seen);
            let Some(first) = at(length) else {
                let message =
                    format!("no acceptance rate gives {length} tokens at {} draft tokens", seen.at_k);
                return Err(book.error("speculation.acceptance.history", message, None));
            };
            let rate = |first: f64| first.min(0.999);
            let logit_se = length_error(length, given.limit.se.max(given.start.se), |l| at(l).map(rate));
            history = Some(seen);
            let of = |positions| power_law(first, seen.decay, positions);
            (of(positions), of(seen.at_k as usize), logit_se, given.concentration)
        }
    };
    let proposal_share = proposal_share(book, config, drafter)?;
    let concentration = own.or(config.concentration).map_or_else(
        || {
            let why = "EAGLE drafters' spread between requests";
            book.note("speculation.acceptance.concentration", CONCENTRATION, Source::Default, why);
            CONCENTRATION
        },
        raw::Positive::get,
    );
    Ok(AcceptanceInput {
        rates,
        counted,
        logit_se,
        concentration,
        proposal_share,
        history,
        source: Source::Given,
    })
}

/// The error of a first rate, on the logit scale, from that of a length: half of what lies between a standard error below and
/// one above. Near the longest possible length there is nothing above; a rate moves by more upwards than down there.
fn length_error(length: f64, se: f64, rate: impl Fn(f64) -> Option<f64>) -> f64 {
    if se <= 0.0 {
        return 0.0;
    }
    let [below, at, above] = [length - se, length, length + se].map(|length| rate(length).map(logit));
    match (below, at, above) {
        (Some(below), _, Some(above)) => 0.5 * (above - below),
        (Some(below), Some(at), None) => at - below,
        (None, Some(at), Some(above)) => above - at,
        _ => 0.0,
    }
}

fn decay(book: &mut Book<'_>, given: Option<Uncertain>, path: &str) -> Uncertain {
    given.unwrap_or_else(|| {
        let why = "one length does not tell how rates fall with position";
        book.note(path, DECAY, Source::Default, why);
        Uncertain::exact(DECAY)
    })
}

/// The share of rounds with a proposal: a drafter with weights always has one.
fn proposal_share(
    book: &mut Book<'_>,
    config: &raw::SpeculationConfig,
    drafter: &Drafter,
) -> Result<f64, ResolveError> {
    let path = "speculation.proposal_share";
    let looks_up = matches!(drafter.kind, DrafterKind::Ngram | DrafterKind::Suffix);
    if let Some(given) = config.proposal_share {
        if !looks_up {
            let message = format!("{} has weights: it proposes something in every round", drafter.id);
            let hint = "this key belongs to drafters that look tokens up: ngram, suffix".to_owned();
            return Err(book.error(path, message, Some(hint)));
        }
        return Ok(given.value);
    }
    if looks_up {
        let why = "assumed; count it: drafts / (generated tokens - accepted tokens). Chat shows .13 to .16";
        book.note(path, PROPOSAL_SHARE, Source::Default, why);
        return Ok(PROPOSAL_SHARE);
    }
    Ok(1.0)
}

/// What the drafter has seen: a prompt comes round once a pass over the data set, and its siblings are written
/// beside it. Without shared trees a replica has seen its own share alone; the number of replicas follows.
fn seen_history(
    book: &mut Book<'_>,
    given: &raw::HistoryAcceptance,
    drafter: &Drafter,
    workload: &Workload,
) -> Result<SeenHistory, ResolveError> {
    let path = "speculation.acceptance.history";
    if drafter.kind != DrafterKind::Suffix {
        let message = format!("{} keeps nothing of earlier responses", drafter.id);
        return Err(book.error(path, message, Some("drafter: suffix".to_owned())));
    }
    let decay = decay(book, given.decay, "speculation.acceptance.history.decay");
    let seen = book.or(
        "speculation.acceptance.history.seen",
        given.seen.map(raw::NonNegative::get),
        0.0,
        "trees start empty",
    );
    let samples = f64::from(workload.samples_per_prompt);
    Ok(SeenHistory {
        scale: 1.0,
        lengths: (given.start.value, given.limit.value),
        at_k: given.at_k.get() as u32,
        decay: decay.value,
        rollouts: given.rollouts.get(),
        seen,
        each_pass: samples,
        steps_a_pass: (given.dataset_prompts.get() as f64 / f64::from(workload.prompts_per_step)).max(1.0),
        siblings: SIBLING_SHARE * (samples - 1.0),
    })
}

/// The acceptance length in the first RL step; the scenario's checks keep the numbers in their ranges.
fn grown(seen: &SeenHistory) -> f64 {
    let (fresh, limit) = seen.lengths;
    History::new(fresh, limit, seen.rollouts).map_or(fresh, |history| history.length(seen.responses(0)))
}

/// Trees that replicas do not share hold a replica's part of a prompt's responses: all of a group where it stays
/// together, but then only where the prompt comes back to the same replica.
pub(super) fn spread_history(
    book: &mut Book<'_>,
    speculation: &mut Speculation,
    raw: Option<&raw::Speculation>,
    replicas: u32,
    router: Router,
) {
    let Some(history) = &mut speculation.acceptance.history else { return };
    let Some(raw::Speculation::On(config)) = raw else { return };
    let Some(Acceptance::History(given)) = &config.acceptance else { return };
    let path = "speculation.acceptance.history.shared";
    let shared = book.or(path, given.shared, false, "engines keep a tree for each replica");
    if !shared {
        let part = 1.0 / f64::from(replicas);
        history.each_pass *= part;
        if router == Router::LeastLoaded {
            history.siblings *= part;
        }
    }
    let length = grown(history);
    if let Some(first) = solve_first_rate(length, history.decay, history.at_k as usize) {
        let positions = speculation.acceptance.rates.len();
        speculation.acceptance.rates = power_law(first, history.decay, positions);
        speculation.acceptance.counted = power_law(first, history.decay, history.at_k as usize);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_lengths_near_the_longest_stay_errors() {
        let error = |length: f64, se: f64| {
            length_error(length, se, |l| solve_first_rate(l, 0.0, 3).map(|first| first.min(0.999)))
        };
        // The lengths that a standard error below gives come back: 3.25 of 3.5, 3.65 of 3.85, above which 4.05 is none.
        for (length, se, near) in [(3.5, 0.25, 0.12), (3.85, 0.2, 1e-9), (2.5, 0.2, 0.02)] {
            let rate = solve_first_rate(length, 0.0, 3).unwrap_or(f64::NAN);
            let below = crate::math::expit(logit(rate) - error(length, se));
            let back = 1.0 + below + below * below + below * below * below;
            assert!((back - (length - se)).abs() <= near, "{length}: {back}");
        }
        assert_eq!(error(3.5, 0.0), 0.0);
    }
}
