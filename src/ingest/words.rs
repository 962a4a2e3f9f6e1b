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
    /// Mean, longest and cut share of responses: the n-th of each are over the same samples.
    pub response: &'static [[&'static str; 3]],
    pub response_median: Names,
    pub response_deviation: Names,
    /// Why the longest response is no maximum for all, where it is not.
    pub cut: &'static str,
    pub prompt_mean: Names,
    pub prompt_longest: Names,
    /// Means of prompt and response together, and of the response, over the same samples: where prompts have no metric.
    pub together: Option<[&'static str; 2]>,
    /// Prompt and response tokens of a step, and the mean response over all samples in them.
    pub tokens: Option<[&'static str; 2]>,
    /// Tokens a second and GPU over the step: with `tokens` it tells the number of GPUs.
    pub throughput: Names,
    /// A metric that only loops that run ahead have, and what that does to the others.
    pub asynchronous: Names,
    pub asynchronous_note: &'static str,
    pub stages: &'static [Stage],
    /// Seconds of scoring that the step waits for.
    pub reward: Names,
    pub step: Names,
    /// Other seconds inside a step that no stage has.
    pub others: Names,
    /// Validation and checkpoints, inside the step's seconds in some versions.
    pub interruptions: Names,
    pub mfu: Names,
    /// Acceptance length, bonus token included, over rounds; and over samples.
    pub acceptance: Names,
    pub acceptance_of_samples: Names,
    /// Metric of the share of rounds that accepted position i, less the position; and the number of the first one.
    pub position: Option<(&'static str, usize)>,
    /// Rounds, drafted tokens, accepted tokens of a step.
    pub rounds: [Names; 3],
}

const GENERATION: &str = "forecast.stages_s.generation";
const PREPARE: &str = "forecast.stages_s.prepare";
const LOGPROB_OLD: &str = "forecast.stages_s.logprob_old";
const LOGPROB_REFERENCE: &str = "forecast.stages_s.logprob_reference";
const TRAINING: &str = "forecast.stages_s.training";
const DATA: &str = "forecast.stages_s.data";
const REPLICA_MEAN: &str = "forecast.loop.replica_mean_s";
const EXPOSED_GENERATION: &str = "forecast.exposed_s.generation";

/// The note of a stage that holds the log-probs of policy and reference.
pub(super) const BOTH_LOGPROBS: &str = "policy and reference together";

const fn stage(quantity: &'static str, names: Names) -> Stage {
    Stage { quantity, names, less: &[], note: "" }
}

/// A framework without any metrics.
const NONE: Words = Words {
    response: &[],
    response_median: &[],
    response_deviation: &[],
    cut: "",
    prompt_mean: &[],
    prompt_longest: &[],
    together: None,
    tokens: None,
    throughput: &[],
    asynchronous: &[],
    asynchronous_note: "",
    stages: &[],
    reward: &[],
    step: &[],
    others: &[],
    interruptions: &[],
    mfu: &[],
    acceptance: &[],
    acceptance_of_samples: &[],
    position: None,
    rounds: [&[], &[], &[]],
};

pub(super) const VERL: Words = Words {
    response: &[
        [
            "response_length_non_aborted/mean",
            "response_length_non_aborted/max",
            "response_length_non_aborted/clip_ratio",
        ],
        ["response_length/mean", "response_length/max", "response_length/clip_ratio"],
    ],
    prompt_mean: &["prompt_length/mean"],
    prompt_longest: &["prompt_length/max"],
    tokens: Some(["perf/total_num_tokens", "response_length/mean"]),
    throughput: &["perf/throughput"],
    asynchronous: &["fully_async/trainer/idle_ratio", "trainer/idle_ratio"],
    asynchronous_note: "verl's asynchronous trainer sums its seconds over all updates between two weight transfers",
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
    others: &[
        "timing_s/reward",
        "timing_s/adv",
        "timing_s/values",
        "timing_s/update_critic",
        "timing_s/gen_max",
        "timing_s/dump_rollout_generations",
        "timing/reward",
        "timing/adv",
        "timing/values",
        "timing/update_critic",
    ],
    interruptions: &[
        "timing_s/save_checkpoint",
        "timing/save_checkpoint",
        "timing_s/testing",
        "timing/testing",
    ],
    mfu: &["perf/mfu/actor", "mfu/actor"],
    acceptance: &["drafter/spec_decode/mean_acceptance_length"],
    acceptance_of_samples: &["rollout/spec_accept_length"],
    ..NONE
};

pub(super) const NEMO_RL: Words = Words {
    response: &[
        ["train/mean_gen_tokens_per_sample", "train/max_gen_tokens_per_sample", "train/truncation_rate"],
        ["train/gen_tokens_per_sample/mean", "train/gen_tokens_per_sample/max", "train/truncation_rate"],
    ],
    response_median: &["train/gen_tokens_per_sample/median"],
    response_deviation: &["train/gen_tokens_per_sample/stddev"],
    cut: "responses: max_total_sequence_length cuts prompt and response together, so `max` is only the longest response of all",
    prompt_mean: &["train/mean_prompt_length"],
    tokens: Some(["train/total_num_tokens", "train/mean_gen_tokens_per_sample"]),
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
    others: &[
        "timing/train/reward_calculation",
        "timing/train/advantage_calculation",
        "timing/train/logprob_inference_prep",
        "timing/train/training_prep",
    ],
    interruptions: &["timing/train/checkpointing", "timing/validation/total_validation_time"],
    mfu: &["performance/train_fp_utilization"],
    acceptance: &["train/vllm/spec_acceptance_length"],
    position: Some(("train/vllm/spec_acceptance_rate-pos-", 1)),
    rounds: [
        &["train/vllm/spec_num_drafts"],
        &["train/vllm/spec_num_draft_tokens"],
        &["train/vllm/spec_num_accepted_tokens"],
    ],
    ..NONE
};

pub(super) const SLIME: Words = Words {
    response: &[
        ["rollout/response_len/mean", "rollout/response_len/max", "rollout/truncated_ratio"],
        ["rollout/response_lengths", "", "rollout/truncated"],
    ],
    response_median: &["rollout/response_len/median"],
    together: Some(["rollout/total_lengths", "rollout/response_lengths"]),
    stages: &[
        stage(GENERATION, &["perf/rollout_time"]),
        stage(PREPARE, &["perf/update_weights_time"]),
        stage(LOGPROB_OLD, &["perf/log_probs_time"]),
        stage(LOGPROB_REFERENCE, &["perf/ref_log_probs_time"]),
        stage(TRAINING, &["perf/actor_train_time"]),
    ],
    step: &["perf/step_time"],
    acceptance_of_samples: &["rollout/spec_accept_length"],
    ..NONE
};

pub(super) const SKYRL: Words = Words {
    response: &[["generate/avg_num_tokens", "generate/max_num_tokens", ""]],
    response_deviation: &["generate/std_num_tokens"],
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
    step: &["timing/step"],
    interruptions: &["timing/save_checkpoints", "timing/eval"],
    acceptance: &["vllm/train/draft_mean_acceptance_length"],
    position: Some(("vllm/train/draft_acceptance_rate_pos_", 1)),
    rounds: [&[], &["vllm/train/draft_num_draft_tokens"], &["vllm/train/draft_num_accepted_tokens"]],
    ..NONE
};

impl Words {
    /// Whether a log has any of the names.
    pub(super) fn known(&self, has: impl Fn(&str) -> bool) -> bool {
        let stages = self.stages.iter().flat_map(|stage| stage.names);
        let means = self.response.iter().map(|[mean, ..]| mean);
        means.chain(self.step).chain(stages).any(|name| has(name))
    }
}
