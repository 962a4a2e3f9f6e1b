//! Plans: how many GPUs, of which kind, split how, in which layout and loop, with or without speculation, for a goal.
//!
//! [`Space`] are the candidates, each a set of overrides on one scenario; [`search`] leaves out what cannot be or is beaten,
//! with a reason for each, and simulates the rest; [`answer`] says which plan is best, how sure that is, and what would change
//! it. A plan can be written out as a scenario ([`scenario_text`]). No file is written here; results do not depend on threads.
//!
//! Left out: schedules in time (a cluster that grows while a run goes on), placement on given nodes, prices that depend on
//! how much is bought.

mod answer;
mod attempt;
mod bound;
mod changes;
mod explain;
mod fate;
mod figures;
mod file;
mod goal;
mod kinds;
mod measure;
mod placement;
mod search;
mod select;
mod space;

pub use answer::{Choice, Exceeded, LeftOut, Nearest, PLAN_SCHEMA_VERSION, PlanResult, RunnerUp, answer};
pub use changes::Change;
pub use explain::Question;
pub use fate::Fate;
pub use file::scenario_text;
pub use goal::{Goal, Limit, LimitKind, Objective};
pub use kinds::OtherKind;
pub use measure::Measure;
pub use search::{COLUMNS, Found, Options, SearchError, Told, rows, search};
pub use space::{MOST_CANDIDATES, Space};

use super::sweep::{flow, leaves};
use crate::rollout::Stepper;
use crate::scenario::{Document, Error};
use crate::yaml::Node;

/// A value as a label.
fn label(node: &Node) -> String {
    flow(node)
}

/// The goal of a scenario with a plan.
pub fn goal(document: &Document) -> Result<Goal, Error> {
    let plan = document.scenario()?.plan.unwrap_or_default();
    Ok(Goal::of(&plan))
}

/// Everything that simulations of a plan depend on, one line each: the same lines, the same rows.
pub fn expanded(document: &Document, options: Options) -> Vec<String> {
    let mut lines = vec![
        format!("program = rollcast {}", env!("CARGO_PKG_VERSION")),
        format!("stepper = {}", if options.stepper == Stepper::Exact { "exact" } else { "leap" }),
    ];
    leaves("plan", document.root(), &mut lines);
    lines
}

/// The lower bound of a candidate and its simulated seconds at best values: what a test compares.
pub fn bound_and_value(document: &Document, stepper: Stepper) -> Result<(f64, f64), String> {
    let prepared = crate::resolve::resolve(document).map_err(|error| error.to_string())?;
    let least = bound::step_seconds(&prepared, &bound::Lengths::of(&prepared.resolved));
    Ok((least, figures::Figures::of(&prepared, stepper, 1, 1)?.mean()))
}
