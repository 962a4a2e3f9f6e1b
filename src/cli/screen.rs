//! What the terminal shows of results: plain text, no colour, at most as wide as the terminal.
//!
//! Off a terminal prose is 80 columns wide; on one it uses up to 100, and tables whose last column is words or names wrap it.

mod chart;
mod first;
mod fit;
mod levers;
mod loops;
mod plan;
mod scores;
mod solve;
mod stages;
mod step;
mod sweep;

pub(super) use first::first_screen;
pub(super) use fit::fit;
pub(super) use levers::levers;
pub(super) use plan::{explained, plan};
pub(super) use scores::validation;
pub(super) use solve::{schedules, solve};
pub(super) use step::step;
pub(super) use sweep::{Best, best_points};

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table};
use terminal_size::{Width, terminal_size_of};

/// Columns that prose may use. Only standard output counts: it may be a pipe while standard error is a terminal.
fn columns() -> usize {
    terminal_size_of(std::io::stdout()).map_or(80, |(Width(columns), _)| usize::from(columns)).clamp(60, 100)
}

/// A table without lines, its header first; columns after the first are right-aligned by [`numbers`].
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header.iter().map(Cell::new));
    table
}

/// Wraps the last column, words or names, where the table would be wider than the terminal. Off a terminal lines stay whole, for
/// what reads them.
pub(super) fn wrap_last(table: &mut Table) {
    let Some((Width(width), _)) = terminal_size_of(std::io::stdout()) else { return };
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(width.max(60));
    let last = table.column_count().saturating_sub(1);
    for index in 0..last {
        if let Some(column) = table.column_mut(index) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
}

/// Right-aligns the given columns.
fn numbers(table: &mut Table, columns: std::ops::RangeInclusive<usize>) {
    for index in columns {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// A labelled paragraph, wrapped under its own start.
fn paragraph(label: &str, text: &str) -> String {
    let indent = " ".repeat(LABEL);
    let first = format!("{label:<LABEL$}");
    let options = textwrap::Options::new(columns()).initial_indent(&first).subsequent_indent(&indent);
    format!("{}\n", textwrap::fill(text, options))
}

/// Columns of the labels on the left.
const LABEL: usize = 11;

/// A number of seconds with sensible digits.
fn seconds(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        v if v >= 0.1 => format!("{value:.2}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.4}"),
    }
}

/// An amount of money with sensible digits.
fn usd(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("${v:.0}"),
        v if v >= 1.0 => format!("${v:.2}"),
        v => format!("${v:.3}"),
    }
}
