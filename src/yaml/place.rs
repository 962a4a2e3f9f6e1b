//! Where a key or value was written: a file with line and column, or a flag of the command line.

use std::fmt;
use std::sync::Arc;

/// Longest excerpt of a source line, in characters.
const EXCERPT: usize = 100;

/// What a text was read from.
#[derive(Debug, PartialEq)]
struct Source {
    /// File name as the user gave it, or the flag.
    name: String,
    /// The file's text; none for a flag.
    text: Option<String>,
}

/// Where a key or value was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    source: Arc<Source>,
    line: usize,
    column: usize,
}

impl Place {
    /// The whole of a file; its places inside come from [`Place::inside`].
    pub fn file(name: &str, text: &str) -> Self {
        let source = Source { name: name.to_owned(), text: Some(text.to_owned()) };
        Self { source: Arc::new(source), line: 0, column: 0 }
    }

    /// A flag such as `--set seed`, or anything else without lines.
    pub fn flag(name: &str) -> Self {
        Self { source: Arc::new(Source { name: name.to_owned(), text: None }), line: 0, column: 0 }
    }

    /// A line and column (from 1) of the same file; the flag itself for a flag.
    #[must_use]
    pub fn inside(&self, line: usize, column: usize) -> Self {
        if self.source.text.is_none() {
            return self.clone();
        }
        Self { source: Arc::clone(&self.source), line, column }
    }

    /// The file name as given, or the flag.
    pub fn origin(&self) -> &str {
        &self.source.name
    }

    /// Line and column, from 1; none for a flag or a whole file.
    pub fn line_column(&self) -> Option<(usize, usize)> {
        (self.line > 0).then_some((self.line, self.column))
    }

    /// The source line with a caret below the column, indented; none without a line.
    pub(super) fn excerpt(&self) -> Option<String> {
        let (number, column) = self.line_column()?;
        let line = self.source.text.as_deref()?.lines().nth(number - 1)?;
        // Control characters could move the caret, or drive the terminal.
        let line: Vec<char> = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let caret = column.saturating_sub(1).min(line.len());
        let start = if line.len() > EXCERPT { caret.saturating_sub(EXCERPT / 2) } else { 0 };
        let end = line.len().min(start + EXCERPT);
        let before = if start > 0 { "…" } else { "" };
        let after = if end < line.len() { "…" } else { "" };
        let text: String = line[start..end].iter().collect();
        let margin = " ".repeat(number.to_string().len());
        let indent = " ".repeat(caret - start + before.chars().count());
        Some(format!("  {number} | {before}{}{after}\n  {margin} | {indent}^", text.trim_end()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source.name)?;
        match self.line_column() {
            Some((line, column)) => write!(f, ":{line}:{column}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_points_at_the_column() {
        let place = Place::file("a.yaml", "a: 1\n  bc: 2\n").inside(2, 3);
        assert_eq!(place.excerpt().as_deref(), Some("  2 |   bc: 2\n    |   ^"));
        assert_eq!(place.to_string(), "a.yaml:2:3");
    }

    #[test]
    fn a_long_line_is_clipped_around_the_column() {
        let text = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let excerpt = Place::file("a", &text).inside(1, 501).excerpt().unwrap_or_default();
        let lines: Vec<Vec<char>> = excerpt.lines().map(|l| l.chars().collect()).collect();
        assert!(lines[0].len() < 120, "{excerpt}");
        let caret = lines[1].iter().position(|c| *c == '^').unwrap_or_default();
        assert_eq!(lines[0][caret], 'X');
    }

    #[test]
    fn places_beyond_the_text_do_no_harm() {
        let file = Place::file("a", "x");
        assert_eq!(file.inside(9, 9).excerpt(), None);
        assert_eq!(file.inside(1, 99).excerpt().as_deref(), Some("  1 | x\n    |  ^"));
        assert_eq!(Place::flag("--set a").inside(1, 1).to_string(), "--set a");
    }
}
