//! Whether kernels compute what they should, on whatever runs them: a GPU, or the host in tests.
//!
//! Against f64 references on the same rounded inputs, fresh numbers a seed, outputs poisoned before; against themselves
//! (`attention::relations`); and in law (`laws`), with planted bugs that must be found.

mod attention;
mod fill;
mod inputs;
mod laws;
mod products;
mod rows;
mod tokens;

pub use laws::BUGS;

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::launch::{LaunchError, Launcher};

/// One check.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// The error found, in the check's own measure.
    pub error: f64,
    /// The largest that passes.
    pub bound: f64,
    /// Whether it passed.
    pub passed: bool,
    /// More, for people.
    pub note: String,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.passed { "passed" } else { "FAILED" };
        let note = if self.note.is_empty() { String::new() } else { format!(" ({})", self.note) };
        write!(f, "{word}: {}: {:.3e}, at most {:.1e}{note}", self.name, self.error, self.bound)
    }
}

/// A check by its error; NaN fails.
fn check(name: String, error: f64, bound: f64) -> Check {
    Check { name, error, bound, passed: error <= bound, note: String::new() }
}

/// How large the checks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Sizes that a host can run thread by thread.
    Small,
    /// Those and sizes of serving.
    Full,
}

impl Effort {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Effort::Small => "small",
            Effort::Full => "full",
        }
    }
}

type Runner = fn(&mut dyn Launcher, u64, Effort) -> Result<Vec<Check>, LaunchError>;

/// All checks, cheapest first.
const CHECKS: [(&str, Runner); 9] = [
    ("random contents", fill::reference),
    ("kernels over tokens", tokens::reference),
    ("kernels over rows", rows::reference),
    ("verification by replay", rows::replay),
    ("attention", attention::reference),
    ("attention against itself", attention::relations),
    ("products", products::reference),
    ("laws", laws::preserved),
    ("planted bugs", laws::bugs),
];

/// Runs all checks that the time allows. An error of a launch fails its check, and so does want of time: nothing passes
/// unseen.
pub fn run(
    launcher: &mut dyn Launcher,
    seed: u64,
    effort: Effort,
    limit: Duration,
    log: &mut dyn FnMut(&Check),
) -> Vec<Check> {
    let begun = Instant::now();
    let mut all = Vec::new();
    for (name, runner) in CHECKS {
        let failed = |note: String| Check { note, ..check(name.to_owned(), f64::NAN, 0.0) };
        let found = if begun.elapsed() > limit {
            vec![failed("no time for it".to_owned())]
        } else {
            runner(launcher, seed, effort).unwrap_or_else(|error| vec![failed(error.to_string())])
        };
        found.iter().for_each(&mut *log);
        all.extend(found);
    }
    all
}

/// For `correctness.json`.
pub fn json(checks: &[Check]) -> Value {
    let list: Vec<Value> = checks
        .iter()
        .map(|c| json!({ "check": c.name, "error": c.error, "bound": c.bound, "passed": c.passed, "note": c.note }))
        .collect();
    json!({ "all_passed": !checks.is_empty() && checks.iter().all(|c| c.passed), "checks": list })
}
