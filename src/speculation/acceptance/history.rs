//! Suffix and n-gram drafters that grow with earlier rollouts of the same prompt.
//!
//! A(n) = A_0 + (A_inf - A_0)(1 - exp(-n / n0)), an acceptance length after n rollouts of this prompt, siblings of the
//! same group included: sibling i of a group, run after the others, sees i - 1 more. The form follows the published
//! growth of suffix trees over RL steps (arXiv 2511.13841, figure 4), taken per rollout. Leaves out: that siblings run
//! at the same time and see each other's beginnings, and old rollouts that no longer look like the policy.

use super::AcceptanceError;

/// An acceptance length that grows with the rollouts behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct History {
    fresh: f64,
    limit: f64,
    scale: f64,
}

impl History {
    /// `fresh` tokens a round without history, `limit` with endless history, `scale` rollouts to cover 63 % of it.
    pub fn new(fresh: f64, limit: f64, scale: f64) -> Result<Self, AcceptanceError> {
        for (what, value, fine, wanted) in [
            ("length without history", fresh, fresh >= 1.0 && fresh.is_finite(), "at least 1"),
            ("length with endless history", limit, limit >= 1.0 && limit.is_finite(), "at least 1"),
            ("scale of the history", scale, scale > 0.0 && scale.is_finite(), "positive"),
        ] {
            if !fine {
                return Err(AcceptanceError::Parameter { what, value, wanted });
            }
        }
        Ok(History { fresh, limit, scale })
    }

    /// Tokens a round after `rollouts` of this prompt.
    pub fn length(&self, rollouts: f64) -> f64 {
        self.limit - (self.limit - self.fresh) * libm::exp(-rollouts / self.scale)
    }

    /// Tokens a round over a group of `siblings` that run one after the other, `prior` rollouts before them: the
    /// harmonic mean, as equal lengths of text are emitted.
    pub fn group_length(&self, prior: f64, siblings: u32) -> f64 {
        let rounds: f64 = (0..siblings).map(|i| 1.0 / self.length(prior + f64::from(i))).sum();
        if rounds > 0.0 { f64::from(siblings) / rounds } else { self.length(prior) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_from_fresh_to_the_limit() {
        let history = History::new(1.6, 4.6, 320.0).unwrap_or_else(|e| panic!("{e}"));
        // Read off the published figure: 2.6 at 100-200 steps, 3.7 at 400, 4.3 at 800.
        for (n, seen, off) in [(0.0, 1.6, 1e-9), (100.0, 2.6, 0.4), (400.0, 3.7, 0.1), (800.0, 4.3, 0.1)] {
            assert!((history.length(n) - seen).abs() < off, "{n}: {}", history.length(n));
        }
        assert!(history.length(1e6) - 4.6 < 1e-9);
    }

    #[test]
    fn a_group_lies_between_its_first_and_its_last() {
        let history = History::new(1.5, 3.0, 8.0).unwrap_or_else(|e| panic!("{e}"));
        let group = history.group_length(4.0, 8);
        assert!(group > history.length(4.0) && group < history.length(11.0));
        assert_eq!(history.group_length(4.0, 1), history.length(4.0));
        assert!(History::new(0.9, 3.0, 8.0).is_err() && History::new(1.5, 3.0, 0.0).is_err());
    }
}
