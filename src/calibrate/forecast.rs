//! Seconds of a whole step from measured kernels, stated before the step is measured.
//!
//! A step is the sum of its kernels; the gap between two launches of a graph is inside each kernel's time. A kernel
//! whose size was not measured is interpolated: ln(time / roofline) is linear in the logarithm of its size, first along
//! one axis (context, tokens, rows), then along the other (sequences x KV heads), and held at the ends. Products
//! need their exact weight matrix, attention its exact group and query tokens.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::outcome::Measured;
use super::work::Work;
use crate::rng::mix;

/// Measured kernels by what cannot be interpolated, then by size.
#[derive(Debug, Clone, Default)]
pub struct Kernels {
    curves: BTreeMap<String, BTreeMap<u64, Vec<(f64, f64)>>>,
}

/// What cannot be interpolated, and the two sizes that can.
fn place(work: &Work) -> Option<(String, [u64; 2])> {
    let (key, sizes) = match work {
        Work::Gemm { format, shape: [m, n, k], choice } => {
            (format!("{format:?} {choice:?} {n} {k}"), [1, *m])
        }
        Work::Attention { mask, heads: [h, kv], batch, queries, context, page } => {
            (format!("{mask:?} {} {queries} {page}", h / kv), [batch * kv, *context])
        }
        Work::Tokens { kernel, tokens, width, heads } => {
            (format!("{kernel:?} {width} {heads:?}"), [1, *tokens])
        }
        Work::Rows { kernel, rows, vocabulary, draft } => {
            (format!("{kernel:?} {vocabulary} {draft}"), [1, *rows])
        }
        _ => return None,
    };
    Some((key, sizes))
}

impl Kernels {
    /// From a run's rows.
    pub fn of(rows: &[Measured]) -> Self {
        let mut kernels = Kernels::default();
        for row in rows {
            if let Some((key, [outer, inner])) = place(&row.point.work) {
                let excess = libm::log(row.spread.median / row.point.work.predicted_s());
                let curve = kernels.curves.entry(key).or_default().entry(outer).or_default();
                curve.push((libm::log(inner as f64), excess));
            }
        }
        for curve in kernels.curves.values_mut().flat_map(BTreeMap::values_mut) {
            curve.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        kernels
    }

    /// Seconds of one kernel, or of a step; `None` where a part of it was not measured at all.
    pub fn seconds(&self, work: &Work) -> Option<f64> {
        if let Work::Step { layers, layer, end, .. } = work {
            let sum = |works: &[Work]| works.iter().map(|work| self.seconds(work)).sum::<Option<f64>>();
            return Some(*layers as f64 * sum(layer)? + sum(end)?);
        }
        let (key, [outer, inner]) = place(work)?;
        let curves = self.curves.get(&key)?;
        let across: Vec<(f64, f64)> = curves
            .iter()
            .map(|(u, curve)| (libm::log(*u as f64), along(curve, libm::log(inner as f64))))
            .collect();
        Some(work.predicted_s() * libm::exp(along(&across, libm::log(outer as f64))))
    }

    /// The forecasts of steps as text, and its hash: what is stated before anything of it is measured.
    pub fn freeze(&self, steps: &[Work]) -> Frozen {
        let mut text = String::new();
        let mut seconds = Vec::new();
        for step in steps {
            let forecast = self.seconds(step);
            seconds.push(forecast);
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{step}: {forecast:?}");
        }
        Frozen { seconds, hash: hash(text.as_bytes()) }
    }
}

/// Forecasts that nothing can change any more.
#[derive(Debug, Clone, PartialEq)]
pub struct Frozen {
    /// By step; none where a part of it was not measured.
    pub seconds: Vec<Option<f64>>,
    /// Of their text.
    pub hash: u64,
}

/// Linear between ascending points, held outside them. NaN for no points.
fn along(points: &[(f64, f64)], x: f64) -> f64 {
    let at = points.partition_point(|(known, _)| *known < x);
    match (at.checked_sub(1).map(|at| points[at]), points.get(at)) {
        (Some((x0, y0)), Some((x1, y1))) => y0 + (x - x0) / (x1 - x0) * (y1 - y0),
        (Some((_, y)), None) => y,
        (None, Some((_, y))) => *y,
        (None, None) => f64::NAN,
    }
}

/// A 64-bit hash of bytes: to see that two texts are the same, not against anybody.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(mix(bytes.len() as u64), |state, byte| mix(state ^ u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::fake::Fake;
    use crate::calibrate::plan::{self, Family};
    use crate::calibrate::protocol::Protocol;
    use crate::calibrate::scheduler::{Budget, Run};

    #[test]
    fn lines_are_lines() {
        let points = [(0.0, 1.0), (1.0, 3.0), (3.0, 3.0)];
        for (x, y) in [(-1.0, 1.0), (0.0, 1.0), (0.5, 2.0), (1.0, 3.0), (2.0, 3.0), (9.0, 3.0)] {
            assert_eq!(along(&points, x), y);
        }
    }

    #[test]
    fn steps_of_a_known_device_are_forecast_and_every_part_of_them_was_measured() {
        let mut fake = Fake::new(23);
        let truth = fake.clone();
        let protocol = Protocol::default();
        let mut log = |_: &str| {};
        let mut run = Run::new(&mut fake, protocol, Budget { total_s: 540.0 }, 1, &mut log);
        let all: Vec<Family> = Family::all().collect();
        run.points(plan::points(&protocol, &all));
        let kernels = Kernels::of(&run.finish().rows);
        let sum = |works: &[Work]| works.iter().map(|work| truth.truth_s(work)).sum::<f64>();
        let mut errors = Vec::new();
        for step in plan::steps() {
            let Work::Step { layers, layer, end, .. } = &step else { panic!("{step}") };
            let forecast =
                kernels.seconds(&step).unwrap_or_else(|| panic!("{step}: a part is not in the grids"));
            let real = *layers as f64 * sum(layer) + sum(end);
            errors.push((forecast / real - 1.0).abs());
        }
        errors.sort_by(f64::total_cmp);
        let median = errors[errors.len() / 2];
        assert!(median < 0.03, "median {median}, worst {:?}", errors.last());
    }

    #[test]
    fn a_changed_forecast_has_another_hash() {
        assert_ne!(hash(b"1.0"), hash(b"1.1"));
        assert_ne!(hash(b""), hash(b"\0"));
        assert_eq!(hash(b"same"), hash(b"same"));
    }
}
