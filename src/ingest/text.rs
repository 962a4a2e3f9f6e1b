//! Files of logs, line by line, without colours.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::IngestError;

/// Calls `each` with every line of a file and its number, from 1. Bytes that are no UTF-8 become replacement characters: a log
/// holds what programs print.
pub(super) fn lines(path: &Path, mut each: impl FnMut(u64, &str)) -> Result<(), IngestError> {
    let failed = |message: String| IngestError::File { file: path.display().to_string(), message };
    let file = File::open(path).map_err(|error| failed(format!("cannot be read: {error}")))?;
    if file.metadata().is_ok_and(|data| data.is_dir()) {
        return Err(failed("is a directory, expected a log file".to_owned()));
    }
    let mut reader = BufReader::new(file);
    let mut bytes = Vec::new();
    let mut number = 0;
    loop {
        bytes.clear();
        let read = reader
            .read_until(b'\n', &mut bytes)
            .map_err(|error| failed(format!("cannot be read: {error}")))?;
        if read == 0 {
            return Ok(());
        }
        number += 1;
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_start_matches('\u{feff}').trim_end();
        if line.contains('\u{1b}') { each(number, &plain(line)) } else { each(number, line) }
    }
}

/// Text without terminal colours: escape, bracket, numbers, a letter.
fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            for c in chars.by_ref() {
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// The number that a text starts with, as programs print one: `0.25`, `1e-3`, `np.float64(0.25)`, `tensor(0.25)`; `nan` and
/// what is no number are `None`.
pub(super) fn number(text: &str) -> Option<f64> {
    let text = text.trim_start();
    let inner = match text.find('(') {
        Some(at) if text[..at].chars().all(|c| c.is_alphanumeric() || "._".contains(c)) && at > 0 => {
            &text[at + 1..]
        }
        _ => text,
    };
    let end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(inner.len());
    inner[..end].parse().ok().filter(|x: &f64| x.is_finite())
}

/// The number behind the first `name` in a line that is not the end of a longer word.
pub(super) fn after(line: &str, name: &str) -> Option<f64> {
    let whole = |at: &usize| line[..*at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
    let at = line.match_indices(name).map(|found| found.0).find(whole)?;
    number(&line[at + name.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_programs_print_them() {
        for (text, value) in [
            ("0.25", Some(0.25)),
            (" -1e-3, next", Some(-1e-3)),
            ("np.float64(0.5)", Some(0.5)),
            ("tensor(7.)", Some(7.0)),
            ("57.1%", Some(57.1)),
            ("nan", None),
            ("inf", None),
            ("None", None),
            ("", None),
        ] {
            assert_eq!(number(text), value, "{text}");
        }
        assert_eq!(after("INFO Avg accept len: 2.5, accept rate: 0.4", "accept rate:"), Some(0.4));
        assert_eq!(after("global_step:11 - step:12", "step:"), Some(12.0), "`_step:` is another word");
    }

    #[test]
    fn colours_go() {
        assert_eq!(plain("\u{1b}[36m(TaskRunner pid=1)\u{1b}[0m step:1"), "(TaskRunner pid=1) step:1");
    }
}
