//! What a run has found: its rows, what it left out and why, and who hears of it while it goes on.

use super::bench::{BenchError, Opened};
use super::drift::Reading;
use super::plan::Point;
use super::protocol::End;
use super::statistics::Spread;
use super::work::Work;

/// A measured point.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// What.
    pub point: Point,
    /// Its times, seconds.
    pub spread: Spread,
    /// Why sampling ended.
    pub end: End,
    /// How it was made ready.
    pub opened: Opened,
    /// Clock of the multiprocessors, MHz.
    pub sm_mhz: Option<f64>,
    /// When, seconds since the run began.
    pub at_s: f64,
    /// Whether it should not be trusted: unsteady, or at a low clock, and no second look has said otherwise.
    pub unstable: bool,
}

/// What a run found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// Points, in the order in which they were measured.
    pub rows: Vec<Measured>,
    /// Points that were not measured: there was no time, or the device broke.
    pub skipped: Vec<Point>,
    /// Points that the device cannot do, and why.
    pub refused: Vec<(Work, String)>,
    /// Readings of the sentinels.
    pub sentinels: Vec<Reading>,
    /// First and second time of points that were measured again, seconds.
    pub again: Vec<[f64; 2]>,
    /// Times with operands from memory and from the cache of points that were also timed so, seconds.
    pub hot: Vec<(Work, [f64; 2])>,
    /// What ended the run before its time.
    pub broken: Option<BenchError>,
}

impl Outcome {
    /// Log-standard-deviation between two measurements of the same point minutes apart.
    pub fn reproducibility(&self) -> Option<f64> {
        let squares = self.again.iter().map(|[a, b]| libm::log(b / a) * libm::log(b / a));
        // The difference of two has twice the variance of one.
        let n = self.again.len();
        (n > 0).then(|| libm::sqrt(squares.sum::<f64>() / n as f64 / 2.0))
    }
}

/// Who hears of a run while it goes on.
pub trait Listener {
    /// A line of the log.
    fn line(&mut self, line: &str);

    /// What was found so far: at every look for drift and behind the last point, so that a run that is cut off
    /// leaves what it measured.
    fn so_far(&mut self, _: &Outcome) {}
}

impl<F: FnMut(&str)> Listener for F {
    fn line(&mut self, line: &str) {
        self(line);
    }
}
