//! Drift: two works are measured again and again through a run, and a line is laid through the logarithm of their times.
//!
//! It is reported, never divided out: whether a slow device slows every kernel alike is not known.

use super::work::{Choice, Format, Work};

/// One reading of a sentinel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Which of [`Sentinels::works`].
    pub sentinel: usize,
    /// When.
    pub at_s: f64,
    /// Its median time, seconds.
    pub seconds: f64,
}

/// The works that are watched: one bound by arithmetic, one by memory.
#[derive(Debug, Clone, Copy)]
pub struct Sentinels;

impl Sentinels {
    /// How many there are.
    pub const WORKS: usize = 2;

    /// Both.
    pub fn works() -> [Work; Self::WORKS] {
        [
            Work::Gemm { format: Format::Bf16, shape: [4096, 12_288, 4096], choice: Choice::First },
            Work::Copy { bytes: 1_000_000_000 },
        ]
    }
}

/// What a sentinel did over the run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// Change of the logarithm of its time from the first reading to the last, on the line.
    pub change: f64,
    /// Standard error of that.
    pub error: f64,
    /// Readings.
    pub readings: usize,
}

impl Drift {
    /// The line through a sentinel's readings; none for fewer than four.
    pub fn of(readings: &[Reading], sentinel: usize) -> Option<Drift> {
        let points: Vec<(f64, f64)> = readings
            .iter()
            .filter(|reading| reading.sentinel == sentinel)
            .map(|reading| (reading.at_s, libm::log(reading.seconds)))
            .collect();
        let n = points.len() as f64;
        if points.len() < 4 {
            return None;
        }
        let mean = |f: fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>() / n;
        let (t0, y0) = (mean(|p| p.0), mean(|p| p.1));
        let stt: f64 = points.iter().map(|(t, _)| (t - t0) * (t - t0)).sum();
        let sty: f64 = points.iter().map(|(t, y)| (t - t0) * (y - y0)).sum();
        if stt <= 0.0 {
            return None;
        }
        let slope = sty / stt;
        let residual: f64 = points.iter().map(|(t, y)| (y - y0 - slope * (t - t0)).powi(2)).sum();
        let span = points.last()?.0 - points.first()?.0;
        let error = libm::sqrt(residual / (n - 2.0) / stt) * span;
        Some(Drift { change: slope * span, error, readings: points.len() })
    }

    /// Whether it is there: beyond three standard errors, and large enough to matter beside a 1 % interval.
    pub fn detected(&self) -> bool {
        self.change.abs() > 3.0 * self.error && self.change.abs() > 0.005
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_and_its_error_is_that_of_least_squares() {
        // y = 0, 1, 0, 1 at t = 0, 1, 2, 3: slope 0.2, residual sum 0.8, variance 0.4 / 5.
        let readings = [1.0, std::f64::consts::E, 1.0, std::f64::consts::E];
        let readings: Vec<Reading> = readings
            .iter()
            .enumerate()
            .map(|(i, s)| Reading { sentinel: 1, at_s: i as f64, seconds: *s })
            .collect();
        let drift = Drift::of(&readings, 1).unwrap_or_else(|| panic!("four readings"));
        assert!((drift.change - 0.6).abs() < 1e-12, "{drift:?}");
        assert!((drift.error - 3.0 * (0.08_f64).sqrt()).abs() < 1e-12, "{drift:?}");
        assert!(!drift.detected());
        assert_eq!(Drift::of(&readings, 0), None);
    }
}
