//! Numbers against time or RL steps, one line a series.

use super::Size;
use super::frame::{Frame, Scale};
use super::pen::{Paint, picture};

/// Points of a line that are marked one by one; more would run together.
const MARKED: usize = 40;

/// What is drawn.
#[derive(Debug, Clone)]
pub(in crate::report) struct Lines<'a> {
    /// For those who do not see it.
    pub(in crate::report) title: &'a str,
    /// The same in a sentence.
    pub(in crate::report) description: &'a str,
    /// Titles of the axes.
    pub(in crate::report) axes: (&'a str, &'a str),
    /// Where the upward axis begins.
    pub(in crate::report) from: f64,
    /// Over time, where values hold until the next one; else over RL steps.
    pub(in crate::report) stepped: bool,
    /// Series and their points, by rising x.
    pub(in crate::report) series: Vec<(u8, Vec<(f64, f64)>)>,
}

pub(in crate::report) fn lines(data: &Lines<'_>, size: Size) -> String {
    let points = || data.series.iter().flat_map(|(_, points)| points);
    let start = points().map(|at| at.0).fold(f64::INFINITY, f64::min);
    let end = points().map(|at| at.0).fold(f64::NEG_INFINITY, f64::max);
    let (start, end) = if start <= end { (start, end) } else { (0.0, 1.0) };
    let most = points().map(|at| at.1).fold(data.from, f64::max);
    let height = size.pick(220.0, 200.0);
    let ticks = if data.stepped { Scale::linear } else { Scale::whole };
    let x = ticks(start, end, size.pick(8, 4));
    let y = Scale::linear(data.from, data.from + (most - data.from) * 1.08, 4);
    let frame = Frame::fitted(size, height, x, y);
    picture(size.width(), height, data.title, data.description, |pen| {
        frame.draw(pen, data.axes.0, data.axes.1);
        for (series, points) in &data.series {
            let mut line: Vec<(f64, f64)> = Vec::new();
            for (x, y) in points {
                if data.stepped
                    && let Some((_, before)) = line.last().copied()
                {
                    line.push((frame.px(*x), before));
                }
                line.push(frame.at(*x, *y));
            }
            pen.line(&line, Paint::Series(*series), 2.0);
            if !data.stepped && points.len() <= MARKED {
                for at in &line {
                    pen.circle(*at, 3.0, Paint::Series(*series), 1.0);
                }
            }
        }
    })
}
