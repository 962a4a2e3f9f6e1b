//! A quantity over two axes: deeper blue the further above 1, deeper orange the further below, the figure in each cell.

use super::Size;
use super::pen::{Anchor, Paint, cut, picture, width_of};

/// Series of a gain and of a loss.
pub(in crate::report) const GAIN: u8 = 1;
const LOSS: u8 = 2;
/// Height of a cell.
const CELL: f64 = 30.0;

/// What is drawn: cells by row and column.
#[derive(Debug, Clone)]
pub(in crate::report) struct Heat {
    /// Title of the columns' axis.
    pub(in crate::report) across: String,
    /// Title of the rows' axis.
    pub(in crate::report) down: String,
    /// Columns.
    pub(in crate::report) columns: Vec<String>,
    /// Rows.
    pub(in crate::report) rows: Vec<String>,
    /// Ratios, row by row; none where there is no forecast.
    pub(in crate::report) cells: Vec<Vec<Option<f64>>>,
}

pub(in crate::report) fn heat(heat: &Heat, size: Size) -> String {
    let most = heat.rows.iter().map(|row| width_of(&cut(row, 14))).fold(width_of("0"), f64::max);
    let left = most + 14.0;
    let across = (size.width() - left - 8.0) / heat.columns.len().max(1) as f64;
    let height = 60.0 + CELL * heat.rows.len() as f64;
    // The deepest colour is the furthest cell of this map, at least 25 % from 1.
    let far = |ratio: f64| libm::log(ratio.max(1e-6)).abs();
    let furthest = heat.cells.iter().flatten().flatten().map(|ratio| far(*ratio)).fold(0.22, f64::max);
    let description =
        format!("Speedup of a step by {} (down) and {} (across); 1 is no gain.", heat.down, heat.across);
    let fits = ((across - 2.0) / width_of("0")) as usize;
    picture(size.width(), height, "Speedup", &description, |pen| {
        pen.text((4.0, 12.0), &cut(&heat.down, 30), Anchor::Start, Paint::Muted);
        for (row, (name, cells)) in heat.rows.iter().zip(&heat.cells).enumerate() {
            let top = 24.0 + CELL * row as f64;
            pen.text((left - 6.0, top + CELL / 2.0), &cut(name, 14), Anchor::End, Paint::Muted);
            for (column, cell) in cells.iter().enumerate() {
                let x = left + across * column as f64;
                let corners = ((x + 1.0, top + 1.0), (x + across - 1.0, top + CELL - 1.0));
                let Some(ratio) = cell else {
                    pen.rectangle(corners.0, corners.1, Paint::Faint, 0.4);
                    continue;
                };
                let series = if *ratio >= 1.0 { GAIN } else { LOSS };
                let depth = 0.06 + 0.54 * (far(*ratio) / furthest).min(1.0);
                pen.rectangle(corners.0, corners.1, Paint::Series(series), depth);
                let text = if fits >= 4 { format!("{ratio:.2}") } else { format!("{ratio:.1}") };
                if fits >= 3 {
                    pen.text((x + across / 2.0, top + CELL / 2.0), &text, Anchor::Middle, Paint::Ink);
                }
            }
        }
        let below = 24.0 + CELL * heat.rows.len() as f64;
        let mut free = f64::NEG_INFINITY;
        for (column, name) in heat.columns.iter().enumerate() {
            let (middle, name) = (left + across * (column as f64 + 0.5), cut(name, 12));
            let half = width_of(&name) / 2.0;
            if middle - half > free {
                pen.text((middle, below + 11.0), &name, Anchor::Middle, Paint::Muted);
                free = middle + half + 3.0;
            }
        }
        pen.text(
            (left + (size.width() - left) / 2.0, below + 27.0),
            &cut(&heat.across, 40),
            Anchor::Middle,
            Paint::Muted,
        );
    })
}
