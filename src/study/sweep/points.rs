//! Which points there are: the full grid without its exclusions, or a Latin hypercube.
//!
//! Hypercube (McKay, Beckman, Conover 1979): each axis is cut into as many equal slices as there are points, and each
//! slice is used once, in an order of its own. A range takes a random place inside the slice; an axis of entries takes
//! the entry that the slice falls into, so that entries come up equally often. A point that is excluded, or that lists have given
//! already, is left out and not replaced.

use std::collections::HashSet;
use std::fmt;

use super::axis::{Axis, Entry};
use super::{MOST_POINTS, Sweep};
use crate::rng::{Purpose, Stream};
use crate::scenario::{Document, Error};

/// A combination that is left out: each column's value is among those given.
#[derive(Debug, Clone)]
pub(super) struct Exclusion {
    /// Column (counted over all axes) and values.
    pub(super) columns: Vec<(usize, Vec<String>)>,
}

/// What numbers the points.
#[derive(Debug, Clone)]
pub(super) enum Plan {
    /// Numbers in the full grid of the points that are kept.
    Grid(Vec<u64>),
    /// For each axis its slice at each point, of the points that are kept.
    Sampled { seed: u64, of: u32, kept: Vec<u32>, slices: Vec<Vec<u32>> },
}

/// One point: what each axis's columns say, and how to get its scenario.
#[derive(Debug, Clone)]
pub struct Point {
    /// Number from 0, excluded points not counted.
    pub index: u64,
    /// Its entry on each axis.
    pub(super) entries: Vec<Entry>,
}

impl Point {
    /// Values of the axes' columns.
    pub fn labels(&self) -> Vec<String> {
        self.entries.iter().flat_map(|entry| entry.labels.clone()).collect()
    }

    /// Values of the axes that change more than `speculation`.
    pub(super) fn beside_speculation(&self) -> Vec<&[String]> {
        let of_speculation = |entry: &Entry| {
            let keys = entry.overrides.entries().unwrap_or_default();
            !keys.is_empty() && keys.iter().all(|(key, _)| key.name.split('.').next() == Some("speculation"))
        };
        self.entries.iter().filter(|e| !of_speculation(e)).map(|e| e.labels.as_slice()).collect()
    }

    /// The point's scenario.
    pub(super) fn document(&self, base: &Document) -> Result<Document, Error> {
        let mut document = base.clone();
        for entry in &self.entries {
            document.overlay(&entry.overrides)?;
        }
        Ok(document)
    }
}

impl Plan {
    pub(super) fn len(&self) -> u64 {
        match self {
            Plan::Grid(kept) => kept.len() as u64,
            Plan::Sampled { kept, .. } => kept.len() as u64,
        }
    }

    /// The full grid; none where it is larger than can be.
    pub(super) fn grid(axes: &[Axis], exclude: &[Exclusion]) -> Option<Self> {
        let mut all = 1_u64;
        for axis in axes {
            all = all.checked_mul(axis.entries.len() as u64).filter(|n| *n <= MOST_POINTS)?;
        }
        let kept = |number: &u64| {
            let entries: Vec<&Entry> =
                digits(axes, *number).iter().zip(axes).map(|(i, axis)| &axis.entries[*i]).collect();
            !excluded(exclude, &entries)
        };
        Some(Plan::Grid((0..all).filter(kept).collect()))
    }

    /// A Latin hypercube of `of` points; of axes that are lists no point twice, and all of them where there are no more.
    pub(super) fn sampled(axes: &[Axis], exclude: &[Exclusion], of: u32, seed: u64) -> Self {
        let lists = !axes.iter().any(Axis::is_continuous);
        let all = axes.iter().try_fold(1_u64, |all, axis| all.checked_mul(axis.entries.len() as u64));
        if lists
            && all.is_some_and(|all| all <= u64::from(of))
            && let Some(grid) = Plan::grid(axes, exclude)
        {
            return grid;
        }
        let slices: Vec<Vec<u32>> = (0..axes.len() as u64)
            .map(|axis| {
                let mut order: Vec<(u64, u32)> = (0..of)
                    .map(|i| (Stream::new(seed, Purpose::SweepPoint, &[axis, u64::from(i)]).bits(), i))
                    .collect();
                order.sort_unstable();
                order.into_iter().map(|(_, slice)| slice).collect()
            })
            .collect();
        let mut seen = HashSet::new();
        let kept = (0..of)
            .filter(|number| {
                let entry =
                    |(axis, slices): (&Axis, &Vec<u32>)| entry_number(axis, slices[*number as usize], of);
                !lists || seen.insert(axes.iter().zip(&slices).map(entry).collect::<Vec<usize>>())
            })
            .filter(|number| {
                let entries = sampled_entries(axes, &slices, *number, of, seed);
                !excluded(exclude, &entries.iter().collect::<Vec<_>>())
            })
            .collect();
        Plan::Sampled { seed, of, kept, slices }
    }
}

impl Sweep {
    /// The point with an index below [`Sweep::len`]; none beyond.
    pub fn point(&self, index: u64) -> Option<Point> {
        let entries = match &self.plan {
            Plan::Grid(kept) => {
                let number = *kept.get(usize::try_from(index).ok()?)?;
                let places = digits(&self.axes, number);
                places.iter().zip(&self.axes).map(|(i, axis)| axis.entries[*i].clone()).collect()
            }
            Plan::Sampled { seed, of, kept, slices } => {
                let number = *kept.get(usize::try_from(index).ok()?)?;
                sampled_entries(&self.axes, slices, number, *of, *seed)
            }
        };
        Some(Point { index, entries })
    }

    /// For each axis, the number of the entry at a point; none for a value that was sampled from a range.
    pub(super) fn entry_numbers(&self, index: u64) -> Vec<Option<usize>> {
        match &self.plan {
            Plan::Grid(kept) => {
                let number = usize::try_from(index).ok().and_then(|i| kept.get(i).copied());
                number.map_or_else(Vec::new, |n| digits(&self.axes, n).into_iter().map(Some).collect())
            }
            Plan::Sampled { of, kept, slices, .. } => {
                let number = usize::try_from(index).ok().and_then(|i| kept.get(i).copied());
                let Some(number) = number else { return Vec::new() };
                let of_axis = |(axis, slices): (&Axis, &Vec<u32>)| {
                    (!axis.is_continuous()).then(|| entry_number(axis, slices[number as usize], *of))
                };
                self.axes.iter().zip(slices).map(of_axis).collect()
            }
        }
    }
}

impl Axis {
    /// Whether a hypercube takes any number of its range, not one of its entries.
    pub(super) fn is_continuous(&self) -> bool {
        self.entries.is_empty() && self.span.is_some()
    }
}

/// The entry of each axis in the full grid; the last axis moves fastest.
fn digits(axes: &[Axis], number: u64) -> Vec<usize> {
    let mut rest = number;
    let mut places = vec![0; axes.len()];
    for (place, axis) in places.iter_mut().zip(axes).rev() {
        let n = axis.entries.len() as u64;
        *place = (rest % n) as usize;
        rest /= n;
    }
    places
}

fn entry_number(axis: &Axis, slice: u32, of: u32) -> usize {
    (u64::from(slice) * axis.entries.len() as u64 / u64::from(of)) as usize
}

fn sampled_entries(axes: &[Axis], slices: &[Vec<u32>], number: u32, of: u32, seed: u64) -> Vec<Entry> {
    let of_axis = |(position, (axis, slices)): (usize, (&Axis, &Vec<u32>))| {
        let slice = slices[number as usize];
        match &axis.span {
            Some(span) if axis.is_continuous() => {
                let entity = [position as u64, u64::from(slice), 1];
                let jitter = Stream::new(seed, Purpose::SweepPoint, &entity).uniform();
                span.sampled((f64::from(slice) + jitter) / f64::from(of))
            }
            _ => axis.entries[entry_number(axis, slice, of)].clone(),
        }
    };
    axes.iter().zip(slices).enumerate().map(of_axis).collect()
}

fn excluded(exclude: &[Exclusion], entries: &[&Entry]) -> bool {
    if exclude.is_empty() {
        return false;
    }
    let labels: Vec<&str> =
        entries.iter().flat_map(|entry| entry.labels.iter().map(String::as_str)).collect();
    exclude.iter().any(|exclusion| {
        let holds = |(column, values): &(usize, Vec<String>)| {
            labels.get(*column).is_some_and(|label| values.iter().any(|value| same(label, value)))
        };
        exclusion.columns.iter().all(holds)
    })
}

/// Whether two values are the same: as numbers where both are.
pub(super) fn same(a: &str, b: &str) -> bool {
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (column, values) in &self.columns {
            write!(f, "column {column} in [{}] ", values.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Plan::Grid(kept) => write!(f, "grid of {} points", kept.len()),
            Plan::Sampled { seed, of, kept, .. } => {
                write!(f, "hypercube of {of} points, {} kept, seed {seed}", kept.len())
            }
        }
    }
}
