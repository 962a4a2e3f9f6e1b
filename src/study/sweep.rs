//! Sweeps: one base scenario, many points, one row of figures each.
//!
//! [`Sweep::read`] reads a sweep file and finds every mistake in it before anything runs; [`Sweep::check`] proves each
//! value of each axis at some point; [`run`] forecasts points on threads and hands each [`Row`] on as soon as it is
//! there; [`journal`] is the form in which rows are kept while a sweep runs. No file is opened here but the scenarios'
//! own. Rows depend on the sweep alone: not on threads, nor on the order in which points end.
//!
//! Left out: searching for an optimum. A sweep visits what it is told to.

mod axis;
mod check;
mod form;
pub mod journal;
mod points;
mod read;
mod row;
mod run;
mod text;

pub use axis::{Axis, Entry};
pub use points::Point;
pub use read::SweepErrors;
pub use row::{FIGURES, Row, Warnings};
pub use run::{RunError, Workers, run};
pub(super) use text::{flow, leaves};

use crate::rollout::Stepper;
use crate::scenario::Document;

/// Most points of a sweep.
pub const MOST_POINTS: u64 = 1_000_000;

/// A sweep, read and in order; its points are numbered from 0.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// Title.
    pub name: String,
    /// The scenario that every point changes.
    base: Document,
    /// Axes in the order written; the last one moves fastest.
    pub axes: Vec<Axis>,
    /// Combinations that are left out.
    exclude: Vec<points::Exclusion>,
    /// What numbers the points.
    plan: points::Plan,
    /// How rollouts are simulated.
    stepper: Stepper,
}

/// What the command line adds to a sweep file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// `--set` assignments, applied to the base.
    pub overrides: &'a [String],
    /// Points of a Latin hypercube instead of the full grid.
    pub sample: Option<u32>,
    /// How rollouts are simulated; by default `leap`.
    pub exact: bool,
}

impl Sweep {
    /// Points that are not excluded.
    pub fn len(&self) -> u64 {
        self.plan.len()
    }

    /// Whether everything is excluded; a sweep that was read never is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names of the axes' columns, in order.
    pub fn axis_columns(&self) -> impl Iterator<Item = &str> {
        self.axes.iter().flat_map(|axis| axis.columns.iter().map(String::as_str))
    }

    /// All columns of a row, `index` left out: axes, then figures.
    pub fn columns(&self) -> Vec<String> {
        self.axis_columns().chain(FIGURES).map(str::to_owned).collect()
    }

    /// Everything that the rows depend on, one line each: the same lines, the same rows.
    pub fn expanded(&self) -> Vec<String> {
        text::expanded(self)
    }
}
