//! What moves the answer: each uncertain input at its 5 % and 95 % value, the others at their best.
//!
//! Families of costs are priced again; inputs that change the rollout itself (acceptance, lengths) are
//! simulated again on the first draw: its first counted step where steps follow each other, else all of them.

use rayon::prelude::*;

use super::compare::Side;
use super::summarise::add_seconds;
use super::worlds::Z95;
use crate::estimate::{FAMILIES, Family};
use crate::resolved::{LengthModel, Source};
use crate::result::{Basis, Sensitivity};
use crate::rl::{self, InputShift, Simulation, StepPlan, StepRecord, StepWork};
use crate::workload::LengthShift;

/// Effects below this share of the step are not listed.
const NEGLIGIBLE: f64 = 1e-4;

/// Effects on the forecast's mean step, largest first.
pub(super) fn table(side: &Side<'_>) -> Vec<Sensitivity> {
    let base = mean_step(side, &[1.0; FAMILIES]);
    let mut rows: Vec<Sensitivity> = Family::ALL
        .into_iter()
        .filter_map(|family| {
            let confidence = side.prepared.confidence[family as usize];
            let at = |z: f64| {
                let mut world = [1.0; FAMILIES];
                world[family as usize] = libm::exp(z * confidence.log_sigma);
                mean_step(side, &world) - base
            };
            let row = Sensitivity {
                input: family.label().to_owned(),
                low_s: at(-Z95),
                high_s: at(Z95),
                basis: basis(side, family),
            };
            worth(row, base)
        })
        .collect();
    rows.extend(simulated(side).into_iter().filter_map(|row| worth(row, base)));
    // Ties (none in practice) keep the order of families: the sort is stable.
    rows.sort_by(|a, b| spread(b).total_cmp(&spread(a)));
    rows
}

fn spread(row: &Sensitivity) -> f64 {
    (row.high_s - row.low_s).abs()
}

fn worth(row: Sensitivity, base: f64) -> Option<Sensitivity> {
    (spread(&row) > NEGLIGIBLE * base).then_some(row)
}

fn mean_step(side: &Side<'_>, world: &[f64; FAMILIES]) -> f64 {
    if !side.loops.is_empty() {
        let steps = side.loops.iter().zip(&side.draws).map(|(run, steps)| run.at(steps, world, 0.0).0.step);
        return steps.sum::<f64>() / side.loops.len() as f64;
    }
    let turns = Simulation::turns(side.prepared);
    if turns.max_staleness > 0 {
        let first = side.first_counted();
        let (sum, n) = side.draws.iter().fold((0.0, 0.0), |(sum, n), steps| {
            let plans: Vec<StepPlan> = steps.iter().map(|step| step.price(world)).collect();
            let mut total = sum;
            add_seconds(&mut total, &plans, first, turns);
            (total, n + (plans.len() - first) as f64)
        });
        return if n > 0.0 { sum / n } else { 0.0 };
    }
    let (sum, n) = side.counted().fold((0.0, 0.0), |(sum, n), step| (sum + seconds(step, world), n + 1.0));
    if n > 0.0 { sum / n } else { 0.0 }
}

fn seconds(step: &StepWork, world: &[f64; FAMILIES]) -> f64 {
    step.price(world).stages.iter().sum()
}

fn basis(side: &Side<'_>, family: Family) -> Basis {
    let resolved = &side.prepared.resolved;
    let source = match family {
        Family::Training => resolved.training.mfu.source,
        Family::Logprob => resolved.training.logprob_mfu.source,
        Family::WeightSync => resolved.cycle.weight_sync.source,
        Family::Prepare => resolved.cycle.prepare.source,
        Family::Data => resolved.cycle.data.source,
        Family::Reward => resolved.reward.seconds.source,
        kernel => return side.prepared.confidence[kernel as usize].tier.into(),
    };
    if source == Source::Given { Basis::Given } else { Basis::Default }
}

/// An uncertain input by its number of standard errors.
type Shifted = fn(f64) -> InputShift;

/// Inputs that change the rollout.
fn simulated(side: &Side<'_>) -> Vec<Sensitivity> {
    let resolved = &side.prepared.resolved;
    let acceptance = |z| InputShift { acceptance: z, ..InputShift::default() };
    let mean = |z| InputShift { lengths: LengthShift { mean: z, sigma: 0.0 }, ..InputShift::default() };
    let sigma = |z| InputShift { lengths: LengthShift { mean: 0.0, sigma: z }, ..InputShift::default() };
    let prompt_mean =
        |z| InputShift { prompts: LengthShift { mean: z, sigma: 0.0 }, ..InputShift::default() };
    let prompt_sigma =
        |z| InputShift { prompts: LengthShift { mean: 0.0, sigma: z }, ..InputShift::default() };
    let mut inputs: Vec<(&str, Shifted)> = Vec::new();
    if resolved
        .speculation
        .as_ref()
        .is_some_and(|s| s.acceptance.logit_se > 0.0 && !s.acceptance.rates.is_empty())
    {
        inputs.push(("acceptance", acceptance));
    }
    if let LengthModel::Lognormal { mean: given, sigma: spread } = &resolved.workload.response_tokens.model {
        if given.se > 0.0 {
            inputs.push(("mean response length", mean));
        }
        if spread.se > 0.0 {
            inputs.push(("spread of response lengths", sigma));
        }
    }
    if let LengthModel::Lognormal { mean: given, sigma: spread } = &resolved.workload.prompt_tokens.model {
        if given.se > 0.0 {
            inputs.push(("mean prompt length", prompt_mean));
        }
        if spread.se > 0.0 {
            inputs.push(("spread of prompt lengths", prompt_sigma));
        }
    }
    if inputs.is_empty() {
        return Vec::new();
    }
    let first = side.first_counted();
    let turns = Simulation::turns(side.prepared);
    let at = |shift: InputShift| {
        let simulation = Simulation::new(side.prepared, shift, side.stepper);
        if side.loops.is_empty() && turns.max_staleness == 0 {
            return seconds(&simulation.step(0, first as u64), &[1.0; FAMILIES]);
        }
        let records = if side.loops.is_empty() {
            let steps = 0..u64::from(resolved.rl_steps);
            let plans: Vec<StepPlan> =
                steps.map(|step| simulation.step(0, step).price(&[1.0; FAMILIES])).collect();
            rl::run(&plans, turns)
        } else {
            simulation.stream(0, 1.0).records
        };
        let counted = &records[first.min(records.len())..];
        counted.iter().map(StepRecord::period).sum::<f64>() / counted.len().max(1) as f64
    };
    let shifts: Vec<InputShift> = std::iter::once(InputShift::default())
        .chain(inputs.iter().flat_map(|(_, shift)| [shift(-Z95), shift(Z95)]))
        .collect();
    let results: Vec<f64> = shifts.into_par_iter().map(at).collect();
    let base = results[0];
    inputs
        .iter()
        .zip(results[1..].chunks(2))
        .map(|((input, _), pair)| Sensitivity {
            input: (*input).to_owned(),
            low_s: pair[0] - base,
            high_s: pair[1] - base,
            basis: Basis::Given,
        })
        .collect()
}
