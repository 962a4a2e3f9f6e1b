//! The commands beside `run`: `catalog`, `schema`, `validate`; and readers that go away.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::QUICKSTART;
use crate::common::{rollcast, root, run};

#[test]
fn the_catalog_lists_every_kind() {
    let all = run(&["catalog"]).exits(0);
    for id in ["qwen3-8b", "eagle3-llama-3.1-8b", "h100-sxm", "ib-ndr400"] {
        assert!(all.out.contains(id), "no {id} in:\n{}", all.out);
    }
    // What is no model here has an entry, and the reason.
    for line in ["known by name and not modelled", "qwen3.5-9b", "nemotron-3-super", "sparse attention"] {
        assert!(all.out.contains(line), "no `{line}` in:\n{}", all.out);
    }
    let models = run(&["catalog", "models", "--format", "json"]).exits(0).json();
    let ids: BTreeSet<&str> =
        models.as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert!(ids.contains("llama-3.1-70b") && !ids.contains("h100-sxm"), "{ids:?}");
    let devices = run(&["catalog", "devices"]).exits(0);
    assert!(devices.out.contains("gb200") && !devices.out.contains("qwen"), "{}", devices.out);
    // Networks say whether anybody measured all-reduces over them.
    let networks = run(&["catalog", "networks"]).exits(0).out;
    let line = |id: &str| networks.lines().find(|line| line.contains(id)).unwrap_or_default();
    assert!(line("ib-ndr400").ends_with("35 %   50, 81"), "{networks}");
    assert!(line("ethernet-100").ends_with("50 %   by formula"), "{networks}");
    run(&["catalog", "planets"]).exits(2);
}

#[test]
fn the_schema_is_the_committed_one() {
    let schema = run(&["schema"]).exits(0);
    assert!(schema.out == fs::read_to_string(root().join("scenarios/schema.json")).unwrap());
    assert_eq!(schema.err, "");
}

#[test]
fn validate_scores_gates_worst_first() {
    run(&["validate", "tests/data/gates/passing.yaml"]).exits(0);
    let failing = run(&["validate", "tests/data/gates/failing.yaml"]).exits(3);
    assert!(failing.out.contains("FAILED") && failing.out.contains("0 of 1 gates passed"), "{}", failing.out);
    let both = run(&["validate", "tests/data/gates", "--format", "json", "--quiet"]).exits(3);
    let rows = both.json()["rows"].as_array().unwrap().clone();
    assert_eq!(rows.len(), 5, "of both scenarios of the directory");
    let errors: Vec<f64> = rows.iter().map(|row| row["error"].as_f64().unwrap().abs()).collect();
    assert!(errors.is_sorted_by(|a, b| a >= b), "{errors:?}");
    let passed = |name: &str, quantity: &str| {
        let mut of = rows
            .iter()
            .filter(|r| r["scenario"].as_str().unwrap().ends_with(name) && r["quantity"] == quantity);
        of.next().unwrap()["passed"].clone()
    };
    assert_eq!(passed("failing.yaml", "forecast.stages_s.reward"), false);
    assert_eq!(passed("passing.yaml", "forecast.stages_s.reward"), true);
    assert_eq!(passed("passing.yaml", "forecast.step_s"), Value::Null, "no gate, no verdict");
}

#[test]
fn validate_refuses_what_it_cannot_score() {
    let unknown = "tests/data/no_gates/unknown_quantity.yaml";
    let line = fs::read_to_string(root().join(unknown))
        .unwrap()
        .lines()
        .position(|l| l.contains("step_seconds"))
        .unwrap();
    let place = format!("{unknown}:{}:", line + 1);
    run(&["validate", unknown]).exits(2).says(&[&place, "expect[2].quantity", "forecast.step_seconds"]);
    run(&["validate", "tests/data/no_gates/nothing.yaml"]).exits(2).says(&["expect"]);
    run(&["validate"]).exits(2);
    // Beside one that has something to score, one that has nothing is skipped with a note.
    run(&["validate", "tests/data/no_gates/nothing.yaml", "tests/data/gates/passing.yaml"])
        .exits(0)
        .says(&["nothing.yaml", "skipped"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let program = rollcast().get_program().to_owned();
    for arguments in [&["catalog"][..], &["schema"], &["run", QUICKSTART, "--format", "json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(&program);
        let output = command.args(arguments).current_dir(root()).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
    let shell = format!("{} catalog | head -1", Path::new(&program).display());
    let output = Command::new("sh").args(["-c", &shell]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("models"));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
