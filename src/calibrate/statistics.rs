//! What samples of one kernel's time say: median, its interval by order statistics, spread.
//!
//! The interval holds for any law of the samples: the median lies between the order statistics of ranks l and
//! n + 1 - l with the chance that a binomial(n, 1/2) is at least l and at most n - l (David and Nagaraja, Order
//! Statistics, 2003, section 7.1). For n = 20 that is ranks 6 and 15, 95.9 %.

use crate::math::quantile_sorted;
use crate::measured::Timing;

/// Least chance that the interval holds the median.
const COVERAGE: f64 = 0.95;

/// The times of one point, seconds, in the order in which they were taken.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Samples(pub Vec<f64>);

/// What they amount to, seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Median.
    pub median: f64,
    /// 10 % quantile.
    pub p10: f64,
    /// 90 % quantile.
    pub p90: f64,
    /// Interval of the median, 95 % or a little more.
    pub interval: [f64; 2],
    /// Median distance from the median.
    pub deviation: f64,
    /// Samples.
    pub n: usize,
}

impl Spread {
    /// Half of the interval's width over the median.
    pub fn half_width(&self) -> f64 {
        (self.interval[1] - self.interval[0]) / (2.0 * self.median)
    }

    /// Whether the point should be timed once more later: a tail above 10 %, or a typical distance above 2 %.
    pub fn unstable(&self) -> bool {
        self.p90 / self.median > 1.10 || self.deviation / self.median > 0.02
    }

    /// As a row of a table has it: microseconds, to four digits after the point.
    pub fn timing(&self) -> Timing {
        let us = |seconds: f64| libm::round(seconds * 1e10) / 1e4;
        Timing {
            median: us(self.median),
            spread: Some([us(self.p10), us(self.p90)]),
            interval: Some(self.interval.map(us)),
            samples: Some(self.n as u32),
        }
    }
}

impl Samples {
    /// Their summary; none for no samples.
    pub fn spread(&self) -> Option<Spread> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let (first, last) = (*sorted.first()?, *sorted.last()?);
        let median = quantile_sorted(&sorted, 0.5);
        let mut away: Vec<f64> = sorted.iter().map(|x| (x - median).abs()).collect();
        away.sort_by(f64::total_cmp);
        let interval = match rank(sorted.len()) {
            Some(low) => [sorted[low - 1], sorted[sorted.len() - low]],
            // Too few for any interval of that chance: all that was seen.
            None => [first, last],
        };
        Some(Spread {
            median,
            p10: quantile_sorted(&sorted, 0.1),
            p90: quantile_sorted(&sorted, 0.9),
            interval,
            deviation: quantile_sorted(&away, 0.5),
            n: sorted.len(),
        })
    }
}

/// The lower rank, from 1, of the narrowest symmetric interval that holds the median with the chance wanted; none
/// where even the whole range does not (fewer than six samples).
pub fn rank(n: usize) -> Option<usize> {
    // P(X < l) for X binomial(n, 1/2), summed up from below in logarithms so that large n do not underflow.
    let ln_choose = |k: usize| {
        libm::lgamma(n as f64 + 1.0) - libm::lgamma(k as f64 + 1.0) - libm::lgamma((n - k) as f64 + 1.0)
    };
    let tail = (1.0 - COVERAGE) / 2.0;
    let mut below = 0.0;
    let mut best = None;
    for l in 1..=n.div_ceil(2) {
        below += libm::exp(ln_choose(l - 1) - n as f64 * std::f64::consts::LN_2);
        if below > tail {
            break;
        }
        best = Some(l);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_the_tables() {
        // Hahn and Meeker, Statistical Intervals, table A.15: 95 % for the median.
        for (n, low) in [(6, 1), (10, 2), (20, 6), (30, 10), (60, 22), (100, 40)] {
            assert_eq!(rank(n), Some(low), "{n}");
        }
        assert_eq!(rank(5), None);
        assert!(rank(5000).is_some());
    }

    #[test]
    fn a_spread_of_known_numbers() {
        let samples = Samples((1..=20).rev().map(f64::from).collect());
        let spread = samples.spread().unwrap_or_else(|| panic!("no spread"));
        assert_eq!(spread.median, 10.5);
        assert_eq!(spread.interval, [6.0, 15.0]);
        assert_eq!(spread.deviation, 5.0);
        assert!((spread.p90 - 18.1).abs() < 1e-12);
        assert!(spread.unstable());
        assert_eq!(Samples::default().spread(), None);
    }
}
