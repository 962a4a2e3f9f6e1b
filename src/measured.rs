//! Tables of measured kernel times: one format for public tables and for this project's own calibration runs.
//!
//! A table is the times of one operation on one device: a YAML header between two `---` lines (device, driver,
//! versions, provider, L2 state, clocks, operation, units of its axes), then CSV with a column for each label and
//! axis of the operation and `median_us`, `p10_us`, `p90_us`, `low_us`, `high_us` (the interval of the median),
//! `samples` and `flag`. What an operation's columns are is in [`Op`]. Public tables without a header are
//! recognised by name and columns (`public`). Rows that cannot be are errors that name file and line; rows that
//! can be and should not count (flagged, contradicting) are left out and counted by reason.

mod check;
mod op;
mod public;
mod read;
mod write;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use check::{Excluded, Reason, screen};
pub use op::Op;
pub use read::{MeasuredError, read, read_text};
pub use write::write;

/// Version of the format.
pub const VERSION: u32 = 1;

/// Whether operands that engines read from memory lay in the cache when they were timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum L2 {
    /// Weights and KV cache come from memory.
    Cold,
    /// They are in the cache.
    Hot,
    /// Small ones may be in the cache: the same buffers were replayed.
    Mixed,
}

/// At which clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clocks {
    /// Short replays: boost clocks.
    Burst,
    /// Long enough for the power limit to act.
    Sustained,
    /// Set to a fixed value.
    Locked,
}

/// What all rows of a table share.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Version of the format.
    pub rollcast_measured: u32,
    /// Catalog id of the device.
    pub device: String,
    /// Driver, where known.
    #[serde(default)]
    pub driver: Option<String>,
    /// Versions of libraries.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    /// Whose kernels, and who published the times.
    pub provider: String,
    /// State of the cache.
    pub l2: L2,
    /// Clocks.
    pub clocks: Clocks,
    /// The operation.
    pub op: Op,
    /// Unit of each axis.
    pub axes: BTreeMap<String, String>,
}

/// The time of one row, microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// Median, or the mean where only that was published.
    pub median: f64,
    /// 10 % and 90 % quantiles.
    pub spread: Option<[f64; 2]>,
    /// Interval of the median.
    pub interval: Option<[f64; 2]>,
    /// Samples.
    pub samples: Option<u32>,
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Line in the file, from 1.
    pub line: u32,
    /// Labels, in the order of [`Op::labels`].
    pub labels: Vec<String>,
    /// Axes, in the order of [`Op::axes`].
    pub axes: Vec<f64>,
    /// Its time.
    pub timing: Timing,
    /// Whether its source suspects it (a spike among its neighbours).
    pub flagged: bool,
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The file's name, as errors print it.
    pub name: String,
    /// What its rows share.
    pub header: Header,
    /// Its rows.
    pub rows: Vec<Row>,
}
