//! Layouts that are possible, and whether a model fits memory in them.

use super::ResolveError;
use super::book::Book;
use super::generation::{Inputs, Limit};
use super::speculation::drafter_tp;
use crate::forward::memory::{Demand, Plan};
use crate::resolved::{Cluster, Layout, Model, Precision, Rule, Source};
use crate::units::Bytes;

/// Why a tensor-parallel width is impossible, and what would do.
pub(super) fn layout_problem(model: &Model, cluster: &Cluster, tp: u32) -> Option<(String, Option<String>)> {
    let message = obstacle(model, cluster, tp)?;
    let possible: Vec<String> = widths(model, cluster).map(|tp| tp.to_string()).collect();
    Some((message, Some(format!("possible here: {}", possible.join(", ")))))
}

/// Why a tensor-parallel width is impossible.
fn obstacle(model: &Model, cluster: &Cluster, tp: u32) -> Option<String> {
    let id = &model.id;
    if !model.heads.is_multiple_of(tp) {
        return Some(format!("{tp} GPUs do not divide the {} query heads of {id}", model.heads));
    }
    if !model.kv_heads.is_multiple_of(tp) && !tp.is_multiple_of(model.kv_heads) {
        return Some(format!("{tp} GPUs do not divide the {} key-value heads of {id}", model.kv_heads));
    }
    if let Some(linear) = model.linear.filter(|linear| !linear.key_heads.is_multiple_of(tp)) {
        let what = match linear.rule {
            Rule::DeltaRule => "key heads of",
            Rule::Mamba2 => "groups of heads of",
        };
        return Some(format!(
            "{tp} GPUs do not divide the {} {what} {id}'s linear attention",
            linear.key_heads
        ));
    }
    if model.dense_layers() > 0 && !model.intermediate.is_multiple_of(tp) {
        return Some(format!("{tp} GPUs do not divide the MLP width {} of {id}", model.intermediate));
    }
    if !cluster.gpus.is_multiple_of(tp) {
        return Some(format!("{} GPUs do not split into replicas of {tp}", cluster.gpus));
    }
    None
}

/// Why experts cannot lie like this.
pub(super) fn expert_problem(model: &Model, cluster: &Cluster, layout: Layout) -> Option<String> {
    let experts = model.experts?;
    let (tp, ep, gpus) = (layout.tp, layout.ep, layout.gpus());
    if !experts.count.is_multiple_of(ep) {
        return Some(format!("{ep} GPUs do not divide the {} experts of {}", experts.count, model.id));
    }
    if !gpus.is_multiple_of(tp) || !gpus.is_multiple_of(ep) {
        return Some(format!("tensor parallelism {tp} and expert parallelism {ep} do not divide each other"));
    }
    if !experts.intermediate.is_multiple_of(layout.expert_tp()) {
        return Some(format!(
            "{} GPUs do not divide an expert's width of {}",
            layout.expert_tp(),
            experts.intermediate
        ));
    }
    if layout.dp_attention && ep <= tp {
        return Some(format!(
            "data-parallel attention needs more GPUs for experts than the {tp} of an attention rank"
        ));
    }
    if !cluster.gpus.is_multiple_of(gpus) {
        return Some(format!("{} GPUs do not split into replicas of {gpus}", cluster.gpus));
    }
    None
}

/// The widths that are possible, rising.
pub(super) fn widths<'a>(model: &'a Model, cluster: &'a Cluster) -> impl Iterator<Item = u32> + 'a {
    [1_u32, 2, 4, 8, 16, 32, 64].into_iter().filter(|tp| obstacle(model, cluster, *tp).is_none())
}

/// An engine's settings as far as memory goes.
#[derive(Clone, Copy)]
pub(super) struct Fit<'a> {
    pub(super) inputs: &'a Inputs<'a>,
    pub(super) weights: Precision,
    pub(super) kv_cache: Precision,
    pub(super) seqs: Limit,
    pub(super) tokens: Limit,
    pub(super) lookahead: u32,
    pub(super) block_size: u32,
    pub(super) utilization: f64,
}

impl Fit<'_> {
    fn plan(&self, layout: Layout) -> Plan {
        let inputs = self.inputs;
        // Engines size their logits for full batches; a replica never sees more samples than it gets.
        let samples = inputs.crowd.most(inputs.cluster.gpus / layout.gpus());
        let ranks = layout.attention_ranks().max(1);
        let demand = Demand {
            model: inputs.model,
            weights: self.weights,
            kv_cache: self.kv_cache,
            layout,
            drafter: inputs.speculation.map(|s| (&s.drafter, s.weights, drafter_tp(s, layout))),
            max_num_batched_tokens: self.tokens.all(layout).div_ceil(ranks),
            max_logit_rows: self.seqs.all(layout).min(samples).div_ceil(ranks) * (self.lookahead + 1),
            states: self.states(),
            state_ratio: inputs.constants.linear_states.ratio,
            context: inputs.context,
            activations_beside: inputs.constants.defaults.keeps_a_reserve(),
            reserved_gib: self.inputs.reserved_gib,
        };
        demand.plan(&inputs.cluster.device, self.utilization)
    }

    /// States of linear attention of a running sequence.
    fn states(&self) -> u32 {
        self.inputs.constants.linear_states.count(self.lookahead)
    }

    /// Tokens whose room the states of a running sequence take in the cache.
    pub(super) fn state_tokens(&self, layout: Layout) -> u32 {
        self.plan(layout).state_tokens()
    }

    /// Most sequences of a replica whose states fit, where room is set apart for them.
    pub(super) fn state_seats(&self, layout: Layout) -> Option<u32> {
        let seats = self.plan(layout).state_seats()?;
        Some(seats * layout.attention_ranks())
    }

    /// GiB by which one sequence's states exceed the room that is set apart for them.
    pub(super) fn missing_state_gib(&self, layout: Layout) -> f64 {
        let plan = self.plan(layout);
        let room = plan.states.map_or(0.0, |states| states.0);
        Bytes(plan.states_per_sequence - room).gib()
    }

    /// Blocks that the longest sequence takes, its states included.
    fn longest(&self, layout: Layout) -> u64 {
        let tokens = self.inputs.max_model_len + self.lookahead + 1 + self.state_tokens(layout);
        u64::from(tokens.div_ceil(self.block_size))
    }

    /// GiB by which one GPU is short of weights, working space and the longest sequence; negative: to spare.
    pub(super) fn missing_gib(&self, layout: Layout) -> f64 {
        let plan = self.plan(layout);
        let sequence = self.longest(layout) as f64 * f64::from(self.block_size) * plan.kv_per_token;
        Bytes(sequence - plan.kv.0).gib()
    }

    /// KV blocks of a replica, given or what memory leaves; an error where the longest sequence does not fit.
    pub(super) fn kv_blocks(&self, book: &mut Book<'_>, layout: Layout) -> Result<u64, ResolveError> {
        if let Some(blocks) = self.inputs.raw.num_gpu_blocks {
            let (blocks, longest) = (blocks.get(), self.longest(layout));
            if blocks < longest {
                let message = format!(
                    "{blocks} blocks of {} tokens; the longest sequence needs {longest}",
                    self.block_size
                );
                return Err(book.error("generation.num_gpu_blocks", message, None));
            }
            return Ok(blocks);
        }
        let missing = self.missing_gib(layout);
        if missing > 0.0 {
            return Err(self.does_not_fit(layout, missing));
        }
        // Attention ranks hold caches of their own.
        let blocks = self.plan(layout).blocks(self.block_size) * u64::from(layout.attention_ranks());
        book.note(
            "generation.num_gpu_blocks",
            blocks,
            Source::Profile,
            "what weights and working space leave",
        );
        Ok(blocks)
    }

    pub(super) fn does_not_fit(&self, layout: Layout, missing: f64) -> ResolveError {
        let inputs = self.inputs;
        let (plan, device) = (self.plan(layout), &inputs.cluster.device);
        let sequence = Bytes(self.longest(layout) as f64 * f64::from(self.block_size) * plan.kv_per_token);
        let drafter =
            if plan.drafter.0 > 0.0 { format!(", drafter {}", plan.drafter) } else { String::new() };
        let states = match plan.states {
            Some(_) if plan.states_per_sequence > 0.0 => {
                format!(", states of a sequence {} (in room of their own)", Bytes(plan.states_per_sequence))
            }
            _ => String::new(),
        };
        let needs = format!(
            "weights {}{drafter}, working space {}, KV cache of the longest sequence {sequence}{states}; the engine may take {:.0} %",
            plan.weights,
            plan.working,
            100.0 * self.utilization
        );
        let spread =
            if layout.ep > 1 { format!(" and experts over {} GPUs", layout.ep) } else { String::new() };
        ResolveError::DoesNotFit {
            what: format!("{} with tensor parallelism {}{spread} does not fit", inputs.model.id, layout.tp),
            missing,
            device: device.id.clone(),
            memory: device.memory_gib,
            needs,
            advice: self.advice(layout),
        }
    }

    /// Changes, one at a time, that would make it fit.
    fn advice(&self, layout: Layout) -> String {
        let mut fits = Vec::new();
        if let Some(wider) = widths(self.inputs.model, self.inputs.cluster)
            .find(|w| *w > layout.tp && self.missing_gib(Layout { tp: *w, ..layout }) <= 0.0)
        {
            fits.push(format!("generation.layout.tp: {wider}"));
        }
        let has_fp8 = self.inputs.cluster.device.fp8_tflops.is_some();
        if has_fp8
            && self.weights == Precision::Bf16
            && (Fit { weights: Precision::Fp8, ..*self }).missing_gib(layout) <= 0.0
        {
            fits.push("generation.weights: fp8".to_owned());
        }
        if self.utilization < 0.95 && (Fit { utilization: 0.95, ..*self }).missing_gib(layout) <= 0.0 {
            fits.push("generation.gpu_memory_utilization: 0.95".to_owned());
        }
        if fits.is_empty() {
            "nothing fits on these GPUs alone: more of them in one NVLink domain, or GPUs with more memory"
                .to_owned()
        } else {
            format!("what would fit: {}", fits.join(", or "))
        }
    }
}
