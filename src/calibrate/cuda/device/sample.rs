//! One sample: a replay of a graph of serial copies between two events.
//!
//! In front of the first event stand, in this order: a write over twice the L2, so that it holds nothing of the work; a
//! read of twice the L2 elsewhere, because the lines that were written would else go back to memory inside the sample and
//! take bandwidth from it; and a kernel that waits for as long as the host needs to launch the graph, so that the device
//! never waits for the host inside the sample. (To refuse samples whose launch took too long would keep only what a quick
//! host launches quickly.)

use std::time::Instant;

use super::super::context::Graph;
use super::super::ready::Ready;
use super::{Cuda, Open};
use crate::calibrate::bench::BenchError;
use crate::calibrate::launch::Launch;
use crate::calibrate::programs;
use crate::calibrate::protocol::cover_s;

/// A replay that lasts longer needs no second look before it is sampled.
const LONG_S: f64 = 2e-3;

/// A graph as what is open, before anything is known of its launch.
pub(super) fn of_graph(graph: Graph, copies: u32, cold: bool) -> Open {
    let cover_s = cover_s(graph.nodes, 0.0);
    Open::Graph { graph, copies, cover_s, cold }
}

/// One replay: seconds between its events, and of the host's call that launched it.
pub(super) struct Timed {
    pub(super) device_s: f64,
    launch_s: f64,
}

impl Cuda {
    /// Times each algorithm and keeps the fastest. One that cannot run is passed over; if none can, the work is refused.
    pub(super) fn fastest(
        &mut self,
        ready: &mut Ready,
        choices: usize,
        copies: u64,
    ) -> Result<(), BenchError> {
        let mut best: Option<(f64, usize)> = None;
        let mut why = BenchError::Unsupported("no algorithm was timed".to_owned());
        for choice in 0..choices {
            if let Ready::Product { algorithm, .. } = &mut *ready {
                *algorithm = choice;
            }
            match self.quick_s(copies, ready) {
                Ok(seconds) => {
                    if best.is_none_or(|(least, _)| seconds < least) {
                        best = Some((seconds, choice));
                    }
                }
                Err(error) if error.is_local() => why = error,
                Err(error) => return Err(error),
            }
        }
        let Some((_, choice)) = best else { return Err(why) };
        if let Ready::Product { algorithm, .. } = ready {
            *algorithm = choice;
        }
        Ok(())
    }

    /// The median of five replays.
    fn quick_s(&self, copies: u64, ready: &Ready) -> Result<f64, BenchError> {
        let graph = self.graph(copies, ready)?;
        let cover_s = cover_s(graph.nodes, 0.0);
        let mut times = [0.0; 5];
        for time in &mut times {
            *time = self.timed(&graph, cover_s, true)?.device_s;
        }
        times.sort_by(f64::total_cmp);
        Ok(times[2])
    }

    /// A graph of so many copies, each of which advances by one set.
    pub(super) fn graph(&self, copies: u64, ready: &Ready) -> Result<Graph, BenchError> {
        self.context.capture(&mut || {
            (0..copies).try_for_each(|copy| ready.enqueue(&self.context, &self.functions, copy as usize))
        })
    }

    /// One replay.
    pub(super) fn timed(&self, graph: &Graph, cover_s: f64, cold: bool) -> Result<Timed, BenchError> {
        if cold {
            let (bytes, [written, read]) = self.flush;
            self.context.set(written, 0x5a, bytes)?;
            self.enqueue(&programs::read_launch(bytes, None, self.setting()), read)?;
        }
        self.enqueue(&programs::spin((1e9 * cover_s) as u64), 0)?;
        self.start.record(&self.context)?;
        let begun = Instant::now();
        self.context.replay(graph)?;
        let launch_s = begun.elapsed().as_secs_f64();
        self.end.record(&self.context)?;
        self.end.wait()?;
        Ok(Timed { device_s: self.end.since(&self.start)?, launch_s })
    }

    /// A launch on one buffer.
    pub(super) fn enqueue(&self, launch: &Launch, at: u64) -> Result<(), BenchError> {
        self.context.launch(self.functions.get(launch.kernel)?, launch, &launch.parameters(|_| at))
    }

    /// Replays what is open twice (a long one once): loads what is loaded late, and finds how long the host takes to launch
    /// it. Seconds of the last replay.
    pub(super) fn settle(&mut self) -> Result<f64, BenchError> {
        let (mut device_s, mut least_s) = (0.0, f64::INFINITY);
        for _ in 0..2 {
            let Open::Graph { graph, cover_s, cold, .. } = &self.open else { return Ok(0.0) };
            let timed = self.timed(graph, *cover_s, *cold)?;
            device_s = timed.device_s;
            least_s = timed.launch_s.min(least_s);
            if device_s > LONG_S {
                break;
            }
        }
        if let Open::Graph { graph, cover_s: cover, .. } = &mut self.open {
            *cover = cover_s(graph.nodes, least_s);
        }
        Ok(device_s)
    }
}
