//! Matrix products: the form and a residual over (m, n, k).
//!
//! Rows: n and k of at least 512, m of at most 16,384, and m up to 16 or a multiple of 8, the sizes that engines pad
//! to. Each octave of m counts the same in the base form.

use super::base::{self, Bound};
use super::split::{self, Errors, Fit};
use super::surface::{self, Point};
use crate::cost::{Machine, gemm};
use crate::math::Surface;
use crate::profile::{GemmForm, Residual};
use crate::resolved::Precision;

/// Knots of the grid.
const M: [f64; 25] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 48.0, 64.0, 80.0, 96.0, 112.0, 128.0, 160.0, 192.0, 224.0, 256.0, 512.0,
    768.0, 1024.0, 1536.0, 2048.0, 3072.0, 4096.0, 8192.0, 16_384.0,
];
const FEATURES: [f64; 18] = [
    512.0, 768.0, 1024.0, 1536.0, 2048.0, 2560.0, 3072.0, 3584.0, 4096.0, 5120.0, 6144.0, 7168.0, 8192.0,
    10_240.0, 12_288.0, 16_384.0, 51_200.0, 65_536.0,
];
/// Stiffness along m, n and k.
const STIFFNESS: [f64; 3] = [0.02, 0.1, 0.1];

#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) shape: [f64; 3],
    pub(super) us: f64,
}

impl Row {
    /// Whether engines run this many tokens, and the form is fitted here.
    pub(super) fn counts(&self) -> bool {
        let [m, n, k] = self.shape;
        n >= 512.0 && k >= 512.0 && m <= 16_384.0 && (m <= 16.0 || m % 8.0 == 0.0)
    }
}

pub(super) struct Family {
    pub(super) machine: Machine,
    pub(super) weights: Precision,
}

impl Family {
    fn base(&self, rows: &[&Row]) -> GemmForm {
        let few: Vec<&Row> = rows.iter().copied().filter(|r| r.shape[0] <= 4096.0).collect();
        let step = few.len().div_ceil(5000).max(1);
        let few: Vec<&Row> = few.into_iter().step_by(step).collect();
        let octave = |row: &Row| libm::log2(row.shape[0]) as usize;
        let mut counts = [0.0_f64; 16];
        for row in &few {
            counts[octave(row)] += 1.0;
        }
        let weights: Vec<f64> = few.iter().map(|row| few.len() as f64 / counts[octave(row)] / 12.0).collect();
        let form = |p: &[f64; 5]| GemmForm {
            t0_us: p[0],
            per_1000_k_us: p[1],
            compute_efficiency: p[2],
            memory_efficiency: p[3],
            p: p[4],
            sigma: 0.0,
            m: [1.0, 16_384.0],
            n: [512.0, 65_536.0],
            k: [512.0, 65_536.0],
            beyond_m: None,
            beyond_weights: None,
            between_m: None,
            residual: None,
            sustained: None,
        };
        let start = [
            (3.5, Bound::Positive),
            (0.2, Bound::Positive),
            (0.75, Bound::Between(0.2, 1.0)),
            (0.88, Bound::Between(0.4, 0.98)),
            (2.0, Bound::Between(1.0, 6.0)),
        ];
        let found = base::fit(start, &weights, |p, i| {
            let predicted = gemm::base(&form(p), &self.machine, few[i].shape, self.weights);
            libm::log(predicted * 1e6 / few[i].us)
        });
        form(&found.map(base::rounded))
    }

    /// The most that r may fall from a node to the next in m.
    fn fall(&self, form: &GemmForm, surface: &Surface<3>, [i, j, k]: [usize; 3]) -> f64 {
        let knots = surface.knots(0);
        let Some(next) = knots.get(i + 1) else { return 0.0 };
        let shape = |m: f64| [m, surface.knots(1)[j], surface.knots(2)[k]];
        // ln base is convex in ln m: its slope is least at the lower end.
        let (m, more) = (knots[i], knots[i] * 1.001);
        let [a, b] = [m, more].map(|m| libm::log(gemm::base(form, &self.machine, shape(m), self.weights)));
        (b - a) / libm::log(1.001) * libm::log(next / m)
    }
}

impl Fit for Family {
    type Row = Row;
    type Form = GemmForm;

    fn fit(&self, rows: &[&Row]) -> Option<GemmForm> {
        let mut form = self.base(rows);
        let empty = Surface::zero([M.to_vec(), FEATURES.to_vec(), FEATURES.to_vec()])?;
        let points: Vec<Point<3>> = rows
            .iter()
            .map(|row| {
                let x = row.shape.map(libm::log);
                let predicted = gemm::base(&form, &self.machine, row.shape, self.weights);
                let cells = std::array::from_fn(|axis| empty.cell(axis, x[axis]));
                Point { cells, target: libm::log(row.us / (predicted * 1e6)), weight: 1.0 }
            })
            .collect();
        let knots = [M.to_vec(), FEATURES.to_vec(), FEATURES.to_vec()];
        let mut surface = surface::fit(knots, &points, STIFFNESS)?;
        let grid = surface.clone();
        surface::monotone(&mut surface, |axis, node| (axis == 0).then(|| self.fall(&form, &grid, node)));
        form.residual = Some(Residual(surface));
        Some(form)
    }

    fn error(&self, form: &GemmForm, row: &Row) -> f64 {
        let base = gemm::base(form, &self.machine, row.shape, self.weights);
        let r = form.residual.as_ref().map_or(0.0, |r| r.0.at(row.shape.map(libm::log)));
        libm::log(base * 1e6 / row.us) + r
    }
}

/// Splits outside the range of m.
pub(super) const BEYOND_M: [&str; 2] = ["one octave beyond in m", "two octaves beyond in m"];
/// Splits outside the range of the weights.
pub(super) const BEYOND_WEIGHTS: [&str; 2] = ["one octave beyond in n or k", "two octaves beyond in n or k"];

/// The split between the sizes of m.
pub(super) const BETWEEN_M: &str = "unseen m";

/// Held-out errors: random rows, unseen weight matrices, unseen m.
pub(super) fn held_out(family: &Family, rows: &[Row], name: &'static str) -> Vec<Errors> {
    let of = |split, folds, group: &(dyn Fn(usize, &Row) -> Option<u64> + Sync)| {
        split::hold_out(family, rows, (name, split), folds, group)
    };
    let mut all = vec![
        of("random rows", 2, &|i, _| Some(i as u64)),
        of("unseen (n, k)", 2, &|_, row| Some(split::key(&row.shape[1..]))),
        of(BETWEEN_M, 2, &|_, row| {
            // The first and last are the range's ends.
            (row.shape[0] > 1.0 && row.shape[0] < 16_384.0).then(|| split::key(&row.shape[..1]))
        }),
    ];
    all.extend(split::beyond(family, rows, name, BEYOND_M, 16_384.0, |row| row.shape[0]));
    all.extend(split::beyond(family, rows, name, BEYOND_WEIGHTS, 16_384.0, |row| {
        row.shape[1].max(row.shape[2])
    }));
    all
}
