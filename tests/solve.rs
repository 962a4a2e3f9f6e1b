//! Schedules in a scenario, and `rollcast solve`: what is built, refused, printed and exported.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{SMALL, forecast, json, small};
use rollcast::rollout::Stepper;
use rollcast::scenario::Document;
use rollcast::study::solve::{Question, Target, export, schedules, solve};
use serde_json::Value;

const FIXED: &str = "{ fixed: { k: 3 } }";

fn document(schedule: &str) -> Document {
    Document::parse("solve", &small(&[(FIXED, schedule)])).unwrap()
}

/// Nominal rollout seconds with a schedule, and the forecast's label.
fn rollout(schedule: &str) -> (f64, String) {
    let result = json(&forecast(&small(&[(FIXED, schedule)]), &[]).unwrap());
    (result["forecast"]["rollout_s"]["mean"].as_f64().unwrap(), result["forecast"]["label"].to_string())
}

#[test]
fn every_schedule_runs_and_says_its_name() {
    let off = rollout("off").0;
    for (schedule, name) in [
        ("{ goodput: {} }", "goodput"),
        ("{ goodput: { learn_from: 0.6, margin: 0.01 } }", "goodput, learning"),
        ("{ goodput: { chains: [1, 3], trees: [{ steps: 4, top_k: 4, tokens: 12 }] } }", "goodput"),
        ("{ goodput: { catch_up: hidden_states } }", "goodput"),
        ("{ goodput: { catch_up: { window: { tokens: 256 } } } }", "goodput"),
        ("{ respec: {} }", "ReSpec"),
        (
            "{ respec: { chains: [3], batches: [1, 32], speedups: [[1.5], [1.2]], catch_up: keep_warm } }",
            "ReSpec",
        ),
        ("{ specrl: {} }", "SpecRL"),
        ("{ specrl: { tree: { steps: 3, top_k: 4, tokens: 8 }, tree_upto: 4, chain_upto: 64 } }", "SpecRL"),
        ("{ vllm_table: { table: [[1, 4, 7], [5, 512, 2]] } }", "vLLM table"),
        ("{ sglang_tiers: {} }", "SGLang tiers"),
        ("{ sglang_tiers: { num_steps: 1, tiers: [{ from: 1, candidate_steps: [1, 5] }] } }", "SGLang tiers"),
    ] {
        let (seconds, label) = rollout(schedule);
        assert!(label.contains(name), "{schedule}: {label}");
        assert!(
            seconds > 0.0 && seconds < 1.05 * off,
            "{schedule}: {seconds} against {off} without drafting"
        );
    }
}

#[test]
fn a_batch_beyond_the_replica_has_a_price_of_its_own() {
    // Sixteen sequences a replica here.
    let question = Question { batches: vec![16, 32, 64, 128], contexts: vec![1000], ..Question::default() };
    let report = solve(&document(FIXED), &question).unwrap();
    let rates: Vec<f64> = report.cells.iter().map(|cell| cell.tokens_per_s).collect();
    assert!(rates.windows(2).all(|pair| pair[1] > 1.05 * pair[0]), "{rates:?}");
    assert!(report.warnings[0].contains("batch 128: a replica here has at most 16"), "{:?}", report.warnings);
}

#[test]
fn schedules_are_compared_in_rollouts_of_their_own_and_say_so() {
    let pools =
        "pools: { generation: { device: h100-sxm, gpus: 8 }, training: { device: h100-sxm, gpus: 8 } }";
    let text = small(&[
        ("cluster: { device: h100-sxm, gpus: 8, usd_per_gpu_hour: 2.5 }", pools),
        ("loop: { ", "loop: { preset: one-step-off, "),
    ]);
    let question = Question { chains: vec![3], ..Question::default() };
    let warnings = |text: &str| {
        let document = Document::parse("solve", text).unwrap();
        schedules(&document, &question, Stepper::Leap).unwrap().warnings
    };
    assert!(warnings(&text)[0].contains("starts and ends empty"));
    assert!(warnings(SMALL).is_empty());
}

#[test]
fn a_table_of_one_range_is_a_fixed_chain() {
    let (fixed, table) = (rollout(FIXED).0, rollout("{ vllm_table: { table: [[1, 512, 3]] } }").0);
    assert_eq!(fixed, table);
    let tiers = "{ sglang_tiers: { tiers: [{ from: 1, candidate_steps: [3] }] } }";
    // Stepped exactly: the same law, other draws.
    assert!((rollout(tiers).0 / fixed - 1.0).abs() < 0.02);
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    for (schedule, message) in [
        ("{ vllm_table: { table: [[2, 8, 3]] } }", "must start at 1"),
        ("{ vllm_table: { table: [[1, 8, 3], [8, 9, 1]] } }", "begins at or before the end"),
        ("{ goodput: { trees: [{ steps: 5, top_k: 8, tokens: 65 }] } }", "at most 64"),
        ("{ goodput: { trees: [{ steps: 1, top_k: 2, tokens: 8 }] } }", "propose 3"),
        ("{ respec: { chains: [3], batches: [1, 2], speedups: [[1.5]] } }", "row 1"),
        ("{ respec: { batches: [4, 2] } }", "must rise"),
        ("{ specrl: { chain_upto: 8 } }", "tree_upto"),
        ("{ sglang_tiers: { tiers: [{ from: 1, candidate_steps: [] }] } }", "empty"),
    ] {
        let error = forecast(&small(&[(FIXED, schedule)]), &[]).unwrap_err().to_string();
        assert!(error.contains(message) && error.contains("speculation.schedule"), "{schedule}: {error}");
    }
}

#[test]
fn the_table_is_the_solvers_and_its_gain_is_length_over_break_even() {
    let question = Question { trees: vec![[4, 4, 12]], ..Question::default() };
    let report = solve(&document(FIXED), &question).unwrap();
    assert_eq!(report.acceptance.len(), 7);
    assert!(report.choices.contains(&"tree 4,4,12".to_owned()) && report.choices[0] == "off");
    let batches: Vec<u32> = report.cells.iter().map(|cell| cell.batch).collect();
    assert!(batches.first() == Some(&1) && batches.is_sorted());
    for cell in &report.cells {
        assert!(cell.gain >= 1.0 && cell.runner_up_loss >= 0.0, "{cell:?}");
        if cell.configuration != "off" {
            assert!((cell.gain - cell.length / cell.break_even_length).abs() < 1e-9, "{cell:?}");
        }
        assert_eq!(cell.deployable_in.contains(&"vllm"), !cell.configuration.starts_with("tree"));
    }
    assert!(report.cells[0].gain > report.cells[report.cells.len() - 1].gain);
}

#[test]
fn without_a_drafter_there_is_nothing_to_solve() {
    let text =
        SMALL.lines().take_while(|line| !line.starts_with("speculation")).collect::<Vec<_>>().join("\n");
    let document = Document::parse("none", &format!("{text}\nspeculation: off\n")).unwrap();
    let error = solve(&document, &Question::default()).unwrap_err().to_string();
    assert!(error.contains("without a drafter"), "{error}");
}

#[test]
fn schedules_meet_the_same_requests() {
    let question = Question { chains: vec![1, 3], trees: vec![[4, 4, 12]], ..Question::default() };
    let scores = schedules(&document(FIXED), &question, Stepper::Leap).unwrap();
    assert_eq!(scores.rollouts, 4);
    assert_eq!(scores.left_out, Vec::<String>::new());
    let first = &scores.rows[0];
    assert_eq!((first.schedule.as_str(), first.speedup, first.se), ("no drafter", 1.0, 0.0));
    let of = |name: &str| scores.rows.iter().find(|row| row.schedule == name).unwrap();
    assert!(of("fixed K=3").speedup > 1.2);
    // The solver's choices cost no more than 5 % against the best fixed one among the same.
    let best = of("fixed K=1").speedup.max(of("fixed K=3").speedup);
    assert!(of("goodput").speedup > 0.95 * best && of("vllm table, solved").speedup > 0.95 * best);
    assert_eq!(
        scores,
        schedules(&document(FIXED), &question, Stepper::Leap).unwrap(),
        "the same bytes again"
    );
}

#[test]
fn exports_have_the_forms_that_engines_read() {
    let question = Question { trees: vec![[5, 8, 32]], ..Question::default() };
    let of = |target| export(&document(FIXED), &question, target).unwrap().document;
    let vllm = of(Target::Vllm);
    let ranges: Vec<[u64; 3]> =
        serde_json::from_value(vllm["num_speculative_tokens_per_batch_size"].clone()).unwrap();
    assert_eq!(ranges[0][0], 1);
    assert!(ranges.windows(2).all(|pair| pair[1][0] == pair[0][1] + 1), "no gaps: {ranges:?}");
    assert_eq!(vllm["num_speculative_tokens"], ranges.iter().map(|range| range[2]).max().unwrap());
    let path = "/policy/generation/vllm_kwargs/speculative_config";
    assert_eq!(of(Target::NemoRl).pointer(path), Some(&vllm));

    let sglang = of(Target::Sglang);
    for [start, _, k] in &ranges {
        assert_eq!(sglang[start.to_string()]["candidate_steps"], serde_json::json!([k]));
    }
    let verl = of(Target::Verl);
    let mtp = &verl["actor_rollout_ref"]["model"]["mtp"];
    let number = |value: &Value| value.as_u64().unwrap();
    assert_eq!(
        number(&mtp["speculative_num_draft_tokens"]),
        number(&mtp["speculative_num_steps"]) + 1,
        "the root counts"
    );
    let fastrl = of(Target::Fastrl);
    let eagle = &fastrl["speculative"]["eagle"];
    assert_eq!(eagle["mab_configs"][0], "5_8_32");
    assert_eq!(eagle["mab_bs_threshold"][0], 1);
    let dspark = of(Target::Dspark);
    let tokens: Vec<u64> = serde_json::from_value(dspark["sample_batch_tokens"].clone()).unwrap();
    let rates: Vec<f64> = serde_json::from_value(dspark["sample_steps_per_sec"].clone()).unwrap();
    assert!(tokens.windows(2).all(|pair| pair[1] > pair[0]) && tokens.len() == rates.len());
    assert!(rates.windows(2).all(|pair| pair[1] <= pair[0]));
    assert_eq!(number(&dspark["max_batch_tokens"]), tokens[tokens.len() - 1]);
}

#[test]
fn an_exported_table_is_a_schedule_again() {
    let vllm = export(&document(FIXED), &Question::default(), Target::Vllm).unwrap().document;
    let table = &vllm["num_speculative_tokens_per_batch_size"];
    let schedule = format!("{{ vllm_table: {{ table: {table} }} }}");
    assert!(rollout(&schedule).0 < rollout("off").0);
}

#[test]
fn an_export_says_what_it_cannot_say_and_how_to_force_the_acceptance() {
    let question = Question { trees: vec![[5, 8, 32]], ..Question::default() };
    let notes = |target| export(&document(FIXED), &question, target).unwrap().notes.join("\n");
    // .776, .776 x .737, ...: unconditional and falling, as vLLM reads them.
    assert!(
        notes(Target::Vllm).contains("\"synthetic_acceptance_rates\": [0.776, 0.572"),
        "{}",
        notes(Target::Vllm)
    );
    assert!(notes(Target::Vllm).contains("trees") && notes(Target::Vllm).contains("data_parallel_size"));
    assert!(!notes(Target::Fastrl).contains("trees"));
    // 1 + .776 + .776 x .737 + ..., as published for K=3: 2.77 (arXiv 2604.26779, table 4).
    let three = Question { chains: vec![3], ..Question::default() };
    let forced = export(&document(FIXED), &three, Target::Sglang).unwrap().notes.join("\n");
    assert!(forced.contains("SGLANG_SIMULATE_ACC_LEN=2.76 for K=3"), "{forced}");
}

/// The document and notes for a drafter of the small scenario, or of another model.
fn exported(model: &str, drafter: &str, target: Target) -> (Value, String) {
    let text = small(&[
        ("model: qwen3-8b", &format!("model: {model}")),
        ("drafter: eagle3-qwen3-8b", &format!("drafter: {drafter}")),
    ]);
    let document = Document::parse("drafter", &text).unwrap();
    let export = export(&document, &Question::default(), target).unwrap();
    (export.document, export.notes.join("\n"))
}

#[test]
fn a_drafter_has_the_engines_names() {
    for (model, drafter, method, weights) in [
        ("qwen3-8b", "eagle3-qwen3-8b", "eagle3", Some("eagle3-qwen3-8b")),
        ("qwen2.5-7b", "eagle-qwen2.5-7b-fastrl", "eagle", Some("eagle-qwen2.5-7b-fastrl")),
        ("qwen3-8b", "draft-qwen3-0.6b", "draft_model", Some("Qwen/Qwen3-0.6B")),
        ("qwen3-8b", "dflash-qwen3-8b", "dflash", Some("dflash-qwen3-8b")),
        ("qwen3-8b", "peagle-qwen3-8b", "eagle3", Some("peagle-qwen3-8b")),
        ("qwen3-8b", "ngram", "ngram", None),
        ("qwen3-8b", "suffix", "suffix", None),
        ("mimo-7b", "mtp-mimo-7b", "mtp", None),
    ] {
        let (config, notes) = exported(model, drafter, Target::Vllm);
        assert_eq!(config["method"], method, "{drafter}");
        assert_eq!(config.get("model").and_then(Value::as_str), weights, "{drafter}");
        assert_eq!(config.get("draft_tensor_parallel_size").is_some(), weights.is_some(), "{drafter}");
        assert_eq!(config.get("parallel_drafting").is_some(), drafter.starts_with("peagle"), "{drafter}");
        // What no engine can load is said to be none.
        assert_eq!(notes.contains("--draft-weights"), weights == Some(drafter), "{drafter}: {notes}");
    }
    let own = Question { draft_weights: Some("/models/mine".to_owned()), ..Question::default() };
    let export = export(&document(FIXED), &own, Target::Sglang).unwrap();
    let notes = export.notes.join("\n");
    assert!(notes.contains("--speculative-algorithm EAGLE3 --speculative-draft-model-path /models/mine "));
    assert!(!notes.contains("--draft-weights"), "{notes}");
}

#[test]
fn forced_rates_are_as_many_as_draft_tokens_and_fall() {
    // vLLM refuses any other number of them, and rates that rise.
    for target in [Target::Vllm, Target::Verl] {
        for chains in [vec![2], vec![1, 3], vec![]] {
            let question = Question { chains, ..Question::default() };
            let export = export(&document(FIXED), &question, target).unwrap();
            let k = match target {
                Target::Vllm => &export.document["num_speculative_tokens"],
                _ => &export.document["actor_rollout_ref"]["model"]["mtp"]["num_speculative_tokens"],
            };
            let note = export.notes.iter().find(|note| note.contains("synthetic_acceptance_rates")).unwrap();
            let rates: Vec<f64> = serde_json::from_str(&note[note.find('[').unwrap()..]).unwrap();
            assert_eq!(Some(rates.len() as u64), k.as_u64(), "{note}");
            assert!(rates.windows(2).all(|pair| pair[1] <= pair[0]) && rates[0] <= 1.0, "{note}");
        }
    }
}

#[test]
fn what_an_engine_refuses_is_not_exported() {
    let refused = |changes: &[(&str, &str)], message: &str| {
        let document = Document::parse("refused", &small(changes)).unwrap();
        let error = export(&document, &Question::default(), Target::Sglang).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    };
    refused(
        &[("drafter: eagle3-qwen3-8b", "drafter: ngram")],
        "speculation.drafter: SGLang's adaptive steps",
    );
    // Where nothing that is drafted is accepted there is nothing to configure.
    let useless = small(&[(
        "acceptance: { power_law: { first: 0.776, decay: 0.074, concentration: 12 } }",
        "acceptance: { per_position: [0.01, 0.01, 0.01] }",
    )]);
    let document = Document::parse("useless", &useless).unwrap();
    for target in [Target::Vllm, Target::Sglang, Target::NemoRl, Target::Verl, Target::Fastrl, Target::Dspark]
    {
        let export = export(&document, &Question::default(), target).unwrap();
        assert_eq!(export.document, Value::Null, "{target:?}");
        assert!(export.notes[0].contains("start the engine without a drafter"), "{:?}", export.notes);
    }
}

#[test]
fn cells_say_how_sure_they_are() {
    let report = solve(&document(FIXED), &Question::default()).unwrap();
    for cell in &report.cells {
        let other = cell.else_best.as_ref().map_or(0.0, |(_, share)| *share);
        assert!(cell.p_best > 0.0 && cell.p_best + other <= 1.0 + 1e-12, "{cell:?}");
        assert_eq!(cell.else_best.is_none(), cell.p_best == 1.0);
    }
    // Where the next best loses a tenth no calibration error turns the answer; where it loses nothing it does.
    for cell in &report.cells {
        assert!(cell.runner_up_loss < 0.1 || cell.p_best > 0.95, "{cell:?}");
        assert!(cell.runner_up_loss > 1e-3 || cell.p_best < 0.95, "{cell:?}");
    }
}

#[test]
fn a_drafter_that_seldom_proposes_is_left_off_at_large_batch() {
    // A published length of 2.47 counts the rounds that had a proposal: with one in six it is 1.24 over all of them.
    let text = small(&[
        ("drafter: eagle3-qwen3-8b", "drafter: ngram"),
        (
            "acceptance: { power_law: { first: 0.776, decay: 0.074, concentration: 12 } }",
            "acceptance: { length: { value: 2.47, at_k: 3, decay: 0.02, concentration: 3 } }\n  proposal_share: 0.16",
        ),
        ("max_num_seqs: 128", "max_num_seqs: 256, engine_version: '0.12.0'"),
    ]);
    let document = Document::parse("ngram", &text).unwrap();
    let question =
        Question { batches: vec![256], contexts: vec![1000], chains: vec![3], ..Question::default() };
    let cell = &solve(&document, &question).unwrap().cells[0];
    assert_eq!(cell.configuration, "off", "{cell:?}");
}

#[test]
fn a_table_of_the_users_own_is_compared() {
    let question = Question { table: Some(vec![[1, 4, 3], [5, 512, 0]]), ..Question::default() };
    let scores = schedules(&document(FIXED), &question, Stepper::Leap).unwrap();
    assert!(scores.rows.iter().any(|row| row.schedule == "your table"), "{scores:?}");
    let gap = Question { table: Some(vec![[2, 4, 3]]), ..Question::default() };
    let error = schedules(&document(FIXED), &gap, Stepper::Leap).unwrap_err().to_string();
    assert!(error.contains("must start at 1"), "{error}");
}

#[test]
fn cells_that_the_engine_never_meets_are_named() {
    let of = |batches: Vec<u32>, contexts: Vec<u32>| {
        let question = Question { batches, contexts, ..Question::default() };
        solve(&document(FIXED), &question).unwrap().warnings
    };
    assert_eq!(of(vec![1, 16], vec![500]), Vec::<String>::new());
    // 128 samples on 8 replicas; an 8B model leaves some 370,000 tokens of cache.
    let warnings = of(vec![1, 4, 64], vec![500, 100_000]).join("\n");
    assert!(warnings.contains("batch 64: a replica here has at most 16"), "{warnings}");
    assert!(warnings.contains("context 100000: max_model_len is "), "{warnings}");
    assert!(warnings.contains("from batch 4 on some contexts exceed the KV cache"), "{warnings}");
}
