//! Which points a run measures, and what each is worth.
//!
//! Points lie on curves: all but one axis fixed. A point's value is what its family's ignorance costs a forecast
//! (share of a step's time times the log-sigma of what is known without it, `FAMILIES`), shared among the family's
//! curves, and halved with each bisection of its curve: ends first, then the middle, then quarters. With time for
//! all of it the value decides nothing.

mod grids;
mod steps;

pub use steps::steps;

use std::collections::BTreeSet;

use super::protocol::{Protocol, cover_s};
use super::work::Work;

/// Families of points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Copies of many sizes.
    Copy,
    /// Products in bf16, of the models' shapes.
    Gemm,
    /// Products in bf16 over a general grid, for models that are not listed.
    GemmGrid,
    /// Products in fp8.
    GemmFp8,
    /// The fastest of several algorithms, on a part of the shapes.
    GemmBest,
    /// Attention of draft and verify steps.
    Verify,
    /// The same under a tree mask.
    Tree,
    /// Prefill.
    Prefill,
    /// Norms, rotary embedding, activation, gathers.
    Elementwise,
    /// Sampling and verification.
    Sampling,
    /// Launches, graphs, round trips.
    Overhead,
    /// Whole steps, forecast before they are measured.
    Step,
}

/// A family with its share of a step's time and the log-sigma of what is known of it without a measurement. Shares:
/// an 8B decode step at batch 64 and context 4,096, rounded. Sigmas: held-out errors of the public tables where
/// there are some, 0.3 where there is no table.
const FAMILIES: [(Family, f64, f64); 12] = [
    (Family::Copy, 0.05, 0.10),
    (Family::Gemm, 0.30, 0.08),
    (Family::GemmGrid, 0.10, 0.08),
    (Family::GemmFp8, 0.10, 0.08),
    (Family::GemmBest, 0.02, 0.05),
    (Family::Verify, 0.50, 0.30),
    (Family::Tree, 0.10, 0.30),
    (Family::Prefill, 0.10, 0.10),
    (Family::Elementwise, 0.05, 0.30),
    (Family::Sampling, 0.05, 0.30),
    (Family::Overhead, 0.05, 0.30),
    (Family::Step, 1.0, 0.30),
];

impl Family {
    /// All, in the order of plans.
    pub fn all() -> impl Iterator<Item = Family> {
        FAMILIES.iter().map(|(family, _, _)| *family)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Family::Copy => "copy",
            Family::Gemm => "gemm",
            Family::GemmGrid => "gemm-grid",
            Family::GemmFp8 => "gemm-fp8",
            Family::GemmBest => "gemm-best",
            Family::Verify => "verify",
            Family::Tree => "tree",
            Family::Prefill => "prefill",
            Family::Elementwise => "elementwise",
            Family::Sampling => "sampling",
            Family::Overhead => "overhead",
            Family::Step => "step",
        }
    }

    fn worth(self) -> f64 {
        FAMILIES.iter().find(|(family, _, _)| *family == self).map_or(0.0, |(_, share, sigma)| share * sigma)
    }
}

/// A point of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// What is measured.
    pub work: Work,
    /// Its family.
    pub family: Family,
    /// What it is worth; only ratios matter.
    pub value: f64,
    /// Seconds that measuring it is expected to take, making it ready included.
    pub seconds: f64,
}

/// Points that share all but one axis, in its order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Curve {
    pub(crate) family: Family,
    pub(crate) works: Vec<Work>,
}

/// Seconds of making a point ready: operands, descriptors, capture.
pub const OPEN_S: f64 = 3e-3;

/// Seconds that stand in front of each sample beside the wait for its launch: twice the L2 written and read.
const FLUSH_S: f64 = 80e-6;

/// What a point costs, seconds.
pub fn cost_s(protocol: &Protocol, work: &Work) -> f64 {
    let one = work.predicted_s();
    let copies = libm::ceil(super::protocol::REPLAY_S / one).max(1.0);
    let nodes = match work {
        Work::Step { layers, layer, end, .. } => *layers * layer.len() as u64 + end.len() as u64,
        Work::Host { count, .. } => *count,
        _ => copies as u64,
    };
    // Operands are filled at about a third of the bandwidth; a fast work needs many sets of them.
    let fill = (work.footprint() * copies).clamp(0.0, 40e9).min(work.footprint().max(1.2e9)) / 1.2e12;
    let replay = copies * one + FLUSH_S + cover_s(nodes, 0.0);
    // Two replays when it is made ready.
    OPEN_S + fill + 2.0 * replay + protocol.cost_s(replay)[0]
}

/// The points of these families, each work once. Steps are not among them: they are measured last, after their forecast.
pub fn points(protocol: &Protocol, families: &[Family]) -> Vec<Point> {
    let curves = grids::curves();
    let mut seen: BTreeSet<Work> = BTreeSet::new();
    let mut points = Vec::new();
    for family in families {
        let own: Vec<&Curve> = curves.iter().filter(|curve| curve.family == *family).collect();
        for curve in &own {
            let each = family.worth() / own.len() as f64;
            for (at, work) in curve.works.iter().enumerate() {
                if seen.insert(work.clone()) {
                    let level = level(at, curve.works.len());
                    let value = each * libm::exp2(-f64::from(level));
                    points.push(Point {
                        work: work.clone(),
                        family: *family,
                        value,
                        seconds: cost_s(protocol, work),
                    });
                }
            }
        }
    }
    points
}

/// At which bisection of 0..n the index comes up: 0 for both ends, 1 for the middle, and so on.
fn level(at: usize, n: usize) -> u32 {
    let (mut low, mut high) = (0, n.saturating_sub(1));
    let mut level = 0;
    while at != low && at != high {
        level += 1;
        let middle = usize::midpoint(low, high);
        match at.cmp(&middle) {
            std::cmp::Ordering::Equal => return level,
            std::cmp::Ordering::Less => high = middle,
            std::cmp::Ordering::Greater => low = middle,
        }
    }
    level
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_come_first_and_quarters_last() {
        let levels: Vec<u32> = (0..9).map(|at| level(at, 9)).collect();
        assert_eq!(levels, [0, 3, 2, 3, 1, 3, 2, 3, 0]);
        assert_eq!(level(0, 1), 0);
        assert_eq!([level(0, 2), level(1, 2)], [0, 0]);
    }

    #[test]
    fn a_plan_holds_each_work_once_and_fits_the_default_budget() {
        let protocol = Protocol::default();
        let all: Vec<Family> = Family::all().collect();
        let points = points(&protocol, &all);
        let works: BTreeSet<&Work> = points.iter().map(|point| &point.work).collect();
        assert_eq!(works.len(), points.len());
        let count = |family| points.iter().filter(|point| point.family == family).count();
        assert!(count(Family::Gemm) > 1000 && count(Family::Verify) > 300, "{} points", points.len());
        let seconds: f64 = points.iter().map(|point| point.seconds).sum();
        assert!(seconds < 400.0, "{seconds} s of points leave nothing for checks and steps");
        assert!(points.iter().all(|point| point.value > 0.0 && point.seconds > 0.0));
        let kv = |point: &&Point| matches!(point.work, Work::Attention { .. });
        assert!(points.iter().filter(kv).all(|point| point.work.footprint() < 30e9), "a cache too large");
    }
}
