//! The first screen of `rollcast run`: what to do, by how much, what it rests on, what could change it.

use super::{LABEL, chart, paragraph, seconds, stages, usd};
use crate::report::{alone, drafts, verdict};
use crate::resolved::Source;
use crate::result::{Arm, BreakEven, RunResult, Sensitivity};

/// Rows of the sensitivity list.
const SENSITIVITIES: usize = 6;

/// The whole screen.
pub(in crate::cli) fn first_screen(result: &RunResult) -> String {
    let mut text = format!("{}\n\n", result.name);
    text += &paragraph("RUN", &setting(result));
    text += &paragraph("DO", &advice(result));
    text += "\n";
    text += &stages::table(result);
    text += "\n";
    text += &rollout(result);
    text += &super::loops::lines(result);
    text += &break_even(&result.break_even, result);
    text += &candidates(result);
    text += &sensitivity(&result.sensitivity);
    text += &software(result);
    text += &expected(result);
    text += "\n";
    text += &basis(result);
    text
}

/// What runs on what: overrides change it, and the name stays.
fn setting(result: &RunResult) -> String {
    let resolved = &result.resolved;
    let (generation, cluster) = (&resolved.generation, &resolved.cluster);
    let gpus = match generation.layout.gpus() {
        1 => "one GPU".to_owned(),
        n => format!("{n} GPUs"),
    };
    let replicas = match generation.replicas {
        1 => "one replica".to_owned(),
        n => format!("{n} replicas"),
    };
    let trainer = resolved.trainer.as_ref().map_or_else(String::new, |trainer| {
        format!("; training on {} x {}", trainer.gpus, trainer.device.id)
    });
    format!(
        "{} on {} x {}: {replicas} of {gpus}, {}, at most {} sequences each{trainer}",
        resolved.model.id,
        cluster.gpus,
        cluster.device.id,
        generation.engine.engine,
        generation.engine.max_num_seqs,
    )
}

/// The DO line of a scenario that is its own baseline.
fn plain(result: &RunResult) -> String {
    let arm = &result.forecast;
    let price = if arm.usd_per_step.mean > 0.0 {
        format!(", {} a step", usd(arm.usd_per_step.mean))
    } else {
        String::new()
    };
    format!(
        "nothing is compared (speculation {}, as in the baseline). Step {} s (5-95 %: {} - {}), rollout {} s ({} - {}){price}.",
        arm.label,
        seconds(arm.step_s.mean),
        seconds(arm.step_s.p05),
        seconds(arm.step_s.p95),
        seconds(arm.rollout_s.mean),
        seconds(arm.rollout_s.p05),
        seconds(arm.rollout_s.p95),
    )
}

fn advice(result: &RunResult) -> String {
    if alone(result) {
        return plain(result);
    }
    let (off, on, gain) = (&result.baseline, &result.forecast, &result.speedup.step);
    let what = verdict(result);
    let price = if on.usd_per_step.mean > 0.0 {
        format!(", {} to {} a step", usd(off.usd_per_step.mean), usd(on.usd_per_step.mean))
    } else {
        String::new()
    };
    format!(
        "{what}. Step {:.2}x as fast (5-95 %: {:.2}-{:.2}), rollout {:.2}x ({:.2}-{:.2}); P(faster) = {:.0} %; {} s to {} s{price} (means).",
        gain.median,
        gain.p05,
        gain.p95,
        result.speedup.rollout.median,
        result.speedup.rollout.p05,
        result.speedup.rollout.p95,
        100.0 * result.speedup.p_gain,
        seconds(off.step_s.mean),
        seconds(on.step_s.mean),
    )
}

fn rollout(result: &RunResult) -> String {
    let (off, on) = (&result.baseline, &result.forecast);
    let mut text = chart::batch(on);
    let acceptance = if drafts(on) {
        let rates: Vec<String> = on.acceptance_per_position.iter().map(|a| format!("{a:.2}")).collect();
        let length = on.acceptance_length;
        // Engines count the rounds in which a look-up proposed something.
        let share = result.resolved.speculation.as_ref().map_or(1.0, |s| s.acceptance.proposal_share);
        let counted = if share > 0.0 && share < 1.0 {
            let proposed = 1.0 + (length - 1.0) / share;
            format!(", {proposed:.2} where something is proposed, {:.0} % of rounds", 100.0 * share)
        } else {
            String::new()
        };
        format!("acceptance length {length:.2} (by position {}{counted}); ", rates.join(" "))
    } else {
        String::new()
    };
    let beside = |value: String| if alone(result) { String::new() } else { format!(" (baseline {value})") };
    let tail = if on.loop_stats.simulated_paces > 0 {
        // Samples come and go one by one: there is no rollout with an end.
        String::new()
    } else {
        format!(
            "the last 5 % of samples take {:.0} % of the time{}; ",
            100.0 * on.tail_share,
            beside(format!("{:.0} %", 100.0 * off.tail_share))
        )
    };
    text += &paragraph(
        "rollout",
        &format!(
            "{acceptance}{tail}KV peak {:.0} %, {:.1} preemptions a step; {:.1} % of responses clipped; {:.0} tokens/s per GPU over the step{}",
            100.0 * on.kv_peak_share,
            on.preemptions,
            100.0 * on.clipped_share,
            on.response_tokens_per_s_per_gpu.median,
            beside(format!("{:.0}", off.response_tokens_per_s_per_gpu.median)),
        ),
    );
    text
}

fn break_even(rows: &[BreakEven], result: &RunResult) -> String {
    let length = result.forecast.acceptance_length;
    let Some(first) = rows.first() else { return String::new() };
    // At most eight columns, the largest batch among them.
    let skip = rows.len().saturating_sub(8);
    let shown = &rows[skip..];
    let line = |label: &str, cells: Vec<String>| {
        let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:>8}")).collect();
        format!("{label:<LABEL$}{}\n", cells.concat())
    };
    let mut text = line("batch", shown.iter().map(|r| r.batch.to_string()).collect());
    text += &line("break-even", shown.iter().map(|r| format!("{:.2}", r.acceptance_length)).collect());
    text += &line("speedup", shown.iter().map(|r| format!("{:.2}x", r.speedup)).collect());
    let losing = shown.iter().find(|r| r.acceptance_length > length);
    let verdict = match losing {
        Some(row) => format!("from batch {} on it loses", row.batch),
        None if result.speedup.rollout.median < 1.0 => {
            "a mean request gains at every batch, yet the slowest ones, whose own acceptance is lower, end later".to_owned()
        }
        None => "it wins at every batch of this run".to_owned(),
    };
    text += &paragraph(
        "",
        &format!(
            "Below the break-even acceptance length drafting loses; yours is {length:.2}: {verdict} (batch per replica, context {:.0}).",
            first.context
        ),
    );
    text
}

/// Drafters side by side, the forecast's own among them: step, and speedup of an engine step by batch.
fn candidates(result: &RunResult) -> String {
    if result.candidates.is_empty() {
        return String::new();
    }
    let own = (
        result.forecast.label.as_str(),
        result.forecast.step_s.mean,
        result.speedup.step.median,
        result.forecast.acceptance_length,
        &result.break_even,
    );
    let others = result.candidates.iter().map(|c| {
        (c.label.as_str(), c.step_s.mean, c.speedup.step.median, c.acceptance_length, &c.break_even)
    });
    let mut rows: Vec<_> = std::iter::once(own).chain(others).collect();
    rows.sort_by(|a, b| a.1.total_cmp(&b.1));
    // First, last and a batch between: more would not fit 80 columns.
    let count = rows.iter().map(|row| row.4.len()).max().unwrap_or(0);
    let mut shown: Vec<usize> = [0, count / 2, count.saturating_sub(1)].to_vec();
    shown.dedup();
    let batches = rows.iter().map(|row| row.4).find(|table| table.len() == count);
    let mut header = vec!["drafter".to_owned(), "step s".to_owned(), "x".to_owned(), "length".to_owned()];
    for index in &shown {
        header.push(
            batches.and_then(|t| t.get(*index)).map_or_else(String::new, |row| format!("at {}", row.batch)),
        );
    }
    let mut table = super::table(&header.iter().map(String::as_str).collect::<Vec<_>>());
    for (label, step, gain, length, by_batch) in rows {
        let mut cells = vec![label.to_owned(), seconds(step), format!("{gain:.2}"), format!("{length:.2}")];
        for index in &shown {
            cells.push(
                by_batch.get(*index).map_or_else(|| "-".to_owned(), |row| format!("{:.2}", row.speedup)),
            );
        }
        table.add_row(cells);
    }
    super::numbers(&mut table, 1..=3 + shown.len());
    format!("\n{}\n\n", table.trim_fmt())
}

fn sensitivity(rows: &[Sensitivity]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = rows
        .iter()
        .take(SENSITIVITIES)
        .map(|r| format!("{} {:+.1}/{:+.1} s ({})", r.input, r.low_s, r.high_s, r.basis.label()))
        .collect();
    paragraph("moves most", &format!("the step, at 5 %/95 % of each input: {}", shown.join("; ")))
}

fn software(result: &RunResult) -> String {
    let (off, on) = (&result.baseline, &result.forecast);
    let shares = |arm: &Arm| (seconds(arm.rollout_s.mean), seconds(arm.bare_kernels_rollout_s));
    if alone(result) {
        let (whole, kernels) = shares(on);
        return paragraph(
            "software",
            &format!("rollout with the engine's software {whole} s, kernels alone {kernels} s"),
        );
    }
    let bare = off.bare_kernels_rollout_s / on.bare_kernels_rollout_s;
    let real = off.rollout_s.mean / on.rollout_s.mean;
    paragraph(
        "software",
        &format!(
            "rollout with the engine's software {} s, kernels alone {} s (baseline {} and {}): {real:.2}x is {bare:.2}x on bare kernels",
            shares(on).0,
            shares(on).1,
            shares(off).0,
            shares(off).1,
        ),
    )
}

fn expected(result: &RunResult) -> String {
    let mut text = String::new();
    for row in &result.expect {
        let forecast = row.forecast.map_or_else(|| "none".to_owned(), seconds);
        let error = row.error.map_or_else(String::new, |e| format!(" ({:+.1} %)", 100.0 * e));
        let band = match row.in_band {
            Some(true) => ", inside the band",
            Some(false) => ", outside the band",
            None => "",
        };
        let gate = match row.passed {
            Some(true) => ", gate passed",
            Some(false) => ", GATE FAILED",
            None => "",
        };
        let note = row.note.as_ref().map_or_else(String::new, |note| format!("; {note}"));
        let (quantity, published) = (&row.quantity, row.published);
        text += &paragraph(
            "published",
            &format!("{quantity}: forecast {forecast}, published {published}{error}{band}{gate}{note}"),
        );
    }
    text
}

fn basis(result: &RunResult) -> String {
    let share = &result.provenance.tier_share;
    let mut text = paragraph(
        "rests on",
        &format!(
            "measured {:.0} %, published {:.0} %, analytic {:.0} % of rollout and training seconds; {:.1} % extrapolated",
            100.0 * share.measured,
            100.0 * share.published,
            100.0 * share.analytic,
            100.0 * result.provenance.extrapolated_share
        ),
    );
    text += &assumptions(result);
    for warning in &result.warnings {
        text += &paragraph("WARNING", warning);
    }
    text += &paragraph("NOT", &format!("MODELLED: {}", result.not_modelled.join("; ")));
    let sampled = &result.resolved;
    text + &paragraph(
        "simulated",
        &format!(
            "{} draws x {} RL steps of {} samples, each priced in {} worlds; both sides in the same ones",
            sampled.uncertainty.workload_draws,
            sampled.rl_steps,
            sampled.workload.samples(),
            sampled.uncertainty.worlds
        ),
    )
}

/// Defaults whose value changes seconds; the others are about how the simulation runs.
const MATTERING: [&str; 11] = [
    "training.mfu",
    "training.logprob_mfu",
    "generation.layout.tp",
    "generation.max_num_seqs",
    "loop.weight_sync",
    "speculation.acceptance.concentration",
    "speculation.acceptance.length.decay",
    "training.reference_logprobs",
    "cluster.usd_per_gpu_hour",
    "pools.generation.usd_per_gpu_hour",
    "pools.training.usd_per_gpu_hour",
];

fn assumptions(result: &RunResult) -> String {
    let defaults = result.assumptions.iter().filter(|a| a.source != Source::Given);
    let named: Vec<String> = defaults
        .clone()
        .filter(|a| MATTERING.contains(&a.path.as_str()))
        .map(|a| format!("{} = {}", a.path, a.value))
        .collect();
    let of =
        if named.is_empty() { String::new() } else { format!("; those that matter: {}", named.join(", ")) };
    paragraph("defaults", &format!("{} values were not given{of}", defaults.count()))
}
