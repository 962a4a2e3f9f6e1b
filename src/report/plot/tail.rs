//! The long tail: how much of a rollout is done when.

use super::frame::{Frame, Scale};
use super::pen::{Anchor, Paint, picture};
use super::{BASELINE, FORECAST, Size};
use crate::result::RunResult;

/// Where the tail begins: its last 5 % of samples.
const TAIL: f64 = 0.95;

pub(in crate::report) fn tail(result: &RunResult, size: Size) -> String {
    let sides = [(BASELINE, &result.baseline), (FORECAST, &result.forecast)];
    let end =
        sides.iter().filter_map(|(_, arm)| arm.completions.last()).map(|c| c.seconds).fold(0.0, f64::max);
    let height = size.pick(260.0, 230.0);
    let percent = (0..=4).map(|i| (f64::from(i) * 0.25, format!("{} %", i * 25))).collect();
    let x = Scale::linear(0.0, end, size.pick(8, 4));
    let frame = Frame::fitted(size, height, x, Scale::with_ticks(0.0, 1.0, percent));
    let description =
        "Share of samples that are done against seconds since the start of one rollout, with a line at 95 %.";
    picture(size.width(), height, "Samples done over time", description, |pen| {
        frame.draw(pen, "seconds since the start of the rollout", "samples done");
        let level = frame.py(TAIL);
        pen.line(&[(frame.left(), level), (frame.right(), level)], Paint::Muted, 1.0);
        pen.text((frame.left() + 6.0, level + 10.0), "95 %", Anchor::Start, Paint::Muted);
        for (series, arm) in sides {
            let line: Vec<(f64, f64)> =
                arm.completions.iter().map(|c| frame.at(c.seconds, c.share)).collect();
            pen.line(&line, Paint::Series(series), 2.0);
            if let Some(at) = arm.completions.iter().find(|c| c.share >= TAIL) {
                pen.circle(frame.at(at.seconds, at.share), 4.0, Paint::Series(series), 1.0);
            }
        }
    })
}
