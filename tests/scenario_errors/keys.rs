//! Keys and choices that are unknown, missing, more than one or not built yet.

use crate::run;

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
