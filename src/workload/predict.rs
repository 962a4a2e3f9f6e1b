//! What is known of a response's length before it is there: the true length times a lognormal error.
//!
//! Errors are independent between samples. Leaves out: predictors whose errors grow with length or are shared inside a
//! group.

use super::Sample;
use crate::math::normal_quantile;
use crate::rng::{Purpose, Stream};

/// A predictor of response lengths.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Predictor {
    /// Standard deviation of the logarithm of predicted over true length; 0 knows it.
    pub log_error: f64,
    /// Seed of its errors.
    pub seed: u64,
}

impl Predictor {
    /// Predicted response tokens of the samples of one RL step of one draw.
    pub fn lengths(&self, [draw, rl_step]: [u64; 2], samples: &[Sample]) -> Vec<f64> {
        let error = |index: u64| {
            let entity = [draw, rl_step, index];
            let z = normal_quantile(Stream::new(self.seed, Purpose::PredictedLength, &entity).open_uniform());
            libm::exp(self.log_error * z)
        };
        (0..).zip(samples).map(|(index, sample)| f64::from(sample.response) * error(index)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_asked_spread_and_an_oracle_has_none() {
        let samples = vec![Sample { group: 0, prompt: 1, response: 1000, clipped: false }; 20_000];
        let of = |log_error| Predictor { log_error, seed: 1 }.lengths([0, 0], &samples);
        assert!(of(0.0).iter().all(|length| (length - 1000.0).abs() < 1e-9));
        let logs: Vec<f64> = of(0.5).iter().map(|length| (length / 1000.0).ln()).collect();
        let mean = logs.iter().sum::<f64>() / 20_000.0;
        let sd = (logs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0).sqrt();
        // Standard errors: 0.0035 of the mean, 0.0025 of the spread.
        assert!(mean.abs() < 0.015 && (sd - 0.5).abs() < 0.012, "{mean} {sd}");
    }
}
