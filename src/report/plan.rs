//! The page of a plan: what to run, what it costs, what stands beside it, and what would change it.

use super::figures::{percent, seconds, seconds_band, usd};
use super::html::{Table, card, code, escaped, figure, heading, list, paragraph};
use super::page;
use super::plot::{self, BASELINE, Dot, FORECAST};
use crate::study::plan::{Choice, Exceeded, PlanResult};

/// The page; `scenario` is the best plan's.
pub fn plan_page(result: &PlanResult, scenario: Option<&str>, command: &str) -> String {
    let sections: Vec<(&str, &str, String)> = vec![
        ("plan", "The plan", plan(result, scenario)),
        ("front", "Time and money", front(result)),
        ("runner-up", "The runner-up", runner_up(result)),
        ("changes", "If an input moves", changes(result)),
        ("left-out", "What was left out", left_out(result)),
        ("provenance", "Provenance", provenance(result, command)),
    ];
    page::page(&result.name, &headline(result), &sections)
}

fn headline(result: &PlanResult) -> String {
    let (lead, cards) = match (&result.best, &result.nearest) {
        (Some(best), _) => (best.title.clone(), cards(best)),
        (None, Some(near)) => {
            let over = |e: &Exceeded| format!("{} by {:.1} %", e.limit.kind.key(), 100.0 * (e.used - 1.0));
            let all: Vec<String> = near.exceeds.iter().map(over).collect();
            let lead = format!(
                "Nothing is within the limits; the closest, {}, exceeds {}",
                near.choice.title,
                all.join(" and ")
            );
            (lead, cards(&near.choice))
        }
        _ => ("No candidate can be simulated".to_owned(), String::new()),
    };
    format!(
        "<header>\n<h1>{}</h1>\n<p class=\"lead\">{}</p>\n<div class=\"cards\">\n{cards}</div>\n</header>\n",
        escaped(&result.name),
        escaped(&lead)
    )
}

fn cards(choice: &Choice) -> String {
    let band = |low: String, high: String| format!("{low} - {high} in 90 %");
    card(
        "seconds a step",
        &seconds(choice.step_s.mean),
        &band(seconds(choice.step_s.p05), seconds(choice.step_s.p95)),
    ) + &card(
        "USD a step",
        &usd(choice.usd_per_step.mean),
        &band(usd(choice.usd_per_step.p05), usd(choice.usd_per_step.p95)),
    ) + &card("GPUs", &choice.gpus.to_string(), &format!("{} a day", usd(choice.usd_per_day)))
        + &card(
            "P(best)",
            &format!("{:.2}", choice.p_best),
            &format!("{:.2} within the limits", choice.p_within),
        )
}

fn plan(result: &PlanResult, scenario: Option<&str>) -> String {
    let limits: Vec<String> =
        result.goal.subject_to.iter().map(|l| format!("{} {}", l.kind.key(), l.given)).collect();
    let key = serde_json::to_value(result.goal.minimise).unwrap_or_default();
    let mut html = paragraph(&format!(
        "Goal: least {}{}.",
        key.as_str().unwrap_or_default(),
        if limits.is_empty() { String::new() } else { format!(" within {}", limits.join(", ")) }
    ));
    if let Some(text) = scenario {
        html += &paragraph("As a scenario:");
        html += &code(text);
    }
    html + &choices("All that were simulated in full, best first", &result.finalists).filtered().tall().html()
}

fn choices(caption: &str, all: &[Choice]) -> Table {
    let head = [
        "plan",
        "step s",
        "5-95 %",
        "$ a step",
        "GPUs",
        "lag",
        "mean lag",
        "generation s",
        "training s",
        "engines work",
        "trainer works",
        "P(within)",
        "P(best)",
    ];
    let mut table = Table::new(caption, &head);
    for choice in all {
        table.row([
            choice.title.clone(),
            seconds(choice.step_s.mean),
            seconds_band(&choice.step_s),
            usd(choice.usd_per_step.mean),
            choice.gpus.to_string(),
            choice.max_staleness.to_string(),
            format!("{:.2}", choice.staleness_mean),
            seconds(choice.exposed_s.stages.generation),
            seconds(choice.exposed_s.stages.training),
            percent(choice.engine_busy_share),
            percent(choice.trainer_busy_share),
            format!("{:.2}", choice.p_within),
            format!("{:.2}", choice.p_best),
        ]);
    }
    table
}

fn front(result: &PlanResult) -> String {
    let dots: Vec<Dot> = result
        .finalists
        .iter()
        .filter(|choice| choice.rank.is_some())
        .map(|choice| Dot {
            seconds: choice.step_s.mean,
            usd: choice.usd_per_step.mean,
            front: choice.on_front.then_some(0),
        })
        .collect();
    if dots.is_empty() {
        return paragraph("Nothing is within the limits.");
    }
    figure(
        &[(FORECAST, "no other plan is at least as good in step, USD, GPUs and lag"), (BASELINE, "others")],
        "Means over draws and worlds. Some of the front look beaten here: they have fewer GPUs, or lag less.",
        |size| plot::pareto(&dots, size),
    ) + &choices("The front, fastest first", &result.front).html()
}

fn runner_up(result: &PlanResult) -> String {
    let Some(second) = &result.runner_up else { return paragraph("There is none.") };
    let mut html = paragraph(&format!(
        "{}: {}. It is better in {} of draws and worlds.",
        second.choice.title,
        second.why,
        percent(second.p_better)
    ));
    if result.measure.is_empty() {
        return html;
    }
    html += &heading("What to measure to decide between the two");
    let items: Vec<String> = result
        .measure
        .iter()
        .map(|m| format!("{}, {} of the variance of their difference: {}", m.input, percent(m.share), m.how))
        .collect();
    html + &list(items.iter().map(String::as_str))
}

fn changes(result: &PlanResult) -> String {
    if result.changes.is_empty() {
        return paragraph("Nothing is within the limits.");
    }
    let mut table = Table::new(
        "The best plan with one input moved; before is the plan above",
        &["input", "best plan", "step s", "$ a step", "before, step s", "before, $ a step"],
    );
    for change in &result.changes {
        let best = if change.same { "the same".to_owned() } else { change.best.clone() };
        table.row([
            change.what.clone(),
            best,
            seconds(change.step_s),
            usd(change.usd_per_step),
            seconds(change.before_step_s),
            usd(change.before_usd_per_step),
        ]);
    }
    let mut html = table.html();
    if !result.other_kinds.is_empty() {
        let mut kinds = Table::new(
            "Prices at which another kind of GPU wins",
            &[
                "plan",
                "whose price",
                "against",
                "ratio now",
                "wins",
                "at a ratio of",
                "USD for one GPU and hour",
            ],
        );
        for other in &result.other_kinds {
            let or = |value: Option<f64>| value.map_or_else(|| "no price".to_owned(), |v| format!("{v:.2}"));
            kinds.row([
                other.plan.clone(),
                other.device.clone(),
                other.against.clone(),
                format!("{:.2}", other.price_ratio_now),
                if other.wins_below { "below" } else { "above" }.to_owned(),
                or(other.price_ratio),
                or(other.usd_per_gpu_hour),
            ]);
        }
        html += &kinds.html();
    }
    html
}

fn left_out(result: &PlanResult) -> String {
    let mut table =
        Table::new("Candidates that were not simulated in full", &["reason", "candidates", "the first"]);
    for reason in &result.left_out {
        table.row([reason.reason.clone(), reason.count.to_string(), reason.example.clone()]);
    }
    let [first, second, last] = result.simulated;
    paragraph(&format!(
        "{} candidates; simulated {first} at one draw, {second} at two, {last} in full.",
        result.candidates
    )) + &table.html()
}

fn provenance(result: &PlanResult, command: &str) -> String {
    let mut html = paragraph(&format!("Rollcast {}.", env!("CARGO_PKG_VERSION")));
    html += &list(result.notes.iter().map(String::as_str));
    html += &paragraph("Choices that were searched:");
    let items: Vec<String> =
        result.choices.iter().map(|(column, values)| format!("{column}: {}", values.join(", "))).collect();
    html += &list(items.iter().map(String::as_str));
    html + &paragraph("To make this again:") + &code(command)
}
