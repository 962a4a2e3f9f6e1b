//! Kernels that move bytes, by a line: t0 + bytes / (efficiency · bandwidth). Elementwise kernels and, with four bytes a
//! logit, sampling.
//!
//! Only this project's own tables are fitted: the public ones are of kernels that engines no longer run, and their
//! constants were set by hand (`carry`).

use super::base::{self, Bound};
use super::split::{self, Errors, Fit};
use crate::cost::Machine;

#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) bytes: f64,
    pub(super) us: f64,
}

/// Fixed microseconds, and the reached share of the bandwidth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) t0_us: f64,
    pub(super) efficiency: f64,
}

pub(super) struct Family {
    pub(super) machine: Machine,
}

impl Fit for Family {
    type Row = Row;
    type Form = Line;

    fn fit(&self, rows: &[&Row]) -> Option<Line> {
        // Small kernels find their operands in the cache, so the share may exceed one there; it must not run away.
        let start = [(3.0, Bound::Positive), (0.8, Bound::Between(0.2, 1.2))];
        let [t0_us, efficiency] = base::fit(start, &vec![1.0; rows.len()], |p, i| {
            self.error(&Line { t0_us: p[0], efficiency: p[1] }, rows[i])
        })
        .map(base::rounded);
        (!rows.is_empty()).then_some(Line { t0_us, efficiency })
    }

    fn error(&self, form: &Line, row: &Row) -> f64 {
        let us = form.t0_us + 1e6 * row.bytes / (form.efficiency * self.machine.bandwidth);
        libm::log(us / row.us)
    }
}

/// Held-out errors: random rows, unseen sizes.
pub(super) fn held_out(family: &Family, rows: &[Row], name: &'static str) -> Vec<Errors> {
    vec![
        split::hold_out(family, rows, (name, "random rows"), 5, |i, _| Some(i as u64)),
        split::hold_out(family, rows, (name, "unseen sizes"), 5, |_, row| Some(split::key(&[row.bytes]))),
    ]
}
