//! What to measure to decide between two plans: which uncertain input explains most of the spread of their difference.
//!
//! Over all draws and worlds, the difference of their objectives is set beside each input's own standard normal number; the
//! squared correlation is the share of its variance that a line in that input explains. Inputs are independent, so shares add
//! up to about 1, and to less where the difference is curved.

use serde::Serialize;

use super::answer::Finalist;
use super::attempt::prepare;
use super::goal::{Goal, Objective};
use super::space::Space;
use crate::estimate::Family;
use crate::study::worlds;

/// Inputs that are listed.
const MOST: usize = 3;
/// Shares below this are the noise of a few draws.
const LEAST: f64 = 0.02;
/// Draws from which inputs that a draw shifts can be told apart.
const DRAWS: usize = 4;

/// One thing to measure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measure {
    /// The input.
    pub input: String,
    /// Share of the variance of the difference that it explains.
    pub share: f64,
    /// How to know it better.
    pub how: String,
}

/// What decides between two finalists, largest share first.
pub(super) fn between(
    space: &Space,
    goal: &Goal,
    first: &Finalist<'_>,
    second: &Finalist<'_>,
) -> Vec<Measure> {
    let Ok(prepared) = prepare(space, second.seen.candidate) else { return Vec::new() };
    let resolved = &prepared.resolved;
    let (draws, n) = (resolved.uncertainty.workload_draws, resolved.uncertainty.worlds);
    let objective = |f: &Finalist<'_>, seconds: f64| match goal.minimise {
        Objective::StepS => seconds,
        Objective::UsdPerStep | Objective::Gpus => seconds * f.seen.facts.usd_per_s,
    };
    let pairs = first.figures.seconds.iter().zip(&second.figures.seconds);
    let difference: Vec<f64> = pairs.map(|(a, b)| objective(second, *b) - objective(first, *a)).collect();
    let worlds = n as usize;
    if difference.len() != draws as usize * worlds {
        return Vec::new();
    }
    let normals = worlds::normals(resolved.seed, n);
    let beyond = worlds::beyond(resolved.seed, n);
    let mut found: Vec<Measure> = Family::ALL
        .into_iter()
        .map(|family| {
            let z = |at: usize| normals[at % worlds][family as usize];
            Measure {
                input: family.label().to_owned(),
                share: correlation(&difference, z).powi(2),
                how: how(family).to_owned(),
            }
        })
        .collect();
    found.push(Measure {
        input: "beyond the fitted ranges".to_owned(),
        share: correlation(&difference, |at| beyond[at % worlds]).powi(2),
        how: "kernel times of these shapes, such as collectives between nodes: rollcast fit".to_owned(),
    });
    if draws as usize >= DRAWS {
        let shifts = worlds::input_shifts(resolved.seed, draws);
        let mut input = |name: &str, how: &str, z: &dyn Fn(usize) -> f64| {
            let share = correlation(&difference, |at| z(at / worlds)).powi(2);
            found.push(Measure { input: name.to_owned(), share, how: how.to_owned() });
        };
        let counters = "the engine's acceptance counters over some hundred requests of this workload";
        input("acceptance", counters, &|draw| shifts[draw].acceptance);
        let logs = "the lengths of one RL step of this workload";
        input("mean response length", logs, &|draw| shifts[draw].lengths.mean);
        input("spread of response lengths", logs, &|draw| shifts[draw].lengths.sigma);
    }
    found.retain(|measure| measure.share >= LEAST);
    found.sort_by(|a, b| b.share.total_cmp(&a.share));
    found.truncate(MOST);
    found
}

/// Pearson's correlation with an input; 0 where either does not move.
fn correlation(difference: &[f64], z: impl Fn(usize) -> f64) -> f64 {
    let n = difference.len().max(1) as f64;
    let mean = difference.iter().sum::<f64>() / n;
    let z_mean = (0..difference.len()).map(&z).sum::<f64>() / n;
    let (mut both, mut own, mut its) = (0.0, 0.0, 0.0);
    for (at, d) in difference.iter().enumerate() {
        let (x, y) = (d - mean, z(at) - z_mean);
        both += x * y;
        own += x * x;
        its += y * y;
    }
    let scale = (own * its).sqrt();
    if scale > 0.0 { both / scale } else { 0.0 }
}

fn how(family: Family) -> &'static str {
    match family {
        Family::Gemm
        | Family::Attention
        | Family::VerifyAttention
        | Family::Moe
        | Family::Elementwise
        | Family::Collective
        | Family::Sampling => "kernel times of this device at this layout: rollcast fit",
        Family::Host | Family::DraftHost => {
            "one benchmark of the engine at this batch, with and without drafting"
        }
        Family::Training => "seconds of one training step on these GPUs: training.mfu",
        Family::Logprob => "seconds of one log-prob pass on these GPUs: training.logprob_mfu",
        Family::WeightSync => "seconds of one weight transfer: loop.weight_sync: { seconds }",
        Family::Prepare => "seconds from new weights to the first token: loop.prepare_seconds",
        Family::Data => "seconds to load an RL step's prompts: loop.data_seconds",
        Family::Reward => "seconds of an RL step's rewards: reward",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_together_correlates() {
        let z = [-1.5, -0.5, 0.5, 1.5];
        let line = z.map(|z| 3.0 + 2.0 * z);
        assert!((correlation(&line, |at| z[at]) - 1.0).abs() < 1e-12);
        assert!((correlation(&line, |at| -z[at]) + 1.0).abs() < 1e-12);
        assert_eq!(correlation(&[1.0; 4], |at| z[at]), 0.0);
        let even = z.map(|z| z * z);
        assert!(correlation(&even, |at| z[at]).abs() < 1e-12, "a curve is no line");
    }
}
