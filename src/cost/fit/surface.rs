//! Residual surfaces from rows: robust, smoothed, monotone where time must be, in whole thousandths.
//!
//! Time must not fall along some axes (tokens, batch, context). Inside a cell ln t = ln base + r with r linear in
//! ln x, so it does not fall where r falls by no more than the base's least slope there times the cell's width:
//! each node may lie below its lower neighbour by at most that. The surface is brought there by pooling adjacent
//! violators along each axis in turn, and what little is left over is lifted.

use crate::math::{Cell, Surface, SurfaceRow, fit_surface};

/// A row's place on the grid, ln(measured / form) there, and how much it counts.
#[derive(Debug, Clone)]
pub(super) struct Point<const D: usize> {
    pub(super) cells: [Cell; D],
    pub(super) target: f64,
    pub(super) weight: f64,
}

/// Where errors stop to count in full.
const HUBER: f64 = 0.10;

/// Fits a surface to points. `stiffness` by axis, in rows.
pub(super) fn fit<const D: usize>(
    knots: [Vec<f64>; D],
    points: &[Point<D>],
    stiffness: [f64; D],
) -> Option<Surface<D>> {
    let mut surface = Surface::zero(knots)?;
    let mut rows: Vec<SurfaceRow> = points
        .iter()
        .map(|point| {
            let mut nodes = Vec::with_capacity(1 << D);
            surface.corners(&point.cells, |node, weight| nodes.push((node as u32, weight)));
            SurfaceRow { nodes, target: point.target, weight: point.weight }
        })
        .collect();
    for _ in 0..3 {
        fit_surface(&mut surface, &rows, stiffness);
        for (row, point) in rows.iter_mut().zip(points) {
            let error = (point.target - surface.at_cells(&point.cells)).abs();
            row.weight = point.weight * (HUBER / error.max(HUBER));
        }
    }
    Some(surface)
}

/// Projects a surface so that r may fall along an axis by no more than allowed. `fall(axis, node)` is the most
/// that the value at `node` may lie above its upper neighbour along the axis; `None` where the axis is free.
pub(super) fn monotone<const D: usize>(
    surface: &mut Surface<D>,
    fall: impl Fn(usize, [usize; D]) -> Option<f64>,
) {
    let shape = surface.shape();
    let nodes = surface.values().len();
    let index = |mut node: usize| {
        let mut at = [0; D];
        for axis in (0..D).rev() {
            at[axis] = node % shape[axis];
            node /= shape[axis];
        }
        at
    };
    let free: Vec<bool> = (0..D).map(|axis| fall(axis, [0; D]).is_none()).collect();
    let bound = (0..D).filter(|axis| !free[*axis]).count();
    let stride = |axis: usize| shape[axis + 1..].iter().product::<usize>();
    let rounds = if bound > 1 { 12 } else { 1 };
    for _ in 0..rounds {
        for axis in (0..D).filter(|axis| !free[*axis]) {
            for start in (0..nodes).filter(|node| index(*node)[axis] == 0) {
                let line: Vec<usize> = (0..shape[axis]).map(|i| start + i * stride(axis)).collect();
                let mut allowed = 0.0;
                let mut lifted = Vec::with_capacity(line.len());
                for node in &line {
                    lifted.push(surface.values()[*node] + allowed);
                    allowed += fall(axis, index(*node)).unwrap_or(0.0);
                }
                pool(&mut lifted);
                let mut allowed = 0.0;
                for (node, value) in line.iter().zip(&lifted) {
                    surface.values_mut()[*node] = value - allowed;
                    allowed += fall(axis, index(*node)).unwrap_or(0.0);
                }
            }
        }
    }
    settle(surface, fall);
}

/// Rounds a surface to thousandths and lifts what rounding or projection left below what is allowed.
fn settle<const D: usize>(surface: &mut Surface<D>, fall: impl Fn(usize, [usize; D]) -> Option<f64>) {
    let shape = surface.shape();
    for node in 0..surface.values().len() {
        let (mut at, mut rest) = ([0; D], node);
        for axis in (0..D).rev() {
            at[axis] = rest % shape[axis];
            rest /= shape[axis];
        }
        let mut least = f64::NEG_INFINITY;
        for axis in (0..D).filter(|axis| at[*axis] > 0) {
            let mut below = at;
            below[axis] -= 1;
            let stride: usize = shape[axis + 1..].iter().product();
            if let Some(allowed) = fall(axis, below) {
                least = least.max(surface.values()[node - stride] - allowed);
            }
        }
        let value = surface.values()[node].max(least);
        let thousandths = libm::round(value * 1e3);
        surface.values_mut()[node] =
            if thousandths * 1e-3 < least { libm::ceil(least * 1e3) } else { thousandths } * 1e-3;
    }
}

/// Isotonic regression: the nearest numbers that do not fall.
fn pool(values: &mut [f64]) {
    let mut blocks: Vec<(f64, usize)> = Vec::with_capacity(values.len());
    for value in values.iter() {
        let mut block = (*value, 1);
        while let Some((sum, count)) = blocks.last().copied() {
            if sum / count as f64 <= block.0 / block.1 as f64 {
                break;
            }
            blocks.pop();
            block = (block.0 + sum, block.1 + count);
        }
        blocks.push(block);
    }
    let mut at = 0;
    for (sum, count) in blocks {
        values[at..at + count].fill(sum / count as f64);
        at += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pooling_is_the_nearest_rising_sequence() {
        let mut values = [1.0, 3.0, 2.0, 4.0, 0.0];
        pool(&mut values);
        assert_eq!(values, [1.0, 2.25, 2.25, 2.25, 2.25]);
    }

    #[test]
    fn projected_surfaces_keep_to_what_is_allowed() {
        let knots = [vec![1.0, 2.0, 4.0, 8.0], vec![1.0, 2.0, 4.0]];
        let mut surface = Surface::zero(knots).unwrap_or_else(|| panic!("a grid"));
        for (i, value) in surface.values_mut().iter_mut().enumerate() {
            *value = ((i * 7) % 5) as f64 * 0.1;
        }
        monotone(&mut surface, |_, _| Some(0.05));
        let v = surface.values();
        for i in 0..4 {
            for j in 0..3 {
                let here = v[i * 3 + j];
                assert!(i == 3 || v[(i + 1) * 3 + j] >= here - 0.05 - 1e-9);
                assert!(j == 2 || v[i * 3 + j + 1] >= here - 0.05 - 1e-9);
                assert!((here * 1e3 - (here * 1e3).round()).abs() < 1e-9, "whole thousandths");
            }
        }
    }
}
