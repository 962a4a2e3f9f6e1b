//! From a framework's metrics by RL step to keys of a scenario.
//!
//! Lengths are means over the steps, seconds medians: compilation in the first step, a checkpoint or a hiccup is not what a
//! forecast is about. Left out: device, layout, model, which metrics do not hold.

use serde_json::json;

use super::found::{Found, round};
use super::lengths::{Shown, Whose, lognormal, with_error};
use super::series::{Metrics, Series, less, mean, median, trend};
use super::words::{Names, Words};
use super::{Options, acceptance};

/// A change of lengths or acceptance over the log, relative, that a remark is made of.
const NOTABLE: f64 = 0.1;
/// Slack of a step's seconds beyond those of its parts, relative.
const SLACK: f64 = 0.02;

/// What the metrics say. `file` is how sources call the log.
pub(super) fn found(metrics: &Metrics, words: &Words, file: &str, options: &Options) -> Found {
    let mut found = Found::default();
    let get = |names: Names| metrics.any(names).map(|found| found.1);
    let [response, longest, clipped] = response(metrics, words);
    let prompt = get(words.prompt_mean).cloned().or_else(|| {
        let [whole, part] = words.together?;
        Some(less(metrics.of(whole)?, Some(metrics.of(part)?)))
    });
    sizes(metrics, words, prompt.as_ref(), &mut found);
    let samples =
        options.samples.map(|n| n as f64).or(found.samples).or(options.expected_samples.map(|n| n as f64));
    if let (Some(given), Some(counted)) = (options.samples, found.samples)
        && given as f64 != counted
    {
        found.remark(format!("--samples {given}, and the log's tokens are those of {counted:.0} samples"));
    }

    if let Some(prompt) = &prompt {
        // A prompt is there once for each of its samples.
        let distinct = samples.zip(options.group).map(|(n, group)| n / group as f64);
        let longest = get(words.prompt_longest);
        let shown = Shown {
            whose: Whose::Prompts,
            mean: Some(prompt),
            longest,
            samples: distinct,
            ..Shown::default()
        };
        put_lengths(&mut found, "workload.prompt_tokens", shown);
    }
    let shown = Shown {
        whose: Whose::Responses,
        mean: response,
        longest,
        clipped,
        median: get(words.response_median),
        deviation: get(words.response_deviation),
        samples,
        maximum_varies: !words.cut.is_empty(),
    };
    put_lengths(&mut found, "workload.response_tokens", shown);
    if response.is_some() && !words.cut.is_empty() {
        found.remark(words.cut);
    }
    if let Some(series) = response {
        remark_trend(&mut found, "the mean response", series, "`workload.response_drift` can say so");
    }
    acceptance::of_run(metrics, words, options, &mut found);
    efficiency(metrics, words, &mut found);
    if let Some((name, series)) = metrics.any(words.reward)
        && let Some(seconds) = median(series)
    {
        if seconds >= 0.0 {
            found.entry(
                "reward",
                json!({ "rule": { "seconds": round(seconds, 3) } }),
                format!("{name}, median"),
            );
        } else {
            found.remark(format!("{name} is {seconds}: left out"));
        }
    }
    stages(metrics, words, file, &mut found);
    if let Some(first) = metrics.went_back.first() {
        found.remark(format!(
            "the log goes back {} times, first to step {first}: from there on the later lines count. Are these several runs?",
            metrics.went_back.len()
        ));
    }
    found
}

/// Mean, longest and cut share of the same samples.
fn response<'a>(metrics: &'a Metrics, words: &Words) -> [Option<&'a Series>; 3] {
    let family = words.response.iter().find(|[mean, ..]| metrics.of(mean).is_some());
    family.map_or([None; 3], |names| names.map(|name| metrics.of(name)))
}

fn put_lengths(found: &mut Found, path: &'static str, shown: Shown<'_>) {
    match lognormal(shown) {
        Some(Ok(lengths)) => {
            found.entry(path, lengths.value, lengths.from);
            found.remarks.extend(lengths.remarks);
        }
        Some(Err(why)) => found.remark(format!("{path} is left out: {why}")),
        None => {}
    }
}

/// The trainer's own efficiency. Zero is a device or a model that it does not know.
fn efficiency(metrics: &Metrics, words: &Words, found: &mut Found) {
    let Some((name, series)) = metrics.any(words.mfu) else { return };
    let known: Series = series.iter().filter(|(_, value)| **value > 0.0).map(|(s, v)| (*s, *v)).collect();
    let Some(m) = mean(&known) else { return };
    if m.value > 1.0 {
        return found.remark(format!("{name} is {:.3}, which is no share of a peak: left out", m.value));
    }
    let from = format!("{name}: the trainer's own count, with what ranks wait for one another inside it");
    found.entry("training.mfu", with_error(m.value, m.se), from);
}

/// Samples of a step and GPUs, from tokens: over the mean length of prompt and response, and over throughput and seconds.
fn sizes(metrics: &Metrics, words: &Words, prompt: Option<&Series>, found: &mut Found) {
    let Some([tokens, response]) = words.tokens else { return };
    let (Some(tokens), Some(response)) = (metrics.of(tokens), metrics.of(response)) else { return };
    let samples = |(step, tokens): (&u64, &f64)| {
        let each = prompt?.get(step)? + response.get(step)?;
        (each > 0.0).then(|| (*step, tokens / each))
    };
    found.samples =
        mean(&tokens.iter().filter_map(samples).collect()).map(|m| m.value.round()).filter(|n| *n >= 1.0);
    let (throughput, step) = (metrics.any(words.throughput), metrics.any(words.step));
    let gpus = |(at, tokens): (&u64, &f64)| {
        let seconds = throughput?.1.get(at)? * step?.1.get(at)?;
        (seconds > 0.0).then(|| (*at, tokens / seconds))
    };
    found.gpus = median(&tokens.iter().filter_map(gpus).collect()).map(f64::round).filter(|n| *n >= 1.0);
}

/// Seconds of stages and of the step, to hold forecasts against.
fn stages(metrics: &Metrics, words: &Words, file: &str, found: &mut Found) {
    let ahead = metrics.any(words.asynchronous).is_some();
    let mut sum = Series::new();
    let mut add = |series: &Series| {
        for (step, seconds) in series {
            *sum.entry(*step).or_default() += seconds;
        }
    };
    words.others.iter().filter_map(|name| metrics.of(name)).for_each(&mut add);
    for stage in words.stages {
        let Some((name, series)) = metrics.any(stage.names) else { continue };
        let inside = metrics.any(stage.less);
        let own = less(series, inside.map(|inside| inside.1));
        if stage.quantity.starts_with("forecast.stages_s") {
            add(&own);
        }
        // Loops that run ahead log what the trainer waits for under the name of generation.
        let waits = ahead && stage.quantity == "forecast.stages_s.generation";
        let quantity = if waits { "forecast.exposed_s.generation" } else { stage.quantity };
        let less = inside.map_or(String::new(), |(inside, _)| format!(" less {inside}"));
        let note = if stage.note.is_empty() || waits { String::new() } else { format!(" ({})", stage.note) };
        let source = format!("{file}: {name}{less}{note}");
        if !found.expect.iter().any(|expected| expected.quantity == quantity) {
            found.expect(quantity, median(&own), source);
        }
    }
    if ahead && !words.asynchronous_note.is_empty() {
        found.remark(words.asynchronous_note);
    }
    if let Some((name, series)) = metrics.any(words.step) {
        let (own, taken) = without_interruptions(metrics, words, series, &sum);
        let taken = if taken.is_empty() { String::new() } else { format!(" less {}", taken.join(", ")) };
        found.expect("forecast.step_s", median(&own), format!("{file}: {name}{taken}"));
    }
}

/// Seconds of steps less validation and checkpoints, and which of them were inside: where the step is long enough for its
/// parts and the interruption.
fn without_interruptions(
    metrics: &Metrics,
    words: &Words,
    steps: &Series,
    parts: &Series,
) -> (Series, Vec<&'static str>) {
    let mut own = steps.clone();
    let mut taken = Vec::new();
    for name in words.interruptions {
        let Some(series) = metrics.of(name) else { continue };
        let mut any = false;
        for (step, seconds) in series {
            if let Some(left) = own.get_mut(step)
                && *left - seconds >= (1.0 - SLACK) * parts.get(step).copied().unwrap_or(0.0)
            {
                *left -= seconds;
                any = true;
            }
        }
        if any {
            taken.push(*name);
        }
    }
    (own, taken)
}

/// A remark where a metric moves over the log.
pub(super) fn remark_trend(found: &mut Found, what: &str, series: &Series, advice: &str) {
    let moved = trend(series);
    if moved.abs() >= NOTABLE {
        let way = if moved > 0.0 { "grows" } else { "falls" };
        found.remark(format!(
            "{what} {way} by {:.0} % of its mean over the log; {advice}",
            100.0 * moved.abs()
        ));
    }
}
