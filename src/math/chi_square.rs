//! Pearson's chi-square test of counts against a law.

use statrs::function::gamma::gamma_ur;

/// The p-value of `counts` under the law `expected` (which sums to one): the chance of a statistic at least as large.
/// Cells that expect fewer than five are pooled with the next ones. One where there is nothing to compare.
pub fn chi_square_p_value(counts: &[u64], expected: &[f64]) -> f64 {
    let n = counts.iter().sum::<u64>() as f64;
    let (mut statistic, mut cells) = (0.0, 0_u32);
    let (mut seen, mut asked) = (0.0, 0.0);
    for (count, share) in counts.iter().zip(expected) {
        seen += *count as f64;
        asked += n * share;
        if asked >= 5.0 {
            statistic += (seen - asked) * (seen - asked) / asked;
            cells += 1;
            (seen, asked) = (0.0, 0.0);
        }
    }
    // What was seen where nothing can be.
    if asked < 1e-9 * n && seen > 0.0 {
        return 0.0;
    }
    if asked > 0.0 {
        statistic += (seen - asked) * (seen - asked) / asked.max(f64::MIN_POSITIVE);
        cells += 1;
    }
    if cells < 2 || statistic <= 0.0 {
        return 1.0;
    }
    // The upper tail of χ² with ν degrees is the regularised incomplete gamma function Q(ν / 2, x / 2).
    gamma_ur(f64::from(cells - 1) / 2.0, statistic / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tabulated_critical_values() {
        // Two cells, n = 1000: statistic 3.841 at 5 %, 6.635 at 1 % with one degree of freedom.
        for (statistic, p) in [(3.841_f64, 0.05), (6.635, 0.01)] {
            let off = (statistic * 250.0).sqrt();
            let counts = [(500.0 + off).round() as u64, (500.0 - off).round() as u64];
            assert!((chi_square_p_value(&counts, &[0.5, 0.5]) - p).abs() < 0.15 * p);
        }
        assert_eq!(chi_square_p_value(&[10, 20], &[1.0 / 3.0, 2.0 / 3.0]), 1.0);
    }

    #[test]
    fn impossible_cells_are_impossible() {
        assert_eq!(chi_square_p_value(&[50, 50, 1], &[0.5, 0.5, 0.0]), 0.0);
        assert_eq!(chi_square_p_value(&[50, 50, 0], &[0.5, 0.5, 0.0]), 1.0);
        assert_eq!(chi_square_p_value(&[], &[]), 1.0);
    }
}
