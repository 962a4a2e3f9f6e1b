//! Scoring of samples: a queue with as many servers as sandboxes, or as a reward model takes at once.
//!
//! Samples come as they complete, or all at the end; each takes a server for a lognormal time. What is left when the last
//! sample has come is exposed, the rest is hidden behind generation; steps that overlap share the servers (`machine`). Leaves
//! out: that a reward model's latency depends on how many samples it has; what over-sampling throws away after it was
//! scored; where groups are filtered, that groups share servers between their last token and their use or replacement (a
//! step waits for all its scoring all the same); and the error of the reward's seconds is in no band.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::math::normal_quantile;
use crate::resolved::{Resolved, Workload};
use crate::rng::{Purpose, Stream};
use crate::rollout::Outcome;
use crate::units::SimTime;

/// The scoring of one RL step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scoring {
    /// Seconds with all servers busy.
    seconds: f64,
    overlapped: bool,
    /// Whether each group is scored before it is used or replaced.
    filtered: bool,
    servers: u32,
    sigma: f64,
    seed: u64,
    /// Draw and RL step.
    path: [u64; 2],
}

impl Scoring {
    pub(super) fn of(resolved: &Resolved, path: [u64; 2]) -> Self {
        let reward = &resolved.reward;
        Scoring {
            seconds: reward.seconds.value,
            overlapped: reward.overlapped,
            filtered: resolved.cycle.mode.filtered() > 0.0,
            servers: reward.servers,
            sigma: reward.sigma,
            seed: resolved.seed,
            path,
        }
    }

    /// The share of its seconds that is left when the last sample of a rollout completes; above 1 where servers idle.
    pub(super) fn exposed_share(&self, replicas: &[Outcome]) -> f64 {
        self.share(replicas.iter().flat_map(|r| r.completions.iter().map(|(_, end)| *end)).collect())
    }

    /// The same of a batch whose samples completed at `ends`; where groups are filtered each was scored before it was used.
    pub(super) fn left_share(&self, ends: Vec<f64>) -> f64 {
        if self.filtered { 0.0 } else { self.share(ends) }
    }

    fn share(&self, mut ends: Vec<f64>) -> f64 {
        let alike = self.servers == 1 && self.sigma == 0.0;
        if !self.overlapped && alike {
            return 1.0;
        }
        if ends.is_empty() || self.seconds <= 0.0 {
            return 1.0;
        }
        ends.sort_by(f64::total_cmp);
        let last = ends[ends.len() - 1];
        if !self.overlapped {
            ends.fill(last);
        }
        if alike {
            let each = self.seconds / ends.len() as f64;
            let scored = ends.iter().fold(0.0_f64, |done, end| done.max(*end) + each);
            return ((scored - last) / self.seconds).clamp(0.0, 1.0);
        }
        let each = self.seconds * f64::from(self.servers) / ends.len() as f64;
        let scored = self.served(&ends, each, 0);
        scored.since(SimTime::from_seconds(last)).seconds() / self.seconds
    }

    /// When the last of some samples is scored that come at these seconds, rising, and take `each` seconds in the mean; `first` is the
    /// number of the first of them in its RL step.
    fn served(&self, ends: &[f64], each: f64, first: u64) -> SimTime {
        // Servers beyond the samples never have one.
        let busy = (self.servers as usize).min(ends.len());
        let mut free: BinaryHeap<Reverse<SimTime>> = (0..busy).map(|_| Reverse(SimTime::ZERO)).collect();
        let mut scored = SimTime::ZERO;
        for (sample, end) in (first..).zip(ends) {
            let Some(Reverse(server)) = free.pop() else { break };
            let start = server.max(SimTime::from_seconds(*end));
            let done = start + SimTime::from_seconds(each * self.factor(sample));
            scored = scored.max(done);
            free.push(Reverse(done));
        }
        scored
    }

    /// Seconds of scoring one group of an RL step that has the servers to itself, or its part of one scorer's time.
    pub(super) fn of_group(&self, group: u64, workload: &Workload) -> f64 {
        if self.servers == 1 && self.sigma == 0.0 {
            return self.seconds / f64::from(workload.prompts_per_step);
        }
        let each = self.seconds * f64::from(self.servers) / f64::from(workload.samples());
        let ends = vec![0.0; workload.samples_per_prompt as usize];
        self.served(&ends, each, group * u64::from(workload.samples_per_prompt)).seconds()
    }

    /// A lognormal factor of mean 1.
    fn factor(&self, sample: u64) -> f64 {
        if self.sigma == 0.0 {
            return 1.0;
        }
        let u =
            Stream::new(self.seed, Purpose::Scoring, &[self.path[0], self.path[1], sample]).open_uniform();
        libm::exp(self.sigma * normal_quantile(u) - 0.5 * self.sigma * self.sigma)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(ends: &[f64]) -> Outcome {
        Outcome {
            completions: ends.iter().enumerate().map(|(i, end)| (i as u32, *end)).collect(),
            ..Outcome::default()
        }
    }

    fn scoring(seconds: f64, servers: u32, overlapped: bool) -> Scoring {
        Scoring { seconds, overlapped, filtered: false, servers, sigma: 0.0, seed: 1, path: [0, 0] }
    }

    #[test]
    fn overlapped_rewards_leave_their_last_sample_at_least() {
        let rule = scoring(4.0, 1, true);
        let spread = [replica(&[1.0, 2.0]), replica(&[3.0, 100.0])];
        assert!((rule.exposed_share(&spread) - 0.25).abs() < 1e-12, "three of four were hidden");
        let together = [replica(&[5.0, 5.0]), replica(&[5.0, 5.0])];
        assert!((rule.exposed_share(&together) - 1.0).abs() < 1e-12, "nothing to hide behind");
    }

    #[test]
    fn a_groups_samples_wait_for_servers() {
        use crate::resolved::{LengthModel, Lengths};
        let lengths = Lengths { model: LengthModel::Constant(1), min: 1, max: 1, capped: true };
        let workload = Workload {
            prompts_per_step: 2,
            samples_per_prompt: 8,
            prompt_tokens: lengths.clone(),
            response_tokens: lengths,
            group_correlation: 0.0,
            response_drift: Vec::new(),
            response_cap: None,
        };
        // Sixteen samples of 10 s each; a group's eight take one, two and eight rounds.
        for (servers, seconds) in [(8, 10.0), (32, 10.0), (4, 20.0), (2, 40.0)] {
            let scoring = scoring(160.0 / f64::from(servers), servers, false);
            assert!((scoring.of_group(1, &workload) - seconds).abs() < 1e-9, "{servers}");
        }
        assert!(
            (scoring(6.0, 1, false).of_group(0, &workload) - 3.0).abs() < 1e-9,
            "half of one scorer's time"
        );
        // One behind the other, lognormal times add up; only the slowest of them counts where all are scored at once.
        let spread =
            |servers: u32| Scoring { sigma: 1.0, ..scoring(160.0 / f64::from(servers), servers, false) };
        let [one, all] = [1, 8].map(|servers| spread(servers).of_group(0, &workload));
        assert!(one > 1.5 * all && one < 8.0 * all, "{one} {all}");
    }

    #[test]
    fn servers_share_the_work() {
        // Four samples of 2 s each on two servers: 4 s with both busy.
        let together = [replica(&[5.0, 5.0, 5.0, 5.0])];
        assert!((scoring(4.0, 2, true).exposed_share(&together) - 1.0).abs() < 1e-9);
        let early = [replica(&[1.0, 1.0, 1.0, 5.0])];
        assert!((scoring(4.0, 2, true).exposed_share(&early) - 0.5).abs() < 1e-9, "the last one's 2 s");
        assert!((scoring(4.0, 2, false).exposed_share(&early) - 1.0).abs() < 1e-9, "nothing is hidden");
        // Eight servers for four samples: each still takes its time.
        assert!((scoring(1.0, 8, true).exposed_share(&early) - 2.0).abs() < 1e-9);
        let long = Scoring { sigma: 1.5, ..scoring(4.0, 2, false) };
        let other = Scoring { path: [1, 0], ..long };
        let samples = [replica(&[5.0; 64])];
        assert_ne!(
            long.exposed_share(&samples),
            other.exposed_share(&samples),
            "every draw has its own times"
        );
        let many = scoring(1.0, 4_000_000_000, true).exposed_share(&early);
        assert!((many - 1e9).abs() < 1.0, "no room for servers that stay empty: {many}");
        assert!(long.exposed_share(&[replica(&[5.0; 64])]) > 1.0, "a long one ends alone");
    }
}
