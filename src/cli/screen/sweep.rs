//! What the terminal shows of a sweep: the best points, and why others have no forecast.

use std::path::Path;

use serde_json::{Value, json};

use super::{numbers, paragraph, seconds, table, usd};
use crate::study::sweep::{Row, Warnings};

/// Points that are shown of each list.
const SHOWN: usize = 5;

/// The best rows so far: memory does not grow with the sweep.
#[derive(Debug)]
pub(in crate::cli) struct Best {
    columns: Vec<String>,
    axes: usize,
    points: u64,
    failed: u64,
    first_error: Option<String>,
    warnings: Warnings,
    /// By step, and by cost.
    lists: [Vec<(f64, Row)>; 2],
}

/// Columns that the lists are ordered by.
const ORDER: [&str; 2] = ["step_s", "usd_per_step"];

impl Best {
    /// For rows of these columns, the first ones axes.
    pub(in crate::cli) fn new(columns: &[String], axes: usize) -> Self {
        Best {
            columns: columns.to_vec(),
            axes,
            points: 0,
            failed: 0,
            first_error: None,
            warnings: Warnings::default(),
            lists: [Vec::new(), Vec::new()],
        }
    }

    /// Takes a row in.
    pub(in crate::cli) fn see(&mut self, row: &Row) {
        self.points += 1;
        if !row.error().is_empty() {
            self.failed += 1;
            self.first_error.get_or_insert_with(|| row.error().to_owned());
            return;
        }
        let warnings = self.cell(row, "warnings").to_owned();
        self.warnings.see(&warnings);
        for (column, list) in ORDER.iter().zip(0..) {
            let Some(value) = self.cell(row, column).parse::<f64>().ok().filter(|v| *v > 0.0) else {
                continue;
            };
            let list = &mut self.lists[list];
            // Rows come in order of index, so equals stay in that order.
            let place = list.partition_point(|(other, _)| *other <= value);
            if place < SHOWN {
                list.insert(place, (value, row.clone()));
                list.truncate(SHOWN);
            }
        }
    }

    fn cell<'a>(&self, row: &'a Row, column: &str) -> &'a str {
        let position = self.columns.iter().position(|name| name == column);
        position.and_then(|position| row.cells.get(position)).map_or("", String::as_str)
    }

    /// For programs.
    pub(in crate::cli) fn json(&self, name: &str, table: &Path) -> Value {
        let list = |list: &[(f64, Row)]| -> Vec<Value> {
            let object = |row: &Row| -> Value {
                let cells = self.columns.iter().zip(&row.cells).map(|(column, cell)| {
                    (column.clone(), cell.parse::<f64>().map_or_else(|_| json!(cell), |number| json!(number)))
                });
                std::iter::once(("index".to_owned(), json!(row.index))).chain(cells).collect()
            };
            list.iter().map(|(_, row)| object(row)).collect()
        };
        json!({
            "schema_version": 1,
            "name": name,
            "points": self.points,
            "without_forecast": self.failed,
            "warnings": self.warnings.texts(),
            "table": table.display().to_string(),
            "fastest": list(&self.lists[0]),
            "cheapest": list(&self.lists[1]),
        })
    }
}

/// The screen of a sweep.
pub(in crate::cli) fn best_points(name: &str, best: &Best, file: &Path) -> String {
    let mut text = format!("{name}\n\n");
    for (title, list) in ["fastest", "cheapest"].iter().zip(&best.lists) {
        if list.is_empty() {
            continue;
        }
        let axes: Vec<&str> = best.columns[..best.axes].iter().map(String::as_str).collect();
        let header = [&["point"], axes.as_slice(), &["step s", "5-95 %", "x", "5-95 %", "$ a step"]].concat();
        let mut shown = table(&header);
        for (_, row) in list {
            let number = |column: &str| best.cell(row, column).parse::<f64>().unwrap_or(f64::NAN);
            let mut cells = vec![row.index.to_string()];
            cells.extend(row.cells[..best.axes].iter().cloned());
            cells.push(seconds(number("step_s")));
            cells.push(format!("{} - {}", seconds(number("step_s_p05")), seconds(number("step_s_p95"))));
            cells.push(format!("{:.2}", number("step_speedup")));
            cells.push(format!("{:.2} - {:.2}", number("step_speedup_p05"), number("step_speedup_p95")));
            cells.push(usd(number("usd_per_step")));
            shown.add_row(cells);
        }
        numbers(&mut shown, 1 + best.axes..=5 + best.axes);
        text = format!("{text}{title}\n{}\n\n", shown.trim_fmt());
    }
    for warning in best.warnings.texts() {
        text += &paragraph("WARNING", &warning);
    }
    if let Some(error) = &best.first_error {
        let all = format!("{} of {} points have no forecast; the first: {error}", best.failed, best.points);
        text += &paragraph("WITHOUT", &all);
    }
    text + &paragraph("table", &format!("{} points in {}", best.points, file.display()))
}
