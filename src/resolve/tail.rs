//! What is done about the longest responses, and the layout that the tail is generated in.

use super::book::Book;
use super::{Prepared, ResolveError, memory, resolve_for};
use crate::profile::StageProfile;
use crate::resolved::{Cluster, Generation, Isolation, LoopMode, Model, Quantity, Regrouping, Source, Tail};
use crate::scenario::raw;

/// Error of a predictor that nobody describes.
const LOG_ERROR: f64 = 0.5;
/// Share of the samples that is isolated where nobody says.
const ISOLATED: f64 = 0.05;

pub(super) fn resolve(
    book: &mut Book<'_>,
    raw: Option<&raw::Tail>,
    (model, cluster): (&Model, &Cluster),
    generation: &Generation,
    mode: &LoopMode,
    stages: &StageProfile,
) -> Result<Tail, ResolveError> {
    let Some(given) = raw else { return Ok(Tail::default()) };
    let mut tail =
        Tail { longest_first: given.admission == Some(raw::Admission::LongestFirst), ..Tail::default() };
    if let Some(isolate) = &given.isolate {
        tail.isolate = Some(isolation(book, isolate, generation)?);
    }
    if let Some(regroup) = &given.regroup {
        tail.regroup = Some(regrouping(book, regroup, (model, cluster), generation, stages)?);
    }
    if tail.predicts() {
        let error = given.predictor.as_ref().and_then(|p| p.log_error).map(raw::NonNegative::get);
        let why = "assumed: predictions within a factor of 1.65 for two responses in three";
        tail.log_error = book.or("tail.predictor.log_error", error, LOG_ERROR, why);
    } else if given.predictor.is_some() {
        let why = "nothing predicts lengths without `isolate` or `admission: longest_first`";
        book.without_effect("tail.predictor", why);
    }
    if mode.feeds_back() && (tail.predicts() || tail.regroup.is_some()) {
        let message = "samples come and go one by one in this loop: only `cap` is built for it";
        let hint =
            "a loop whose prompts start together, without over-sampling or dynamic sampling".to_owned();
        return Err(book.error("tail", message, Some(hint)));
    }
    Ok(tail)
}

fn isolation(
    book: &mut Book<'_>,
    given: &raw::Isolate,
    generation: &Generation,
) -> Result<Isolation, ResolveError> {
    let most = generation.replicas.saturating_sub(1);
    if most == 0 {
        let message = "one engine: there is none to spare for long responses";
        return Err(book.error("tail.isolate", message, None));
    }
    let share = given.share.map(raw::Fraction::get);
    let share = book.or("tail.isolate.share", share, ISOLATED, "assumed: the usual long tail");
    let replicas = given.replicas.map(|n| n.get() as u32);
    if let Some(asked) = replicas.filter(|asked| *asked > most) {
        let message = format!("{asked} of {} engines, expected at most {most}", generation.replicas);
        return Err(book.error("tail.isolate.replicas", message, None));
    }
    if replicas.is_none() {
        let why = "as many engines as the share of the predicted tokens asks for";
        book.note("tail.isolate.replicas", "in proportion", Source::Default, why);
    }
    Ok(Isolation { share, replicas })
}

fn regrouping(
    book: &mut Book<'_>,
    given: &raw::Regroup,
    (model, cluster): (&Model, &Cluster),
    generation: &Generation,
    stages: &StageProfile,
) -> Result<Regrouping, ResolveError> {
    let layout = generation.layout;
    let tp = book.or(
        "tail.regroup.tp",
        given.tp.map(|n| n.get() as u32),
        layout.tp,
        "the layout stays: requests are moved, nothing else",
    );
    let path = "tail.regroup.tp";
    if tp != layout.tp && (layout.ep > 1 || layout.dp_attention) {
        let message =
            "another width is built for tensor parallelism alone, not for layout.ep or dp_attention";
        return Err(book.error(path, message, None));
    }
    if tp < layout.tp || !tp.is_multiple_of(layout.tp) {
        let message = format!("{tp} GPUs, expected a multiple of generation.layout.tp of {}", layout.tp);
        return Err(book.error(path, message, None));
    }
    if let Some((message, hint)) = memory::layout_problem(model, cluster, tp) {
        return Err(book.error(path, message, hint));
    }
    let preset = stages.weight_transfer.preset("colocated-ipc")?;
    let bytes = model.params() * generation.weights.bytes() / f64::from(tp);
    let (seconds, why) = if tp == layout.tp {
        (0.0, "the weights stay where they are")
    } else {
        let why = "shared-memory handles for the new layout's weights (colocated-ipc), its graphs captured beforehand";
        (preset.fixed_s + bytes / (preset.gb_per_s * 1e9), why)
    };
    let se = stages.weight_transfer.sigma * seconds;
    let seconds: Quantity = book.quantity("tail.regroup.seconds", given.seconds, (seconds, se), why);
    let moves_kv = given.kv == Some(raw::KvTransfer::Move);
    if given.kv.is_none() {
        book.note("tail.regroup.kv", "recompute", Source::Default, "needs nothing that engines lack");
    }
    Ok(Regrouping { below: given.below.get() as u32, tp, seconds, moves_kv })
}

/// The engines of the tail, where their layout is another.
pub(super) fn wide(book: &Book<'_>, tail: &Tail, layout_tp: u32) -> Result<Option<Prepared>, ResolveError> {
    let Some(regroup) = tail.regroup.filter(|regroup| regroup.tp != layout_tp) else { return Ok(None) };
    let mut document = book.document().clone();
    document.set("tail=null")?;
    document.set(&format!("generation.layout.tp={}", regroup.tp))?;
    let prepared = resolve_for(&document, false, 0);
    prepared.map(Some).map_err(|error| match error {
        ResolveError::Input(error) => {
            book.error("tail.regroup.tp", format!("{} GPUs: {}", regroup.tp, error.message()), None)
        }
        other => other,
    })
}
