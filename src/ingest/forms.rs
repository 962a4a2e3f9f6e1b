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
const STEP: [&str; 4] = ["step", "_step", "global_step", "training/global_step"];

/// Reads a file into `metrics`; how many records it held.
pub(super) fn read(path: &Path, metrics: &mut Metrics) -> Result<u64, IngestError> {
    let mut records = 0;
    let mut header: Option<Columns> = None;
    // A file that is one JSON object may lie on many lines.
    let mut whole: Option<String> = None;
    lines(path, |at, line| {
        let text = line.trim();
        if let Some(whole) = &mut whole {
            whole.push_str(text);
            whole.push('\n');
            return;
        }
        if at == 1 {
            header = Columns::of(text);
            if header.is_some() {
                return;
            }
        }
        let read = match (&header, text.strip_prefix('{')) {
            (Some(columns), _) => columns.row(text, metrics),
            (None, Some(_)) => match serde_json::from_str::<Map<String, Value>>(text) {
                Ok(object) => record(&object, metrics),
                Err(_) if at == 1 => {
                    whole = Some(format!("{text}\n"));
                    None
                }
                Err(_) => None,
            },
            (None, None) => console(text, metrics).or_else(|| python(text, metrics)),
        };
        records += u64::from(read.is_some());
    })?;
    if let Some(text) = whole
        && let Ok(object) = serde_json::from_str::<Map<String, Value>>(&text)
    {
        records += u64::from(record(&object, metrics).is_some());
    }
    Ok(records)
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
    metrics.begin(step);
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
    match (step, object.get("data").and_then(Value::as_object)) {
        (Some(step), data) => {
            metrics.begin(step);
            flat(step, "", data.unwrap_or(object), metrics);
            Some(())
        }
        (None, _) => {
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
    }
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
    /// From the first line; `None` where it is no header with a step.
    fn of(line: &str) -> Option<Self> {
        let names: Vec<String> = cells(line)?;
        let step = names.iter().position(|name| STEP.contains(&name.to_lowercase().as_str()))?;
        // W&B puts the run's name before the metric's; the columns for a band around it say nothing more.
        let bare =
            |name: String| name.rsplit_once(" - ").map_or(name.clone(), |(_, metric)| metric.to_owned());
        Some(Columns { step, names: names.into_iter().map(bare).collect() })
            .filter(|columns| columns.names.len() > 1)
    }

    fn row(&self, line: &str, metrics: &mut Metrics) -> Option<()> {
        let cells = cells(line)?;
        let step = cells.get(self.step)?.parse::<f64>().ok().filter(|x| *x >= 0.0)? as u64;
        metrics.begin(step);
        for (name, cell) in self.names.iter().zip(&cells) {
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
