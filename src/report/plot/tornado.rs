//! What moves the answer: the step's change with each uncertain input at its 5 % and 95 % value, largest first.

use super::frame::{Frame, Scale};
use super::pen::{Anchor, Paint, cut, picture, width_of};
use super::{BASELINE, FORECAST, Size};
use crate::result::RunResult;

/// Bars that are shown; the table has all.
const SHOWN: usize = 10;
/// Height of a bar with its gap.
const BAR: f64 = 24.0;

pub(in crate::report) fn tornado(result: &RunResult, size: Size) -> String {
    let rows: Vec<_> = result.sensitivity.iter().take(SHOWN).collect();
    let most = rows.iter().flat_map(|row| [row.low_s.abs(), row.high_s.abs()]).fold(1e-9, f64::max) * 1.05;
    let height = 70.0 + BAR * rows.len() as f64;
    let names: Vec<String> = rows.iter().map(|row| cut(&row.input, size.pick(34, 17))).collect();
    let labels = names.iter().map(|name| width_of(name)).fold(0.0, f64::max);
    let x = Scale::linear(-most, most, size.pick(8, 3));
    let y = Scale::with_ticks(0.0, rows.len().max(1) as f64, Vec::new());
    let frame = Frame::new(size.width(), height, labels, x, y);
    let description =
        "Change of the mean step when an input is at its 5 % and at its 95 % value, largest first.";
    picture(size.width(), height, "What moves the step", description, |pen| {
        frame.draw(pen, "change of the step, seconds", "");
        for (place, (row, name)) in rows.iter().zip(&names).enumerate() {
            let top = (rows.len() - place) as f64;
            let (top, bottom) = (top - 0.15, top - 0.85);
            pen.text(
                (frame.left() - 6.0, frame.py(f64::midpoint(top, bottom))),
                name,
                Anchor::End,
                Paint::Ink,
            );
            for (series, seconds) in [(BASELINE, row.low_s), (FORECAST, row.high_s)] {
                pen.rectangle(frame.at(0.0, top), frame.at(seconds, bottom), Paint::Series(series), 1.0);
            }
        }
        pen.line(
            &[(frame.px(0.0), frame.py(0.0)), (frame.px(0.0), frame.py(rows.len() as f64))],
            Paint::Muted,
            1.0,
        );
    })
}
