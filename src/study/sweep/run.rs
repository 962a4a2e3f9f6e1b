//! Forecasts points on threads. A thread takes one point after the other and keeps nothing of it but its row, so memory
//! does not grow with the number of points.
//!
//! Each thread has a rayon pool of its own for the inside of a forecast: with one pool for all, a thread that waits for
//! a part of its point would begin another point on top of it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use super::{Row, Sweep};
use crate::study::compare::compare_figures;

/// How the work is spread.
#[derive(Debug, Clone, Copy)]
pub struct Workers {
    /// Points at once.
    pub points: usize,
    /// Threads inside each.
    pub threads: usize,
}

impl Workers {
    /// For so many threads and points: threads that find no point of their own help inside the others.
    pub fn new(threads: usize, points: usize) -> Self {
        let at_once = threads.clamp(1, points.max(1));
        Workers { points: at_once, threads: (threads / at_once).max(1) }
    }
}

/// Why a sweep stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError<E> {
    /// No threads.
    #[error("cannot start threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// The rows cannot be kept.
    #[error(transparent)]
    Keep(E),
}

/// Forecasts the points of `indices`; `keep` takes each row on the calling thread, in the order of their ends. Where it
/// fails nothing further is begun.
pub fn run<E>(
    sweep: &Sweep,
    indices: &[u64],
    workers: Workers,
    mut keep: impl FnMut(Row) -> Result<(), E>,
) -> Result<(), RunError<E>> {
    let mut pools = Vec::new();
    for _ in 0..workers.points {
        pools.push(rayon::ThreadPoolBuilder::new().num_threads(workers.threads).build()?);
    }
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (next, stop) = (&next, &stop);
    std::thread::scope(|scope| {
        let (sender, rows) = mpsc::sync_channel(workers.points);
        for pool in &pools {
            let sender = sender.clone();
            scope.spawn(move || {
                pool.install(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let Some(index) = indices.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                        let row = forecast(sweep, *index);
                        if row.is_some_and(|row| sender.send(row).is_err()) {
                            break;
                        }
                    }
                });
            });
        }
        drop(sender);
        for row in rows {
            if let Err(error) = keep(row) {
                // Rows that are under way are dropped with the channel.
                stop.store(true, Ordering::Relaxed);
                return Err(RunError::Keep(error));
            }
        }
        Ok(())
    })
}

fn forecast(sweep: &Sweep, index: u64) -> Option<Row> {
    let point = sweep.point(index)?;
    let labels = point.labels();
    let done = point
        .document(sweep.base())
        .map_err(Into::into)
        .and_then(|document| compare_figures(&document, sweep.stepper()));
    Some(match done {
        Ok(result) => Row::of(index, labels, &result),
        Err(error) => Row::failed(index, labels, &error),
    })
}
