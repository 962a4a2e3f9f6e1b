//! What kernels and forecasts must reach to be taken for what engines run, and whether they did.
//!
//! Bars of bandwidth are shares of the run's own copy of 4 GB. They come from what FlashAttention-3 and cuBLAS reach
//! on the same chip in public tables (aiconfigurator 095f58a). A kernel that misses its bar keeps its row.

use std::fmt::Write as _;

use super::forecast::Frozen;
use super::outcome::Measured;
use super::plan::Family;
use super::work::{Mask, Work};

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// Of what.
    pub what: String,
    /// What it should be.
    pub bar: String,
    /// What it is; nothing where no row shows it.
    pub found: Option<String>,
    /// Whether it is met.
    pub met: Option<bool>,
}

/// All bars. `first` holds the ceilings, `stepped` the whole steps; seconds are those that were taken and given.
pub fn table(
    first: &[Measured],
    rows: &[Measured],
    stepped: &[Measured],
    frozen: &Frozen,
    works: &[Work],
    (seconds, budget_s): (f64, f64),
) -> Vec<Bar> {
    let rate = |row: &Measured| row.point.work.bytes() / row.spread.median;
    // The best of the large ones: the first of all may have found the clock still rising.
    let large = |work: &Work| matches!(work, Work::Copy { bytes } if *bytes >= 1_000_000_000);
    let copies = first.iter().chain(rows).filter(|row| large(&row.point.work)).map(rate);
    let copy = copies.max_by(f64::total_cmp);
    // Share of the copy bandwidth: the median of the rows.
    let share = |wanted: &dyn Fn(&Work) -> bool| {
        let shares = rows.iter().filter(|row| wanted(&row.point.work)).map(|row| Some(rate(row) / copy?));
        median(shares.collect::<Option<Vec<f64>>>()?)
    };
    let cache = |work: &Work| match work {
        Work::Attention { mask: Mask::Chain, heads: [h, kv], batch, queries, context, page: 16 }
            if queries * h / kv <= 64 =>
        {
            Some(4.0 * 128.0 * (batch * kv * context) as f64)
        }
        _ => None,
    };
    let between = |low: f64, high: f64| {
        move |work: &Work| cache(work).is_some_and(|bytes| (low..high).contains(&bytes))
    };
    let smallest = rows
        .iter()
        .filter(|row| cache(&row.point.work).is_some())
        .map(|row| row.spread.median)
        .min_by(f64::total_cmp);
    let percent = |x: f64| format!("{:.1} %", 100.0 * x);
    let least = |what: &str, bar: f64, found: Option<f64>| Bar {
        what: what.to_owned(),
        bar: format!(">= {:.0} % of copy bandwidth", 100.0 * bar),
        found: found.map(percent),
        met: found.map(|found| found >= bar),
    };
    let most = |what: &str, bar: f64, unit: &str, scale: f64, found: Option<f64>| Bar {
        what: what.to_owned(),
        bar: format!("<= {bar} {unit}"),
        found: found.map(|found| format!("{:.2} {unit}", scale * found)),
        met: found.map(|found| scale * found <= bar),
    };
    let memory = |family| move |row: &&Measured| row.point.family == family && row.point.work.bytes() >= 64e6;
    let of_family = |family| {
        let shares = rows.iter().filter(memory(family)).map(|row| Some(rate(row) / copy?));
        median(shares.collect::<Option<Vec<f64>>>()?)
    };
    let (errors, ratios) = errors(stepped, frozen, works);
    vec![
        least(
            "verify attention, rows <= 64, cache of 540 MB and more",
            0.85,
            share(&between(530e6, f64::INFINITY)),
        ),
        least("verify attention, rows <= 64, cache of 268 MB", 0.75, share(&between(230e6, 300e6))),
        most("verify attention, smallest", 8.0, "us", 1e6, smallest),
        least("norms, rotary embedding, activation at 64 MB and more", 0.85, of_family(Family::Elementwise)),
        least("sampling and verification at 64 MB and more", 0.85, of_family(Family::Sampling)),
        most("whole steps, median error of the forecast", 6.0, "%", 100.0, median(errors)),
        most("verify over decode, median error of the ratio", 5.0, "%", 100.0, median(ratios)),
        most("the whole run", budget_s, "s", 1.0, Some(seconds)),
    ]
}

/// |forecast / measured - 1| of steps, and of the ratio of verify steps to the decode step of the same batch and context.
fn errors(stepped: &[Measured], frozen: &Frozen, works: &[Work]) -> (Vec<f64>, Vec<f64>) {
    let mut errors = Vec::new();
    let mut ratios = Vec::new();
    let mut decode: Option<(f64, f64)> = None;
    for (work, forecast) in works.iter().zip(&frozen.seconds) {
        let Work::Step { name, .. } = work else { continue };
        let measured = stepped.iter().find(|row| row.point.work == *work).map(|row| row.spread.median);
        let is_decode = name.contains("queries 1 ");
        let (Some(forecast), Some(measured)) = (*forecast, measured) else {
            // A verify step must not be compared with an earlier batch's decode step.
            if is_decode {
                decode = None;
            }
            continue;
        };
        errors.push((forecast / measured - 1.0).abs());
        if is_decode {
            decode = Some((forecast, measured));
        } else if let Some((f, m)) = decode.filter(|_| name.contains("queries")) {
            ratios.push((forecast / f / (measured / m) - 1.0).abs());
        }
    }
    (errors, ratios)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    (!values.is_empty()).then(|| crate::math::quantile_sorted(&values, 0.5))
}

/// For the terminal.
pub fn text(bars: &[Bar]) -> String {
    let mut text = format!("{:<56} {:<28} {:<10}\n", "bar", "asked", "found");
    for bar in bars {
        let found = bar.found.as_deref().unwrap_or("-");
        let met = if bar.met == Some(false) { "  MISSED" } else { "" };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{:<56} {:<28} {found:<10}{met}", bar.what, bar.bar);
    }
    text
}
