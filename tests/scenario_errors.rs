//! What a user sees of a scenario that is wrong: place, path, what was found, what was expected, a hint. And what must
//! be accepted: every spelling the documentation shows.
//!
//! Cases are a good scenario with one line changed, or a whole file of `tests/data/bad`. A case names the place, the
//! path and words of the message; the rest of the text may be reworded freely.

#![cfg(feature = "simulator")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rollcast::scenario::raw::{Acceptance, Count, Lengths, Speculation, Uncertain, WeightSync};
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

/// Every key that is not planned, in the sections where all are optional.
const EVERY_KEY: &str = "\
version: 1
description: every key
model: qwen3-8b
cluster: { device: h100-sxm, gpus: 32, gpus_per_node: 8, network: ib-ndr400, usd_per_gpu_hour: 0 }
workload:
  prompts_per_step: 64
  samples_per_prompt: 32
  prompt_tokens: { file: { path: prompts.txt, max: 2048 } }
  response_tokens: { histogram: { edges: [0, 100, 1000.5], weights: [1, 2.5], max: 900 } }
  group_correlation: 0.3
  response_drift: [[0, 1], [100, 1.4]]
generation:
  engine: sglang
  engine_version: \"0.5\"
  overhead: none
  kernel_floors: 0.5
  layout: { tp: 1, pp: 1, ep: 1, dp_attention: false }
  max_num_seqs: 256
  max_num_batched_tokens: 8192
  max_model_len: 20000
  num_gpu_blocks: 9000
  block_size: 16
  gpu_memory_utilization: 0.6
  enforce_eager: false
  cudagraph_mode: full_and_piecewise
  cudagraph_capture_sizes: [1, 2, 4]
  kv_cache_dtype: fp8
  weights: fp8
  temperature: 1
  router: group_affinity
  prefix_caching: true
  routing: { skew: 0.5, chain_overlap: 0.2, transport: all_to_all }
  chunked_prefill: true
speculation:
  drafter: eagle3-qwen3-8b
  acceptance: { per_position: [0.8, { value: 0.7, se: 0.02 }] }
  concentration: 12
  schedule: { fixed: { k: 0 } }
training:
  layout: { tp: 2, pp: 1, cp: 1, ep: 1, dp: 16 }
  precision: bf16
  global_batch_size: 2048
  epochs: 1
  packing: true
  micro_batch_tokens: 16384
  balance: step
  update_seconds: 0.5
  recompute: full
  mfu: { value: 0.4, se: 0.05 }
  logprob_mfu: 0.5
  reference_logprobs: true
  old_logprobs: true
loop:
  mode: sync
  colocated: false
  max_staleness: 0
  data_seconds: 1
  prepare_seconds: { value: 3, se: 0 }
  weight_sync: { seconds: { value: 4, se: 1 } }
  streaming: false
reward: { rule: { seconds: 2, overlapped: true } }
rl_steps: 10
warmup_steps: 2
seed: 18446744073709551615
uncertainty: { workload_draws: 8, worlds: 64 }
vars: { anything: [goes, 1] }
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

fn bad_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bad").join(name)
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
fn unknown_keys_name_the_nearest() {
    run(r"
response_tokens: => response_tokns:
    9:3 workload.response_tokns: unknown key | did you mean `response_tokens`? | valid here: prompts_per_step
rl_steps: => rlsteps:
    22:1 rlsteps: unknown key | did you mean `rl_steps`?
gpus: 32 => gpu: 32
    4:30 cluster.gpu: did you mean `gpus`?
sigma: 0.9 => sd: 0.9
    9:47 workload.response_tokens.lognormal.sd: valid here: mean, sigma
first: 0.776 => frist: 0.776
    16:30 speculation.acceptance.power_law.frist: `first`
k: 3 => K: 3
    17:24 speculation.schedule.fixed.K: did you mean `k`?
id: eagle3-qwen3-8b => name: x
    15:14 speculation.drafter.name: valid here: id, tp, weights
first: 0.776 => first: { value: 0.7, sd: 0.1 }
    16:51 speculation.acceptance.power_law.first.sd: valid here: value, se
gate: 0.25 => tolerance: 0.25
    28:72 expect[1].tolerance: unknown key
");
}

#[test]
fn wrong_types_say_what_was_found_and_expected() {
    run(r#"
gpus: 32 => gpus: many
    4:36 cluster.gpus: found the text `many` | a whole number from 1
gpus: 32 => gpus: "32"
    4:36 cluster.gpus: `32` | write it without quotes
gpus: 32 => gpus: 32.0
    4:36 cluster.gpus: `32.0` | without a decimal point: `32`
gpus: 32 => gpus: [32]
    4:30 cluster.gpus: found a list | a whole number
gpus: 32 => gpus: { n: 32 }
    4:30 cluster.gpus: found a map | a whole number
gpus: 32 => gpus: true
    4:36 cluster.gpus: found `true` | a whole number
device: h100-sxm => device: 100
    4:20 cluster.device: found `100` | write it in quotes
name: Qwen3 => name: 1.0 #
    2:7 name: found `1.0` | write it in quotes
name: Qwen3 => name: true #
    2:7 name: found `true` | write it in quotes
layout: { tp: 1 } => layout: [tp, 1]
    12:3 generation.layout: found a list | a map of tp, pp
layout: { tp: 1 } => layout: 4
    12:11 generation.layout: found `4` | a map of tp, pp
reference_logprobs: true => reference_logprobs: yes
    18:93 training.reference_logprobs: found the text `yes` | true or false
seed: 1 => seed: -1
    23:7 seed: found `-1` | a whole number, 0 or more
{ tp: 1 } => { tp: 1, dp_attention: 1 }
    12:34 generation.layout.dp_attention: true or false
{ constant: { tokens: 130 } } => 130
    8:18 workload.prompt_tokens: found `130` | one of lognormal, histogram, file, constant
version: 1 => version: one
    1:10 version: the text `one` | a whole number
version: 1 => version: 2
    1:10 version: found version 2, expected 1
{ speculation: off } => off
    25:11 baseline: the text `off` | a map
seed: 1 => expect: {}
    26:1 (top): `expect` is given twice
"#);
}

#[test]
fn numbers_out_of_range_are_refused_where_they_stand() {
    run(r"
gpus: 32 => gpus: -3
    4:36 cluster.gpus: found `-3` | from 1 to 1000000000
gpus: 32 => gpus: 0
    4:36 cluster.gpus: found `0` | from 1
gpus: 32 => gpus: 99999999999999999999999
    4:36 cluster.gpus: found `1e23`
gpus: 32 => gpus: 3000000000
    4:36 cluster.gpus: found `3000000000`
mean: 4000 => mean: .nan
    9:41 workload.response_tokens.lognormal.mean: found `.nan` | expected a finite number
mean: 4000 => mean: .inf
    9:41 workload.response_tokens.lognormal.mean: found `.inf`
mean: 4000 => mean: 1e999
    9:41 workload.response_tokens.lognormal.mean: found `.inf`
mean: 4000 => mean: -1
    9:41 workload.response_tokens.lognormal.mean: found -1
sigma: 0.9 => sigma: 3.1
    9:54 workload.response_tokens.lognormal.sigma: found 3.1 | 0 to 3
sigma: 0.9 => sigma: { value: 0.9, se: -1 }
    9:72 workload.response_tokens.lognormal.sigma.se: found `-1`
usd_per_gpu_hour: 2.5 => usd_per_gpu_hour: .nan
    4:96 cluster.usd_per_gpu_hour: `.nan`
k: 3 => k: 65
    17:27 speculation.schedule.fixed.k: found 65 | at most 64
first: 0.776 => first: 1.5
    16:37 speculation.acceptance.power_law.first: found 1.5 | below 1 | at_k
gate: 0.25 => gate: 0
    28:78 expect[1].gate: found `0` | above 0
worlds: 64 => worlds: 100001
    24:43 uncertainty.worlds: at most 100000
seconds: 2 => seconds: 1e9
    19:28 reward.rule.seconds: found 1000000000
");
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    run(r"
max: 16384 => max: 3000
    9:41 workload.response_tokens.lognormal.mean: a mean of 4000 cannot come out of lengths clipped at 3000 | min(X, max)
max: 16384 => min: 5000
    9:41 workload.response_tokens.lognormal.mean: at least 5000
gpus: 32 => gpus: 12
    4:36 cluster.gpus: found 12 GPUs | whole nodes of 8
prompts_per_step: 64 => prompts_per_step: 1000000
    6:21 workload.prompts_per_step: 10000000
global_batch_size: 512 => global_batch_size: 4096
    18:68 training.global_batch_size: 2048
seed: 1 => warmup_steps: 10
    23:15 warmup_steps: found 10 | fewer than rl_steps, 10
max_num_seqs: 256 => cudagraph_capture_sizes: [1, 4, 2]
    13:35 generation.cudagraph_capture_sizes[2]: found 2 after 4
{ constant: { tokens: 130 } } => { histogram: { edges: [0, 10], weights: [1, 2] } }
    8:33 workload.prompt_tokens.histogram.edges: 2 edges for 2 weights
{ constant: { tokens: 130 } } => { histogram: { edges: [0, 10, 5], weights: [1, 2] } }
    8:48 workload.prompt_tokens.histogram.edges[2]: found 5 after 10
{ constant: { tokens: 130 } } => { histogram: { edges: [0, 10], weights: [0] } }
    8:49 workload.prompt_tokens.histogram.weights: a sum of 0
{ power_law: { first: 0.776, decay: 0.074, concentration: 12 } } => { per_position: [0.8, 1.2] }
    16:37 speculation.acceptance.per_position[1]: found 1.2 | 0 to 1
{ power_law: { first: 0.776, decay: 0.074, concentration: 12 } } => { per_position: [] }
    16:17 speculation.acceptance.per_position: found 0 positions
{ power_law: { first: 0.776, decay: 0.074, concentration: 12 } } => { length: { value: 4.5, at_k: 3 } }
    16:34 speculation.acceptance.length.value: found 4.5, expected 1 to 4
{ power_law: { first: 0.776, decay: 0.074, concentration: 12 } } => { history: { start: 1.6, limit: 9, at_k: 7, rollouts: 16, dataset_prompts: 17000 } }
    16:47 speculation.acceptance.history.limit: found 9 | less than 8
schedule: => proposal_share: 1.5\n  schedule:
    17:19 speculation.proposal_share: found 1.5 | up to 1
schedule: => concentration: 3\n  schedule:
    17:18 speculation.concentration: inside `power_law`
");
}

#[test]
fn missing_keys_point_at_their_parent() {
    run(r"
version: 1 => (nothing)
    2:1 (top): missing key `version`
model: qwen3-8b => (nothing)
    1:1 (top): missing key `model`
device: h100-sxm, => (nothing)
    4:1 cluster: missing key `device`
gpus: 32, => (nothing)
    4:1 cluster: missing key `gpus`
model: qwen3-8b => model:
    3:1 model: found nothing, expected a value
samples_per_prompt: 32 => (nothing)
    5:1 workload: missing key `samples_per_prompt`
mean: 4000,  => (nothing)
    9:22 workload.response_tokens.lognormal: missing key `mean`
{ k: 3 } => {}
    17:15 speculation.schedule.fixed: missing key `k`
{ k: 3 } => (nothing)
    17:15 speculation.schedule.fixed: found nothing | a map of k
id: eagle3-qwen3-8b,  => (nothing)
    15:3 speculation.drafter: missing key `id`
source: page 2,  => (nothing)
    28:5 expect[1]: missing key `source`
");
}

#[test]
fn choices_name_the_nearest_and_are_one() {
    run(r"
engine: vllm => engine: vlm
    11:11 generation.engine: unknown choice `vlm` | did you mean `vllm`?
engine: vllm => engine: 3
    11:11 generation.engine: found `3` | one of vllm, sglang
engine: vllm => engine: { vllm: { a: 1 } }
    11:13 generation.engine.vllm: write `vllm` alone
engine: vllm => engine: {}
    11:3 generation.engine: an empty map | choose one of vllm
constant: => constnt:
    8:20 workload.prompt_tokens.constnt: did you mean `constant`?
{ constant: { tokens: 130 } } => { constant: { tokens: 130 }, file: { path: a } }
    8:47 workload.prompt_tokens: found `constant` and `file` | choose one of lognormal, histogram, file, constant
precision: bf16 => precision: fp32
    18:43 training.precision: valid here: bf16, fp8
weight_sync: colocated-ipc => weight_sync: nccl_reshrd
    21:16 loop.weight_sync: `nccl-reshard`
{ fixed: { k: 3 } } => fixed
    17:13 speculation.schedule: found nothing | a map of k
{ fixed: { k: 3 } } => true
    17:13 speculation.schedule: found `true` | one of off, fixed
");
}

#[test]
fn planned_keys_are_refused_with_that_word() {
    run(r"
{ rule: { seconds: 2 } } => { sandbox: { latency: 2 } }
    19:11 reward.sandbox: missing key `concurrency`
layout: { tp: 1 } => layout: { pp: 2 }
    12:17 generation.layout.pp: `2` is | planned and not built yet | built: 1
seed: 1 => tail: { drop: 64 }
    23:9 tail.drop: unknown key | cap
schedule: => candidates: [1]\n  schedule:
    17:16 speculation.candidates[0]: found `1` | a map of drafter
schedule: => candidates: [{ candidates: [] }]\n  schedule:
    17:18 speculation.candidates[0].candidates: planned and not built yet
");
}

#[test]
fn loops_that_cannot_be() {
    run(r"
mode: sync => mode: sync, max_staleness: 1
    20:36 loop.max_staleness: found 1 in a synchronous loop | mode: async
mode: sync => mode: sync, lead: 1
    20:27 loop.lead: found a lead of 1 RL steps in a synchronous loop | mode: async
mode: sync => mode: async, max_staleness: -1
    20:37 loop.max_staleness: found `-1`
mode: sync => mode: async, max_staleness: 1, lead: 2
    20:46 loop.lead: a lead of 2 RL steps beside a staleness of at most 1
mode: sync => over_sampling: { factor: 0.5 }
    20:34 loop.over_sampling.factor: found 0.5, expected 1 to 16
mode: sync => partial_rollouts: true
    20:27 loop.partial_rollouts: without over_sampling
mode: sync => dynamic_sampling: { all_pass: 0.6, all_fail: 0.4 }
    20:9 loop.dynamic_sampling: found 1 of the groups without signal | a filter that nothing passes
mode: sync => preset: areel
    20:17 loop.preset: unknown choice `areel` | areal
seed: 1 => pools: { generation: { device: h100-sxm, gpus: 8 } }
    23:1 pools: `pools` beside `cluster`
seed: 1 => pools: { reward: { gpus: 8 } }
    23:10 pools.reward: planned
mode: sync => dynamic_sampling: { all_pass: 0.3, all_fail: 1.3 }
    20:54 loop.dynamic_sampling.all_fail: found `1.3`
");
}

#[test]
fn whole_files_that_are_no_scenario() {
    let cases: [(&str, &str, &str, &str); 14] = [
        ("empty.yaml", ":1:1", "", "the file is empty"),
        ("only_comments.yaml", ":2:1", "", "the file is empty"),
        ("a_list.yaml", ":1:1", "", "found a list | a map of keys"),
        ("a_sentence.yaml", ":1:1", "", "found the text `hello | a map of keys"),
        ("duplicate_key.yaml", ":5:3", "", "the key `gpus` is given twice |   5 |   gpus: 16"),
        ("two_documents.yaml", ":4:1", "", "a second YAML document begins here"),
        ("unclosed.yaml", ":2:10", "", "not valid YAML | unclosed bracket"),
        ("tabs.yaml", ":3:2", "", "not valid YAML | tabs"),
        ("unknown_alias.yaml", ":2:8", "", "unknown anchor"),
        ("list_as_key.yaml", ":2:3", "", "a key must be text"),
        ("not_utf8.yaml", ":2:8", "", "not UTF-8 text: found the byte 0xe9 | save it as UTF-8"),
        ("utf16.yaml", ":1:1", "", "not UTF-8 text: found the byte 0xff | it may be UTF-16"),
        ("anchor_without_vars.yaml", ":2:1", "shared", "unknown key"),
        ("no_such_file.yaml", "", "", "there is no such file"),
    ];
    for (name, place, path, words) in cases {
        let file = bad_file(name);
        let result = Document::read(&file).and_then(|document| document.scenario());
        expect(result, &format!("{}{place}", file.display()), path, words);
    }
    let directory = bad_file("");
    expect(Document::read(&directory), &directory.display().to_string(), "", "is a directory");
}

#[test]
fn hostile_files_are_refused_at_once() {
    expect(scenario(&"[".repeat(100_000)), "s.yaml:1:256", "", "nested too deep");
    expect(scenario(&format!("vars: {}", "{a: ".repeat(100_000))), "s.yaml:1:259", "", "nested too deep");
    let mut bomb = String::from("vars: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb = format!("{bomb}v{level}: &a{level} [{aliases}]\n");
    }
    let start = Instant::now();
    let error = scenario(&bomb).map_or_else(|error| error.to_string(), |_| String::new());
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    assert!(error.contains("more than 20000 values"), "{error}");
    let huge = tempfile::NamedTempFile::new().and_then(|file| {
        std::fs::write(file.path(), vec![b'#'; 5 * 1024 * 1024])?;
        Ok(file)
    });
    if let Ok(file) = huge {
        expect(Document::read(file.path()), &file.path().display().to_string(), "", "larger than 4 MiB");
    }
    expect(scenario(&format!("\"{}\": 1\n", "\u{1b}[31m".repeat(9))), "s.yaml:1:2", "", "not valid YAML");
}

fn set(assignments: &[&str]) -> Result<Scenario, Error> {
    let mut document = Document::parse("s.yaml", GOOD)?;
    for assignment in assignments {
        document.set(assignment)?;
    }
    document.scenario()
}

#[test]
fn flags_are_named_in_their_errors() {
    let deep = format!("{}a=1", "a.".repeat(100_000));
    let cases: [(&str, &str, &str, &str); 12] = [
        (
            "workload.promts_per_step=3",
            "--set workload.promts_per_step",
            "workload.promts_per_step",
            "`prompts_per_step`",
        ),
        (
            "workload.prompts_per_step=many",
            "--set workload.prompts_per_step",
            "workload.prompts_per_step",
            "`many`",
        ),
        ("generation.layout=3", "--set generation.layout", "generation.layout", "a map of tp"),
        ("cluster={ gpus: 8 }", "--set cluster", "cluster", "missing key `device`"),
        ("seed", "--set", "", "expected PATH=VALUE"),
        ("=3", "--set", "", "one of its keys is empty"),
        ("a..b=3", "--set", "", "one of its keys is empty"),
        ("seed=[1, 2", "--set seed", "", "not valid YAML"),
        ("model.size=3", "--set model.size", "model", "the text `qwen3-8b` | expected a map"),
        ("expect[9].gate=0.1", "--set expect[9].gate", "expect", "a list of 2 items"),
        (
            "workload.response_tokens.lognormal.max=100",
            "s.yaml:9:41",
            "workload.response_tokens.lognormal.mean",
            "clipped at 100",
        ),
        (&deep, "--set", "", "at most 32 steps"),
    ];
    for (assignment, place, path, words) in cases {
        expect(set(&[assignment]), place, path, words);
    }
    let emptied = set(&["workload.prompts_per_step="]);
    expect(emptied, "--set workload.prompts_per_step", "workload.prompts_per_step", "found nothing");
    let both = set(&["workload.prompt_tokens.lognormal={ mean: 3, sigma: 1 }"]);
    expect(
        both,
        "--set workload.prompt_tokens.lognormal",
        "workload.prompt_tokens",
        "found `constant` and `lognormal`",
    );
}

#[test]
fn flags_override() -> Result<(), Error> {
    let scenario = set(&["workload.prompts_per_step=128", "rl_steps = 20", "loop.weight_sync.seconds=3"]);
    expect(scenario, "--set loop.weight_sync.seconds", "loop.weight_sync", "the text `colocated-ipc`");
    let scenario =
        set(&["workload.prompts_per_step=128", "speculation=off", "loop.weight_sync={ seconds: 3 }"])?;
    assert_eq!(scenario.workload.and_then(|w| w.prompts_per_step).map(Count::get), Some(128));
    assert_eq!(scenario.speculation, Some(Speculation::Off));
    assert_eq!(
        scenario.rl_loop.and_then(|l| l.weight_sync),
        Some(WeightSync::Seconds(Uncertain::exact(3.0)))
    );
    Ok(())
}

#[test]
fn baseline_errors_point_into_its_block() {
    run(r"
{ speculation: off } => { specualtion: off }
    25:13 specualtion: did you mean `speculation`?
{ speculation: off } => { workload: { promts: 3 } }
    25:25 workload.promts: unknown key
{ speculation: off } => { workload.promts: 3 }
    25:13 workload.promts: unknown key
{ speculation: off } => { speculation.schedule: 3 }
    25:35 speculation.schedule: found `3`
{ speculation: off } => { model.x: 3 }
    25:13 model: expected a map
{ speculation: off } => { a..b: 3 }
    25:13 (top): one of its keys is empty
{ speculation: off } => { expect: [] }
    25:13 baseline.expect: cannot override
{ speculation: off } => { cluster.gpus: 9 }
    25:27 cluster.gpus: whole nodes
");
}

#[test]
fn a_baseline_merges_sections_and_replaces_the_rest() -> Result<(), Error> {
    let text = changed(
        "{ speculation: off }",
        "{ generation: { layout: { pp: 1 } }, workload: { prompt_tokens: { constant: { tokens: 7 } } }, \
         speculation.schedule.fixed.k: 5 }",
    );
    let document = Document::parse("s.yaml", &text)?;
    let (forecast, baseline) = (document.scenario()?, document.baseline()?.scenario()?);
    let layout =
        baseline.generation.as_ref().and_then(|generation| generation.layout.clone()).unwrap_or_default();
    assert_eq!((layout.tp.map(Count::get), layout.pp.map(Count::get)), (Some(1), Some(1)));
    let length = baseline.workload.as_ref().and_then(|workload| workload.prompt_tokens.clone());
    assert!(matches!(length, Some(Lengths::Constant(constant)) if constant.tokens.get() == 7));
    assert!(format!("{:?}", baseline.speculation).contains("CountOrZero(5)"));
    assert!(forecast.expect.is_some() && baseline.expect.is_none() && baseline.baseline.is_none());

    let plain =
        Document::parse("s.yaml", &changed("baseline: { speculation: off }", ""))?.baseline()?.scenario()?;
    assert_eq!(plain.speculation, Some(Speculation::Off), "the default baseline");
    let same = Document::parse("s.yaml", &changed("{ speculation: off }", "{}"))?.baseline()?.scenario()?;
    assert_ne!(same.speculation, Some(Speculation::Off), "an empty baseline overrides nothing");
    Ok(())
}

#[test]
fn every_key_of_the_example_is_read() -> Result<(), Error> {
    let read = scenario(GOOD)?;
    let text = serde_json::to_string(&read).unwrap_or_default();
    assert_eq!(
        Document::parse("again.json", &text)?.scenario()?,
        read,
        "a scenario written as JSON reads the same"
    );
    let shown = scenario(EVERY_KEY)?;
    let json = serde_json::to_value(&shown).unwrap_or_default();
    for section in ["cluster", "workload", "generation", "training", "uncertainty"] {
        let keys =
            json[section].as_object().map(|map| map.iter().filter(|(_, value)| value.is_null()).count());
        let planned = usize::from(section == "training");
        assert_eq!(keys, Some(planned), "{section}: {}", json[section]);
    }
    Ok(())
}

#[test]
fn speculation_is_off_in_every_spelling() -> Result<(), Error> {
    let start = GOOD.find("speculation:").unwrap_or(0);
    let end = GOOD.find("training:").unwrap_or(0);
    for off in ["off", "Off", "OFF", "\"off\"", "false", "'off'"] {
        let text = format!("{}speculation: {off}\n{}", &GOOD[..start], &GOOD[end..]);
        assert_eq!(scenario(&text)?.speculation, Some(Speculation::Off), "{off}");
    }
    for off in ["off", "false", "\"off\"", "{ off: }"] {
        let text = changed("{ fixed: { k: 3 } }", off);
        assert!(format!("{:?}", scenario(&text)?.speculation).contains("Off"), "{off}");
    }
    Ok(())
}

#[test]
fn uncertain_numbers_and_short_forms() -> Result<(), Error> {
    let law = "{ power_law: { first: 0.776, decay: 0.074, concentration: 12 } }";
    let read = scenario(&changed(law, "{ per_position: [1, 0.5, { value: 0.4, se: 0.1 }] }"))?;
    let Some(Speculation::On(config)) = read.speculation else { panic!("speculation is on") };
    let expected = vec![Uncertain::exact(1.0), Uncertain::exact(0.5), Uncertain { value: 0.4, se: 0.1 }];
    assert_eq!(config.acceptance, Some(Acceptance::PerPosition(expected)));
    let read = scenario(&changed("{ id: eagle3-qwen3-8b, tp: 1, weights: bf16 }", "eagle3-qwen3-8b"))?;
    assert!(format!("{read:?}").contains("Drafter { id: Some(\"eagle3-qwen3-8b\"), tp: None"));
    Ok(())
}

#[test]
fn anchors_and_merge_keys_are_resolved() -> Result<(), Error> {
    let text = changed("seed: 1", "vars: { shape: &shape { tp: 2, pp: 1 } }")
        .replace("layout: { tp: 1 }", "layout: { <<: *shape, tp: 4 }");
    // The anchor must stand before its use.
    let (vars, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("vars"));
    let read = scenario(&[vars, rest].concat().join("\n"))?;
    let layout = read.generation.and_then(|generation| generation.layout).unwrap_or_default();
    assert_eq!((layout.tp.map(Count::get), layout.pp.map(Count::get)), (Some(4), Some(1)));
    Ok(())
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

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn no_text_makes_it_panic(edits in prop::collection::vec((0..3_u8, any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = GOOD.as_bytes().to_vec();
        for (kind, at, other, byte) in edits {
            if bytes.is_empty() {
                break;
            }
            match kind {
                0 => {
                    bytes.remove(at.index(bytes.len()));
                }
                1 => bytes.insert(at.index(bytes.len()), byte),
                _ => {
                    let mut lines: Vec<Vec<u8>> = bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
                    let (a, b) = (at.index(lines.len()), other.index(lines.len()));
                    lines.swap(a, b);
                    bytes = lines.join(&b'\n');
                }
            }
        }
        if let Err(error) = scenario(&String::from_utf8_lossy(&bytes)) {
            prop_assert!(error.place().is_some(), "no place: {error}");
            prop_assert!(!error.message().is_empty());
        }
    }

    #[test]
    fn no_flag_makes_it_panic(assignment in "[a-z.=\\[\\]{}:0-9 ]{0,40}") {
        if let Ok(mut document) = Document::parse("s.yaml", GOOD) {
            let _ = document.set(&assignment).and_then(|()| document.scenario());
        }
    }
}
