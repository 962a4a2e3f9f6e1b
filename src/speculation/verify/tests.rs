//! Lossless schemes are, relaxed ones differ as their formulas say, bugs are found.

use super::*;
use crate::math::chi_square_p_value;
use crate::rng::{Purpose, Stream};
use crate::speculation::acceptance::Verification;
use crate::speculation::tree::Tree;

const TARGET: Hashed = Hashed { seed: 11, vocabulary: 5, sharpness: 3.0, blend: 0.0 };
const DRAFT: Hashed = Hashed { seed: 11, vocabulary: 5, sharpness: 2.0, blend: 0.4 };
const SAMPLES: usize = 60_000;

const SEMANTICS: [Verification; 5] = [
    Verification::Sampled { draft_temperature: 1.0 },
    Verification::Sampled { draft_temperature: 0.5 },
    Verification::ArgmaxDraft,
    Verification::ExactMatch { draft_temperature: 1.0 },
    Verification::TopK { k: 3 },
];

fn chain() -> Tree {
    Tree::new(&[(0, 1), (1, 1), (2, 1)]).unwrap_or_else(|e| panic!("{e}"))
}

fn tree() -> Tree {
    Tree::new(&[(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (2, 1), (4, 1)]).unwrap_or_else(|e| panic!("{e}"))
}

fn sampler(tree: &Tree, verification: Verification) -> Sampler<'_> {
    Sampler {
        target: &TARGET,
        draft: &DRAFT,
        tree,
        verification,
        relaxation: Relaxation::Exact,
        flaw: Flaw::None,
    }
}

/// The p-value of sampled texts against a law.
fn p_value(sampler: &Sampler<'_>, tokens: usize, law: &[f64], seed: u64) -> f64 {
    let mut counts = vec![0_u64; law.len()];
    let mut stream = Stream::new(seed, Purpose::AcceptDraft, &[]);
    for _ in 0..SAMPLES {
        let text = sampler.text(tokens, &mut stream);
        counts[text.iter().fold(0, |index, x| index * 5 + usize::from(*x))] += 1;
    }
    chi_square_p_value(&counts, law)
}

#[test]
fn lossless_in_law_under_every_semantics() {
    for tree in [chain(), tree()] {
        for verification in SEMANTICS {
            for tokens in [1, 2, 3] {
                let off = shift(&sampler(&tree, verification), tokens);
                assert!(off < 1e-12, "{verification:?}, {tokens} tokens: {off}");
            }
        }
    }
}

#[test]
fn lossless_in_samples_first_token_and_pairs() {
    // 20 tests: at .001 over all of them.
    for (which, tree) in [chain(), tree()].iter().enumerate() {
        for (row, verification) in SEMANTICS.into_iter().enumerate() {
            let sampler = sampler(tree, verification);
            for tokens in [1, 2] {
                let seed = (100 * which + 10 * row + tokens) as u64;
                let value = p_value(&sampler, tokens, &target_law(&sampler, tokens), seed);
                assert!(value > 5e-5, "{verification:?}, {tokens} tokens: p = {value}");
            }
        }
    }
}

#[test]
fn acceptance_is_what_the_formulas_say() {
    let one = Tree::new(&[(0, 1)]).unwrap_or_else(|e| panic!("{e}"));
    for verification in SEMANTICS {
        let width = if let Verification::TopK { k } = verification { k } else { 1 };
        let wide: Vec<(usize, usize)> = (1..=width).map(|rank| (0, rank)).collect();
        let tree = if width == 1 { one.clone() } else { Tree::new(&wide).unwrap_or_else(|e| panic!("{e}")) };
        let sampler = sampler(&tree, verification);
        let mut stream = Stream::new(77, Purpose::AcceptDraft, &[]);
        let mut two = 0;
        for _ in 0..SAMPLES {
            let mut text = Vec::new();
            sampler.round(&mut text, &mut stream);
            two += usize::from(text.len() == 2);
        }
        let expected = verification.acceptance(&TARGET.law(&[]), &DRAFT.law(&[]));
        let seen = two as f64 / SAMPLES as f64;
        assert!((seen - expected).abs() < 0.009, "{verification:?}: {seen} {expected}");
    }
}

#[test]
fn planted_bugs_are_found() {
    let (chain, tree) = (chain(), tree());
    let sampled = SEMANTICS[0];
    for (tree, verification, flaw, tokens) in [
        (&chain, sampled, Flaw::ResidualFromTarget, 1),
        (&chain, sampled, Flaw::ReusedUniform, 1),
        (&chain, Verification::ArgmaxDraft, Flaw::ResidualFromTarget, 1),
        (&chain, Verification::ArgmaxDraft, Flaw::ReusedUniform, 1),
        (&chain, sampled, Flaw::BonusFromDraft, 4),
        (&tree, sampled, Flaw::ResidualFromTarget, 1),
        (&tree, Verification::TopK { k: 3 }, Flaw::BonusFromDraft, 2),
        (&tree, Verification::ExactMatch { draft_temperature: 1.0 }, Flaw::BonusFromDraft, 2),
    ] {
        let sampler = Sampler { flaw, ..sampler(tree, verification) };
        let value = p_value(&sampler, tokens, &target_law(&sampler, tokens), 5);
        assert!(value < 1e-6, "{flaw:?} under {verification:?} passes with p = {value}");
    }
}

#[test]
fn lenience_shifts_by_its_closed_form_and_samples_agree() {
    let one = Tree::new(&[(0, 1)]).unwrap_or_else(|e| panic!("{e}"));
    let (p, q) = (TARGET.law(&[]), DRAFT.law(&[]));
    let mut last = 0.0;
    for l in [1.0, 0.8, 0.5, 0.2] {
        let sampler = Sampler { relaxation: Relaxation::Lenience(l), ..sampler(&one, SEMANTICS[0]) };
        let accepted: Vec<f64> = p.iter().zip(&q).map(|(p, q)| q * (p / (l * q)).min(1.0)).collect();
        let left: Vec<f64> = p.iter().zip(&q).map(|(p, q)| (p - q).max(0.0)).collect();
        let (rejected, sum) = (1.0 - accepted.iter().sum::<f64>(), left.iter().sum::<f64>());
        let off = 0.5
            * p.iter()
                .zip(&accepted)
                .zip(&left)
                .map(|((p, a), r)| (a + rejected * r / sum - p).abs())
                .sum::<f64>();
        assert!((shift(&sampler, 1) - off).abs() < 1e-12, "{l}");
        assert!(off >= last, "more lenient, further away");
        last = off;
        assert!(p_value(&sampler, 2, &law(&sampler, 2), 9) > 5e-5);
    }
    assert!(last > 0.05, "{last}");
}

#[test]
fn thresholds_of_one_are_exact_and_lower_ones_are_not() {
    let tree = tree();
    let at = |single, accumulated| Sampler {
        relaxation: Relaxation::Thresholds { single, accumulated },
        ..sampler(&tree, Verification::TopK { k: 3 })
    };
    assert!(shift(&at(1.0, 1.0), 2) < 1e-12);
    let (mild, strong) = (shift(&at(1.0, 0.9), 2), shift(&at(0.3, 0.6), 2));
    assert!(mild > 0.005 && strong > mild, "{mild} {strong}");
    assert!(p_value(&at(0.3, 0.6), 2, &law(&at(0.3, 0.6), 2), 3) > 5e-5);
}
