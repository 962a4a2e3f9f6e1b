//! The training side: layout, efficiency, passes.

use super::ResolveError;
use super::book::Book;
use crate::catalog;
use crate::estimate::Confidence;
use crate::forward::training;
use crate::profile::{Efficiency, StageDefault, StageProfile, TrainingDefaults};
use crate::resolved::{
    Balance, Cluster, Device, Model, Precision, Quantity, Resolved, Source, Training, Workload,
};
use crate::scenario::raw::{self, Uncertain};
use crate::units::Bytes;

/// `beside` is the number of GPUs of a serving replica on the same cluster (1 where it has one of its own); `None` where
/// nothing is trained, so that nothing has to fit.
pub(super) fn resolve(
    book: &mut Book<'_>,
    given: Option<&raw::Training>,
    model: &Model,
    cluster: &Cluster,
    workload: &Workload,
    beside: Option<u32>,
    defaults: &StageProfile,
) -> Result<Training, ResolveError> {
    let given = given.cloned().unwrap_or_default();
    let tp = given.layout.as_ref().and_then(|l| l.tp).map_or(1, |n| n.get() as u32);
    if let Some((message, hint)) = super::memory::layout_problem(model, cluster, tp) {
        return Err(book.error("training.layout.tp", message, hint));
    }
    let axis = |of: fn(&raw::TrainingLayout) -> Option<raw::Count>| {
        given.layout.as_ref().and_then(of).map_or(1, |n| n.get() as u32)
    };
    let experts_over = axis(|l| l.ep);
    if let Some(message) = expert_problem(model, cluster, experts_over, axis(|l| l.pp)) {
        return Err(book.error("training.layout.ep", message, None));
    }
    // A sequence is shared by its tensor-, context- and pipeline-parallel GPUs.
    let gpus_per_sequence = u64::from(tp) * u64::from(axis(|l| l.cp)) * u64::from(axis(|l| l.pp));
    if !u64::from(cluster.gpus).is_multiple_of(gpus_per_sequence) {
        let message =
            format!("{} GPUs do not split into groups of {gpus_per_sequence} (tp x cp x pp)", cluster.gpus);
        return Err(book.error("training.layout", message, None));
    }
    if let Some(dp) = given.layout.as_ref().and_then(|l| l.dp).map(raw::Count::get)
        && dp * gpus_per_sequence != u64::from(cluster.gpus)
    {
        let message =
            format!("{dp} replicas of {gpus_per_sequence} GPUs are not the cluster's {}", cluster.gpus);
        let fitting = u64::from(cluster.gpus) / gpus_per_sequence;
        return Err(book.error("training.layout.dp", message, Some(fitting.to_string())));
    }
    if let Some(replica) = beside {
        let groups = [u64::from(replica), gpus_per_sequence];
        fits(model, cluster, groups, defaults.memory.training_bytes_per_weight.value)?;
    }
    let precision = match given.precision {
        Some(raw::Precision::Fp8) => Precision::Fp8,
        _ => Precision::Bf16,
    };
    if precision == Precision::Fp8 && cluster.device.fp8_tflops.is_none() {
        let message = format!("{} has no fp8 units", cluster.device.name);
        return Err(book.error("training.precision", message, Some("bf16".to_owned())));
    }
    let samples = workload.samples();
    let global_batch_size = book.count(
        "training.global_batch_size",
        given.global_batch_size,
        samples,
        "one optimizer step per RL step",
    );
    let efficiency = &defaults.efficiency;
    let default = usual_mfu(book, efficiency, model, &cluster.device, precision)?;
    check_efficiency(book, "training.mfu", given.mfu)?;
    check_efficiency(book, "training.logprob_mfu", given.logprob_mfu)?;
    let mfu = book.quantity("training.mfu", given.mfu, default.pair(), &default.source);
    let ratio = &efficiency.logprob_over_training;
    let logprob = (ratio.value * mfu.value, ratio.se * mfu.value);
    let logprob_mfu = book.quantity("training.logprob_mfu", given.logprob_mfu, logprob, &ratio.source);
    let whole = workload.prompt_tokens.max.saturating_add(workload.response_tokens.max);
    let stages = axis(|l| l.pp);
    // Experts that are spread are whole on their GPU; those that are not are split as the other weights are.
    let weights_of =
        [tp, if experts_over > 1 { experts_over } else { tp }].map(|n| f64::from(n) * f64::from(stages));
    let balance = match given.balance {
        Some(raw::Balance::Update) => Balance::Update,
        Some(raw::Balance::Step) => Balance::Step,
        Some(raw::Balance::None) => Balance::None,
        None => {
            let why = "as NeMo-RL packs an optimizer step's samples; verl balances over the RL step";
            book.note("training.balance", "update", Source::Default, why);
            Balance::Update
        }
    };
    Ok(Training {
        gpus_per_sequence: gpus_per_sequence as u32,
        stages,
        micro_batch_tokens: book.count(
            "training.micro_batch_tokens",
            given.micro_batch_tokens,
            whole,
            "one sequence of the greatest length",
        ),
        balance,
        update: update(book, given.update_seconds, (model, cluster), weights_of, &defaults.training),
        precision,
        global_batch_size,
        epochs: book.count("training.epochs", given.epochs, 1, "one pass over the samples"),
        packing: book.or("training.packing", given.packing, true, "RL frameworks' default"),
        recompute: match given.recompute {
            None | Some(raw::Recompute::None) => 0.0,
            Some(raw::Recompute::Selective) => defaults.training.recompute_selective.value,
            Some(raw::Recompute::Full) => 1.0,
        },
        mfu,
        logprob_mfu,
        old_logprobs: book.or("training.old_logprobs", given.old_logprobs, true, "recomputed by the trainer"),
        reference_logprobs: book.or(
            "training.reference_logprobs",
            given.reference_logprobs,
            false,
            "no KL penalty unless the scenario says so",
        ),
        drafter: None,
    })
}

/// The efficiency where the scenario gives none: by kind of model and number format, carried over to the device.
fn usual_mfu(
    book: &Book<'_>,
    efficiency: &Efficiency,
    model: &Model,
    device: &Device,
    precision: Precision,
) -> Result<StageDefault, ResolveError> {
    let measured = match (model.experts, precision) {
        (Some(experts), Precision::Bf16) => efficiency.experts_bf16_of(experts.intermediate),
        (Some(_), Precision::Fp8) => efficiency.experts_fp8.clone(),
        (None, Precision::Bf16) => efficiency.dense_bf16.clone(),
        (None, Precision::Fp8) => efficiency.dense_fp8.clone(),
    };
    if device.id == efficiency.measured_on {
        return Ok(measured);
    }
    let on = catalog::device(&efficiency.measured_on).map_err(|e| book.lookup("training.mfu", &e))?;
    let peak = |device: &Device| match precision {
        Precision::Bf16 => device.bf16_tflops,
        Precision::Fp8 => device.fp8_tflops.unwrap_or(device.bf16_tflops),
    };
    let bandwidth = device.memory_gb_per_s / on.memory_gb_per_s;
    Ok(efficiency.carried(&measured, &device.id, peak(device) / peak(&on), bandwidth))
}

/// Why experts cannot be spread over so many of the trainer's GPUs.
fn expert_problem(model: &Model, cluster: &Cluster, ep: u32, stages: u32) -> Option<String> {
    if ep == 1 {
        return None;
    }
    let Some(experts) = model.experts else {
        return Some(format!("{ep} GPUs for experts, and {} has none", model.id));
    };
    if !experts.count.is_multiple_of(ep) {
        return Some(format!("{ep} GPUs do not divide the {} experts of {}", experts.count, model.id));
    }
    let of_stage = cluster.gpus / stages.max(1);
    (ep > of_stage || !of_stage.is_multiple_of(ep))
        .then(|| format!("{of_stage} GPUs of a pipeline stage do not split into groups of {ep}"))
}

/// Seconds of an optimizer step: fp32 gradients are reduced and scattered, bf16 weights gathered, over the links of the ranks
/// that hold copies of the same weights; then Adam reads and writes its state of a GPU's share of the weights. `weights_of`
/// GPUs share one copy of the weights, of routed experts the second number.
fn update(
    book: &mut Book<'_>,
    given: Option<Uncertain>,
    (model, cluster): (&Model, &Cluster),
    weights_of: [f64; 2],
    defaults: &TrainingDefaults,
) -> Quantity {
    let device = &cluster.device;
    let inside = defaults.link_inside.value * device.nvlink_gb_per_s * 1e9;
    let spans = f64::from(cluster.gpus) > f64::from(cluster.gpus_per_node);
    let exchange = |params: f64, weights_of: f64| {
        let copies = (f64::from(cluster.gpus) / weights_of).max(1.0);
        let beside = (f64::from(cluster.gpus_per_node) / weights_of).clamp(1.0, copies);
        let between = defaults.link_between.value * cluster.network.gb_per_s_per_gpu * 1e9 * beside;
        let link = if spans { inside.min(between) } else { inside };
        defaults.exchanged_bytes.value * params / weights_of * (copies - 1.0) / copies / link
    };
    let routed = model.routed_params();
    let exchanged = exchange(model.params() - routed, weights_of[0]) + exchange(routed, weights_of[1]);
    let optimizer = defaults.optimizer_bytes.value * model.params()
        / f64::from(cluster.gpus)
        / (device.memory_gb_per_s * 1e9);
    let value = exchanged + optimizer;
    let why =
        "analytic: fp32 gradients and bf16 weights over the links, nothing overlapped; Adam at memory speed";
    book.quantity("training.update_seconds", given, (value, defaults.update_spread.value * value), why)
}

/// How sure training's seconds are: of their parts, the passes and the updates between them, each with its own error. The
/// parts are those of samples of the mean length, evenly spread.
pub(super) fn confidence(resolved: &Resolved, passes: Confidence) -> Confidence {
    let update = &resolved.training.update;
    let (train, _) = training::passes(resolved);
    let lengths = [&resolved.workload.prompt_tokens, &resolved.workload.response_tokens];
    let tokens = lengths.iter().map(|lengths| lengths.model.mean()).sum();
    let samples = f64::from(resolved.training.global_batch_size);
    let flops = train.forwards * training::forward_flops(&resolved.model, tokens) * samples;
    let computing = flops / (train.ranks as f64 * train.gpus_per_rank * train.rate);
    let share = update.value / (update.value + computing);
    if !share.is_finite() {
        return passes;
    }
    let log_sigma = ((1.0 - share) * passes.log_sigma).hypot(share * update.log_sigma());
    Confidence { log_sigma, ..passes }
}

fn check_efficiency(book: &Book<'_>, path: &str, given: Option<Uncertain>) -> Result<(), ResolveError> {
    match given {
        Some(number) if !(number.value > 0.0 && number.value <= 1.0) => {
            let message = format!("found {}, expected a share of the peak: above 0, up to 1", number.value);
            Err(book.error(path, message, None))
        }
        _ => Ok(()),
    }
}

/// What it advises is a whole number of nodes and of each of `groups`, so that following it does not end in the next error.
fn fits(
    model: &Model,
    cluster: &Cluster,
    groups: [u64; 2],
    bytes_per_weight: f64,
) -> Result<(), ResolveError> {
    let per_gpu = Bytes(model.params() * bytes_per_weight / f64::from(cluster.gpus));
    let memory = cluster.device.memory_gib;
    if per_gpu.gib() <= memory {
        return Ok(());
    }
    let fewest = (model.params() * bytes_per_weight / Bytes::from_gib(memory).0).ceil() as u64;
    let node = u64::from(cluster.gpus_per_node);
    let splits = |gpus: u64| {
        (gpus <= node || gpus.is_multiple_of(node)) && groups.iter().all(|&group| gpus.is_multiple_of(group))
    };
    // One of so many is a multiple of the product of all three.
    let last = fewest + node * groups[0] * groups[1];
    let needed = (fewest..=last).find(|&gpus| splits(gpus)).unwrap_or(last);
    Err(ResolveError::DoesNotFit {
        what: format!("training {} on {} GPUs does not fit", model.id, cluster.gpus),
        missing: per_gpu.gib() - memory,
        device: cluster.device.id.clone(),
        memory,
        needs: format!(
            "{per_gpu} of weights, gradients and optimizer state, sharded over all GPUs, before any activation"
        ),
        advice: format!("what would fit: at least {needed} GPUs of this kind"),
    })
}
