//! Reads tables: the project's own format, and public ones by name. Every problem names file and line.

use std::fs;
use std::path::Path;

use super::{Header, Row, Table, Timing, VERSION, public};
use crate::yaml;

/// Largest file, in bytes.
const LARGEST: u64 = 64 * 1024 * 1024;

/// What is wrong with a table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeasuredError {
    /// A row or the columns.
    #[error("{file}:{line}: {message}")]
    Line {
        /// File.
        file: String,
        /// Line, from 1.
        line: u64,
        /// What is wrong.
        message: String,
    },
    /// The header.
    #[error(transparent)]
    Header(#[from] yaml::Error),
    /// The file.
    #[error("{file}: {message}")]
    File {
        /// File.
        file: String,
        /// What is wrong.
        message: String,
    },
}

/// The tables in a file: one, or several where a public file holds several operations.
pub fn read(path: &Path) -> Result<Vec<Table>, MeasuredError> {
    let name = path.display().to_string();
    let wrong = |message: String| MeasuredError::File { file: name.clone(), message };
    let size = fs::metadata(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if size.is_dir() {
        return Err(wrong("is a directory, expected a table".to_owned()));
    }
    if size.len() > LARGEST {
        return Err(wrong("larger than 64 MiB, expected a table of kernel times".to_owned()));
    }
    let text = fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    read_text(&name, &text)
}

/// The same from text. `name` is the file's name.
pub fn read_text(name: &str, text: &str) -> Result<Vec<Table>, MeasuredError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.starts_with("---") { own(name, text).map(|table| vec![table]) } else { public::read(name, text) }
}

/// A table of the project's format.
fn own(name: &str, text: &str) -> Result<Table, MeasuredError> {
    let at = |line: u64, message: String| MeasuredError::Line { file: name.to_owned(), line, message };
    let Some(end) = text[3..].find("\n---").map(|end| end + 3) else {
        return Err(at(1, "the header does not end: expected a second line `---`".to_owned()));
    };
    let header: Header = yaml::from_node(&yaml::parse(name, &text[..=end])?)?;
    if header.rollcast_measured != VERSION {
        let message = format!("rollcast_measured {}, this program reads {VERSION}", header.rollcast_measured);
        return Err(at(1, message));
    }
    for (axis, unit) in header.op.axes() {
        match header.axes.get(*axis) {
            Some(given) if given == unit => {}
            Some(given) => {
                return Err(at(1, format!("axis `{axis}` is in `{given}`, expected `{unit}`")));
            }
            None => return Err(at(1, format!("no unit for the axis `{axis}`, expected `{unit}`"))),
        }
    }
    let body = text[end + 1..].find('\n').map_or(text.len(), |more| end + 1 + more + 1);
    let before = text[..body].matches('\n').count() as u64;
    let mut columns = Columns::new(name, &text[body..], before)?;
    let op = header.op;
    let labels = columns.all(op.labels())?;
    let axes = columns.all(&op.axes().iter().map(|(axis, _)| *axis).collect::<Vec<_>>())?;
    let median = columns.required("median_us")?;
    let pairs = [["p10_us", "p90_us"], ["low_us", "high_us"]].map(|pair| pair.map(|c| columns.optional(c)));
    let (samples, flag) = (columns.optional("samples"), columns.optional("flag"));
    let mut rows = Vec::new();
    while let Some(line) = columns.next()? {
        let pair = |[low, high]: [Option<usize>; 2]| -> Result<Option<[f64; 2]>, MeasuredError> {
            match (columns.filled(low), columns.filled(high)) {
                (Some(low), Some(high)) => Ok(Some([columns.positive(low)?, columns.positive(high)?])),
                _ => Ok(None),
            }
        };
        let (spread, interval) = (pair(pairs[0])?, pair(pairs[1])?);
        let timing = Timing {
            median: columns.positive(median)?,
            spread,
            interval,
            samples: columns.filled(samples).map(|c| columns.positive(c)).transpose()?.map(|n| n as u32),
        };
        for [low, high] in [spread, interval].into_iter().flatten() {
            if low > timing.median || high < timing.median {
                return Err(columns.wrong(format!("the median {} is not in {low} to {high}", timing.median)));
            }
        }
        rows.push(Row {
            line: line as u32,
            labels: labels.iter().map(|c| columns.text(*c).to_owned()).collect(),
            axes: axes.iter().map(|c| columns.positive(*c)).collect::<Result<_, _>>()?,
            timing,
            flagged: columns.filled(flag).is_some_and(|c| columns.text(c) != "0"),
        });
    }
    columns.not_empty(rows.len())?;
    Ok(Table { name: name.to_owned(), header, rows })
}

/// The columns of a CSV text, and the row that is being read.
pub(super) struct Columns<'a> {
    name: &'a str,
    names: Vec<String>,
    rows: csv::StringRecordsIntoIter<&'a [u8]>,
    row: csv::StringRecord,
    before: u64,
    line: u64,
}

impl<'a> Columns<'a> {
    /// `before`: lines of the file above the text.
    pub(super) fn new(name: &'a str, text: &'a str, before: u64) -> Result<Self, MeasuredError> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let line = before + 1;
        let names = reader.headers().map_err(|error| MeasuredError::Line {
            file: name.to_owned(),
            line,
            message: error.to_string(),
        })?;
        let names: Vec<String> = names.iter().map(str::to_owned).collect();
        Ok(Columns { name, names, rows: reader.into_records(), row: csv::StringRecord::new(), before, line })
    }

    /// Whether there is such a column.
    pub(super) fn has(&self, column: &str) -> bool {
        self.names.iter().any(|name| name == column)
    }

    fn optional(&self, column: &str) -> Option<usize> {
        self.names.iter().position(|name| name == column)
    }

    pub(super) fn required(&self, column: &str) -> Result<usize, MeasuredError> {
        self.optional(column).ok_or_else(|| {
            let names = self.names.join(", ");
            self.wrong(if names.is_empty() {
                format!("empty: expected column names, `{column}` among them")
            } else {
                format!("no column `{column}`; the file has: {names}")
            })
        })
    }

    pub(super) fn all(&self, columns: &[&str]) -> Result<Vec<usize>, MeasuredError> {
        columns.iter().map(|column| self.required(column)).collect()
    }

    /// Steps to the next row: its line, or nothing at the end.
    pub(super) fn next(&mut self) -> Result<Option<u64>, MeasuredError> {
        let Some(row) = self.rows.next() else { return Ok(None) };
        match row {
            Ok(row) => {
                self.line = self.before + row.position().map_or(0, csv::Position::line);
                self.row = row;
                Ok(Some(self.line))
            }
            Err(error) => {
                self.line = self.before + error.position().map_or(self.line, csv::Position::line);
                let message = match error.kind() {
                    csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                        format!("{len} fields, expected {expected_len} as in the first line")
                    }
                    _ => error.to_string(),
                };
                Err(self.wrong(message))
            }
        }
    }

    pub(super) fn text(&self, column: usize) -> &str {
        self.row.get(column).unwrap_or_default()
    }

    fn filled(&self, column: Option<usize>) -> Option<usize> {
        column.filter(|column| !self.text(*column).is_empty())
    }

    /// A positive number of the row.
    pub(super) fn positive(&self, column: usize) -> Result<f64, MeasuredError> {
        let text = self.text(column);
        let what = &self.names[column];
        match text.parse::<f64>() {
            Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
            Ok(number) => Err(self.wrong(format!("`{what}` is {number}, expected a positive number"))),
            Err(_) => Err(self.wrong(format!("`{what}` is `{text}`, expected a number"))),
        }
    }

    pub(super) fn wrong(&self, message: String) -> MeasuredError {
        MeasuredError::Line { file: self.name.to_owned(), line: self.line.max(self.before + 1), message }
    }

    pub(super) fn not_empty(&self, rows: usize) -> Result<(), MeasuredError> {
        if rows == 0 { Err(self.wrong("no rows under the column names".to_owned())) } else { Ok(()) }
    }
}
