//! The page of a sweep: the best points, time against money, speedup over two axes, all rows.

use super::figures::{percent, seconds, times, usd};
use super::html::{Table, card, code, escaped, figure, heading, list, paragraph};
use super::page;
use super::plot::{self, BASELINE, Dot, FORECAST, Heat, MARK};
use crate::study::sweep::journal::Header;
use crate::study::sweep::{Row, Warnings};

/// Maps that are drawn; the table has all.
const MOST_MAPS: usize = 6;
/// Rows of the table of all points: beyond these a page is no place to read them.
const MOST_ROWS: usize = 2_000;
/// Reasons that are listed.
const MOST_REASONS: usize = 20;

/// A sweep's rows.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepTable {
    /// What the rows belong to.
    pub header: Header,
    /// Rows in order of index; some may be missing.
    pub rows: Vec<Row>,
    /// The command that makes them again.
    pub command: Option<String>,
}

impl SweepTable {
    fn cell<'a>(&self, row: &'a Row, column: &str) -> &'a str {
        let place = self.header.columns.iter().position(|name| name == column);
        place.and_then(|place| row.cells.get(place)).map_or("", String::as_str)
    }

    fn number(&self, row: &Row, column: &str) -> Option<f64> {
        self.cell(row, column).parse().ok().filter(|value: &f64| value.is_finite())
    }

    fn axes(&self) -> &[String] {
        &self.header.columns[..self.header.axes.min(self.header.columns.len())]
    }

    /// Rows with a forecast.
    fn done(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| self.number(row, "step_s").is_some())
    }

    /// Where a point lies: `gpus 8, K 3`.
    fn place(&self, row: &Row) -> String {
        let parts = self.axes().iter().zip(&row.cells).map(|(axis, cell)| format!("{axis} {cell}"));
        parts.collect::<Vec<_>>().join(", ")
    }

    /// Whether points differ in the work of a step, so that their seconds do not compare.
    fn other_work(&self) -> bool {
        self.header.expanded.iter().any(|line| line.starts_with("axis ") && line.contains(": workload."))
    }

    /// The values of the axes that change the work of a step: of one axis column the lines of `expanded` tell.
    fn work<'a>(&self, row: &'a Row) -> Vec<&'a str> {
        let changes = |axis: &String| {
            self.header.expanded.iter().any(|line| {
                let Some(rest) = line.strip_prefix("axis ") else { return false };
                let names = rest.split_once(" \"").map_or("", |(names, _)| names);
                names.split('+').any(|name| name == axis) && line.contains(": workload.")
            })
        };
        let of = self.axes().iter().zip(&row.cells).filter(|(axis, _)| changes(axis));
        of.map(|(_, cell)| cell.as_str()).collect()
    }

    /// Values of an axis in the order of the rows; numbers rise.
    fn values(&self, axis: usize) -> Vec<String> {
        let mut values: Vec<String> = Vec::new();
        for row in &self.rows {
            if let Some(cell) = row.cells.get(axis)
                && !values.contains(cell)
            {
                values.push(cell.clone());
            }
        }
        let number = |value: &String| value.parse::<f64>().ok();
        if values.iter().all(|value| number(value).is_some()) {
            values.sort_by(|a, b| number(a).unwrap_or(0.0).total_cmp(&number(b).unwrap_or(0.0)));
        }
        values
    }
}

/// The page.
pub fn sweep_page(table: &SweepTable) -> String {
    let mut sections: Vec<(&str, &str, String)> =
        vec![("best", "Best points", best(table) + &warnings(table))];
    sections.push(("pareto", "Time and money", pareto(table)));
    sections.push(("heat", "Speedup by two axes", heat(table)));
    sections.push(("points", "All points", points(table)));
    sections.push(("without", "Points without a forecast", without(table)));
    sections.push(("provenance", "Provenance", provenance(table)));
    page::page(&table.header.name, &headline(table), &sections)
}

/// What points are ordered by: the column, whether its least is best, and the heading.
const ORDERS: [(&str, bool, &str); 3] = [
    ("step_speedup", false, "Largest speedup"),
    ("step_s", true, "Fastest"),
    ("usd_per_step", true, "Cheapest"),
];

/// Rows by a figure, the best first.
fn ordered<'a>(table: &'a SweepTable, (column, least, _): (&str, bool, &str)) -> Vec<&'a Row> {
    let mut rows: Vec<(f64, &Row)> = table
        .done()
        .filter_map(|row| Some((table.number(row, column).filter(|v| *v > 0.0)?, row)))
        .map(|(value, row)| (if least { value } else { -value }, row))
        .collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    rows.into_iter().map(|(_, row)| row).collect()
}

fn headline(table: &SweepTable) -> String {
    let mut cards = String::new();
    let mut lead = "No point has a forecast".to_owned();
    let of = |row: &Row, column: &str| table.number(row, column).unwrap_or(f64::NAN);
    if let Some(row) = ordered(table, ORDERS[0]).first() {
        let band = format!(
            "5-95 %: {:.2} - {:.2}; {}",
            of(row, "step_speedup_p05"),
            of(row, "step_speedup_p95"),
            table.place(row)
        );
        if table.other_work() {
            lead = format!("Largest speedup: {} at {}", times(of(row, "step_speedup")), table.place(row));
        }
        cards += &card("largest step speedup", &times(of(row, "step_speedup")), &band);
    }
    if let Some(row) = ordered(table, ORDERS[1]).first()
        && !table.other_work()
    {
        lead = format!(
            "Fastest: {} with {} s a step (5-95 %: {} - {})",
            table.place(row),
            seconds(of(row, "step_s")),
            seconds(of(row, "step_s_p05")),
            seconds(of(row, "step_s_p95"))
        );
    }
    if let Some(row) = ordered(table, ORDERS[2]).first()
        && !table.other_work()
    {
        let (low, high) = (usd(of(row, "usd_per_step_p05")), usd(of(row, "usd_per_step_p95")));
        let band = format!("5-95 %: {low} - {high}; {}", table.place(row));
        cards += &card("cheapest step", &usd(of(row, "usd_per_step")), &band);
    }
    let gains = table.done().filter(|row| of(row, "p_gain") >= 0.95).count();
    cards += &card(
        "points with a sure gain",
        &gains.to_string(),
        &format!("of {} with a forecast", table.done().count()),
    );
    let missing = table.header.points - (table.rows.len() as u64).min(table.header.points);
    if missing > 0 {
        cards += &card("not run yet", &missing.to_string(), &format!("of {} points", table.header.points));
    }
    format!(
        "<header id=\"headline\">\n<h1>{}</h1>\n<p class=\"lead\">{}</p>\n<div class=\"cards\">\n{cards}</div>\n</header>\n",
        escaped(&table.header.name),
        escaped(&lead)
    )
}

/// A column, its heading, and how its figures are written.
type Shown = (&'static str, &'static str, fn(f64) -> String);

/// Columns of the tables of points.
const SHOWN: [Shown; 11] = [
    ("step_s", "step, s", seconds),
    ("step_s_p05", "5 %", seconds),
    ("step_s_p95", "95 %", seconds),
    ("rollout_s", "rollout, s", seconds),
    ("usd_per_step", "$ a step", usd),
    ("step_speedup", "speedup", times),
    ("step_speedup_p05", "5 %", times),
    ("step_speedup_p95", "95 %", times),
    ("p_gain", "chance of a gain", percent),
    ("acceptance_length", "acceptance length", |v| format!("{v:.2}")),
    ("kv_peak_share", "KV peak", percent),
];

fn rows<'a>(table: &SweepTable, caption: &str, rows: impl Iterator<Item = &'a Row>) -> Table {
    let axes = table.axes().iter().map(String::as_str);
    let head: Vec<&str> =
        std::iter::once("point").chain(axes).chain(SHOWN.map(|(_, head, _)| head)).collect();
    let mut html = Table::new(caption, &head);
    for row in rows {
        let places = row.cells[..table.axes().len().min(row.cells.len())].iter().cloned();
        let figures =
            SHOWN.map(|(column, _, write)| table.number(row, column).map_or_else(String::new, write));
        html.row(std::iter::once(row.index.to_string()).chain(places).chain(figures));
    }
    html.tight()
}

fn best(table: &SweepTable) -> String {
    let mut html = String::new();
    let orders: &[_] = if table.other_work() {
        html += &paragraph(
            "Points differ in the work of a step (workload): their speedups compare, their seconds do not.",
        );
        &ORDERS[..1]
    } else {
        &ORDERS
    };
    for order in orders {
        html += &rows(table, order.2, ordered(table, *order).into_iter().take(5)).html();
    }
    html
}

fn pareto(table: &SweepTable) -> String {
    let priced: Vec<(&Row, f64, f64)> = table
        .done()
        .filter_map(|row| {
            Some((row, table.number(row, "step_s")?, table.number(row, "usd_per_step").filter(|v| *v > 0.0)?))
        })
        .collect();
    if priced.is_empty() {
        return paragraph("No point has a price.");
    }
    // In order of time, a point is on the front where it is cheaper than all before it that do the same work.
    let mut order: Vec<usize> = (0..priced.len()).collect();
    order.sort_by(|a, b| priced[*a].1.total_cmp(&priced[*b].1).then(priced[*a].2.total_cmp(&priced[*b].2)));
    let mut dots: Vec<Dot> =
        priced.iter().map(|(_, seconds, usd)| Dot { seconds: *seconds, usd: *usd, front: None }).collect();
    let mut works: Vec<(Vec<&str>, f64)> = Vec::new();
    let mut front = Vec::new();
    for place in order {
        let work = table.work(priced[place].0);
        let known = works.iter().position(|(other, _)| *other == work);
        let known = known.unwrap_or_else(|| {
            works.push((work, f64::INFINITY));
            works.len() - 1
        });
        if dots[place].usd < works[known].1 {
            works[known].1 = dots[place].usd;
            dots[place].front = Some(known);
            front.push((known, priced[place].0));
        }
    }
    front.sort_by_key(|(work, _)| *work);
    let (kept, caption) = if works.len() > 1 {
        (
            "no other point with the same work is faster and cheaper",
            "Fronts of points with the same workload, fastest first",
        )
    } else {
        ("no other point is faster and cheaper", "The front, fastest first")
    };
    figure(&[(FORECAST, kept), (BASELINE, "others")], "Medians. Prices are those of the scenario.", |size| {
        plot::pareto(&dots, size)
    }) + &rows(table, caption, front.into_iter().map(|(_, row)| row)).html()
}

/// Two axes with the most values: the later one goes across.
fn two_axes(table: &SweepTable) -> Option<(usize, usize)> {
    let mut counts: Vec<(usize, usize)> = (0..table.axes().len())
        .map(|axis| (table.values(axis).len(), axis))
        .filter(|(n, _)| *n > 1)
        .collect();
    counts.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let (a, b) = (counts.first()?.1, counts.get(1)?.1);
    Some((a.max(b), a.min(b)))
}

fn heat(table: &SweepTable) -> String {
    let Some((across, down)) = two_axes(table) else {
        return paragraph("A map needs two axes with more than one value.");
    };
    let (columns, rows) = (table.values(across), table.values(down));
    if columns.len() > 40 || rows.len() > 60 {
        return paragraph("These axes have too many values for a map: see the table of all points.");
    }
    // One map for each combination of the other axes.
    let rest = |row: &Row| -> String {
        let others = table.axes().iter().zip(&row.cells).enumerate();
        let others = others.filter(|(axis, _)| *axis != across && *axis != down);
        others.map(|(_, (axis, cell))| format!("{axis} {cell}")).collect::<Vec<_>>().join(", ")
    };
    let mut maps: Vec<(String, Heat)> = Vec::new();
    let mut left_out = 0;
    for row in &table.rows {
        let name = rest(row);
        let place = maps.iter().position(|(other, _)| *other == name);
        let Some(place) = place.or_else(|| {
            (maps.len() < MOST_MAPS).then(|| {
                let cells = vec![vec![None; columns.len()]; rows.len()];
                let heat = Heat {
                    across: table.axes()[across].clone(),
                    down: table.axes()[down].clone(),
                    columns: columns.clone(),
                    rows: rows.clone(),
                    cells,
                };
                maps.push((name, heat));
                maps.len() - 1
            })
        }) else {
            left_out += 1;
            continue;
        };
        let at = |values: &[String], axis: usize| values.iter().position(|v| Some(v) == row.cells.get(axis));
        if let (Some(r), Some(c)) = (at(&rows, down), at(&columns, across)) {
            maps[place].1.cells[r][c] = table.number(row, "step_speedup");
        }
    }
    let mut html = String::new();
    for (name, map) in &maps {
        if !name.is_empty() {
            html += &heading(name);
        }
        let caption = "Medians; a deeper colour is further from no gain.";
        html += &figure(&[(plot::GAIN, "faster than its baseline"), (MARK, "slower")], caption, |size| {
            plot::heat(map, size)
        });
        let head: Vec<&str> =
            std::iter::once(map.down.as_str()).chain(map.columns.iter().map(String::as_str)).collect();
        let mut figures =
            Table::new(&format!("Speedup of a step by {} and {} {name}", map.down, map.across), &head);
        for (row, cells) in map.rows.iter().zip(&map.cells) {
            let cells =
                cells.iter().map(|cell| cell.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")));
            figures.row(std::iter::once(row.clone()).chain(cells));
        }
        html += &figures.html();
    }
    if left_out > 0 {
        html += &paragraph(&format!(
            "{left_out} points of further combinations are in the table of all points only."
        ));
    }
    html
}

fn points(table: &SweepTable) -> String {
    let all = rows(table, "In order of index", table.rows.iter().take(MOST_ROWS)).filtered().tall().html();
    if table.rows.len() <= MOST_ROWS {
        return all;
    }
    all + &paragraph(&format!("The first {MOST_ROWS} of {} points; all are in sweep.csv.", table.rows.len()))
}

fn without(table: &SweepTable) -> String {
    let mut reasons: Vec<(&str, usize, String)> = Vec::new();
    for row in table.rows.iter().filter(|row| !row.error().is_empty()) {
        match reasons.iter_mut().find(|(reason, ..)| *reason == row.error()) {
            Some(known) => known.1 += 1,
            None => reasons.push((row.error(), 1, table.place(row))),
        }
    }
    if reasons.is_empty() {
        return paragraph("None.");
    }
    let more = reasons.len().saturating_sub(MOST_REASONS);
    let texts: Vec<String> = reasons
        .iter()
        .take(MOST_REASONS)
        .map(|(reason, count, first)| format!("{count} points, the first at {first}: {reason}"))
        .collect();
    let html = list(texts.iter().map(String::as_str));
    if more > 0 { html + &paragraph(&format!("... and {more} more reasons, in sweep.csv.")) } else { html }
}

/// What to know before believing the points.
fn warnings(table: &SweepTable) -> String {
    let Some(place) = table.header.columns.iter().position(|name| name == "warnings") else {
        return String::new();
    };
    let mut all = Warnings::default();
    table.done().filter_map(|row| row.cells.get(place)).for_each(|cell| all.see(cell));
    let texts = all.texts();
    if texts.is_empty() {
        return String::new();
    }
    paragraph("To know before believing these points, as the run of each says it:")
        + &list(texts.iter().map(String::as_str))
}

fn provenance(table: &SweepTable) -> String {
    let worst = table.done().filter_map(|row| table.number(row, "extrapolated_share")).fold(0.0, f64::max);
    let mut html = paragraph(&format!(
        "Rollcast {}; the most that any point extrapolates beyond the fitted range is {} of its rollout seconds. Sweep {}.",
        env!("CARGO_PKG_VERSION"),
        percent(worst),
        table.header.hash
    ));
    if let Some(command) = &table.command {
        html += &paragraph("To make this again:");
        html += &code(command);
    }
    html + &paragraph("What the rows depend on:") + &code(&table.header.expanded.join("\n"))
}
