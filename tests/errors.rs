//! Scenarios that are well written and cannot be: what `resolve` refuses, where it points, and whether what it
//! proposes instead works. What the form itself refuses is in `scenario_errors.rs`.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;

use common::{File, Run, SMALL, number, run, small};
use serde_json::{Value, json};

const MODEL: &str = "model: qwen3-8b";
const GPUS: &str = "gpus: 8, usd_per_gpu_hour: 2.5";
const RESPONSES: &str = "response_tokens: { lognormal: { mean: 500, sigma: 0.8, max: 2048 } }";
const ENGINE: &str = "layout: { tp: 1 }, max_num_seqs: 128";
const DRAFTER: &str = "  drafter: eagle3-qwen3-8b\n";
const ACCEPTANCE: &str = "  acceptance: { power_law: { first: 0.776, decay: 0.074, concentration: 12 } }\n";
const SCHEDULE: &str = "  schedule: { fixed: { k: 3 } }\n";

/// The small scenario, changed, must be bad input: refused where `at` stands in the file, in these words.
fn refused(changes: &[(&str, &str)], at: &str, said: &[&str]) {
    let text = small(changes);
    let file = File::new(&text);
    let start = text.find(at).unwrap_or_else(|| panic!("no `{at}` in:\n{text}"));
    let line = text[..start].matches('\n').count() + 1;
    let column = start - text[..start].rfind('\n').map_or(0, |end| end + 1) + 1;
    let place = format!("{}:{line}:{column}:", file.name());
    let refusal = run(&["run", file.name()]).exits(2).says(&[&place]).says(said);
    assert_eq!(refusal.out, "", "nothing but the error");
}

#[test]
fn the_small_scenario_is_right() {
    accepted(&[]);
}

/// The small scenario, changed, must run.
fn accepted(changes: &[(&str, &str)]) -> Value {
    let file = File::new(&small(changes));
    run(&["run", file.name(), "--format", "json"]).exits(0).json()
}

// ---- memory ----

/// `KEY: VALUE` proposals behind `what would fit:`.
fn proposals(run: &Run) -> Vec<String> {
    let line =
        run.err.lines().find_map(|line| line.split_once("what would fit: ")).map(|(_, rest)| rest.to_owned());
    let list = line.unwrap_or_else(|| panic!("no proposal in:\n{}", run.err));
    list.split(", or ").map(|proposal| proposal.replacen(": ", "=", 1)).collect()
}

/// The number before `unit`.
fn before(text: &str, unit: &str) -> f64 {
    let at = text.find(unit).unwrap_or_else(|| panic!("no `{unit}` in:\n{text}"));
    text[..at].split_whitespace().last().unwrap().parse().unwrap()
}

#[test]
fn a_model_too_large_is_told_by_how_much_and_what_it_proposes_works() {
    // Two nodes hold the training state of 70.6e9 weights; a single GPU does not hold the weights.
    let large = [
        (MODEL, "model: llama-3.1-70b"),
        (GPUS, "gpus: 16, gpus_per_node: 8"),
        ("drafter: eagle3-qwen3-8b", "drafter: eagle3-llama-3.3-70b"),
    ];
    let file = File::new(&small(&large));
    let refusal = run(&["run", file.name()]).exits(1).says(&[
        "llama-3.1-70b",
        "tensor parallelism 1",
        "h100-sxm",
        "weights 131.4 GiB",
    ]);
    let missing = before(&refusal.err, "GiB too much");
    // Weights alone are 131.4 GiB where the engine may take 0.9 of 79.6.
    assert!((59.8..75.0).contains(&missing), "{missing}:\n{}", refusal.err);
    let proposals = proposals(&refusal);
    assert!(
        proposals.iter().any(|p| p == "generation.layout.tp=4" || p == "generation.layout.tp=2"),
        "{proposals:?}"
    );
    for proposal in &proposals {
        run(&["run", file.name(), "--set", proposal, "--quiet"]).exits(0);
    }
    // What it does not propose does not work: the next narrower width.
    if proposals.iter().any(|p| p == "generation.layout.tp=4") {
        run(&["run", file.name(), "--set", "generation.layout.tp=2"]).exits(1).says(&["GiB too much"]);
    }
}

#[test]
fn following_the_advice_on_one_node_ends_in_a_run() {
    let large =
        [(MODEL, "model: llama-3.1-70b"), ("drafter: eagle3-qwen3-8b", "drafter: eagle3-llama-3.3-70b")];
    let file = File::new(&small(&large));
    let first = run(&["run", file.name()]).exits(1).says(&["generation.layout.tp"]);
    let wider = proposals(&first).swap_remove(0);
    // Serving fits now; training 18 bytes a weight on eight GPUs does not.
    let second =
        run(&["run", file.name(), "--set", &wider]).exits(1).says(&["training llama-3.1-70b on 8 GPUs"]);
    let needed = before(&second.err, "GPUs of this kind");
    let nodes = (needed / 8.0).ceil() * 8.0;
    let set = |gpus: f64| format!("cluster.gpus={gpus}");
    run(&["run", file.name(), "--set", &wider, "--set", &set(nodes)]).exits(0);
    run(&["run", file.name(), "--set", &wider, "--set", &set(nodes - 8.0)]).exits(1);
}

#[test]
fn without_a_given_width_the_smallest_that_fits_is_taken() {
    let large = [
        (MODEL, "model: llama-3.1-70b"),
        (GPUS, "gpus: 16, gpus_per_node: 8"),
        ("drafter: eagle3-qwen3-8b", "drafter: eagle3-llama-3.3-70b"),
        ("layout: { tp: 1 }, ", ""),
    ];
    let result = accepted(&large);
    let tp = number(&result, "resolved.generation.layout.tp");
    assert!(tp > 1.0, "70B needs more than one H100");
    assert_eq!(number(&result, "resolved.generation.replicas"), 16.0 / tp);
    let narrower = format!("generation.layout.tp={}", tp / 2.0);
    let file = File::new(&small(&large));
    run(&["run", file.name(), "--set", &narrower]).exits(1);
}

#[test]
fn a_cache_for_less_than_one_sequence_is_refused() {
    // 130 + 2048 tokens and the look-ahead of K = 3 are 137 blocks of 16.
    refused(
        &[(ENGINE, "num_gpu_blocks: 136, max_num_seqs: 128")],
        "136",
        &["generation.num_gpu_blocks", "137"],
    );
    accepted(&[(ENGINE, "num_gpu_blocks: 137, max_num_seqs: 128")]);
}

// ---- layouts ----

#[test]
fn impossible_widths_point_at_the_width_and_list_the_possible() {
    let tp = |width: &str| format!("layout: {{ tp: {width} }}, max_num_seqs: 128");
    refused(&[(ENGINE, &tp("3"))], "3 }, max_num", &["generation.layout.tp", "32 query heads", "1, 2, 4, 8"]);
    refused(
        &[(ENGINE, &tp("16"))],
        "16 }, max_num",
        &["generation.layout.tp", "replicas of 16", "1, 2, 4, 8"],
    );
    // 28 heads: 8 divides the GPUs and not the heads.
    let other = [(MODEL, "model: qwen2.5-7b"), ("drafter: eagle3-qwen3-8b", "drafter: eagle3-qwen2.5-7b")];
    let changes: Vec<_> =
        other.into_iter().chain([(ENGINE, "layout: { tp: 8 }, max_num_seqs: 64")]).collect();
    refused(&changes, "8 }, max_num", &["28 query heads", "possible here: 1, 2, 4"]);
    // Between nodes is possible; on a network that nobody measured it is a formula, beyond what was fitted.
    let extrapolated = |network: &str| {
        let gpus = format!("gpus: 16, gpus_per_node: 8, network: {network}");
        let result = accepted(&[(GPUS, &gpus), (ENGINE, "layout: { tp: 16 }")]);
        number(&result, "provenance.extrapolated_share")
    };
    assert!(extrapolated("ethernet-100") > extrapolated("ib-ndr400") + 0.02);
    let training = [("training: { mfu: 0.4,", "training: { layout: { tp: 3 }, mfu: 0.4,")];
    refused(&training, "3 }, mfu", &["training.layout.tp", "32 query heads"]);
    let replicas = [("training: { mfu: 0.4,", "training: { layout: { tp: 2, dp: 3 }, mfu: 0.4,")];
    refused(&replicas, "3 }, mfu", &["training.layout.dp", "4"]);
    refused(&[(GPUS, "gpus: 12")], "12", &["cluster.gpus", "nodes of 8"]);
    let drafter = [("drafter: eagle3-qwen3-8b", "drafter: { id: eagle3-qwen3-8b, tp: 2 }")];
    refused(&drafter, "2 }\n  acc", &["speculation.drafter.tp"]);
}

#[test]
fn formats_that_the_device_lacks_are_refused() {
    let a100 = ("device: h100-sxm", "device: a100-sxm-80g");
    refused(&[a100, (ENGINE, "weights: fp8")], "fp8", &["generation.weights", "no fp8", "bf16"]);
    refused(&[a100, (ENGINE, "kv_cache_dtype: fp8")], "fp8", &["generation.kv_cache_dtype", "no fp8"]);
    let training = ("training: { mfu", "training: { precision: fp8, mfu");
    refused(&[a100, training], "fp8", &["training.precision", "no fp8"]);
    accepted(&[a100]);
}

#[test]
fn settings_that_an_engine_does_not_have_are_refused() {
    refused(&[(ENGINE, "engine_version: '0.1'")], "'0.1'", &["generation.engine_version", "0.8.0", "vllm"]);
    refused(&[(ENGINE, "engine_version: newest")], "newest", &["generation.engine_version", "such as"]);
    let both = "enforce_eager: true, cudagraph_mode: piecewise";
    refused(&[(ENGINE, both)], "piecewise", &["generation.cudagraph_mode", "enforce_eager"]);
    refused(&[(ENGINE, "kernel_floors: 1.5")], "1.5", &["generation.kernel_floors", "0 to 1"]);
    accepted(&[(ENGINE, "engine_version: '0.9.1', max_num_seqs: 256")]);
}

#[test]
fn a_table_by_batch_size_costs_whole_graphs_where_the_engine_says_so() {
    let table =
        ("schedule: { fixed: { k: 3 } }", "schedule: { vllm_table: { table: [[1, 4, 3], [5, 512, 0]] } }");
    let mode = |version: &str| {
        let engine = format!("engine_version: '{version}', max_num_seqs: 128");
        let result = accepted(&[table, (ENGINE, &engine)]);
        result["resolved"]["generation"]["engine"]["graph_mode"].as_str().unwrap().to_owned()
    };
    assert_eq!(mode("0.24.0"), "piecewise");
    assert_eq!(mode("0.25.0"), "full_and_piecewise", "a dense model");
    assert_eq!(mode("0.33.0"), "full_and_piecewise");
    let old = [table, (ENGINE, "engine_version: '0.12.0', max_num_seqs: 128")];
    refused(&old, "schedule: { vllm", &["speculation.schedule", "no such table", "0.24"]);
}

#[test]
fn what_only_look_ups_have_is_refused_elsewhere() {
    let schedule = "schedule: { fixed";
    let share = format!("proposal_share: 0.4\n  {schedule}");
    refused(&[(schedule, &share)], "0.4\n", &["speculation.proposal_share", "has weights", "ngram"]);
    let ngram = ("drafter: eagle3-qwen3-8b", "drafter: ngram");
    accepted(&[ngram, (schedule, &share)]);
    let history = "{ history: { start: 1.6, limit: 4, at_k: 7, rollouts: 16, dataset_prompts: 17000 } }";
    let law = "{ power_law: { first: 0.776, decay: 0.074, concentration: 12 } }";
    refused(
        &[ngram, (law, history)],
        "history: {",
        &["speculation.acceptance.history", "keeps nothing", "suffix"],
    );
    accepted(&[("drafter: eagle3-qwen3-8b", "drafter: suffix"), (law, history)]);
}

// ---- names ----

#[test]
fn unknown_names_bring_the_nearest() {
    refused(&[(MODEL, "model: qwen3-8bb")], "qwen3-8bb", &["unknown model `qwen3-8bb`", "nearest: qwen3-8b"]);
    refused(&[("device: h100-sxm", "device: h10-sxm")], "h10-sxm", &["unknown device", "h100-sxm"]);
    let drafter = [("drafter: eagle3-qwen3-8b", "drafter: eagle-qwen3-8b")];
    refused(&drafter, "eagle-qwen3-8b", &["unknown drafter", "eagle3-qwen3-8b"]);
    refused(&[(GPUS, "gpus: 8, network: ib-ndr40")], "ib-ndr40", &["unknown network", "ib-ndr400"]);
}

#[test]
fn a_drafter_of_another_target_names_those_that_fit() {
    let other = [("drafter: eagle3-qwen3-8b", "drafter: eagle3-llama-3.1-8b")];
    refused(
        &other,
        "eagle3-llama-3.1-8b",
        &["speculation.drafter", "llama-3.1-8b", "drafters for qwen3-8b:", "eagle3-qwen3-8b", "ngram"],
    );
    let small = [(MODEL, "model: qwen3-0.6b")];
    refused(&small, "eagle3-qwen3-8b", &["drafters for qwen3-0.6b:", "ngram", "suffix"]);
}

// ---- lengths ----

#[test]
fn sequences_beyond_the_context_are_refused_and_what_fits_is_said() {
    // Qwen3-8B was made for 40,960 positions; prompts take 130.
    let responses = |lengths: &str, at: &str, said: &[&str]| {
        refused(&[(RESPONSES, &format!("response_tokens: {lengths}"))], at, said);
    };
    let long = "{ lognormal: { mean: 500, sigma: 0.8, max: 40831 } }";
    let said = ["workload.response_tokens", "qwen3-8b's context of 40960", "40830 fits"];
    responses(long, "response_tokens", &said);
    accepted(&[("max: 2048", "max: 40830")]);
    responses("{ constant: { tokens: 40831 } }", "response_tokens", &said);
    // Without a maximum the context is one, and no clipped mean reaches it.
    responses("{ lognormal: { mean: 40830, sigma: 0.8 } }", "40830", &["lognormal.mean", "clipped at 40830"]);
    responses("{ lognormal: { mean: 50000, sigma: 0.8 } }", "50000", &["lognormal.mean", "40830"]);

    // Prompts without a maximum leave the responses what they were given.
    let prompts = (
        "prompt_tokens: { constant: { tokens: 130 } }",
        "prompt_tokens: { lognormal: { mean: 130, sigma: 0.4 } }",
    );
    let result = accepted(&[prompts, ("max: 2048", "max: 30000")]);
    assert_eq!(number(&result, "resolved.workload.prompt_tokens.max"), 10960.0);
    assert_eq!(
        number(&accepted(&[prompts]), "resolved.workload.prompt_tokens.max"),
        20480.0,
        "half of the context"
    );

    let engine = |len: &str| format!("max_model_len: {len}, max_num_seqs: 128");
    refused(&[(ENGINE, &engine("2177"))], "response_tokens", &["generation.max_model_len", "2047 fits"]);
    accepted(&[(ENGINE, &engine("2178"))]);
    refused(&[(ENGINE, &engine("40961"))], "40961", &["generation.max_model_len", "40960"]);
}

#[test]
fn files_of_lengths_are_read_or_refused_by_line() {
    let text = small(&[(RESPONSES, "response_tokens: { file: { path: lengths.txt } }")]);
    let file = File::new(&text);
    let lengths = |content: &str| fs::write(file.folder.path().join("lengths.txt"), content).unwrap();
    let path = "workload.response_tokens.file.path";
    let line = text.lines().position(|line| line.contains("lengths.txt")).unwrap() + 1;
    let place = format!("{}:{line}:", file.name());
    let refused = |said: &[&str]| {
        run(&["run", file.name()]).exits(2).says(&[&place, path, "lengths.txt"]).says(said);
    };
    refused(&["cannot read", "No such file"]);
    lengths("# measured\n100\n\nmany\n");
    refused(&["lengths.txt:4:", "`many`", "one length in tokens a line"]);
    lengths("100\n0\n");
    refused(&["lengths.txt:2:", "`0`"]);
    lengths("100\n-5\n");
    refused(&["lengths.txt:2:", "`-5`"]);
    lengths("# nothing yet\n");
    refused(&["no lengths"]);
    fs::remove_file(file.folder.path().join("lengths.txt")).unwrap();
    fs::create_dir(file.folder.path().join("lengths.txt")).unwrap();
    refused(&["cannot read"]);
    fs::remove_dir(file.folder.path().join("lengths.txt")).unwrap();

    lengths("# measured\n100\n\n  300  \n");
    let result = run(&["run", file.name(), "--format", "json"]).exits(0).json();
    let tokens = number(&result, "simulator.simulated_tokens");
    let samples = 8.0 * 128.0;
    assert!((110.0 * samples..290.0 * samples).contains(&tokens), "{tokens} tokens of {samples} samples");
    assert_eq!((tokens - 100.0 * samples) % 200.0, 0.0, "only the lengths of the file");
}

// ---- speculation ----

#[test]
fn speculation_needs_all_of_its_parts() {
    refused(&[(SCHEDULE, "")], "speculation:", &["speculation.schedule", "required"]);
    refused(&[(ACCEPTANCE, "")], "speculation:", &["speculation.acceptance", "required"]);
    refused(&[(DRAFTER, "")], "speculation:", &["speculation.drafter", "required"]);
}

#[test]
fn drafts_fit_the_step_and_their_rates() {
    let budget = "layout: { tp: 1 }, max_num_seqs: 128, max_num_batched_tokens: 512";
    accepted(&[(ENGINE, budget)]);
    let deeper = ("k: 3", "k: 4");
    refused(
        &[(ENGINE, budget), deeper],
        "128, max_num",
        &["generation.max_num_seqs", "640", "512", "102 fit"],
    );
    accepted(&[(ENGINE, &budget.replace("128", "102")), deeper]);
    refused(&[(ENGINE, &budget.replace("128", "103")), deeper], "103, max_num", &["515"]);

    let two = (ACCEPTANCE, "  acceptance: { per_position: [0.8, 0.7] }\n");
    refused(&[two], "per_position", &["speculation.acceptance.per_position", "2 rates", "3 tokens"]);
    accepted(&[two, ("k: 3", "k: 2")]);
    let useless = (ACCEPTANCE, "  acceptance: { length: { value: 1, at_k: 3 } }\n");
    refused(&[useless], "1, at_k", &["speculation.acceptance.length.value", "more than 1"]);
}

// ---- a model of one's own ----

#[test]
fn a_config_json_by_path_runs_like_the_catalog_entry() {
    // Qwen3-8B's own figures.
    let config = json!({
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "num_hidden_layers": 36, "hidden_size": 4096,
        "intermediate_size": 12288, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
        "vocab_size": 151_936, "tie_word_embeddings": false, "max_position_embeddings": 40960
    });
    let off = SMALL
        .replace(&[DRAFTER, ACCEPTANCE, SCHEDULE].concat(), "")
        .replace("speculation:\n", "speculation: off\n");
    let by_id = {
        let file = File::new(&off);
        run(&["run", file.name(), "--format", "json"]).exits(0).json()
    };
    let file = File::new(&off.replace(MODEL, "model: ./mine/config.json"));
    let folder = file.folder.path().join("mine");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let by_path = run(&["run", file.name(), "--format", "json"]).exits(0).json();
    for quantity in ["forecast.step_s.mean", "forecast.stages_s.generation", "resolved.generation.kv_blocks"]
    {
        assert_eq!(number(&by_path, quantity), number(&by_id, quantity), "{quantity}");
    }

    fs::write(folder.join("config.json"), "{ \"model_type\": \"qwen3\", ").unwrap();
    run(&["run", file.name()]).exits(2).says(&[":3:8: model:", "config.json:1:", "not valid JSON"]);
    fs::remove_file(folder.join("config.json")).unwrap();
    run(&["run", file.name()]).exits(2).says(&["s.yaml:3:8: model:", "mine/config.json"]);
}

// ---- numbers beyond all use: refused, rather than an aborted process or an infinite second ----

#[test]
fn what_would_not_fit_this_machine_is_refused() {
    refused(&[(GPUS, "gpus: 1000000000")], "1000000000", &["cluster.gpus", "at most 100000"]);
    refused(&[("rl_steps: 2", "rl_steps: 1000000000")], "1000000000", &["rl_steps", "at most 10000"]);
    let together = [(GPUS, "gpus: 80000"), ("rl_steps: 2", "rl_steps: 100")];
    refused(&together, "100\nseed", &["rl_steps", "80000 GPUs x 100 RL steps x 2 draws"]);
    let years = [("data_seconds: 0.2", "data_seconds: 1e7"), ("rl_steps: 2", "rl_steps: 1000")];
    refused(&years, "1000\nseed", &["rl_steps", "s together"]);
    refused(&[("mfu: 0.4,", "mfu: 1e-300,")], "2\nseed", &["rl_steps", "s together"]);
    let worlds = [("workload_draws: 2, worlds: 8", "workload_draws: 1000, worlds: 10000")];
    refused(&worlds, "uncertainty", &["1000 draws x 10000 worlds"]);
}

#[test]
fn a_standard_error_beyond_its_number_is_refused() {
    let of = |from: &str, to: &str, path: &str| {
        let at = to.find("se: ").map(|start| &to[start + 4..]).unwrap();
        refused(&[(from, to)], at, &[path, "standard error of at most"]);
    };
    of("data_seconds: 0.2", "data_seconds: { value: 0.2, se: 1e15 }", "loop.data_seconds.se");
    of("rule: { seconds: 2 }", "rule: { seconds: { value: 0, se: 0.5 } }", "reward.rule.seconds.se");
    of("mfu: 0.4,", "mfu: { value: 0.4, se: 5 },", "training.mfu.se");
    of("mean: 500", "mean: { value: 500, se: 501 }", "lognormal.mean.se");
    of("sigma: 0.8", "sigma: { value: 0.8, se: 4 }", "lognormal.sigma.se");
    of("first: 0.776", "first: { value: 0.776, se: 0.6 }", "power_law.first.se");
    of("decay: 0.074", "decay: { value: 0.074, se: 11 }", "power_law.decay.se");
    accepted(&[
        ("data_seconds: 0.2", "data_seconds: { value: 0.2, se: 0.2 }"),
        ("mean: 500", "mean: { value: 500, se: 500 }"),
    ]);
}

#[test]
fn what_would_have_no_effect_is_refused() {
    let length = "{ length: { value: 2.77, at_k: 3, decay: { value: 0.08, se: 0.01 } } }";
    let law = "{ power_law: { first: 0.776, decay: 0.074, concentration: 12 } }";
    refused(&[(law, length)], "0.01 }", &["acceptance.length.decay.se", "nothing carries it"]);
    let training = "training: { mfu: 0.4,";
    let with = |keys: &str| format!("training: {{ {keys}, mfu: 0.4,");
    refused(
        &[(training, &with("update_seconds: -20"))],
        "-20",
        &["training.update_seconds", "expected 0 to"],
    );
    refused(&[(training, &with("layout: { ep: 7 }"))], "7 }", &["training.layout.ep", "qwen3-8b has none"]);
    let moe = [("model: qwen3-8b", "model: qwen3-30b-a3b"), ("drafter: eagle3-qwen3-8b", "drafter: ngram")];
    let spread = |ep: u32| with(&format!("layout: {{ ep: {ep} }}"));
    refused(&[moe[0], moe[1], (training, &spread(7))], "7 }", &["do not divide the 128 experts"]);
    refused(&[moe[0], moe[1], (training, &spread(64))], "64 }", &["8 GPUs of a pipeline stage do not split"]);
    accepted(&[moe[0], moe[1], (training, &spread(8))]);
    let contention = with("drafter: { contention: 0.5, seconds: 1 }");
    refused(&[(training, &contention)], "0.5", &["training.drafter.contention", "placement: overlapped"]);
    refused(
        &[("rl_steps: 2\n", "warmup_steps: 4\n")],
        "4\n",
        &["warmup_steps: found 4", "fewer than rl_steps, 4"],
    );
}

#[test]
fn every_error_that_is_read_widens_a_band() {
    let spread = |changes: &[(&str, &str)]| {
        let run = accepted(changes);
        number(&run, "forecast.step_s.p95") - number(&run, "forecast.step_s.p05")
    };
    let update = |se: &str| format!("training: {{ update_seconds: {{ value: 5, se: {se} }}, mfu: 0.4,");
    let of = |se: &str| spread(&[("training: { mfu: 0.4,", &update(se))]);
    assert!(of("4") > of("0") + 2.0, "{} {}", of("4"), of("0"));
    let prompt = |se: &str| {
        format!(
            "prompt_tokens: {{ lognormal: {{ mean: {{ value: 4000, se: {se} }}, sigma: 0.5, max: 8192 }} }}"
        )
    };
    let prompts = "prompt_tokens: { constant: { tokens: 130 } }";
    let (sure, unsure) = (prompt("0"), prompt("1500"));
    assert!(spread(&[(prompts, &unsure)]) > 1.2 * spread(&[(prompts, &sure)]));
    let run = accepted(&[(prompts, &unsure)]);
    let rows = run["sensitivity"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["input"] == "mean prompt length"), "{rows:#?}");
}

#[test]
fn a_pool_without_a_price_is_named() {
    let pools = "pools: { generation: { device: h100-sxm, gpus: 8 }, training: { device: gb200, gpus: 8 } }";
    let run = accepted(&[("cluster: { device: h100-sxm, gpus: 8, usd_per_gpu_hour: 2.5 }", pools)]);
    let said = run["warnings"].to_string();
    assert!(said.contains("gb200, so it counts as free: pools.training.usd_per_gpu_hour"), "{said}");
}

#[test]
fn a_step_too_small_for_one_draft_says_what_it_needs() {
    let tiny = "layout: { tp: 1 }, max_num_seqs: 1, max_num_batched_tokens: 3";
    refused(&[(ENGINE, tiny)], "1, max_num_b", &["generation.max_num_batched_tokens of 4 or more"]);
    accepted(&[(ENGINE, &tiny.replace("tokens: 3", "tokens: 4"))]);
}

#[test]
fn equal_lengths_may_be_written_as_a_law_without_spread() {
    let constant = accepted(&[(RESPONSES, "response_tokens: { constant: { tokens: 300 } }")]);
    let law = accepted(&[(RESPONSES, "response_tokens: { lognormal: { mean: 300, sigma: 0, max: 300 } }")]);
    assert_eq!(number(&law, "forecast.step_s.mean"), number(&constant, "forecast.step_s.mean"));
    accepted(&[(
        RESPONSES,
        "response_tokens: { lognormal: { mean: 1, sigma: { value: 0, se: 0.1 }, max: 1 } }",
    )]);
}

#[test]
fn a_large_concentration_is_no_spread_and_takes_no_time() {
    let with =
        |concentration: &str| accepted(&[("concentration: 12", &format!("concentration: {concentration}"))]);
    let length = |result: Value| number(&result, "forecast.acceptance_length");
    let started = std::time::Instant::now();
    let (alike, nearly) = (length(with("1e15")), length(with("1e5")));
    assert!(started.elapsed().as_secs_f64() < 5.0, "{:?}", started.elapsed());
    assert!((alike / nearly - 1.0).abs() < 0.02, "{alike} {nearly}");
}

#[test]
fn a_flag_that_sets_the_value_of_an_uncertain_number_is_named() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/quickstart.yaml");
    let flag = "workload.response_tokens.lognormal.mean.value=-5";
    run(&["run", file, "--set", flag]).exits(2).says(&["--set workload", "found -5"]);
}
