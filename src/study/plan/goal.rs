//! What a plan is for: an objective, and limits that it must keep to.

use std::cmp::Ordering;

use serde::Serialize;

use crate::scenario::raw::{self, Minimise};

/// Keys compared one after the other.
pub(super) fn by_keys(a: &[f64], b: &[f64]) -> Ordering {
    a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).fold(Ordering::Equal, Ordering::then)
}

/// What is made as small as can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// USD of an RL step.
    UsdPerStep,
    /// Seconds of an RL step.
    StepS,
    /// GPUs of all pools.
    Gpus,
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// Seconds of an RL step.
    StepS,
    /// RL steps in a day, from below.
    StepsPerDay,
    /// USD of an RL step.
    UsdPerStep,
    /// USD of a day.
    UsdPerDay,
    /// GPUs.
    Gpus,
    /// Staleness bound, RL steps.
    MaxStaleness,
}

impl LimitKind {
    /// The key in a scenario.
    pub fn key(self) -> &'static str {
        match self {
            LimitKind::StepS => "step_s",
            LimitKind::StepsPerDay => "steps_per_day",
            LimitKind::UsdPerStep => "usd_per_step",
            LimitKind::UsdPerDay => "usd_per_day",
            LimitKind::Gpus => "gpus",
            LimitKind::MaxStaleness => "max_staleness",
        }
    }
}

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Limit {
    /// What it is on.
    pub kind: LimitKind,
    /// The number as given.
    pub given: f64,
}

/// An objective and its limits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Goal {
    /// What is minimised.
    pub minimise: Objective,
    /// The limits.
    pub subject_to: Vec<Limit>,
    /// Share of draws and worlds that must be within the limits on seconds and USD a step.
    pub p: f64,
}

/// What is known of a candidate without simulating it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Facts {
    pub(super) gpus: u32,
    /// Bound on staleness, RL steps.
    pub(super) staleness: u32,
    /// Price of all GPUs, USD per second.
    pub(super) usd_per_s: f64,
}

impl Goal {
    pub(super) fn of(plan: &raw::Plan) -> Self {
        let given = plan.subject_to.clone().unwrap_or_default();
        let positive = raw::Positive::get;
        let limits = [
            (LimitKind::StepS, given.step_s.map(positive)),
            (LimitKind::StepsPerDay, given.steps_per_day.map(positive)),
            (LimitKind::UsdPerStep, given.usd_per_step.map(positive)),
            (LimitKind::UsdPerDay, given.usd_per_day.map(positive)),
            (LimitKind::Gpus, given.gpus.map(|n| n.get() as f64)),
            (LimitKind::MaxStaleness, given.max_staleness.map(|n| n.get() as f64)),
        ];
        let limits = limits.into_iter().filter_map(|(kind, given)| given.map(|given| Limit { kind, given }));
        Goal {
            minimise: match plan.minimise {
                Some(Minimise::StepS) => Objective::StepS,
                Some(Minimise::Gpus) => Objective::Gpus,
                Some(Minimise::UsdPerStep) | None => Objective::UsdPerStep,
            },
            subject_to: limits.collect(),
            p: given.p.map_or(0.9, raw::Fraction::get),
        }
    }

    /// Whether prices decide: by the objective or by a limit.
    pub(super) fn is_about_money(&self) -> bool {
        let limited = |limit: &Limit| matches!(limit.kind, LimitKind::UsdPerStep | LimitKind::UsdPerDay);
        self.minimise == Objective::UsdPerStep || self.subject_to.iter().any(limited)
    }

    /// What candidates are ordered by, least first: the objective, then what else anybody would want less of.
    pub(super) fn order(&self, facts: &Facts, step_s: f64) -> [f64; 3] {
        let (usd, gpus) = (step_s * facts.usd_per_s, f64::from(facts.gpus));
        match self.minimise {
            Objective::UsdPerStep => [usd, step_s, gpus],
            Objective::StepS => [step_s, usd, gpus],
            Objective::Gpus => [gpus, usd, step_s],
        }
    }

    /// What candidates beyond a limit are ordered by: how far they exceed it, then the goal's order.
    pub(super) fn order_over(&self, used: f64, facts: &Facts, step_s: f64) -> [f64; 4] {
        let [x, y, z] = self.order(facts, step_s);
        [used, x, y, z]
    }

    /// A limit and how far a step of so many seconds uses it: above 1 is too far.
    pub(super) fn use_of(limit: &Limit, facts: &Facts, step_s: f64) -> f64 {
        match limit.kind {
            LimitKind::StepS => step_s / limit.given,
            LimitKind::StepsPerDay => step_s * limit.given / 86_400.0,
            LimitKind::UsdPerStep => step_s * facts.usd_per_s / limit.given,
            LimitKind::UsdPerDay => facts.usd_per_s * 86_400.0 / limit.given,
            LimitKind::Gpus => f64::from(facts.gpus) / limit.given,
            // A bound of 0 is a limit too.
            LimitKind::MaxStaleness => (f64::from(facts.staleness) + 1.0) / (limit.given + 1.0),
        }
    }

    /// Whether a limit depends on seconds.
    fn timed(kind: LimitKind) -> bool {
        matches!(kind, LimitKind::StepS | LimitKind::StepsPerDay | LimitKind::UsdPerStep)
    }

    /// The limit that is exceeded the most at these seconds, with its use; those on seconds may be exceeded by `slack`.
    pub(super) fn exceeded(&self, facts: &Facts, step_s: f64, slack: f64) -> Option<(Limit, f64)> {
        let over = |limit: &Limit| {
            let used = Self::use_of(limit, facts, step_s);
            let most = if Self::timed(limit.kind) { 1.0 + slack } else { 1.0 + 1e-12 };
            (used > most).then_some((*limit, used))
        };
        self.subject_to.iter().filter_map(over).max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// All limits with their use where seconds are what they are in a share `p` of all worlds, the most used first.
    pub(super) fn uses(&self, facts: &Facts, seconds: &[f64]) -> Vec<(Limit, f64)> {
        let mut sorted = seconds.to_vec();
        sorted.sort_by(f64::total_cmp);
        // The least that holds in the share: what `met` counts.
        let place = ((self.p * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
        let at = sorted.get(place).copied().unwrap_or(0.0);
        let used = |limit: &Limit| (*limit, Self::use_of(limit, facts, at));
        let mut uses: Vec<(Limit, f64)> = self.subject_to.iter().map(used).collect();
        uses.sort_by(|a, b| b.1.total_cmp(&a.1));
        uses
    }

    /// Share of worlds in which all limits hold.
    pub(super) fn met(&self, facts: &Facts, seconds: &[f64]) -> f64 {
        let holds = |step: &&f64| self.exceeded(facts, **step, 0.0).is_none();
        seconds.iter().filter(holds).count() as f64 / seconds.len().max(1) as f64
    }
}
