//! The beta law, as equal-weight nodes: the quantiles at the middles of `n` equal slices.

use statrs::function::beta::inv_beta_reg;

/// `n` nodes of Beta(mean·concentration, (1 - mean)·concentration), each of weight 1/n.
///
/// `mean` in (0, 1), `concentration` > 0. The nodes' own mean differs from `mean` by O(1/n²) in the bulk;
/// callers that need it exact solve for it.
pub fn beta_nodes(mean: f64, concentration: f64, n: usize) -> Vec<f64> {
    let (a, b) = (mean * concentration, (1.0 - mean) * concentration);
    (0..n).map(|i| inv_beta_reg(a, b, (i as f64 + 0.5) / n as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_the_nodes_match_the_law() {
        let (mean, concentration) = (0.75, 12.0);
        let nodes = beta_nodes(mean, concentration, 512);
        let m = nodes.iter().sum::<f64>() / 512.0;
        let v = nodes.iter().map(|x| (x - m).powi(2)).sum::<f64>() / 512.0;
        let expected = mean * (1.0 - mean) / (concentration + 1.0);
        assert!((m - mean).abs() < 2e-4, "{m}");
        assert!((v / expected - 1.0).abs() < 0.01, "{v} {expected}");
    }
}
