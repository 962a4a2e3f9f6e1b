//! The schedule as plain data: what picks the SD configuration of a step.

use serde::{Deserialize, Serialize};

/// One configuration that drafts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DraftInput {
    /// A chain.
    Chain {
        /// Draft tokens.
        k: u32,
    },
    /// A tree, in SGLang's numbers.
    Tree {
        /// Draft passes.
        steps: u32,
        /// Beams.
        top_k: u32,
        /// Tokens verified, root included.
        tokens: u32,
    },
}

impl DraftInput {
    /// Draft tokens: what the target verifies beside the root.
    pub fn draft_tokens(self) -> u32 {
        match self {
            DraftInput::Chain { k } => k,
            DraftInput::Tree { tokens, .. } => tokens - 1,
        }
    }

    /// Most draft tokens that a round accepts.
    pub fn depth(self) -> u32 {
        match self {
            DraftInput::Chain { k } => k,
            DraftInput::Tree { steps, tokens, .. } => steps.min(tokens - 1),
        }
    }
}

/// How the drafter's cache catches up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUpInput {
    /// Plain steps keep it in step.
    KeepWarm,
    /// Target and drafter run over all context again.
    Prefill,
    /// Cached hidden states run through the drafter.
    HiddenStates,
    /// The last tokens of each sequence run through the drafter.
    Window {
        /// Tokens of a sequence.
        tokens: u32,
    },
}

/// One tier of SGLang's adaptive steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TierInput {
    /// Its smallest batch.
    pub from: u32,
    /// Steps to choose from.
    pub candidate_steps: Vec<u32>,
    /// Added to the threshold of a step up.
    pub up_hysteresis: f64,
    /// Added to the threshold of a step down.
    pub down_hysteresis: f64,
    /// Bound on steps as a multiple of the mean; 0 is none.
    pub ceiling_coeff: f64,
}

/// The schedule: what picks the SD configuration of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleInput {
    /// The drafter is loaded and kept warm, and never drafts.
    Off,
    /// Always a chain of `k` draft tokens.
    Fixed {
        /// num_speculative_tokens.
        k: u32,
    },
    /// Most expected tokens per second.
    Goodput {
        /// What to choose from, beside off.
        choices: Vec<DraftInput>,
        /// First rate of a belief that learns; none where the acceptance is known.
        learn_from: Option<f64>,
        /// Relative gain below which nothing changes.
        margin: f64,
        /// Tokens of each sequence for which a decision is expected to hold.
        horizon_tokens: f64,
        /// How the drafter catches up.
        catch_up: CatchUpInput,
    },
    /// ReSpec.
    Respec {
        /// Columns of the profile.
        choices: Vec<DraftInput>,
        /// Its batches.
        batches: Vec<u32>,
        /// Tokens of context of each sequence while profiling.
        context_tokens: f64,
        /// A measured profile; none where it is taken from the cost model.
        speedups: Option<Vec<Vec<f64>>>,
        /// How the drafter catches up.
        catch_up: CatchUpInput,
    },
    /// SpecRL.
    Specrl {
        /// At small batch.
        tree: DraftInput,
        /// At large batch.
        chain: DraftInput,
        /// Largest batches of both; none where the solver finds them, at this many tokens of context.
        upto: Option<[u32; 2]>,
        /// Tokens of context of each sequence.
        context_tokens: f64,
    },
    /// SGLang's adaptive steps.
    SglangTiers {
        /// Steps at the start.
        num_steps: u32,
        /// Weight of the newest step.
        ema_alpha: f64,
        /// Steps between two decisions.
        update_interval: u32,
        /// Steps before the first.
        warmup_batches: u32,
        /// The tiers.
        tiers: Vec<TierInput>,
    },
    /// vLLM's table.
    VllmTable {
        /// Ranges [first, last, K].
        table: Vec<[u32; 3]>,
        /// Most draft tokens.
        num_speculative_tokens: u32,
    },
}

impl ScheduleInput {
    /// The one number of draft tokens that it has; none where it has several, or trees.
    pub fn fixed(&self) -> Option<u32> {
        match self {
            ScheduleInput::Fixed { k } => Some(*k),
            _ => None,
        }
    }

    /// Every configuration that it may ask for, off left out.
    pub fn choices(&self) -> Vec<DraftInput> {
        let chains = |ks: &mut dyn Iterator<Item = u32>| {
            ks.filter(|k| *k > 0).map(|k| DraftInput::Chain { k }).collect()
        };
        match self {
            ScheduleInput::Off => Vec::new(),
            ScheduleInput::Fixed { k } => chains(&mut std::iter::once(*k)),
            ScheduleInput::Goodput { choices, .. } | ScheduleInput::Respec { choices, .. } => choices.clone(),
            ScheduleInput::Specrl { tree, chain, .. } => vec![*tree, *chain],
            ScheduleInput::SglangTiers { tiers, .. } => {
                chains(&mut tiers.iter().flat_map(|tier| tier.candidate_steps.iter().copied()))
            }
            ScheduleInput::VllmTable { table, num_speculative_tokens } => {
                chains(&mut table.iter().map(|range| range[2].min(*num_speculative_tokens)))
            }
        }
    }

    /// Most draft tokens of a step.
    pub fn max_draft_tokens(&self) -> u32 {
        self.choices().into_iter().map(DraftInput::draft_tokens).max().unwrap_or(0)
    }

    /// Most draft tokens that a round accepts.
    pub fn depth(&self) -> u32 {
        self.choices().into_iter().map(DraftInput::depth).max().unwrap_or(0)
    }

    /// What it is called.
    pub fn label(&self) -> String {
        match self {
            ScheduleInput::Off => "not drafting".to_owned(),
            ScheduleInput::Fixed { k } => format!("chain K={k}"),
            ScheduleInput::Goodput { learn_from: None, .. } => "goodput".to_owned(),
            ScheduleInput::Goodput { .. } => "goodput, learning".to_owned(),
            ScheduleInput::Respec { .. } => "ReSpec".to_owned(),
            ScheduleInput::Specrl { .. } => "SpecRL".to_owned(),
            ScheduleInput::SglangTiers { .. } => "SGLang tiers".to_owned(),
            ScheduleInput::VllmTable { .. } => "vLLM table".to_owned(),
        }
    }
}
