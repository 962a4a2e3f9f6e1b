//! A stream of one draw: the scenario's samples, costs and stages for live replicas, at one pace.
//!
//! The pace is what one nominal second of the engines takes, relative to the trainer's seconds. A calibration world in which
//! all engine families are slow together is a pace; `study` interpolates between a few paces.

use super::machine::{self, StepRecord};
use super::scoring::Scoring;
use super::streams::{Behind, Ledger, Settings, Streams, Supply, Trained};
use super::work::{Simulation, StepWork};
use crate::rng::{Purpose, Stream};
use crate::rollout::{Job, Live, Stepper};
use crate::speculation::acceptance::Population;
use crate::units::SimTime;
use crate::workload::Sample;

/// A stream that has run.
#[derive(Debug, Clone)]
pub struct LoopRun {
    /// Which draw.
    pub draw: u64,
    /// Seconds of the clock for a nominal second of an engine.
    pub pace: f64,
    /// When the stages of each RL step ran.
    pub records: Vec<StepRecord>,
    /// What each trained.
    pub trained: Vec<Trained>,
    /// What became of every group.
    pub ledger: Ledger,
}

struct Feed<'a, 'b> {
    simulation: &'b Simulation<'a>,
    draw: u64,
    /// By version; the first one where it does not change.
    populations: Vec<Option<Population>>,
}

impl Supply for Feed<'_, '_> {
    fn samples(&self, rl_step: u64, version: usize) -> Vec<Sample> {
        self.simulation.generator.answered(self.draw, rl_step, version as u64)
    }

    fn population(&self, version: usize) -> Option<&Population> {
        let own = self.populations.get(version).or(self.populations.last());
        own.and_then(Option::as_ref).or(self.simulation.acceptance.as_ref())
    }

    fn believed(&self, version: usize) -> Vec<f64> {
        let own = self.populations.get(version).or(self.populations.last());
        self.simulation.believed(own.and_then(Option::as_ref))
    }

    fn signal(&self, group: u64) -> bool {
        let resolved = &self.simulation.prepared.resolved;
        let filtered = resolved.cycle.mode.filtered();
        filtered <= 0.0
            || Stream::new(resolved.seed, Purpose::Signal, &[self.draw, group]).uniform() >= filtered
    }

    fn scoring(&self, group: u64) -> f64 {
        let resolved = &self.simulation.prepared.resolved;
        if resolved.cycle.mode.filtered() <= 0.0 {
            return 0.0;
        }
        let prompts = u64::from(resolved.workload.prompts_per_step);
        let scoring = Scoring::of(resolved, [self.draw, group / prompts]);
        scoring.of_group(group % prompts, &resolved.workload)
    }

    fn stages(&self, rl_step: u64, trained: &[Sample], ends: &[SimTime]) -> Behind {
        let resolved = &self.simulation.prepared.resolved;
        let (train, logprob) = self.simulation.passes(trained);
        let ends = ends.iter().map(|end| end.seconds()).collect();
        let share = Scoring::of(resolved, [self.draw, rl_step]).left_share(ends);
        let seconds = resolved.reward.seconds.value;
        let training = &resolved.training;
        let of = |on: bool| if on { logprob } else { 0.0 };
        // Replicas that work on several steps are never all idle at its end: nothing hides there.
        let (drafter, _) = self.simulation.drafter_seconds(rl_step, &[]);
        let [old, reference] = [training.old_logprobs, training.reference_logprobs].map(of);
        // Groups that are filtered out were scored too.
        let scored = 1.0 / (1.0 - resolved.cycle.mode.filtered()).max(f64::MIN_POSITIVE);
        Behind { stages: [seconds * share, old, reference, train + drafter], scoring: seconds * scored }
    }
}

impl Simulation<'_> {
    /// Runs a draw's RL steps as a stream, its engines at a pace.
    pub fn stream(&self, draw: u64, pace: f64) -> LoopRun {
        let resolved = &self.prepared.resolved;
        let (cycle, workload, generation) = (&resolved.cycle, &resolved.workload, &resolved.generation);
        let drafter = resolved.training.drafter.map_or(0.0, |d| d.sync_seconds / f64::from(d.every));
        let transfer = cycle.weight_sync.value + drafter;
        let load = cycle.prepare.value + transfer * cycle.transfer.engine_stall;
        let settings = Settings {
            mode: cycle.mode,
            max_staleness: cycle.max_staleness as usize,
            prompts: workload.prompts_per_step as usize,
            samples_per_prompt: workload.samples_per_prompt as usize,
            seats: generation.engine.max_num_seqs,
            router: generation.engine.router,
            data: cycle.data.value,
            load,
            hand_over: transfer * cycle.transfer.trainer_stall,
            rendezvous: cycle.transfer.rendezvous,
        };
        let job = Job {
            samples: &[],
            limits: self.limits(),
            acceptance: self.acceptance.as_ref(),
            seed: resolved.seed,
            path: [draw, 0],
            per_step: Some(workload.samples()),
        };
        let exact = self.stepper == Stepper::Exact;
        let schedule = self.schedule_of(None);
        let engines =
            (0..generation.replicas).map(|_| Live::new(&job, schedule.make(), pace, exact)).collect();
        let versions = u64::from(resolved.rl_steps) + 1;
        let feed =
            Feed { simulation: self, draw, populations: (0..versions).map(|v| self.grown(v, v)).collect() };
        let mut streams = Streams::new(settings, engines, &self.cost, &feed);
        let records = machine::drive(&mut streams, resolved.rl_steps as usize);
        let (trained, ledger) = streams.finish();
        LoopRun { draw, pace, records, trained, ledger }
    }

    /// The work of a stream's RL steps, to be priced.
    pub fn work_of(&self, run: &LoopRun) -> Vec<StepWork> {
        let steps = run.trained.iter().zip(0..);
        steps.map(|(step, n)| self.around([run.draw, n], &step.samples, step.replicas.clone())).collect()
    }
}
