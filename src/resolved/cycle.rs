//! The loop of one run: how far generation may run ahead of training, and the stages around both.

use serde::{Deserialize, Serialize};

use super::run::Quantity;

/// Stages around generation and training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoopSettings {
    /// RL steps that the weights of a trained sample may lag; 0 is synchronous.
    pub max_staleness: u32,
    /// How generation and training take turns.
    pub mode: LoopMode,
    /// Data loading, seconds per step.
    pub data: Quantity,
    /// Engine wake and everything of `prepare` besides the transfer, seconds.
    pub prepare: Quantity,
    /// Weight transfer from trainer to engine, seconds.
    pub weight_sync: Quantity,
    /// What the transfer stops.
    pub transfer: Transfer,
}

/// What a weight transfer stops, as shares of its seconds, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// Of the engines.
    pub engine_stall: f64,
    /// Of the trainer, where it has GPUs of its own.
    pub trainer_stall: f64,
    /// Whether both must be there at once (a collective), or the trainer leaves the weights somewhere.
    pub rendezvous: bool,
}

/// Which finished groups are trained first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupOrder {
    /// In the order in which they were started.
    InOrder,
    /// Those of the oldest weights.
    OldestFirst,
    /// Those that finished first.
    FirstDone,
}

impl GroupOrder {
    /// As a scenario spells it.
    pub fn key(self) -> &'static str {
        match self {
            GroupOrder::InOrder => "in_order",
            GroupOrder::OldestFirst => "oldest_first",
            GroupOrder::FirstDone => "first_done",
        }
    }
}

/// What new weights do to running requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interruption {
    /// Nothing starts until the running ones have finished.
    Off,
    /// They go on with their old KV cache.
    KeepKv,
    /// They go on once their KV cache is computed again.
    RecomputeKv,
}

impl Interruption {
    /// As a scenario spells it.
    pub fn key(self) -> &'static str {
        match self {
            Interruption::Off => "off",
            Interruption::KeepKv => "keep_kv",
            Interruption::RecomputeKv => "recompute_kv",
        }
    }
}

/// How generation and training take turns: the parameters of the one event machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LoopMode {
    /// Whether generation and training have GPUs of their own.
    pub split: bool,
    /// Prompts that may be under way beyond one RL step's, in RL steps.
    pub lead: f64,
    /// Whether prompts start one by one as others finish, rather than an RL step's together.
    pub streaming: bool,
    /// Which finished groups are trained first.
    pub order: GroupOrder,
    /// Whether a group beyond the bound is thrown away; otherwise training waits for it in time.
    pub drop_stale: bool,
    /// What new weights do to running requests.
    pub interruption: Interruption,
    /// Most samples under way on all engines together.
    pub max_concurrent: Option<u32>,
    /// Prompts started over prompts trained.
    pub over_sampling: f64,
    /// Whether what over-sampling leaves goes on in the next RL step.
    pub partial_rollouts: bool,
    /// Share of groups whose samples all pass, and all fail: they are not trained.
    pub without_signal: (f64, f64),
    /// Whether their replacements start together when everything has finished.
    pub waves: bool,
}

/// See [`LoopMode::filling`]; no more than a long lead can keep in flight with any use.
pub fn filling(lead: f64, partial_rollouts: bool) -> u32 {
    if lead > 0.0 || partial_rollouts { 2 + lead.ceil().min(30.0) as u32 } else { 0 }
}

impl LoopMode {
    /// Generation and training in turns on one pool, nothing more.
    pub const SYNC: LoopMode = LoopMode {
        split: false,
        lead: 0.0,
        streaming: false,
        order: GroupOrder::InOrder,
        drop_stale: false,
        interruption: Interruption::Off,
        max_concurrent: None,
        over_sampling: 1.0,
        partial_rollouts: false,
        without_signal: (0.0, 0.0),
        waves: false,
    };

    /// Share of groups that are filtered.
    pub fn filtered(&self) -> f64 {
        self.without_signal.0 + self.without_signal.1
    }

    /// First RL steps that are unlike the later ones, because nothing was under way before them; 0 where none is left over from
    /// one step to the next.
    pub fn filling(&self) -> u32 {
        filling(self.lead, self.partial_rollouts)
    }

    /// Whether time feeds back into what is generated when: samples come and go one by one. Otherwise an RL step's
    /// rollout is the same however long it takes.
    pub fn feeds_back(&self) -> bool {
        self.streaming || self.over_sampling > 1.0 || self.filtered() > 0.0
    }
}

/// Training of the drafter, as far as the loop feels it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DrafterTraining {
    /// RL steps between two trainings.
    pub every: u32,
    /// Seconds of one on the trainer's GPUs.
    pub seconds: f64,
    /// Of them those that the loop is longer for, but for what idle GPUs take.
    pub exposed_seconds: f64,
    /// GPU seconds that idle GPUs may take off `exposed_seconds`.
    pub idle_gpu_seconds: f64,
    /// Seconds that the drafter's weights add to a weight sync.
    pub sync_seconds: f64,
    /// Updates of each training, and those after which 63 % of a gap are closed.
    #[serde(default)]
    pub updates: (f64, f64),
    /// RL steps that a training's result lags.
    #[serde(default)]
    pub lag: u32,
    /// How far below its attainable first-position rate the drafter starts.
    #[serde(default)]
    pub initial_gap: f64,
}

impl DrafterTraining {
    /// Whether a training follows this RL step.
    pub fn due(&self, rl_step: u64) -> bool {
        (rl_step + 1).is_multiple_of(u64::from(self.every))
    }

    /// Seconds that a step is longer for, where `idle` GPU seconds of its rollout were idle.
    pub fn exposed(&self, idle: f64) -> f64 {
        if self.idle_gpu_seconds <= 0.0 {
            return self.exposed_seconds;
        }
        self.exposed_seconds * (1.0 - (idle / self.idle_gpu_seconds).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_spelling_of_files() {
        for order in [GroupOrder::InOrder, GroupOrder::OldestFirst, GroupOrder::FirstDone] {
            assert_eq!(serde_json::to_value(order).ok(), Some(order.key().into()));
        }
        for interruption in [Interruption::Off, Interruption::KeepKv, Interruption::RecomputeKv] {
            assert_eq!(serde_json::to_value(interruption).ok(), Some(interruption.key().into()));
        }
    }
}
