//! What a side looks like inside: acceptance, the batch over time, the long tail, rows of steps.

use super::compare::Side;
use super::drafting;
use crate::estimate::FAMILIES;
use crate::result::{BatchPoint, Completion, LengthBin, StepRow};
use crate::rl::{self, InputShift, Simulation, Stage, StepPlan, StepRecord, StepWork};
use crate::rollout::Outcome;
use crate::workload::Generator;

/// Points of the batch-over-time curve.
const CURVE_POINTS: usize = 120;
/// Samples that count as the long tail.
const TAIL: f64 = 0.05;

/// Pooled acceptance length (1 where nothing was drafted) and conditional rates by position.
pub(super) fn acceptance<'a>(replicas: impl Iterator<Item = &'a Outcome>) -> (f64, Vec<f64>) {
    let (mut rounds, mut accepted) = (0_u64, Vec::<u64>::new());
    for replica in replicas {
        rounds += replica.rounds;
        accepted.resize(accepted.len().max(replica.accepted_at.len()), 0);
        for (sum, at) in accepted.iter_mut().zip(&replica.accepted_at) {
            *sum += at;
        }
    }
    if rounds == 0 {
        return (1.0, Vec::new());
    }
    let mut before = rounds;
    let rates = accepted.iter().map(|&at| {
        let rate = if before > 0 { at as f64 / before as f64 } else { 0.0 };
        before = at;
        rate
    });
    let rates: Vec<f64> = rates.collect();
    (1.0 + accepted.iter().sum::<u64>() as f64 / rounds as f64, rates)
}

/// Share of a rollout's nominal seconds after all but its last 5 % of samples have completed.
pub(super) fn tail_share(step: &StepWork) -> f64 {
    let mut ends: Vec<f64> =
        step.replicas.iter().flat_map(|r| r.completions.iter().map(|(_, end)| *end)).collect();
    ends.sort_by(f64::total_cmp);
    let Some(&last) = ends.last() else { return 0.0 };
    let tail = ((ends.len() as f64 * TAIL).ceil() as usize).min(ends.len());
    let before = ends.len().checked_sub(tail + 1).map_or(0.0, |i| ends[i]);
    if last > 0.0 { 1.0 - before / last } else { 0.0 }
}

/// All replicas' batches together, at even times of the first counted step of the first draw.
pub(super) fn batch_over_time(side: &Side<'_>) -> Vec<BatchPoint> {
    let Some(step) = side.draws.first().and_then(|steps| steps.get(side.first_counted())) else {
        return Vec::new();
    };
    if step.replicas.iter().all(|replica| replica.timeline.is_empty()) {
        return Vec::new();
    }
    let end = step.replicas.iter().map(Outcome::nominal).fold(0.0, f64::max) + step.pause;
    let drafted = drafting::draft_tokens(side, step);
    let mut cursors = vec![0; step.replicas.len()];
    (0..=CURVE_POINTS)
        .map(|point| {
            let seconds = end * point as f64 / CURVE_POINTS as f64;
            let (mut running, mut waiting, mut tokens) = (0, 0, 0);
            for (place, (replica, cursor)) in step.replicas.iter().zip(&mut cursors).enumerate() {
                while replica.timeline.get(*cursor + 1).is_some_and(|next| next.seconds <= seconds) {
                    *cursor += 1;
                }
                if let Some(at) = replica.timeline.get(*cursor) {
                    running += at.running;
                    waiting += at.waiting;
                    tokens += at.running * drafted.as_ref().map_or(0, |k| k[place][*cursor]);
                }
            }
            let draft_tokens =
                (drafted.is_some() && running > 0).then(|| f64::from(tokens) / f64::from(running));
            BatchPoint { seconds, running, waiting, draft_tokens }
        })
        .collect()
}

/// Shares of a rollout's samples at which [`completions`] tells the time: finer where the tail is.
const DONE: [f64; 25] = [
    0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9,
    0.95, 0.96, 0.97, 0.98, 0.99, 1.0,
];
/// Ranges of the response lengths.
const LENGTH_BINS: u32 = 32;

/// When shares of the samples were done, in the first counted step of the first draw.
pub(super) fn completions(side: &Side<'_>) -> Vec<Completion> {
    let Some(step) = side.draws.first().and_then(|steps| steps.get(side.first_counted())) else {
        return Vec::new();
    };
    let mut ends: Vec<f64> =
        step.replicas.iter().flat_map(|r| r.completions.iter().map(|(_, end)| *end)).collect();
    if ends.is_empty() {
        return Vec::new();
    }
    ends.sort_by(f64::total_cmp);
    // The time at which at least that share is done.
    let at = |share: f64| match (share * ends.len() as f64).ceil() as usize {
        0 => Some(0.0),
        n => ends.get(n - 1).copied(),
    };
    DONE.into_iter().filter_map(|share| Some(Completion { share, seconds: at(share)? })).collect()
}

/// The response lengths of that step, in even ranges up to the maximum.
pub(super) fn response_lengths(side: &Side<'_>, shift: InputShift) -> Vec<LengthBin> {
    let workload = &side.prepared.resolved.workload;
    let samples = Generator::new(workload, side.prepared.resolved.seed, shift.lengths)
        .step(0, side.first_counted() as u64);
    let longest = samples.iter().map(|sample| sample.response).max().unwrap_or(0).max(1);
    let width = longest.div_ceil(LENGTH_BINS).max(1);
    let mut bins: Vec<LengthBin> = (0..longest.div_ceil(width))
        .map(|bin| LengthBin {
            from: bin * width + 1,
            to: ((bin + 1) * width).min(longest),
            samples: 0,
            clipped: 0,
        })
        .collect();
    for sample in &samples {
        let place = sample.response.saturating_sub(1) / width;
        if let Some(bin) = bins.get_mut(place as usize) {
            bin.samples += 1;
            bin.clipped += u32::from(sample.clipped);
        }
    }
    bins
}

/// Nominal plans of one draw.
pub(super) fn plans(steps: &[StepWork]) -> Vec<StepPlan> {
    steps.iter().map(|step| step.price(&[1.0; FAMILIES])).collect()
}

/// One row a draw and RL step.
pub(super) fn step_rows(side: &Side<'_>) -> Vec<StepRow> {
    let first = side.first_counted();
    let turns = Simulation::turns(side.prepared);
    let mut rows = Vec::new();
    for (draw, steps) in side.draws.iter().enumerate() {
        let plans = plans(steps);
        // Where nothing runs ahead a step is the sum of its stages.
        let records = match side.loops.get(draw) {
            Some(run) => run.nominal.records.clone(),
            None if turns.max_staleness > 0 => rl::run(&plans, turns),
            None => Vec::new(),
        };
        for (rl_step, (step, plan)) in steps.iter().zip(&plans).enumerate() {
            let of = |stage: Stage| plan.stages[stage as usize];
            let period = records.get(rl_step).map(StepRecord::period);
            rows.push(StepRow {
                side: side.name,
                draw: draw as u64,
                rl_step: rl_step as u64,
                warmup: rl_step < first,
                step_s: period.unwrap_or_else(|| plan.stages.iter().sum()),
                data_s: of(Stage::Data),
                prepare_s: of(Stage::Prepare),
                generation_s: of(Stage::Generation),
                reward_s: of(Stage::Reward),
                logprob_old_s: of(Stage::LogprobOld),
                logprob_reference_s: of(Stage::LogprobReference),
                training_s: of(Stage::Training),
                response_tokens: step.response_tokens,
                samples: step.samples,
                clipped: step.clipped,
                acceptance_length: acceptance(step.replicas.iter()).0,
                preemptions: step.replicas.iter().map(|replica| replica.preemptions).sum(),
            });
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acceptance_pools_counters() {
        let replica = |rounds, accepted_at: &[u64]| Outcome {
            rounds,
            accepted_at: accepted_at.to_vec(),
            ..Outcome::default()
        };
        let replicas = [replica(100, &[80, 40]), replica(100, &[60, 30])];
        let (length, rates) = acceptance(replicas.iter());
        assert!((length - 2.05).abs() < 1e-12);
        assert!((rates[0] - 0.7).abs() < 1e-12 && (rates[1] - 0.5).abs() < 1e-12);
        assert_eq!(acceptance([replica(0, &[])].iter()), (1.0, Vec::new()));
    }
}
