//! p-norms of two times where costs are priced: (a^p + b^p)^(1/p) = b·g(a/b) for a ≤ b, with g(x) = (1 + x^p)^(1/p) in cubic
//! pieces over √x. Within 1e-6 of the definition for p from 1 on, at a quarter of the time of its two powers and two logarithms.

use std::sync::Arc;

use super::p_norm;

/// Pieces over √x from 0 to 1.
const PIECES: usize = 128;

/// Soft maxima with one exponent.
#[derive(Debug, Clone)]
pub struct Corner {
    p: f64,
    /// Coefficients of each piece, the constant first; none where the definition is as quick.
    pieces: Option<Arc<[[f64; 4]]>>,
}

impl Corner {
    /// With this exponent, at least 1.
    pub fn new(p: f64) -> Self {
        let pieces = (p != 1.0 && p != 2.0).then(|| {
            let nodes: Vec<[f64; 2]> = (0..=PIECES).map(|i| node(i as f64 / PIECES as f64, p)).collect();
            nodes.windows(2).map(|ends| hermite(ends[0], ends[1])).collect()
        });
        Corner { p, pieces }
    }

    /// The norm of two times, none of them negative.
    #[inline]
    pub fn norm(&self, a: f64, b: f64) -> f64 {
        let (low, high) = if a < b { (a, b) } else { (b, a) };
        let Some(pieces) = &self.pieces else { return p_norm(a, b, self.p) };
        if low <= 0.0 {
            return high.max(0.0);
        }
        let place = libm::sqrt(low / high) * PIECES as f64;
        let piece = (place as usize).min(PIECES - 1);
        let t = place - piece as f64;
        let [c0, c1, c2, c3] = pieces[piece];
        high * ((c0 + t * c1) + t * t * (c2 + t * c3))
    }
}

/// g at √x = `y`, and its slope over a piece there.
fn node(y: f64, p: f64) -> [f64; 2] {
    let power = libm::pow(y, 2.0 * p);
    let value = libm::pow(1.0 + power, 1.0 / p);
    let slope = if y > 0.0 { 2.0 * power / y * value / (1.0 + power) } else { 0.0 };
    [value, slope / PIECES as f64]
}

/// The cubic that has these values and slopes at 0 and 1.
fn hermite([y0, d0]: [f64; 2], [y1, d1]: [f64; 2]) -> [f64; 4] {
    let rise = y1 - y0;
    [y0, d0, 3.0 * rise - 2.0 * d0 - d1, d0 + d1 - 2.0 * rise]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_norm_of_the_definition() {
        for (p, within) in
            [(1.0, 1e-12), (1.05, 1e-6), (1.2, 5e-7), (2.0, 1e-12), (3.3, 1e-8), (3.7, 1e-8), (8.0, 1e-6)]
        {
            let corner = Corner::new(p);
            for i in 0..=4000 {
                let (a, b) = (f64::from(i) * 1e-9, 4e-6);
                let plain = libm::pow(libm::pow(a, p) + libm::pow(b, p), 1.0 / p);
                for norm in [corner.norm(a, b), corner.norm(b, a)] {
                    assert!((norm / plain - 1.0).abs() < within, "p {p}: {a} {b} {norm} {plain}");
                }
            }
            assert_eq!(
                [corner.norm(0.0, 3.0), corner.norm(3.0, 0.0), corner.norm(0.0, 0.0)],
                [3.0, 3.0, 0.0]
            );
        }
    }

    #[test]
    fn more_of_either_time_is_more_together() {
        for p in [1.05, 1.25, 2.0, 3.66] {
            let corner = Corner::new(p);
            let mut last = [0.0; 2];
            for i in 1..20_000 {
                let x = f64::from(i) * 1e-4;
                // Alone it may fall by what rounding of its pieces is.
                let now = [corner.norm(x, 1.0), corner.norm(1.0, x)];
                assert!(now[0] == now[1] && now[0] > last[0] - 1e-11, "p {p}: {x}");
                last = now;
            }
        }
    }
}
