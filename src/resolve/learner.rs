//! The drafter over RL steps: how its acceptance moves, and what training it costs and restores.
//!
//! Seconds of a training are 6 · P · tokens · updates operations (forward and backward, P the drafter's weights) over the
//! trainer's rate; the target's hidden states are there already, from generation or from the trainer's own passes.

use super::ResolveError;
use super::book::Book;
use crate::profile::{DrafterDefaults, StageDefault, StageProfile};
use crate::resolved::{
    Cluster, DrafterTraining, Generation, Model, Source, Speculation, Trained, Training, Workload,
};
use crate::scenario::Scenario;
use crate::scenario::raw::{self, Course as Given, DrafterLoss, DrafterPlacement};
use crate::speculation::staleness::{Course, Learner, rates};

pub(super) struct Inputs<'a> {
    pub(super) raw: &'a Scenario,
    pub(super) model: &'a Model,
    pub(super) gpus: &'a Cluster,
    pub(super) workload: &'a Workload,
    pub(super) generation: &'a Generation,
    pub(super) steps: u32,
}

pub(super) fn resolve(
    book: &mut Book<'_>,
    inputs: &Inputs<'_>,
    speculation: &mut Speculation,
    training: &mut Training,
    defaults: &StageProfile,
) -> Result<(), ResolveError> {
    let Some(raw::Speculation::On(config)) = &inputs.raw.speculation else { return Ok(()) };
    let first = speculation.acceptance.rates.first().copied().unwrap_or(0.0);
    let course = config.drift.as_ref().map(|given| course(book, given, &defaults.drafter)).transpose()?;
    let asked = inputs.raw.training.as_ref().and_then(|training| training.drafter.as_ref());
    if course.is_none() && asked.is_none() {
        return Ok(());
    }
    if speculation.acceptance.history.is_some() {
        let message = "acceptance that grows with what was seen does not drift as well".to_owned();
        let key = if course.is_some() { "speculation.drift" } else { "training.drafter" };
        return Err(book.error(key, message, None));
    }
    let trained = speculation.drafter.trained(inputs.model);
    if asked.is_some() && trained.is_none() {
        let message = format!("{} has no weights to train", speculation.drafter.id);
        return Err(book.error("training.drafter", message, None));
    }
    let learner = asked
        .zip(trained)
        .map(|(given, of)| learner(book, inputs, (given, of), speculation, training, defaults));
    let learner = learner.transpose()?;
    if course.is_some() && learner.is_some() {
        speculation.untrained_rates = rates(first, course.as_ref(), None, inputs.steps as usize + 1);
    }
    speculation.first_rates = rates(first, course.as_ref(), learner.as_ref(), inputs.steps as usize + 1);
    Ok(())
}

fn course(book: &mut Book<'_>, given: &Given, defaults: &DrafterDefaults) -> Result<Course, ResolveError> {
    let rate = |number: raw::NonNegative| number.get();
    let pairs = |points: &[[raw::NonNegative; 2]]| -> Vec<(f64, f64)> {
        points.iter().map(|[step, first]| (rate(*step), rate(*first))).collect()
    };
    Ok(match given {
        Given::Exponential(exponential) => {
            Course::Exponential { limit: exponential.limit.get(), steps: exponential.steps.get() }
        }
        Given::Divergence(divergence) => {
            let share = divergence.share.map(raw::Probability::get);
            let usual = &defaults.divergence_share;
            Course::Divergence {
                kl_per_step: divergence.kl_per_step.get(),
                quadratic: divergence.quadratic.unwrap_or(false),
                share: book.or("speculation.drift.divergence.share", share, usual.value, &usual.source),
                entropy: (
                    divergence.entropy_per_step.map_or(0.0, raw::Number::get),
                    divergence.entropy_gain.map_or(0.0, raw::Number::get),
                ),
            }
        }
        Given::Points(points) => {
            let points = pairs(points);
            checked(book, "speculation.drift.points", points)?
        }
        Given::File(file) => {
            let at = "speculation.drift.file.path";
            let location = book.document().directory().join(&file.path);
            let text = std::fs::read_to_string(&location).map_err(|error| {
                book.error(at, format!("cannot read {}: {error}", location.display()), None)
            })?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            let parse = |line: &str| {
                let mut numbers =
                    line.split([',', ' ', '\t']).filter(|s| !s.is_empty()).map(str::parse::<f64>);
                match (numbers.next(), numbers.next(), numbers.next()) {
                    (Some(Ok(step)), Some(Ok(rate)), None) => Ok((step, rate)),
                    _ => Err(line.chars().take(40).collect::<String>()),
                }
            };
            let points = lines.map(parse).collect::<Result<Vec<_>, _>>().map_err(|line| {
                let message =
                    format!("{}: found `{line}`, expected an RL step and a rate", location.display());
                book.error(at, message, None)
            })?;
            checked(book, at, points)?
        }
    })
}

fn checked(book: &Book<'_>, at: &str, points: Vec<(f64, f64)>) -> Result<Course, ResolveError> {
    let rising = points.windows(2).all(|pair| pair[1].0 > pair[0].0);
    let rates = points.iter().all(|(_, rate)| (0.0..=1.0).contains(rate));
    if points.is_empty() || !rising || !rates {
        let message = "expected points of an RL step and a rate from 0 to 1, rising in steps";
        return Err(book.error(at, message, None));
    }
    Ok(Course::Points(points))
}

/// How much higher the first-position rate of a drafter that is trained on the policy may come to lie than it starts: what a
/// loss gains over offline distillation.
fn gain(loss: DrafterLoss, defaults: &DrafterDefaults) -> &StageDefault {
    match loss {
        DrafterLoss::Distillation => &defaults.gap_distillation,
        DrafterLoss::RewardWeighted => &defaults.gap_reward_weighted,
        DrafterLoss::Acceptance => &defaults.gap_acceptance,
    }
}

fn learner(
    book: &mut Book<'_>,
    inputs: &Inputs<'_>,
    (given, trained): (&raw::DrafterTraining, Trained),
    speculation: &Speculation,
    training: &mut Training,
    defaults: &StageProfile,
) -> Result<Learner, ResolveError> {
    let at = |key: &str| format!("training.drafter.{key}");
    let placement = given.placement.unwrap_or(DrafterPlacement::Inline);
    if given.placement.is_none() {
        book.note(&at("placement"), "inline", Source::Default, "the loop waits for it");
    }
    let in_trainer = placement == DrafterPlacement::TrainerForward;
    let every = book.count(&at("every"), given.every, 1, "after every RL step");
    let optimizer_steps = inputs.workload.samples().div_ceil(training.global_batch_size) * training.epochs;
    let own = &defaults.drafter;
    let usual = if in_trainer { optimizer_steps } else { own.updates.value as u32 };
    let updates = book.count(&at("updates"), given.updates, usual, "of each training");
    let recovery = given.recovery.map(raw::Positive::get);
    let recovery =
        book.or(&at("recovery"), recovery, own.recovery_updates.value, &own.recovery_updates.source);
    let mean = |lengths: &crate::resolved::Lengths| lengths.model.mean();
    let batch_tokens = f64::from(inputs.workload.samples())
        * (mean(&inputs.workload.prompt_tokens) + mean(&inputs.workload.response_tokens));
    let tokens = if in_trainer {
        if every > 1 || given.updates.is_some() || given.tokens.is_some() {
            let message = "in the trainer's own passes the drafter sees every batch once".to_owned();
            let hint = "leave every, updates and tokens out".to_owned();
            return Err(book.error(&at("placement"), message, Some(hint)));
        }
        batch_tokens
    } else {
        let usual = &own.update_tokens;
        let tokens = book.count(&at("tokens"), given.tokens, usual.value as u32, &usual.source);
        f64::from(tokens) * f64::from(updates)
    };
    if in_trainer && training.packing {
        let why = "NeMo-RL trains a drafter on unpacked sequences only";
        book.note("training.packing", false, Source::Default, why);
        training.packing = false;
    }
    let peak = inputs.gpus.device.peak_flops(training.precision);
    let gpus = f64::from(inputs.gpus.gpus);
    let computed = trained.flops_per_token * tokens / (gpus * peak * training.mfu.value);
    let seconds = given.seconds.map_or(computed, raw::NonNegative::get);
    let contention = match placement {
        DrafterPlacement::Overlapped => {
            let share = given.contention.map(raw::Probability::get);
            book.or(&at("contention"), share, own.contention.value, &own.contention.source)
        }
        _ if given.contention.is_some() => {
            let message = "only training beside generation has a share that the loop feels".to_owned();
            return Err(book.error(&at("contention"), message, Some("placement: overlapped".to_owned())));
        }
        _ => 1.0,
    };
    let preset = defaults.weight_transfer.preset(super::cycle::transfer(inputs.raw))?;
    let bytes = trained.weights * speculation.weights.bytes() / f64::from(inputs.generation.layout.gpus());
    let usual = gain(given.loss.unwrap_or(DrafterLoss::Distillation), own);
    let initial_gap = match given.initial_gap {
        Some(gap) => gap.get(),
        None => book.or(&at("initial_gap"), None, usual.value, &usual.source),
    };
    let overlapped = placement == DrafterPlacement::Overlapped;
    let (usual, why) = if overlapped {
        (1, "trained beside the next rollout, so ready for the one after it")
    } else {
        (0, "ready for the next rollout")
    };
    let lag = book.or(&at("lag"), given.lag.map(|lag| lag.get() as u32), usual, why);
    training.drafter = Some(DrafterTraining {
        updates: (f64::from(updates), recovery),
        lag,
        initial_gap,
        every,
        seconds,
        exposed_seconds: contention * seconds,
        idle_gpu_seconds: if placement == DrafterPlacement::Idle { seconds * gpus } else { 0.0 },
        sync_seconds: bytes / (preset.gb_per_s * 1e9),
    });
    Ok(Learner { every, updates: f64::from(updates), recovery, lag, initial_gap })
}
