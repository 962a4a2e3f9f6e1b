//! Units that must not be mixed up: simulated time and bytes.
//!
//! Simulated time is an integer count of nanoseconds, so that event order and results do not depend on
//! the order of floating-point sums. Everything else (rates, shares, seconds inside cost models) is `f64`
//! with its unit in the name.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A point or span of simulated time, in whole nanoseconds (up to 584 years).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SimTime(u64);

impl SimTime {
    /// The start of a simulation.
    pub const ZERO: SimTime = SimTime(0);

    /// From nanoseconds.
    pub const fn from_ns(ns: u64) -> Self {
        SimTime(ns)
    }

    /// From seconds, rounded to the nearest nanosecond; negative and NaN become zero, huge saturates.
    pub fn from_seconds(seconds: f64) -> Self {
        SimTime((seconds * 1e9).round() as u64)
    }

    /// Nanoseconds.
    pub const fn ns(self) -> u64 {
        self.0
    }

    /// Seconds.
    pub fn seconds(self) -> f64 {
        self.0 as f64 * 1e-9
    }

    /// The span from `earlier` to `self`, zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: SimTime) -> SimTime {
        SimTime(self.0.saturating_sub(earlier.0))
    }
}

impl Add for SimTime {
    type Output = SimTime;
    fn add(self, other: SimTime) -> SimTime {
        SimTime(self.0.saturating_add(other.0))
    }
}

impl AddAssign for SimTime {
    fn add_assign(&mut self, other: SimTime) {
        *self = *self + other;
    }
}

impl Sub for SimTime {
    type Output = SimTime;
    fn sub(self, other: SimTime) -> SimTime {
        self.since(other)
    }
}

/// An amount of memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Bytes(pub f64);

impl Bytes {
    /// From GiB (2^30 bytes).
    pub fn from_gib(gib: f64) -> Self {
        Bytes(gib * GIB)
    }

    /// In GiB (2^30 bytes).
    pub fn gib(self) -> f64 {
        self.0 / GIB
    }
}

const GIB: f64 = (1_u64 << 30) as f64;

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} GiB", self.gib())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_round_trip_to_the_nanosecond() {
        assert_eq!(SimTime::from_seconds(1.5).ns(), 1_500_000_000);
        assert_eq!(SimTime::from_seconds(-1.0), SimTime::ZERO);
        assert_eq!(SimTime::from_seconds(f64::NAN), SimTime::ZERO);
        assert_eq!(SimTime::from_seconds(f64::INFINITY).ns(), u64::MAX);
    }

    #[test]
    fn subtraction_never_wraps() {
        assert_eq!(SimTime::from_ns(3) - SimTime::from_ns(5), SimTime::ZERO);
    }

    #[test]
    fn bytes_print_in_binary_units() {
        assert_eq!(Bytes::from_gib(2.0).to_string(), "2.0 GiB");
    }
}
