//! What picks the SD configuration at each step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, CountOrZero, NonNegative, Number, Positive, Probability};

/// What picks the configuration at each step.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Never draft; the drafter is loaded and paid for.
    Off,
    /// Always the same draft length.
    Fixed(FixedSchedule),
    /// Largest expected tokens per second at the batch and its context.
    Goodput(GoodputSchedule),
    /// As ReSpec: best configuration of an offline profile at the active batch.
    Respec(RespecSchedule),
    /// As SpecRL: a tree at small batch, a chain at large batch.
    Specrl(SpecrlSchedule),
    /// As SGLang's adaptive steps: tiers of a running mean of accepted drafts.
    SglangTiers(SglangSchedule),
    /// As vLLM's table of draft tokens by batch.
    VllmTable(VllmSchedule),
}

/// Always the same draft length.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FixedSchedule {
    /// Draft tokens per step (num_speculative_tokens), 0 to 64.
    pub k: CountOrZero,
}

/// A draft tree, in SGLang's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TreeForm {
    /// Draft passes (speculative_num_steps).
    pub steps: Count,
    /// Beams (speculative_eagle_topk).
    pub top_k: Count,
    /// Tokens verified, root included (speculative_num_draft_tokens), at most 64.
    pub tokens: Count,
}

/// How the drafter's KV cache catches up when drafting is switched on.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CatchUpForm {
    /// Plain steps keep it in step: switching is free, and they pay a draft pass.
    KeepWarm,
    /// Target and drafter run over all context again.
    Prefill,
    /// Cached hidden states run through the drafter.
    HiddenStates,
    /// The last tokens of each sequence run through the drafter.
    Window(WindowForm),
}

/// The last tokens of each sequence.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowForm {
    /// Tokens of a sequence.
    pub tokens: Count,
}

/// Largest expected tokens per second.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GoodputSchedule {
    /// Draft lengths to choose from; off is always among the choices.
    pub chains: Option<Vec<CountOrZero>>,
    /// Trees to choose from.
    pub trees: Option<Vec<TreeForm>>,
    /// Start from this first-position rate and learn from the rounds, instead of knowing the acceptance.
    pub learn_from: Option<Probability>,
    /// Relative gain below which nothing is switched.
    pub margin: Option<NonNegative>,
    /// Tokens of each sequence for which a decision is expected to hold, when switching costs.
    pub horizon_tokens: Option<Positive>,
    /// How the drafter catches up.
    pub catch_up: Option<CatchUpForm>,
}

/// ReSpec's solver.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RespecSchedule {
    /// Draft lengths of the profile.
    pub chains: Option<Vec<CountOrZero>>,
    /// Trees of the profile.
    pub trees: Option<Vec<TreeForm>>,
    /// Batches of the profile, rising.
    pub batches: Option<Vec<Count>>,
    /// Tokens of context of each sequence while profiling.
    pub context_tokens: Option<Positive>,
    /// A measured profile: a row for each batch, a speedup over plain decoding for each chain, then each tree.
    pub speedups: Option<Vec<Vec<Positive>>>,
    /// How the drafter catches up; ReSpec re-uses prefill.
    pub catch_up: Option<CatchUpForm>,
}

/// SpecRL's rule.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpecrlSchedule {
    /// The tree of small batches.
    pub tree: Option<TreeForm>,
    /// Draft tokens of the chain of large batches.
    pub chain: Option<Count>,
    /// Largest batch of the tree; without it the solver finds both.
    pub tree_upto: Option<CountOrZero>,
    /// Largest batch of the chain; beyond it nothing is drafted.
    pub chain_upto: Option<Count>,
}

/// SGLang's adaptive configuration.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SglangSchedule {
    /// Steps at the start (speculative_num_steps), one of the tiers' candidates.
    pub num_steps: Option<Count>,
    /// Weight of the newest step in the running mean.
    pub ema_alpha: Option<Probability>,
    /// Steps between two decisions.
    pub update_interval: Option<Count>,
    /// Steps before the first.
    pub warmup_batches: Option<CountOrZero>,
    /// Tiers by batch; without them SGLang's own.
    pub tiers: Option<Vec<TierForm>>,
}

/// One tier.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TierForm {
    /// Its smallest batch.
    pub from: Count,
    /// Steps to choose from; 0 is plain decoding.
    pub candidate_steps: Vec<CountOrZero>,
    /// Added to the threshold of a step up.
    pub up_hysteresis: Option<Number>,
    /// Added to the threshold of a step down.
    pub down_hysteresis: Option<Number>,
    /// Bound on steps as a multiple of the mean; 0 is none.
    pub ceiling_coeff: Option<NonNegative>,
}

/// vLLM's table.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VllmSchedule {
    /// Ranges [first batch, last batch, draft tokens], as in num_speculative_tokens_per_batch_size.
    pub table: Vec<[CountOrZero; 3]>,
    /// Most draft tokens; the table's largest where it is left out.
    pub num_speculative_tokens: Option<Count>,
}
