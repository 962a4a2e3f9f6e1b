//! The stepper `exact`: every engine iteration, every request, in the order an engine takes them.
//!
//! It is the oracle for every faster stepper, so it is nothing but the loop over iterations.

use super::Job;
use super::outcome::Outcome;
use super::replica::Replica;
use crate::speculation::StepCost;
use crate::speculation::schedule::Schedule;

/// Runs one replica to the end of its samples.
///
/// Every sample's prompt and response must fit the KV cache alone (`resolve` checks it); one that does not
/// is run past the limit rather than looping for ever.
pub fn run_exact(job: &Job<'_>, cost: &impl StepCost, schedule: &mut dyn Schedule) -> Outcome {
    let mut replica = Replica::new(job, schedule);
    while !replica.finished() {
        replica.step(cost, schedule);
    }
    replica.finish()
}
