//! What the terminal shows of a plan: the best one, what stands beside it, what would change it, what was left out.

use std::fmt::Write as _;

use super::{numbers, paragraph, seconds, table, usd, wrap_last};
use crate::study::plan::{Choice, LimitKind, OtherKind, PlanResult};

/// Rows that are shown of the front, and candidates of an explanation.
const SHOWN: usize = 12;

/// The screen of a plan.
pub(in crate::cli) fn plan(result: &PlanResult) -> String {
    let mut text = format!("{}\n\n", result.name);
    text += &paragraph("GOAL", &goal(result));
    match (&result.best, &result.nearest) {
        (Some(best), _) => {
            text += &paragraph("PLAN", &best.title);
            text += &paragraph("", &figures(best));
            text += &paragraph("", &stages(best));
        }
        (None, Some(near)) => {
            text += &paragraph("NO PLAN", "nothing is within the limits");
            text += &paragraph("closest", &near.choice.title);
            text += &paragraph("", &figures(&near.choice));
            for exceeded in &near.exceeds {
                text += &paragraph(
                    "",
                    &format!(
                        "{} of {} is exceeded by {:.1} %: this one needs {}",
                        exceeded.limit.kind.key(),
                        plain(exceeded.limit.given),
                        100.0 * (exceeded.used - 1.0),
                        limit(exceeded.limit.kind, exceeded.needed),
                    ),
                );
            }
        }
        (None, None) => text += &paragraph("NO PLAN", "no candidate can be simulated"),
    }
    if let Some(second) = &result.runner_up {
        text += &paragraph("runner-up", &format!("{}: {}", second.choice.title, second.why));
        text += &paragraph("", &format!("better in {:.0} % of draws and worlds", 100.0 * second.p_better));
    }
    if !result.measure.is_empty() {
        let all: Vec<String> = result
            .measure
            .iter()
            .map(|m| {
                format!("{} ({:.0} % of their difference's variance): {}", m.input, 100.0 * m.share, m.how)
            })
            .collect();
        text += &paragraph("measure", &format!("to decide between the two: {}", all.join("; ")));
    }
    text += &front(&result.front);
    text += &changes(result);
    for other in &result.other_kinds {
        text += &paragraph("prices", &other_kind(other));
    }
    text += &paragraph("searched", &searched(result));
    for reason in &result.left_out {
        text += &paragraph("", &format!("{} {}; the first: {}", reason.count, reason.reason, reason.example));
    }
    for note in &result.notes {
        text += &paragraph("note", note);
    }
    text
}

fn plain(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value}") }
}

fn limit(kind: LimitKind, value: f64) -> String {
    match kind {
        LimitKind::StepS => format!("{} s", seconds(value)),
        LimitKind::UsdPerStep | LimitKind::UsdPerDay => usd(value),
        LimitKind::StepsPerDay => format!("{value:.1}"),
        LimitKind::Gpus | LimitKind::MaxStaleness => format!("{value:.0}"),
    }
}

fn goal(result: &PlanResult) -> String {
    let key = serde_json::to_value(result.goal.minimise).unwrap_or_default();
    let mut text = format!("least {}", key.as_str().unwrap_or_default());
    let limits: Vec<String> =
        result.goal.subject_to.iter().map(|l| format!("{} {}", l.kind.key(), plain(l.given))).collect();
    if !limits.is_empty() {
        text = format!(
            "{text} within {} in {:.0} % of draws and worlds",
            limits.join(", "),
            100.0 * result.goal.p
        );
    }
    text
}

fn figures(choice: &Choice) -> String {
    format!(
        "step {} s ({} - {}), {} a step ({} - {}), {} GPUs, {:.0} steps and {} a day; P(best) {:.2}, P(within limits) {:.2}",
        seconds(choice.step_s.mean),
        seconds(choice.step_s.p05),
        seconds(choice.step_s.p95),
        usd(choice.usd_per_step.mean),
        usd(choice.usd_per_step.p05),
        usd(choice.usd_per_step.p95),
        choice.gpus,
        choice.steps_per_day,
        usd(choice.usd_per_day),
        choice.p_best,
        choice.p_within,
    )
}

fn stages(choice: &Choice) -> String {
    let s = &choice.exposed_s.stages;
    format!(
        "exposed: generation {} s, training {} s, log-probs {} s, weights and wake {} s, rest {} s; engines work {:.0} % of the time, trainer {:.0} %",
        seconds(s.generation),
        seconds(s.training),
        seconds(s.logprob_old + s.logprob_reference),
        seconds(s.prepare),
        seconds(s.data + s.reward + choice.exposed_s.idle),
        100.0 * choice.engine_busy_share,
        100.0 * choice.trainer_busy_share,
    )
}

fn front(front: &[Choice]) -> String {
    if front.is_empty() {
        return String::new();
    }
    let mut shown = table(&["step s", "5-95 %", "$ a step", "GPUs", "lag", "P(best)", "plan"]);
    // The best must be among them: evenly over the front where it is longer.
    let step = front.len().div_ceil(SHOWN);
    for (at, choice) in front.iter().enumerate() {
        if at % step != 0 && choice.rank != Some(1) {
            continue;
        }
        let mark = if choice.rank == Some(1) { "* " } else { "" };
        shown.add_row(vec![
            seconds(choice.step_s.mean),
            format!("{} - {}", seconds(choice.step_s.p05), seconds(choice.step_s.p95)),
            usd(choice.usd_per_step.mean),
            choice.gpus.to_string(),
            choice.max_staleness.to_string(),
            format!("{:.2}", choice.p_best),
            format!("{mark}{}", choice.title),
        ]);
    }
    numbers(&mut shown, 0..=5);
    wrap_last(&mut shown);
    let all = if step > 1 {
        format!(" ({} plans: one of {step} and the best)", front.len())
    } else {
        String::new()
    };
    format!("\nfront: nothing is at least as good in step, $, GPUs and lag{all}\n{}\n\n", shown.trim_fmt())
}

fn changes(result: &PlanResult) -> String {
    let mut text = String::new();
    let moved: Vec<String> = result
        .changes
        .iter()
        .filter(|change| !change.same)
        .map(|change| {
            format!(
                "{}: {} ({} s, {}; the plan above {} s, {})",
                change.what,
                change.best,
                seconds(change.step_s),
                usd(change.usd_per_step),
                seconds(change.before_step_s),
                usd(change.before_usd_per_step)
            )
        })
        .collect();
    for line in &moved {
        text += &paragraph("if", line);
    }
    let same: Vec<&str> = result.changes.iter().filter(|c| c.same).map(|c| c.what.as_str()).collect();
    if !same.is_empty() {
        text += &paragraph("same if", &same.join(", "));
    }
    text
}

/// One sentence on a kind of GPU.
pub(in crate::cli) fn other_kind(other: &OtherKind) -> String {
    let side = if other.wins_below { "below" } else { "above" };
    match (other.price_ratio, other.usd_per_gpu_hour) {
        (Some(ratio), Some(price)) => format!(
            "{} wins where {} costs {side} {ratio:.2} times {} (now {:.2}), {} an hour",
            other.plan,
            other.device,
            other.against,
            other.price_ratio_now,
            usd(price)
        ),
        _ => format!("{} wins at no price of {}", other.plan, other.device),
    }
}

fn searched(result: &PlanResult) -> String {
    let [first, second, last] = result.simulated;
    format!(
        "{} candidates; simulated {first} at one draw, {second} at two, {last} in full",
        result.candidates
    )
}

/// What became of candidates.
pub(in crate::cli) fn explained(all: &[(usize, String, String)]) -> String {
    let mut text = format!("\n{} candidates are meant\n", all.len());
    for (candidate, title, fate) in all.iter().take(SHOWN) {
        text += &paragraph(&candidate.to_string(), &format!("{title}: {fate}"));
    }
    if all.len() > SHOWN {
        _ = writeln!(text, "... and {} more; --out DIR writes all into plan.csv", all.len() - SHOWN);
    }
    text
}
