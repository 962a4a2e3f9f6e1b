//! Exact draws from the binomial and the hypergeometric law.
//!
//! Small means by inversion of the cumulative sum; large binomials by BTRS, transformed rejection with a
//! squeeze (Hörmann, "The generation of binomial random variates", J. Stat. Comput. Simul. 46, 1993);
//! hypergeometrics by inversion outwards from the mode, whose expected work is the standard deviation. All
//! logarithms are of the crate `libm`, so that a seed gives the same draws on every machine; that is why
//! `rand_distr`, whose arithmetic follows the platform once any crate turns that on, is not used here.

use crate::rng::Stream;

/// Largest mean that is drawn by inversion.
const INVERSION: f64 = 10.0;

/// Successes among `n` independent trials of probability `p`; `p` outside [0, 1] is taken as its nearer end.
pub fn binomial(stream: &mut Stream, n: u32, p: f64) -> u32 {
    if n == 0 || p <= 0.0 {
        return 0;
    }
    if p >= 1.0 {
        return n;
    }
    if p > 0.5 {
        return n - lower_half(stream, n, 1.0 - p);
    }
    lower_half(stream, n, p)
}

fn lower_half(stream: &mut Stream, n: u32, p: f64) -> u32 {
    if f64::from(n) * p < INVERSION { by_inversion(stream, n, p) } else { by_rejection(stream, n, p) }
}

/// Walks up the cumulative sum from zero.
fn by_inversion(stream: &mut Stream, n: u32, p: f64) -> u32 {
    let odds = p / (1.0 - p);
    let mut mass = power(1.0 - p, n);
    let mut u = stream.uniform();
    let mut k = 0;
    while u >= mass && k < n {
        u -= mass;
        mass *= odds * f64::from(n - k) / f64::from(k + 1);
        k += 1;
    }
    k
}

/// x to the n-th, by squares: a few products where exp and ln would cost more than the draw.
fn power(x: f64, n: u32) -> f64 {
    let (mut square, mut left, mut product) = (x, n, 1.0);
    while left > 0 {
        if left % 2 == 1 {
            product *= square;
        }
        square *= square;
        left /= 2;
    }
    product
}

/// BTRS, for n·p ≥ 10 and p ≤ 1/2.
fn by_rejection(stream: &mut Stream, n: u32, p: f64) -> u32 {
    let nf = f64::from(n);
    let spread = libm::sqrt(nf * p * (1.0 - p));
    let b = 1.15 + 2.53 * spread;
    let a = -0.0873 + 0.0248 * b + 0.01 * p;
    let c = nf * p + 0.5;
    let vr = 0.92 - 4.2 / b;
    // What only the slow test needs, computed when it is first reached.
    let mut slow: Option<(f64, f64, f64, f64)> = None;
    loop {
        let v = stream.uniform();
        let u = stream.uniform() - 0.5;
        let us = 0.5 - u.abs();
        let k = libm::floor((2.0 * a / us + b) * u + c);
        if us >= 0.07 && v <= vr {
            return k as u32;
        }
        if k < 0.0 || k > nf {
            continue;
        }
        let (alpha, log_odds, mode, at_mode) = *slow.get_or_insert_with(|| {
            let mode = libm::floor((nf + 1.0) * p);
            let at_mode = ln_factorial(mode) + ln_factorial(nf - mode);
            ((2.83 + 5.1 / b) * spread, libm::log(p / (1.0 - p)), mode, at_mode)
        });
        let bound = libm::log(v * alpha / (a / (us * us) + b));
        if bound <= at_mode - ln_factorial(k) - ln_factorial(nf - k) + (k - mode) * log_odds {
            return k as u32;
        }
    }
}

/// Marked items among `draws` taken without replacement from `marked` + `unmarked`; `draws` beyond all of
/// them takes all.
pub fn hypergeometric(stream: &mut Stream, marked: u32, unmarked: u32, draws: u32) -> u32 {
    let total = marked + unmarked;
    if draws == 0 || marked == 0 {
        return 0;
    }
    if unmarked == 0 || draws >= total {
        return marked.min(draws);
    }
    let (g, b, d, t) = (f64::from(marked), f64::from(unmarked), f64::from(draws), f64::from(total));
    let (low, high) = (draws.saturating_sub(unmarked), marked.min(draws));
    let mode = (libm::floor((d + 1.0) * (g + 1.0) / (t + 2.0)) as u32).clamp(low, high);
    let ln_choose = |n: f64, k: f64| ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
    let m = f64::from(mode);
    let mass = libm::exp(ln_choose(g, m) + ln_choose(b, d - m) - ln_choose(t, d));
    let mut u = stream.uniform() - mass;
    if u < 0.0 {
        return mode;
    }
    let (mut above, mut below) = (mass, mass);
    let (mut up, mut down) = (mode, mode);
    loop {
        let (can_up, can_down) = (up < high, down > low);
        if can_up {
            let k = f64::from(up);
            above *= (g - k) * (d - k) / ((k + 1.0) * (b - d + k + 1.0));
            up += 1;
            u -= above;
            if u < 0.0 {
                return up;
            }
        }
        if can_down {
            let k = f64::from(down);
            below *= k * (b - d + k) / ((g - k + 1.0) * (d - k + 1.0));
            down -= 1;
            u -= below;
            if u < 0.0 {
                return down;
            }
        }
        // Rounding may leave a last sliver of probability, below 1e-12, beyond both ends.
        if !can_up && !can_down {
            return mode;
        }
    }
}

/// ln n!, for whole n ≥ 0: a table below 16, Stirling's series above (error below 1e-13).
fn ln_factorial(n: f64) -> f64 {
    const TABLE: [f64; 16] = [
        0.0,
        0.0,
        std::f64::consts::LN_2,
        1.791_759_469_228_055,
        3.178_053_830_347_946,
        4.787_491_742_782_046,
        6.579_251_212_010_101,
        8.525_161_361_065_415,
        10.604_602_902_745_25,
        12.801_827_480_081_47,
        15.104_412_573_075_516,
        17.502_307_845_873_887,
        19.987_214_495_661_885,
        22.552_163_853_123_42,
        25.191_221_182_738_68,
        27.899_271_383_840_894,
    ];
    if n < 16.0 {
        return TABLE[n as usize];
    }
    let inverse = 1.0 / (n + 1.0);
    let squared = inverse * inverse;
    let series =
        inverse * (1.0 / 12.0 - squared * (1.0 / 360.0 - squared * (1.0 / 1260.0 - squared / 1680.0)));
    (n + 0.5) * libm::log(n + 1.0) - (n + 1.0) + 0.918_938_533_204_672_8 + series
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;
    use statrs::distribution::{Binomial, ChiSquared, ContinuousCDF, Discrete, Hypergeometric};
    use statrs::function::factorial::ln_factorial as reference;

    #[test]
    fn powers_match_the_reference() {
        for (x, n) in [(0.3, 0), (0.3, 1), (0.97, 300), (0.999_999, 4_000_000), (0.5, 19)] {
            let (ours, theirs) = (power(x, n), libm::pow(x, f64::from(n)));
            assert!((ours - theirs).abs() <= 1e-9 * theirs, "{x}^{n}: {ours} {theirs}");
        }
    }

    #[test]
    fn ln_factorial_matches_the_reference() {
        for n in [0_u32, 1, 5, 15, 16, 17, 100, 2_500, 1_000_000] {
            let (ours, theirs) = (ln_factorial(f64::from(n)), reference(u64::from(n)));
            assert!((ours - theirs).abs() <= 1e-12 * theirs.max(1.0), "{n}: {ours} {theirs}");
        }
    }

    /// The p-value of Pearson's chi-square of `draws` against a law, cells below 5 expected pooled.
    fn p_value(draws: &[u32], pmf: impl Fn(u32) -> f64, top: u32) -> f64 {
        let mut seen = vec![0_u32; top as usize + 1];
        for &d in draws {
            seen[d as usize] += 1;
        }
        let n = draws.len() as f64;
        let (mut statistic, mut cells) = (0.0, 0);
        let (mut pooled_seen, mut pooled_expected) = (0.0, 0.0);
        for k in 0..=top {
            pooled_seen += f64::from(seen[k as usize]);
            pooled_expected += n * pmf(k);
            if pooled_expected >= 5.0 {
                statistic += (pooled_seen - pooled_expected).powi(2) / pooled_expected;
                cells += 1;
                (pooled_seen, pooled_expected) = (0.0, 0.0);
            }
        }
        let law = ChiSquared::new(f64::from((cells - 1).max(1))).unwrap_or_else(|e| panic!("{e}"));
        1.0 - law.cdf(statistic)
    }

    #[test]
    fn binomials_follow_their_law_in_every_regime() {
        let cases =
            [(1, 0.3), (7, 0.95), (40, 0.2), (40, 0.3), (1000, 0.3), (2500, 0.71), (2500, 0.003), (500, 0.5)];
        for (case, (n, p)) in cases.into_iter().enumerate() {
            let mut stream = Stream::new(11, Purpose::AcceptDraft, &[case as u64]);
            let draws: Vec<u32> = (0..60_000).map(|_| binomial(&mut stream, n, p)).collect();
            let law = Binomial::new(p, u64::from(n)).unwrap_or_else(|e| panic!("{e}"));
            let value = p_value(&draws, |k| law.pmf(u64::from(k)), n);
            // 16 tests in this file: Bonferroni at .001 overall.
            assert!(value > 6e-5, "binomial({n}, {p}): p = {value}");
            let mean = draws.iter().map(|&d| f64::from(d)).sum::<f64>() / 60_000.0;
            let se = (f64::from(n) * p * (1.0 - p) / 60_000.0).sqrt();
            assert!((mean - f64::from(n) * p).abs() < 4.5 * se, "binomial({n}, {p}): mean {mean}");
        }
    }

    #[test]
    fn hypergeometrics_follow_their_law() {
        let cases = [
            (1, 1, 1),
            (5, 3, 4),
            (300, 700, 400),
            (700, 300, 900),
            (20, 2000, 50),
            (3, 100, 60),
            (90, 2, 50),
            (1500, 900, 7),
        ];
        for (case, (marked, unmarked, taken)) in cases.into_iter().enumerate() {
            let mut stream = Stream::new(12, Purpose::AcceptDraft, &[case as u64]);
            let draws: Vec<u32> =
                (0..60_000).map(|_| hypergeometric(&mut stream, marked, unmarked, taken)).collect();
            let law = Hypergeometric::new(u64::from(marked + unmarked), u64::from(marked), u64::from(taken))
                .unwrap_or_else(|e| panic!("{e}"));
            let value = p_value(&draws, |k| law.pmf(u64::from(k)), marked.min(taken));
            assert!(value > 6e-5, "hypergeometric({marked}, {unmarked}, {taken}): p = {value}");
        }
    }

    #[test]
    fn a_planted_bias_of_one_percent_is_caught() {
        let mut stream = Stream::new(13, Purpose::AcceptDraft, &[]);
        let draws: Vec<u32> = (0..60_000).map(|_| binomial(&mut stream, 1000, 0.303)).collect();
        let law = Binomial::new(0.3, 1000).unwrap_or_else(|e| panic!("{e}"));
        assert!(p_value(&draws, |k| law.pmf(u64::from(k)), 1000) < 1e-6);
    }

    #[test]
    fn certain_draws_are_certain() {
        let mut stream = Stream::new(1, Purpose::AcceptDraft, &[]);
        assert_eq!(binomial(&mut stream, 9, 0.0), 0);
        assert_eq!(binomial(&mut stream, 9, 1.0), 9);
        assert_eq!(binomial(&mut stream, 0, 0.5), 0);
        assert_eq!(hypergeometric(&mut stream, 5, 0, 3), 3);
        assert_eq!(hypergeometric(&mut stream, 0, 5, 3), 0);
        assert_eq!(hypergeometric(&mut stream, 5, 4, 9), 5);
    }
}
