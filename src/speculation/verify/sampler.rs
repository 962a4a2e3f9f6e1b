//! A round of drafting and verification, by random numbers.

use super::Language;
use crate::rng::Stream;
use crate::speculation::acceptance::{Verification, likeliest, tempered};
use crate::speculation::tree::Tree;

/// Verification that accepts more than the target's law allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Relaxation {
    /// None: lossless.
    Exact,
    /// Sampled drafts are accepted with min(1, p / (l·q)), l below one.
    Lenience(f64),
    /// SGLang's `speculative_accept_threshold_single` and `_acc`: a likely draft (p at least the first) is accepted,
    /// others with the running sum of p over the second. Both at one are exact.
    Thresholds {
        /// Of one token's probability.
        single: f64,
        /// That sums are divided by.
        accumulated: f64,
    },
}

/// Bugs to plant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// None.
    None,
    /// After a rejection the token comes from p instead of what p has left.
    ResidualFromTarget,
    /// The token after a whole accepted path comes from the drafter.
    BonusFromDraft,
    /// The number that rejected a draft also picks the token in its place.
    ReusedUniform,
}

/// A target, a drafter, and how one verifies the other.
pub struct Sampler<'a> {
    /// The target.
    pub target: &'a dyn Language,
    /// The drafter.
    pub draft: &'a dyn Language,
    /// The tree of each round; children of a node are tried in the order of their ranks.
    pub tree: &'a Tree,
    /// Semantics.
    pub verification: Verification,
    /// How far it departs from them on purpose.
    pub relaxation: Relaxation,
    /// And by mistake.
    pub flaw: Flaw,
}

/// What happened at a node.
enum Walk {
    To { child: usize, token: u8 },
    Emit(u8),
}

impl Sampler<'_> {
    /// Appends the tokens of one round to `text`.
    pub fn round(&self, text: &mut Vec<u8>, stream: &mut Stream) {
        let mut node = 0;
        loop {
            let children = self.children(node);
            if children.is_empty() {
                let bonus = if self.flaw == Flaw::BonusFromDraft {
                    self.draft.law(text)
                } else {
                    self.target.law(text)
                };
                text.push(pick(&bonus, stream.uniform()));
                return;
            }
            match self.verify(text, children.len(), stream) {
                Walk::To { child, token } => {
                    text.push(token);
                    node = children[child];
                }
                Walk::Emit(token) => {
                    text.push(token);
                    return;
                }
            }
        }
    }

    /// Rounds until there are `tokens` tokens; the rest of the last round is dropped.
    pub fn text(&self, tokens: usize, stream: &mut Stream) -> Vec<u8> {
        let mut text = Vec::new();
        while text.len() < tokens {
            self.round(&mut text, stream);
        }
        text.truncate(tokens);
        text
    }

    /// The node's children by rank.
    pub(super) fn children(&self, node: usize) -> Vec<usize> {
        let mut children: Vec<usize> = (1..self.tree.nodes().len())
            .filter(|at| usize::from(self.tree.nodes()[*at].parent) == node)
            .collect();
        children.sort_by_key(|at| self.tree.nodes()[*at].rank);
        children
    }

    /// The drafter's law as drafts are drawn from it.
    pub(super) fn drafting_law(&self, text: &[u8]) -> Vec<f64> {
        let law = self.draft.law(text);
        match self.verification {
            Verification::Sampled { draft_temperature } | Verification::ExactMatch { draft_temperature } => {
                tempered(&law, draft_temperature)
            }
            Verification::ArgmaxDraft | Verification::TopK { .. } => law,
        }
    }

    /// Chances below which one uniform number accepts child 1, 2, …, for drafts that are not drawn.
    pub(super) fn thresholds(&self, p: &[f64], tokens: &[usize]) -> Vec<f64> {
        let (single, accumulated) = match self.relaxation {
            Relaxation::Thresholds { single, accumulated } => (single, accumulated),
            _ => (1.0, 1.0),
        };
        let (mut sum, mut top) = (0.0, 0.0_f64);
        tokens
            .iter()
            .map(|&x| {
                sum += p[x];
                let chance = if p[x] >= single { 1.0 } else { (sum / accumulated).min(1.0) };
                top = top.max(chance);
                top
            })
            .collect()
    }

    pub(super) fn lenience(&self) -> f64 {
        match self.relaxation {
            Relaxation::Lenience(l) => l,
            _ => 1.0,
        }
    }

    fn verify(&self, text: &[u8], children: usize, stream: &mut Stream) -> Walk {
        let (mut p, mut q) = (self.target.law(text), self.drafting_law(text));
        let whole = p.clone();
        match self.verification {
            Verification::Sampled { .. } => {
                let mut last = 0.0;
                for child in 0..children {
                    let Some(x) = drawn(&q, stream) else { break };
                    last = stream.uniform();
                    if last * q[x] * self.lenience() < p[x] {
                        return Walk::To { child, token: x as u8 };
                    }
                    p = residual(&p, &q);
                    q = without(&q, &[x]);
                }
                Walk::Emit(self.replacement(&whole, &p, last, stream))
            }
            Verification::ArgmaxDraft | Verification::TopK { .. } => {
                let tokens = likeliest(&q, children);
                let u = stream.uniform();
                let below = self.thresholds(&p, &tokens);
                if let Some(child) = below.iter().position(|chance| u < *chance) {
                    return Walk::To { child, token: tokens[child] as u8 };
                }
                Walk::Emit(self.replacement(&whole, &without(&p, &tokens), u, stream))
            }
            Verification::ExactMatch { .. } => {
                let sample = pick(&p, stream.uniform());
                for child in 0..children {
                    let Some(x) = drawn(&q, stream) else { break };
                    if x == usize::from(sample) {
                        return Walk::To { child, token: sample };
                    }
                    q = without(&q, &[x]);
                }
                Walk::Emit(sample)
            }
        }
    }

    /// The token in place of rejected drafts; `left` is what p has left, `used` the number that rejected the last.
    fn replacement(&self, whole: &[f64], left: &[f64], used: f64, stream: &mut Stream) -> u8 {
        match self.flaw {
            Flaw::ResidualFromTarget => pick(whole, stream.uniform()),
            Flaw::ReusedUniform => pick(left, used),
            Flaw::None | Flaw::BonusFromDraft => pick(left, stream.uniform()),
        }
    }
}

/// A token by inversion of its cumulative law.
fn pick(law: &[f64], u: f64) -> u8 {
    let mut left = u;
    for (x, chance) in law.iter().enumerate() {
        left -= chance;
        if left < 0.0 {
            return x as u8;
        }
    }
    law.iter().rposition(|chance| *chance > 0.0).unwrap_or(0) as u8
}

/// A draw from q; none where it has nothing left.
fn drawn(q: &[f64], stream: &mut Stream) -> Option<usize> {
    (q.iter().sum::<f64>() > 0.5).then(|| usize::from(pick(q, stream.uniform())))
}

/// max(p - q, 0), normalised; p itself where nothing is left.
pub(super) fn residual(p: &[f64], q: &[f64]) -> Vec<f64> {
    let left: Vec<f64> = p.iter().zip(q).map(|(p, q)| (p - q).max(0.0)).collect();
    let sum: f64 = left.iter().sum();
    if sum <= 1e-15 { p.to_vec() } else { left.iter().map(|x| x / sum).collect() }
}

/// A law without some tokens, normalised; all zero where nothing is left.
pub(super) fn without(law: &[f64], tokens: &[usize]) -> Vec<f64> {
    let kept: Vec<f64> =
        law.iter().enumerate().map(|(x, chance)| if tokens.contains(&x) { 0.0 } else { *chance }).collect();
    let sum: f64 = kept.iter().sum();
    if sum <= 1e-15 { vec![0.0; law.len()] } else { kept.iter().map(|x| x / sum).collect() }
}
