//! Least squares: few parameters of a smooth form (Levenberg-Marquardt), and many nodes of a surface (conjugate
//! gradient on a sparse, regularised problem). Both take weights, so that robust fits are repeated weighted ones.

use super::Surface;

/// Fits `parameters` so that Σ w·residual² is least: Levenberg-Marquardt with forward differences. `residuals`
/// writes one number a row for the parameters it is given. Returns the parameters; where no step helps, the start.
pub fn levenberg_marquardt(
    start: &[f64],
    weights: &[f64],
    mut residuals: impl FnMut(&[f64], &mut [f64]),
) -> Vec<f64> {
    const ROUNDS: usize = 60;
    let (n, rows) = (start.len(), weights.len());
    let mut best = start.to_vec();
    let mut now = vec![0.0; rows];
    let mut next = vec![0.0; rows];
    let mut jacobian = vec![vec![0.0; rows]; n];
    residuals(&best, &mut now);
    let cost = |r: &[f64]| r.iter().zip(weights).map(|(r, w)| w * r * r).sum::<f64>();
    let mut least = cost(&now);
    let mut damping = 1e-2;
    for _ in 0..ROUNDS {
        for (j, column) in jacobian.iter_mut().enumerate() {
            let step = 1e-5 * best[j].abs().max(1e-2);
            let mut moved = best.clone();
            moved[j] += step;
            residuals(&moved, column);
            column.iter_mut().zip(&now).for_each(|(c, r)| *c = (*c - r) / step);
        }
        let dot =
            |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).zip(weights).map(|((a, b), w)| w * a * b).sum() };
        let normal: Vec<Vec<f64>> =
            jacobian.iter().map(|a| jacobian.iter().map(|b| dot(a, b)).collect()).collect();
        let gradient: Vec<f64> = jacobian.iter().map(|a| dot(a, &now)).collect();
        let mut gained = 0.0;
        for _ in 0..8 {
            let mut damped = normal.clone();
            for (j, row) in damped.iter_mut().enumerate() {
                row[j] += damping * row[j].max(1e-12);
            }
            let Some(step) = solve(damped, gradient.clone()) else { break };
            let moved: Vec<f64> = best.iter().zip(&step).map(|(x, s)| x - s).collect();
            residuals(&moved, &mut next);
            let reached = cost(&next);
            if reached < least {
                gained = (least - reached) / least;
                (best, least) = (moved, reached);
                now.copy_from_slice(&next);
                damping *= 0.3;
                break;
            }
            damping *= 4.0;
        }
        if gained < 1e-7 {
            break;
        }
    }
    best
}

/// Solves a small linear system by elimination with pivots; `None` where it has no single solution.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    let n = right.len();
    for column in 0..n {
        let pivot =
            (column..n).max_by(|a, b| matrix[*a][column].abs().total_cmp(&matrix[*b][column].abs()))?;
        matrix.swap(column, pivot);
        right.swap(column, pivot);
        let top = matrix[column].clone();
        if top[column].abs() < 1e-300 {
            return None;
        }
        let top_right = right[column];
        for (row, value) in matrix.iter_mut().zip(&mut right).skip(column + 1) {
            let factor = row[column] / top[column];
            row.iter_mut().zip(&top).for_each(|(x, t)| *x -= factor * t);
            *value -= factor * top_right;
        }
    }
    for column in (0..n).rev() {
        let known: f64 = (column + 1..n).map(|j| matrix[column][j] * right[j]).sum();
        right[column] = (right[column] - known) / matrix[column][column];
    }
    right.iter().all(|x| x.is_finite()).then_some(right)
}

/// One row of a surface fit: the nodes around it with their weights, what they should add up to, and how much
/// the row counts.
#[derive(Debug, Clone, PartialEq)]
pub struct SurfaceRow {
    /// Nodes and weights.
    pub nodes: Vec<(u32, f64)>,
    /// The value to reach.
    pub target: f64,
    /// Weight in the sum of squares.
    pub weight: f64,
}

/// Fits the nodes of a surface: Σ w·(target - Σ h·node)² + Σ_axes stiffness·Σ (neighbouring nodes' difference)² /
/// (distance in ln x) + a little of each node squared, which pulls what no row reaches to the base. Conjugate
/// gradient with the diagonal as preconditioner. Stiffness by axis, in rows of weight one.
pub fn fit_surface<const D: usize>(surface: &mut Surface<D>, rows: &[SurfaceRow], stiffness: [f64; D]) {
    const RIDGE: f64 = 1e-4;
    const ROUNDS: usize = 400;
    let edges = edges(surface, stiffness);
    let nodes = surface.values().len();
    let apply = |x: &[f64], out: &mut [f64]| {
        out.iter_mut().zip(x).for_each(|(o, x)| *o = RIDGE * x);
        for row in rows {
            let sum: f64 = row.nodes.iter().map(|(node, h)| h * x[*node as usize]).sum();
            row.nodes.iter().for_each(|(node, h)| out[*node as usize] += row.weight * h * sum);
        }
        for (a, b, stiff) in &edges {
            let pull = stiff * (x[*a] - x[*b]);
            out[*a] += pull;
            out[*b] -= pull;
        }
    };
    let mut diagonal = vec![RIDGE; nodes];
    let mut right = vec![0.0; nodes];
    for row in rows {
        for (node, h) in &row.nodes {
            diagonal[*node as usize] += row.weight * h * h;
            right[*node as usize] += row.weight * h * row.target;
        }
    }
    for (a, b, stiff) in &edges {
        diagonal[*a] += stiff;
        diagonal[*b] += stiff;
    }
    let x = surface.values_mut();
    let mut image = vec![0.0; nodes];
    apply(x, &mut image);
    let mut rest: Vec<f64> = right.iter().zip(&image).map(|(b, a)| b - a).collect();
    let mut scaled: Vec<f64> = rest.iter().zip(&diagonal).map(|(r, d)| r / d).collect();
    let mut direction = scaled.clone();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut size = dot(&rest, &scaled);
    let goal = 1e-12 * dot(&right, &right).max(1e-300);
    for _ in 0..ROUNDS {
        if size <= goal {
            break;
        }
        apply(&direction, &mut image);
        let step = size / dot(&direction, &image).max(1e-300);
        x.iter_mut().zip(&direction).for_each(|(x, d)| *x += step * d);
        rest.iter_mut().zip(&image).for_each(|(r, a)| *r -= step * a);
        scaled.iter_mut().zip(&rest).zip(&diagonal).for_each(|((s, r), d)| *s = r / d);
        let next = dot(&rest, &scaled);
        let turn = next / size;
        direction.iter_mut().zip(&scaled).for_each(|(d, s)| *d = s + turn * *d);
        size = next;
    }
}

/// Neighbouring nodes and how strongly they hold each other.
fn edges<const D: usize>(surface: &Surface<D>, stiffness: [f64; D]) -> Vec<(usize, usize, f64)> {
    let shape = surface.shape();
    let mut edges = Vec::new();
    let mut stride = surface.values().len();
    for axis in 0..D {
        stride /= shape[axis];
        let knots = surface.knots(axis);
        for node in 0..surface.values().len() {
            let at = node / stride % shape[axis];
            if at + 1 < shape[axis] {
                let distance = libm::log(knots[at + 1] / knots[at]);
                edges.push((node, node + stride, stiffness[axis] / distance));
            }
        }
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_parameters_are_found_through_outliers() {
        // y = a + b·x^c with one row in ten off by half, weighted down.
        let truth = [3.0, 0.5, 1.3];
        let form = |p: &[f64], x: f64| p[0] + p[1] * x.powf(p[2]);
        let xs: Vec<f64> = (1..=50).map(f64::from).collect();
        let ys: Vec<f64> = xs
            .iter()
            .enumerate()
            .map(|(i, x)| form(&truth, *x) * if i % 10 == 0 { 1.5 } else { 1.0 })
            .collect();
        let weights: Vec<f64> = (0..50).map(|i| if i % 10 == 0 { 1e-6 } else { 1.0 }).collect();
        let found = levenberg_marquardt(&[1.0, 1.0, 1.0], &weights, |p, out| {
            for ((o, x), y) in out.iter_mut().zip(&xs).zip(&ys) {
                *o = form(p, *x) - y;
            }
        });
        for (a, b) in found.iter().zip(&truth) {
            assert!((a / b - 1.0).abs() < 1e-3, "{found:?}");
        }
    }

    #[test]
    fn a_surface_is_found_and_unseen_nodes_lie_between_their_neighbours() {
        let knots = [vec![1.0, 2.0, 4.0, 8.0, 16.0], vec![1.0, 10.0, 100.0]];
        let mut surface = Surface::zero(knots).unwrap_or_else(|| panic!("a grid"));
        let truth = |x: f64, y: f64| 0.1 * x.ln() - 0.05 * y.ln();
        let mut rows = Vec::new();
        for (i, x) in [1.0, 2.0, 4.0, 8.0, 16.0].into_iter().enumerate() {
            for (j, y) in [1.0, 10.0, 100.0].into_iter().enumerate() {
                if (i, j) != (2, 1) {
                    let nodes = vec![((i * 3 + j) as u32, 1.0)];
                    rows.push(SurfaceRow { nodes, target: truth(x, y), weight: 1.0 });
                }
            }
        }
        fit_surface(&mut surface, &rows, [1e-3, 1e-3]);
        for (x, y) in [(1.0, 1.0), (16.0, 100.0), (4.0, 10.0), (2.9, 33.0)] {
            let found = surface.at([x, y].map(f64::ln));
            assert!((found - truth(x, y)).abs() < 2e-3, "{x} {y}: {found} {}", truth(x, y));
        }
    }

    #[test]
    fn elimination_solves_and_refuses() {
        let x = solve(vec![vec![0.0, 2.0], vec![4.0, 1.0]], vec![2.0, 9.0]);
        assert_eq!(x, Some(vec![2.0, 1.0]));
        assert_eq!(solve(vec![vec![1.0, 1.0], vec![1.0, 1.0]], vec![1.0, 2.0]), None);
    }
}
