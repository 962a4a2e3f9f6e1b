//! Reports: one file that needs nothing else, with every section, every figure of a plot in a table, and no text of a user
//! as markup.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a size is worth a line")]

mod common;

use std::fs;
use std::path::Path;

use common::{File, SMALL, rollcast, root, run};
use rollcast::report::{SweepTable, run_page, sweep_page};
use rollcast::result::RunResult;
use rollcast::study::sweep::journal::{self, Header};
use rollcast::study::sweep::{FIGURES, Row};

/// What a careless template would let through.
const NASTY: &str = "<script>alert('1')</script> & \"quoted\" </svg>";

const RUN_SECTIONS: [&str; 12] = [
    "headline",
    "do",
    "stages",
    "batch",
    "tail",
    "break-even",
    "lengths",
    "sensitivity",
    "validation",
    "assumptions",
    "not-modelled",
    "provenance",
];
const SWEEP_SECTIONS: [&str; 7] = ["headline", "best", "pareto", "heat", "points", "without", "provenance"];

fn small() -> RunResult {
    common::forecast(SMALL, &["uncertainty.worlds=32"]).unwrap().result
}

/// Text between tags, and the tags, of a page without its style and script.
fn parts(page: &str) -> (Vec<String>, Vec<String>) {
    let mut rest = page.to_owned();
    for tag in ["style", "script"] {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        let (start, end) = (rest.find(&open).unwrap() + open.len(), rest.find(&close).unwrap());
        rest.replace_range(start..end, "");
    }
    let (mut texts, mut tags) = (Vec::new(), Vec::new());
    for piece in rest.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or_else(|| panic!("a lone <: {piece}"));
        tags.push(tag.to_owned());
        texts.push(text.to_owned());
    }
    (texts, tags)
}

/// Asserts what holds of every page.
fn is_sound(page: &str, sections: &[&str]) {
    let (texts, tags) = parts(page);
    let mut open: Vec<&str> = Vec::new();
    for tag in &tags {
        let name = tag.split([' ', '\n', '/']).find(|word| !word.is_empty()).unwrap_or("");
        if tag.starts_with('!') || tag.ends_with('/') || matches!(name, "meta" | "br" | "input") {
            continue;
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "<{tag}> closes another tag");
        } else {
            open.push(name);
        }
        // Nothing is fetched, nothing runs but the page's own script.
        for bad in ["src=", "srcset=", "http", "url(", "javascript:", " onclick", " onload", "xmlns"] {
            assert!(!tag.contains(bad), "`{bad}` in <{tag}>");
        }
        if let Some((_, link)) = tag.split_once("href=\"") {
            assert!(link.starts_with('#'), "<{tag}>");
        }
    }
    assert!(open.is_empty(), "not closed: {open:?}");
    assert_eq!(tags.iter().filter(|tag| tag.starts_with("script")).count(), 1);
    assert!(
        !tags
            .iter()
            .any(|tag| tag.starts_with("link") || tag.starts_with("iframe") || tag.starts_with("img"))
    );
    let style = &page[page.find("<style>").unwrap()..page.find("</style>").unwrap()];
    assert!(!style.contains("url(") && !style.contains("@import"));
    assert!(style.contains("prefers-color-scheme: dark") && style.contains("@media print"));
    for id in sections {
        assert!(page.contains(&format!("id=\"{id}\"")), "no section {id}");
    }
    assert!(page.starts_with("<!DOCTYPE html>"));
    assert!(!texts.iter().any(|text| text.contains("NaN") || text.contains("inf ")), "a figure that is none");
}

/// Asserts that some table cell is exactly this.
fn has_cell(page: &str, cell: &str) {
    assert!(page.contains(&format!(">{cell}</td>")), "no cell `{cell}`");
}

#[test]
fn a_forecast_has_every_section_and_its_figures_in_tables() {
    let result = small();
    let page = run_page(&result);
    is_sound(&page, &RUN_SECTIONS);
    assert_eq!(page.matches("<svg ").count(), 12, "six plots in two sizes");
    assert_eq!(page.matches("<title>").count(), 13);
    for row in &result.break_even {
        has_cell(&page, &format!("{:.2}", row.acceptance_length));
        has_cell(&page, &format!("{:.2}x", row.speedup));
    }
    for row in &result.sensitivity {
        has_cell(&page, &format!("{:+.2}", row.high_s));
    }
    let samples: u32 = result.response_lengths.iter().map(|bin| bin.samples).sum();
    assert_eq!(samples, 16 * 8);
    for assumption in &result.assumptions {
        has_cell(&page, &assumption.path);
    }
    for line in &result.not_modelled {
        assert!(page.contains(&format!("<li>{line}</li>")), "{line}");
    }
    let median = format!("<b>{:.2}x</b>", result.speedup.step.median);
    assert!(page.contains(&median), "the speedup is what one sees first");
    assert!(page.contains(&format!("{:.2} - {:.2}", result.speedup.step.p05, result.speedup.step.p95)));
}

#[test]
fn flags_are_those_of_the_engines() {
    let page = run_page(&small());
    for words in [
        "vllm serve qwen3-8b",
        "--max-num-seqs 128",
        "--max-num-batched-tokens 16384",
        "--gpu-memory-utilization 0.9",
        "--chunked-prefill-size 16384",
        "--mem-fraction-static 0.9",
        "{&quot;method&quot;:&quot;eagle3&quot;,&quot;model&quot;:&quot;PATH_OF_YOUR_DRAFTER&quot;,\
         &quot;draft_tensor_parallel_size&quot;:1,&quot;num_speculative_tokens&quot;:3}",
        "--speculative-algorithm EAGLE3",
        "--speculative-num-steps 3 --speculative-eagle-topk 1 --speculative-num-draft-tokens 4",
    ] {
        assert!(page.contains(words), "no `{words}`");
    }
    let narrow =
        ["generation.weights=fp8", "generation.kv_cache_dtype=fp8", "generation.cudagraph_mode=piecewise"];
    let narrow = run_page(&common::forecast(SMALL, &narrow).unwrap().result);
    for words in [
        "--quantization fp8",
        "--kv-cache-dtype fp8 ",
        "--kv-cache-dtype fp8_e4m3",
        "cudagraph_mode&quot;: &quot;PIECEWISE",
    ] {
        assert!(narrow.contains(words), "no `{words}`");
    }
    assert!(!page.contains("--quantization") && !page.contains("--compilation-config"));
    let blocks = run_page(&common::forecast(SMALL, &["generation.num_gpu_blocks=9000"]).unwrap().result);
    assert!(
        blocks.contains("--num-gpu-blocks-override 9000") && blocks.contains("--max-total-tokens 144000")
    );
    assert!(!blocks.contains("--gpu-memory-utilization") && !blocks.contains("--mem-fraction-static"));
    let off = run_page(&common::forecast(SMALL, &["speculation=off"]).unwrap().result);
    is_sound(&off, &RUN_SECTIONS);
    assert!(!off.contains("--speculative"), "nothing is drafted");
    let sglang = run_page(&common::forecast(SMALL, &["generation.engine=sglang"]).unwrap().result);
    assert!(
        sglang.find("<h3>SGLang").unwrap() < sglang.find("<h3>vLLM").unwrap(),
        "the scenario's engine first"
    );
}

#[test]
fn published_values_and_candidates_are_shown() {
    let text = common::small(&[(
        "  schedule: { fixed: { k: 3 } }\n",
        "  schedule: { fixed: { k: 3 } }\n  candidates:\n    - { drafter: ngram, acceptance: { length: { value: 2.0, at_k: 3 } }, schedule: { fixed: { k: 3 } } }\n",
    )]) + "expect:\n  - { quantity: forecast.step_s, value: 30, source: \"a <paper>\", gate: 0.9 }\n";
    let page = run_page(&common::forecast(&text, &[]).unwrap().result);
    is_sound(&page, &RUN_SECTIONS);
    assert!(page.contains("id=\"candidates\""));
    has_cell(&page, "a &lt;paper&gt;");
    has_cell(&page, "ngram, chain K=3");
}

#[test]
fn what_runs_ahead_is_told_with_its_staleness_and_waste() {
    let text = common::small(&[
        ("cluster: {", "pools: { generation: POOL, training: {"),
        ("usd_per_gpu_hour: 2.5 }\n", "usd_per_gpu_hour: 2.5 } }\n"),
        ("POOL", "{ device: h100-sxm, gpus: 8, usd_per_gpu_hour: 2.5 }"),
        (
            "loop: {",
            "loop: { mode: async, max_staleness: 2, over_sampling: { factor: 1.5 }, order: first_done, ",
        ),
        ("rl_steps: 2", "rl_steps: 6\nwarmup_steps: 2\nwhole_run: { rl_steps: 500, drafter_usd: 40 }"),
    ]);
    let result = common::forecast(&text, &[]).unwrap().result;
    let page = run_page(&result);
    is_sound(&page, &["headline", "whole-run", "staleness", "rl-steps", "lengths", "provenance"]);
    assert!(!page.contains("id=\"batch\"") && !page.contains("id=\"tail\""), "no rollout is one step's own");
    let stats = &result.forecast.loop_stats;
    assert!(stats.staleness_max > 0, "{stats:?}");
    has_cell(&page, &format!("{:.2}", stats.staleness_mean));
    has_cell(&page, &format!("{:.1} %", 100.0 * stats.wasted_token_share));
    for share in &stats.staleness_shares {
        has_cell(&page, &format!("{:.1} %", 100.0 * share));
    }
    has_cell(&page, &format!("${:.4}", stats.usd_per_trained_prompt.median));
    assert_eq!(result.forecast.rl_steps.len(), 6);
    for step in &result.forecast.rl_steps {
        has_cell(&page, &format!("{:.2}", step.acceptance_length));
    }
    let whole = result.whole_run.as_ref().unwrap();
    has_cell(&page, &format!("{:.1}", whole.forecast_hours.median));
    // A run in turns tells none of it.
    let turns = run_page(&small());
    assert!(!turns.contains("id=\"staleness\"") && !turns.contains("id=\"whole-run\""));
}

#[test]
fn a_schedule_that_changes_is_drawn_over_time() {
    let table = "schedule: { vllm_table: { table: [[1, 4, 5], [5, 8, 3], [9, 128, 0]] } }";
    let text = common::small(&[("schedule: { fixed: { k: 3 } }", table)]);
    let result = common::forecast(&text, &["cluster.gpus=2", "generation.layout.tp=2"]).unwrap().result;
    let page = run_page(&result);
    is_sound(&page, &RUN_SECTIONS);
    assert!(page.contains("<title>Draft tokens over time</title>"));
    let drafted: Vec<f64> =
        result.forecast.batch_over_time.iter().filter_map(|point| point.draft_tokens).collect();
    // One replica, so the mean over running sequences is the configuration of its batch.
    for point in result.forecast.batch_over_time.iter().filter(|point| point.running > 0) {
        let expected = if point.running <= 4 {
            5.0
        } else if point.running <= 8 {
            3.0
        } else {
            0.0
        };
        assert_eq!(point.draft_tokens, Some(expected), "{} run", point.running);
    }
    assert!(drafted.contains(&0.0) && drafted.contains(&3.0) && drafted.contains(&5.0), "{drafted:?}");
    let fixed = run_page(&small());
    assert!(fixed.contains("The forecast drafts 3 tokens for every sequence in every step."));
}

#[test]
fn flags_of_a_schedule_by_batch_name_what_writes_them() {
    let with = |schedule: &str| {
        let text = common::small(&[("{ fixed: { k: 3 } }", schedule)]);
        run_page(&common::forecast(&text, &[]).unwrap().result)
    };
    let page = with("{ goodput: {} }");
    assert!(page.contains("rollcast solve --export") && !page.contains("Nothing is drafted."));
    assert!(with("off").contains("Nothing is drafted."));
}

#[test]
fn a_stream_of_one_step_has_no_rollout_of_its_own() {
    let text = common::small(&[
        ("loop: {", "loop: { over_sampling: { factor: 1.5 }, "),
        ("rl_steps: 2", "rl_steps: 1"),
    ]);
    let page = run_page(&common::forecast(&text, &[]).unwrap().result);
    assert!(!page.contains("was written before") && !page.contains("id=\"tail\""));
}

#[test]
fn names_of_users_stay_text() {
    let mut result = small();
    result.name = NASTY.to_owned();
    result.forecast.label = NASTY.to_owned();
    result.warnings.push(NASTY.to_owned());
    result.simulator.command = Some(NASTY.to_owned());
    result.sensitivity[0].input = NASTY.to_owned();
    let page = run_page(&result);
    is_sound(&page, &RUN_SECTIONS);
    assert!(!page.contains("<script>alert") && !page.contains("</svg> &"), "markup came through");
    assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)"));
}

// ---- sweeps ----

/// A table of `n` made-up points over two axes.
fn table(n: u64) -> SweepTable {
    let columns: Vec<String> = ["batch <b>", "K"].into_iter().chain(FIGURES).map(str::to_owned).collect();
    let rows = (0..n).map(|index| {
        let (batch, k) = (index / 8 + 1, index % 8);
        let mut cells = vec![format!("{batch}"), format!("{k}{NASTY}"), format!("eagle3, chain K={k}")];
        let figure = |place: usize| {
            // Shaped as figures are: seventeen digits.
            (1.0 + (index * 37 + place as u64 * 11) as f64 * 0.123_456_789_012_345_6 % 900.0).to_string()
        };
        cells.extend((0..FIGURES.len() - 3).map(figure));
        cells.extend([format!("{index} preemptions over all draws{NASTY}"), String::new()]);
        Row { index, cells }
    });
    SweepTable {
        rows: rows.collect(),
        header: Header {
            format: journal::FORMAT,
            name: NASTY.to_owned(),
            points: n,
            axes: 2,
            columns,
            hash: "0123".to_owned(),
            expanded: vec![format!("name = {NASTY}"); 60],
            command: Some(format!("rollcast sweep '{NASTY}'")),
        },
        command: Some(format!("rollcast sweep '{NASTY}'")),
    }
}

#[test]
fn a_sweep_of_a_thousand_points_is_a_sound_page_of_at_most_1_5_mb() {
    let page = sweep_page(&table(1000));
    is_sound(&page, &SWEEP_SECTIONS);
    assert!(page.len() <= 1_500_000, "{} bytes", page.len());
    assert!(page.len() > 300_000, "{} bytes: where are the points?", page.len());
    assert!(!page.contains("<script>alert"));
    eprintln!("a page of 1,000 points: {} bytes", page.len());
}

#[test]
fn pages_of_few_points_and_of_failures_are_sound() {
    for n in [0, 1, 2, 9] {
        is_sound(&sweep_page(&table(n)), &SWEEP_SECTIONS);
    }
    let mut failed = table(9);
    for row in &mut failed.rows {
        let cells = row.cells.len();
        row.cells[2..].fill(String::new());
        row.cells[cells - 1] = format!("too large: {NASTY}");
    }
    let page = sweep_page(&failed);
    is_sound(&page, &SWEEP_SECTIONS);
    assert!(page.contains("9 points, the first at"));
}

#[test]
fn the_front_is_what_no_point_beats_in_both() {
    let mut table = table(4);
    let place = |name: &str| table.header.columns.iter().position(|column| column == name).unwrap();
    let (step, usd) = (place("step_s"), place("usd_per_step"));
    for (row, (seconds, price)) in
        table.rows.iter_mut().zip([("10", "9"), ("20", "3"), ("30", "4"), ("40", "2")])
    {
        row.cells[step] = seconds.to_owned();
        row.cells[usd] = price.to_owned();
    }
    let page = sweep_page(&table);
    let front = &page[page.find("The front, fastest first").unwrap()..];
    let front = &front[..front.find("</table>").unwrap()];
    let points: Vec<&str> =
        front.split("<tr><td class=\"n\">").skip(1).map(|row| row.split('<').next().unwrap()).collect();
    assert_eq!(points, ["0", "1", "3"]);
}

#[test]
fn points_of_different_work_have_fronts_of_their_own() {
    let mut table = table(4);
    // The first axis changes the workload: points 0 and 1 do one work, 2 and 3 another.
    table.header.expanded.push("axis batch <b> \"1\": workload.prompts_per_step = 1".to_owned());
    let place = |name: &str| table.header.columns.iter().position(|column| column == name).unwrap();
    let (step, usd) = (place("step_s"), place("usd_per_step"));
    for (row, (batch, seconds, price)) in table.rows.iter_mut().zip([
        ("1", "10", "1"),
        ("1", "20", "2"),
        ("2", "100", "20"),
        ("2", "200", "10"),
    ]) {
        row.cells[0] = batch.to_owned();
        row.cells[step] = seconds.to_owned();
        row.cells[usd] = price.to_owned();
    }
    let page = sweep_page(&table);
    let front = &page[page.find("Fronts of points with the same workload").unwrap()..];
    let front = &front[..front.find("</table>").unwrap()];
    let points: Vec<&str> =
        front.split("<tr><td class=\"n\">").skip(1).map(|row| row.split('<').next().unwrap()).collect();
    assert_eq!(points, ["0", "2", "3"]);
}

// ---- the commands ----

#[test]
fn a_page_can_be_drawn_again_from_what_a_run_left() {
    let file = File::new(SMALL);
    let at = |name: &str| file.folder.path().join(name).to_str().unwrap().to_owned();
    let (direct, out) = (at("direct.html"), at("out"));
    run(&["run", file.name(), "--report", &direct, "--out", &out, "--set", "seed=3", "-q"]).exits(0);
    run(&["report", &out, "-q"]).exits(0);
    let (direct, again) =
        (fs::read_to_string(direct).unwrap(), fs::read_to_string(at("out/report.html")).unwrap());
    assert!(direct == again, "drawn again, the page differs");
    assert!(direct.contains("--set seed=3"), "the command to reproduce it");
    // Results from before some keys were stated are still read.
    let mut older: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(at("out/result.json")).unwrap()).unwrap();
    for (place, keys) in [
        ("/resolved/cluster/network", &["spread", "all_reduce"][..]),
        ("/resolved/generation/engine", &["kernel_floors"]),
        ("/forecast/loop", &["replica_mean_s"]),
    ] {
        let object = older.pointer_mut(place).unwrap().as_object_mut().unwrap();
        for key in keys {
            assert!(object.remove(*key).is_some(), "{place}/{key}");
        }
    }
    fs::write(at("out/result.json"), older.to_string()).unwrap();
    run(&["report", &out, "-q"]).exits(0);
    // What is no result is told so.
    fs::write(at("out/result.json"), "{\"schema_version\": 99}").unwrap();
    run(&["report", &out]).exits(1).says(&["result.json", "found schema_version 99, expected 1"]);
    fs::write(at("out/result.json"), "{\"schema_version\": 1, \"name\": ").unwrap();
    run(&["report", &out]).exits(1).says(&["result.json", "EOF"]);
    fs::remove_file(at("out/result.json")).unwrap();
    run(&["report", &out]).exits(2).says(&["no result.json and no sweep.journal"]);
    run(&["report", &at("nowhere")]).exits(1).says(&["nowhere"]);
}

#[test]
fn shards_make_the_page_of_the_whole() {
    let sweep = "version: 1\nbase: s.yaml\nset: { rl_steps: 1, uncertainty: { workload_draws: 1, worlds: 4 } }\naxes:\n  - { name: K, path: speculation.schedule.fixed.k, values: [1, 2, 3] }\n  - { path: cluster.gpus, values: [2, 8] }\n";
    let file = File::new(SMALL);
    let at = |name: &str| file.folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("w.yaml"), sweep).unwrap();
    let go = |more: &[&str]| drop(run(&[&["sweep", &at("w.yaml"), "-q"], more].concat()).exits(0));
    go(&["--out", &at("whole")]);
    go(&["--out", &at("a"), "--shard", "1/2"]);
    go(&["--out", &at("b"), "--shard", "2/2"]);
    run(&["report", &at("whole"), "-q"]).exits(0);
    run(&["report", &at("b"), &at("a"), "--out", &at("both.html"), "-q"]).exits(0);
    let page = fs::read_to_string(at("whole/report.html")).unwrap();
    is_sound(&page, &SWEEP_SECTIONS);
    assert!(page == fs::read_to_string(at("both.html")).unwrap(), "shards make another page");
    run(&["report", &at("a"), "-q"]).exits(0);
    assert!(fs::read_to_string(at("a/report.html")).unwrap().contains("not run yet"));
}

/// A page with its numbers at three digits: what the example is compared by.
fn rounded(page: &str) -> String {
    let mut out = String::new();
    let mut number = String::new();
    let flush = |number: &mut String, out: &mut String| {
        match number.parse::<f64>() {
            Ok(value) => out.extend(format!("{value:.2e}").chars()),
            Err(_) => out.push_str(number),
        }
        number.clear();
    };
    for c in page.chars() {
        if c.is_ascii_digit() || c == '.' {
            number.push(c);
        } else {
            flush(&mut number, &mut out);
            out.push(c);
        }
    }
    flush(&mut number, &mut out);
    out
}

#[test]
fn the_example_is_what_the_program_draws() {
    let folder = tempfile::tempdir().unwrap();
    let script = root().join(".ci/example");
    let program = rollcast().get_program().to_owned();
    let made = std::process::Command::new("bash")
        .arg(script)
        .arg(folder.path())
        .env("ROLLCAST", program)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    for name in ["forecast.html", "sweep.html"] {
        let committed = fs::read_to_string(root().join(Path::new("reports/example").join(name))).unwrap();
        let now = fs::read_to_string(folder.path().join(name)).unwrap();
        let differ = rounded(&committed).lines().zip(rounded(&now).lines()).position(|(a, b)| a != b);
        assert!(
            rounded(&committed) == rounded(&now),
            "reports/example/{name} is out of date (line {differ:?}): .ci/example makes it again"
        );
    }
}
