//! Which rows count: flagged rows and contradictions are left out, and counted by reason.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::Table;

/// Two rows of the same shape further apart than this contradict each other: runs of one kernel differ by 2-5 %.
const NOISE: f64 = 0.10;

/// Why a row does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Its source flags it.
    Flagged,
    /// Rows of the same shape differ by more than the noise.
    Contradicted,
    /// Repeats a row of the same shape, within the noise.
    Repeated,
    /// Faster than the device's peak allows.
    AbovePeak,
    /// Outside the ranges that are fitted.
    OutOfRange,
    /// Cache-hot where engines read from memory.
    CacheHot,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Flagged => "flagged by their source",
            Reason::Contradicted => "contradict a row of the same shape by more than 10 %",
            Reason::Repeated => "repeat a row of the same shape",
            Reason::AbovePeak => "faster than the device's peak",
            Reason::OutOfRange => "outside the fitted range",
            Reason::CacheHot => "cache-hot",
        })
    }
}

/// Rows that were left out, by reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Excluded(pub BTreeMap<Reason, usize>);

impl Excluded {
    /// Counts one row.
    pub fn count(&mut self, reason: Reason) {
        *self.0.entry(reason).or_default() += 1;
    }
}

/// Takes flagged, repeated and contradicting rows out of a table.
pub fn screen(table: &mut Table, excluded: &mut Excluded) {
    table.rows.retain(|row| {
        if row.flagged {
            excluded.count(Reason::Flagged);
        }
        !row.flagged
    });
    let mut kept: HashMap<(Vec<String>, Vec<u64>), usize> = HashMap::new();
    let mut drop = vec![None; table.rows.len()];
    for (i, row) in table.rows.iter().enumerate() {
        let key = (row.labels.clone(), row.axes.iter().map(|x| x.to_bits()).collect());
        let first = *kept.entry(key).or_insert(i);
        if first == i {
            continue;
        }
        let apart = libm::log(row.timing.median / table.rows[first].timing.median).abs();
        if apart > NOISE {
            drop[i] = Some(Reason::Contradicted);
            drop[first] = Some(Reason::Contradicted);
        } else {
            drop[i] = Some(Reason::Repeated);
        }
    }
    let mut reasons = drop.into_iter();
    table.rows.retain(|_| match reasons.next().flatten() {
        Some(reason) => {
            excluded.count(reason);
            false
        }
        None => true,
    });
}
