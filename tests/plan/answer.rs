//! The answer: a scenario that gives its figures, on a page and in a table, with reasons for what is not in it.

use std::fs;
use std::path::Path;

use crate::common::{self, Run, rollcast};
use crate::{PLAN, command, must, with_plan};

fn file(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn the_best_plan_is_a_scenario_that_gives_its_figures() {
    let (folder, run) = command(&with_plan(PLAN), &["--out", "@best.yaml", "--format", "json"]);
    let answer = run.exits(0).json();
    let scenario = folder.path().join("best.yaml");
    let forecast = Run::of(rollcast().arg("run").arg(&scenario).args(["--format", "json"])).exits(0).json();
    for key in ["step_s", "usd_per_step"] {
        for part in ["mean", "median", "p05", "p95"] {
            let path = format!("{key}.{part}");
            let (planned, run) =
                (common::number(&answer["best"], &path), common::number(&forecast["forecast"], &path));
            assert_eq!(planned, run, "{path}");
        }
    }
    let exposed = "exposed_s.generation";
    assert_eq!(common::number(&answer["best"], exposed), common::number(&forecast["forecast"], exposed));
    assert!(!file(folder.path(), "best.yaml").contains("plan:"));
}

#[test]
fn the_page_and_the_table_hold_every_part_of_the_answer() {
    let (folder, run) = command(
        &with_plan(PLAN),
        &["--out", "@out", "--report", "@r.html", "--explain", "gpus=8,tp=4,loop=sync"],
    );
    let run = run.exits(0);
    for word in
        ["PLAN", "runner-up", "P(best)", "front:", "searched", "same if", "nodes", "candidates are meant"]
    {
        assert!(run.out.contains(word), "no {word} in\n{}", run.out);
    }
    let page = file(folder.path(), "r.html");
    for id in ["plan", "front", "runner-up", "changes", "left-out", "provenance"] {
        assert!(page.contains(&format!("<section id=\"{id}\">")), "{id}");
    }
    assert!(page.contains("<svg") && page.contains("rollcast plan "));
    let mut table = csv::Reader::from_path(folder.path().join("out/plan.csv")).unwrap();
    let rows: Vec<csv::StringRecord> = table.records().map(|row| row.unwrap()).collect();
    let json: serde_json::Value = serde_json::from_str(&file(folder.path(), "out/plan.json")).unwrap();
    assert_eq!(rows.len() as u64, json["candidates"].as_u64().unwrap());
    assert!(rows.iter().all(|row| !row[row.len() - 1].is_empty()), "every candidate has its reason");
    let total: f64 =
        json["finalists"].as_array().unwrap().iter().map(|c| c["p_best"].as_f64().unwrap()).sum();
    assert!((total - 1.0).abs() < 1e-9, "{total}");
    let changed: Vec<&str> =
        json["changes"].as_array().unwrap().iter().map(|c| c["what"].as_str().unwrap()).collect();
    for input in ["acceptance", "network", "MFU", "price of h100-sxm"] {
        assert_eq!(changed.iter().filter(|what| what.starts_with(input)).count(), 2, "{input}: {changed:?}");
    }
}

#[test]
fn the_price_at_which_another_kind_wins_is_where_it_wins() {
    let plan = "\
plan:
  minimise: usd_per_step
  usd_per_gpu_hour: { h100-sxm: 2.0, h200-sxm: 6.0 }
  over: { gpus: [8, 16], generation: { device: [h100-sxm, h200-sxm], tp: [1, 2] } }
";
    let (_, _, result) = must(&with_plan(plan), false);
    assert!(result.best.as_ref().unwrap().title.contains("h100"), "{:?}", result.best);
    let other = result.other_kinds.first().unwrap();
    assert_eq!((other.device.as_str(), other.wins_below), ("h200-sxm", true));
    let price = other.usd_per_gpu_hour.unwrap();
    assert!((2.0..6.0).contains(&price), "{price}");
    for (factor, winner) in [(0.98, "h200"), (1.02, "h100")] {
        let at = plan.replace("h200-sxm: 6.0", &format!("h200-sxm: {}", price * factor));
        let (_, _, moved) = must(&with_plan(&at), false);
        assert!(moved.best.as_ref().unwrap().title.contains(winner), "{factor}: {:?}", moved.best);
    }
}

#[test]
fn a_runner_up_that_is_slower_nowhere_is_only_dearer() {
    // Twice the GPUs: every stage is quicker, and none by as much as they cost.
    let plan = "plan: { minimise: usd_per_step, over: { gpus: [8, 16], generation: { tp: [1], max_num_seqs: [128] }, speculation: [{}] } }\n";
    let (_, _, result) = must(&with_plan(plan), false);
    let (best, second) = (result.best.unwrap(), result.runner_up.unwrap());
    assert_eq!((best.gpus, second.choice.gpus), (8, 16), "{} {}", best.title, second.choice.title);
    assert!(second.choice.step_s.mean < best.step_s.mean, "{second:?}");
    assert!(
        second.why.ends_with("no stage is slower, and the GPUs cost more than that saves"),
        "{}",
        second.why
    );
}

#[test]
fn an_impossible_goal_says_what_comes_closest_and_what_binds() {
    let plan = PLAN
        .replace("minimise: usd_per_step", "minimise: usd_per_step\n  subject_to: { step_s: 0.5, gpus: 16 }");
    let (_folder, run) = command(&with_plan(&plan), &[]);
    let run = run.exits(1);
    let text = run.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in ["NO PLAN", "closest", "gpus 16", "step_s of 0.5 is exceeded by"] {
        assert!(text.contains(words), "no `{words}` in\n{}", run.out);
    }
    // No memory for any: the reason is told with its count.
    let plan =
        "plan: { minimise: step_s, over: { gpus: [8], generation: { tp: [1] }, speculation: [off] } }\n";
    let large = with_plan(plan).replace("model: qwen3-8b", "model: qwen3-235b-a22b");
    let large = large.replace("drafter: eagle3-qwen3-8b", "drafter: eagle3-qwen3-235b-a22b");
    let (_folder, run) = command(&large, &[]);
    let run = run.exits(1);
    assert!(run.out.contains("1 memory"), "{}", run.out);
}

#[test]
fn of_plans_that_exceed_a_limit_alike_the_closest_is_the_best_and_every_limit_is_named() {
    let plan = PLAN.replace("minimise: usd_per_step", "minimise: usd_per_step\n  subject_to: { gpus: 4 }");
    let (_, _, result) = must(&with_plan(&plan), false);
    let near = result.nearest.unwrap();
    assert_eq!((near.choice.gpus, near.exceeds.len(), near.exceeds[0].used), (8, 1, 2.0));
    let (_, _, all) = must(&with_plan(&PLAN.replace("[8, 16, 24, 32]", "[8]")), true);
    let best = all.best.unwrap();
    assert_eq!(near.choice.usd_per_step, best.usd_per_step, "{} for {}", near.choice.title, best.title);
    let plan = plan.replace("gpus: 4 }", "gpus: 4, step_s: 0.5 }");
    let (folder, run) = command(&with_plan(&plan), &["--report", "@r.html"]);
    let text = run.exits(1).out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("step_s of 0.5 is exceeded by"), "{text}");
    assert!(text.contains("gpus of 4 is exceeded by"), "{text}");
    let page = file(folder.path(), "r.html");
    assert!(page.contains("% and gpus by "));
}

#[test]
fn an_explanation_names_the_reason() {
    let plan = PLAN.replace("[1, 2, 4]", "[1, 3, 8]");
    let (_folder, run) = command(&with_plan(&plan), &["--explain", "gpus=8,tp=3,loop=sync"]);
    let text = run.exits(0).out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        text.contains("does not divide: generation.layout.tp: 3 GPUs do not divide the 32 query heads"),
        "{text}"
    );
    let (_folder, run) = command(&with_plan(PLAN), &["--explain", "gpus=8,loop=one-step-off"]);
    let text = run.exits(0).out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("8 GPUs are too few for two pools") || text.contains("no whole nodes"), "{text}");
    let (_folder, run) = command(&with_plan(PLAN), &["--explain", "tq=8"]);
    run.exits(2).says(&["--explain", "no choice is called `tq`", "did you mean `tp`?"]);
    let (_folder, run) = command(&with_plan(PLAN), &["--explain", "gpus=9"]);
    run.exits(2).says(&["no candidate has gpus 9", "8, 16, 24, 32"]);
}

#[test]
fn seats_that_a_router_fills_are_not_merged() {
    // Two groups of 32 come to one of the two engines. With 96 seats and with 128 this version captures the same graphs.
    let plan = PLAN
        .replace("tp: [1, 2, 4], max_num_seqs: [8, 128]", "tp: [4], max_num_seqs: [48, 96, 128]")
        .replace("draft_tokens: [2, 4]", "draft_tokens: [2]");
    let text = with_plan(&plan)
        .replace("prompts_per_step: 16", "prompts_per_step: 3")
        .replace("samples_per_prompt: 8", "samples_per_prompt: 32")
        .replace(
            "layout: { tp: 1 }",
            "layout: { tp: 1 }, engine_version: \"0.28.0\", router: group_affinity",
        );
    let explained = |seats: u32| {
        let asked = format!("gpus=8,tp=4,loop=sync,max_num_seqs={seats}");
        let (_folder, run) = command(&text, &["--explain", &asked]);
        let page = run.exits(0).out;
        page.split("candidates are meant").nth(1).unwrap().to_owned()
    };
    assert!(!explained(96).contains("same run"), "{}", explained(96));
    assert!(explained(128).contains("same run"), "{}", explained(128));
}
