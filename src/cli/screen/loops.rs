//! The lines of a loop that runs ahead or throws away, of a drafter that is trained, and of a whole run.

use std::fmt::Write as _;

use super::{paragraph, seconds, usd};
use crate::report::alone;
use crate::result::{LoopStats, RunResult, UpdateInterval, WholeRun};

pub(super) fn lines(result: &RunResult) -> String {
    let mut text = String::new();
    let mode = &result.resolved.cycle.mode;
    if mode.feeds_back() || result.resolved.cycle.max_staleness > 0 {
        text += &paragraph("loop", &stats(result));
    }
    if let Some(interval) = &result.update_interval {
        text += &paragraph("drafter", &training(interval));
    }
    if let Some(run) = &result.whole_run {
        text += &paragraph("whole run", &whole(run, alone(result)));
    }
    text
}

fn stats(result: &RunResult) -> String {
    let (off, on) = (&result.baseline.loop_stats, &result.forecast.loop_stats);
    let beside = |of: fn(&LoopStats) -> String| {
        if alone(result) { String::new() } else { format!(" (baseline {})", of(off)) }
    };
    let lag: fn(&LoopStats) -> String = |s| format!("{:.2} RL steps", s.staleness_mean);
    let busy: fn(&LoopStats) -> String =
        |s| format!("{:.0} % and {:.0} %", 100.0 * s.engine_busy_share, 100.0 * s.trainer_busy_share);
    let mut text = format!(
        "weights of a trained sample lag {}{}, {} at most; engines and trainer work {} of the time{}",
        lag(on),
        beside(lag),
        on.staleness_max,
        busy(on),
        beside(busy)
    );
    if on.wasted_prompts_per_trained > 0.0 {
        _ = write!(
            text,
            "; {:.1} % of response tokens are thrown away, {:.2} prompts for each that is trained",
            100.0 * on.wasted_token_share,
            on.wasted_prompts_per_trained
        );
    }
    if on.length_bias.abs() >= 0.005 {
        let way = if on.length_bias < 0.0 { "shorter" } else { "longer" };
        _ = write!(text, "; trained responses are {:.1} % {way} than all", 100.0 * on.length_bias.abs());
    }
    if on.usd_per_trained_prompt.mean > 0.0 {
        _ = write!(text, "; {} a trained prompt", usd(on.usd_per_trained_prompt.mean));
    }
    text
}

fn training(interval: &UpdateInterval) -> String {
    let every = |n: u32| if n == 1 { "every RL step".to_owned() } else { format!("every {n} RL steps") };
    let best = if interval.at_the_end_of_the_run {
        "least without any training inside this run".to_owned()
    } else {
        format!("least {}, {} s", every(interval.best_every), seconds(interval.best_seconds_per_step))
    };
    format!(
        "trained {}, {} s of the loop each; with what it loses between, {} s an RL step ({best})",
        every(interval.every),
        seconds(interval.update_s),
        seconds(interval.seconds_per_step)
    )
}

fn whole(run: &WholeRun, alone: bool) -> String {
    // One unit for all.
    let days = run.forecast_hours.mean >= 48.0;
    let of = |hours: f64| {
        if days { format!("{:.1} days", hours / 24.0) } else { format!("{hours:.1} hours") }
    };
    let cost =
        if run.forecast_usd.mean > 0.0 { format!(", {}", usd(run.forecast_usd.mean)) } else { String::new() };
    let mut text = format!(
        "{} RL steps in {} (5-95 %: {} - {}){cost}",
        run.rl_steps,
        of(run.forecast_hours.mean),
        of(run.forecast_hours.p05),
        of(run.forecast_hours.p95)
    );
    if !alone {
        _ = write!(text, "; baseline {}", of(run.baseline_hours.mean));
        if run.baseline_usd.mean > 0.0 {
            _ = write!(text, ", {}", usd(run.baseline_usd.mean));
        }
        match run.payback_steps {
            Some(steps) if steps > 0.0 => {
                _ = write!(text, "; the drafter has paid for itself after {steps:.0} RL steps");
            }
            Some(_) => {}
            None => text += "; the drafter never pays for itself",
        }
    }
    text
}
