//! Time against money: every point of a sweep, and the front of those that no other beats in both.

use super::frame::{Frame, Scale};
use super::pen::{Paint, picture};
use super::{BASELINE, FORECAST, Size};

/// One point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::report) struct Dot {
    /// Seconds a step.
    pub(in crate::report) seconds: f64,
    /// USD a step.
    pub(in crate::report) usd: f64,
    /// The front that it is on: no other point with the same work is faster and cheaper.
    pub(in crate::report) front: Option<usize>,
}

pub(in crate::report) fn pareto(dots: &[Dot], size: Size) -> String {
    let range = |of: fn(&Dot) -> f64| {
        let (low, high) = dots
            .iter()
            .map(of)
            .fold((f64::INFINITY, 0.0), |(low, high), x| (f64::min(low, x), f64::max(high, x)));
        let margin = 0.05 * (high - low).max(high * 1e-3);
        ((low - margin).max(0.0), high + margin)
    };
    let (x, y) = (range(|dot| dot.seconds), range(|dot| dot.usd));
    let height = size.pick(320.0, 260.0);
    let frame =
        Frame::fitted(size, height, Scale::linear(x.0, x.1, size.pick(8, 4)), Scale::linear(y.0, y.1, 5));
    let description = "USD a step against seconds a step, one dot a point; the line joins those that no other beats in both.";
    picture(size.width(), height, "Time and money", description, |pen| {
        frame.draw(pen, "seconds a step", "USD a step");
        for dot in dots.iter().filter(|dot| dot.front.is_none()) {
            pen.circle(frame.at(dot.seconds, dot.usd), 3.0, Paint::Series(BASELINE), 0.7);
        }
        let mut front: Vec<&Dot> = dots.iter().filter(|dot| dot.front.is_some()).collect();
        front.sort_by(|a, b| a.front.cmp(&b.front).then(a.seconds.total_cmp(&b.seconds)));
        for same in front.chunk_by(|a, b| a.front == b.front) {
            let line: Vec<(f64, f64)> = same.iter().map(|dot| frame.at(dot.seconds, dot.usd)).collect();
            pen.line(&line, Paint::Series(FORECAST), 1.5);
            for at in line {
                pen.circle(at, 4.5, Paint::Series(FORECAST), 1.0);
            }
        }
    })
}
