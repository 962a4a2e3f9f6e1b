//! Interpolation in measured tables.

/// Log-log interpolation of `y` over rising positive `x`; outside the table the end segments go on.
/// Zero for an empty table, the single value for a table of one row.
pub fn log_log(xs: &[f64], ys: &[f64], x: f64) -> f64 {
    let rows = xs.len().min(ys.len());
    match rows {
        0 => return 0.0,
        1 => return ys[0],
        _ => {}
    }
    let upper = xs[1..rows - 1].iter().take_while(|&&edge| edge < x).count() + 1;
    let (x0, x1, y0, y1) = (xs[upper - 1], xs[upper], ys[upper - 1], ys[upper]);
    let share = super::ln(x / x0) / super::ln(x1 / x0);
    y0 * super::exp(share * super::ln(y1 / y0))
}

/// The line through points that rise in x, flat beyond them; none without points.
pub fn polyline(points: &[(f64, f64)], x: f64) -> Option<f64> {
    let above = points.partition_point(|(at, _)| *at < x);
    match (above.checked_sub(1).and_then(|i| points.get(i)), points.get(above)) {
        (Some((x0, y0)), Some((x1, y1))) => Some(y0 + (y1 - y0) * (x - x0) / (x1 - x0)),
        (Some((_, y)), None) | (None, Some((_, y))) => Some(*y),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_on_power_laws_inside_and_outside() {
        let xs = [1.0, 8.0, 64.0, 512.0];
        let ys = xs.map(|x: f64| 3.0 * x.powf(0.7));
        for x in [0.5, 1.0, 5.0, 8.0, 100.0, 512.0, 4096.0] {
            assert!((log_log(&xs, &ys, x) / (3.0 * x.powf(0.7)) - 1.0).abs() < 1e-12, "{x}");
        }
    }

    #[test]
    fn degenerate_tables() {
        assert_eq!(log_log(&[], &[], 3.0), 0.0);
        assert_eq!(log_log(&[2.0], &[7.0], 3.0), 7.0);
    }
}
