//! The generating side where an RL step's prompts start together: a step's rollout takes what it takes, whenever it
//! starts, so any world can price it.
//!
//! Step n starts once at most `max_staleness` of the steps before it are untrained and the engines are empty. New weights
//! are loaded between two batches. With GPUs of their own the engines load data while they still generate.

use super::machine::{Generator, Ready, Stage, StepRecord, drive};
use crate::units::SimTime;

/// Seconds of one RL step in one world.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepPlan {
    /// Seconds by stage, in the order of [`Stage::ALL`]; generation's is the slowest replica's.
    pub stages: [f64; 7],
    /// Seconds of each replica's rollout.
    pub replicas: Vec<f64>,
    /// Seconds that scoring its samples keeps the reward's servers busy.
    pub scoring: f64,
    /// Seconds in which weights are transferred, of which engines and trainer stand still for a share each.
    pub transfer: f64,
}

/// How batches follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Turns {
    /// RL steps that the weights of a sample may lag.
    pub max_staleness: u32,
    /// Share of a transfer that a trainer with GPUs of its own stands still; 0 on one pool, where it is idle anyway.
    pub trainer_stall: f64,
    /// Whether trainer and engines hand weights over together.
    pub rendezvous: bool,
}

/// Runs the steps of these plans.
pub fn run(plans: &[StepPlan], turns: Turns) -> Vec<StepRecord> {
    drive(&mut Batches { plans, turns, ..Batches::default() }, plans.len())
}

#[derive(Debug, Default)]
struct Batches<'a> {
    plans: &'a [StepPlan],
    turns: Turns,
    /// The batch that is generated, with its end.
    running: Option<(Ready, SimTime)>,
    /// Batches that wait for the trainer.
    done: std::collections::VecDeque<Ready>,
    /// The batch that starts next, and when it was allowed to.
    next: usize,
    allowed: SimTime,
    /// RL steps that are trained.
    version: usize,
    /// The weights that the engines have, and from when until when they loaded them.
    served: usize,
    loaded: (SimTime, SimTime),
    /// When the engines became empty, and when data was loaded last.
    free: SimTime,
    data_end: SimTime,
}

impl Batches<'_> {
    fn begin(&mut self) {
        let ahead = self.version + self.turns.max_staleness as usize;
        if self.running.is_some() || self.next >= self.plans.len() || self.next > ahead {
            return;
        }
        let plan = &self.plans[self.next];
        let seconds = |stage: Stage| SimTime::from_seconds(plan.stages[stage as usize]);
        // Data of a batch that may run ahead was loaded while the one before was generated.
        let ahead_of_need = self.turns.max_staleness > 0;
        let start = if ahead_of_need { self.allowed.max(self.data_end) } else { self.allowed };
        let data = (start, start + seconds(Stage::Data));
        self.data_end = data.1;
        let ready = data.1.max(self.free);
        // Without new weights there is nothing to load; the first batch of a run has always waited for its own.
        let fresh = self.version > self.served || self.next == 0;
        let load = if fresh { seconds(Stage::Prepare) } else { SimTime::ZERO };
        let prepare = (ready, ready + load);
        if fresh {
            (self.served, self.loaded) = (self.version, prepare);
        }
        let lag = self.next - self.served;
        let replica_ends: Vec<SimTime> =
            plan.replicas.iter().map(|s| prepare.1 + SimTime::from_seconds(*s)).collect();
        let alone = prepare.1 + seconds(Stage::Generation);
        let end = replica_ends.iter().copied().max().unwrap_or(alone);
        let tail = [Stage::Reward, Stage::LogprobOld, Stage::LogprobReference, Stage::Training];
        let ready = Ready {
            spans: [data, prepare, (prepare.1, end)],
            stages: tail.map(|stage| plan.stages[stage as usize]),
            scoring: plan.scoring,
            replica_ends,
            lag: (lag as f64, lag as u32),
        };
        self.running = Some((ready, end));
        self.next += 1;
    }
}

impl Generator for Batches<'_> {
    fn publish(&mut self, now: SimTime, version: usize) {
        self.version = version;
        self.allowed = now;
        self.begin();
    }

    fn next(&self) -> Option<SimTime> {
        self.running.as_ref().map(|(_, end)| *end)
    }

    fn advance(&mut self, _: SimTime) {
        if let Some((ready, end)) = self.running.take() {
            self.free = end;
            self.done.push_back(ready);
            self.begin();
        }
    }

    fn take(&mut self, _: SimTime, _: usize) -> Option<Ready> {
        self.done.pop_front()
    }

    fn handed_over(&self, published: SimTime) -> Option<(SimTime, SimTime)> {
        let stall = self.turns.trainer_stall;
        if stall <= 0.0 {
            return Some((published, published));
        }
        if self.turns.rendezvous && self.next < self.plans.len() {
            return (self.served == self.version).then_some(self.loaded);
        }
        let seconds = self.plans.get(self.version).map_or(0.0, |plan| plan.transfer);
        Some((published, published + SimTime::from_seconds(stall * seconds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sync(plans: &[StepPlan]) -> Vec<StepRecord> {
        run(plans, Turns::default())
    }

    fn plan(replicas: &[f64]) -> StepPlan {
        let slowest = replicas.iter().copied().fold(0.0, f64::max);
        StepPlan {
            stages: [0.25, 1.5, slowest, 0.5, 2.0, 0.0, 4.0],
            replicas: replicas.to_vec(),
            scoring: 0.5,
            transfer: 1.0,
        }
    }

    #[test]
    fn a_synchronous_step_is_the_sum_of_its_stages() {
        let plans = vec![plan(&[10.0, 12.5, 9.0]), plan(&[8.0, 7.0, 7.5])];
        let records = sync(&plans);
        assert!((records[0].end().seconds() - 20.75).abs() < 1e-9);
        assert_eq!(records[1].start(), records[0].end(), "the next step waits for the new weights");
        assert!((records[1].end().seconds() - 37.0).abs() < 1e-9);
        assert!((records[0].rollout_seconds() - 12.5).abs() < 1e-9);
        assert!((records[0].replica_ends[2].seconds() - 10.75).abs() < 1e-9);
    }

    #[test]
    fn a_stage_more_is_a_step_longer() {
        let base = sync(&[plan(&[5.0])])[0].end().seconds();
        for stage in 0..7 {
            let mut longer = plan(&[5.0]);
            longer.stages[stage] += 3.0;
            if stage == Stage::Generation as usize {
                longer.replicas[0] += 3.0;
            }
            assert!((sync(&[longer])[0].end().seconds() - base - 3.0).abs() < 1e-9);
        }
    }

    #[test]
    fn handing_over_takes_its_share_of_the_transfer_alone() {
        let plans = vec![plan(&[1.0]); 3];
        let turns = |trainer_stall| Turns { max_staleness: 2, trainer_stall, rendezvous: false };
        let of = |stall| {
            run(&plans, turns(stall))[1].handed_over.1.seconds()
                - run(&plans, turns(stall))[0].end().seconds()
        };
        assert!((of(0.5) - 0.5).abs() < 1e-9, "half of the second, nothing of the engines waking");
        assert!(of(0.0).abs() < 1e-9);
    }

    #[test]
    fn no_steps_and_no_replicas() {
        assert!(sync(&[]).is_empty());
        let empty = StepPlan { stages: [1.0; 7], ..StepPlan::default() };
        assert!((sync(&[empty])[0].end().seconds() - 7.0).abs() < 1e-9);
    }
}
