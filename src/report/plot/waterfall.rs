//! RL steps one below the other: when the samples of each were generated, and when they were trained.

use super::Size;
use super::frame::{Frame, Scale};
use super::pen::{Anchor, Paint, picture, width_of};
use crate::result::StepPoint;

/// Series of generation and of the trainer: the colours that these stages have elsewhere.
pub(in crate::report) const GENERATION: u8 = 4;
pub(in crate::report) const TRAINER: u8 = 8;
/// Height of a row.
const ROW: f64 = 20.0;

pub(in crate::report) fn waterfall(steps: &[StepPoint], size: Size) -> String {
    let start = steps.iter().map(|step| step.generation_s[0]).fold(f64::INFINITY, f64::min);
    let end = steps.iter().map(|step| step.trainer_s[1]).fold(0.0, f64::max);
    let start = start.min(end);
    let rows = steps.len().max(1) as f64;
    let height = 76.0 + ROW * rows;
    let labels = width_of("step 999").min(size.pick(80.0, 60.0));
    let x = Scale::linear(0.0, (end - start) * 1.01, size.pick(8, 4));
    let frame = Frame::new(size.width(), height, labels, x, Scale::with_ticks(0.0, rows, Vec::new()));
    let description = "One row an RL step: when its samples were generated and when they were trained.";
    picture(size.width(), height, "RL steps over time", description, |pen| {
        frame.draw(pen, "seconds", "");
        for (place, step) in steps.iter().enumerate() {
            let (top, bottom) = (rows - place as f64 - 0.12, rows - place as f64 - 0.88);
            let middle = frame.py(f64::midpoint(top, bottom));
            pen.text(
                (frame.left() - 6.0, middle),
                &format!("step {}", step.rl_step),
                Anchor::End,
                Paint::Ink,
            );
            for (series, [from, to]) in [(GENERATION, step.generation_s), (TRAINER, step.trainer_s)] {
                let corners = (frame.at(from - start, top), frame.at(to - start, bottom));
                pen.rectangle(corners.0, corners.1, Paint::Series(series), 1.0);
            }
        }
    })
}
