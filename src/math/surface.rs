//! Multilinear surfaces on small rectangular grids of logarithms.
//!
//! A surface holds one number at each node of a grid over ln x₁ … ln x_D; between nodes it is multilinear in the
//! logarithms, outside it holds the value of the nearest edge. So what multiplies a base form by exp(surface)
//! leaves extrapolation to the base. Leaves out: more than four axes, scattered nodes.

/// A cell of one axis and the place in it: the lower node and the share of the upper one.
pub type Cell = (usize, f64);

/// A multilinear surface over the logarithms of `D` positive numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Surface<const D: usize> {
    axes: [Vec<f64>; D],
    knots: [Vec<f64>; D],
    values: Vec<f64>,
}

impl<const D: usize> Surface<D> {
    /// From rising positive knots and one value a node, the last axis fastest. `None` where an axis is empty or
    /// does not rise, or the number of values is not the product of the axes.
    pub fn new(knots: [Vec<f64>; D], values: Vec<f64>) -> Option<Self> {
        let nodes: usize = knots.iter().map(Vec::len).product();
        let rises =
            |axis: &Vec<f64>| axis.first().is_some_and(|x| *x > 0.0) && axis.windows(2).all(|w| w[0] < w[1]);
        if nodes != values.len() || !knots.iter().all(rises) {
            return None;
        }
        let axes = knots.each_ref().map(|axis| axis.iter().map(|x| super::ln(*x)).collect());
        Some(Surface { axes, knots, values })
    }

    /// Zero everywhere, on these knots.
    pub fn zero(knots: [Vec<f64>; D]) -> Option<Self> {
        let nodes = knots.iter().map(Vec::len).product();
        Surface::new(knots, vec![0.0; nodes])
    }

    /// The knots of an axis, not their logarithms.
    pub fn knots(&self, axis: usize) -> &[f64] {
        &self.knots[axis]
    }

    /// The values at the nodes, the last axis fastest.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The values at the nodes, to be changed.
    pub fn values_mut(&mut self) -> &mut [f64] {
        &mut self.values
    }

    /// Nodes of each axis.
    pub fn shape(&self) -> [usize; D] {
        self.axes.each_ref().map(Vec::len)
    }

    /// The cell of an axis that holds the logarithm `x`, clamped to the ends.
    #[inline]
    pub fn cell(&self, axis: usize, x: f64) -> Cell {
        let knots = &self.axes[axis];
        let last = knots.len() - 1;
        if x <= knots[0] || last == 0 {
            return (0, 0.0);
        }
        if x >= knots[last] {
            return (last, 0.0);
        }
        let upper = knots.partition_point(|knot| *knot <= x).clamp(1, last);
        let low = upper - 1;
        (low, (x - knots[low]) / (knots[upper] - knots[low]))
    }

    /// The surface at the logarithms `x`.
    #[inline]
    pub fn at(&self, x: [f64; D]) -> f64 {
        let mut cells = [(0, 0.0); D];
        for axis in 0..D {
            cells[axis] = self.cell(axis, x[axis]);
        }
        self.at_cells(&cells)
    }

    /// The surface at a place given by cells: one axis after the other, the last first.
    #[inline]
    pub fn at_cells(&self, cells: &[Cell; D]) -> f64 {
        let (mut node, mut steps, mut stride) = (0, [0; D], 1);
        for axis in (0..D).rev() {
            let (low, share) = cells[axis];
            node += low * stride;
            steps[axis] = if share > 0.0 { stride } else { 0 };
            stride *= self.axes[axis].len();
        }
        // At most four axes: sixteen corners.
        let mut corners = [0.0; 16];
        for (corner, value) in corners.iter_mut().enumerate().take(1 << D) {
            let mut at = node;
            for (axis, step) in steps.iter().enumerate() {
                at += step * (corner >> axis & 1);
            }
            *value = self.values[at];
        }
        for axis in (0..D).rev() {
            let half = 1 << axis;
            for corner in 0..half {
                corners[corner] += cells[axis].1 * (corners[corner + half] - corners[corner]);
            }
        }
        corners[0]
    }

    /// The nodes around a place and their weights, which add up to one.
    #[inline]
    pub fn corners(&self, cells: &[Cell; D], mut each: impl FnMut(usize, f64)) {
        for corner in 0..1_usize << D {
            let (mut node, mut weight) = (0, 1.0);
            for (axis, (low, share)) in cells.iter().enumerate() {
                let upper = corner >> axis & 1;
                weight *= if upper == 1 { *share } else { 1.0 - share };
                node = node * self.axes[axis].len() + low + upper;
            }
            if weight > 0.0 {
                each(node, weight);
            }
        }
    }
}

impl Surface<3> {
    /// The surface at a knot of the middle axis, [`Surface::at_cells`] with four corners instead of eight.
    #[inline]
    pub fn at_middle(&self, first: Cell, knot: usize, last: Cell) -> f64 {
        let strides = [self.axes[1].len() * self.axes[2].len(), self.axes[2].len()];
        let node = first.0 * strides[0] + knot * strides[1] + last.0;
        let up = if first.1 > 0.0 { strides[0] } else { 0 };
        let along = |node: usize| {
            let step = usize::from(last.1 > 0.0);
            self.values[node] + last.1 * (self.values[node + step] - self.values[node])
        };
        let [low, high] = [along(node), along(node + up)];
        low + first.1 * (high - low)
    }

    /// The line over the first axis at two logarithms of the others.
    pub fn over_first(&self, rest: [f64; 2]) -> Option<Surface<1>> {
        let (second, third) = (self.cell(1, rest[0]), self.cell(2, rest[1]));
        let values =
            (0..self.axes[0].len()).map(|node| self.at_cells(&[(node, 0.0), second, third])).collect();
        Surface::new([self.knots[0].clone()], values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes() -> [Vec<f64>; 3] {
        [vec![1.0, 2.0, 8.0, 64.0], vec![512.0, 4096.0], vec![1.0, 3.0, 10.0]]
    }

    /// A multilinear function of the logarithms.
    fn truth(x: [f64; 3]) -> f64 {
        let [a, b, c] = x.map(f64::ln);
        0.3 + 0.2 * a - 0.1 * b + 0.05 * c + 0.02 * a * b - 0.03 * a * c + 0.01 * a * b * c
    }

    fn surface() -> Surface<3> {
        let [a, b, c] = axes();
        let mut values = Vec::new();
        for x in &a {
            for y in &b {
                values.extend(c.iter().map(|z| truth([*x, *y, *z])));
            }
        }
        Surface::new(axes(), values).unwrap_or_else(|| panic!("a grid"))
    }

    #[test]
    fn multilinear_functions_come_back_and_edges_hold() {
        let surface = surface();
        for x in [[1.0, 512.0, 1.0], [3.3, 700.0, 9.0], [64.0, 4096.0, 10.0], [1.5, 2048.0, 3.0]] {
            assert!((surface.at(x.map(f64::ln)) - truth(x)).abs() < 1e-12, "{x:?}");
        }
        let outside = surface.at([1e6, 100.0, 0.1].map(f64::ln));
        assert!((outside - truth([64.0, 512.0, 1.0])).abs() < 1e-12, "held at the nearest edge");
    }

    #[test]
    fn a_line_over_the_first_axis_is_the_surface_there() {
        let surface = surface();
        for rest in [[512.0, 1.0], [700.0, 9.0], [9000.0, 0.1]] {
            let line = surface.over_first(rest.map(f64::ln)).unwrap_or_else(|| panic!("a line"));
            for x in [0.5_f64, 1.0, 3.3, 64.0, 100.0] {
                assert_eq!(line.at([x.ln()]), surface.at([x, rest[0], rest[1]].map(f64::ln)), "{x} {rest:?}");
            }
        }
    }

    #[test]
    fn it_is_continuous_across_knots() {
        let surface = surface();
        for knot in [2.0_f64, 8.0, 64.0] {
            let [below, above] =
                [1.0 - 1e-9, 1.0 + 1e-9].map(|f| surface.at([knot * f, 1000.0, 2.0].map(f64::ln)));
            assert!((below - above).abs() < 1e-7, "{knot}");
        }
    }

    #[test]
    fn at_a_knot_of_the_middle_axis_four_corners_are_enough() {
        let knots = [vec![1.0, 4.0, 9.0], vec![1.0, 2.0], vec![3.0, 5.0, 11.0, 12.0]];
        let values = (0..24).map(|i| f64::from(i * i % 17) * 0.1).collect();
        let surface = Surface::new(knots, values).unwrap_or_else(|| panic!("a grid"));
        for (x, z) in [(0.5, 3.0), (1.0, 4.0), (6.0, 11.5), (9.0, 12.0), (40.0, 50.0), (2.0, 5.0)] {
            let (first, last) = (surface.cell(0, libm::log(x)), surface.cell(2, libm::log(z)));
            for knot in 0..2 {
                let whole = surface.at_cells(&[first, (knot, 0.0), last]);
                assert_eq!(surface.at_middle(first, knot, last), whole, "{x} {knot} {z}");
            }
        }
    }

    #[test]
    fn what_is_no_grid_is_refused() {
        assert!(Surface::new([vec![1.0, 2.0]], vec![0.0]).is_none(), "too few values");
        assert!(Surface::new([vec![2.0, 1.0]], vec![0.0; 2]).is_none(), "falling knots");
        assert!(Surface::new([vec![0.0, 1.0]], vec![0.0; 2]).is_none(), "no logarithm");
        assert!(Surface::<1>::new([vec![]], vec![]).is_none());
    }
}
