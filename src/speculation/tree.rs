//! Draft trees: nodes that a target verifies in one pass.
//!
//! The root is the last token that is certain; a node is the drafter's j-th choice after its parent. A node is accepted
//! with the product of its path's chances, and at most one node of a depth is. So a tree is, to whoever counts tokens, a
//! chain whose survival at depth d is the sum of these products over the nodes of that depth. Two ways to a tree:
//! `beam` is what engines build (EAGLE-2's expansion with a given number of nodes), `sequoia` the best tree of a size.
//! Leaves out: shapes that follow the drafter's confidence in each context.

mod beam;
mod sequoia;

pub use sequoia::best_tree;

use super::acceptance::Ranks;

/// Most nodes of a tree, root included: the largest verification of the engines that have trees.
pub const MOST_NODES: usize = 64;

/// One node; the root is its own parent, at depth and rank 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Index of the parent, lower than the node's own.
    pub parent: u8,
    /// Which choice of the drafter's after the parent, from 1.
    pub rank: u8,
    /// Tokens from the root.
    pub depth: u8,
}

/// A tree, parents before children; node 0 is the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    nodes: Vec<Node>,
}

/// A tree that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Too many nodes.
    #[error("a tree of {0} nodes, root included; at most {MOST_NODES}")]
    TooManyNodes(usize),
    /// A child that comes before its parent, or has no rank.
    #[error("node {0} has no parent before it, or no rank")]
    Unconnected(usize),
}

impl Tree {
    /// From (parent, rank) of the nodes after the root, in order.
    pub fn new(children: &[(usize, usize)]) -> Result<Self, TreeError> {
        if children.len() + 1 > MOST_NODES {
            return Err(TreeError::TooManyNodes(children.len() + 1));
        }
        let mut nodes = vec![Node { parent: 0, rank: 0, depth: 0 }];
        for (i, &(parent, rank)) in children.iter().enumerate() {
            if parent > i || rank == 0 || rank > usize::from(u8::MAX) {
                return Err(TreeError::Unconnected(i + 1));
            }
            let depth = nodes[parent].depth + 1;
            nodes.push(Node { parent: parent as u8, rank: rank as u8, depth });
        }
        Ok(Tree { nodes })
    }

    /// The nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Tokens from the root to the deepest node.
    pub fn depth(&self) -> usize {
        self.nodes.iter().map(|node| usize::from(node.depth)).max().unwrap_or(0)
    }

    /// Each node's chance to be accepted, for conditional rates by depth.
    pub(super) fn chances(&self, rates: &[f64], ranks: &Ranks) -> [f64; MOST_NODES] {
        let mut chances = [0.0; MOST_NODES];
        chances[0] = 1.0;
        for (i, node) in self.nodes.iter().enumerate().skip(1) {
            let rate = rates.get(usize::from(node.depth) - 1).copied();
            let own = rate.map_or(0.0, |rate| ranks.chance(rate, usize::from(node.rank)));
            chances[i] = chances[usize::from(node.parent)] * own;
        }
        chances
    }

    /// Writes S_1 … S_depth, the chance that at least so many draft tokens are accepted.
    pub fn survival(&self, rates: &[f64], ranks: &Ranks, survival: &mut [f64]) {
        survival.fill(0.0);
        let chances = self.chances(rates, ranks);
        for (node, chance) in self.nodes.iter().zip(chances).skip(1) {
            if let Some(slot) = survival.get_mut(usize::from(node.depth) - 1) {
                *slot += chance;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};

    #[test]
    fn survival_is_what_walking_the_tree_gives() {
        // Root with three children, the first with two, the second with one.
        let tree =
            Tree::new(&[(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (2, 1)]).unwrap_or_else(|e| panic!("{e}"));
        let (rates, ranks) = ([0.6, 0.5], Ranks::default());
        let mut survival = [0.0; 2];
        tree.survival(&rates, &ranks, &mut survival);
        let mut stream = Stream::new(1, Purpose::AcceptDraft, &[]);
        let mut seen = [0_u32; 2];
        let n = 200_000;
        for _ in 0..n {
            let mut at = 0;
            for (depth, rate) in rates.iter().enumerate() {
                let mut u = stream.uniform();
                let child = tree.nodes().iter().enumerate().skip(1).find(|(_, node)| {
                    if usize::from(node.parent) != at || usize::from(node.depth) != depth + 1 {
                        return false;
                    }
                    let chance = ranks.chance(*rate, usize::from(node.rank));
                    u -= chance;
                    u < 0.0
                });
                let Some((child, _)) = child else { break };
                seen[depth] += 1;
                at = child;
            }
        }
        for (s, count) in survival.iter().zip(seen) {
            assert!((s - f64::from(count) / f64::from(n)).abs() < 0.005, "{survival:?} {seen:?}");
        }
    }

    #[test]
    fn impossible_trees_are_refused() {
        assert_eq!(Tree::new(&[(1, 1)]), Err(TreeError::Unconnected(1)));
        assert_eq!(Tree::new(&[(0, 0)]), Err(TreeError::Unconnected(1)));
        let wide: Vec<(usize, usize)> = (1..=64).map(|rank| (0, rank)).collect();
        assert_eq!(Tree::new(&wide), Err(TreeError::TooManyNodes(65)));
        assert_eq!(Tree::new(&wide[..63]).map(|tree| tree.depth()), Ok(1));
    }
}
