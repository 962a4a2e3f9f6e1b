//! The tree that engines draft: EAGLE-2's expansion (arXiv 2406.16858) as SGLang runs it.
//!
//! The root gets `top_k` children; at each further depth the `top_k` likeliest of the newest nodes each get `top_k` more.
//! Of all these candidates the likeliest are verified. Likelihood is the believed one of each path, the same in every
//! context: a lower bound on what a drafter that knows its confidence gets out of the same numbers.

use super::{Node, Tree};
use crate::speculation::acceptance::Curve;

struct Candidate {
    parent: usize,
    rank: u8,
    depth: u8,
    chance: f64,
}

impl Tree {
    /// The tree of `nodes` nodes, root included, that `depth` passes over `top_k` beams find; fewer where there are
    /// not as many candidates. At most [`super::MOST_NODES`] are taken.
    pub fn beam(depth: u32, top_k: u32, nodes: u32, curve: &Curve) -> Tree {
        let mut candidates = vec![Candidate { parent: 0, rank: 0, depth: 0, chance: 1.0 }];
        let mut newest = vec![0];
        for d in 0..depth as usize {
            let from = candidates.len();
            for parent in newest {
                for rank in 1..=top_k.min(u32::from(u8::MAX)) {
                    let chance = candidates[parent].chance * curve.chance(d, rank as usize);
                    candidates.push(Candidate { parent, rank: rank as u8, depth: d as u8 + 1, chance });
                }
            }
            newest = likeliest(&candidates, from..candidates.len(), top_k as usize);
        }
        let wanted = (nodes as usize).min(super::MOST_NODES).saturating_sub(1);
        let mut chosen = likeliest(&candidates, 1..candidates.len(), wanted);
        // A child is no likelier than its parent and comes later, so what is chosen is connected.
        chosen.sort_unstable();
        let mut place = vec![0; candidates.len()];
        let mut tree = Tree { nodes: vec![Node { parent: 0, rank: 0, depth: 0 }] };
        for at in chosen {
            let candidate = &candidates[at];
            place[at] = tree.nodes.len();
            tree.nodes.push(Node {
                parent: place[candidate.parent] as u8,
                rank: candidate.rank,
                depth: candidate.depth,
            });
        }
        tree
    }
}

/// The indices of the `count` likeliest, the earlier first among equals.
fn likeliest(candidates: &[Candidate], among: std::ops::Range<usize>, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = among.collect();
    order.sort_by(|a, b| candidates[*b].chance.total_cmp(&candidates[*a].chance));
    order.truncate(count);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speculation::acceptance::{Ranks, power_law};

    fn curve(first: f64, decay: f64) -> Curve {
        Curve::new(power_law(first, decay, 10), Ranks::default()).unwrap_or_else(|e| panic!("{e}"))
    }

    fn length(tree: &Tree, curve: &Curve) -> f64 {
        let mut survival = vec![0.0; tree.depth()];
        tree.survival(curve.rates(), curve.ranks(), &mut survival);
        1.0 + survival.iter().sum::<f64>()
    }

    #[test]
    fn one_beam_is_a_chain() {
        let curve = curve(0.7, 0.1);
        let tree = Tree::beam(5, 1, 6, &curve);
        assert_eq!((tree.nodes().len(), tree.depth()), (6, 5));
        assert!(tree.nodes().iter().skip(1).all(|node| node.rank == 1));
    }

    #[test]
    fn more_room_never_accepts_less() {
        let curve = curve(0.65, 0.1);
        let lengths: Vec<f64> =
            [4, 8, 16, 32, 64].map(|n| length(&Tree::beam(5, 8, n, &curve), &curve)).to_vec();
        assert!(lengths.windows(2).all(|pair| pair[1] >= pair[0]), "{lengths:?}");
        let wider = [1, 2, 4, 8].map(|k| length(&Tree::beam(5, k, 16, &curve), &curve));
        assert!(wider.windows(2).all(|pair| pair[1] >= pair[0] - 1e-12), "{wider:?}");
    }

    #[test]
    fn depth_and_candidates_bound_it() {
        let curve = curve(0.9, 0.0);
        let tree = Tree::beam(2, 3, 60, &curve);
        assert_eq!(tree.nodes().len(), 1 + 3 + 9);
        assert_eq!(tree.depth(), 2);
    }

    #[test]
    fn useless_drafts_still_make_a_tree() {
        let tree = Tree::beam(3, 2, 8, &curve(0.0, 0.0));
        assert_eq!(tree.nodes().len(), 8);
        let indices_fit = tree.nodes().iter().enumerate().skip(1).all(|(i, n)| usize::from(n.parent) < i);
        assert!(indices_fit);
    }
}
