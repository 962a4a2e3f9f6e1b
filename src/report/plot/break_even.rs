//! Break-even acceptance length by batch, and the run's own: where the line is above the curve, drafting pays.

use super::frame::{Frame, Scale};
use super::pen::{Paint, picture};
use super::{FORECAST, MARK, Size};
use crate::result::RunResult;

pub(in crate::report) fn break_even(result: &RunResult, size: Size) -> String {
    let rows = &result.break_even;
    let own = result.forecast.acceptance_length;
    let log = |batch: u32| libm::log2(f64::from(batch.max(1)));
    let last = rows.last().map_or(1.0, |row| log(row.batch));
    let most = rows.iter().map(|row| row.acceptance_length).fold(own, f64::max);
    let ticks = rows.iter().map(|row| (log(row.batch), row.batch.to_string())).collect();
    let height = size.pick(260.0, 230.0);
    let x = Scale::with_ticks(0.0, last.max(1.0), ticks);
    let frame = Frame::fitted(size, height, x, Scale::linear(1.0, most * 1.06, 5));
    let description = "Acceptance length at which drafting breaks even, by batch, beside the acceptance length of this run.";
    picture(size.width(), height, "Break-even by batch", description, |pen| {
        frame.draw(pen, "sequences on one replica", "acceptance length");
        pen.line(&[frame.at(0.0, own), frame.at(last.max(1.0), own)], Paint::Series(FORECAST), 2.0);
        let curve: Vec<(f64, f64)> =
            rows.iter().map(|row| frame.at(log(row.batch), row.acceptance_length)).collect();
        pen.line(&curve, Paint::Series(MARK), 2.0);
        for at in curve {
            pen.circle(at, 3.5, Paint::Series(MARK), 1.0);
        }
    })
}
