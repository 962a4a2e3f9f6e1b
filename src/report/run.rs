//! The page of one forecast.

use super::figures::{percent, seconds, seconds_band, times, times_band, usd};
use super::html::{Table, card, code, escaped, figure, heading, list, paragraph};
use super::plot::{self, BASELINE, FORECAST, MARK};
use super::{alone, drafts, flags, loops, page, rollout, verdict};
use crate::result::{Arm, Basis, RunResult, STAGE_NAMES};

/// The page.
pub fn run_page(result: &RunResult) -> String {
    let mut sections: Vec<(&str, &str, String)> =
        vec![("do", "What to do", what_to_do(result)), ("stages", "Where the step goes", stages(result))];
    if let Some(whole) = loops::whole_run(result) {
        sections.push(("whole-run", "The whole run", whole));
    }
    if !loops::streamed(result) {
        sections.push(("batch", "Batch and configuration over time", rollout::batch(result)));
        sections.push(("tail", "The long tail", rollout::tail(result)));
    }
    if loops::runs_ahead(result) {
        sections.push(("staleness", "Staleness and waste", loops::ahead(result)));
    }
    if loops::tells_of_steps(result) {
        sections.push(("rl-steps", "RL step by RL step", loops::steps(result)));
    }
    sections.push(("break-even", "Where drafting pays", break_even(result)));
    if !result.candidates.is_empty() {
        sections.push(("candidates", "Other drafters", candidates(result)));
    }
    sections.push(("lengths", "Lengths and clipping", rollout::lengths(result)));
    sections.push(("sensitivity", "What could change the answer", sensitivity(result)));
    sections.push(("validation", "Published values", validation(result)));
    sections.push(("assumptions", "Assumptions", assumptions(result)));
    sections.push(("not-modelled", "Not modelled", list(result.not_modelled.iter().map(String::as_str))));
    sections.push(("provenance", "Provenance", provenance(result)));
    page::page(&result.name, &headline(result), &sections)
}

/// The answer, before anything else.
fn headline(result: &RunResult) -> String {
    let (off, on) = (&result.baseline, &result.forecast);
    let mut sentence = verdict(result);
    // A sentence begins with a capital.
    if let Some(first) = sentence.get(..1).map(str::to_uppercase) {
        sentence.replace_range(..1, &first);
    }
    let mut cards = Vec::new();
    if !alone(result) {
        cards.push((
            "step speedup",
            times(result.speedup.step.median),
            format!("5-95 %: {}", times_band(&result.speedup.step)),
        ));
        cards.push((
            "rollout speedup",
            times(result.speedup.rollout.median),
            format!("5-95 %: {}", times_band(&result.speedup.rollout)),
        ));
        cards.push((
            "chance of a gain",
            format!("{:.0} %", 100.0 * result.speedup.p_gain),
            "of draws and worlds".to_owned(),
        ));
    }
    let from = |text: String| if alone(result) { String::new() } else { format!(", from {text}") };
    cards.push((
        "seconds a step",
        seconds(on.step_s.median),
        format!("5-95 %: {}{}", seconds_band(&on.step_s), from(seconds(off.step_s.median))),
    ));
    if on.usd_per_step.median > 0.0 {
        cards.push((
            "cost of a step",
            usd(on.usd_per_step.median),
            format!(
                "5-95 %: {} - {}{}",
                usd(on.usd_per_step.p05),
                usd(on.usd_per_step.p95),
                from(usd(off.usd_per_step.median))
            ),
        ));
    }
    let prompt = &on.loop_stats.usd_per_trained_prompt;
    if loops::runs_ahead(result) && prompt.median > 0.0 {
        let old = usd(off.loop_stats.usd_per_trained_prompt.median);
        let band = format!("5-95 %: {} - {}{}", usd(prompt.p05), usd(prompt.p95), from(old));
        cards.push(("a trained prompt", usd(prompt.median), band));
    }
    let cards: Vec<String> = cards.iter().map(|(what, value, band)| card(what, value, band)).collect();
    let cards = cards.concat();
    format!(
        "<header id=\"headline\">\n<h1>{}</h1>\n<p class=\"lead\">{}</p>\n<div class=\"cards\">\n{cards}</div>\n{}</header>\n",
        escaped(&result.name),
        escaped(&sentence),
        warnings(result)
    )
}

fn warnings(result: &RunResult) -> String {
    if result.warnings.is_empty() {
        return String::new();
    }
    format!("<div class=\"warning\">\n{}</div>\n", list(result.warnings.iter().map(String::as_str)))
}

fn what_to_do(result: &RunResult) -> String {
    let mut html = String::new();
    let resolved = &result.resolved;
    let memory = format!(
        "{} on {} x {}, {} samples a step; {} replicas with {} each, at most {} sequences each.",
        resolved.model.id,
        resolved.cluster.gpus,
        resolved.cluster.device.name,
        resolved.workload.samples(),
        resolved.generation.replicas,
        match resolved.generation.layout.gpus() {
            1 => "one GPU".to_owned(),
            n => format!("{n} GPUs"),
        },
        resolved.generation.engine.max_num_seqs
    );
    html += &paragraph(&memory);
    if result.speedup.p_gain < 0.95 && drafts(&result.forecast) && !alone(result) {
        html += &paragraph(
            "The flags below are those of the forecast, not a recommendation: see the verdict above.",
        );
    }
    for (engine, command) in flags::commands(resolved) {
        html += &heading(engine);
        html += &code(&command);
    }
    if let Some(config) = flags::speculative_config(resolved) {
        html += &heading("--speculative-config of vLLM alone");
        html += &code(&config.to_string());
    }
    html + &paragraph(&flags::remark(resolved))
}

fn stages(result: &RunResult) -> String {
    let (off, on) = (&result.baseline, &result.forecast);
    let legend: Vec<(u8, &str)> =
        STAGE_NAMES.iter().enumerate().map(|(i, name)| (i as u8 + 2, *name)).collect();
    let mut table = Table::new(
        "Mean seconds on the step's critical path",
        &["stage", "baseline", "forecast", "5 %", "95 %", "rests on"],
    );
    let basis = &on.stage_basis;
    let basis: [Basis; 7] = [
        basis.data,
        basis.prepare,
        basis.generation,
        basis.reward,
        basis.logprob,
        basis.logprob,
        basis.training,
    ];
    let (old, new) = (off.exposed_s.stages.to_array(), on.exposed_s.stages.to_array());
    let (low, high) = (on.stage_bands_s.p05.to_array(), on.stage_bands_s.p95.to_array());
    for stage in 0..7 {
        table.row([
            STAGE_NAMES[stage].to_owned(),
            seconds(old[stage]),
            seconds(new[stage]),
            seconds(low[stage]),
            seconds(high[stage]),
            basis[stage].label().to_owned(),
        ]);
    }
    table.row([
        "idle".to_owned(),
        seconds(off.exposed_s.idle),
        seconds(on.exposed_s.idle),
        String::new(),
        String::new(),
        String::new(),
    ]);
    table.row([
        "step".to_owned(),
        seconds(off.step_s.mean),
        seconds(on.step_s.mean),
        seconds(on.step_s.p05),
        seconds(on.step_s.p95),
        String::new(),
    ]);
    figure(&legend, "Stages that overlap count once.", |size| plot::stages(result, size)) + &table.html()
}

/// The two sides of a plot.
pub(super) fn sides(result: &RunResult) -> [(u8, String); 2] {
    [
        (BASELINE, format!("baseline ({})", result.baseline.label)),
        (FORECAST, format!("forecast ({})", result.forecast.label)),
    ]
}

pub(super) fn legend(sides: &[(u8, String); 2]) -> [(u8, &str); 2] {
    [(sides[0].0, &sides[0].1), (sides[1].0, &sides[1].1)]
}

fn break_even(result: &RunResult) -> String {
    let Some(first) = result.break_even.first() else {
        return paragraph("Nothing is drafted, so nothing breaks even.");
    };
    let on = &result.forecast;
    let text = format!(
        "Drafting pays where the run's acceptance length ({:.2}) lies above the break-even length of its batch. Context {:.0} tokens.",
        on.acceptance_length, first.context
    );
    let rates: Vec<String> = on.acceptance_per_position.iter().map(|rate| format!("{rate:.2}")).collect();
    let mut table = Table::new(
        "One engine step by batch",
        &["batch", "plain step, ms", "draft and verify, ms", "break-even length", "speedup"],
    );
    for row in &result.break_even {
        table.row([
            row.batch.to_string(),
            format!("{:.2}", 1e3 * row.decode_s),
            format!("{:.2}", 1e3 * row.speculative_s),
            format!("{:.2}", row.acceptance_length),
            times(row.speedup),
        ]);
    }
    paragraph(&text)
        + &figure(
            &[(MARK, "break-even"), (FORECAST, "acceptance length of this run")],
            "Batch: sequences on one replica, doubling.",
            |size| plot::break_even(result, size),
        )
        + &table.html()
        + &paragraph(&format!("Acceptance rates by position, given the one before: {}.", rates.join(", ")))
}

fn candidates(result: &RunResult) -> String {
    let mut table = Table::new(
        "In the same draws and worlds, fastest first",
        &["drafter", "step, s", "5-95 %", "step speedup", "5-95 %", "chance of a gain", "acceptance length"],
    );
    let own =
        (&result.forecast.label, &result.forecast.step_s, &result.speedup, result.forecast.acceptance_length);
    let others = result.candidates.iter().map(|c| (&c.label, &c.step_s, &c.speedup, c.acceptance_length));
    let mut rows: Vec<_> = std::iter::once(own).chain(others).collect();
    rows.sort_by(|a, b| a.1.mean.total_cmp(&b.1.mean));
    for (label, step, speedup, length) in rows {
        table.row([
            label.clone(),
            seconds(step.median),
            seconds_band(step),
            times(speedup.step.median),
            times_band(&speedup.step),
            percent(speedup.p_gain),
            format!("{length:.2}"),
        ]);
    }
    table.html()
}

fn sensitivity(result: &RunResult) -> String {
    if result.sensitivity.is_empty() {
        return paragraph("Nothing uncertain moves this forecast.");
    }
    let mut table =
        Table::new("Change of the mean step, seconds", &["input", "at its 5 %", "at its 95 %", "rests on"]);
    for row in &result.sensitivity {
        table.row([
            row.input.clone(),
            format!("{:+.2}", row.low_s),
            format!("{:+.2}", row.high_s),
            row.basis.label().to_owned(),
        ]);
    }
    paragraph("Measure what is at the top before anything else.")
        + &figure(
            &[(BASELINE, "at its 5 % value"), (FORECAST, "at its 95 % value")],
            "One input at a time.",
            |size| plot::tornado(result, size),
        )
        + &table.html()
}

fn validation(result: &RunResult) -> String {
    if result.expect.is_empty() {
        return paragraph("This scenario carries no published value to compare with (`expect:`).");
    }
    let mut table = Table::new(
        "Published beside forecast",
        &["quantity", "forecast", "published", "error", "in the 5-95 % band", "gate", "source"],
    );
    let yes = |value: Option<bool>, words: [&str; 2]| {
        value.map_or("", |v| if v { words[0] } else { words[1] }).to_owned()
    };
    for row in &result.expect {
        table.row([
            row.quantity.clone(),
            row.forecast.map_or_else(|| "none".to_owned(), seconds),
            seconds(row.published),
            row.error.map_or_else(String::new, |error| format!("{:+.1} %", 100.0 * error)),
            yes(row.in_band, ["yes", "no"]),
            yes(row.passed, ["passed", "FAILED"]),
            row.note.as_ref().map_or_else(|| row.source.clone(), |note| format!("{}; {note}", row.source)),
        ]);
    }
    table.html()
}

fn assumptions(result: &RunResult) -> String {
    if result.assumptions.is_empty() {
        return paragraph("Every value was given.");
    }
    let mut table = Table::new("Values that the scenario did not give", &["key", "taken", "from", "why"]);
    for assumption in &result.assumptions {
        let from = format!("{:?}", assumption.source).to_lowercase();
        table.row([assumption.path.clone(), assumption.value.clone(), from, assumption.why.clone()]);
    }
    table.filtered().tall().html()
}

fn provenance(result: &RunResult) -> String {
    let share = &result.provenance.tier_share;
    let sampled = &result.resolved;
    let mut html = paragraph(&format!(
        "Rests on: measured {}, published {}, analytic {} of rollout and training seconds; {} of rollout seconds beyond the fitted range.",
        percent(share.measured),
        percent(share.published),
        percent(share.analytic),
        percent(result.provenance.extrapolated_share)
    ));
    html += &paragraph(&format!(
        "Kernels: {}. Software: {}.",
        result.provenance.calibration, result.provenance.engine_profile
    ));
    html += &paragraph(&format!(
        "{} draws x {} RL steps of {} samples, each priced in {} worlds, seed {}; both sides in the same ones. Rollcast {}, form {} of results.",
        sampled.uncertainty.workload_draws,
        sampled.rl_steps,
        sampled.workload.samples(),
        sampled.uncertainty.worlds,
        sampled.seed,
        env!("CARGO_PKG_VERSION"),
        result.schema_version
    ));
    html += &software(&result.baseline, &result.forecast);
    html += &paragraph(&format!("Model: {}. GPU: {}.", sampled.model.source, sampled.cluster.device.source));
    if let Some(speculation) = &sampled.speculation {
        html += &paragraph(&format!("Drafter: {}.", speculation.drafter.source));
    }
    match &result.simulator.command {
        Some(command) => html + &paragraph("To make this again:") + &code(command),
        None => html,
    }
}

fn software(off: &Arm, on: &Arm) -> String {
    paragraph(&format!(
        "Rollout with the engine's software {} s, kernels alone {} s (baseline {} s and {} s).",
        seconds(on.rollout_s.mean),
        seconds(on.bare_kernels_rollout_s),
        seconds(off.rollout_s.mean),
        seconds(off.bare_kernels_rollout_s)
    ))
}
