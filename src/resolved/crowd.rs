//! How many samples a replica can come to hold: what its engine can fill, and schedules and memory are sized for.
//!
//! Where an RL step's prompts start together that is its share of them. Where they start one by one as many are under way as
//! the loop allows, and a router that counts keeps replicas within one of each other, or within a group where groups stay
//! together. Replicas of their own for long responses leave the others' share open.

use super::cycle::LoopMode;
use super::run::Workload;

/// What bounds the samples of a replica beside its engine's seats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crowd {
    /// Prompts that are under way at once.
    pub prompts: u32,
    /// Samples of each.
    pub each: u32,
    /// Most samples under way together.
    pub at_once: u32,
    /// Whether a replica gets whole groups.
    pub groups: bool,
    /// Whether they start one by one.
    pub one_by_one: bool,
    /// Whether some replicas get more than their share.
    pub uneven: bool,
}

impl Crowd {
    /// Of a loop; `groups`: they stay together, `uneven`: some replicas are kept for long responses.
    pub fn new(workload: &Workload, mode: &LoopMode, groups: bool, uneven: bool) -> Self {
        let one_by_one = mode.feeds_back();
        let steps = if one_by_one { mode.lead + mode.over_sampling } else { 1.0 };
        Crowd {
            prompts: (steps * f64::from(workload.prompts_per_step)) as u32,
            each: workload.samples_per_prompt,
            at_once: mode.max_concurrent.filter(|_| one_by_one).unwrap_or(u32::MAX),
            groups,
            one_by_one,
            uneven,
        }
    }

    /// Most samples that one of `replicas` holds.
    pub fn most(&self, replicas: u32) -> u32 {
        let (prompts, each) = (u64::from(self.prompts), u64::from(self.each));
        let replicas = u64::from(replicas.max(1));
        let all = (prompts * each).min(u64::from(self.at_once));
        let most = if self.uneven {
            all
        } else if !self.groups {
            all.div_ceil(replicas)
        } else if self.one_by_one {
            // The emptiest replica has its share at most when a group comes to it.
            (all.saturating_sub(each) / replicas + each).min(all)
        } else {
            prompts.div_ceil(replicas) * each
        };
        u32::try_from(most.max(1)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOGETHER: Crowd =
        Crowd { prompts: 3, each: 32, at_once: u32::MAX, groups: false, one_by_one: false, uneven: false };

    #[test]
    fn a_share_whole_groups_or_all() {
        assert_eq!(TOGETHER.most(2), 48);
        assert_eq!(Crowd { groups: true, ..TOGETHER }.most(2), 64);
        assert_eq!(Crowd { uneven: true, ..TOGETHER }.most(2), 96);
        assert_eq!(TOGETHER.most(1000), 1);
        let stream = Crowd { one_by_one: true, groups: true, prompts: 5, each: 4, ..TOGETHER };
        assert_eq!(stream.most(3), 9, "16 / 3 and a group more");
        assert_eq!(Crowd { at_once: 6, groups: false, ..stream }.most(3), 2);
    }
}
