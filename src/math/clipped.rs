//! A lognormal that is clipped at a maximum, as RL frameworks clip responses.
//!
//! With ln X ~ N(μ, σ²) and a maximum c,
//! E[min(X, c)] = exp(μ + σ²/2) Φ((ln c - μ - σ²)/σ) + c (1 - Φ((ln c - μ)/σ)).
//! Frameworks log this clipped mean, so μ is solved from it; where they log how many were clipped, or how long the longest
//! was, σ is solved too.

use super::normal::{normal_cdf, normal_quantile};

/// Largest σ that is looked for: beyond it nearly all lengths are one token or the maximum.
const WIDEST: f64 = 4.0;

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

/// The σ at which the mean of min(X, max) is `mean` and P(X ≥ max) is `share`; `None` where none up to 4 gives both. At a
/// given mean the share rises with σ, from 0 towards mean / max.
pub fn solve_lognormal_sigma(mean: f64, share: f64, max: f64) -> Option<f64> {
    let clipped = |sigma: f64| {
        solve_lognormal_location(mean, sigma, max).map(|mu| normal_cdf((mu - libm::log(max)) / sigma))
    };
    if !(share > 0.0 && clipped(WIDEST)? > share) {
        return None;
    }
    let (mut low, mut high) = (1e-3, WIDEST);
    while high - low > 1e-9 {
        let middle = 0.5 * (low + high);
        if clipped(middle)? < share { low = middle } else { high = middle }
    }
    Some(0.5 * (low + high))
}

/// The σ of unclipped lengths whose longest of `n` is `ratio` means in the median:
/// ln ratio = σ m - σ²/2, m the median of the largest of n normal numbers, the quantile of (1/2)^(1/n). `None` where no σ up
/// to m gives so long a one.
pub fn lognormal_sigma_from_longest(ratio: f64, n: f64) -> Option<f64> {
    if !(n >= 2.0 && ratio >= 1.0) {
        return None;
    }
    let m = normal_quantile(libm::pow(0.5, 1.0 / n));
    let under = m * m - 2.0 * libm::log(ratio);
    (under >= 0.0).then(|| m - libm::sqrt(under))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    #[test]
    fn the_longest_of_many_draws_gives_their_spread() -> Result<(), &'static str> {
        use crate::rng::{Purpose, Stream};
        for (sigma, n) in [(0.4, 512_u32), (0.9, 5120)] {
            let mut stream = Stream::new(7, Purpose::ResponseLength, &[]);
            let one = || (0..n).map(|_| normal_quantile(stream.open_uniform())).fold(f64::MIN, f64::max);
            let mut longest: Vec<f64> = std::iter::repeat_with(one).take(401).collect();
            longest.sort_by(f64::total_cmp);
            let ratio = libm::exp(sigma * longest[200] - 0.5 * sigma * sigma);
            let found = lognormal_sigma_from_longest(ratio, f64::from(n)).ok_or("no spread")?;
            assert!((found / sigma - 1.0).abs() < 0.02, "{found} for {sigma}");
        }
        assert_eq!(lognormal_sigma_from_longest(0.9, 512.0), None);
        assert_eq!(lognormal_sigma_from_longest(1e9, 512.0), None);
        Ok(())
    }

    proptest! {
        #[test]
        fn the_clipped_share_gives_the_spread(location in 3.0..9.0_f64, sigma in 0.1..1.8_f64, z in 0.5..3.2_f64) {
            let max = libm::exp(location + z * sigma);
            let mean = clipped_lognormal_mean(location, sigma, max);
            let found = solve_lognormal_sigma(mean, 1.0 - normal_cdf(z), max).unwrap_or(f64::NAN);
            prop_assert!((found / sigma - 1.0).abs() < 1e-4, "{found} for {sigma}");
        }
    }

    #[test]
    fn impossible_shares_are_refused() {
        assert_eq!(solve_lognormal_sigma(500.0, 0.0, 1000.0), None);
        assert_eq!(solve_lognormal_sigma(500.0, 0.6, 1000.0), None, "more than mean / max");
        assert_eq!(solve_lognormal_sigma(1000.0, 0.1, 1000.0), None);
    }
}
