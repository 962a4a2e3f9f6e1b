//! Base forms: robust least squares on ln(predicted / measured) over a few bounded parameters.

use crate::math::{expit, levenberg_marquardt, logit};

/// Where errors of a base form stop to count in full (soft L1).
const SOFT: f64 = 0.1;

/// A parameter and the range that it is kept in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    /// Positive.
    Positive,
    /// Between two numbers.
    Between(f64, f64),
}

impl Bound {
    fn open(self, x: f64) -> f64 {
        match self {
            Bound::Positive => libm::log(x.max(1e-9)),
            Bound::Between(low, high) => logit(((x - low) / (high - low)).clamp(1e-3, 1.0 - 1e-3)),
        }
    }

    fn close(self, u: f64) -> f64 {
        match self {
            Bound::Positive => libm::exp(u.clamp(-20.0, 20.0)),
            Bound::Between(low, high) => low + (high - low) * expit(u),
        }
    }
}

/// Fits parameters so that `error(parameters, row)`, a logarithm, is small over `rows` rows of these weights.
pub(super) fn fit<const N: usize>(
    start: [(f64, Bound); N],
    weights: &[f64],
    error: impl Fn(&[f64; N], usize) -> f64,
) -> [f64; N] {
    let close = |u: &[f64]| -> [f64; N] { std::array::from_fn(|i| start[i].1.close(u[i])) };
    let mut u: Vec<f64> = start.iter().map(|(x, bound)| bound.open(*x)).collect();
    let mut robust = weights.to_vec();
    for _ in 0..4 {
        u = levenberg_marquardt(&u, &robust, |u, out| {
            let parameters = close(u);
            out.iter_mut().enumerate().for_each(|(i, o)| *o = error(&parameters, i));
        });
        let parameters = close(&u);
        for (i, (w, first)) in robust.iter_mut().zip(weights).enumerate() {
            let size = error(&parameters, i) / SOFT;
            *w = first / libm::sqrt(1.0 + size * size);
        }
    }
    close(&u)
}

/// A number at the precision at which profiles write it.
pub(super) fn rounded(x: f64) -> f64 {
    if x == 0.0 {
        return 0.0;
    }
    let scale = libm::pow(10.0, 3.0 - libm::floor(libm::log10(x.abs())));
    libm::round(x * scale) / scale
}
