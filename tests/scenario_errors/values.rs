//! Values of a wrong type, out of range, or at odds with each other.

use crate::run;

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
{ power_law: { first: 0.776, decay: 0.074, concentration: 12 } } => { power_law: { first: 0.776, decay: 0.074, at_k: 1000000 } }
    16:64 speculation.acceptance.power_law.at_k: found 1000000 | at most
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
