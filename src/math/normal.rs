//! The standard normal law, by `statrs`.

use statrs::function::erf;

/// P(Z ≤ x).
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * erf::erfc(-x / std::f64::consts::SQRT_2)
}

/// The inverse of [`normal_cdf`], for 0 < p < 1.
pub fn normal_quantile(p: f64) -> f64 {
    -std::f64::consts::SQRT_2 * erf::erfc_inv(2.0 * p)
}

/// The expected largest of `n` independent standard normal numbers: linear in log2 n between those of 1, 2, 4, … 128, and held
/// beyond (Teichroew 1956; Harter 1961).
pub fn expected_maximum(n: f64) -> f64 {
    const KNOWN: [f64; 8] = [0.0, 0.56, 1.03, 1.42, 1.77, 2.07, 2.34, 2.59];
    if n <= 1.0 {
        return KNOWN[0];
    }
    let octave = libm::log2(n).min(KNOWN.len() as f64 - 1.0);
    let low = (octave as usize).min(KNOWN.len() - 2);
    KNOWN[low] + (octave - low as f64) * (KNOWN[low + 1] - KNOWN[low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_tabulated_values() {
        // Abramowitz & Stegun, table 26.1.
        for (x, p) in [(0.0, 0.5), (1.0, 0.841_344_746_1), (1.959_963_985, 0.975), (-2.5, 0.006_209_665_3)] {
            assert!((normal_cdf(x) - p).abs() < 1e-9, "cdf({x})");
            assert!((normal_quantile(p) - x).abs() < 1e-6, "quantile({p})");
        }
    }

    #[test]
    fn the_expected_maximum_is_that_of_many_draws() {
        use crate::rng::{Purpose, Stream};
        let mut stream = Stream::new(1, Purpose::Calibration, &[]);
        for n in [2, 3, 16, 64, 100] {
            let mut largest =
                || (0..n).map(|_| normal_quantile(stream.open_uniform())).fold(f64::MIN, f64::max);
            let mean = (0..20_000).map(|_| largest()).sum::<f64>() / 20_000.0;
            assert!((mean - expected_maximum(f64::from(n))).abs() < 0.03, "{n}: {mean}");
        }
        assert_eq!((expected_maximum(1.0), expected_maximum(0.0)), (0.0, 0.0));
        assert_eq!(expected_maximum(1e6), expected_maximum(128.0));
    }
}
