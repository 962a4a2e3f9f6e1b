//! Acceptance that drifts along the output: a0(len) = a0 + s · min(len / L, 1).
//!
//! Reasoning outputs repeat themselves, and drafters guess their ends better than their beginnings. A request's mean
//! over an output of n tokens is the integral of this line, in closed form. Leaves out: that tokens, not rounds,
//! are averaged over here, so a mean of rates is only an approximation of what counters show.

use super::AcceptanceError;

/// A first-position rate that changes with the tokens emitted so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    first: f64,
    rise: f64,
    over: f64,
}

impl Drift {
    /// `first` at the start, `first + rise` from `over` tokens on; both ends must be rates.
    pub fn new(first: f64, rise: f64, over: f64) -> Result<Self, AcceptanceError> {
        for rate in [first, first + rise] {
            if !(0.0..=1.0).contains(&rate) {
                return Err(AcceptanceError::Rate { position: 0, rate });
            }
        }
        if !(over > 0.0 && over.is_finite()) {
            return Err(AcceptanceError::Parameter {
                what: "length of the drift",
                value: over,
                wanted: "positive",
            });
        }
        Ok(Drift { first, rise, over })
    }

    /// The first-position rate after `emitted` tokens.
    pub fn at(&self, emitted: f64) -> f64 {
        self.first + self.rise * (emitted / self.over).min(1.0)
    }

    /// Its mean over the first `tokens` tokens.
    pub fn mean(&self, tokens: f64) -> f64 {
        if tokens <= 0.0 {
            return self.first;
        }
        let ramp = tokens.min(self.over);
        let area = ramp * ramp / (2.0 * self.over) + (tokens - ramp);
        self.first + self.rise * area / tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_the_integral() {
        let drift = Drift::new(0.6, 0.25, 8_000.0).unwrap_or_else(|e| panic!("{e}"));
        for tokens in [1.0, 4_000.0, 8_000.0, 20_000.0] {
            let n = 100_000;
            let sum: f64 = (0..n).map(|i| drift.at((f64::from(i) + 0.5) / f64::from(n) * tokens)).sum();
            assert!((drift.mean(tokens) - sum / f64::from(n)).abs() < 1e-6, "{tokens}");
        }
        assert_eq!(drift.mean(0.0), 0.6);
    }

    #[test]
    fn rates_stay_rates() {
        assert_eq!(Drift::new(0.8, 0.3, 10.0), Err(AcceptanceError::Rate { position: 0, rate: 1.1 }));
        assert!(Drift::new(0.2, -0.3, 10.0).is_err() && Drift::new(0.2, 0.1, 0.0).is_err());
    }
}
