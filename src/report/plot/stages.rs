//! Where a step's seconds go: one bar a side, its parts the stages on the critical path.

use super::Size;
use super::frame::{Frame, Scale};
use super::pen::{Anchor, Paint, cut, picture, width_of};
use crate::result::{Arm, RunResult};

/// Parts of an arm's mean step.
fn parts(arm: &Arm) -> Vec<f64> {
    let mut parts = arm.exposed_s.stages.to_array().to_vec();
    parts.push(arm.exposed_s.idle);
    parts
}

pub(in crate::report) fn stages(result: &RunResult, size: Size) -> String {
    let sides = [("baseline", &result.baseline), ("forecast", &result.forecast)];
    let longest = sides.iter().map(|(_, arm)| parts(arm).iter().sum::<f64>()).fold(0.0, f64::max);
    let height = 150.0;
    let labels = width_of("baseline");
    let x = Scale::linear(0.0, longest * 1.02, size.pick(8, 4));
    let frame = Frame::new(size.width(), height, labels, x, Scale::with_ticks(0.0, 2.0, Vec::new()));
    let description = "Two stacked bars of seconds a step by stage; the figures are in the table below.";
    picture(size.width(), height, "Seconds a step by stage", description, |pen| {
        frame.draw(pen, "seconds a step, means", "");
        for (row, (name, arm)) in sides.iter().enumerate() {
            let (top, bottom) = (1.85 - row as f64, 1.15 - row as f64);
            pen.text(
                (frame.left() - 6.0, frame.py(f64::midpoint(top, bottom))),
                name,
                Anchor::End,
                Paint::Ink,
            );
            let mut start = 0.0;
            for (stage, seconds) in parts(arm).into_iter().enumerate() {
                let paint = Paint::Series(stage as u8 + 2);
                pen.rectangle(frame.at(start, top), frame.at(start + seconds, bottom), paint, 1.0);
                start += seconds;
            }
            let text = cut(&format!("{start:.1} s"), 12);
            let end = frame.px(start);
            let inside = end + width_of(&text) + 6.0 > frame.right();
            let (at, anchor) =
                if inside { (frame.right() + 10.0, Anchor::End) } else { (end + 5.0, Anchor::Start) };
            let height = if inside { frame.py(top) - 7.0 } else { frame.py(f64::midpoint(top, bottom)) };
            pen.text((at, height), &text, anchor, Paint::Ink);
        }
    })
}
