//! Axes: from numbers to pixels, with a grid at round values.

use super::Size;
use super::pen::{Anchor, Paint, Pen, TEXT, width_of};

/// A span of numbers and the ones that are written beside it.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    from: f64,
    to: f64,
    ticks: Vec<(f64, String)>,
}

impl Scale {
    /// From `from` to `to` with about `count` round ticks; never empty.
    pub(super) fn linear(from: f64, to: f64, count: usize) -> Self {
        Self::stepped(from, to, count, 0.0)
    }

    /// The same of whole numbers.
    pub(super) fn whole(from: f64, to: f64, count: usize) -> Self {
        Self::stepped(from, to, count, 1.0)
    }

    fn stepped(from: f64, to: f64, count: usize, least: f64) -> Self {
        let (from, to) = wide_enough(from, to);
        let step = round_step((to - from) / count.max(1) as f64).max(least);
        let first = (from / step).ceil() as i64;
        let last = (to / step).floor() as i64;
        let digits = (-libm::floor(libm::log10(step) + 1e-9)).max(0.0) as usize;
        let ticks = (first..=last).map(|i| (i as f64 * step, format!("{:.digits$}", i as f64 * step)));
        Scale { from, to, ticks: ticks.collect() }
    }

    /// With the given ticks.
    pub(super) fn with_ticks(from: f64, to: f64, ticks: Vec<(f64, String)>) -> Self {
        Scale { from, to: if to > from { to } else { from + 1.0 }, ticks }
    }
}

/// A span that ticks can be told apart in, whatever numbers a result holds.
fn wide_enough(from: f64, to: f64) -> (f64, f64) {
    if !(from.is_finite() && to.is_finite() && (to - from).is_finite()) {
        return (0.0, 1.0);
    }
    let size = from.abs().max(to.abs());
    if to - from > 1e-9 * size && to - from > 1e-100 {
        return (from, to);
    }
    let half = 0.5_f64.max(0.1 * size);
    (from - half, from + half)
}

/// 1, 2 or 5 times a power of ten, not below the raw step.
fn round_step(raw: f64) -> f64 {
    let power = libm::pow(10.0, libm::floor(libm::log10(raw)));
    [1.0, 2.0, 5.0].into_iter().map(|m| m * power).find(|step| *step >= raw * 0.999).unwrap_or(10.0 * power)
}

/// An area with axes.
pub(super) struct Frame {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
    x: Scale,
    y: Scale,
}

impl Frame {
    /// For a picture of that size; `labels` pixels are left for the text of the y axis.
    pub(super) fn new(width: f64, height: f64, labels: f64, x: Scale, y: Scale) -> Self {
        Frame { left: labels + 10.0, top: 30.0, right: width - 14.0, bottom: height - 44.0, x, y }
    }

    /// With as much room as the y axis's own labels take.
    pub(super) fn fitted(size: Size, height: f64, x: Scale, y: Scale) -> Self {
        let labels = y.ticks.iter().map(|(_, text)| width_of(text)).fold(0.0, f64::max);
        Self::new(size.width(), height, labels, x, y)
    }

    pub(super) fn px(&self, x: f64) -> f64 {
        self.left + (x - self.x.from) / (self.x.to - self.x.from) * (self.right - self.left)
    }

    pub(super) fn py(&self, y: f64) -> f64 {
        self.bottom - (y - self.y.from) / (self.y.to - self.y.from) * (self.bottom - self.top)
    }

    pub(super) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.px(x), self.py(y))
    }

    pub(super) fn right(&self) -> f64 {
        self.right
    }

    pub(super) fn left(&self) -> f64 {
        self.left
    }

    /// Grid, labels and the two titles: x below, y above its axis.
    pub(super) fn draw(&self, pen: &mut Pen<'_>, x_title: &str, y_title: &str) {
        for (y, text) in &self.y.ticks {
            let at = self.py(*y);
            pen.line(&[(self.left, at), (self.right, at)], Paint::Faint, 1.0);
            pen.text((self.left - 6.0, at), text, Anchor::End, Paint::Muted);
        }
        let mut free = f64::NEG_INFINITY;
        for (x, text) in &self.x.ticks {
            let at = self.px(*x);
            pen.line(&[(at, self.bottom), (at, self.bottom + 4.0)], Paint::Muted, 1.0);
            // A label that would touch the one before it is left out.
            let half = width_of(text) / 2.0;
            if at - half > free {
                pen.text((at, self.bottom + 14.0), text, Anchor::Middle, Paint::Muted);
                free = at + half + 4.0;
            }
        }
        pen.line(&[(self.left, self.bottom), (self.right, self.bottom)], Paint::Muted, 1.0);
        pen.text(
            (f64::midpoint(self.left, self.right), self.bottom + 32.0),
            x_title,
            Anchor::Middle,
            Paint::Muted,
        );
        pen.text((4.0, TEXT), y_title, Anchor::Start, Paint::Muted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<&str> {
        scale.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(&Scale::linear(0.0, 97.0, 5)), ["0", "20", "40", "60", "80"]);
        assert_eq!(labels(&Scale::linear(0.0, 1.0, 4)), ["0.0", "0.5", "1.0"]);
        assert_eq!(labels(&Scale::linear(1.0, 1.6, 6)), ["1.0", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6"]);
        assert_eq!(labels(&Scale::whole(0.0, 2.0, 8)), ["0", "1", "2"]);
        assert!(!labels(&Scale::linear(3.0, 3.0, 4)).is_empty());
        for odd in [f64::NAN, f64::INFINITY, 5e-324, 1e300, -1e300, 1e17 + 16.0] {
            for from in [0.0, 1.0, 1e17, odd] {
                let ticks = labels(&Scale::linear(from, odd, 8)).len();
                assert!((1..20).contains(&ticks), "{ticks} ticks from {from} to {odd}");
            }
        }
    }
}
