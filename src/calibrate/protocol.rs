//! How one point is sampled: warm-up, then samples until the interval of the median is narrow, within caps.
//!
//! A sample is one replay of a graph of serial copies. Whether to go on is asked at a few counts only: asking after
//! every sample stops on lucky streaks, and intervals then hold the median less often than they say.

use super::bench::{Bench, BenchError};
use super::statistics::{Samples, Spread};

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Protocol {
    /// Replays before the first sample.
    pub warm_ups: u32,
    /// Counts at which it is asked whether the samples are enough, the last being the cap.
    pub looks: [usize; 4],
    /// Least seconds of samples, so that a slow drift of a few milliseconds is averaged.
    pub least_s: f64,
    /// Most seconds of samples.
    pub most_s: f64,
    /// Half-width of the interval over the median that is enough.
    pub half_width: f64,
}

impl Default for Protocol {
    fn default() -> Self {
        Protocol { warm_ups: 2, looks: [20, 30, 45, 60], least_s: 0.012, most_s: 0.150, half_width: 0.01 }
    }
}

/// Seconds of device time that one replay should last at least: events resolve half a microsecond.
pub const REPLAY_S: f64 = 200e-6;

/// Why sampling ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The interval is narrow.
    Narrow,
    /// A cap on samples or seconds.
    Cap,
    /// The run's time is over.
    Deadline,
}

/// A sampled point.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// What the samples amount to, seconds a copy.
    pub spread: Spread,
    /// Why there are no more.
    pub end: End,
}

impl Protocol {
    /// The fewest samples that a row may rest on.
    pub fn least(&self) -> usize {
        self.looks[0]
    }

    /// Seconds that a point of `seconds` a replay takes to sample, at best and at worst.
    pub fn cost_s(&self, replay_s: f64) -> [f64; 2] {
        let n = |count: usize| (count as f64 + f64::from(self.warm_ups)) * replay_s;
        let most = n(self.looks[3]).min(self.most_s + 3.0 * replay_s);
        [n(self.looks[0]).max(self.least_s + 2.0 * replay_s).min(most), most]
    }

    /// Samples what the bench has open, until `until` on its clock at the latest. `None` where the time was over
    /// before the fewest samples were there.
    pub fn sample(&self, bench: &mut dyn Bench, until: f64) -> Result<Option<Sampled>, BenchError> {
        for _ in 0..self.warm_ups {
            if bench.now_s() >= until {
                return Ok(None);
            }
            bench.replay_s()?;
        }
        let started = bench.now_s();
        let mut samples = Samples::default();
        let end = loop {
            let before = bench.now_s();
            if before >= until {
                break End::Deadline;
            }
            samples.0.push(bench.replay_s()?);
            let n = samples.0.len();
            let seconds = bench.now_s() - started;
            if n >= self.looks[3] || seconds >= self.most_s && n >= self.least() {
                break End::Cap;
            }
            if self.looks.contains(&n) && seconds >= self.least_s {
                let narrow = samples.spread().is_some_and(|spread| spread.half_width() <= self.half_width);
                if narrow {
                    break End::Narrow;
                }
            }
        };
        if samples.0.len() < self.least() {
            return Ok(None);
        }
        Ok(samples.spread().map(|spread| Sampled { spread, end }))
    }
}
