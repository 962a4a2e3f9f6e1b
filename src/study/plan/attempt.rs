//! One candidate: resolved, bounded and recognised, or refused with a reason.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use super::bound::{self, Lengths};
use super::fate::Fate;
use super::goal::Facts;
use super::space::Space;
use crate::resolve::{Prepared, ResolveError, resolve};
use crate::resolved::{Resolved, ScheduleInput};
use crate::scenario::{Document, Error};

/// A candidate that can be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) facts: Facts,
    pub(super) kinds: usize,
    /// Its step takes at least so many seconds.
    pub(super) least_s: f64,
    /// Of its last rung.
    pub(super) draws: u32,
    pub(super) worlds: u32,
}

/// A resolved candidate, or why it is none.
pub(super) type Tried = Result<(Open, u64), (Fate, Option<Error>)>;

/// A candidate, resolved.
pub(super) fn prepare(space: &Space, candidate: usize) -> Result<Prepared, ResolveError> {
    let document: Document = space.document(candidate)?;
    resolve(&document)
}

/// Resolves a candidate: what is known of it, and a number that equal runs share.
pub(super) fn attempt(
    space: &Space,
    candidate: usize,
    kinds: usize,
    lengths: &Mutex<HashMap<u64, Arc<Lengths>>>,
) -> Tried {
    if let Some(why) = space.impossible(candidate) {
        return Err((Fate::Nodes(why.to_owned()), None));
    }
    let prepared =
        space.document(candidate).map_err(ResolveError::Input).and_then(|document| resolve(&document));
    let prepared = prepared.map_err(refusal)?;
    let resolved = &prepared.resolved;
    let facts = Facts {
        gpus: resolved.gpus(),
        staleness: resolved.cycle.max_staleness,
        usd_per_s: resolved.usd_per_second(),
    };
    let key = hash(&(resolved.seed, resolved.rl_steps, format!("{:?}", resolved.workload)));
    let shared = lengths.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    let shared = shared.unwrap_or_else(|| {
        let fresh = Arc::new(Lengths::of(resolved));
        lengths.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&fresh));
        fresh
    });
    let least_s = bound::step_seconds(&prepared, &shared);
    let (draws, worlds) = (resolved.uncertainty.workload_draws, resolved.uncertainty.worlds);
    Ok((Open { facts, kinds, least_s, draws, worlds }, run_number(resolved)))
}

/// An error as a fate; input errors keep their place.
fn refusal(error: ResolveError) -> (Fate, Option<Error>) {
    match error {
        ResolveError::Input(error) => {
            let path = error.path().to_string();
            let text = format!("{path}: {}", error.message());
            let of_layout =
                ["generation.layout", "training.layout", "speculation.drafter.tp", "cluster.gpus", "pools."];
            let layout = of_layout.iter().any(|start| path.starts_with(start))
                && !path.ends_with(".device")
                && !path.ends_with(".network");
            if layout { (Fate::Layout(text), None) } else { (Fate::Refused(text), Some(error)) }
        }
        ResolveError::DoesNotFit { what, missing, .. } => {
            (Fate::Memory(format!("{what}: {missing:.1} GiB too much for one GPU")), None)
        }
        other => (Fate::Refused(other.to_string()), None),
    }
}

fn hash(value: &impl Hash) -> u64 {
    // Fixed keys: the same number in every run.
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A number that is the same for runs that are.
fn run_number(resolved: &Resolved) -> u64 {
    let mut same = resolved.clone();
    same.assumptions = Vec::new();
    same.without_effect = Vec::new();
    same.name = String::new();
    let settled = match &same.speculation {
        None => true,
        Some(speculation) => matches!(speculation.schedule, ScheduleInput::Off | ScheduleInput::Fixed { .. }),
    };
    if settled && !same.cycle.mode.feeds_back() {
        // Seats that no replica ever fills change nothing but the graphs that are captured: those for steps without prompts
        // that the run has, and the largest. The others only pad steps with prompts to a few tokens more or less.
        let most = same.most_sequences();
        let width = same.speculation.as_ref().map_or(0, |s| s.schedule.max_draft_tokens()) + 1;
        let engine = &mut same.generation.engine;
        engine.max_num_seqs = most;
        let holds = engine.capture_sizes.partition_point(|size| *size < most.saturating_mul(width));
        let largest = engine.capture_sizes.last().copied();
        engine.capture_sizes.truncate(holds + 1);
        engine.capture_sizes.extend(largest);
    }
    hash(&serde_json::to_string(&same).unwrap_or_default())
}
