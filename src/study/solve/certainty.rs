//! How sure a cell of the table is: in how many calibration worlds its configuration is the best, and what is elsewhere.
//!
//! A world multiplies each family's seconds and shifts all acceptance rates on the logit scale by the scenario's own
//! error; every configuration is priced in the same worlds. Leaves out: uncertain lengths, which move contexts.

use super::Asked;
use crate::speculation::acceptance::{Ranks, shift};
use crate::speculation::solver::{Decision, OFF};
use crate::study::worlds;

/// Worlds behind a share.
const WORLDS: u32 = 128;

/// The winners of a cell over the worlds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Winners {
    /// Share of worlds that the nominal best wins.
    pub(super) share: f64,
    /// Who wins most of the others, and its share of all worlds.
    pub(super) other: Option<(String, f64)>,
}

/// The winners at a cell of the table.
pub(super) fn winners(asked: &Asked, cell: &Decision) -> Winners {
    let (batch, context) = (cell.batch, cell.context);
    let prepared = &asked.prepared;
    let total = context * f64::from(batch);
    let arms = asked.solver.arms();
    let acceptance = prepared.resolved.speculation.as_ref().map(|s| &s.acceptance);
    let (rates, logit_se) = acceptance.map_or((Vec::new(), 0.0), |a| (a.rates_over_all(), a.logit_se));
    let pieces: Vec<_> = arms
        .iter()
        .map(|arm| {
            let piece = prepared.engine.piece(&arm.configuration().shape(batch), total);
            let mut seconds = piece.fixed;
            seconds.iter_mut().zip(piece.per_context_token).for_each(|(sum, slope)| *sum += total * slope);
            seconds
        })
        .collect();
    let ranks = Ranks::default();
    let best_in = |multipliers: &[f64], rates: &[f64]| {
        let rate = |arm: usize| {
            let seconds: f64 = pieces[arm].iter().zip(multipliers).map(|(s, m)| s * m).sum();
            arms[arm].tokens(rates, &ranks).mean / seconds
        };
        // The first among equals, as the solver takes it.
        (0..arms.len()).rev().max_by(|a, b| rate(*a).total_cmp(&rate(*b))).unwrap_or(0)
    };
    let nominal = asked.solver.index_of(cell.configuration).unwrap_or(OFF);
    let mut wins = vec![0_u32; arms.len()];
    let normals = worlds::normals(prepared.resolved.seed, WORLDS);
    // The acceptance's own number: that of a family that no engine step has.
    let of_acceptance = worlds::beyond(prepared.resolved.seed, WORLDS);
    for (z, acceptance) in normals.iter().zip(of_acceptance) {
        let world = worlds::multipliers(z, &prepared.confidence);
        wins[best_in(&world, &shift(&rates, acceptance * logit_se))] += 1;
    }
    let share = |arm: usize| f64::from(wins[arm]) / f64::from(WORLDS);
    let other = (0..arms.len())
        .filter(|arm| *arm != nominal && wins[*arm] > 0)
        .max_by(|a, b| wins[*a].cmp(&wins[*b]).then(b.cmp(a)))
        .map(|arm| (arms[arm].configuration().to_string(), share(arm)));
    Winners { share: share(nominal), other }
}
