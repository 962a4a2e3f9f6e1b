//! What became of a candidate: why it was left out, or how far it came.

use super::goal::LimitKind;
use super::space::Space;

/// What became of a candidate.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// Its GPUs do not fill nodes.
    Nodes(String),
    /// Its layout does not divide.
    Layout(String),
    /// It does not fit memory.
    Memory(String),
    /// The scenario that it makes is none.
    Refused(String),
    /// The same run as another candidate, written differently.
    Same(usize),
    /// Over a limit: how far, in what, and at how many simulated draws (none: by the bound, or whatever its seconds).
    OverLimit {
        /// The limit.
        kind: LimitKind,
        /// Its use; above 1 is too far.
        used: f64,
        /// Draws; 0 where nothing was simulated.
        draws: u32,
    },
    /// Even its lower bound is slower and dearer than another candidate was.
    Bound {
        /// Its lower bound, seconds.
        step_s: f64,
        /// The other.
        by: usize,
        /// The other's seconds.
        by_step_s: f64,
    },
    /// Another one was faster and cheaper by a margin.
    Behind {
        /// Draws that were simulated.
        draws: u32,
        /// Its seconds.
        step_s: f64,
        /// The other.
        by: usize,
        /// The other's seconds.
        by_step_s: f64,
    },
    /// Others with the same GPUs, price and staleness were faster.
    Halved {
        /// Draws that were simulated.
        draws: u32,
        /// Its seconds.
        step_s: f64,
        /// How many were faster.
        ahead: usize,
    },
    /// The simulation came to no end.
    Failed(String),
    /// Simulated in full.
    Final {
        /// Place among those within the limits, from 1; none where it is not.
        rank: Option<usize>,
    },
}

impl Fate {
    /// What it is counted under.
    pub fn reason(&self) -> &'static str {
        match self {
            Fate::Nodes(_) => "nodes",
            Fate::Layout(_) => "divisibility",
            Fate::Memory(_) => "memory",
            Fate::Refused(_) => "refused",
            Fate::Same(_) => "same run as another",
            Fate::OverLimit { .. } => "over a limit",
            Fate::Bound { .. } => "dominated by its bound",
            Fate::Behind { .. } => "dominated in simulation",
            Fate::Halved { .. } => "halved",
            Fate::Failed(_) => "failed",
            Fate::Final { .. } => "final",
        }
    }

    /// In a sentence.
    pub fn text(&self, space: &Space) -> String {
        let draws = |n: u32| if n == 1 { "1 draw".to_owned() } else { format!("{n} draws") };
        match self {
            Fate::Nodes(why) => format!("no whole nodes: {why}"),
            Fate::Layout(why) => format!("does not divide: {why}"),
            Fate::Memory(why) => format!("does not fit memory: {why}"),
            Fate::Refused(why) => format!("no scenario: {why}"),
            Fate::Same(other) => format!("the same run as candidate {other} ({})", space.title(*other)),
            Fate::OverLimit { kind, used, draws: 0 } => {
                format!("over the limit on {} by {:.0} % at least", kind.key(), 100.0 * (used - 1.0))
            }
            Fate::OverLimit { kind, used, draws: n } => {
                let over = 100.0 * (used - 1.0);
                format!("over the limit on {} by {over:.0} % ({})", kind.key(), draws(*n))
            }
            Fate::Bound { step_s, by, by_step_s } => format!(
                "its step takes {step_s:.1} s at least; candidate {by} ({}) took {by_step_s:.1} s for no more money, GPUs or staleness",
                space.title(*by)
            ),
            Fate::Behind { draws: n, step_s, by, by_step_s } => format!(
                "{step_s:.1} s a step ({}); candidate {by} ({}) took {by_step_s:.1} s for less money, and no more GPUs or staleness",
                draws(*n),
                space.title(*by)
            ),
            Fate::Halved { draws: n, step_s, ahead } => format!(
                "{step_s:.1} s a step ({}); {ahead} others with the same GPUs, price and staleness were faster",
                draws(*n)
            ),
            Fate::Failed(why) => format!("the simulation failed: {why}"),
            Fate::Final { rank: Some(rank) } => format!("simulated in full: number {rank}"),
            Fate::Final { rank: None } => "simulated in full: not within the limits".to_owned(),
        }
    }
}
