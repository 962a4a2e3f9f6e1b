//! Logs of inference engines: acceptance, and engine steps with their batch and time.
//!
//! vLLM prints `SpecDecoding metrics: …` beside its statistics, and `Iteration(…): …` with --enable-logging-iteration-details;
//! SGLang prints `Decode batch, …`. Fields are looked for by name, as their order changed between versions and forks add some.
//! vLLM's time of an iteration is what it waited for the result: with asynchronous scheduling many are next to nothing, so
//! those below a millisecond are left out and the median of a batch counts. SGLang's is worked out from throughput and
//! acceptance length. Left out: steps with prompts in them, and requests that come back after a preemption.

use std::collections::BTreeMap;

use super::acceptance::{self, Rounds};
use super::found::Found;
use super::series::{Series, mean};
use super::steps::{Seen, Steps};
use super::text::after;
use super::{IngestError, Options};

/// Shortest time of a vLLM iteration that is taken for one, in milliseconds.
const SHORTEST_MS: f64 = 1.0;
/// Tokens of a request in one step beyond which it is no draft: a request that comes back after a preemption is computed again.
const NO_DRAFT: f64 = 64.0;
/// Share of iterations below it from which on the times are doubtful.
const MANY_SHORT: f64 = 0.1;
/// How far numbers of draft tokens may be from a whole one in the median: rates are printed to two digits.
const WHOLE: f64 = 0.09;
/// Most draft tokens that two digits of a rate tell.
const MOST_DRAFTED: f64 = 8.0;
/// Largest change of SGLang's running requests between two lines of which the second tells a step's time.
const STEADY: f64 = 0.1;

/// What an engine's log says. `read` calls its argument with each line.
pub(super) fn vllm(
    read: impl FnOnce(&mut dyn FnMut(&str)) -> Result<(), IngestError>,
    found: &mut Found,
) -> Result<u64, IngestError> {
    let mut rounds = Rounds::default();
    let mut lengths = Series::new();
    let mut steps = Steps::default();
    let (mut lines, mut iterations, mut short) = (0, 0_u64, 0_u64);
    read(&mut |line| {
        if line.contains("SpecDecoding metrics:") {
            lines += 1;
            if let Some(interval) = interval(line) {
                lengths.insert(lines, interval.0);
                rounds.add(&interval.1);
            }
        } else if let Some(at) = line.find("Iteration(") {
            let iteration = &line[at..];
            lines += 1;
            let of = |name: &str| before(iteration, name);
            let elapsed = after(iteration, "iteration elapsed time:");
            let (Some(prompts), Some(batch), Some(tokens), Some(ms)) =
                (of("context tokens"), of("generation requests"), of("generation tokens"), elapsed)
            else {
                return;
            };
            if prompts > 0.0 || batch < 1.0 || tokens > NO_DRAFT * batch || iteration.contains("(dummy)") {
                return;
            }
            iterations += 1;
            if ms < SHORTEST_MS {
                short += 1;
                return;
            }
            steps.add(Seen { batch, tokens_each: tokens / batch, context: None, ms });
        }
    })?;
    let scatter = mean(&lengths).filter(|m| m.steps > 2).map(|m| m.se / m.value);
    rounds.entry(scatter, true, "SpecDecoding metrics", found);
    if iterations > 0 && short as f64 > MANY_SHORT * iterations as f64 {
        found.remark(format!(
            "{:.0} % of the iterations took less than {SHORTEST_MS} ms: with asynchronous scheduling the log holds only what was \
             waited for, and the rest may be too short",
            100.0 * short as f64 / iterations as f64
        ));
    }
    steps.into_found(found);
    Ok(lines)
}

/// Acceptance length and rounds of one `SpecDecoding metrics` line. Shares are of all rounds with a draft; older lines have
/// none.
fn interval(line: &str) -> Option<(f64, Rounds)> {
    let drafted = after(line, "Drafted:")?;
    let (_, shares) = line.split_once("Per-position acceptance rate:")?;
    let shares: Vec<f64> = shares
        .split(',')
        .map_while(|part| part.split_whitespace().next()?.trim_end_matches('%').parse().ok())
        .collect();
    let k = shares.len() as f64;
    // Accepted tokens over accepted positions is exact where the draft length changes; the printed shares are rounded.
    let sum: f64 = shares.iter().sum();
    let accepted = after(line, "Accepted:")?;
    let drafts = if accepted > 0.0 && sum > 0.0 { accepted / sum } else { drafted / k };
    let accepted = shares.iter().map(|share| share * drafts).collect();
    (drafted > 0.0 && k > 0.0).then(|| (1.0 + sum, Rounds::of(drafts, accepted, drafted, 0.0)))
}

/// The number before a name, as in `14 generation requests`.
fn before(text: &str, name: &str) -> Option<f64> {
    let at = text.find(name)?;
    text[..at].split_whitespace().next_back()?.parse().ok()
}

/// What SGLang's log says.
pub(super) fn sglang(
    read: impl FnOnce(&mut dyn FnMut(&str)) -> Result<(), IngestError>,
    options: &Options,
    found: &mut Found,
) -> Result<u64, IngestError> {
    let mut by_engine: BTreeMap<String, f64> = BTreeMap::new();
    let mut lengths = Series::new();
    let (mut rounds, mut tokens) = (0.0, 0.0);
    let mut lines = 0;
    let mut rates = Vec::new();
    let mut seen: Vec<(Seen, bool)> = Vec::new();
    read(&mut |line| {
        if line.contains("Prefill batch") {
            // A line after it holds the prompts' time.
            by_engine.remove(&engine(line));
            return;
        }
        if !line.contains("Decode batch") {
            return;
        }
        lines += 1;
        let Some(batch) = after(line, "#running-req:").filter(|batch| *batch >= 1.0) else { return };
        let length = after(line, "accept len:");
        if let Some(length) = length.filter(|length| *length >= 1.0) {
            lengths.insert(lines, length);
            // Every line is of as many forward passes; a pass has a round of each running request.
            rounds += batch;
            tokens += batch * length;
            rates.extend(after(line, "accept rate:").filter(|rate| *rate > 0.0).map(|rate| (length, rate)));
        }
        let held = after(line, "#token:").or_else(|| after(line, "#full token:"));
        let last = by_engine.insert(engine(line), batch);
        let throughput = after(line, "gen throughput (token/s):").filter(|rate| *rate > 0.0);
        if let (Some(last), Some(rate)) = (last, throughput)
            && (batch - last).abs() <= STEADY * last
        {
            let emitted = length.unwrap_or(1.0);
            let context = held.map(|held| held / batch);
            let ms = 1000.0 * batch * emitted / rate;
            seen.push((Seen { batch, tokens_each: 1.0, context, ms }, length.is_some()));
        }
    })?;
    let k = options.draft_tokens.or_else(|| draft_tokens(&rates));
    if rounds > 0.0 {
        let se = mean(&lengths).map_or(0.0, |m| m.se);
        let from = "accept len of `Decode batch` lines, weighted by running requests".to_owned();
        acceptance::length(tokens / rounds, se, k, from, found);
    }
    let mut steps = Steps::default();
    for (step, speculates) in &seen {
        match (speculates, k) {
            (true, Some(k)) => steps.add(Seen { tokens_each: f64::from(k) + 1.0, ..*step }),
            (true, None) => {}
            (false, _) => steps.add(*step),
        }
    }
    if k.is_none() && seen.iter().any(|(_, speculates)| *speculates) {
        found.remark("engine steps with drafts are left out: without --draft-tokens it is not known what they verified");
    }
    steps.into_found(found);
    Ok(lines)
}

/// Draft tokens of a round from acceptance lengths l and rates r. The rate is (l - 1) / K from 0.5.14 on, l / (K + 1) before:
/// the one that gives whole numbers is meant, and where both or neither do nothing is.
fn draft_tokens(rates: &[(f64, f64)]) -> Option<u32> {
    let sorted = |of: &dyn Fn(f64, f64) -> f64| {
        let mut values: Vec<f64> = rates.iter().map(|(length, rate)| of(*length, *rate)).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let middle = |values: &[f64]| values.get(values.len() / 2).copied();
    let whole = |values: Vec<f64>| {
        let k = middle(&values)?.round();
        let mut off: Vec<f64> = values.iter().map(|x| (x - k).abs()).collect();
        off.sort_by(f64::total_cmp);
        (middle(&off)? < WHOLE && (1.0..=MOST_DRAFTED).contains(&k)).then_some(k as u32)
    };
    let newer = whole(sorted(&|length, rate| (length - 1.0) / rate));
    let older = whole(sorted(&|length, rate| length / rate - 1.0));
    match (newer, older) {
        (Some(k), None) | (None, Some(k)) => Some(k),
        _ => None,
    }
}

/// What tells engines apart: what stands before the brackets (a process under Ray), and the rank inside them.
fn engine(line: &str) -> String {
    let (before, rest) = line.split_once('[').unwrap_or(("", line));
    let inside = rest.split_once(']').map_or("", |(inside, _)| inside);
    // A date and a time come first.
    format!("{before}{}", inside.splitn(3, ' ').nth(2).unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draft_tokens_are_told_only_where_one_meaning_fits() {
        let two_digits = |x: f64| (100.0 * x).round() / 100.0;
        let newer = |k: f64| [2.41, 2.38, 2.36].map(|l| (l, two_digits((l - 1.0) / k)));
        let older = |k: f64| [2.41, 2.38, 2.36].map(|l| (l, two_digits(l / (k + 1.0))));
        assert_eq!(draft_tokens(&newer(3.0)), Some(3));
        assert_eq!(draft_tokens(&older(3.0)), Some(3));
        // A length of two at a rate of a half is one of two, or two of four.
        assert_eq!(draft_tokens(&[(2.0, 0.5); 5]), None);
        assert_eq!(draft_tokens(&newer(31.0)), None, "two digits do not tell so many apart");
        assert_eq!(draft_tokens(&[]), None);
    }
}
