//! The batch of all replicas over one rollout: full, then draining.

use super::frame::{Frame, Scale};
use super::pen::{Paint, picture};
use super::{BASELINE, FORECAST, Size};
use crate::result::RunResult;

pub(in crate::report) fn batch(result: &RunResult, size: Size) -> String {
    let sides = [(BASELINE, &result.baseline), (FORECAST, &result.forecast)];
    let points = || sides.iter().flat_map(|(_, arm)| &arm.batch_over_time);
    let end = points().map(|point| point.seconds).fold(0.0, f64::max);
    let most = points().map(|point| f64::from(point.running)).fold(1.0, f64::max);
    let height = size.pick(280.0, 240.0);
    let x = Scale::linear(0.0, end, size.pick(8, 4));
    let frame = Frame::fitted(size, height, x, Scale::linear(0.0, most * 1.05, 5));
    let description =
        "Running sequences of all replicas against seconds since the start of one rollout, both sides.";
    picture(size.width(), height, "Batch over time", description, |pen| {
        frame.draw(pen, "seconds since the start of the rollout", "running sequences");
        for (series, arm) in sides {
            let line: Vec<(f64, f64)> = arm
                .batch_over_time
                .iter()
                .map(|point| frame.at(point.seconds, f64::from(point.running)))
                .collect();
            pen.line(&line, Paint::Series(series), 2.0);
        }
    })
}
