//! What one simulation of a candidate leaves behind, and its form as one cell of the journal.

use rayon::prelude::*;

use crate::estimate::FAMILIES;
use crate::resolve::Prepared;
use crate::result::Arm;
use crate::rl::{InputShift, Simulation, StepRecord};
use crate::rollout::Stepper;
use crate::study::compare::alone;
use crate::study::worlds;

/// Numbers beside the seconds, in the order of the cell.
const BESIDE: usize = 16;

/// Figures of a candidate.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figures {
    /// Seconds of an RL step in each world of each draw.
    pub(super) seconds: Vec<f64>,
    /// Exposed seconds by stage, means, and idle ones.
    pub(super) exposed: [f64; 8],
    /// Mean seconds of a rollout.
    pub(super) rollout_s: f64,
    /// Tokens of a request and verify step.
    pub(super) acceptance_length: f64,
    /// Largest share of the KV cache in use.
    pub(super) kv_peak_share: f64,
    /// Preemptions a step.
    pub(super) preemptions: f64,
    /// Mean RL steps that a trained sample's weights lag.
    pub(super) staleness_mean: f64,
    /// Share of generated tokens that were thrown away.
    pub(super) wasted_token_share: f64,
    /// Share of the time that an engine works, and that the trainer computes.
    pub(super) busy: [f64; 2],
}

impl Figures {
    /// Simulates; one draw and one world are the best values. The error is a sentence.
    pub(super) fn of(prepared: &Prepared, stepper: Stepper, draws: u32, worlds: u32) -> Result<Self, String> {
        let cycle = &prepared.resolved.cycle;
        if draws == 1 && worlds == 1 && cycle.mode.feeds_back() {
            return Self::nominal_stream(prepared, stepper);
        }
        if worlds == 1 && !cycle.mode.feeds_back() && cycle.max_staleness == 0 {
            return Ok(Self::nominal_turns(prepared, stepper, draws));
        }
        let (seconds, arm) = alone(prepared, stepper, draws, worlds)?;
        Ok(Self::from_arm(seconds, &arm))
    }

    fn from_arm(seconds: Vec<f64>, arm: &Arm) -> Self {
        let mut exposed = [0.0; 8];
        exposed[..7].copy_from_slice(&arm.exposed_s.stages.to_array());
        exposed[7] = arm.exposed_s.idle;
        Figures {
            seconds,
            exposed,
            rollout_s: arm.rollout_s.mean,
            acceptance_length: arm.acceptance_length,
            kv_peak_share: arm.kv_peak_share,
            preemptions: arm.preemptions,
            staleness_mean: arm.loop_stats.staleness_mean,
            wasted_token_share: arm.loop_stats.wasted_token_share,
            busy: [arm.loop_stats.engine_busy_share, arm.loop_stats.trainer_busy_share],
        }
    }

    /// A loop in which time feeds back, at nominal seconds alone: one run instead of one for each pace.
    fn nominal_stream(prepared: &Prepared, stepper: Stepper) -> Result<Self, String> {
        let run = Simulation::new(prepared, InputShift::default(), stepper).stream(0, 1.0);
        let steps = prepared.resolved.rl_steps as usize;
        if run.records.len() < steps {
            return Err(format!("the loop came to a halt after {} of {steps} RL steps", run.records.len()));
        }
        let first = (prepared.resolved.warmup_steps as usize).min(steps.saturating_sub(1));
        let counted = &run.records[first..];
        let n = counted.len().max(1) as f64;
        let mut exposed = [0.0; 8];
        for record in counted {
            exposed.iter_mut().zip(record.exposed()).for_each(|(sum, seconds)| *sum += seconds / n);
        }
        Ok(Figures {
            seconds: vec![counted.iter().map(StepRecord::period).sum::<f64>() / n],
            exposed,
            staleness_mean: counted.iter().map(|record| record.lag.0).sum::<f64>() / n,
            ..Self::NOTHING
        })
    }

    /// A loop whose stages follow each other, at nominal seconds alone: a step is the sum of its stages, and those of the
    /// warm-up need not be simulated.
    fn nominal_turns(prepared: &Prepared, stepper: Stepper, draws: u32) -> Self {
        let resolved = &prepared.resolved;
        let steps = u64::from(resolved.rl_steps);
        let first = u64::from(resolved.warmup_steps).min(steps.saturating_sub(1));
        let shifts = worlds::input_shifts(resolved.seed, draws);
        let simulations: Vec<Simulation<'_>> =
            shifts.iter().map(|shift| Simulation::new(prepared, *shift, stepper)).collect();
        let tasks: Vec<(usize, u64)> =
            (0..simulations.len()).flat_map(|draw| (first..steps).map(move |step| (draw, step))).collect();
        let stages: Vec<[f64; 7]> = tasks
            .par_iter()
            .map(|(draw, step)| simulations[*draw].step(*draw as u64, *step).price(&[1.0; FAMILIES]).stages)
            .collect();
        let n = stages.len().max(1) as f64;
        let mut exposed = [0.0; 8];
        for seconds in &stages {
            exposed.iter_mut().zip(seconds).for_each(|(sum, seconds)| *sum += seconds / n);
        }
        let each = (steps - first) as usize;
        let mean = |steps: &[[f64; 7]]| steps.iter().flatten().sum::<f64>() / steps.len() as f64;
        let seconds = stages.chunks(each).map(mean).collect();
        Figures { seconds, exposed, rollout_s: exposed[2], acceptance_length: 1.0, ..Self::NOTHING }
    }

    /// No figures.
    const NOTHING: Figures = Figures {
        seconds: Vec::new(),
        exposed: [0.0; 8],
        rollout_s: 0.0,
        acceptance_length: 0.0,
        kv_peak_share: 0.0,
        preemptions: 0.0,
        staleness_mean: 0.0,
        wasted_token_share: 0.0,
        busy: [0.0; 2],
    };

    /// Mean seconds of an RL step.
    pub(super) fn mean(&self) -> f64 {
        self.seconds.iter().sum::<f64>() / self.seconds.len().max(1) as f64
    }

    /// All numbers in a row, each in the shortest form that reads back as the same number.
    pub(super) fn cell(&self) -> String {
        let beside = [
            self.rollout_s,
            self.acceptance_length,
            self.kv_peak_share,
            self.preemptions,
            self.staleness_mean,
            self.wasted_token_share,
            self.busy[0],
            self.busy[1],
        ];
        let all = self.exposed.iter().chain(&beside).chain(&self.seconds);
        all.map(f64::to_string).collect::<Vec<_>>().join(" ")
    }

    /// From a cell; none where it is no such row.
    pub(super) fn from_cell(cell: &str) -> Option<Self> {
        let all: Vec<f64> = cell.split(' ').map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let (beside, seconds) = all.split_at_checked(BESIDE)?;
        let exposed: [f64; 8] = beside[..8].try_into().ok()?;
        let rest: [f64; 8] = beside[8..].try_into().ok()?;
        let [
            rollout_s,
            acceptance_length,
            kv_peak_share,
            preemptions,
            staleness_mean,
            wasted,
            engine,
            trainer,
        ] = rest;
        (!seconds.is_empty()).then(|| Figures {
            seconds: seconds.to_vec(),
            exposed,
            rollout_s,
            acceptance_length,
            kv_peak_share,
            preemptions,
            staleness_mean,
            wasted_token_share: wasted,
            busy: [engine, trainer],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_reads_back_as_the_same_numbers() {
        let figures = Figures {
            seconds: vec![1.0 / 3.0, 1e-300, 12.5],
            exposed: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0 / 7.0],
            rollout_s: 2.0_f64.sqrt(),
            acceptance_length: 1.0,
            kv_peak_share: 0.5,
            preemptions: 3.0,
            staleness_mean: 0.0,
            wasted_token_share: 0.01,
            busy: [0.9, 0.8],
        };
        assert_eq!(Figures::from_cell(&figures.cell()), Some(figures));
        assert_eq!(Figures::from_cell("1 2 3"), None);
        assert_eq!(Figures::from_cell("x"), None);
    }
}
