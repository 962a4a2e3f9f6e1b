//! Sections on RL steps in a row: what running ahead does to the samples, how steps follow each other, the whole run.

use std::fmt::Write as _;

use super::figures::{percent, seconds, usd};
use super::html::{Table, figure, paragraph};
use super::plot::{self, BASELINE, FORECAST, GENERATION, Lines, TRAINER};
use super::{drafts, run};
use crate::math::Summary;
use crate::result::{Arm, LoopStats, RunResult, StepPoint};

/// RL steps that are drawn one below the other.
const ROWS: usize = 12;

/// Whether samples come and go one by one, so that no rollout is one step's own.
pub(super) fn streamed(result: &RunResult) -> bool {
    result.resolved.cycle.mode.feeds_back()
}

/// Whether generation runs ahead of training on some side, or throws something away.
pub(super) fn runs_ahead(result: &RunResult) -> bool {
    [&result.baseline, &result.forecast].iter().any(|arm| {
        let stats = &arm.loop_stats;
        stats.staleness_max > 0 || stats.wasted_token_share > 0.0 || stats.wasted_prompts_per_trained > 0.0
    })
}

/// Staleness, waste and bias.
pub(super) fn ahead(result: &RunResult) -> String {
    let (off, on) = (&result.baseline.loop_stats, &result.forecast.loop_stats);
    let mut text = format!(
        "Generation runs ahead of training: a trained sample's weights lag {:.2} RL steps on average, {} at most (baseline {:.2} and {}).",
        on.staleness_mean, on.staleness_max, off.staleness_mean, off.staleness_max
    );
    if on.wasted_token_share > 0.0 || off.wasted_token_share > 0.0 {
        _ = write!(
            text,
            " {} of the generated tokens are thrown away (baseline {}).",
            percent(on.wasted_token_share),
            percent(off.wasted_token_share)
        );
    }
    let mut table = Table::new(
        "What running ahead costs and gives, first draw at nominal costs; the price over all draws and worlds",
        &["", "baseline", "forecast"],
    );
    let mut row = |what: &str, of: &dyn Fn(&LoopStats) -> String| {
        table.row([what.to_owned(), of(off), of(on)]);
    };
    row("mean staleness, RL steps", &|s| format!("{:.2}", s.staleness_mean));
    row("largest staleness, RL steps", &|s| s.staleness_max.to_string());
    row("tokens thrown away", &|s| percent(s.wasted_token_share));
    row("prompts thrown away for each trained", &|s| format!("{:.3}", s.wasted_prompts_per_trained));
    row("of them without signal", &|s| format!("{:.3}", s.filtered_prompts_per_trained));
    row("mean trained response, tokens", &|s| format!("{:.0}", s.trained_response_mean));
    row("mean started response, tokens", &|s| format!("{:.0}", s.started_response_mean));
    row("trained against started length", &|s| format!("{:+.1} %", 100.0 * s.length_bias));
    row("engines work", &|s| percent(s.engine_busy_share));
    row("the trainer computes", &|s| percent(s.trainer_busy_share));
    if on.usd_per_trained_prompt.median > 0.0 {
        row("$ for each trained prompt", &|s| usd(s.usd_per_trained_prompt.median));
        row("5-95 %", &|s| band(&s.usd_per_trained_prompt));
    }
    let names = run::sides(result);
    let mut shares = Table::new("Trained samples by staleness", &["RL steps", "baseline", "forecast"]);
    let lags = off.staleness_shares.len().max(on.staleness_shares.len());
    let share = |stats: &LoopStats, lag: usize| {
        stats.staleness_shares.get(lag).map_or_else(|| "-".to_owned(), |share| percent(*share))
    };
    for lag in 0..lags {
        shares.row([lag.to_string(), share(off, lag), share(on, lag)]);
    }
    paragraph(&text)
        + &table.html()
        + &figure(&run::legend(&names), "RL steps that are counted, first draw.", |size| {
            plot::staleness(result, size)
        })
        + &shares.html()
}

fn band(summary: &Summary) -> String {
    format!("{} - {}", usd(summary.p05), usd(summary.p95))
}

/// Whether RL steps in a row tell anything: of two in turns a line says nothing.
pub(super) fn tells_of_steps(result: &RunResult) -> bool {
    let steps = result.forecast.rl_steps.len();
    steps > 2 || steps > 1 && runs_ahead(result)
}

/// How RL steps follow each other.
pub(super) fn steps(result: &RunResult) -> String {
    let names = run::sides(result);
    let mut html = String::new();
    if streamed(result) || result.forecast.loop_stats.staleness_max > 0 {
        let warmup = result.resolved.warmup_steps as usize;
        let rows = &result.forecast.rl_steps[warmup.min(result.forecast.rl_steps.len() - 1)..];
        let rows = &rows[..rows.len().min(ROWS)];
        html += &figure(
            &[(GENERATION, "generation, first start to last end"), (TRAINER, "log-probs and training")],
            "The forecast's first RL steps that count, first draw, nominal costs. Where a bar begins before the one above it ends, generation runs ahead.",
            |size| plot::waterfall(rows, size),
        );
    }
    let of = |arm: &Arm, y: fn(&StepPoint) -> f64| -> Vec<(f64, f64)> {
        arm.rl_steps.iter().map(|step| (f64::from(step.rl_step), y(step))).collect()
    };
    let both = |y| vec![(BASELINE, of(&result.baseline, y)), (FORECAST, of(&result.forecast, y))];
    let mut lines = |title, y_title, from, series: Vec<_>| {
        let keys: Vec<(u8, &str)> =
            run::legend(&names).into_iter().filter(|(key, _)| series.iter().any(|(s, _)| s == key)).collect();
        let description = format!("{y_title} by RL step, first draw, nominal costs.");
        let data = Lines {
            title,
            description: &description,
            axes: ("RL step", y_title),
            from,
            stepped: false,
            series,
        };
        html += &figure(&keys, title, |size| plot::lines(&data, size));
    };
    lines("Seconds of each RL step", "seconds a step", 0.0, both(|step| step.step_s));
    let drafting: Vec<(u8, Vec<(f64, f64)>)> = [(BASELINE, &result.baseline), (FORECAST, &result.forecast)]
        .into_iter()
        .filter(|(_, arm)| drafts(arm))
        .map(|(series, arm)| (series, of(arm, |step| step.acceptance_length)))
        .collect();
    if !drafting.is_empty() {
        lines("Acceptance length of each RL step", "acceptance length", 1.0, drafting);
    }
    if streamed(result) {
        let series = both(|step| step.running_mean);
        lines("Sequences that decode at once, all replicas", "running sequences", 0.0, series);
    }
    html + &table(result).tall().html()
}

fn table(result: &RunResult) -> Table {
    let (off, on) = (&result.baseline.rl_steps, &result.forecast.rl_steps);
    let mut table = Table::new(
        "First draw, nominal costs; running sequences are means over engine iterations",
        &[
            "RL step",
            "baseline, s",
            "forecast, s",
            "acceptance length",
            "staleness",
            "largest",
            "running, baseline",
            "running, forecast",
        ],
    );
    for (before, after) in off.iter().zip(on) {
        table.row([
            after.rl_step.to_string(),
            seconds(before.step_s),
            seconds(after.step_s),
            format!("{:.2}", after.acceptance_length),
            format!("{:.2}", after.staleness_mean),
            after.staleness_max.to_string(),
            format!("{:.1}", before.running_mean),
            format!("{:.1}", after.running_mean),
        ]);
    }
    table
}

/// The whole run that was asked about; none where it was not.
pub(super) fn whole_run(result: &RunResult) -> Option<String> {
    let whole = result.whole_run.as_ref()?;
    let mut table = Table::new(
        &format!("{} RL steps, start-up, evaluations and checkpoints included", whole.rl_steps),
        &["", "baseline", "5-95 %", "forecast", "5-95 %"],
    );
    let hours = |s: &Summary| [format!("{:.1}", s.median), format!("{:.1} - {:.1}", s.p05, s.p95)];
    let money = |s: &Summary| [usd(s.median), band(s)];
    let row = |what: &str, a: [String; 2], b: [String; 2]| {
        std::iter::once(what.to_owned()).chain(a).chain(b).collect::<Vec<_>>()
    };
    table.row(row("hours", hours(&whole.baseline_hours), hours(&whole.forecast_hours)));
    if whole.baseline_usd.median > 0.0 {
        table.row(row("$", money(&whole.baseline_usd), money(&whole.forecast_usd)));
    }
    let payback = whole.payback_steps.filter(|steps| *steps > 0.0).map(|steps| {
        format!(
            "The drafter has paid for its training after {steps:.0} RL steps, at mean seconds and prices."
        )
    });
    Some(table.html() + &payback.map_or_else(String::new, |text| paragraph(&text)))
}
