//! What was found in a log, as keys of a scenario, and how it is written down to be pasted.
//!
//! Left out: keys that logs do not hold (model, devices, layouts). They come from the scenario that this is put into.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use super::steps::StepTime;
use crate::yaml::{self, Error};

/// One key of a scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Path of the key.
    pub path: &'static str,
    /// Its value, in a scenario's form.
    pub value: Value,
    /// Which part of the log it is from, and how it came about.
    pub from: String,
}

/// A value to hold the forecast against.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Expected {
    /// Path in result.json.
    pub quantity: String,
    /// What the log shows, in the quantity's own unit.
    pub value: f64,
    /// File and metric.
    pub source: String,
}

/// All that was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Found {
    /// What was read.
    pub read: String,
    /// Keys of a scenario.
    pub entries: Vec<Entry>,
    /// Values for `expect`.
    pub expect: Vec<Expected>,
    /// Whether the log is of a run with speculation.
    pub speculates: bool,
    /// Samples of an RL step.
    pub samples: Option<f64>,
    /// GPUs, where the log counts them.
    pub gpus: Option<f64>,
    /// Engine steps, which `rollcast cost step` prices.
    pub steps: Vec<StepTime>,
    /// What to know before using them.
    pub remarks: Vec<String>,
}

impl Found {
    /// Adds a key.
    pub fn entry(&mut self, path: &'static str, value: Value, from: impl Into<String>) {
        self.entries.push(Entry { path, value, from: from.into() });
    }

    /// Adds a value to compare with, to four digits.
    pub fn expect(&mut self, quantity: &'static str, value: Option<f64>, source: impl Into<String>) {
        if let Some(value) = value.filter(|value| *value >= 0.0) {
            self.expect.push(Expected {
                quantity: quantity.to_owned(),
                value: round(value, 4),
                source: source.into(),
            });
        }
    }

    /// Adds a remark.
    pub fn remark(&mut self, text: impl Into<String>) {
        self.remarks.push(text.into());
    }

    /// Whether there is nothing to put into a scenario.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.expect.is_empty()
    }

    /// What the log tells of the run and no key is about.
    fn sizes(&self) -> String {
        let samples =
            self.samples.map(|n| format!("# {n:.0} samples a step: prompts_per_step x samples_per_prompt\n"));
        let gpus = self.gpus.map(|n| format!("# {n:.0} GPUs\n"));
        let mut text = samples.unwrap_or_default() + &gpus.unwrap_or_default();
        for step in &self.steps {
            let _ = writeln!(text, "# engine step {step}");
        }
        text
    }

    /// A piece of YAML to paste into a scenario: sections with where each value is from beside it, remarks on top.
    pub fn fragment(&self) -> Result<String, Error> {
        let mut text = self.head() + &self.sizes();
        if !self.expect.is_empty() && !self.speculates {
            text += "# no speculation in the log: beside a drafter, `expect` is about `baseline.` and not `forecast.`\n";
        }
        let mut section = "";
        for entry in &self.entries {
            let value = yaml::flow(&node(&entry.value)?);
            let (top, rest) = entry.path.split_once('.').unwrap_or((entry.path, ""));
            if rest.is_empty() {
                let _ = writeln!(text, "# {}\n{top}: {value}", entry.from);
            } else {
                if top != section {
                    let _ = writeln!(text, "{top}:");
                }
                let _ = writeln!(text, "  # {}\n  {}: {value}", entry.from, rest);
            }
            section = top;
        }
        if !self.expect.is_empty() {
            text.push_str("expect:\n");
            for expected in &self.expect {
                let _ = writeln!(text, "  - {}", yaml::flow(&node(&json!(expected))?));
            }
        }
        Ok(text)
    }

    /// What was read and what to know of it, as comments.
    pub(super) fn head(&self) -> String {
        let mut text = format!("# {}\n", self.read);
        for remark in &self.remarks {
            let _ = writeln!(text, "# NOTE {remark}");
        }
        text
    }
}

/// A value as a tree: JSON is YAML.
pub(super) fn node(value: &Value) -> Result<yaml::Node, Error> {
    yaml::parse_flag("import", &value.to_string())
}

/// To so many significant digits.
pub(super) fn round(value: f64, digits: usize) -> f64 {
    let digits = digits.saturating_sub(1);
    format!("{value:.digits$e}").parse().unwrap_or(value)
}
