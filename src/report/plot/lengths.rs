//! Response lengths of one step, and which of them were cut at the maximum.

use super::frame::{Frame, Scale};
use super::pen::{Paint, picture};
use super::{FORECAST, MARK, Size};
use crate::result::RunResult;

pub(in crate::report) fn lengths(result: &RunResult, size: Size) -> String {
    let bins = &result.response_lengths;
    let end = bins.last().map_or(1.0, |bin| f64::from(bin.to));
    let most = bins.iter().map(|bin| f64::from(bin.samples)).fold(1.0, f64::max);
    let height = size.pick(240.0, 220.0);
    let x = Scale::linear(0.0, end, size.pick(8, 4));
    let frame = Frame::fitted(size, height, x, Scale::linear(0.0, most * 1.05, 4));
    let description =
        "Histogram of response lengths in tokens; samples that were cut at the maximum stand out.";
    picture(size.width(), height, "Response lengths", description, |pen| {
        frame.draw(pen, "response tokens", "samples of one step");
        for bin in bins {
            let (left, right) = (f64::from(bin.from.saturating_sub(1)), f64::from(bin.to));
            let gap = (right - left) * 0.06;
            let (whole, clipped) = (f64::from(bin.samples), f64::from(bin.clipped));
            let mut bar = |from: f64, to: f64, series: u8| {
                if to > from {
                    pen.rectangle(
                        frame.at(left + gap, to),
                        frame.at(right - gap, from),
                        Paint::Series(series),
                        1.0,
                    );
                }
            };
            bar(clipped, whole, FORECAST);
            bar(0.0, clipped, MARK);
        }
    })
}
