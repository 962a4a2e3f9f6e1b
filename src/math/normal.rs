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
}
