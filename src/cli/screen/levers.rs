//! The tables of `rollcast run --levers`: every remedy for the tail alone, and beside speculation.

use super::{numbers, paragraph, seconds};
use crate::result::{Lever, LeverSide, Levers};

/// Both tables, the best pair, and what could not be pulled.
pub(in crate::cli) fn levers(result: &Levers) -> String {
    let mut text = String::from("\n");
    text += &table("lever alone", ("none", &result.plain), &result.levers, |lever| lever.alone.as_ref());
    if let Some(speculation) = &result.speculation {
        text += "\n";
        text += &table("beside SD", ("SD alone", speculation), &result.levers, |lever| lever.beside.as_ref());
        text += "\n";
        text += &paragraph("best pair", &best(result, speculation));
    }
    for lever in &result.levers {
        if let Some(why) = &lever.why_not {
            text += &paragraph("not here", &format!("{}: {why}", lever.name));
        }
    }
    text + &paragraph(
        "read",
        "medians and 5-95 % on the same GPUs, in the same draws and worlds; x is the plain step over this one, paired. Of \
         several settings the fastest in the draw of best values is shown. `at N`: when N samples are left on all engines; \
         `sent`: with their KV cache, which is computed again otherwise. `known`: all lengths known, which no predictor does. \
         --format json has the overrides of each.",
    )
}

fn table<'a>(
    title: &str,
    (first, plain): (&str, &'a LeverSide),
    levers: &'a [Lever],
    of: impl Fn(&'a Lever) -> Option<&'a LeverSide>,
) -> String {
    let mut table = super::table(&[title, "step s", "5-95 %", "gen. s", "x", "trains on"]);
    let mut row = |name: String, side: &LeverSide, trains_on: &str| {
        let band = format!("{} - {}", seconds(side.step_s.p05), seconds(side.step_s.p95));
        table.add_row(vec![
            name,
            seconds(side.step_s.median),
            band,
            seconds(side.generation_s.median),
            format!("{:.2}", side.speedup.median),
            trains_on.to_owned(),
        ]);
    };
    row(first.to_owned(), plain, "");
    for lever in levers {
        if let Some(side) = of(lever) {
            let name = named(lever, side);
            row(name, side, lever.trains_on.label());
        }
    }
    numbers(&mut table, 1..=4);
    format!("{}\n", table.trim_fmt())
}

/// A lever with its setting.
fn named(lever: &Lever, side: &LeverSide) -> String {
    let comma = if side.setting.is_empty() { "" } else { ", " };
    format!("{}{comma}{}", lever.name, side.setting)
}

fn best(result: &Levers, speculation: &LeverSide) -> String {
    let of = |name: &str| {
        let lever = result.levers.iter().find(|lever| lever.name == name)?;
        let side = lever.beside.as_ref()?;
        Some(format!(
            "SD + {}: step {} s, {:.2}x ({:.2}-{:.2}), SD alone {:.2}x; trained: {}",
            named(lever, side),
            seconds(side.step_s.median),
            side.speedup.median,
            side.speedup.p05,
            side.speedup.p95,
            speculation.speedup.median,
            lever.trains_on.label(),
        ))
    };
    let none = "none is faster than SD alone";
    let (same, all) = (result.best_pair.as_deref(), result.best_pair_of_all.as_deref());
    let same_text = same.and_then(of).unwrap_or_else(|| format!("{none} without changing what is trained"));
    match all.filter(|_| all != same).and_then(of) {
        Some(changing) => format!("{same_text}. If what is trained may change: {changing}"),
        None => same_text,
    }
}
