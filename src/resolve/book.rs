//! The book of assumptions: each default that is taken goes through here and leaves a line.

use std::fmt::Display;

use super::ResolveError;
use crate::catalog::CatalogError;
use crate::resolved::{Assumption, Quantity, Source, Uncertainty};
use crate::scenario::Document;
use crate::scenario::raw::{self, Count, Uncertain};

/// Writes down what nobody said.
pub(super) struct Book<'a> {
    document: &'a Document,
    assumptions: Vec<Assumption>,
    without_effect: Vec<String>,
}

impl<'a> Book<'a> {
    pub(super) fn new(document: &'a Document) -> Self {
        Book { document, assumptions: Vec::new(), without_effect: Vec::new() }
    }

    pub(super) fn document(&self) -> &'a Document {
        self.document
    }

    /// The assumptions, and the keys without effect.
    pub(super) fn close(self) -> (Vec<Assumption>, Vec<String>) {
        (self.assumptions, self.without_effect)
    }

    /// Notes that a key was given that changes nothing here. A mistake would be refused: such a key is right in the next
    /// scenario of a sweep, or with another model.
    pub(super) fn without_effect(&mut self, path: &str, why: &str) {
        self.without_effect.push(format!("{path} has no effect: {why}"));
    }

    /// Notes that `value` was taken.
    pub(super) fn note(&mut self, path: &str, value: impl Display, source: Source, why: &str) {
        self.assumptions.push(Assumption {
            path: path.to_owned(),
            value: value.to_string(),
            source,
            why: why.to_owned(),
        });
    }

    /// The given value, or a default that is noted.
    pub(super) fn or<T: Display>(&mut self, path: &str, given: Option<T>, default: T, why: &str) -> T {
        self.or_from(path, given, default, Source::Default, why)
    }

    /// The same with another source than `Default`.
    pub(super) fn or_from<T: Display>(
        &mut self,
        path: &str,
        given: Option<T>,
        default: T,
        source: Source,
        why: &str,
    ) -> T {
        given.unwrap_or_else(|| {
            self.note(path, &default, source, why);
            default
        })
    }

    /// A count, or its default.
    pub(super) fn count(&mut self, path: &str, given: Option<Count>, default: u32, why: &str) -> u32 {
        self.or(path, given.map(|n| n.get() as u32), default, why)
    }

    /// An uncertain number, or a default with its spread.
    pub(super) fn quantity(
        &mut self,
        path: &str,
        given: Option<Uncertain>,
        default: (f64, f64),
        why: &str,
    ) -> Quantity {
        if let Some(number) = given {
            return Quantity { value: number.value, se: number.se, source: Source::Given };
        }
        let (value, se) = default;
        self.note(path, format!("{value:.3} ± {se:.3}"), Source::Default, why);
        Quantity { value, se, source: Source::Default }
    }

    pub(super) fn uncertainty(&mut self, given: Option<&raw::Uncertainty>) -> Uncertainty {
        let draws = given.and_then(|u| u.workload_draws);
        let worlds = given.and_then(|u| u.worlds);
        Uncertainty {
            workload_draws: self.count("uncertainty.workload_draws", draws, 6, "independent workloads"),
            worlds: self.count("uncertainty.worlds", worlds, 64, "calibration worlds per workload"),
        }
    }

    pub(super) fn seed(&mut self, given: Option<u64>) -> u64 {
        self.or("seed", given, 1, "any seed")
    }

    /// A value that must be there. The scenario's own checks ask for all of these; this is the last line.
    pub(super) fn required<'v, T>(&self, path: &str, value: Option<&'v T>) -> Result<&'v T, ResolveError> {
        value.ok_or_else(|| self.error(path, "required and not given", None))
    }

    /// An error at a key.
    pub(super) fn error(&self, path: &str, message: impl Into<String>, hint: Option<String>) -> ResolveError {
        ResolveError::Input(self.document.error_at(path, message, hint))
    }

    /// A failed look-up at a key.
    pub(super) fn lookup(&self, path: &str, error: &CatalogError) -> ResolveError {
        self.error(path, error.to_string(), None)
    }
}
