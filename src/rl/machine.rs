//! The event machine: stages of RL steps on one pool of GPUs.
//!
//! A step's stages follow each other: data, prepare, generation (all replicas), reward, log-probs,
//! training. Step n may generate once at most `max_staleness` of the steps before it are untrained. With one
//! pool, generation and training exclude each other, so a bound above 0 changes nothing here yet.

use crate::sim::Queue;
use crate::units::SimTime;

/// A stage of an RL step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Prompts are loaded.
    Data,
    /// New weights reach the engine and it wakes.
    Prepare,
    /// Responses are generated.
    Generation,
    /// What is left of scoring when generation has ended.
    Reward,
    /// Log-probs of the policy before the update.
    LogprobOld,
    /// Log-probs of the reference.
    LogprobReference,
    /// Optimizer steps.
    Training,
}

impl Stage {
    /// All stages in their order.
    pub const ALL: [Stage; 7] = [
        Stage::Data,
        Stage::Prepare,
        Stage::Generation,
        Stage::Reward,
        Stage::LogprobOld,
        Stage::LogprobReference,
        Stage::Training,
    ];

    /// Key in results.
    pub fn key(self) -> &'static str {
        match self {
            Stage::Data => "data",
            Stage::Prepare => "prepare",
            Stage::Generation => "generation",
            Stage::Reward => "reward",
            Stage::LogprobOld => "logprob_old",
            Stage::LogprobReference => "logprob_reference",
            Stage::Training => "training",
        }
    }

    fn next(self) -> Option<Stage> {
        Stage::ALL.get(self as usize + 1).copied()
    }
}

/// Seconds of one RL step in one world.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepPlan {
    /// Seconds by stage, in the order of [`Stage::ALL`]; generation's is the slowest replica's.
    pub stages: [f64; 7],
    /// Seconds of each replica's rollout.
    pub replicas: Vec<f64>,
}

/// When the stages of one RL step ran.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRecord {
    /// Start and end by stage, in the order of [`Stage::ALL`].
    pub spans: [(SimTime, SimTime); 7],
    /// When each replica finished.
    pub replica_ends: Vec<SimTime>,
}

impl StepRecord {
    /// When the step began.
    pub fn start(&self) -> SimTime {
        self.spans[0].0
    }

    /// When its last stage ended.
    pub fn end(&self) -> SimTime {
        self.spans[6].1
    }

    /// Seconds from its first admission to its last completion.
    pub fn rollout_seconds(&self) -> f64 {
        let (start, end) = self.spans[Stage::Generation as usize];
        end.since(start).seconds()
    }
}

enum Event {
    StageEnds { step: usize, stage: Stage },
    ReplicaEnds { step: usize, replica: usize },
}

/// Runs the steps; `max_staleness` is in RL steps of one optimizer phase each.
pub fn run(plans: &[StepPlan], max_staleness: u32) -> Vec<StepRecord> {
    let mut machine = Machine {
        plans,
        max_staleness: max_staleness as usize,
        queue: Queue::new(),
        records: plans
            .iter()
            .map(|plan| StepRecord {
                spans: [(SimTime::ZERO, SimTime::ZERO); 7],
                replica_ends: vec![SimTime::ZERO; plan.replicas.len()],
            })
            .collect(),
        generating: vec![0; plans.len()],
        next: 0,
        trained: 0,
        pool_busy: false,
    };
    machine.admit();
    while let Some((now, event)) = machine.queue.pop() {
        machine.handle(now, &event);
    }
    machine.records
}

struct Machine<'a> {
    plans: &'a [StepPlan],
    max_staleness: usize,
    queue: Queue<Event>,
    records: Vec<StepRecord>,
    /// Replicas that still generate, by step.
    generating: Vec<usize>,
    /// The step that starts next.
    next: usize,
    /// Steps that have been trained.
    trained: usize,
    /// Whether a step holds the one pool of GPUs.
    pool_busy: bool,
}

impl Machine<'_> {
    /// Starts the next step where its weights are fresh enough and the GPUs are free.
    fn admit(&mut self) {
        if self.next < self.plans.len() && self.next <= self.trained + self.max_staleness && !self.pool_busy {
            let step = self.next;
            self.next += 1;
            self.pool_busy = true;
            self.begin(step, Stage::Data);
        }
    }

    fn begin(&mut self, step: usize, stage: Stage) {
        let now = self.queue.now();
        self.records[step].spans[stage as usize].0 = now;
        let plan = &self.plans[step];
        if stage == Stage::Generation && !plan.replicas.is_empty() {
            self.generating[step] = plan.replicas.len();
            for (replica, seconds) in plan.replicas.iter().enumerate() {
                self.queue.after(SimTime::from_seconds(*seconds), Event::ReplicaEnds { step, replica });
            }
        } else {
            let delay = SimTime::from_seconds(plan.stages[stage as usize]);
            self.queue.after(delay, Event::StageEnds { step, stage });
        }
    }

    fn handle(&mut self, now: SimTime, event: &Event) {
        match *event {
            Event::ReplicaEnds { step, replica } => {
                self.records[step].replica_ends[replica] = now;
                self.generating[step] -= 1;
                if self.generating[step] == 0 {
                    self.queue.after(SimTime::ZERO, Event::StageEnds { step, stage: Stage::Generation });
                }
            }
            Event::StageEnds { step, stage } => {
                self.records[step].spans[stage as usize].1 = now;
                if let Some(next) = stage.next() {
                    self.begin(step, next);
                } else {
                    self.trained += 1;
                    self.pool_busy = false;
                    self.admit();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(replicas: &[f64]) -> StepPlan {
        let slowest = replicas.iter().copied().fold(0.0, f64::max);
        StepPlan { stages: [0.25, 1.5, slowest, 0.5, 2.0, 0.0, 4.0], replicas: replicas.to_vec() }
    }

    #[test]
    fn a_synchronous_step_is_the_sum_of_its_stages() {
        let plans = vec![plan(&[10.0, 12.5, 9.0]), plan(&[8.0, 7.0, 7.5])];
        let records = run(&plans, 0);
        assert!((records[0].end().seconds() - 20.75).abs() < 1e-9);
        assert_eq!(records[1].start(), records[0].end(), "the next step waits for the new weights");
        assert!((records[1].end().seconds() - 37.0).abs() < 1e-9);
        assert!((records[0].rollout_seconds() - 12.5).abs() < 1e-9);
        assert!((records[0].replica_ends[2].seconds() - 10.75).abs() < 1e-9);
    }

    #[test]
    fn a_stage_more_is_a_step_longer() {
        let base = run(&[plan(&[5.0])], 0)[0].end().seconds();
        for stage in 0..7 {
            let mut longer = plan(&[5.0]);
            longer.stages[stage] += 3.0;
            if stage == Stage::Generation as usize {
                longer.replicas[0] += 3.0;
            }
            assert!((run(&[longer], 0)[0].end().seconds() - base - 3.0).abs() < 1e-9);
        }
    }

    #[test]
    fn no_steps_and_no_replicas() {
        assert!(run(&[], 0).is_empty());
        let empty = StepPlan { stages: [1.0; 7], replicas: Vec::new() };
        assert!((run(&[empty], 0)[0].end().seconds() - 7.0).abs() < 1e-9);
    }
}
