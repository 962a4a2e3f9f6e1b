//! Prompts, groups and lengths; and the longest sequence that follows from them.

use super::ResolveError;
use super::book::Book;
use crate::resolved::{LengthModel, Lengths, Model, Quantity, Source, Workload};
use crate::scenario::Scenario;
use crate::scenario::raw::{self, Uncertain};

/// The workload, and the longest sequence that the engine must hold.
pub(super) fn resolve(
    book: &mut Book<'_>,
    raw: &Scenario,
    model: &Model,
) -> Result<(Workload, u32), ResolveError> {
    let given = book.required("workload", raw.workload.as_ref())?;
    let prompts = book.required("workload.prompts_per_step", given.prompts_per_step.as_ref())?.get() as u32;
    let samples =
        book.required("workload.samples_per_prompt", given.samples_per_prompt.as_ref())?.get() as u32;
    let asked_len = raw.generation.as_ref().and_then(|g| g.max_model_len).map(|n| n.get() as u32);
    if let Some(longest) = asked_len.filter(|longest| *longest > model.max_positions) {
        let message = format!("{longest} tokens; {} was made for {}", model.id, model.max_positions);
        return Err(book.error("generation.max_model_len", message, None));
    }
    let room = asked_len.unwrap_or(model.max_positions);
    let prompt_path = "workload.prompt_tokens";
    let response_path = "workload.response_tokens";
    let prompt = book.required(prompt_path, given.prompt_tokens.as_ref())?;
    let response = book.required(response_path, given.response_tokens.as_ref())?;
    // Prompts without a maximum take half of the room, or what the responses' own maximum leaves of it.
    let beside = given_max(response).and_then(|max| room.checked_sub(max)).filter(|left| *left > 0);
    let prompt_tokens = lengths(book, prompt_path, prompt, beside.unwrap_or(room).min(room / 2))?;
    let left = room.saturating_sub(prompt_tokens.max).max(1);
    let response_tokens = lengths(book, response_path, response, left)?;
    let longest = prompt_tokens.max + response_tokens.max;
    if longest > room {
        let limit = if asked_len.is_some() {
            "generation.max_model_len".to_owned()
        } else {
            format!("{}'s context", model.id)
        };
        let message = format!(
            "prompts of up to {} and responses of up to {} tokens make {longest}, beyond {limit} of {room}",
            prompt_tokens.max, response_tokens.max
        );
        let hint = format!("a response maximum of {left} fits");
        return Err(book.error(response_path, message, Some(hint)));
    }
    let correlation = given.group_correlation.map(raw::Probability::get);
    let group_correlation = book.or(
        "workload.group_correlation",
        correlation,
        0.0,
        "samples of a prompt as independent as any others",
    );
    let response_cap = raw.tail.as_ref().and_then(|tail| tail.cap).map(|cap| cap.get() as u32);
    if response_cap.is_some_and(|cap| cap >= response_tokens.max) {
        let why = format!("no response is longer than {} tokens", response_tokens.max);
        book.without_effect("tail.cap", &why);
    }
    let workload = Workload {
        prompts_per_step: prompts,
        samples_per_prompt: samples,
        prompt_tokens,
        response_tokens,
        group_correlation,
        response_cap,
        response_drift: given.response_drift.iter().flatten().map(|[s, f]| (s.get(), f.get())).collect(),
    };
    let max_model_len = if let Some(tokens) = asked_len {
        tokens
    } else {
        book.note("generation.max_model_len", longest, Source::Default, "longest prompt and response");
        longest
    };
    Ok((workload, max_model_len))
}

/// The maximum that was written, if any.
fn given_max(lengths: &raw::Lengths) -> Option<u32> {
    let max = match lengths {
        raw::Lengths::Lognormal(l) => l.max,
        raw::Lengths::Histogram(h) => h.max,
        raw::Lengths::File(file) => file.max,
        raw::Lengths::Constant(constant) => Some(constant.tokens),
    };
    max.map(|n| n.get() as u32)
}

fn quantity(number: Uncertain) -> Quantity {
    Quantity { value: number.value, se: number.se, source: Source::Given }
}

fn lengths(
    book: &mut Book<'_>,
    path: &str,
    given: &raw::Lengths,
    room: u32,
) -> Result<Lengths, ResolveError> {
    match given {
        raw::Lengths::Lognormal(l) => {
            let max_path = format!("{path}.lognormal.max");
            let max = book.count(&max_path, l.max, room, "what the context leaves");
            let flat = l.sigma.value == 0.0 && l.mean.value == f64::from(max);
            if l.mean.value >= f64::from(max) && !flat {
                let message =
                    format!("a mean of {} cannot come out of lengths clipped at {max}", l.mean.value);
                return Err(book.error(&format!("{path}.lognormal.mean"), message, None));
            }
            let model = LengthModel::Lognormal { mean: quantity(l.mean), sigma: quantity(l.sigma) };
            Ok(Lengths { model, min: l.min.map_or(1, |n| n.get() as u32), max, capped: true })
        }
        raw::Lengths::Histogram(h) => {
            let edges: Vec<f64> = h.edges.iter().map(|e| e.get()).collect();
            let top = edges.last().copied().unwrap_or(1.0).ceil() as u32;
            let model =
                LengthModel::Histogram { edges, weights: h.weights.iter().map(|w| w.get()).collect() };
            let max = h.max.map_or(top.max(1), |n| n.get() as u32);
            Ok(Lengths { model, min: 1, max, capped: h.max.is_some() })
        }
        raw::Lengths::File(file) => {
            let samples = read_lengths(book, path, file)?;
            let top = samples.last().copied().unwrap_or(1);
            Ok(Lengths {
                model: LengthModel::Samples(samples),
                min: 1,
                max: file.max.map_or(top, |n| n.get() as u32),
                capped: file.max.is_some(),
            })
        }
        raw::Lengths::Constant(constant) => {
            let tokens = constant.tokens.get() as u32;
            Ok(Lengths { model: LengthModel::Constant(tokens), min: tokens, max: tokens, capped: false })
        }
    }
}

/// One whole number a line; empty lines and lines that start with `#` are skipped.
fn read_lengths(book: &Book<'_>, path: &str, file: &raw::LengthFile) -> Result<Vec<u32>, ResolveError> {
    let at = format!("{path}.file.path");
    let location = book.document().directory().join(&file.path);
    let text = std::fs::read_to_string(&location)
        .map_err(|error| book.error(&at, format!("cannot read {}: {error}", location.display()), None))?;
    let mut lengths = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.parse::<u32>() {
            Ok(length) if length > 0 => lengths.push(length),
            _ => {
                let message = format!(
                    "{}:{}: found `{}`, expected one length in tokens a line",
                    location.display(),
                    number + 1,
                    line.chars().take(40).collect::<String>()
                );
                return Err(book.error(&at, message, None));
            }
        }
    }
    if lengths.is_empty() {
        return Err(book.error(&at, format!("{} holds no lengths", location.display()), None));
    }
    lengths.sort_unstable();
    Ok(lengths)
}
