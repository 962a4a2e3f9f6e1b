//! Forecasts points on threads. A thread takes one batch of points after the other and keeps nothing of a point but its row
//! and its baseline, until the next one's: memory does not grow with what a point is.
//!
//! Points that differ in speculation only share their baseline, so a batch holds such points and the baseline is simulated
//! once for it. What a row says does not depend on that: a baseline serves only where it would be simulated the same.
//!
//! Each thread has a rayon pool of its own for the inside of a forecast: with one pool for all, a thread that waits for
//! a part of its point would begin another point on top of it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use super::{Row, Sweep};
use crate::study::compare::{Kept, compare_figures};

/// Batches for each worker at least, so that all have work to the end.
const BATCHES: usize = 8;

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
    let order = in_order_of_baselines(sweep, indices);
    let batches: Vec<&[(u64, u64)]> = order
        .chunk_by(|a, b| a.0 == b.0)
        .flat_map(|same| same.chunks((indices.len() / (BATCHES * workers.points)).max(1)))
        .collect();
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (next, stop, batches) = (&next, &stop, &batches);
    std::thread::scope(|scope| {
        let (sender, rows) = mpsc::sync_channel(workers.points);
        for pool in &pools {
            let sender = sender.clone();
            scope.spawn(move || {
                pool.install(|| {
                    let mut kept = None;
                    while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                        for (_, index) in *batch {
                            if stop.load(Ordering::Relaxed) {
                                return;
                            }
                            let row = forecast(sweep, *index, &mut kept);
                            if row.is_some_and(|row| sender.send(row).is_err()) {
                                return;
                            }
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

/// The indices, those together whose baselines should be the same: each beside the first of its kind, in order.
fn in_order_of_baselines(sweep: &Sweep, indices: &[u64]) -> Vec<(u64, u64)> {
    let mut firsts: HashMap<u64, u64> = HashMap::new();
    let mut order: Vec<(u64, u64)> = indices
        .iter()
        .map(|index| {
            let mut hasher = DefaultHasher::new();
            if let Some(point) = sweep.point(*index) {
                point.beside_speculation().hash(&mut hasher);
            }
            (*firsts.entry(hasher.finish()).or_insert(*index), *index)
        })
        .collect();
    order.sort_unstable();
    order
}

fn forecast(sweep: &Sweep, index: u64, kept: &mut Option<Kept>) -> Option<Row> {
    let point = sweep.point(index)?;
    let labels = point.labels();
    let done = point
        .document(sweep.base())
        .map_err(Into::into)
        .and_then(|document| compare_figures(&document, sweep.stepper(), kept));
    Some(match done {
        Ok(result) => Row::of(index, labels, &result),
        Err(error) => Row::failed(index, labels, &error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Document;
    use crate::study::sweep::Options;

    #[test]
    fn points_that_share_a_baseline_come_together() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/sweeps/batch-k.yaml");
        let file = Document::read(&path).unwrap_or_else(|error| panic!("{error}"));
        let options = Options { sample: Some(20), ..Options::default() };
        let sweep = Sweep::read(&file, options).unwrap_or_else(|errors| panic!("{errors:?}"));
        let indices: Vec<u64> = (0..sweep.len()).collect();
        let order = in_order_of_baselines(&sweep, &indices);
        let mut seen: Vec<u64> = order.iter().map(|(_, index)| *index).collect();
        let batch = |index| sweep.point(index).map(|point| point.labels()[0].clone());
        let kinds: Vec<Option<String>> = seen.iter().map(|index| batch(*index)).collect();
        let runs = 1 + kinds.windows(2).filter(|pair| pair[0] != pair[1]).count();
        let different: std::collections::BTreeSet<_> = kinds.iter().collect();
        assert_eq!(runs, different.len(), "each batch size once, all its draft lengths together");
        assert!(different.len() < indices.len());
        seen.sort_unstable();
        assert_eq!(seen, indices, "every point once");
    }
}
