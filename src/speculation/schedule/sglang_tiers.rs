//! SGLang's adaptive steps (`--speculative-adaptive-config`, read in sglang 0.5.23).
//!
//! Each tier starts at a batch and has steps to choose from. The batch is padded to the next captured graph and floored
//! to a tier. A tier keeps an exponential mean of the accepted drafts a request, updated by every verified step, and
//! each `update_interval` steps after `warmup_batches` walks along its steps: down while the mean is at most
//! (lower step) - 0.5 + `down` (0.5 + `down` where the lower step is 0), else up while it is above
//! (step) - 0.5 + `up`. From step 0 it goes one step up each time, to probe. There is no cost in it. Chains only.

use super::{Observation, Schedule, ScheduleError, Snapshot};
use crate::speculation::Configuration;

/// The configuration file.
#[derive(Debug, Clone, PartialEq)]
pub struct SglangConfig {
    /// Weight of the newest step in the mean.
    pub ema_alpha: f64,
    /// Steps between two decisions.
    pub update_interval: u32,
    /// Steps before the first.
    pub warmup_batches: u32,
    /// The tiers.
    pub tiers: Vec<Tier>,
}

/// One tier.
#[derive(Debug, Clone, PartialEq)]
pub struct Tier {
    /// Its smallest batch.
    pub from: u32,
    /// Steps to choose from; 0 is plain decoding.
    pub candidate_steps: Vec<u32>,
    /// Added to the threshold of a step up.
    pub up_hysteresis: f64,
    /// Added to the threshold of a step down.
    pub down_hysteresis: f64,
    /// Steps are at most this times the mean, rounded up, where they do not rise; 0 is no bound.
    pub ceiling_coeff: f64,
}

impl Default for SglangConfig {
    /// What it uses without a file.
    fn default() -> Self {
        let tier = |from, steps: &[u32], down| Tier {
            from,
            candidate_steps: steps.to_vec(),
            up_hysteresis: 0.0,
            down_hysteresis: down,
            ceiling_coeff: 0.0,
        };
        SglangConfig {
            ema_alpha: 0.2,
            update_interval: 5,
            warmup_batches: 10,
            tiers: vec![
                tier(1, &[1, 3, 5, 7], -0.25),
                tier(8, &[0, 1, 3], 0.0),
                tier(32, &[0, 1], 0.0),
                tier(64, &[0], 0.0),
            ],
        }
    }
}

#[derive(Debug, Clone)]
struct Slot {
    tier: Tier,
    /// Index of the step in force.
    at: usize,
    mean: f64,
    steps: u32,
}

/// The adaptive controller.
#[derive(Debug, Clone)]
pub struct SglangTiers {
    ema_alpha: f64,
    update_interval: u32,
    warmup_batches: u32,
    slots: Vec<Slot>,
    /// Captured batches, rising; empty where no graphs are captured.
    captured: Vec<u32>,
}

impl SglangTiers {
    /// From a configuration, `--speculative-num-steps`, and the captured batches. Every tier starts at
    /// `initial_steps` where it has them, else in the middle of its steps.
    pub fn new(
        config: &SglangConfig,
        initial_steps: u32,
        mut captured: Vec<u32>,
    ) -> Result<Self, ScheduleError> {
        if config.tiers.is_empty() {
            return Err(ScheduleError::Empty("the list of tiers"));
        }
        if !(config.ema_alpha > 0.0 && config.ema_alpha <= 1.0) {
            let (what, wanted) = ("ema_alpha", "above 0 and at most 1");
            return Err(ScheduleError::Number { what, value: config.ema_alpha, wanted });
        }
        if config.update_interval == 0 {
            let (what, wanted) = ("update_interval", "at least 1");
            return Err(ScheduleError::Number { what, value: 0.0, wanted });
        }
        let rising = config.tiers.windows(2).find(|pair| pair[1].from <= pair[0].from);
        if let Some(pair) = rising {
            let (value, previous) = (pair[1].from, pair[0].from);
            return Err(ScheduleError::NotRising { what: "batches of the tiers", value, previous });
        }
        captured.sort_unstable();
        let slots = config.tiers.iter().map(|tier| {
            let mut tier = tier.clone();
            tier.candidate_steps.sort_unstable();
            tier.candidate_steps.dedup();
            if tier.candidate_steps.is_empty() {
                return Err(ScheduleError::Empty("candidate_steps"));
            }
            let named = tier.candidate_steps.iter().position(|steps| *steps == initial_steps);
            let at = named.unwrap_or(tier.candidate_steps.len() / 2);
            let mean = f64::from(tier.candidate_steps[at]) - 1.0;
            Ok(Slot { tier, at, mean, steps: 0 })
        });
        Ok(SglangTiers {
            ema_alpha: config.ema_alpha,
            update_interval: config.update_interval,
            warmup_batches: config.warmup_batches,
            slots: slots.collect::<Result<_, _>>()?,
            captured,
        })
    }

    fn slot_of(&self, batch: u32) -> usize {
        let graph = self.captured.partition_point(|size| *size < batch);
        let padded = self.captured.get(graph).copied().unwrap_or(batch);
        self.slots.partition_point(|slot| slot.tier.from <= padded).saturating_sub(1)
    }
}

impl Slot {
    fn steps_in_force(&self) -> u32 {
        self.tier.candidate_steps[self.at]
    }

    fn walk(&mut self) {
        let steps = &self.tier.candidate_steps;
        let before = self.at;
        if steps[self.at] == 0 {
            self.at = (self.at + 1).min(steps.len() - 1);
            if steps[self.at] > 0 && self.mean < 0.0 {
                // Nothing was ever drafted here: the probe starts from its own neutral mean.
                self.mean = f64::from(steps[self.at]) - 1.0;
            }
            return;
        }
        while self.at > 0 {
            let lower = steps[self.at - 1];
            let threshold = if lower == 0 { 0.5 } else { f64::from(lower) - 0.5 };
            if self.mean > threshold + self.tier.down_hysteresis {
                break;
            }
            self.at -= 1;
        }
        if self.at == before {
            while self.at + 1 < steps.len()
                && self.mean > f64::from(steps[self.at]) - 0.5 + self.tier.up_hysteresis
            {
                self.at += 1;
            }
        }
        if self.tier.ceiling_coeff > 0.0 && self.at <= before {
            let ceiling = libm::ceil(self.mean * self.tier.ceiling_coeff).max(1.0);
            while self.at > 0 && f64::from(steps[self.at]) > ceiling {
                self.at -= 1;
            }
        }
    }
}

impl Schedule for SglangTiers {
    fn decide(&mut self, snapshot: &Snapshot) -> Configuration {
        Configuration::chain(self.slots[self.slot_of(snapshot.running)].steps_in_force())
    }

    fn max_draft_tokens(&self) -> u32 {
        self.slots.iter().flat_map(|slot| slot.tier.candidate_steps.iter().copied()).max().unwrap_or(0)
    }

    fn leapable(&self) -> bool {
        false
    }

    fn observe(&mut self, observation: &Observation<'_>) {
        let rounds: u64 = observation.accepted.iter().sum();
        if rounds == 0 {
            return;
        }
        let at = self.slot_of(observation.running);
        let slot = &mut self.slots[at];
        if slot.steps_in_force() > 0 {
            let accepted: u64 = observation.accepted.iter().zip(0..).map(|(count, n)| count * n).sum();
            let newest = accepted as f64 / rounds as f64;
            slot.mean = (1.0 - self.ema_alpha) * slot.mean + self.ema_alpha * newest;
        }
        slot.steps += 1;
        if slot.steps > self.warmup_batches
            && (slot.steps - self.warmup_batches).is_multiple_of(self.update_interval)
        {
            slot.walk();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default(initial: u32) -> SglangTiers {
        SglangTiers::new(&SglangConfig::default(), initial, Vec::new()).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Runs steps in which every request accepts as many drafts as are made, at most `accepted`.
    fn run(schedule: &mut SglangTiers, running: u32, accepted: u32, steps: u32) -> Vec<u32> {
        (0..steps)
            .map(|_| {
                let configuration = schedule.decide(&Snapshot { running, ..Snapshot::default() });
                let k = configuration.draft_tokens();
                let mut histogram = vec![0; k as usize + 1];
                histogram[accepted.min(k) as usize] = u64::from(running);
                schedule.observe(&Observation { configuration, running, accepted: &histogram });
                k
            })
            .collect()
    }

    #[test]
    fn climbs_where_all_is_accepted_after_warm_up() {
        let mut schedule = default(3);
        let steps = run(&mut schedule, 4, 7, 60);
        assert!(steps[..15].iter().all(|k| *k == 3), "ten to warm up and five to decide: {steps:?}");
        // Mean 3 - 0.8^15 after 15 steps of 3: above 2.5, so 5; 5 drafts then carry it above 4.5, so 7.
        assert_eq!(steps[15], 5);
        assert_eq!(*steps.last().unwrap_or(&0), 7);
    }

    #[test]
    fn falls_where_nothing_is_accepted_and_probes_from_zero() {
        let mut schedule = default(3);
        let low = run(&mut schedule, 2, 0, 40);
        assert_eq!(*low.last().unwrap_or(&9), 1, "the first tier has no zero");
        let middle = run(&mut schedule, 16, 0, 60);
        assert!(middle.contains(&0), "{middle:?}");
        let zero = middle.iter().position(|k| *k == 0).unwrap_or(0);
        assert!(middle[zero..].contains(&1), "off is left again to look: {middle:?}");
        assert_eq!(run(&mut schedule, 64, 7, 30), vec![0; 30]);
    }

    #[test]
    fn batches_are_padded_to_graphs_before_tiers() {
        let config = SglangConfig::default();
        let mut padded = SglangTiers::new(&config, 3, vec![1, 2, 4, 8, 16]).unwrap_or_else(|e| panic!("{e}"));
        let mut plain = default(7);
        let five = Snapshot { running: 5, ..Snapshot::default() };
        // Five run in the graph of eight, whose tier has 0, 1, 3.
        assert_eq!(padded.decide(&five).draft_tokens(), 3);
        run(&mut padded, 5, 0, 15);
        assert_eq!(padded.decide(&five).draft_tokens(), 0);
        assert_eq!(padded.decide(&Snapshot { running: 4, ..five }).draft_tokens(), 3);
        assert_eq!(plain.decide(&five).draft_tokens(), 7);
    }

    #[test]
    fn impossible_files_are_refused() {
        let config = SglangConfig::default();
        let refused = |change: &dyn Fn(&mut SglangConfig)| {
            let mut changed = config.clone();
            change(&mut changed);
            SglangTiers::new(&changed, 3, Vec::new()).err()
        };
        assert!(matches!(refused(&|c| c.tiers.clear()), Some(ScheduleError::Empty(_))));
        assert!(matches!(refused(&|c| c.tiers[1].from = 1), Some(ScheduleError::NotRising { .. })));
        assert!(matches!(refused(&|c| c.tiers[0].candidate_steps.clear()), Some(ScheduleError::Empty(_))));
        assert!(matches!(refused(&|c| c.ema_alpha = 0.0), Some(ScheduleError::Number { .. })));
        assert!(matches!(refused(&|c| c.update_interval = 0), Some(ScheduleError::Number { .. })));
    }
}
