//! Mean, median and a 5-95 % interval of a set of numbers.

/// A summary of samples.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "simulator", derive(serde::Serialize, serde::Deserialize))]
pub struct Summary {
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub median: f64,
    /// 5 % quantile.
    pub p05: f64,
    /// 95 % quantile.
    pub p95: f64,
    /// Samples.
    pub n: usize,
}

impl Summary {
    /// Of the given samples; all zero when there are none.
    pub fn of(samples: &[f64]) -> Self {
        if samples.is_empty() {
            return Summary { mean: 0.0, median: 0.0, p05: 0.0, p95: 0.0, n: 0 };
        }
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        Summary {
            mean: sorted.iter().sum::<f64>() / sorted.len() as f64,
            median: quantile_sorted(&sorted, 0.5),
            p05: quantile_sorted(&sorted, 0.05),
            p95: quantile_sorted(&sorted, 0.95),
            n: sorted.len(),
        }
    }
}

/// The `q` quantile of ascending numbers, linear between order statistics (Hyndman and Fan, type 7).
/// Zero for no numbers.
pub fn quantile_sorted(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let position = q.clamp(0.0, 1.0) * last as f64;
    let low = position.floor() as usize;
    let high = (low + 1).min(last);
    sorted[low] + (position - low as f64) * (sorted[high] - sorted[low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_match_type_7() {
        // R: quantile(c(1, 2, 4, 8), c(.05, .5, .95)) = 1.15 3 7.4
        let summary = Summary::of(&[8.0, 1.0, 4.0, 2.0]);
        assert!((summary.p05 - 1.15).abs() < 1e-12);
        assert!((summary.median - 3.0).abs() < 1e-12);
        assert!((summary.p95 - 7.4).abs() < 1e-12);
        assert!((summary.mean - 3.75).abs() < 1e-12);
    }

    #[test]
    fn one_and_no_samples() {
        assert_eq!(Summary::of(&[2.5]).p95, 2.5);
        assert_eq!(Summary::of(&[]).n, 0);
    }
}
