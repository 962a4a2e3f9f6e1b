//! An axis: the entries that it goes through, or the span that it is sampled from.
//!
//! Both ends of a span whole: so are its values (GPUs, draft tokens). `1.0` instead of `1` asks for reals.

use super::form::{LogRange, Range};
use super::text::flow;
use crate::yaml::{Key, Node, Place, Value};

/// Most entries of one axis.
pub(super) const MOST_ENTRIES: usize = 10_000;

/// Something that moves from point to point.
#[derive(Debug, Clone)]
pub struct Axis {
    /// Its columns: one, or one for each member of a zip.
    pub columns: Vec<String>,
    /// Its entries; empty where it can only be sampled.
    pub entries: Vec<Entry>,
    /// Where a sampled value comes from, if this is a range.
    pub(super) span: Option<Span>,
    /// Where it was written.
    pub(super) place: Place,
}

/// One value of an axis.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The value in each of the axis's columns.
    pub labels: Vec<String>,
    /// What it changes: a map of overrides.
    pub(super) overrides: Node,
}

/// A range of numbers at one key.
#[derive(Debug, Clone)]
pub(super) struct Span {
    from: f64,
    to: f64,
    log: bool,
    whole: bool,
    key: Key,
    place: Place,
}

impl Span {
    /// Of a range; the error is a sentence.
    pub(super) fn even(range: Range, whole: bool, key: Key, place: Place) -> Result<Self, String> {
        ends(range.from, range.to)?;
        Ok(Span { from: range.from, to: range.to, log: false, whole, key, place })
    }

    /// Of a log range; the error is a sentence.
    pub(super) fn log(range: LogRange, whole: bool, key: Key, place: Place) -> Result<Self, String> {
        ends(range.from, range.to)?;
        if range.from <= 0.0 {
            return Err(format!("found `from: {}`, expected above 0", range.from));
        }
        Ok(Span { from: range.from, to: range.to, log: true, whole, key, place })
    }

    /// Values of a stepped range.
    pub(super) fn stepped(&self, step: f64) -> Result<Vec<Entry>, String> {
        if !(step.is_finite() && step > 0.0) {
            return Err(format!("found `step: {step}`, expected above 0"));
        }
        // A hair more, so that 0.1 to 0.3 by 0.1 has three values.
        let count = ((self.to - self.from) / step + 1e-9).floor() + 1.0;
        if count > MOST_ENTRIES as f64 {
            return Err(format!("found {count:.0} values, expected at most {MOST_ENTRIES}"));
        }
        Ok((0..count as u64).map(|i| self.entry(decimal(self.from + i as f64 * step))).collect())
    }

    /// `points` values of a log range; whole ones that coincide count once.
    pub(super) fn spaced(&self, points: u64) -> Result<Vec<Entry>, String> {
        if !(2..=MOST_ENTRIES as u64).contains(&points) {
            return Err(format!("found `points: {points}`, expected 2 to {MOST_ENTRIES}"));
        }
        let mut entries: Vec<Entry> = (0..points).map(|i| self.at(i as f64 / (points - 1) as f64)).collect();
        entries.dedup_by(|a, b| a.labels == b.labels);
        Ok(entries)
    }

    /// The value at a share of the way, 0 to 1.
    pub(super) fn at(&self, share: f64) -> Entry {
        let value = if self.log {
            self.from * libm::exp(share * libm::log(self.to / self.from))
        } else {
            self.from + share * (self.to - self.from)
        };
        self.entry(significant(value.clamp(self.from, self.to)))
    }

    /// The value of stratum and jitter: whole numbers get equal shares of the way.
    pub(super) fn sampled(&self, share: f64) -> Entry {
        if self.whole && !self.log {
            let value = self.from + (share * (self.to - self.from + 1.0)).floor();
            return self.entry(value.min(self.to));
        }
        self.at(share)
    }

    fn entry(&self, value: f64) -> Entry {
        let value = if self.whole {
            let whole = value.round();
            if whole < 0.0 { Value::Int(whole as i64) } else { Value::UInt(whole as u64) }
        } else {
            Value::Float(value)
        };
        Entry::of(&self.key, Node { value, place: self.place.clone() })
    }
}

impl Axis {
    /// The keys that its entries set, or a sampled value.
    pub(super) fn keys(&self) -> Vec<String> {
        let sampled = self.span.as_ref().map(|span| span.sampled(0.0));
        let entries = self.entries.iter().chain(sampled.as_ref());
        let maps = entries.flat_map(|entry| entry.overrides.entries().unwrap_or_default());
        maps.map(|(key, _)| key.name.clone()).collect()
    }
}

impl Entry {
    /// One key with one value.
    pub(super) fn of(key: &Key, value: Node) -> Self {
        let labels = vec![flow(&value)];
        let overrides = Node { place: key.place.clone(), value: Value::Map(vec![(key.clone(), value)]) };
        Entry { labels, overrides }
    }

    /// Several entries as one.
    pub(super) fn joined(parts: &[&Entry]) -> Option<Self> {
        let place = parts.first()?.overrides.place.clone();
        let all =
            parts.iter().flat_map(|part| part.overrides.entries().unwrap_or_default().to_vec()).collect();
        let labels = parts.iter().flat_map(|part| part.labels.clone()).collect();
        Some(Entry { labels, overrides: Node { place, value: Value::Map(all) } })
    }
}

fn ends(from: f64, to: f64) -> Result<(), String> {
    if from.is_finite() && to.is_finite() && from.abs() < 1e15 && to.abs() < 1e15 && from < to {
        return Ok(());
    }
    Err(format!("found {from} to {to}, expected two numbers, the first one smaller"))
}

/// Twelve significant digits: sums of steps as a person would write them.
fn decimal(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}

/// Six significant digits.
fn significant(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: f64, to: f64, log: bool, whole: bool) -> Span {
        let place = Place::flag("test");
        Span { from, to, log, whole, key: Key { name: "a.b".into(), place: place.clone() }, place }
    }

    fn labels(entries: Result<Vec<Entry>, String>) -> Vec<String> {
        entries.unwrap_or_default().into_iter().flat_map(|entry| entry.labels).collect()
    }

    #[test]
    fn ranges_hold_both_ends_in_plain_decimals() {
        assert_eq!(labels(span(0.1, 0.3, false, false).stepped(0.1)), ["0.1", "0.2", "0.3"]);
        assert_eq!(labels(span(1.0, 6.0, false, true).stepped(2.0)), ["1", "3", "5"]);
        assert_eq!(labels(span(16.0, 4096.0, true, true).spaced(5)), ["16", "64", "256", "1024", "4096"]);
        assert_eq!(labels(span(1.0, 4.0, true, true).spaced(9)), ["1", "2", "3", "4"], "no value twice");
        assert_eq!(labels(span(0.01, 1.0, true, false).spaced(3)), ["0.01", "0.1", "1.0"]);
        assert!(span(0.0, 1.0, false, false).stepped(0.0).is_err());
        assert!(span(0.0, 1.0, false, false).stepped(1e-9).is_err());
        assert!(span(1.0, 2.0, true, false).spaced(1).is_err());
    }

    #[test]
    fn whole_samples_have_equal_shares() {
        let span = span(1.0, 4.0, false, true);
        let at = |share: f64| span.sampled(share).labels.concat();
        assert_eq!([at(0.0), at(0.26), at(0.51), at(0.76), at(1.0)], ["1", "2", "3", "4", "4"]);
    }
}
