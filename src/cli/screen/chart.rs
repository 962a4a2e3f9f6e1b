//! The batch over time, as one line of bars.

use super::{LABEL, columns, seconds};
use crate::result::Arm;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Running sequences of all replicas over one rollout.
pub(super) fn batch(arm: &Arm) -> String {
    let points = &arm.batch_over_time;
    let (Some(last), Some(most)) = (points.last(), points.iter().map(|p| p.running).max()) else {
        return String::new();
    };
    let left = format!("{most} ");
    let right = format!(" 1 after {} s", seconds(last.seconds));
    let width = columns().saturating_sub(LABEL + left.len() + right.len()).clamp(10, 72);
    let bars: String = (0..width)
        .map(|column| {
            let at = column * (points.len() - 1) / (width - 1).max(1);
            let share = f64::from(points[at].running) / f64::from(most.max(1));
            BARS[((share * 8.0).ceil() as usize).clamp(1, 8) - 1]
        })
        .collect();
    format!("{:<LABEL$}{left}{bars}{right}\n", "batch")
}
