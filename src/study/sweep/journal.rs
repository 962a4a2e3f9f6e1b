//! The journal of a sweep: rows as they come, so that a kill loses the points that were running and no other.
//!
//! A text file. Each line is a checksum of 16 hexadecimal digits, a blank, and JSON: first a [`Header`], then one row a
//! line in the order in which points ended, `[index, cell, cell, ...]`. A line is written whole and ends the moment it
//! is written; a kill leaves at most the last one broken, which is dropped. A broken line anywhere else means that
//! somebody else wrote into the file, and nothing in it is trusted.
//!
//! The checksum is FNV-1a (Fowler, Noll, Vo; 64 bits): against accidents, not against malice.

use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Row, Sweep};

/// Version of this form.
pub const FORMAT: u32 = 1;
/// Lines of a difference that are shown.
const SHOWN: usize = 12;
/// Longest line, bytes: a header holds the whole sweep.
const LONGEST: u64 = 64 * 1024 * 1024;

/// What a journal's rows belong to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the form.
    pub format: u32,
    /// Title of the sweep.
    pub name: String,
    /// Points of the whole sweep.
    pub points: u64,
    /// Columns of axes: the first ones.
    pub axes: usize,
    /// Columns of a row, the index left out.
    pub columns: Vec<String>,
    /// Checksum of the expanded sweep.
    pub hash: String,
    /// The expanded sweep: everything that rows depend on.
    pub expanded: Vec<String>,
    /// The command that makes the rows; not part of what they depend on.
    #[serde(default)]
    pub command: Option<String>,
}

/// What a journal held.
#[derive(Debug, Clone)]
pub struct Contents {
    /// Its header; none where the file broke off inside it.
    pub header: Option<Header>,
    /// Bytes of whole lines: what follows was broken off.
    pub good_bytes: u64,
    /// Whether a last line was broken off.
    pub broken_end: bool,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// A line in it is broken.
    #[error(
        "line {line} is broken ({why}), and lines follow it: this is no journal that a sweep left behind"
    )]
    Broken {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A later version wrote it.
    #[error("is of format {0}, this program reads format {FORMAT}")]
    Format(u32),
    /// It belongs to another sweep.
    #[error("{0}")]
    Changed(String),
}

impl Header {
    /// The header of a sweep's journal.
    pub fn of(sweep: &Sweep) -> Self {
        let header = Header::new(sweep.name.clone(), sweep.len(), sweep.columns(), sweep.expanded());
        Header { axes: sweep.axis_columns().count(), ..header }
    }

    /// The header of so many rows of these columns, which depend on these lines and nothing else.
    pub fn new(name: String, points: u64, columns: Vec<String>, expanded: Vec<String>) -> Self {
        Header {
            format: FORMAT,
            name,
            points,
            axes: 0,
            columns,
            hash: format!("{:016x}", checksum(expanded.join("\n").as_bytes())),
            expanded,
            command: None,
        }
    }

    /// The header's line.
    pub fn line(&self) -> Result<String, serde_json::Error> {
        Ok(checked(&serde_json::to_string(self)?))
    }

    /// Whether rows under `before` are rows of this sweep; otherwise the difference, line by line.
    pub fn same_as(&self, before: &Header) -> Result<(), JournalError> {
        if self.hash == before.hash && self.columns == before.columns && self.points == before.points {
            return Ok(());
        }
        let mut lines: Vec<String> = Vec::new();
        let only = |a: &Header, b: &Header, sign: &str| {
            let theirs: std::collections::BTreeSet<&String> = b.expanded.iter().collect();
            a.expanded
                .iter()
                .filter(|line| !theirs.contains(line))
                .map(|line| format!("  {sign} {line}"))
                .collect::<Vec<_>>()
        };
        lines.extend(only(before, self, "-"));
        lines.extend(only(self, before, "+"));
        let more = lines.len().saturating_sub(SHOWN);
        lines.truncate(SHOWN);
        if more > 0 {
            lines.push(format!("  ... and {more} more lines"));
        }
        if lines.is_empty() {
            lines.push("  the same lines in another order, or other columns".to_owned());
        }
        Err(JournalError::Changed(format!(
            "holds rows of something else (- then, + now):\n{}\n  finish that one with its own file, or give this one another --out",
            lines.join("\n")
        )))
    }
}

impl Row {
    /// The row's line.
    pub fn line(&self) -> String {
        let mut items = vec![Value::from(self.index)];
        items.extend(self.cells.iter().map(|cell| Value::from(cell.as_str())));
        checked(&Value::Array(items).to_string())
    }

    /// The row of a line, of so many cells.
    fn parse(json: &str, cells: usize, points: u64) -> Result<Self, &'static str> {
        let items: Vec<Value> = serde_json::from_str(json).map_err(|_| "no list")?;
        let (first, rest) = items.split_first().ok_or("an empty list")?;
        let index = first.as_u64().filter(|index| *index < points).ok_or("no index of this sweep")?;
        let cells = (rest.len() == cells).then_some(rest).ok_or("another number of cells")?;
        let text = |cell: &Value| cell.as_str().map(str::to_owned);
        let cells = cells.iter().map(text).collect::<Option<_>>().ok_or("a cell that is no text")?;
        Ok(Row { index, cells })
    }
}

/// Reads one row's line, as [`read`] found it.
pub fn row(line: &str, header: &Header) -> Option<Row> {
    Row::parse(content(line.trim_end_matches('\n')).ok()?, header.columns.len(), header.points).ok()
}

/// Reads a journal; `each` gets every row with the byte at which its line begins.
pub fn read(
    mut from: impl BufRead,
    mut each: impl FnMut(&Header, Row, u64),
) -> Result<Contents, JournalError> {
    let mut found = Contents { header: None, good_bytes: 0, broken_end: false };
    let mut number = 0;
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        number += 1;
        let length = io::Read::take(&mut from, LONGEST).read_until(b'\n', &mut bytes)? as u64;
        if length == 0 {
            return Ok(found);
        }
        let line = match (bytes.split_last(), &found.header) {
            (Some((b'\n', line)), _) => std::str::from_utf8(line).map_err(|_| "no text").and_then(content),
            _ => Err("no end of line"),
        };
        let taken = line.and_then(|json| match &found.header {
            None => serde_json::from_str::<Value>(json).map(Taken::Header).map_err(|_| "no header"),
            Some(header) => Row::parse(json, header.columns.len(), header.points).map(Taken::Row),
        });
        match taken {
            Ok(Taken::Header(value)) => {
                let format = value.get("format").and_then(Value::as_u64).unwrap_or(0);
                if format != u64::from(FORMAT) {
                    return Err(JournalError::Format(format as u32));
                }
                let header = serde_json::from_value(value);
                found.header =
                    Some(header.map_err(|_| JournalError::Broken { line: number, why: "no header" })?);
            }
            Ok(Taken::Row(row)) => {
                if let Some(header) = &found.header {
                    each(header, row, found.good_bytes);
                }
            }
            // Nothing after it: this is where a kill struck.
            Err(_) if from.fill_buf()?.is_empty() => {
                found.broken_end = true;
                return Ok(found);
            }
            Err(why) => return Err(JournalError::Broken { line: number, why }),
        }
        found.good_bytes += length;
    }
}

enum Taken {
    Header(Value),
    Row(Row),
}

fn checked(json: &str) -> String {
    format!("{:016x} {json}\n", checksum(json.as_bytes()))
}

/// The JSON of a line whose checksum holds.
fn content(line: &str) -> Result<&str, &'static str> {
    let (sum, json) = line.split_once(' ').ok_or("no checksum")?;
    let sum = u64::from_str_radix(sum, 16).map_err(|_| "no checksum")?;
    if sum == checksum(json.as_bytes()) { Ok(json) } else { Err("its checksum does not hold") }
}

/// FNV-1a, 64 bits.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_fnv_1a() {
        // Test vectors of the authors (isthe.com/chongo/tech/comp/fnv).
        assert_eq!(checksum(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(checksum(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(checksum(b"foobar"), 0x8594_4171_f739_67e8);
    }

    fn header() -> Header {
        Header {
            format: FORMAT,
            name: "n".into(),
            points: 4,
            axes: 1,
            columns: vec!["k".into(), "error".into()],
            hash: "0".into(),
            expanded: vec!["a = 1".into()],
            command: None,
        }
    }

    fn journal() -> Vec<String> {
        let row = |index| Row { index, cells: vec!["3".into(), "a \"b\",\nc".into()] };
        vec![header().line().unwrap_or_default(), row(2).line(), row(0).line()]
    }

    fn rows(text: &[u8]) -> Result<(Vec<u64>, Contents), JournalError> {
        let mut found = Vec::new();
        let contents = read(text, |_, row, _| found.push(row.index))?;
        Ok((found, contents))
    }

    #[test]
    fn what_is_written_is_read() -> Result<(), JournalError> {
        let text = journal().concat();
        let (found, contents) = rows(text.as_bytes())?;
        assert_eq!(found, [2, 0]);
        assert_eq!(contents.header, Some(header()));
        assert_eq!(contents.good_bytes, text.len() as u64);
        assert!(!contents.broken_end);
        Ok(())
    }

    #[test]
    fn a_kill_at_any_byte_leaves_whole_lines() -> Result<(), JournalError> {
        let text = journal().concat();
        for end in 0..text.len() {
            let (found, contents) = rows(&text.as_bytes()[..end])?;
            let whole = text[..end].matches('\n').count();
            assert_eq!(found.len(), whole.saturating_sub(1), "cut at {end}");
            assert_eq!(contents.good_bytes as usize, text[..end].rfind('\n').map_or(0, |at| at + 1));
            assert_eq!(contents.broken_end, !text[..end].is_empty() && !text[..end].ends_with('\n'));
        }
        Ok(())
    }

    #[test]
    fn a_broken_line_in_the_middle_is_told() {
        let mut lines = journal();
        lines[1] = lines[1].replace('3', "4");
        let error = rows(lines.concat().as_bytes()).map_or_else(|e| e.to_string(), |_| "read".into());
        assert!(error.starts_with("line 2 is broken (its checksum"), "{error}");
    }
}
