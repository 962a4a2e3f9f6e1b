//! The path of a key, written `workload.response_tokens.lognormal.mean`; of a list's item, `expect[2].gate`.

use std::fmt;

/// Deepest path: far beyond any scenario, far below what recursion over a tree bears.
const DEEPEST: usize = 32;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A key of a map.
    Key(String),
    /// An item of a list, from 0.
    Index(usize),
}

/// The path of a key or value from the root of a tree; empty for the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path(Vec<Step>);

impl Path {
    /// Reads a path; the error is a sentence on what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        for segment in text.split('.') {
            let (name, mut rest) = segment.split_at(segment.find('[').unwrap_or(segment.len()));
            if name.trim().is_empty() {
                return Err(format!("`{text}` is not the path of a key: one of its keys is empty"));
            }
            steps.push(Step::Key(name.trim().to_owned()));
            while !rest.is_empty() {
                let index = rest.strip_prefix('[').and_then(|inner| inner.split_once(']'));
                let Some((digits, after)) = index else {
                    return Err(format!("`{text}` is not the path of a key: a list's item is written `[0]`"));
                };
                let Ok(index) = digits.parse() else {
                    return Err(format!(
                        "`{text}` is not the path of a key: `{digits}` is no index of a list"
                    ));
                };
                steps.push(Step::Index(index));
                rest = after;
            }
        }
        if steps.len() > DEEPEST {
            return Err(format!("a path has at most {DEEPEST} steps, not {}", steps.len()));
        }
        Ok(Self(steps))
    }

    /// The steps from the root.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// This path with one more step.
    #[must_use]
    pub fn join(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// This path followed by another.
    #[must_use]
    pub fn followed_by(&self, other: &Self) -> Self {
        Self([self.0.as_slice(), other.steps()].concat())
    }

    /// The first `length` steps.
    #[must_use]
    pub fn first(&self, length: usize) -> Self {
        Self(self.0.iter().take(length).cloned().collect())
    }

    /// Puts a step before all others: a path is known from its end while an error rises.
    pub(super) fn prepend(&mut self, step: Step) {
        self.0.insert(0, step);
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(name) if position == 0 => f.write_str(name)?,
                Step::Key(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_printed_as_they_are_read() {
        for text in ["seed", "a.b.c", "expect[2].gate", "a[0][1].b"] {
            assert_eq!(Path::parse(text).map(|path| path.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn malformed_paths_are_refused() {
        for text in
            ["", ".", "a.", ".a", "a..b", "[0]", "a[", "a[x]", "a[0]b", "a[-1]", "a[99999999999999999999]"]
        {
            assert!(Path::parse(text).is_err(), "{text}");
        }
        assert!(Path::parse(&"a.".repeat(100_000)).is_err());
        assert!(Path::parse(&format!("a{}", "[0]".repeat(100))).is_err());
    }
}
