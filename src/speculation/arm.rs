//! A configuration with its tree, ready to say how many tokens a round yields.

use super::Configuration;
use super::acceptance::{Curve, Ranks};
use super::tree::{MOST_NODES, Tree};

/// A configuration, its topology laid out once.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    configuration: Configuration,
    tree: Option<Tree>,
    depth: usize,
}

/// Tokens of a round, bonus included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Yield {
    /// Expected tokens: the acceptance length.
    pub mean: f64,
    /// Their variance.
    pub variance: f64,
}

impl Arm {
    /// Lays a tree out for the acceptance in `curve`; it stays as it is when beliefs move later.
    pub fn new(configuration: Configuration, curve: &Curve) -> Self {
        let tree = match configuration {
            Configuration::Tree { depth, top_k, verify_tokens } => {
                Some(Tree::beam(depth, top_k, verify_tokens, curve))
            }
            _ => None,
        };
        let depth = (configuration.depth() as usize).min(MOST_NODES);
        let depth = tree.as_ref().map_or(depth, Tree::depth);
        Arm { configuration, tree, depth }
    }

    /// The configuration.
    #[inline]
    pub fn configuration(&self) -> Configuration {
        self.configuration
    }

    /// The tree, where it is one.
    pub fn tree(&self) -> Option<&Tree> {
        self.tree.as_ref()
    }

    /// Most draft tokens that a round accepts.
    #[inline]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// S_1 … S_depth, zeros beyond: the chance that a round accepts at least so many draft tokens, at conditional
    /// rates by depth. Allocates nothing.
    pub fn survival(&self, rates: &[f64], ranks: &Ranks) -> [f64; MOST_NODES] {
        let mut survival = [0.0; MOST_NODES];
        if let Some(tree) = &self.tree {
            tree.survival(rates, ranks, &mut survival[..self.depth]);
        } else {
            let mut product = 1.0;
            for (slot, rate) in survival[..self.depth].iter_mut().zip(rates) {
                product *= rate;
                *slot = product;
            }
        }
        survival
    }

    /// Expected tokens of a round and their variance.
    pub fn tokens(&self, rates: &[f64], ranks: &Ranks) -> Yield {
        let survival = self.survival(rates, ranks);
        let (mut mean, mut square) = (1.0, 1.0);
        for (j, s) in survival[..self.depth].iter().enumerate() {
            // E[T²] = Σ (2t - 1) P(T ≥ t), with T = 1 + accepted.
            mean += s;
            square += (2.0 * (j as f64 + 2.0) - 1.0) * s;
        }
        Yield { mean, variance: (square - mean * mean).max(0.0) }
    }

    /// For each depth, of the rounds that got there the share that had a first-ranked child to try, and of the
    /// acceptances there the share that such a child had.
    pub(super) fn first_rank_shares(&self, rates: &[f64], ranks: &Ranks) -> [(f64, f64); MOST_NODES] {
        let Some(tree) = &self.tree else { return [(1.0, 1.0); MOST_NODES] };
        let chances = tree.chances(rates, ranks);
        let (mut reached, mut tried, mut first) =
            ([0.0; MOST_NODES + 1], [0.0; MOST_NODES], [0.0; MOST_NODES]);
        for (i, node) in tree.nodes().iter().enumerate() {
            let depth = usize::from(node.depth);
            reached[depth] += chances[i];
            if node.rank == 1 {
                tried[depth - 1] += chances[usize::from(node.parent)];
                first[depth - 1] += chances[i];
            }
        }
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 1.0 };
        std::array::from_fn(|j| (share(tried[j], reached[j]), share(first[j], reached[j + 1])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speculation::acceptance::{acceptance_length, power_law};

    fn curve(first: f64) -> Curve {
        Curve::new(power_law(first, 0.08, 10), Ranks::default()).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn a_chain_yields_the_geometric_series() {
        // Leviathan et al., equation 1: (1 - a^(K+1)) / (1 - a).
        let rates = [0.8; 4];
        let arm = Arm::new(Configuration::chain(4), &curve(0.8));
        let tokens = arm.tokens(&rates, &Ranks::default());
        assert!((tokens.mean - (1.0 - 0.8_f64.powi(5)) / 0.2).abs() < 1e-12);
        let law = [0.2, 0.16, 0.128, 0.1024, 0.4096];
        let variance: f64 =
            law.iter().enumerate().map(|(n, p)| p * (n as f64 + 1.0 - tokens.mean).powi(2)).sum();
        assert!((tokens.variance - variance).abs() < 1e-12);
    }

    #[test]
    fn off_yields_one_token_and_a_short_belief_nothing_beyond_it() {
        let off = Arm::new(Configuration::Off, &curve(0.8));
        assert_eq!(off.tokens(&[0.8], &Ranks::default()), Yield { mean: 1.0, variance: 0.0 });
        let chain = Arm::new(Configuration::chain(7), &curve(0.8));
        assert!((chain.tokens(&[0.5, 0.5], &Ranks::default()).mean - 1.75).abs() < 1e-12);
    }

    #[test]
    fn a_tree_beats_the_chain_inside_it() {
        let curve = curve(0.6);
        let tree = Configuration::tree(5, 4, 16).unwrap_or_else(|e| panic!("{e}"));
        let tokens = Arm::new(tree, &curve).tokens(curve.rates(), curve.ranks());
        assert!(tokens.mean > acceptance_length(&curve.rates()[..5]), "{tokens:?}");
        assert!(tokens.mean < 6.0 && tokens.variance > 0.0);
    }
}
