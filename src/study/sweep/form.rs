//! What may be written in a sweep file: the keys of each map, so that an unknown one is told with its nearest name.
//!
//! Values of axes are not read here: they keep their places and go into the scenario as they are.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Version of this form; 1.
    pub(super) version: u64,
    /// Title; by default the base scenario's name.
    pub(super) name: Option<String>,
    /// Free text.
    #[serde(rename = "description")]
    pub(super) _description: Option<String>,
    /// Path of a scenario, from this file, or a scenario.
    #[serde(rename = "base")]
    pub(super) _base: IgnoredAny,
    /// Overrides for every point.
    #[serde(rename = "set")]
    pub(super) _set: Option<IgnoredAny>,
    /// The axes.
    #[serde(rename = "axes")]
    pub(super) _axes: Vec<IgnoredAny>,
    /// Combinations to leave out.
    #[serde(rename = "exclude")]
    pub(super) _exclude: Option<Vec<IgnoredAny>>,
    /// Points of a Latin hypercube, instead of the full grid.
    pub(super) sample: Option<u64>,
    /// Seed of the Latin hypercube.
    pub(super) seed: Option<u64>,
    /// A place to hold YAML anchors; otherwise ignored.
    #[serde(rename = "vars")]
    pub(super) _vars: Option<IgnoredAny>,
}

/// One axis, or one member of a zipped axis.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Axis {
    /// Column name; by default the path's last key.
    pub(super) name: Option<String>,
    /// The key that moves.
    pub(super) path: Option<String>,
    /// Its values, one after the other.
    #[serde(rename = "values")]
    pub(super) _values: Option<Vec<IgnoredAny>>,
    /// Evenly spaced values.
    pub(super) range: Option<Range>,
    /// Values with a constant ratio.
    pub(super) log_range: Option<LogRange>,
    /// Axes of equal length that move together.
    #[serde(rename = "zip")]
    pub(super) _zip: Option<Vec<IgnoredAny>>,
    /// Named maps of overrides.
    #[serde(rename = "variants")]
    pub(super) _variants: Option<IgnoredAny>,
}

/// Evenly spaced values, both ends included where the step meets them.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Range {
    pub(super) from: f64,
    pub(super) to: f64,
    /// Left out, the range can only be sampled.
    pub(super) step: Option<f64>,
}

/// Values with a constant ratio, both ends included.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogRange {
    pub(super) from: f64,
    pub(super) to: f64,
    /// Left out, the range can only be sampled.
    pub(super) points: Option<u64>,
}
