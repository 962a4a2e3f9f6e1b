//! Plots as inline SVG, one a file: `fn(data, Size) -> String`.
//!
//! `plotters` draws shapes and text; `pen` is the only file that names it. Coordinates of its SVG are whole numbers, so
//! everything is drawn at four times its size and scaled by the view box; a font of its size 1.24 s is written as s.
//! Colours are drawn as code numbers and then replaced by CSS classes (`pen::finished`), so that one drawing serves light,
//! dark and print, and a series can be hidden. `frame` lays out axes. Each plot is drawn wide and narrow; the style sheet
//! shows the one that fits.

mod batch;
mod break_even;
mod frame;
mod heat;
mod lengths;
mod lines;
mod pareto;
mod pen;
mod stages;
mod staleness;
mod tail;
mod tornado;
mod waterfall;

pub(super) use batch::batch;
pub(super) use break_even::break_even;
pub(super) use heat::{GAIN, Heat, heat};
pub(super) use lengths::lengths;
pub(super) use lines::{Lines, lines};
pub(super) use pareto::{Dot, pareto};
pub(super) use stages::stages;
pub(super) use staleness::staleness;
pub(super) use tail::tail;
pub(super) use tornado::tornado;
pub(super) use waterfall::{GENERATION, TRAINER, waterfall};

/// How large a plot is drawn, in CSS pixels; its height may depend on what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// For screens and paper.
    Wide,
    /// For phones.
    Narrow,
}

impl Size {
    /// Width.
    fn width(self) -> f64 {
        match self {
            Size::Wide => 720.0,
            Size::Narrow => 340.0,
        }
    }

    /// One of two, by size.
    fn pick<T>(self, wide: T, narrow: T) -> T {
        match self {
            Size::Wide => wide,
            Size::Narrow => narrow,
        }
    }
}

/// The baseline's series.
pub(super) const BASELINE: u8 = 0;
/// The forecast's series.
pub(super) const FORECAST: u8 = 1;
/// What stands out: a break-even, a front, clipped samples.
pub(super) const MARK: u8 = 2;
