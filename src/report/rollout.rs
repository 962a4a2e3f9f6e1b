//! Sections on one rollout: its batch and configuration, its tail, its lengths.

use super::drafts;
use super::figures::{percent, seconds};
use super::html::{Table, figure, paragraph};
use super::plot::{self, BASELINE, FORECAST, Lines, MARK};
use super::run::{legend, sides};
use crate::result::{Arm, BatchPoint, RunResult};

pub(super) fn batch(result: &RunResult) -> String {
    let names = sides(result);
    let caption = "All replicas together, first counted step of the first draw, at nominal costs.";
    let mut table = Table::new(
        "Every sixth point",
        &[
            "baseline, s",
            "running",
            "waiting",
            "draft tokens",
            "forecast, s",
            "running",
            "waiting",
            "draft tokens",
        ],
    );
    let (off, on) = (&result.baseline.batch_over_time, &result.forecast.batch_over_time);
    for place in (0..off.len().max(on.len())).step_by(6) {
        let cells = |points: &[BatchPoint]| {
            let drafted = |p: &BatchPoint| {
                p.draft_tokens.map_or_else(|| "-".to_owned(), |k| format!("{}", (10.0 * k).round() / 10.0))
            };
            points.get(place).map_or_else(
                || std::array::from_fn(|_| String::new()),
                |p| [seconds(p.seconds), p.running.to_string(), p.waiting.to_string(), drafted(p)],
            )
        };
        table.row(cells(off).into_iter().chain(cells(on)));
    }
    figure(&legend(&names), caption, |size| plot::batch(result, size))
        + &configuration(result)
        + &table.tall().html()
}

/// How many tokens are drafted when.
fn configuration(result: &RunResult) -> String {
    let drafting: Vec<(u8, &Arm)> = [(BASELINE, &result.baseline), (FORECAST, &result.forecast)]
        .into_iter()
        .filter(|(_, arm)| drafts(arm))
        .collect();
    let names = sides(result);
    let mut html = String::new();
    let mut series = Vec::new();
    for (side, arm) in drafting {
        let points: Vec<(f64, f64)> =
            arm.batch_over_time.iter().filter_map(|p| Some((p.seconds, p.draft_tokens?))).collect();
        let name = if side == BASELINE { "baseline" } else { "forecast" };
        match points.first() {
            None => {
                html += &paragraph(&format!(
                    "The schedule of the {name} decides from what it saw before: what it drafted when is not kept."
                ));
            }
            Some((_, k)) if points.iter().all(|(_, other)| other == k) => {
                html +=
                    &paragraph(&format!("The {name} drafts {k:.0} tokens for every sequence in every step."));
            }
            Some(_) => series.push((side, points)),
        }
    }
    if series.is_empty() {
        return html;
    }
    let keys: Vec<(u8, &str)> =
        legend(&names).into_iter().filter(|(key, _)| series.iter().any(|(side, _)| side == key)).collect();
    let data = Lines {
        title: "Draft tokens over time",
        description: "Draft tokens of a sequence, mean over running ones, against seconds since the start of one rollout.",
        axes: ("seconds since the start of the rollout", "draft tokens"),
        from: 0.0,
        stepped: true,
        series,
    };
    let caption =
        "What the schedule asks for at the batch and context of each replica, mean over running sequences.";
    html + &figure(&keys, caption, |size| plot::lines(&data, size))
}

pub(super) fn tail(result: &RunResult) -> String {
    let names = sides(result);
    let (off, on) = (&result.baseline, &result.forecast);
    let text = format!(
        "The last 5 % of samples take {} of the rollout (baseline {}), mean over draws and steps.",
        percent(on.tail_share),
        percent(off.tail_share)
    );
    if off.completions.is_empty() || on.completions.is_empty() {
        let feeds_back = result.resolved.cycle.mode.feeds_back();
        let why = if feeds_back {
            "Samples come and go one by one: no rollout is one step's own."
        } else {
            "This result was written before completion times were kept."
        };
        return paragraph(&text) + &paragraph(why);
    }
    let mut table =
        Table::new("Seconds until a share of the samples is done", &["samples done", "baseline", "forecast"]);
    for (old, new) in off.completions.iter().zip(&on.completions) {
        if old.share >= 0.5 {
            table.row([format!("{:.0} %", 100.0 * old.share), seconds(old.seconds), seconds(new.seconds)]);
        }
    }
    paragraph(&text)
        + &figure(&legend(&names), "One rollout, nominal costs; dots where the last 5 % begin.", |size| {
            plot::tail(result, size)
        })
        + &table.html()
}

pub(super) fn lengths(result: &RunResult) -> String {
    let on = &result.forecast;
    let text = format!(
        "{} of responses are cut at the maximum of {} tokens. KV cache: at most {} in use, {:.1} preemptions a step.",
        percent(on.clipped_share),
        result.resolved.workload.response_tokens.max,
        percent(on.kv_peak_share),
        on.preemptions
    );
    if result.response_lengths.is_empty() {
        return paragraph(&text) + &paragraph("This result was written before lengths were kept.");
    }
    let mut table = Table::new("Samples of one step by length", &["tokens from", "to", "samples", "cut"]);
    for bin in &result.response_lengths {
        table.row([
            bin.from.to_string(),
            bin.to.to_string(),
            bin.samples.to_string(),
            bin.clipped.to_string(),
        ]);
    }
    paragraph(&text)
        + &figure(
            &[(FORECAST, "samples"), (MARK, "cut at the maximum")],
            "First counted step of the first draw.",
            |size| plot::lengths(result, size),
        )
        + &table.tall().html()
}
