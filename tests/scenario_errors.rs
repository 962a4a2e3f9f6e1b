//! What a user sees of a scenario that is wrong: place, path, what was found, what was expected, a hint. And what must
//! be accepted: every spelling the documentation shows.
//!
//! Cases are a good scenario with one line changed, or a whole file of `tests/data/bad`. A case names the place, the
//! path and words of the message; the rest of the text may be reworded freely.

#![cfg(feature = "simulator")]

#[path = "scenario_errors/accepted.rs"]
mod accepted;
#[path = "scenario_errors/files.rs"]
mod files;
#[path = "scenario_errors/keys.rs"]
mod keys;
#[path = "scenario_errors/overrides.rs"]
mod overrides;
#[path = "scenario_errors/values.rs"]
mod values;

use std::path::Path;

use rollcast::scenario::{Document, Error, Scenario, schema_text};

/// A good scenario, as in ARCHITECTURE.md.
const GOOD: &str = "\
version: 1
name: Qwen3-8B GRPO, synchronous, 32 x H100
model: qwen3-8b # or a path
cluster: { device: h100-sxm, gpus: 32, gpus_per_node: 8, network: ib-ndr400, usd_per_gpu_hour: 2.5 }
workload:
  prompts_per_step: 64
  samples_per_prompt: 32
  prompt_tokens: { constant: { tokens: 130 } }
  response_tokens: { lognormal: { mean: 4000, sigma: 0.9, max: 16384 } }
generation:
  engine: vllm
  layout: { tp: 1 }
  max_num_seqs: 256
speculation:
  drafter: { id: eagle3-qwen3-8b, tp: 1, weights: bf16 }
  acceptance: { power_law: { first: 0.776, decay: 0.074, concentration: 12 } }
  schedule: { fixed: { k: 3 } }
training: { layout: { tp: 2 }, precision: bf16, global_batch_size: 512, reference_logprobs: true }
reward: { rule: { seconds: 2 } }
loop: { mode: sync, colocated: true,
  weight_sync: colocated-ipc, data_seconds: { value: 1, se: 0.2 } }
rl_steps: 10
seed: 1
uncertainty: { workload_draws: 8, worlds: 64 }
baseline: { speculation: off }
expect:
  - { quantity: forecast.step_s, value: 152, source: page 1 }
  - { quantity: forecast.stages_s.training, value: 60, source: page 2, gate: 0.25 }
";

fn scenario(text: &str) -> Result<Scenario, Error> {
    let document = Document::parse("s.yaml", text)?;
    let scenario = document.scenario()?;
    document.baseline()?.scenario()?;
    Ok(scenario)
}

/// The good scenario with one text in it replaced.
fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "the good scenario has no `{from}`");
    GOOD.replacen(from, to, 1)
}

/// What is amiss unless `result` is an error at `place` on `path` with all of `words` in its text.
fn amiss<T>(result: Result<T, Error>, place: &str, path: &str, words: &str) -> Option<String> {
    let Err(error) = result else {
        return Some(format!("accepted, expected an error at {place} on `{path}` with `{words}`"));
    };
    let text = error.to_string();
    let found = error.place().map(ToString::to_string).unwrap_or_default();
    let right = found == place
        && error.path().to_string() == path
        && words.split(" | ").all(|word| text.contains(word))
        && !text.contains('\u{1b}')
        && text.lines().count() <= 5;
    (!right)
        .then(|| format!("expected {place} on `{path}` with `{words}`, found on `{}`:\n{text}", error.path()))
}

fn expect<T>(result: Result<T, Error>, place: &str, path: &str, words: &str) {
    let wrong = amiss(result, place, path, words);
    assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
}

/// Runs cases of two lines each: a change of the good scenario, `TEXT => BY`, and below it what must be said,
/// `LINE:COLUMN PATH: WORDS | WORDS`.
fn run(cases: &str) {
    let lines: Vec<&str> = cases.lines().filter(|line| !line.is_empty()).collect();
    let mut wrong = Vec::new();
    for case in lines.chunks(2) {
        let [change, said] = case else { panic!("a case without its second line: {case:?}") };
        let change = change.split_once(" => ");
        let said = said.trim().split_once(": ").and_then(|(at, words)| Some((at.split_once(' ')?, words)));
        let (Some((from, to)), Some(((place, path), words))) = (change, said) else {
            panic!("not a case: {case:?}")
        };
        let to = if to == "(nothing)" { "" } else { to };
        let path = if path == "(top)" { "" } else { path };
        let result = scenario(&changed(from, &to.replace("\\n", "\n")));
        wrong.extend(
            amiss(result, &format!("s.yaml:{place}"), path, words)
                .map(|why| format!("{from} => {to}\n{why}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn errors_of_higher_layers_point_at_the_nearest_written_key() -> Result<(), Error> {
    let document = Document::parse("dir/s.yaml", GOOD)?;
    assert_eq!(document.directory(), Path::new("dir"));
    for (path, place) in [
        ("cluster.gpus", "dir/s.yaml:4:36"),
        ("generation.layout", "dir/s.yaml:12:3"),
        ("generation.max_model_len", "dir/s.yaml:10:1"),
        ("expect[1].value", "dir/s.yaml:28:52"),
        ("tail.cut", "dir/s.yaml:1:1"),
        ("not..a[path", "dir/s.yaml:1:1"),
    ] {
        let error = document.error_at(path, "does not fit", Some("take more GPUs".to_owned()));
        assert_eq!(error.place().map(ToString::to_string).as_deref(), Some(place), "{path}");
        assert!(
            error.to_string().contains("does not fit") && error.to_string().ends_with("\n  take more GPUs")
        );
    }
    Ok(())
}

#[test]
fn the_committed_schema_is_the_programs_own() {
    let committed = include_str!("../scenarios/schema.json");
    assert!(committed == schema_text(), "run: rollcast schema > scenarios/schema.json");
}
