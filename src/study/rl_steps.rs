//! A side's RL steps one after the other: what overlaps what, and how acceptance, staleness and the batch go.

use super::compare::Side;
use super::{detail, loops};
use crate::result::StepPoint;
use crate::rl::{Stage, StepRecord, StepWork};

/// Most RL steps of a result; of more, evenly spaced ones are kept.
const MOST: usize = 200;

/// The first draw at nominal seconds, warm-up steps included.
pub(super) fn points(side: &Side<'_>) -> Vec<StepPoint> {
    let Some(steps) = side.draws.first() else { return Vec::new() };
    let records = loops::records(side);
    let stride = steps.len().div_ceil(MOST).max(1);
    let all = steps.iter().zip(&records).enumerate();
    all.step_by(stride).map(|(rl_step, (step, record))| point(rl_step, step, record)).collect()
}

fn point(rl_step: usize, step: &StepWork, record: &StepRecord) -> StepPoint {
    let span = |first: Stage, last: Stage| {
        [record.spans[first as usize].0.seconds(), record.spans[last as usize].1.seconds()]
    };
    StepPoint {
        rl_step: rl_step as u32,
        step_s: record.period(),
        generation_s: span(Stage::Generation, Stage::Generation),
        trainer_s: span(Stage::LogprobOld, Stage::Training),
        acceptance_length: detail::acceptance(step.replicas.iter()).0,
        staleness_mean: record.lag.0,
        staleness_max: record.lag.1,
        running_mean: running(step),
    }
}

/// Sequences that decode at once on all replicas, mean over engine iterations. A sequence emits one token in an iteration
/// beside those that it accepts, so the sequences of all iterations are the tokens without the accepted ones.
pub(super) fn running(step: &StepWork) -> f64 {
    let of = step.replicas.iter().filter(|replica| replica.steps > 0).map(|replica| {
        let accepted: u64 = replica.accepted_at.iter().sum();
        replica.tokens.saturating_sub(accepted) as f64 / replica.steps as f64
    });
    of.sum()
}
