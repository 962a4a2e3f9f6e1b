//! Numbers as people read them.

use crate::math::Summary;

/// Seconds with sensible digits.
pub(super) fn seconds(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        v if v >= 0.1 => format!("{value:.2}"),
        // Rounding of a sum, not a duration.
        v if v < 1e-9 => "0".to_owned(),
        _ => format!("{value:.4}"),
    }
}

/// Seconds with their 5-95 % interval.
pub(super) fn seconds_band(summary: &Summary) -> String {
    format!("{} - {}", seconds(summary.p05), seconds(summary.p95))
}

/// Money.
pub(super) fn usd(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("${v:.0}"),
        v if v >= 1.0 => format!("${v:.2}"),
        v if v >= 0.1 => format!("${v:.3}"),
        v => format!("${v:.4}"),
    }
}

/// A share of 1.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// A ratio.
pub(super) fn times(ratio: f64) -> String {
    format!("{ratio:.2}x")
}

/// A ratio's 5-95 % interval.
pub(super) fn times_band(summary: &Summary) -> String {
    format!("{:.2} - {:.2}", summary.p05, summary.p95)
}
