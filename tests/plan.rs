//! `rollcast plan`: that what is left out is rightly left out, that the answer is what a run of it gives, and that known
//! stories come out.

#![cfg(feature = "simulator")]
#![expect(clippy::print_stdout, reason = "figures beside published ones are the point")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "plan/answer.rs"]
mod answer;
mod common;
#[path = "plan/mistakes.rs"]
mod mistakes;
#[path = "plan/search.rs"]
mod search;
#[path = "plan/stories.rs"]
mod stories;

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs;
use std::path::Path;

use common::{Run, rollcast, small};
use rollcast::rollout::Stepper;
use rollcast::scenario::Document;
use rollcast::study::plan::{self, Found, Options, PlanResult, SearchError, Space};

/// The small scenario with a plan over 198 candidates, some of which cannot be.
const PLAN: &str = "\
plan:
  minimise: usd_per_step
  over:
    gpus: [8, 16, 24, 32]
    loop: [sync, one-step-off]
    generation_share: [0.25, 0.5, 0.75]
    generation: { tp: [1, 2, 4], max_num_seqs: [8, 128] }
    draft_tokens: [2, 4]
";

fn with_plan(plan: &str) -> String {
    small(&[("weight_sync: { seconds: 2 }", "weight_sync: { seconds: 2 }")])
        .replace("rl_steps: 2\n", "rl_steps: 3\nwarmup_steps: 1\n")
        + plan
}

/// Plans in this process.
fn planned(text: &str, exhaustive: bool) -> Result<(Space, Found, PlanResult), String> {
    let document = Document::parse("test.yaml", text).map_err(|error| error.to_string())?;
    let space = Space::of(&document).map_err(|error| error.to_string())?;
    let goal = plan::goal(&document).map_err(|error| error.to_string())?;
    let options = Options { stepper: Stepper::Leap, exhaustive };
    let found = plan::search::<Infallible>(&space, &goal, options, &HashMap::new(), |_| Ok(()));
    let found = found.map_err(|error| match error {
        SearchError::Input(error) => error.to_string(),
        SearchError::Keep(_) => unreachable!(),
    })?;
    let result = plan::answer(&space, &goal, options, &found);
    Ok((space, found, result))
}

fn must(text: &str, exhaustive: bool) -> (Space, Found, PlanResult) {
    planned(text, exhaustive).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs `rollcast plan` on a text in a directory of its own.
fn command(text: &str, more: &[&str]) -> (tempfile::TempDir, Run) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.yaml"), text).unwrap();
    let run = again(folder.path(), more);
    (folder, run)
}

fn again(folder: &Path, more: &[&str]) -> Run {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let more = more.iter().map(|word| word.strip_prefix('@').map_or_else(|| (*word).to_owned(), path));
    Run::of(rollcast().arg("plan").arg(path("p.yaml")).args(more).arg("--quiet"))
}
