//! What each framework calls its metrics.
//!
//! Names are those of the frameworks' own code: verl (`metric_utils.py`, from mid 2024 on), NeMo-RL (`grpo.py`, v0.4 on), slime
//! and miles (`train_metric_utils.py`, `rollout.py`), SkyRL (`trainer.py`). Left out: frameworks whose console has no
//! fixed form (AReaL, prime-rl), and metrics that no key of a scenario is about.

/// Names in the order in which they are looked for: newer ones first.
pub(super) type Names = &'static [&'static str];

/// Seconds of a stage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stage {
    /// Where the forecast has it.
    pub quantity: &'static str,
    /// Its metric.
    pub names: Names,
    /// Metrics that are inside it and are something else.
    pub less: Names,
    /// What to know of it.
    pub note: &'static str,
}

/// The names of one framework.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    pub response_mean: Names,
    pub response_longest: Names,
    pub response_clipped: Names,
    pub response_median: Names,
    /// What to know of the maximum.
    pub cut: &'static str,
    pub response_deviation: Names,
    pub prompt_mean: Names,
    pub prompt_longest: Names,
    /// Mean of prompt and response together, where prompts have no metric.
    pub total_mean: Names,
    /// Prompt and response tokens of a step.
    pub tokens: Names,
    /// Tokens a second and GPU over the step: with `tokens` it tells the number of GPUs.
    pub throughput: Names,
    /// A metric that only loops that run ahead have.
    pub asynchronous: Names,
    pub stages: &'static [Stage],
    /// Seconds of scoring that the step waits for.
    pub reward: Names,
    pub step: Names,
    /// Metrics inside the step that come and go: validation, checkpoints. The first is inside in some versions only.
    pub interruptions: Names,
    pub mfu: Names,
    /// Acceptance length, bonus token included.
    pub acceptance: Names,
    /// How `acceptance` is averaged.
    pub averaged: &'static str,
    /// Metric of the share of rounds that accepted position i, less the position; and the number of the first one.
    pub position: (&'static str, usize),
    pub drafts: Names,
    pub draft_tokens: Names,
}

const GENERATION: &str = "forecast.stages_s.generation";
const PREPARE: &str = "forecast.stages_s.prepare";
const LOGPROB_OLD: &str = "forecast.stages_s.logprob_old";
const LOGPROB_REFERENCE: &str = "forecast.stages_s.logprob_reference";
const TRAINING: &str = "forecast.stages_s.training";
const DATA: &str = "forecast.stages_s.data";
const REPLICA_MEAN: &str = "forecast.loop.replica_mean_s";
const EXPOSED_GENERATION: &str = "forecast.exposed_s.generation";

const fn stage(quantity: &'static str, names: Names) -> Stage {
    Stage { quantity, names, less: &[], note: "" }
}

pub(super) const VERL: Words = Words {
    response_mean: &["response_length_non_aborted/mean", "response_length/mean"],
    response_longest: &["response_length/max"],
    response_clipped: &["response_length/clip_ratio"],
    cut: "",
    response_median: &[],
    response_deviation: &[],
    prompt_mean: &["prompt_length/mean"],
    prompt_longest: &["prompt_length/max"],
    total_mean: &[],
    tokens: &["perf/total_num_tokens"],
    throughput: &["perf/throughput"],
    asynchronous: &["fully_async/trainer/idle_ratio", "trainer/idle_ratio"],
    stages: &[
        Stage {
            quantity: GENERATION,
            names: &["timing_s/gen", "timing/gen"],
            less: &["timing_s/reshard", "timing/reshard"],
            note: "the slowest replica",
        },
        stage(REPLICA_MEAN, &["timing_s/generate_sequences", "timing/generate_sequences"]),
        stage(PREPARE, &["timing_s/update_weights", "timing_s/reshard", "timing/reshard"]),
        stage(LOGPROB_OLD, &["timing_s/old_log_prob", "timing/old_log_prob"]),
        stage(LOGPROB_REFERENCE, &["timing_s/ref", "timing_s/ref_log_prob", "timing/ref"]),
        stage(TRAINING, &["timing_s/update_actor", "timing/update_actor"]),
    ],
    reward: &["timing_s/reward", "timing/reward"],
    step: &["timing_s/step", "timing/step"],
    interruptions: &[
        "timing_s/testing",
        "timing_s/save_checkpoint",
        "timing/testing",
        "timing/save_checkpoint",
    ],
    mfu: &["perf/mfu/actor", "mfu/actor"],
    acceptance: &["drafter/spec_decode/mean_acceptance_length", "rollout/spec_accept_length"],
    averaged: "over samples, not over rounds: slow requests weigh too little, so it is a little high",
    position: ("", 0),
    drafts: &[],
    draft_tokens: &[],
};

pub(super) const NEMO_RL: Words = Words {
    response_mean: &["train/mean_gen_tokens_per_sample", "train/gen_tokens_per_sample/mean"],
    response_longest: &["train/max_gen_tokens_per_sample", "train/gen_tokens_per_sample/max"],
    response_clipped: &["train/truncation_rate"],
    cut: "responses: max_total_sequence_length cuts prompt and response together, so `max` is the longest response of all",
    response_median: &["train/gen_tokens_per_sample/median"],
    response_deviation: &["train/gen_tokens_per_sample/stddev"],
    prompt_mean: &["train/mean_prompt_length"],
    prompt_longest: &[],
    total_mean: &[],
    tokens: &["train/total_num_tokens"],
    throughput: &["performance/tokens_per_sec_per_gpu"],
    asynchronous: &["timing/train/exposed_generation"],
    stages: &[
        stage(EXPOSED_GENERATION, &["timing/train/exposed_generation"]),
        stage(GENERATION, &["timing/train/generation"]),
        stage(PREPARE, &["timing/train/prepare_for_generation/total", "timing/train/weight_sync"]),
        Stage {
            quantity: LOGPROB_OLD,
            names: &["timing/train/policy_and_reference_logprobs"],
            less: &[],
            note: BOTH_LOGPROBS,
        },
        stage(TRAINING, &["timing/train/policy_training"]),
        stage(DATA, &["timing/train/data_processing"]),
    ],
    reward: &["timing/train/reward_calculation"],
    step: &["timing/train/total_step_time"],
    interruptions: &["timing/train/validation", "timing/train/checkpointing"],
    mfu: &["performance/train_fp_utilization"],
    acceptance: &["train/vllm/spec_acceptance_length"],
    averaged: "over rounds",
    position: ("train/vllm/spec_acceptance_rate-pos-", 1),
    drafts: &["train/vllm/spec_num_drafts"],
    draft_tokens: &["train/vllm/spec_num_draft_tokens"],
};

/// The note of a stage that holds the log-probs of policy and reference.
pub(super) const BOTH_LOGPROBS: &str = "policy and reference together";

pub(super) const SLIME: Words = Words {
    response_mean: &["rollout/response_len/mean", "rollout/response_lengths"],
    response_longest: &["rollout/response_len/max"],
    response_clipped: &["rollout/truncated_ratio", "rollout/truncated"],
    cut: "",
    response_median: &["rollout/response_len/median"],
    response_deviation: &[],
    prompt_mean: &[],
    prompt_longest: &[],
    total_mean: &["rollout/total_lengths"],
    tokens: &[],
    throughput: &[],
    asynchronous: &[],
    stages: &[
        stage(GENERATION, &["perf/rollout_time"]),
        stage(PREPARE, &["perf/update_weights_time"]),
        stage(LOGPROB_OLD, &["perf/log_probs_time"]),
        stage(LOGPROB_REFERENCE, &["perf/ref_log_probs_time"]),
        stage(TRAINING, &["perf/actor_train_time"]),
    ],
    reward: &[],
    step: &["perf/step_time"],
    interruptions: &[],
    mfu: &[],
    acceptance: &["rollout/spec_accept_length"],
    averaged: "over samples, not over rounds: slow requests weigh too little, so it is a little high",
    position: ("", 0),
    drafts: &[],
    draft_tokens: &[],
};

pub(super) const SKYRL: Words = Words {
    response_mean: &["generate/avg_num_tokens"],
    response_longest: &["generate/max_num_tokens"],
    response_clipped: &[],
    cut: "",
    response_median: &[],
    response_deviation: &["generate/std_num_tokens"],
    prompt_mean: &[],
    prompt_longest: &[],
    total_mean: &[],
    tokens: &[],
    throughput: &[],
    asynchronous: &["timing/wait_for_generation_buffer"],
    stages: &[
        stage(EXPOSED_GENERATION, &["timing/wait_for_generation_buffer"]),
        stage(GENERATION, &["timing/generate"]),
        stage(PREPARE, &["timing/sync_weights"]),
        Stage {
            quantity: LOGPROB_OLD,
            names: &["timing/fwd_logprobs_values_reward"],
            less: &[],
            note: BOTH_LOGPROBS,
        },
        stage(TRAINING, &["timing/policy_train"]),
    ],
    reward: &[],
    step: &["timing/step"],
    interruptions: &["timing/eval", "timing/save_checkpoints"],
    mfu: &[],
    acceptance: &["vllm/train/draft_mean_acceptance_length"],
    averaged: "over rounds",
    position: ("vllm/train/draft_acceptance_rate_pos_", 1),
    drafts: &["vllm/train/num_drafts"],
    draft_tokens: &["vllm/train/num_draft_tokens"],
};

impl Words {
    /// Whether a log has any of the names.
    pub(super) fn known(&self, has: impl Fn(&str) -> bool) -> bool {
        let stages = self.stages.iter().flat_map(|stage| stage.names);
        self.response_mean.iter().chain(self.step).chain(stages).any(|name| has(name))
    }
}
