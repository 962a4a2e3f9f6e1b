//! What was drafted when, in a rollout that is over.
//!
//! A replica's timeline keeps its batch and its cache, not its configuration. A schedule without history decides from these
//! alone, so it is asked again at each change. Its context is taken as the cache in use, which rounds each sequence up to
//! a block and holds a shared prompt once. Left out: schedules that learn or count, whose decisions cannot be asked for again,
//! and decisions that change between two changes of the batch as contexts grow.

use super::compare::Side;
use crate::rl::StepWork;
use crate::rollout::Outcome;
use crate::speculation::schedule::Snapshot;

/// Draft tokens at each point of each replica's timeline; none where the schedule keeps history.
pub(super) fn draft_tokens(side: &Side<'_>, step: &StepWork) -> Option<Vec<Vec<u32>>> {
    let prototype = side.prepared.schedule.knowing(&step.believed);
    let generation = &side.prepared.resolved.generation;
    let (block, states) = (u64::from(generation.engine.block_size), u64::from(generation.state_tokens));
    prototype.make().leapable().then(|| {
        let of = |replica: &Outcome| {
            let mut schedule = prototype.make();
            let points = replica.timeline.iter().map(|point| {
                let held = point.kv_blocks * block;
                let context = held.saturating_sub(u64::from(point.running) * states);
                let snapshot =
                    Snapshot { running: point.running, prefilling: 0, waiting: point.waiting, context };
                if point.running == 0 { 0 } else { schedule.decide(&snapshot).draft_tokens() }
            });
            points.collect()
        };
        step.replicas.iter().map(of).collect()
    })
}
