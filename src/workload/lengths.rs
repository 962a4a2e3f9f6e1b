//! One length from one standard normal number: the inverse of each length distribution.

use super::LengthShift;
use crate::math::{normal_cdf, solve_lognormal_location};
use crate::resolved::{LengthModel, Lengths, Quantity};

/// A drawn length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// Tokens, after clipping.
    pub tokens: u32,
    /// Whether it was cut at the maximum.
    pub clipped: bool,
}

#[derive(Debug, Clone)]
enum Inverse {
    Lognormal { location: f64, sigma: f64 },
    Histogram { edges: Vec<f64>, cumulative: Vec<f64> },
    Samples(Vec<u32>),
    Constant(u32),
}

/// Turns standard normal numbers into lengths.
#[derive(Debug, Clone)]
pub struct LengthSampler {
    inverse: Inverse,
    min: u32,
    max: u32,
    /// Whether what reaches the maximum was cut there.
    capped: bool,
}

impl LengthSampler {
    /// For a distribution whose uncertain numbers are shifted by standard errors. A shifted mean stays
    /// just below the maximum, which no clipped mean can reach unless all lengths are equal.
    pub fn new(lengths: &Lengths, shift: LengthShift) -> Self {
        let max = f64::from(lengths.max);
        let inverse = match &lengths.model {
            LengthModel::Lognormal { mean, sigma } => {
                let sigma = (sigma.value + shift.sigma * sigma.se).max(0.0);
                let highest = if sigma == 0.0 { max } else { (0.995 * max).max(1.0) };
                let mean = shifted(mean, shift.mean).clamp(1.0, highest);
                // A mean below the maximum always has a location; the fallback is never taken.
                let location = solve_lognormal_location(mean, sigma, max).unwrap_or_else(|| libm::log(mean));
                Inverse::Lognormal { location, sigma }
            }
            LengthModel::Histogram { edges, weights } => {
                let total: f64 = weights.iter().sum();
                let mut sum = 0.0;
                let cumulative = weights.iter().map(|w| {
                    sum += w / total;
                    sum
                });
                Inverse::Histogram { edges: edges.clone(), cumulative: cumulative.collect() }
            }
            LengthModel::Samples(sorted) => Inverse::Samples(sorted.clone()),
            LengthModel::Constant(tokens) => Inverse::Constant(*tokens),
        };
        LengthSampler { inverse, min: lengths.min.max(1), max: lengths.max, capped: lengths.capped }
    }

    /// The length at the normal quantile `z`, times a scale before it is clipped.
    pub fn at(&self, z: f64, scale: f64) -> Drawn {
        let length = scale
            * match &self.inverse {
                Inverse::Lognormal { location, sigma } => libm::exp(location + sigma * z),
                Inverse::Histogram { edges, cumulative } => {
                    histogram_quantile(edges, cumulative, normal_cdf(z))
                }
                Inverse::Samples(sorted) => {
                    let index = (normal_cdf(z) * sorted.len() as f64) as usize;
                    sorted.get(index.min(sorted.len().saturating_sub(1))).map_or(1.0, |&n| f64::from(n))
                }
                Inverse::Constant(tokens) => f64::from(*tokens),
            };
        // A response of exactly the maximum also ends by the cap: no end-of-sequence token fitted.
        // A drift of lengths pushes even observed ones over it.
        let clipped = (self.capped || scale > 1.0) && length >= f64::from(self.max) - 0.5;
        let tokens = length.round().clamp(f64::from(self.min), f64::from(self.max)) as u32;
        Drawn { tokens, clipped }
    }
}

/// A positive quantity moved by `z` standard errors on the logarithmic scale.
fn shifted(quantity: &Quantity, z: f64) -> f64 {
    quantity.value * libm::exp(z * quantity.log_sigma())
}

fn histogram_quantile(edges: &[f64], cumulative: &[f64], u: f64) -> f64 {
    let last = cumulative.len().saturating_sub(1);
    let bin = cumulative.iter().position(|&c| u < c).unwrap_or(last);
    let below = if bin == 0 { 0.0 } else { cumulative[bin - 1] };
    let width = cumulative[bin] - below;
    let share = if width > 0.0 { ((u - below) / width).clamp(0.0, 1.0) } else { 0.5 };
    edges[bin] + share * (edges[bin + 1] - edges[bin])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_and_samples_invert() {
        let lengths = |model| Lengths { model, min: 1, max: 1_000, capped: true };
        let histogram = LengthSampler::new(
            &lengths(LengthModel::Histogram { edges: vec![0.0, 100.0, 300.0], weights: vec![3.0, 1.0] }),
            LengthShift::default(),
        );
        assert_eq!(histogram.at(0.0, 1.0).tokens, 67, "the median: two thirds into the first bin");
        let samples =
            LengthSampler::new(&lengths(LengthModel::Samples(vec![5, 50, 5000])), LengthShift::default());
        assert_eq!(samples.at(-3.0, 1.0).tokens, 5);
        assert_eq!(samples.at(0.0, 1.0).tokens, 50);
        assert_eq!(samples.at(3.0, 1.0), Drawn { tokens: 1000, clipped: true });
    }

    #[test]
    fn lengths_stay_within_bounds_for_extreme_quantiles() {
        let mean = Quantity { se: 300.0, ..Quantity::given(900.0) };
        let lognormal = Lengths {
            model: LengthModel::Lognormal { mean, sigma: Quantity::given(1.5) },
            min: 4,
            max: 1000,
            capped: true,
        };
        for shift in [-3.0, 0.0, 3.0] {
            let sampler = LengthSampler::new(&lognormal, LengthShift { mean: shift, sigma: 0.0 });
            for z in [-9.0, 0.0, 9.0] {
                assert!((4..=1000).contains(&sampler.at(z, 1.0).tokens));
            }
        }
    }
}
