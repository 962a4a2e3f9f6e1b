//! How many distinct experts tokens touch under skewed routing, once for a kind of layer: Σ_e 1 - (1 - q_e)^T and its
//! variance, in cubic pieces over ln T. Within 1e-4 of the sums, which take an exponential for each expert.

use crate::math::{exp, ln};

/// ln T from piece to piece: an octave in four.
const STEP: f64 = std::f64::consts::LN_2 / 4.0;
/// Pieces: to a million tokens.
const PIECES: usize = 80;

/// Mean and variance of the experts touched, by tokens.
#[derive(Debug)]
pub(super) struct Occupancy {
    /// ln(1 - q) of each expert.
    missed: Vec<f64>,
    /// At the end of each piece: mean and variance, each with its slope over a piece.
    nodes: Vec<[[f64; 2]; 2]>,
}

impl Occupancy {
    /// Of experts that a token takes with these chances.
    pub(super) fn of(chances: &[f64]) -> Self {
        let missed = missed(chances);
        let nodes = (0..=PIECES).map(|piece| node(&missed, exp(piece as f64 * STEP))).collect();
        Occupancy { missed, nodes }
    }

    /// Mean and variance of the experts that so many independent tokens touch.
    pub(super) fn at(&self, tokens: f64) -> [f64; 2] {
        let place = ln(tokens) / STEP;
        if !(0.0..PIECES as f64).contains(&place) {
            return sums(&self.missed, tokens);
        }
        let piece = place as usize;
        let t = place - piece as f64;
        let [from, to] = [self.nodes[piece], self.nodes[piece + 1]];
        [0, 1].map(|of| {
            let ([y0, d0], [y1, d1]) = (from[of], to[of]);
            let rise = y1 - y0;
            (y0 + t * d0) + t * t * ((3.0 * rise - 2.0 * d0 - d1) + t * (d0 + d1 - 2.0 * rise))
        })
    }
}

/// ln(1 - q) of each expert.
pub(super) fn missed(chances: &[f64]) -> Vec<f64> {
    chances.iter().map(|chance| ln(1.0 - chance.min(1.0 - 1e-12))).collect()
}

/// Mean and variance of the experts that so many tokens touch, expert by expert.
pub(super) fn sums(missed: &[f64], tokens: f64) -> [f64; 2] {
    let touched = missed.iter().map(|missed| 1.0 - exp(tokens * missed));
    touched.fold([0.0, 0.0], |[mean, variance], p| [mean + p, variance + p * (1.0 - p)])
}

/// The same with their slopes: dp / d ln T = -T ln(1 - q) (1 - q)^T.
fn node(missed: &[f64], tokens: f64) -> [[f64; 2]; 2] {
    let [mean, variance] = sums(missed, tokens);
    let slopes = missed.iter().fold([0.0, 0.0], |[of_mean, of_variance], missed| {
        let left = exp(tokens * missed);
        let slope = -tokens * missed * left;
        [of_mean + slope, of_variance + slope * (2.0 * left - 1.0)]
    });
    [[mean, slopes[0] * STEP], [variance, slopes[1] * STEP]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_the_sums() {
        let even = vec![8.0 / 128.0; 128];
        let skewed: Vec<f64> = (1..=256).map(|rank| (3.0 / f64::from(rank)).min(1.0)).collect();
        for chances in [even, skewed] {
            let occupancy = Occupancy::of(&chances);
            let mut tokens = 0.3;
            while tokens < 4e6 {
                let ([mean, variance], [m, v]) = (occupancy.at(tokens), sums(&occupancy.missed, tokens));
                assert!((mean / m - 1.0).abs() < 1e-4, "{tokens}: {mean} {m}");
                assert!((variance - v).abs() < 1e-4 * m, "{tokens}: {variance} {v}");
                tokens *= 1.037;
            }
            assert_eq!(occupancy.at(0.0), [0.0, 0.0]);
        }
    }
}
