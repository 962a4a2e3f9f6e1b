//! The best tree of a size, by Sequoia's dynamic programme (arXiv 2402.12374, section 4.1).
//!
//! With the chance of a child depending on its depth and rank alone, the best subtree of m nodes with l levels left is
//!   F(m, l) = max_b T(m, l, b),  T(m, l, b) = max_y T(y, l, b - 1) + r_b · F(m - y, l - 1),  T(1, l, 0) = 1,
//! b children of which the last takes m - y nodes. Work is of the order depth · branches · nodes². What it finds is
//! compared with all trees of up to seven nodes. Leaves out: the time that depth costs; the solver weighs it.

use super::{MOST_NODES, Tree};
use crate::speculation::acceptance::Curve;

/// The tables of the programme, by levels left, nodes and children.
struct Tables {
    nodes: usize,
    branches: usize,
    /// T, and the y that gave it.
    value: Vec<f64>,
    split: Vec<u8>,
    /// F, and the number of children that gave it.
    best: Vec<f64>,
    children: Vec<u8>,
}

impl Tables {
    fn at(&self, levels: usize, nodes: usize, children: usize) -> usize {
        (levels * (self.nodes + 1) + nodes) * (self.branches + 1) + children
    }

    fn row(&self, levels: usize, nodes: usize) -> usize {
        levels * (self.nodes + 1) + nodes
    }
}

/// Expected tokens a round, bonus included, of the best tree of `nodes` nodes (root included, at most 64), at most
/// `depth` deep and `branches` wide, and that tree. Fewer nodes where no more fit.
pub fn best_tree(nodes: usize, depth: usize, branches: usize, curve: &Curve) -> (f64, Tree) {
    let nodes = nodes.clamp(1, MOST_NODES);
    let depth = depth.min(nodes - 1);
    let branches = branches.min(nodes - 1);
    let cells = (depth + 1) * (nodes + 1);
    let mut tables = Tables {
        nodes,
        branches,
        value: vec![f64::NEG_INFINITY; cells * (branches + 1)],
        split: vec![0; cells * (branches + 1)],
        best: vec![f64::NEG_INFINITY; cells],
        children: vec![0; cells],
    };
    for levels in 0..=depth {
        let leaf = tables.at(levels, 1, 0);
        tables.value[leaf] = 1.0;
        let row = tables.row(levels, 1);
        tables.best[row] = 1.0;
        if levels > 0 {
            fill(&mut tables, levels, depth - levels, curve);
        }
    }
    let reached = (1..=nodes)
        .max_by(|a, b| {
            let of = |m: usize| tables.best[tables.row(depth, m)];
            // The smaller tree among equals.
            of(*a).total_cmp(&of(*b)).then(b.cmp(a))
        })
        .unwrap_or(1);
    let mut children = Vec::with_capacity(reached);
    unfold(&tables, depth, reached, 0, &mut children);
    let expected = tables.best[tables.row(depth, reached)];
    // Written in depth-first order: each parent is there before its children.
    (expected, Tree::new(&children).unwrap_or(Tree { nodes: Vec::new() }))
}

fn fill(tables: &mut Tables, levels: usize, at_depth: usize, curve: &Curve) {
    for m in 2..=tables.nodes {
        let (mut best, mut best_children) = (f64::NEG_INFINITY, 0);
        for b in 1..=tables.branches.min(m - 1) {
            let chance = curve.chance(at_depth, b);
            let (mut value, mut split) = (f64::NEG_INFINITY, 0);
            for y in b..m {
                let candidate = tables.value[tables.at(levels, y, b - 1)]
                    + chance * tables.best[tables.row(levels - 1, m - y)];
                if candidate > value {
                    (value, split) = (candidate, y);
                }
            }
            let cell = tables.at(levels, m, b);
            tables.value[cell] = value;
            tables.split[cell] = split as u8;
            if value > best {
                (best, best_children) = (value, b);
            }
        }
        let row = tables.row(levels, m);
        tables.best[row] = best;
        tables.children[row] = best_children as u8;
    }
}

/// Writes the subtree of `nodes` nodes below `parent`, which is there already.
fn unfold(tables: &Tables, levels: usize, nodes: usize, parent: usize, out: &mut Vec<(usize, usize)>) {
    let mut parts = Vec::new();
    let (mut left, mut rank) = (nodes, usize::from(tables.children[tables.row(levels, nodes)]));
    while rank > 0 {
        let split = usize::from(tables.split[tables.at(levels, left, rank)]);
        parts.push((rank, left - split));
        left = split;
        rank -= 1;
    }
    for (rank, size) in parts.into_iter().rev() {
        out.push((parent, rank));
        let child = out.len();
        unfold(tables, levels - 1, size, child, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speculation::acceptance::{Ranks, power_law};

    fn curve(first: f64, decay: f64) -> Curve {
        Curve::new(power_law(first, decay, 64), Ranks::default()).unwrap_or_else(|e| panic!("{e}"))
    }

    fn length(tree: &Tree, curve: &Curve) -> f64 {
        tree.chances(curve.rates(), curve.ranks())[..tree.nodes().len()].iter().sum()
    }

    /// All trees of `nodes` nodes: each new node is a next-ranked child of some node that is there.
    fn enumerate(nodes: usize, depth: usize, branches: usize, curve: &Curve) -> f64 {
        fn grow(
            children: &mut Vec<(usize, usize)>,
            nodes: usize,
            limits: (usize, usize),
            curve: &Curve,
            best: &mut f64,
        ) {
            let tree = Tree::new(children).unwrap_or_else(|e| panic!("{e}"));
            if tree.depth() > limits.0 {
                return;
            }
            if children.len() + 1 == nodes {
                *best = best.max(length(&tree, curve));
                return;
            }
            for parent in 0..=children.len() {
                let rank = children.iter().filter(|(p, _)| *p == parent).count() + 1;
                if rank <= limits.1 {
                    children.push((parent, rank));
                    grow(children, nodes, limits, curve, best);
                    children.pop();
                }
            }
        }
        let mut best = 0.0;
        grow(&mut Vec::new(), nodes, (depth, branches), curve, &mut best);
        best
    }

    #[test]
    fn no_tree_of_up_to_seven_nodes_is_better() {
        for (first, decay) in [(0.3, 0.2), (0.634, 0.1), (0.9, 0.04)] {
            let curve = curve(first, decay);
            for nodes in 1..=7 {
                for (depth, branches) in [(6, 6), (2, 6), (6, 2), (1, 6)] {
                    let (expected, tree) = best_tree(nodes, depth, branches, &curve);
                    let all = (1..=nodes).map(|n| enumerate(n, depth, branches, &curve)).fold(1.0, f64::max);
                    assert!((expected - all).abs() < 1e-12, "{nodes} {depth} {branches}: {expected} {all}");
                    assert!((length(&tree, &curve) - expected).abs() < 1e-12, "the tree is the one promised");
                }
            }
        }
    }

    #[test]
    fn values_of_the_reference_prototype() {
        // Reference table, a = .741, g = .113: best tree 3.08, 3.45, 3.82, 4.18 at 7, 15, 31, 63 drafted tokens, depth 10.
        // (Its prototype ran with a tail exponent of 1.87 where the published fit is 1.77: hence .04.)
        let curve = curve(0.741, 0.113);
        for (drafted, reference) in [(7, 3.08), (15, 3.45), (31, 3.82), (63, 4.18)] {
            let (expected, tree) = best_tree(drafted + 1, 10, 8, &curve);
            assert!((expected - reference).abs() < 0.04, "{drafted}: {expected}");
            assert!(tree.depth() <= 10 && tree.nodes().len() == drafted + 1);
        }
    }

    #[test]
    fn never_worse_than_what_engines_draft() {
        for (first, decay) in [(0.5, 0.1), (0.74, 0.11), (0.9, 0.03)] {
            let curve = curve(first, decay);
            for (depth, top_k, nodes) in [(3, 5, 8), (5, 8, 32), (8, 4, 48)] {
                let beam = length(&Tree::beam(depth, top_k, nodes, &curve), &curve);
                let (best, _) = best_tree(nodes as usize, depth as usize, top_k as usize, &curve);
                assert!(best >= beam - 1e-12 && beam > 0.9 * best, "{depth} {top_k} {nodes}: {beam} {best}");
            }
        }
    }
}
