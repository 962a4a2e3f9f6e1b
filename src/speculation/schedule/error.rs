//! What is wrong with a schedule that somebody gave.

use crate::speculation::ConfigurationError;
use crate::speculation::acceptance::AcceptanceError;
use crate::speculation::tree::TreeError;

/// A schedule that cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// A configuration that no engine runs.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// Rates that no drafter has.
    #[error(transparent)]
    Acceptance(#[from] AcceptanceError),
    /// A tree that cannot be.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Nothing in it.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// A table that says nothing about the smallest batches.
    #[error("the first range starts at {start}; it must start at 1")]
    FirstRange {
        /// Where it starts.
        start: u32,
    },
    /// A range that ends before it starts.
    #[error("the range {start} to {end} is empty")]
    EmptyRange {
        /// First batch.
        start: u32,
        /// Last batch.
        end: u32,
    },
    /// Ranges that share a batch or are out of order.
    #[error("the range from {start} begins at or before the end of the one before it, {previous}")]
    Overlap {
        /// First batch of the later one.
        start: u32,
        /// Last batch of the earlier one.
        previous: u32,
    },
    /// Batches that do not rise.
    #[error("{what} must rise: {value} comes after {previous}")]
    NotRising {
        /// What they are of.
        what: &'static str,
        /// The value.
        value: u32,
        /// The one before.
        previous: u32,
    },
    /// A number that cannot be.
    #[error("{what} is {value}; it must be {wanted}")]
    Number {
        /// What it is.
        what: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        wanted: &'static str,
    },
    /// A row of the wrong width.
    #[error("row {row} has {got} values, and there are {wanted} configurations")]
    Width {
        /// Row, from 0.
        row: usize,
        /// Its values.
        got: usize,
        /// What it should have.
        wanted: usize,
    },
}
