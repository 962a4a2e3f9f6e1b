//! A lognormal that is clipped at a maximum, as RL frameworks clip responses.
//!
//! With ln X ~ N(μ, σ²) and a maximum c,
//! E[min(X, c)] = exp(μ + σ²/2) Φ((ln c - μ - σ²)/σ) + c (1 - Φ((ln c - μ)/σ)).
//! Frameworks log this clipped mean, so μ is solved from it.

use super::normal::normal_cdf;

/// E[min(X, max)] for ln X ~ N(`location`, `sigma`²).
pub fn clipped_lognormal_mean(location: f64, sigma: f64, max: f64) -> f64 {
    let ln_max = libm::log(max);
    if sigma <= 0.0 {
        return libm::exp(location.min(ln_max));
    }
    let body = normal_cdf((ln_max - location - sigma * sigma) / sigma);
    let tail = normal_cdf((location - ln_max) / sigma);
    libm::exp(location + 0.5 * sigma * sigma) * body + max * tail
}

/// The location μ at which the mean of min(X, max) is `mean`, or `None` where no μ gives it
/// (`mean` ≥ `max`, or not positive). The mean rises with μ: bisection to 1e-12.
pub fn solve_lognormal_location(mean: f64, sigma: f64, max: f64) -> Option<f64> {
    if !(mean > 0.0 && mean < max) {
        return None;
    }
    // Below: no clipping would matter even if the mean were all body. Above: nearly all mass beyond max.
    let mut low = libm::log(mean) - 0.5 * sigma * sigma - 1.0;
    let mut high = libm::log(max) + 40.0 * sigma.max(0.1);
    if clipped_lognormal_mean(high, sigma, max) < mean {
        return None;
    }
    while high - low > 1e-12 * high.abs().max(1.0) {
        let middle = 0.5 * (low + high);
        if clipped_lognormal_mean(middle, sigma, max) < mean {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(0.5 * (low + high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::normal_quantile;

    /// The slow way: the average of min(X, max) over many quantiles of X.
    fn by_quantiles(location: f64, sigma: f64, max: f64) -> f64 {
        let n = 400_000;
        let sum: f64 = (0..n)
            .map(|i| (location + sigma * normal_quantile((i as f64 + 0.5) / n as f64)).exp().min(max))
            .sum();
        sum / n as f64
    }

    #[test]
    fn closed_form_matches_the_average_over_quantiles() {
        for (location, sigma, max) in [(8.0, 0.9, 16_384.0), (6.0, 0.3, 1_000.0), (9.5, 1.4, 4_096.0)] {
            let slow = by_quantiles(location, sigma, max);
            assert!((clipped_lognormal_mean(location, sigma, max) / slow - 1.0).abs() < 1e-4);
        }
    }

    #[test]
    fn solving_inverts_and_refuses_the_impossible() {
        for mean in [10.0, 3_000.0, 16_000.0] {
            let location = solve_lognormal_location(mean, 0.9, 16_384.0).unwrap_or(f64::NAN);
            assert!((clipped_lognormal_mean(location, 0.9, 16_384.0) / mean - 1.0).abs() < 1e-9);
        }
        assert_eq!(solve_lognormal_location(16_384.0, 0.9, 16_384.0), None);
        assert_eq!(solve_lognormal_location(0.0, 0.9, 16_384.0), None);
    }
}
