//! One error type for everything that can be wrong with a YAML text: where, which key, what was found, what was
//! expected, and a hint.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::node::{float, quoted};
use super::{Path, Place, Step, nearest};

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Error(Box<Report>);

#[derive(Debug, Clone, PartialEq)]
struct Report {
    message: String,
    hint: Option<String>,
    path: Path,
    place: Option<Place>,
}

impl Error {
    /// An error that has no place yet.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Report { message: message.into(), hint: None, path: Path::default(), place: None }))
    }

    /// With its place.
    #[must_use]
    pub fn at(mut self, place: &Place) -> Self {
        self.0.place = Some(place.clone());
        self
    }

    /// With the path of the key.
    #[must_use]
    pub fn on(mut self, path: Path) -> Self {
        self.0.path = path;
        self
    }

    /// With a hint on how to mend it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// What is wrong: what was found, and what was expected.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// How to mend it.
    pub fn advice(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The path of the key; empty for the whole text.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Where it was written.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// With this place, unless a place nearer to the mistake is known.
    pub(super) fn or_at(mut self, place: &Place) -> Self {
        self.0.place.get_or_insert_with(|| place.clone());
        self
    }

    /// Seen from one level further out.
    pub(super) fn under(mut self, step: Step) -> Self {
        self.0.path.prepend(step);
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.to_string();
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        // A flag that ends with the path has said it already.
        let said = self.place.as_ref().is_some_and(|place| place.origin().ends_with(&format!(" {path}")));
        if !path.is_empty() && !said {
            write!(f, "{path}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(excerpt) = self.place.as_ref().and_then(Place::excerpt) {
            write!(f, "\n{excerpt}")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  {hint}"),
            None => Ok(()),
        }
    }
}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expectation(expected);
        let error = Self::new(format!("found {}, expected {expected}", finding(found)));
        match found {
            Unexpected::Float(value)
                if expected.contains("whole number") && value.fract() == 0.0 && value.abs() < 1e15 =>
            {
                error.hint(format!("write it without a decimal point: `{value:.0}`"))
            }
            Unexpected::Str(text) if expected.contains("number") && text.trim().parse::<f64>().is_ok() => {
                error.hint("write it without quotes")
            }
            _ => error,
        }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("found {}, expected {}", finding(found), expectation(expected)))
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::new(format!("found {length} items, expected {}", expectation(expected)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("unknown choice {}", quoted(variant).trim_start_matches("the text ")))
            .hint(nearest::hint(variant, expected))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new("unknown key").hint(nearest::hint(field, expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("missing key `{field}`"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("the key `{field}` is given twice"))
    }
}

/// What was found, in the words of a YAML file.
fn finding(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Float(value) => float(value),
        Unexpected::Str(text) => quoted(text),
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("`{value}`"),
        Unexpected::Signed(value) => format!("`{value}`"),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}

/// What was expected; the names of Rust's own types are put into words.
fn expectation(expected: &dyn Expected) -> String {
    let expected = expected.to_string();
    match expected.as_str() {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "text".to_owned(),
        "a sequence" => "a list".to_owned(),
        _ => expected,
    }
}
