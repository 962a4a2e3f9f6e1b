//! The rollout of one RL step whose samples start together: dealt to replicas, and regrouped once where the scenario asks.
//!
//! Regrouping: every replica runs until few enough samples are left on all of them, stands still while the layout changes
//! and caches move, and the rest goes on, dealt in turn, longest context first. A world prices both parts; which samples are
//! left is decided at nominal seconds. Leaves out: several regroupings, GPUs that are set free early, memory for two
//! sets of graphs.

use rayon::prelude::*;

use super::work::Simulation;
use crate::resolved::Regrouping;
use crate::rollout::{self, Job, Outcome, TimelinePoint, Unfinished};
use crate::speculation::acceptance::Population;
use crate::workload::{Predictor, Sample};

/// A replica's samples.
type List = Vec<(u32, Sample)>;

impl Simulation<'_> {
    /// What each replica did, and the nominal seconds in which all of them stood still.
    pub(super) fn roll_out(
        &self,
        samples: &[Sample],
        path: [u64; 2],
        grown: Option<&Population>,
    ) -> (Vec<Outcome>, f64) {
        let acceptance = grown.or(self.acceptance.as_ref());
        let schedule = self.schedule_of(grown);
        let resolved = &self.prepared.resolved;
        let (generation, tail) = (&resolved.generation, &resolved.tail);
        let predicted = if tail.predicts() {
            Predictor { log_error: tail.log_error, seed: resolved.seed }.lengths(path, samples)
        } else {
            Vec::new()
        };
        let lists = rollout::deal(samples, &predicted, generation.replicas, generation.engine.router, tail);
        let whole: Vec<Outcome> = lists
            .par_iter()
            .map(|list| {
                let job = self.job(list, path, acceptance);
                rollout::run_replica(self.stepper, &job, &self.cost, schedule.make().as_mut())
            })
            .collect();
        match &tail.regroup {
            Some(regroup) => self.regroup(regroup, &lists, whole, path, grown),
            None => (whole, 0.0),
        }
    }

    fn job<'b>(
        &self,
        samples: &'b [(u32, Sample)],
        path: [u64; 2],
        acceptance: Option<&'b Population>,
    ) -> Job<'b> {
        let seed = self.prepared.resolved.seed;
        Job { samples, limits: self.limits(), acceptance, seed, path, per_step: None }
    }

    /// Runs again up to where few enough samples are left, and goes on with those on the tail's engines.
    fn regroup(
        &self,
        regroup: &Regrouping,
        lists: &[List],
        whole: Vec<Outcome>,
        path: [u64; 2],
        grown: Option<&Population>,
    ) -> (Vec<Outcome>, f64) {
        let acceptance = grown.or(self.acceptance.as_ref());
        let schedule = self.schedule_of(grown);
        let until = left_at(&whole, regroup.below as usize);
        let firsts: Vec<(Outcome, Vec<Unfinished>)> = lists
            .par_iter()
            .zip(whole)
            .map(|(list, whole)| {
                if whole.nominal() <= until {
                    return (whole, Vec::new());
                }
                let job = self.job(list, path, acceptance);
                rollout::run_to(self.stepper, &job, &self.cost, schedule.make().as_mut(), until)
            })
            .collect();
        let tail = self.wide.as_deref().unwrap_or(self);
        let replicas = tail.prepared.resolved.generation.replicas.max(1) as usize;
        let mut left: Vec<Unfinished> = firsts.iter().flat_map(|(_, left)| left).copied().collect();
        if left.is_empty() {
            // The last ones ended in the iteration in which few enough were left.
            return (firsts.into_iter().map(|(first, _)| first).collect(), 0.0);
        }
        let schedule = tail.schedule_of(grown);
        left.sort_by_key(|one| (std::cmp::Reverse(one.context()), one.id));
        let mut dealt: Vec<Vec<Unfinished>> = vec![Vec::new(); replicas];
        for (at, one) in left.into_iter().enumerate() {
            dealt[at % replicas].push(one);
        }
        let pause =
            regroup.seconds.value + if regroup.moves_kv { self.moving_seconds(&firsts, &dealt) } else { 0.0 };
        let seconds: Vec<Outcome> = dealt
            .par_iter()
            .map(|begun| {
                let job = tail.job(&[], path, acceptance);
                let mut schedule = schedule.make();
                rollout::run_from(tail.stepper, &job, begun, regroup.moves_kv, &tail.cost, schedule.as_mut())
            })
            .collect();
        let each = firsts.len().div_ceil(replicas).max(1);
        let mut joined: Vec<Outcome> = firsts.into_iter().map(|(first, _)| first).collect();
        // The tail's caches in blocks of the first engines': shares of the one they are of.
        let blocks = |of: &Self| of.prepared.resolved.generation.kv_blocks.max(1) as f64;
        let ratio = blocks(self) / blocks(tail);
        let scaled = |used: u64| (used as f64 * ratio).ceil() as u64;
        // Nobody goes on before the last replica has stopped.
        let last = joined.iter().max_by(|a, b| a.nominal().total_cmp(&b.nominal()));
        let start = last.map_or_else(Outcome::default, |last| Outcome {
            seconds: last.seconds,
            extrapolated: last.extrapolated,
            ..Outcome::default()
        });
        for (members, second) in joined.chunks_mut(each).zip(&seconds) {
            join(members, &start, second, [until, pause], scaled);
        }
        (joined, pause)
    }

    /// Seconds that the caches take over the network: of the fullest sender or receiver, all its GPUs at once.
    fn moving_seconds(&self, from: &[(Outcome, Vec<Unfinished>)], to: &[Vec<Unfinished>]) -> f64 {
        let resolved = &self.prepared.resolved;
        let bytes_per_token = resolved.model.kv_bytes_per_token(resolved.generation.kv_cache);
        let state = resolved.model.state_bytes();
        let bytes = |list: &[Unfinished]| {
            let of = |request: &Unfinished| match request.cached_tokens() {
                0 => 0.0,
                tokens => tokens as f64 * bytes_per_token + state,
            };
            list.iter().map(of).sum::<f64>()
        };
        let gpus = f64::from(resolved.generation.layout.gpus());
        let sent = from.iter().map(|(_, left)| bytes(left)).fold(0.0, f64::max) / gpus;
        let gpus = f64::from(resolved.cluster.gpus) / to.len().max(1) as f64;
        let received = to.iter().map(|list| bytes(list)).fold(0.0, f64::max) / gpus;
        sent.max(received) / (resolved.cluster.network.gb_per_s_per_gpu * 1e9)
    }
}

/// Nominal seconds at which at most `below` samples are left.
fn left_at(replicas: &[Outcome], below: usize) -> f64 {
    let mut ends: Vec<f64> =
        replicas.iter().flat_map(|r| r.completions.iter().map(|(_, end)| *end)).collect();
    ends.sort_by(f64::total_cmp);
    match ends.len().checked_sub(below + 1) {
        Some(last) => ends[last],
        None => 0.0,
    }
}

/// Lets the replicas whose GPUs make up one of the tail's go on as that one: each for its seconds, the first of them for
/// all else, so that nothing is counted twice; blocks in use at once are `scaled` to the members' caches. The first one's seconds begin with those of the replica that stopped last
/// (`start`), which is what a world has to wait for; that it may have been idle before is not kept.
fn join(
    members: &mut [Outcome],
    start: &Outcome,
    second: &Outcome,
    [until, pause]: [f64; 2],
    scaled: impl Fn(u64) -> u64,
) {
    for (at, member) in members.iter_mut().enumerate() {
        let worked = second.nominal() > 0.0;
        if worked {
            let idle = TimelinePoint { seconds: until, running: 0, waiting: 0, kv_blocks: 0 };
            member.timeline.push(idle);
            if at == 0 {
                member.seconds = start.seconds;
                member.extrapolated = start.extrapolated;
            }
        }
        for (sum, more) in member.seconds.iter_mut().zip(&second.seconds) {
            *sum += more;
        }
        member.extrapolated.add(1.0, second.extrapolated);
        if at > 0 {
            continue;
        }
        member.steps += second.steps;
        member.rounds += second.rounds;
        for (sum, more) in member.accepted_at.iter_mut().zip(&second.accepted_at) {
            *sum += more;
        }
        member.switches += second.switches;
        member.catch_up_seconds += second.catch_up_seconds;
        member.tokens += second.tokens;
        member.prefilled += second.prefilled;
        member.preemptions += second.preemptions;
        member.kv_peak = member.kv_peak.max(scaled(second.kv_peak));
        let start = until + pause;
        member.timeline.extend(
            second.timeline.iter().map(|point| TimelinePoint { seconds: start + point.seconds, ..*point }),
        );
        member.completions.extend(second.completions.iter().map(|(id, end)| (*id, start + end)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_is_where_that_many_are_left() {
        let replica = |ends: &[f64]| Outcome {
            completions: ends.iter().map(|end| (0, *end)).collect(),
            ..Outcome::default()
        };
        let replicas = [replica(&[1.0, 4.0]), replica(&[2.0, 3.0, 9.0])];
        assert_eq!(left_at(&replicas, 2), 3.0);
        assert_eq!(left_at(&replicas, 0), 9.0);
        assert_eq!(left_at(&replicas, 5), 0.0, "all are left at the start");
    }
}
