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
use super::words::Words;
use crate::speculation::acceptance::{Counters, acceptance_length};

/// Where acceptance stands in a scenario.
const KEY: &str = "speculation.acceptance";

/// Concentration of the requests' own rates (Beta law): EAGLE's 5-95 % range of lengths by request implies 8 to 15.
const CONCENTRATION: f64 = 12.0;

/// Rounds, and those of them that accepted each position.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rounds {
    /// Rounds with a draft.
    pub drafts: f64,
    /// Tokens that they drafted; 0 where nobody counted.
    pub draft_tokens: f64,
    /// Rounds that accepted position 1, 2, …
    pub accepted: Vec<f64>,
    /// Requests that they are of; 0 where nobody counted.
    pub requests: f64,
}

impl Rounds {
    /// Adds others of as many positions.
    pub(super) fn add(&mut self, other: &Rounds) {
        self.drafts += other.drafts;
        self.draft_tokens += other.draft_tokens;
        self.requests += other.requests;
        if self.accepted.len() < other.accepted.len() {
            self.accepted.resize(other.accepted.len(), 0.0);
        }
        for (sum, more) in self.accepted.iter_mut().zip(&other.accepted) {
            *sum += more;
        }
    }

    /// Acceptance by position as a scenario has it, into `found`. `scatter` is the relative standard error of the length
    /// between intervals, where it was seen.
    pub(super) fn entry(&self, scatter: Option<f64>, from: &str, found: &mut Found) {
        let positions = self.accepted.len();
        if self.drafts <= 0.0 || positions == 0 {
            return;
        }
        found.speculates = true;
        let counters = Counters::from_engine(&vec![self.drafts; positions], &self.accepted);
        let rates: Vec<f64> = (0..positions).map(|j| counters.interval(j, 1.0).rate).collect();
        let length = acceptance_length(&rates);
        // A scatter of lengths is put on the first position, which moves all others' survival alike.
        let per_length = (length - 1.0) / length;
        let of = |j: usize| {
            let variance = rates[j] * (1.0 - rates[j]);
            // Rounds of one request are alike: what counts is how many requests there were.
            let between =
                if self.requests > 0.0 { variance / (1.0 + CONCENTRATION) / self.requests } else { 0.0 };
            let own = libm::sqrt(variance / counters.trials()[j].max(1.0) + between);
            let wide =
                scatter.filter(|_| j == 0 && per_length > 0.0).map_or(0.0, |s| rates[0] * s / per_length);
            with_error(rates[j], own.max(wide))
        };
        let values: Vec<Value> = (0..positions).map(of).collect();
        let text = format!("{from}: acceptance length {length:.3} over {:.0} rounds", self.drafts);
        found.entry(KEY, json!({ "per_position": values }), text);
        let short = self.drafts * positions as f64;
        if self.draft_tokens > 0.0 && self.draft_tokens < 0.98 * short {
            found.remark(format!(
                "rounds drafted {:.2} tokens on average and not {positions}: with a draft length that changes, later positions \
                 read too low",
                self.draft_tokens / self.drafts
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
        Some(k) => found.remark(format!("{from}: an acceptance length of {value:.2} cannot be of {k} draft tokens")),
        None => found.remark(format!(
            "{from}: acceptance length {value:.3}; say with --draft-tokens how many tokens a round drafts and it becomes a key"
        )),
    }
}

/// Acceptance of a framework's metrics.
pub(super) fn of_run(metrics: &Metrics, words: &Words, options: &Options, found: &mut Found) {
    let Some((name, lengths)) = metrics.any(words.acceptance) else { return };
    // Without a drafter frameworks log zero or one.
    let lengths: Series = lengths.iter().filter(|(_, x)| **x > 1.0).map(|(step, x)| (*step, *x)).collect();
    let Some(logged) = mean(&lengths) else { return };
    remark_trend(found, "the acceptance length", &lengths, "`speculation.drift` can say so");
    let drafts = metrics.any(words.drafts).map(|found| found.1);
    let mut rounds = Rounds::default();
    let (prefix, first) = words.position;
    for step in lengths.keys().filter(|_| !prefix.is_empty()) {
        let share =
            |i: usize| metrics.of(&format!("{prefix}{}", i + first)).and_then(|s| s.get(step)).copied();
        let n = drafts.map_or(Some(1.0), |drafts| drafts.get(step).copied()).unwrap_or(0.0);
        let accepted: Vec<f64> = (0..).map_while(share).map(|share| share * n).collect();
        let tokens = metrics.any(words.draft_tokens).and_then(|found| found.1.get(step)).copied();
        let requests = found.samples.unwrap_or(0.0);
        rounds.add(&Rounds { drafts: n, draft_tokens: tokens.unwrap_or(0.0), accepted, requests });
    }
    if rounds.drafts > 0.0 && !rounds.accepted.is_empty() {
        let from = format!("{prefix}{first} and on, {} steps", logged.steps);
        return rounds.entry(Some(logged.se / logged.value), &from, found);
    }
    let from = format!("{name}, averaged {}", words.averaged);
    length(logged.value, logged.se, options.draft_tokens, from, found);
}
