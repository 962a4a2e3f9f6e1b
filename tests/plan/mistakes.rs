//! Plans that are wrongly written, told with their place; those of the project are not.

use std::fs;

use rollcast::scenario::Document;
use rollcast::study::plan::Space;

use crate::command;
use crate::common::{SMALL, root};

#[test]
fn mistakes_are_told_with_their_place() {
    let line = SMALL.lines().count() + 2;
    for (plan, words) in [
        ("minimise: usd_per_stp", vec!["unknown choice", "did you mean `usd_per_step`?"]),
        ("subject_to: { step_s: 3 }", vec!["missing key `minimise`"]),
        (
            "minimise: gpus\n  over: { gpu: [8] }",
            vec!["plan.over.gpu", "unknown key", "did you mean `gpus`?"],
        ),
        ("minimise: gpus\n  over: { gpus: [] }", vec!["plan.over.gpus", "found an empty list"]),
        ("minimise: gpus\n  over: { gpus: [8, 8] }", vec!["plan.over.gpus[1]", "found `8` twice"]),
        ("minimise: gpus\n  over: { gpus: { from: 64, to: 8 } }", vec!["plan.over.gpus", "found 64 to 8"]),
        (
            "minimise: gpus\n  over: { gpus: 8 }",
            vec!["plan.over.gpus", "a list of numbers of GPUs, or { from, to }"],
        ),
        (
            "minimise: gpus\n  usd_per_gpu_hour: { h100-sxm: -1 }",
            vec!["plan.usd_per_gpu_hour.h100-sxm", "found `-1`"],
        ),
        ("minimise: gpus\n  usd_per_gpu_hour: { h100: 1 }", vec!["plan.usd_per_gpu_hour.h100", "h100-sxm"]),
        (
            "minimise: gpus\n  subject_to: { p: 0.2 }",
            vec!["plan.subject_to.p", "found 0.2, expected 0.5 to 1"],
        ),
        ("minimise: gpus\n  subject_to: { step_s: 0 }", vec!["plan.subject_to.step_s", "found `0`"]),
        (
            "minimise: gpus\n  over: { generation: { device: [h1000] } }",
            vec!["plan.over.generation.device[0]", "h1000"],
        ),
        (
            "minimise: usd_per_step\n  over: { generation: { device: [h100-sxm, gb200] } }",
            vec![
                "plan.over.generation.device[1]",
                "no price is known for gb200",
                "plan.usd_per_gpu_hour: { gb200: ",
            ],
        ),
        (
            "minimise: step_s\n  subject_to: { usd_per_day: 900 }\n  over: { generation: { device: [h20] } }",
            vec!["plan.over.generation.device[0]", "no price is known for h20"],
        ),
        ("minimise: gpus\n  over: { gpus: [12, 20] }", vec!["none of the", "possible", "whole nodes"]),
        (
            "minimise: gpus\n  over: { other: { training.recompte: [none, full] } }",
            vec!["training.recompte", "unknown key", "recompute"],
        ),
        (
            "minimise: gpus\n  over: { other: { seed: 3 } }",
            vec!["plan.over.other", "`seed`: found `3`, expected a list"],
        ),
        (
            "minimise: gpus\n  over: { speculation: [on] }",
            vec!["plan.over.speculation[0]", "expected `off` or a map"],
        ),
    ] {
        let (_folder, run) = command(&format!("{SMALL}plan:\n  {plan}\n"), &[]);
        let run = run.exits(2).says(&words);
        assert!(run.err.contains("p.yaml:") && run.out.is_empty(), "{plan}: {}", run.err);
        if words[0].starts_with("plan.over.gpu") {
            assert!(run.err.contains(&format!("p.yaml:{}:", line + 1)), "{}", run.err);
        }
    }
    let (_folder, run) = command(SMALL, &[]);
    run.exits(2).says(&["missing key `plan`", "minimise: usd_per_step"]);
}

#[test]
fn the_plans_of_the_project_are_well_written() {
    for entry in fs::read_dir(root().join("scenarios/plans")).unwrap() {
        let document = Document::read(&entry.unwrap().path()).unwrap();
        let space = Space::of(&document).unwrap_or_else(|error| panic!("{error}"));
        assert!(space.len() > 8, "{}: {}", document.name(), space.len());
    }
}
