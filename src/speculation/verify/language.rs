//! Laws of the next token, small enough to enumerate.

use crate::rng::mix;

/// A language model over few tokens.
pub trait Language {
    /// Tokens there are.
    fn vocabulary(&self) -> usize;

    /// The law of the token after `prefix`; it sums to one.
    fn law(&self, prefix: &[u8]) -> Vec<f64>;
}

/// Laws that are a hash of the prefix: every context differs, none is special.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hashed {
    /// Which language.
    pub seed: u64,
    /// Tokens.
    pub vocabulary: usize,
    /// How peaked: 0 is uniform, 3 is like a confident model.
    pub sharpness: f64,
    /// How much of `seed`'s own law is mixed with that of seed + 1, 0 to 1: a drafter that resembles a target.
    pub blend: f64,
}

impl Hashed {
    fn logits(&self, seed: u64, prefix: &[u8]) -> Vec<f64> {
        let mut key = mix(seed);
        for token in prefix {
            key = mix(key ^ (u64::from(*token) + 1));
        }
        (0..self.vocabulary as u64).map(|x| (mix(key ^ mix(x)) >> 11) as f64 / (1_u64 << 53) as f64).collect()
    }
}

impl Language for Hashed {
    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn law(&self, prefix: &[u8]) -> Vec<f64> {
        let (own, other) = (self.logits(self.seed, prefix), self.logits(self.seed + 1, prefix));
        let weights: Vec<f64> = own
            .iter()
            .zip(&other)
            .map(|(a, b)| libm::exp(self.sharpness * ((1.0 - self.blend) * a + self.blend * b)))
            .collect();
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|w| w / sum).collect()
    }
}
