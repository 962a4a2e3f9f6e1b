//! Verification semantics: how a target and a drafter law become an acceptance rate.
//!
//! With p the target's law and q the drafter's at one position:
//!   sampled       x ~ q, accepted with min(1, p/q):      a = Σ min(p, q) = 1 - TV(p, q)  (arXiv 2211.17192)
//!   argmax draft  x = argmax q, accepted with p(x):      a = p(argmax q)  (vLLM V1's default, pull request 16899)
//!   exact match   x ~ q, accepted if the target samples x: a = Σ p·q
//!   top-k tree    the k likeliest of q, the target samples among them or not: a = Σ p over them
//!                 (SGLang, `tree_speculative_sampling_target_only` with both thresholds at 1)
//! Hence exact match ≤ sampled, argmax draft ≤ max p, top-1 = argmax draft, and a draft temperature of zero turns all
//! of the first three into argmax draft. Leaves out: positions (a caller averages over contexts).

/// How drafts are made and verified.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verification {
    /// Sampled drafts and rejection sampling.
    Sampled {
        /// Temperature of the drafter, relative to the law given; 1 leaves it as it is.
        draft_temperature: f64,
    },
    /// The drafter's likeliest token, accepted as often as the target would sample it.
    ArgmaxDraft,
    /// Sampled drafts, accepted where they equal the target's own sample.
    ExactMatch {
        /// Temperature of the drafter, relative to the law given.
        draft_temperature: f64,
    },
    /// The target samples; a draft is accepted where the sample is among the drafter's `k` likeliest.
    TopK {
        /// Children of a node.
        k: usize,
    },
}

impl Verification {
    /// The chance that a position is accepted, given the target's and the drafter's law over one vocabulary.
    pub fn acceptance(self, target: &[f64], draft: &[f64]) -> f64 {
        match self {
            Verification::Sampled { draft_temperature } => {
                let draft = tempered(draft, draft_temperature);
                target.iter().zip(&draft).map(|(p, q)| p.min(*q)).sum()
            }
            Verification::ArgmaxDraft => likeliest(draft, 1).iter().map(|x| target[*x]).sum(),
            Verification::ExactMatch { draft_temperature } => {
                let draft = tempered(draft, draft_temperature);
                target.iter().zip(&draft).map(|(p, q)| p * q).sum()
            }
            Verification::TopK { k } => likeliest(draft, k).iter().map(|x| target[*x]).sum(),
        }
    }
}

/// A law at another temperature: ∝ law^(1/T); at zero all of it on the likeliest (the first of equals).
pub fn tempered(law: &[f64], temperature: f64) -> Vec<f64> {
    if temperature == 1.0 {
        return law.to_vec();
    }
    if temperature <= 0.0 {
        let best = likeliest(law, 1);
        return (0..law.len()).map(|x| f64::from(u8::from(best.contains(&x)))).collect();
    }
    let top = law.iter().copied().fold(0.0, f64::max);
    let powers: Vec<f64> = law.iter().map(|q| libm::pow(q / top, 1.0 / temperature)).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|q| q / sum).collect()
}

/// Half the sum of absolute differences of two laws: 0 for equal ones, at most 1.
pub fn total_variation(a: &[f64], b: &[f64]) -> f64 {
    0.5 * a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>()
}

/// The `k` likeliest tokens, likeliest first, the lower index first among equals.
pub(in crate::speculation) fn likeliest(law: &[f64], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..law.len()).collect();
    order.sort_by(|a, b| law[*b].total_cmp(&law[*a]));
    order.truncate(k);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SAMPLED: Verification = Verification::Sampled { draft_temperature: 1.0 };
    const MATCH: Verification = Verification::ExactMatch { draft_temperature: 1.0 };

    #[test]
    fn the_four_semantics_on_a_law_worked_by_hand() {
        let (p, q) = ([0.5, 0.3, 0.2], [0.2, 0.7, 0.1]);
        assert!((SAMPLED.acceptance(&p, &q) - 0.6).abs() < 1e-12);
        assert!((Verification::ArgmaxDraft.acceptance(&p, &q) - 0.3).abs() < 1e-12);
        assert!((MATCH.acceptance(&p, &q) - 0.33).abs() < 1e-12);
        assert!((Verification::TopK { k: 2 }.acceptance(&p, &q) - 0.8).abs() < 1e-12);
    }

    fn laws() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
        let law = || {
            proptest::collection::vec(0.01_f64..1.0, 6).prop_map(|weights| {
                let sum: f64 = weights.iter().sum();
                weights.iter().map(|w| w / sum).collect::<Vec<f64>>()
            })
        };
        (law(), law())
    }

    proptest! {
        #[test]
        fn the_relations_between_them((p, q) in laws(), k in 1_usize..6) {
            let (sampled, matched) = (SAMPLED.acceptance(&p, &q), MATCH.acceptance(&p, &q));
            let argmax = Verification::ArgmaxDraft.acceptance(&p, &q);
            prop_assert!(matched <= sampled + 1e-12);
            prop_assert!((sampled - (1.0 - total_variation(&p, &q))).abs() < 1e-12);
            prop_assert!(argmax <= p.iter().copied().fold(0.0, f64::max) + 1e-12);
            let (narrow, wide) = (Verification::TopK { k }, Verification::TopK { k: k + 1 });
            prop_assert!(narrow.acceptance(&p, &q) <= wide.acceptance(&p, &q) + 1e-12);
            let single = Verification::TopK { k: 1 }.acceptance(&p, &q);
            prop_assert!((single - argmax).abs() < 1e-12);
            for cold in [
                Verification::Sampled { draft_temperature: 0.0 },
                Verification::ExactMatch { draft_temperature: 0.0 },
            ] {
                prop_assert!((cold.acceptance(&p, &q) - argmax).abs() < 1e-12);
            }
        }

        #[test]
        fn a_policy_step_moves_sampled_acceptance_by_no_more_than_its_distance((p, q) in laws(), (r, _) in laws()) {
            // Staleness: |Δa| ≤ TV(new policy, old policy) for any drafter.
            let moved = (SAMPLED.acceptance(&p, &q) - SAMPLED.acceptance(&r, &q)).abs();
            prop_assert!(moved <= total_variation(&p, &r) + 1e-12);
        }
    }

    #[test]
    fn temperature_sharpens_and_flattens() {
        let law = [0.6, 0.3, 0.1];
        let cold = tempered(&law, 0.5);
        assert!((cold[0] - 0.36 / 0.46).abs() < 1e-12, "squares, normalised");
        assert!(tempered(&law, 2.0)[0] < 0.6);
        assert_eq!(tempered(&law, 0.0), vec![1.0, 0.0, 0.0]);
    }
}
