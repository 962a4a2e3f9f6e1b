//! Counters and histograms in Prometheus' text form, as vLLM's and SGLang's `/metrics` print them.
//!
//! Two files are a beginning and an end: what is between them counts, of engines that were not started anew. Several engines in
//! a file are summed. Left out: gauges, which say what was true at one moment.

use std::collections::BTreeMap;

use super::acceptance::{self, Rounds};
use super::found::Found;
use super::text::number;
use super::{IngestError, Options, lengths};

/// Values by name, and by what the label that is kept says and which engine it is of.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    values: BTreeMap<String, BTreeMap<(String, String), f64>>,
}

/// Labels that tell values of one metric apart; all others tell engines apart.
const KEPT: [&str; 3] = ["le", "position", "finished_reason"];
/// Labels of which one value is enough: every rank says the same.
const REPEATED: [&str; 3] = ["tp_rank", "pp_rank", "moe_ep_rank"];

impl Sample {
    /// Takes a line in; whether it was a value.
    pub(super) fn line(&mut self, line: &str) -> bool {
        if line.starts_with('#') || !line.contains("llm") && !line.contains("sglang") {
            return false;
        }
        let (name, labels, value) = match line.split_once('{') {
            Some((name, rest)) => match rest.rsplit_once('}') {
                Some((labels, value)) => (name, labels, value),
                None => return false,
            },
            None => match line.split_once(' ') {
                Some((name, value)) => (name, "", value),
                None => return false,
            },
        };
        let Some(value) = number(value) else { return false };
        // Ray's exporter has other separators; counters lose their ending, which older clients did not print.
        let name = name
            .trim()
            .trim_start_matches("ray_")
            .replacen("vllm_", "vllm:", 1)
            .replacen("sglang_", "sglang:", 1);
        let name = name.strip_suffix("_total").unwrap_or(&name);
        let (mut kept, mut engine) = ("", String::new());
        for (label, text) in self::labels(labels) {
            if REPEATED.contains(&label) && text != "0" {
                return false;
            }
            if KEPT.contains(&label) {
                kept = text;
            } else {
                engine += text;
                engine.push(' ');
            }
        }
        *self.values.entry(name.to_owned()).or_default().entry((kept.to_owned(), engine)).or_default() +=
            value;
        true
    }

    /// Whether it has values of an engine.
    pub(super) fn is_of(&self, engine: &str) -> bool {
        self.values.keys().any(|name| name.starts_with(engine))
    }

    /// What was counted since an earlier sample; fails where a counter went down.
    pub(super) fn since(mut self, earlier: &Sample) -> Result<Sample, IngestError> {
        for (name, values) in &mut self.values {
            let before = earlier.values.get(name);
            for (key, value) in values {
                let before = before.and_then(|b| b.get(key)).copied().unwrap_or(0.0);
                // Gauges may fall; counters and histograms fall where an engine was started anew.
                let counts = ["spec_decode_num", "_count", "_bucket", "request_success"];
                // A stamp of when a counter began is another one after a restart.
                let anew = name.ends_with("_created") && before > 0.0 && before != *value;
                if anew || before > *value && counts.iter().any(|part| name.contains(part)) {
                    let message = format!(
                        "{name} of engine {}is {before} in the first file and {value} in the last: give them in the order in \
                         which they were taken, from engines that ran through",
                        key.1
                    );
                    return Err(IngestError::Content { message });
                }
                *value -= before;
            }
        }
        Ok(self)
    }

    /// Sums over engines, by the label that is kept.
    fn of(&self, name: &str) -> Option<BTreeMap<&str, f64>> {
        let mut sums = BTreeMap::new();
        for ((kept, _), value) in self.values.get(name)? {
            *sums.entry(kept.as_str()).or_default() += value;
        }
        Some(sums)
    }

    fn sum(&self, name: &str) -> Option<f64> {
        Some(self.values.get(name)?.values().sum())
    }
}

/// Names and texts of labels, `a="x",b="y"`. Texts with a quote in them end early, which none of those kept has.
fn labels(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("\",").filter_map(|part| {
        let (name, text) = part.split_once("=\"")?;
        Some((name.trim(), text.trim_end_matches('"')))
    })
}

/// What the counters say.
pub(super) fn found(sample: &Sample, options: &Options, found: &mut Found) {
    let response = ["vllm:request_generation_tokens", "sglang:generation_tokens_histogram"];
    let prompt = ["vllm:request_prompt_tokens", "sglang:prompt_tokens_histogram"];
    for (path, names) in [("workload.prompt_tokens", prompt), ("workload.response_tokens", response)] {
        let Some((name, edges, weights, mean)) = names.iter().find_map(|name| histogram(sample, name)) else {
            continue;
        };
        let cut = cut(sample).filter(|_| path.ends_with("response_tokens"));
        let max = cut.and_then(|(_, max)| max);
        if let Some(lengths) = lengths::from_counts(&edges, &weights, mean, max) {
            let n: f64 = weights.iter().sum();
            let share = cut.map_or(String::new(), |(share, _)| format!(", {:.1} % cut", 100.0 * share));
            let from = format!("{name}: {n:.0} finished requests, mean {mean:.0}{share}; {}", lengths.from);
            found.entry(path, lengths.value, from);
        }
        if let Some((share, None)) = cut {
            found.remark(format!(
                "{:.1} % of the responses were cut, at maxima that differ or are not known: the form has none, so its tail is too \
                 long; give `max` and take the log of one",
                100.0 * share
            ));
        }
    }
    rounds(sample, options, found);
    if let Some(preemptions) = sample.sum("vllm:num_preemptions").filter(|n| *n > 0.0) {
        found.remark(format!("{preemptions:.0} preemptions: the KV cache was full"));
    }
}

fn rounds(sample: &Sample, options: &Options, found: &mut Found) {
    let drafts = sample.sum("vllm:spec_decode_num_drafts");
    if let (Some(drafts), Some(by)) = (drafts, sample.of("vllm:spec_decode_num_accepted_tokens_per_pos")) {
        // Positions are numbers; as text 10 would come before 2.
        let mut accepted: Vec<(usize, f64)> =
            by.iter().filter_map(|(position, n)| Some((position.parse().ok()?, *n))).collect();
        accepted.sort_by_key(|(position, _)| *position);
        let rounds = Rounds::of(
            drafts,
            accepted.into_iter().map(|(_, n)| n).collect(),
            sample.sum("vllm:spec_decode_num_draft_tokens").unwrap_or(0.0),
            sample.sum("vllm:request_generation_tokens_count").unwrap_or(0.0),
        );
        rounds.entry(None, true, "vllm:spec_decode_num_accepted_tokens_per_pos", found);
    } else if let (Some(tokens), Some(calls)) =
        (sample.sum("sglang:generation_tokens"), sample.sum("sglang:spec_verify_calls"))
        && calls > 0.0
    {
        let from = "sglang:generation_tokens over sglang:spec_verify_calls".to_owned();
        acceptance::length(tokens / calls, 0.0, options.draft_tokens, from, found);
    }
}

/// Edges, counts between them and the exact mean of a histogram. The range beyond the last edge is as wide as the one
/// before it; ranges that nothing is in are left off at both ends.
fn histogram<'a>(sample: &Sample, name: &'a str) -> Option<(&'a str, Vec<f64>, Vec<f64>, f64)> {
    let mut buckets: Vec<(f64, f64)> = sample
        .of(&format!("{name}_bucket"))?
        .iter()
        .map(|(le, n)| (le.parse().unwrap_or(f64::INFINITY), *n))
        .collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (sum, count) = (sample.sum(&format!("{name}_sum"))?, sample.sum(&format!("{name}_count"))?);
    if count <= 0.0 {
        return None;
    }
    let (mut edges, mut weights, mut below) = (vec![0.0], Vec::new(), 0.0);
    for (le, cumulative) in buckets {
        let last = edges[edges.len() - 1];
        let before = edges.len().checked_sub(2).map_or(0.0, |i| edges[i]);
        let weight = cumulative - below;
        let edge = if le.is_finite() { le } else { 2.0 * last - before };
        below = cumulative;
        if le.is_infinite() && weight <= 0.0 || edge <= last {
            continue;
        }
        if weights.is_empty() && weight <= 0.0 {
            edges[0] = edge;
            continue;
        }
        edges.push(edge);
        weights.push(weight);
    }
    if weights.is_empty() {
        // All requests are beyond the last edge: that they have a mean is all there is.
        return Some((name, vec![0.0, 2.0 * sum / count], vec![count], sum / count));
    }
    while weights.last() == Some(&0.0) {
        weights.pop();
        edges.pop();
    }
    Some((name, edges, weights, sum / count))
}

/// The share of responses that ended at their maximum and, where all asked for as many tokens, that maximum.
fn cut(sample: &Sample) -> Option<(f64, Option<u64>)> {
    let reasons = sample.of("vllm:request_success")?;
    let of = |reason: &str| reasons.get(reason).copied().unwrap_or(0.0);
    let share = of("length") / (of("length") + of("stop"));
    if share.is_nan() || share <= 0.0 {
        return None;
    }
    let name = "vllm:request_params_max_tokens";
    let count = sample.sum(&format!("{name}_count")).filter(|n| *n > 0.0);
    let asked = count.and_then(|n| Some(sample.sum(&format!("{name}_sum"))? / n));
    // All lie between two neighbouring edges, and their mean is whole: one number.
    let buckets = sample.of(&format!("{name}_bucket"));
    let together = buckets.is_some_and(|buckets| buckets.values().all(|n| *n <= 0.0 || Some(*n) == count));
    let whole = asked.filter(|asked| (asked - asked.round()).abs() < 1e-6 * asked);
    Some((share, whole.filter(|_| together).map(|asked| asked.round() as u64)))
}
