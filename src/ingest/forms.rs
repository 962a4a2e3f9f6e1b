//! The forms in which frameworks write metrics by RL step, whatever the metrics are called.
//!
//! - `step:3 - name:0.5 - name:7`, verl's console, whatever stands before it;
//! - `rollout 3: {'name': 0.5, …}`, the Python maps that slime prints;
//! - JSON, one object a line: `{"step": 3, "data": {…}}` (verl's file logger), or flat with `step` or `_step` in it;
//! - JSON, one object a file: `{"name": {"3": 0.5, …}, …}` (NeMo-RL's dump of TensorBoard);
//! - CSV with a column `step`, as Weights & Biases exports it: `"Step","run - name"`.
//!
//! Left out: binary logs (TensorBoard's events, W&B's), which their own tools export.

use std::path::Path;

use serde_json::{Map, Value};

use super::IngestError;
use super::series::Metrics;
use super::text::{lines, number};

/// Names of a step in flat records.
const STEP: [&str; 5] = ["step", "_step", "global_step", "training/global_step", "trainer/global_step"];

/// Reads a file into `metrics`; how many records it held.
pub(super) fn read(path: &Path, metrics: &mut Metrics) -> Result<u64, IngestError> {
    let mut reader = Reader { records: 0, header: None, metrics };
    // A file that is one JSON object may lie on many lines.
    let mut whole: Option<String> = None;
    let mut wrong = None;
    lines(path, |at, line| {
        let text = line.trim();
        if let Some(whole) = &mut whole {
            whole.push_str(text);
            whole.push('\n');
        } else if at == 1
            && text.starts_with('{')
            && serde_json::from_str::<Map<String, Value>>(text).is_err()
        {
            whole = Some(format!("{text}\n"));
        } else if at == 1 {
            match Columns::of(text) {
                Ok(Some(columns)) => reader.header = Some(columns),
                Ok(None) => reader.line(text),
                Err(why) => wrong = Some(why),
            }
        } else {
            reader.line(text);
        }
    })?;
    if let Some(message) = wrong {
        return Err(IngestError::File { file: path.display().to_string(), message });
    }
    if let Some(text) = whole {
        match serde_json::from_str::<Map<String, Value>>(&text) {
            Ok(object) => reader.records += u64::from(record(&object, reader.metrics).is_some()),
            // It only began like one: a printed configuration, or a first line that was cut.
            Err(_) => text.lines().for_each(|line| reader.line(line)),
        }
    }
    Ok(reader.records)
}

/// Reads lines of any form.
struct Reader<'a> {
    records: u64,
    header: Option<Columns>,
    metrics: &'a mut Metrics,
}

impl Reader<'_> {
    fn line(&mut self, text: &str) {
        let metrics = &mut *self.metrics;
        let read = match (&self.header, text.starts_with('{')) {
            (Some(columns), _) => columns.row(text, metrics),
            (None, true) => serde_json::from_str(text).ok().and_then(|object| record(&object, metrics)),
            (None, false) => console(text, metrics).or_else(|| python(text, metrics)),
        };
        self.records += u64::from(read.is_some());
    }
}

/// `step:3 - name:0.5 - name:7`.
fn console(text: &str, metrics: &mut Metrics) -> Option<()> {
    let start = |at: &usize| text[..*at].chars().next_back().is_none_or(char::is_whitespace);
    let at = text.match_indices("step:").map(|found| found.0).find(start)?;
    let mut parts = text[at..].split(" - ");
    let step = parts.next()?.strip_prefix("step:")?.trim().parse().ok()?;
    metrics.begin(step);
    for part in parts {
        if let Some((name, value)) = part.rsplit_once(':')
            && let Some(value) = number(value)
        {
            metrics.insert(step, name.trim(), value);
        }
    }
    Some(())
}

/// `rollout 3: {'name': 0.5, …}`: the words before the map are not part of the names.
fn python(text: &str, metrics: &mut Metrics) -> Option<()> {
    let (before, map) = text.split_once(": {")?;
    let mut words = before.split_whitespace().rev();
    let step = words.next()?.parse().ok()?;
    // `step 3` counts optimizer steps, of which an RL step may have several.
    if words.next()?.trim_end_matches(':') == "step" {
        return None;
    }
    // Several processes print maps of one step, and not in order.
    let mut rest = map;
    while let Some(open) = rest.find(['\'', '"']) {
        let quote = rest[open..].chars().next()?;
        let Some(close) = rest[open + 1..].find(quote).map(|at| open + 1 + at) else { break };
        let name = &rest[open + 1..close];
        rest = &rest[close + 1..];
        if let Some(value) = rest.strip_prefix(':').and_then(number) {
            metrics.insert(step, name, value);
        }
    }
    Some(())
}

/// One JSON object: a step's, or a file's.
fn record(object: &Map<String, Value>, metrics: &mut Metrics) -> Option<()> {
    let step = STEP.iter().find_map(|name| object.get(*name).and_then(whole_number));
    if let Some(step) = step {
        metrics.begin(step);
        flat(step, "", object.get("data").and_then(Value::as_object).unwrap_or(object), metrics);
        return Some(());
    }
    let mut any = None;
    for (name, steps) in object {
        for (step, value) in steps.as_object().into_iter().flatten() {
            if let (Ok(step), Some(value)) = (step.parse(), value.as_f64()) {
                metrics.insert(step, name, value);
                any = Some(());
            }
        }
    }
    any
}

/// Numbers of an object, names of nested ones joined by a slash.
fn flat(step: u64, above: &str, object: &Map<String, Value>, metrics: &mut Metrics) {
    for (name, value) in object {
        let name = if above.is_empty() { name.clone() } else { format!("{above}/{name}") };
        match value {
            Value::Object(inner) => flat(step, &name, inner, metrics),
            value => {
                if let Some(value) = value.as_f64() {
                    metrics.insert(step, &name, value);
                }
            }
        }
    }
}

fn whole_number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().filter(|x| *x >= 0.0 && x.fract() == 0.0).map(|x| x as u64))
}

/// The columns of a CSV file.
struct Columns {
    step: usize,
    names: Vec<String>,
}

impl Columns {
    /// From the first line; `None` where it is no header with a step, an error where a metric is there for several runs.
    fn of(line: &str) -> Result<Option<Self>, String> {
        let Some(all) = cells(line) else { return Ok(None) };
        let Some(step) = all.iter().position(|name| STEP.contains(&name.to_lowercase().as_str())) else {
            return Ok(None);
        };
        // W&B puts the run's name before the metric's.
        let bare =
            |name: &String| name.rsplit_once(" - ").map_or(name.clone(), |(_, metric)| metric.to_owned());
        let names: Vec<String> = all.iter().map(bare).collect();
        for (i, name) in names.iter().enumerate() {
            if let Some(first) = names[..i].iter().position(|other| other == name) {
                return Err(format!(
                    "columns of several runs, `{}` and `{}`: export one run at a time",
                    all[first], all[i]
                ));
            }
        }
        Ok(Some(Columns { step, names }).filter(|columns| columns.names.len() > 1))
    }

    fn row(&self, line: &str, metrics: &mut Metrics) -> Option<()> {
        let cells = cells(line)?;
        let step = cells.get(self.step)?.parse().ok().filter(|x: &f64| *x >= 0.0 && x.fract() == 0.0)? as u64;
        for (name, cell) in self.names.iter().zip(&cells) {
            // The band around a metric says nothing more.
            if !name.ends_with("__MIN") && !name.ends_with("__MAX") {
                // An empty cell is a step without this metric.
                cell.parse().into_iter().for_each(|value| metrics.insert(step, name, value));
            }
        }
        Some(())
    }
}

fn cells(line: &str) -> Option<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
    let record = reader.records().next()?.ok()?;
    Some(record.iter().map(|cell| cell.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_one_run_only() {
        let one = Columns::of("\"Step\",\"run a - x/y\",\"run a - x/y__MIN\"");
        assert!(one.is_ok_and(|c| c.is_some_and(|c| c.names == ["Step", "x/y", "x/y__MIN"])));
        let two = Columns::of("Step,a - x,b - x");
        assert!(two.is_err_and(|why| why.contains("`a - x` and `b - x`")));
        assert!(Columns::of("a plain line, with a comma").is_ok_and(|c| c.is_none()));
    }
}
