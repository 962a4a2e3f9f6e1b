//! Acceptance from what engines and frameworks count.
//!
//! Shares of rounds by position, as engines log them, become rates given that the positions before were accepted. A length
//! alone stays a length. Standard errors are of the scatter between intervals or, for counters, of rounds and requests, whose
//! own rates are taken to be as far apart as is usual: sums do not hold their spread. Left out: a fit of that spread.

use serde_json::{Value, json};

use super::Options;
use super::found::Found;
use super::lengths::with_error;
use super::run::remark_trend;
use super::series::{Metrics, Series, mean};
use super::words::{Names, Words};
use crate::resolve::CONCENTRATION;
use crate::speculation::acceptance::{Counters, acceptance_length};

/// Where acceptance stands in a scenario.
pub(super) const KEY: &str = "speculation.acceptance";
/// Share of the tokens of full rounds below which rounds were not all full.
const FULL: f64 = 0.98;

/// Rounds that drafted each position, and of them those that accepted it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rounds {
    drafted: Vec<f64>,
    accepted: Vec<f64>,
    /// Tokens that they drafted; 0 where nobody counted.
    draft_tokens: f64,
    /// Requests that they are of; 0 where nobody counted.
    requests: f64,
}

impl Rounds {
    /// So many rounds, of which `accepted` accepted position 1, 2, ...; all of them drafted as many positions.
    pub(super) fn of(drafts: f64, accepted: Vec<f64>, draft_tokens: f64, requests: f64) -> Self {
        Rounds { drafted: vec![drafts; accepted.len()], accepted, draft_tokens, requests }
    }

    /// Adds others, of as many positions or not.
    pub(super) fn add(&mut self, other: &Rounds) {
        self.draft_tokens += other.draft_tokens;
        self.requests += other.requests;
        for (sums, more) in [(&mut self.drafted, &other.drafted), (&mut self.accepted, &other.accepted)] {
            sums.resize(sums.len().max(more.len()), 0.0);
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
    }

    fn first(&self) -> f64 {
        self.drafted.first().copied().unwrap_or(0.0)
    }

    /// Acceptance by position as a scenario has it, into `found`. `scatter` is the relative standard error of the length
    /// between intervals, where it was seen; the rounds' own error counts where rounds were `counted`.
    pub(super) fn entry(&self, scatter: Option<f64>, counted: bool, from: &str, found: &mut Found) {
        let positions = self.accepted.len();
        if self.first() <= 0.0 || positions == 0 {
            return;
        }
        found.speculates = true;
        let counters = Counters::from_engine(&self.drafted, &self.accepted);
        let rates: Vec<f64> = (0..positions).map(|j| counters.interval(j, 1.0).rate).collect();
        let length = acceptance_length(&rates);
        // A scatter of lengths is put on the first position, which moves all others' survival alike.
        let per_length = (length - 1.0) / length;
        let of = |j: usize| {
            let variance = rates[j] * (1.0 - rates[j]);
            // Rounds of one request are alike: what counts is how many requests there were.
            let between =
                if self.requests > 0.0 { variance / (1.0 + CONCENTRATION) / self.requests } else { 0.0 };
            let rounds = if counted { variance / counters.trials()[j].max(1.0) } else { 0.0 };
            let own = libm::sqrt(rounds + between);
            let wide =
                scatter.filter(|_| j == 0 && per_length > 0.0).map_or(0.0, |s| rates[0] * s / per_length);
            with_error(rates[j], own.max(wide))
        };
        let values: Vec<Value> = (0..positions).map(of).collect();
        let over = if counted { format!(" over {:.0} rounds", self.first()) } else { String::new() };
        found.entry(
            KEY,
            json!({ "per_position": values }),
            format!("{from}: acceptance length {length:.3}{over}"),
        );
        let full: f64 = self.drafted.iter().sum();
        if self.draft_tokens > 0.0 && self.draft_tokens < FULL * full {
            found.remark(format!(
                "rounds drafted {:.2} tokens on average and not {positions}: where the draft length changes, later \
                 positions read too low",
                self.draft_tokens / self.first()
            ));
        }
    }
}

/// A length that somebody averaged, as a scenario has it; without the number of draft tokens it is only remarked.
pub(super) fn length(value: f64, se: f64, draft_tokens: Option<u32>, from: String, found: &mut Found) {
    found.speculates = true;
    match draft_tokens {
        Some(k) if value > 1.0 && value < f64::from(k) + 1.0 => {
            found.entry(KEY, json!({ "length": { "value": with_error(value, se), "at_k": k } }), from);
        }
        Some(k) => {
            found.remark(format!("{from}: an acceptance length of {value:.2} cannot be of {k} draft tokens"));
        }
        None => found.remark(format!(
            "{from}: acceptance length {value:.3}; say with --draft-tokens how many tokens a round drafts and it becomes a key"
        )),
    }
}

/// Acceptance of a framework's metrics: by position where positions are counted, else the length.
pub(super) fn of_run(metrics: &Metrics, words: &Words, options: &Options, found: &mut Found) {
    let lengths = [(words.acceptance, true), (words.acceptance_of_samples, false)];
    let logged = lengths.iter().find_map(|(names, of_rounds)| {
        let (name, series) = metrics.any(names)?;
        // Without a drafter frameworks log zero or one.
        let series: Series = series.iter().filter(|(_, x)| **x > 1.0).map(|(step, x)| (*step, *x)).collect();
        Some((name, mean(&series)?, series, *of_rounds))
    });
    if let Some((_, _, series, _)) = &logged {
        remark_trend(found, "the acceptance length", series, "`speculation.drift` can say so");
    }
    if by_position(metrics, words, found) {
        return;
    }
    let Some((name, logged, _, of_rounds)) = logged else { return };
    let averaged = if of_rounds {
        "averaged over rounds"
    } else {
        "averaged over samples and not over rounds: slow requests weigh too little, samples without a round count as none"
    };
    length(logged.value, logged.se, options.draft_tokens, format!("{name}, {averaged}"), found);
}

/// Acceptance by position, where a framework logs the shares of rounds; whether it does.
fn by_position(metrics: &Metrics, words: &Words, found: &mut Found) -> bool {
    let Some((prefix, first)) = words.position else { return false };
    let Some(steps) = metrics.of(&format!("{prefix}{first}")) else { return false };
    let at = |names: Names, step| metrics.any(names).and_then(|found| found.1.get(step)).copied();
    let [drafts, draft_tokens, accepted_tokens] = words.rounds;
    let (mut rounds, mut lengths, mut counted) = (Rounds::default(), Series::new(), true);
    for (step, share) in steps {
        let more =
            |i: usize| metrics.of(&format!("{prefix}{}", i + first)).and_then(|s| s.get(step)).copied();
        let shares: Vec<f64> = (0..).map_while(more).collect();
        let sum: f64 = shares.iter().sum();
        // Rounds are counted, or follow from the tokens that they accepted; a step without any had no drafter.
        let n = at(drafts, step).or_else(|| Some(at(accepted_tokens, step)? / sum)).filter(|n| n.is_finite());
        if *share <= 0.0 || n == Some(0.0) {
            continue;
        }
        counted &= n.is_some();
        let n = n.unwrap_or(1.0);
        let accepted = shares.iter().map(|share| share * n).collect();
        let requests = found.samples.unwrap_or(0.0);
        rounds.add(&Rounds::of(n, accepted, at(draft_tokens, step).unwrap_or(0.0), requests));
        lengths.insert(*step, 1.0 + sum);
    }
    let scatter = mean(&lengths).map(|m| m.se / m.value);
    let from = format!("{prefix}{first} and on, {} steps", lengths.len());
    rounds.entry(scatter, counted, &from, found);
    !lengths.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_of_different_lengths_keep_their_positions_apart() {
        let mut rounds = Rounds::of(1000.0, vec![700.0, 350.0, 175.0], 3000.0, 0.0);
        rounds.add(&Rounds::of(9000.0, vec![6300.0], 9000.0, 0.0));
        let mut found = Found::default();
        rounds.entry(None, true, "x", &mut found);
        let rates = &found.entries[0].value["per_position"];
        for (j, rate) in [0.7, 0.5, 0.5].into_iter().enumerate() {
            let value = rates[j]["value"].as_f64().unwrap_or(f64::NAN);
            assert!((value - rate).abs() < 1e-9, "{rates}");
        }
        assert!(found.remarks.is_empty(), "{:?}", found.remarks);
        // Rounds that were not full, and nobody says which, are remarked.
        let mut found = Found::default();
        Rounds::of(1000.0, vec![700.0, 100.0], 1500.0, 0.0).entry(None, true, "x", &mut found);
        assert!(found.remarks[0].contains("1.50 tokens on average and not 2"));
    }
}
