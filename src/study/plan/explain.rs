//! What became of given candidates: `gpus=64,tp=4` picks all whose columns say so.

use super::search::Found;
use super::space::Space;
use crate::yaml::nearest_hint;

/// Values that candidates must have, by column.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    wanted: Vec<(usize, String)>,
}

impl Question {
    /// Reads `KEY=VALUE,...`; the error is a sentence with what is valid.
    pub fn parse(space: &Space, text: &str) -> Result<Self, String> {
        let columns = space.columns();
        let mut wanted = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let Some((key, value)) = part.split_once('=') else {
                return Err(format!("found `{part}`, expected KEY=VALUE,…"));
            };
            let (key, value) = (key.trim(), value.trim());
            let Some(at) = columns.iter().position(|column| column == key) else {
                let names: Vec<&str> = columns.iter().map(String::as_str).collect();
                return Err(format!("no choice is called `{key}`; {}", nearest_hint(key, &names)));
            };
            let has = |candidate: usize| space.labels(candidate)[at] == value;
            if !(0..space.len()).any(has) {
                let known = space.values().into_iter().find(|(column, _)| column == key);
                let known =
                    known.map_or_else(|| space.labels(0)[at].clone(), |(_, values)| values.join(", "));
                return Err(format!("no candidate has {key} {value}; there are: {known}"));
            }
            wanted.push((at, value.to_owned()));
        }
        if wanted.is_empty() {
            return Err(format!("found nothing, expected KEY=VALUE,… of {}", columns.join(", ")));
        }
        Ok(Question { wanted })
    }

    /// Candidates that are meant.
    pub fn candidates(&self, space: &Space) -> Vec<usize> {
        let has = |candidate: &usize| {
            let labels = space.labels(*candidate);
            self.wanted.iter().all(|(at, value)| labels[*at] == *value)
        };
        (0..space.len()).filter(has).collect()
    }

    /// What became of each, in a sentence: its number, what it is, its fate.
    pub fn answer(&self, space: &Space, found: &Found) -> Vec<(usize, String, String)> {
        let fate =
            |candidate: usize| found.fates.get(candidate).map_or_else(String::new, |fate| fate.text(space));
        self.candidates(space).into_iter().map(|c| (c, space.title(c), fate(c))).collect()
    }
}
