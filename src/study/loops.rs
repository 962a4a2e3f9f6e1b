//! Staleness, waste and bias of a side's loop.

use super::compare::Side;
use super::summarise::Priced;
use crate::estimate::FAMILIES;
use crate::math::Summary;
use crate::result::LoopStats;
use crate::rl::{self, Simulation, Stage, StepPlan, StepRecord};
use crate::rollout::Outcome;

/// Nominal, of the first draw's RL steps that count (a replica's mean seconds: of all draws'); the price over all draws and worlds.
pub(super) fn stats(side: &Side<'_>, priced: &Priced) -> LoopStats {
    let resolved = &side.prepared.resolved;
    let prompts = f64::from(resolved.workload.prompts_per_step);
    let usd = resolved.usd_per_second() / prompts;
    let price: Vec<f64> = priced.step_s.iter().map(|seconds| seconds * usd).collect();
    let mut stats = LoopStats {
        staleness_mean: 0.0,
        staleness_max: 0,
        staleness_shares: Vec::new(),
        trained_response_mean: 0.0,
        started_response_mean: 0.0,
        length_bias: 0.0,
        wasted_token_share: 0.0,
        wasted_prompts_per_trained: 0.0,
        filtered_prompts_per_trained: 0.0,
        engine_busy_share: 0.0,
        trainer_busy_share: 0.0,
        replica_mean_s: 0.0,
        usd_per_trained_prompt: Summary::of(&price),
        simulated_paces: 0,
    };
    let Some(steps) = side.draws.first() else { return stats };
    let first = side.first_counted().min(steps.len().saturating_sub(1));
    let generating = side.draws.iter().flat_map(|steps| steps.iter().skip(first));
    let (mut replica_s, mut replica_steps) = (0.0, 0.0);
    for step in generating {
        replica_s += step.replicas.iter().map(Outcome::nominal).sum::<f64>();
        replica_steps += f64::from(resolved.generation.replicas);
    }
    stats.replica_mean_s = replica_s / f64::max(replica_steps, 1.0);
    let counted = &steps[first..];
    let records = records(side);
    let records = &records[first..];
    let seconds: f64 = records.iter().map(StepRecord::period).sum::<f64>().max(f64::MIN_POSITIVE);
    let samples: f64 = counted.iter().map(|step| step.samples as f64).sum::<f64>().max(1.0);
    stats.trained_response_mean =
        counted.iter().map(|step| step.response_tokens as f64).sum::<f64>() / samples;
    stats.started_response_mean = stats.trained_response_mean;
    stats.staleness_mean = records.iter().map(|r| r.lag.0).sum::<f64>() / records.len().max(1) as f64;
    stats.staleness_max = records.iter().map(|r| r.lag.1).max().unwrap_or(0);
    let working = counted.iter().flat_map(|step| &step.replicas).map(Outcome::nominal).sum::<f64>();
    stats.engine_busy_share = working / f64::from(resolved.generation.replicas) / seconds;
    let computing = [Stage::LogprobOld, Stage::LogprobReference, Stage::Training];
    let spans = records.iter().flat_map(|r| computing.map(|stage| r.spans[stage as usize]));
    stats.trainer_busy_share = spans.map(|(start, end)| end.since(start).seconds()).sum::<f64>() / seconds;
    stats.staleness_shares = vec![0.0; stats.staleness_max as usize + 1];
    let Some(loops) = side.loops.first() else {
        for record in records {
            stats.staleness_shares[record.lag.1 as usize] += 1.0 / records.len() as f64;
        }
        return stats;
    };
    let trained = &loops.nominal.trained[first..];
    for lag in trained.iter().flat_map(|step| &step.staleness) {
        stats.staleness_shares[*lag as usize] += 1.0 / samples;
    }
    stats.started_response_mean = trained.last().map_or(0.0, |step| step.mean_started);
    stats.length_bias = stats.trained_response_mean / stats.started_response_mean.max(1.0) - 1.0;
    let groups = prompts * trained.len() as f64;
    let sum = |of: fn(&rl::streams::Trained) -> u64| trained.iter().map(|t| of(t) as f64).sum::<f64>();
    let wasted = sum(|step| step.wasted_tokens);
    stats.wasted_token_share = wasted / (wasted + stats.trained_response_mean * samples).max(1.0);
    stats.wasted_prompts_per_trained = sum(|step| step.wasted_groups) / groups;
    stats.filtered_prompts_per_trained = sum(|step| step.filtered_groups) / groups;
    stats.simulated_paces = loops.paces() as u32;
    stats
}

/// When the stages of the first draw ran, nominal seconds.
pub(super) fn records(side: &Side<'_>) -> Vec<StepRecord> {
    if let Some(loops) = side.loops.first() {
        return loops.nominal.records.clone();
    }
    let Some(steps) = side.draws.first() else { return Vec::new() };
    let plans: Vec<StepPlan> = steps.iter().map(|step| step.price(&[1.0; FAMILIES])).collect();
    rl::run(&plans, Simulation::turns(side.prepared))
}
