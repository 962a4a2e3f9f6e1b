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

/// Seconds of device time that one replay should last at least: what an event and a graph's beginning and end take, 2 to 3 us,
/// is then half a per cent. It costs nothing, because samples last `least_s` together anyway.
pub const REPLAY_S: f64 = 500e-6;

/// Least copies of `copies` with which a replay that took `seconds` lasts long enough; none where it does, or where the
/// most there may be are there. A twentieth more, because the next replay may be the shorter one.
pub fn more_copies(copies: u64, seconds: f64, most: u64) -> Option<u64> {
    if seconds >= REPLAY_S || copies >= most || seconds <= 0.0 {
        return None;
    }
    let wanted = libm::ceil(1.05 * copies as f64 * REPLAY_S / seconds) as u64;
    Some(wanted.clamp(copies + 1, most))
}

/// Seconds that the device is kept busy in front of a graph of so many nodes, whose launch the host was seen to take so
/// long for: else the device waits for the host inside the sample. Published launches take 0.9 to 1.0 us a node; twice
/// what was seen counts where that is more, and no more than four times the estimate, because a host that was held up once
/// would be waited for in every sample.
pub fn cover_s(nodes: u64, launch_s: f64) -> f64 {
    let least = 1.5e-6 * nodes as f64;
    20e-6 + least.max((2.0 * launch_s).min(4.0 * least))
}

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

impl End {
    /// Its name in logs.
    pub fn name(self) -> &'static str {
        match self {
            End::Narrow => "narrow",
            End::Cap => "cap",
            End::Deadline => "deadline",
        }
    }
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
        // Long replays pass the cap before the fewest samples are there.
        let most = n(self.looks[3]).min(self.most_s + 3.0 * replay_s).max(n(self.looks[0]));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_added_until_a_replay_is_long_enough() {
        assert_eq!(more_copies(10, 501e-6, 256), None);
        assert_eq!(more_copies(10, 240e-6, 256), Some(22));
        assert_eq!(more_copies(10, 499.9e-6, 256), Some(11));
        assert_eq!(more_copies(100, 10e-6, 256), Some(256));
        assert_eq!(more_copies(256, 10e-6, 256), None);
        // An event pair that saw nothing says nothing.
        assert_eq!(more_copies(1, 0.0, 256), None);
    }

    #[test]
    fn a_launch_is_covered_and_a_host_that_was_held_up_once_is_not_waited_for() {
        let us = |nodes, launch| libm::round(1e6 * cover_s(nodes, launch)) as u64;
        assert_eq!(us(256, 100e-6), 404);
        assert_eq!(us(256, 250e-6), 520);
        assert_eq!(us(256, 30e-3), 1556);
        assert_eq!(us(1, 3e-6), 26);
    }
}
