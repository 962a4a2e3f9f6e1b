//! The acceptance that a configuration meets: rates by depth, and how further ranks share what the first leaves.
//!
//! At depth d the drafter's first choice is accepted with rate a_d, its j-th, where none before it was, with
//!   r_1 = a_d,  r_j = (1 - a_d) · w_j,  w_j = 0.295 · (j / 2)^-1.77 for j ≥ 2.
//! The tail is fitted to the acceptance vector that Sequoia publishes (arXiv 2402.12374: .634 .108 .057 .022 .019
//! .015 …); another vector can be given and is scaled by what the first rank leaves. Leaves out: that a confident
//! drafter puts its ranks where they are worth most (EAGLE-2's realised confidences).

use super::AcceptanceError;

/// Ranks that are ever counted.
const MOST_RANKS: usize = 64;

/// How the ranks after the first share the chance that the first is rejected.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranks {
    /// w_2, w_3, …
    tail: Vec<f64>,
}

impl Default for Ranks {
    /// The fitted power law.
    fn default() -> Self {
        let tail = (2..=MOST_RANKS).map(|j| 0.295 * libm::pow(j as f64 / 2.0, -1.77)).collect();
        Ranks { tail }
    }
}

impl Ranks {
    /// From a vector r_1, r_2, … of chances that the j-th rank is accepted and none before it was.
    pub fn given(vector: &[f64]) -> Result<Self, AcceptanceError> {
        if let Some((position, &rate)) =
            vector.iter().enumerate().find(|(_, rate)| !(0.0..=1.0).contains(*rate))
        {
            return Err(AcceptanceError::Rate { position, rate });
        }
        let sum: f64 = vector.iter().sum();
        if sum > 1.0 + 1e-9 {
            return Err(AcceptanceError::Ranks { sum });
        }
        let left = 1.0 - vector.first().copied().unwrap_or(0.0);
        let share = |r: &f64| if left > 0.0 { r / left } else { 0.0 };
        Ok(Ranks { tail: vector.iter().skip(1).map(share).collect() })
    }

    /// The chance of rank `j` (from 1) where the first rank's is `rate`.
    #[inline]
    pub fn chance(&self, rate: f64, j: usize) -> f64 {
        match j {
            0 => 0.0,
            1 => rate,
            _ => (1.0 - rate) * self.tail.get(j - 2).copied().unwrap_or(0.0),
        }
    }
}

/// Acceptance by depth and rank.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    rates: Vec<f64>,
    ranks: Ranks,
}

impl Curve {
    /// From conditional rates: `rates[d]` is the chance that draft token d is accepted, given those before it.
    pub fn new(rates: Vec<f64>, ranks: Ranks) -> Result<Self, AcceptanceError> {
        match rates.iter().position(|rate| !(0.0..=1.0).contains(rate)) {
            Some(position) => Err(AcceptanceError::Rate { position, rate: rates[position] }),
            None => Ok(Curve { rates, ranks }),
        }
    }

    /// From unconditional rates S_1, S_2, …, as vLLM takes them for synthetic acceptance.
    pub fn from_survival(survival: &[f64], ranks: Ranks) -> Result<Self, AcceptanceError> {
        let mut before = 1.0;
        let mut rates = Vec::with_capacity(survival.len());
        for (position, &s) in survival.iter().enumerate() {
            if !(0.0..=1.0).contains(&s) {
                return Err(AcceptanceError::Rate { position, rate: s });
            }
            if s > before {
                return Err(AcceptanceError::RisingSurvival { position, survival: s });
            }
            rates.push(if before > 0.0 { s / before } else { 0.0 });
            before = s;
        }
        Ok(Curve { rates, ranks })
    }

    /// Depths that have a rate; nothing is accepted beyond.
    pub fn depth(&self) -> usize {
        self.rates.len()
    }

    /// The conditional rates.
    pub fn rates(&self) -> &[f64] {
        &self.rates
    }

    /// The law of further ranks.
    pub fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    /// The chance that the child of rank `j` (from 1) of an accepted node at `depth` (the root's is 0) is accepted.
    pub fn chance(&self, depth: usize, j: usize) -> f64 {
        self.rates.get(depth).map_or(0.0, |rate| self.ranks.chance(*rate, j))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_follows_the_published_vector() {
        let curve = Curve::new(vec![0.634], Ranks::default()).unwrap_or_else(|e| panic!("{e}"));
        for (j, published) in [(1, 0.634), (2, 0.108), (3, 0.057), (4, 0.0225), (5, 0.0195), (6, 0.015)] {
            assert!((curve.chance(0, j) - published).abs() < 0.012, "rank {j}: {}", curve.chance(0, j));
        }
        let all: f64 = (1..=MOST_RANKS).map(|j| curve.chance(0, j)).sum();
        assert!(all < 1.0, "{all}");
        assert_eq!(curve.chance(1, 1), 0.0);
    }

    #[test]
    fn a_given_vector_comes_back_at_its_own_rate() {
        let ranks = Ranks::given(&[0.68, 0.126, 0.047]).unwrap_or_else(|e| panic!("{e}"));
        assert!((ranks.chance(0.68, 2) - 0.126).abs() < 1e-12 && ranks.chance(0.68, 4) == 0.0);
        assert!(ranks.chance(0.9, 2) < 0.126, "a better first rank leaves less");
    }

    #[test]
    fn impossible_rates_are_refused() {
        let error = |result: Result<Curve, AcceptanceError>| match result {
            Ok(curve) => panic!("{curve:?}"),
            Err(error) => error,
        };
        assert_eq!(
            error(Curve::new(vec![0.5, 1.2], Ranks::default())),
            AcceptanceError::Rate { position: 1, rate: 1.2 }
        );
        assert!(Curve::new(vec![f64::NAN], Ranks::default()).is_err());
        assert_eq!(
            error(Curve::from_survival(&[0.5, 0.6], Ranks::default())),
            AcceptanceError::RisingSurvival { position: 1, survival: 0.6 }
        );
        assert!(matches!(Ranks::given(&[0.9, 0.2]), Err(AcceptanceError::Ranks { .. })));
        let curve = Curve::from_survival(&[0.8, 0.4], Ranks::default()).unwrap_or_else(|e| panic!("{e}"));
        assert!((curve.rates()[1] - 0.5).abs() < 1e-12);
    }
}
