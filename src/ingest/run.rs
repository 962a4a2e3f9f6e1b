//! From a framework's metrics by RL step to keys of a scenario.
//!
//! Lengths are means over the steps, seconds medians: compilation in the first step, a checkpoint or a hiccup is not what a
//! forecast is about. Left out: device, layout, model, which metrics do not hold.

use serde_json::json;

use super::found::Found;
use super::lengths::{Shown, Whose, lognormal, with_error};
use super::series::{Mean, Metrics, Series, less, mean, median, trend};
use super::words::{Names, Words};
use super::{Options, acceptance};

/// A change of lengths or acceptance over the log, relative, that a remark is made of.
const NOTABLE: f64 = 0.1;

/// What the metrics say. `file` is how sources call the log.
pub(super) fn found(metrics: &Metrics, words: &Words, file: &str, options: &Options) -> Found {
    let mut found = Found::default();
    let get = |names: Names| metrics.any(names).map(|found| found.1);
    let response = get(words.response_mean);
    let prompt = get(words.prompt_mean).cloned().or_else(|| Some(less(get(words.total_mean)?, response)));
    let samples = samples(metrics, words, prompt.as_ref(), options, &mut found);

    if let Some(prompt) = &prompt {
        let longest = get(words.prompt_longest);
        let samples = samples.map(|m| m.value);
        let shown = Shown { whose: Whose::Prompts, mean: Some(prompt), longest, samples, ..Shown::default() };
        if let Some(lengths) = lognormal(shown) {
            found.entry("workload.prompt_tokens", lengths.value, lengths.from);
            found.remarks.extend(lengths.remarks);
        }
    }
    let shown = Shown {
        whose: Whose::Responses,
        mean: response,
        longest: get(words.response_longest),
        clipped: get(words.response_clipped),
        median: get(words.response_median),
        deviation: get(words.response_deviation),
        samples: samples.map(|m| m.value),
    };
    if let Some(lengths) = lognormal(shown) {
        found.entry("workload.response_tokens", lengths.value, lengths.from);
        found.remarks.extend(lengths.remarks);
        if !words.cut.is_empty() {
            found.remark(words.cut);
        }
    }
    if let Some(series) = response {
        remark_trend(&mut found, "the mean response", series, "`workload.response_drift` can say so");
    }
    acceptance::of_run(metrics, words, options, &mut found);
    if let Some((name, series)) = metrics.any(words.mfu) {
        let sure: Series = series.iter().filter(|(_, value)| **value > 0.0).map(|(s, v)| (*s, *v)).collect();
        if let Some(m) = mean(&sure) {
            let from =
                format!("{name}: the trainer's own count, with what ranks wait for one another inside it");
            found.entry("training.mfu", with_error(m.value, m.se), from);
        }
    }
    if let Some((name, series)) = metrics.any(words.reward)
        && let Some(seconds) = median(series)
    {
        let from = format!("{name}, median");
        found.entry("reward", json!({ "rule": { "seconds": super::found::round(seconds, 3) } }), from);
    }
    stages(metrics, words, file, &mut found);
    if metrics.went_back > 0 {
        found.remark(format!(
            "the log goes back to an earlier step {} times: of a step that is there twice the later line counts",
            metrics.went_back
        ));
    }
    found
}

/// Samples of a step: tokens over the mean length of prompt and response. Also what else their number tells.
fn samples(
    metrics: &Metrics,
    words: &Words,
    prompt: Option<&Series>,
    options: &Options,
    found: &mut Found,
) -> Option<Mean> {
    let counted = (|| {
        let (_, tokens) = metrics.any(words.tokens)?;
        let (_, response) = metrics.any(words.response_mean)?;
        let of = |(step, tokens): (&u64, &f64)| {
            let each = prompt?.get(step)? + response.get(step)?;
            (each > 0.0).then(|| (*step, tokens / each))
        };
        mean(&tokens.iter().filter_map(of).collect())
    })();
    let gpus = (|| {
        let (_, tokens) = metrics.any(words.tokens)?;
        let (_, throughput) = metrics.any(words.throughput)?;
        let (_, step) = metrics.any(words.step)?;
        let of = |(at, tokens): (&u64, &f64)| {
            let seconds = throughput.get(at)? * step.get(at)?;
            (seconds > 0.0).then(|| (*at, tokens / seconds))
        };
        median(&tokens.iter().filter_map(of).collect())
    })();
    found.gpus = gpus.map(f64::round);
    found.samples = counted.map(|m| m.value.round());
    let given = options.samples.map(|n| Mean { value: n as f64, se: 0.0, steps: 1 });
    given.or(counted)
}

/// Seconds of stages and of the step, to hold forecasts against.
fn stages(metrics: &Metrics, words: &Words, file: &str, found: &mut Found) {
    let ahead = metrics.any(words.asynchronous).is_some();
    let mut sum = Series::new();
    for stage in words.stages {
        let Some((name, series)) = metrics.any(stage.names) else { continue };
        let inside = metrics.any(stage.less);
        let own = less(series, inside.map(|inside| inside.1));
        if stage.quantity.starts_with("forecast.stages_s") {
            own.iter().for_each(|(step, seconds)| *sum.entry(*step).or_default() += seconds);
        }
        let mut source = format!("{file}: {name}");
        if let Some((inside, _)) = inside {
            source += &format!(" less {inside}");
        }
        if !stage.note.is_empty() {
            source += &format!(" ({})", stage.note);
        }
        // Loops that run ahead log what the trainer waits for under the name of generation.
        let waits = ahead && stage.quantity == "forecast.stages_s.generation";
        let quantity = if waits { "forecast.exposed_s.generation" } else { stage.quantity };
        if !found.expect.iter().any(|expected| expected.quantity == quantity) {
            found.expect(quantity, median(&own), source);
        }
    }
    if let Some((name, series)) = metrics.any(words.step) {
        let (own, taken) = without_interruptions(metrics, words, series, &sum);
        let taken = if taken.is_empty() { String::new() } else { format!(" less {}", taken.join(", ")) };
        found.expect("forecast.step_s", median(&own), format!("{file}: {name}{taken}"));
    }
}

/// Seconds of steps less validation and checkpoints, and which of them were inside. Validation is inside a step's seconds in
/// some versions only: there the step is long enough for its stages and the validation.
fn without_interruptions<'a>(
    metrics: &'a Metrics,
    words: &Words,
    steps: &Series,
    stages: &Series,
) -> (Series, Vec<&'a str>) {
    let mut own = steps.clone();
    let mut taken = Vec::new();
    for name in words.interruptions {
        let Some((name, (_, series))) = metrics.names().find(|n| n == name).zip(metrics.any(&[*name])) else {
            continue;
        };
        let mut any = false;
        for (step, seconds) in series {
            if let Some(left) = own.get_mut(step)
                && *left - 0.9 * seconds >= stages.get(step).copied().unwrap_or(0.0)
            {
                *left -= seconds;
                any = true;
            }
        }
        if any {
            taken.push(name);
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
