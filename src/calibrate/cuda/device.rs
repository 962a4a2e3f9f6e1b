//! The GPU as a bench and as a launcher.
//!
//! How a sample is taken is in `sample`. Cold operands rotate over sets that together are at least five times the L2, or,
//! where a work is so small that this would need too many, over as many sets as there are copies: each is then read once
//! after the L2 was written over, and is cold too. Hot ones are one set, and the L2 is left as it is.

mod launcher;
mod sample;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use super::super::bench::{Bench, BenchError, Opened};
use super::super::forecast::hash;
use super::super::kernels::{HEADERS, SOURCES};
use super::super::launch::Launcher;
use super::super::programs::{self, Setting};
use super::super::protocol::{REPLAY_S, more_copies};
use super::super::session::Device;
use super::super::tables::Provenance;
use super::super::work::{Choice, Format, Overhead, Work};
use super::context::{Context, Event, Functions, Graph, version};
use super::gemm::Library;
use super::ready::{self, Ready};
use super::{compile, library};
use sample::of_graph;

/// Most copies in a graph.
const MOST_COPIES: u64 = 256;
/// Cold sets together are at least this many times the L2.
const COLD: u64 = 5;
/// Bytes that a fetch brings back.
const FETCHED: usize = 4096;

/// What is open.
enum Open {
    Nothing,
    /// Device time of a graph, over its copies.
    Graph {
        graph: Graph,
        copies: u32,
        /// Seconds that the device is kept busy before it.
        cover_s: f64,
        /// Whether the cache holds nothing of it before.
        cold: bool,
    },
    /// Host time of launching a graph.
    Launch {
        graph: Graph,
    },
    /// Host time of so many launches one by one, until the device is done.
    Eager {
        count: u64,
    },
    /// Host time of waiting for an event and copying back.
    Fetch,
}

/// A GPU.
pub struct Cuda {
    // Dropped in this order: what uses the context before the context.
    open: Open,
    ready: Vec<Ready>,
    gemm: Library,
    functions: Functions,
    flawed: BTreeMap<String, Functions>,
    start: Event,
    end: Event,
    context: Context,
    /// Bytes of twice the L2, and where so many are: to be written over, and to be read.
    flush: (u64, [u64; 2]),
    scratch: u64,
    mark: u64,
    seed: u64,
    nvrtc: String,
    begun: Instant,
}

impl Cuda {
    pub(super) fn open(folders: &[PathBuf], seed: u64) -> Result<Self, BenchError> {
        let begun = Instant::now();
        library::load(folders)?;
        library::need_driver()?;
        library::need_nvrtc()?;
        library::need_cublaslt()?;
        let mut context = Context::open()?;
        let functions = context.kernels(&SOURCES, None)?;
        let gemm = Library::open(&mut context)?;
        let bytes = 2 * context.facts.l2;
        let flush = (bytes, [context.allocate(bytes)?, context.allocate(bytes)?]);
        context.set(flush.1[1], 0, bytes)?;
        let scratch = context.allocate(FETCHED as u64)?;
        Ok(Cuda {
            open: Open::Nothing,
            ready: Vec::new(),
            gemm,
            functions,
            flawed: BTreeMap::new(),
            start: Event::new()?,
            end: Event::new()?,
            mark: context.mark(),
            context,
            flush,
            scratch,
            seed,
            nvrtc: compile::version()?,
            begun,
        })
    }

    fn setting(&self) -> Setting {
        Setting { multiprocessors: self.context.facts.multiprocessors, seed: self.seed }
    }

    /// Sets of cold operands: enough that they cannot stay in the L2, or one a copy.
    fn sets(&self, cold: u64, copies: u64) -> u64 {
        if cold == 0 {
            return 1;
        }
        ((COLD * self.context.facts.l2).div_ceil(cold) + 1).min(copies).max(1)
    }

    /// Puts a work's operands into memory, in at most so many sets: where it is, its sets, what the library chose.
    fn make(
        &mut self,
        work: &Work,
        copies: u64,
        sets: Option<u64>,
    ) -> Result<(Ready, u64, String), BenchError> {
        let setting = self.setting();
        if let Work::Gemm { format, shape, choice } = work {
            let product = self.gemm.product(*format, *shape)?;
            let narrow = if *format == Format::Bf16 { 2 } else { 1 };
            let sets = sets.unwrap_or_else(|| self.sets(narrow * shape[1] * shape[2], copies));
            let choices = product.choices();
            let place = (0, sets as usize, self.seed);
            let mut ready =
                ready::product(&mut self.context, &self.functions, product, *format, *shape, place)?;
            if *choice == Choice::Best {
                self.fastest(&mut ready, choices, copies)?;
            }
            let note = match &ready {
                Ready::Product { product, algorithm, .. } => {
                    format!("{} (no. {} of {choices})", product.describe(*algorithm), algorithm + 1)
                }
                Ready::Program { .. } => String::new(),
            };
            return Ok((ready, sets, note));
        }
        let Some(program) = programs::program(work, setting) else {
            return Err(BenchError::Unsupported("no kernel does this".to_owned()));
        };
        let [cold, hot] = ready::sizes(&program);
        let sets = sets.unwrap_or_else(|| self.sets(cold, copies));
        let needed = cold * sets + hot;
        if needed > self.context.left() {
            return Err(BenchError::Memory { needed, free: self.context.left() });
        }
        let ready = ready::program(&mut self.context, &self.functions, program, sets as usize, self.seed)?;
        Ok((ready, sets, String::new()))
    }

    fn close(&mut self) -> Result<(), BenchError> {
        self.context.wait()?;
        self.open = Open::Nothing;
        self.ready.clear();
        self.context.release(self.mark);
        Ok(())
    }

    fn open_host(&mut self, what: Overhead, count: u64) -> Result<Opened, BenchError> {
        let empty = programs::empty();
        let ready = ready::program(&mut self.context, &self.functions, empty, 1, self.seed)?;
        self.open = match what {
            Overhead::GraphNodes => of_graph(self.graph(count, &ready)?, 1, true),
            Overhead::GraphLaunch => Open::Launch { graph: self.graph(count, &ready)? },
            Overhead::EagerLaunch => Open::Eager { count },
            Overhead::Fetch => Open::Fetch,
        };
        self.ready.push(ready);
        self.settle()?;
        Ok(Opened { copies: 1, sets: 1, note: String::new() })
    }

    /// A whole step: works of a layer with one set a layer, then those of the end.
    fn open_step(&mut self, layers: u64, layer: &[Work], end: &[Work]) -> Result<Opened, BenchError> {
        let mut notes = Vec::new();
        for work in layer {
            let (ready, _, note) = self.make(work, layers, Some(layers))?;
            self.ready.push(ready);
            notes.push(note);
        }
        for work in end {
            let (ready, _, _) = self.make(work, 1, Some(1))?;
            self.ready.push(ready);
        }
        let (inner, outer) = self.ready.split_at(layer.len());
        let graph = self.context.capture(&mut || {
            for index in 0..layers {
                for ready in inner {
                    ready.enqueue(&self.context, &self.functions, index as usize)?;
                }
            }
            outer.iter().try_for_each(|ready| ready.enqueue(&self.context, &self.functions, 0))
        })?;
        self.open = of_graph(graph, 1, true);
        self.settle()?;
        notes.retain(|note| !note.is_empty());
        Ok(Opened { copies: 1, sets: layers as u32, note: notes.join("; ") })
    }
}

impl Cuda {
    /// So many copies of a work.
    fn open_copies(&mut self, work: &Work, copies: u64, cold: bool) -> Result<Opened, BenchError> {
        self.close()?;
        let (ready, sets, note) = self.make(work, copies, (!cold).then_some(1))?;
        let graph = self.graph(copies, &ready)?;
        self.ready.push(ready);
        self.open = of_graph(graph, copies as u32, cold);
        Ok(Opened { copies: copies as u32, sets: sets as u32, note })
    }

    fn open_work(&mut self, work: &Work, cold: bool) -> Result<Opened, BenchError> {
        let copies = (libm::ceil(REPLAY_S / work.predicted_s()) as u64).clamp(1, MOST_COPIES);
        let opened = self.open_copies(work, copies, cold)?;
        // A work that is faster than expected needs more copies for as long a replay.
        let Some(more) = more_copies(copies, self.settle()?, MOST_COPIES) else { return Ok(opened) };
        let opened = self.open_copies(work, more, cold)?;
        self.settle()?;
        Ok(opened)
    }
}

impl Bench for Cuda {
    fn now_s(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    fn open(&mut self, work: &Work) -> Result<Opened, BenchError> {
        self.close()?;
        match work {
            Work::Host { what, count } => self.open_host(*what, *count),
            Work::Step { layers, layer, end, .. } => self.open_step(*layers, layer, end),
            _ => self.open_work(work, true),
        }
    }

    fn open_hot(&mut self, work: &Work) -> Result<Opened, BenchError> {
        self.open_work(work, false)
    }

    fn replay_s(&mut self) -> Result<f64, BenchError> {
        let host = |begun: Instant| begun.elapsed().as_secs_f64();
        match &self.open {
            Open::Nothing => Err(BenchError::Unsupported("nothing is open".to_owned())),
            Open::Graph { graph, copies, cover_s, cold } => {
                Ok(self.timed(graph, *cover_s, *cold)?.device_s / f64::from(*copies))
            }
            Open::Launch { graph } => {
                let begun = Instant::now();
                self.context.replay(graph)?;
                let seconds = host(begun);
                self.context.wait()?;
                Ok(seconds)
            }
            Open::Eager { count } => {
                let begun = Instant::now();
                for _ in 0..*count {
                    self.ready[0].enqueue(&self.context, &self.functions, 0)?;
                }
                self.context.wait()?;
                Ok(host(begun))
            }
            Open::Fetch => {
                self.ready[0].enqueue(&self.context, &self.functions, 0)?;
                self.end.record(&self.context)?;
                let begun = Instant::now();
                self.end.wait()?;
                let mut bytes = [0_u8; FETCHED];
                self.context.download(self.scratch, &mut bytes)?;
                Ok(host(begun))
            }
        }
    }

    fn sm_mhz(&mut self) -> Result<Option<f64>, BenchError> {
        self.enqueue(&programs::clocks(), self.scratch)?;
        let mut bytes = [0_u8; 16];
        self.context.download(self.scratch, &mut bytes)?;
        let word =
            |at: usize| bytes[at..at + 8].iter().rev().fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
        let (cycles, nanoseconds) = (word(0), word(8));
        Ok((nanoseconds > 0).then(|| 1e3 * cycles as f64 / nanoseconds as f64))
    }
}

impl Device for Cuda {
    fn provenance(&self) -> Provenance {
        let facts = &self.context.facts;
        // Names as the driver gives them: "NVIDIA H200", "NVIDIA H100 80GB HBM3".
        let device = match &facts.name {
            name if name.contains("H200") && !name.contains("NVL") => "h200-sxm".to_owned(),
            name if name.contains("H100") && name.contains("HBM3") => "h100-sxm".to_owned(),
            name => name.to_lowercase().replace("nvidia ", "").replace(' ', "-"),
        };
        let source: String = HEADERS.iter().chain(&SOURCES).map(|(_, text)| *text).collect();
        let versions = BTreeMap::from([
            ("gpu".to_owned(), facts.name.clone()),
            ("cuda".to_owned(), version(facts.cuda)),
            ("cublaslt".to_owned(), Library::version()),
            ("nvrtc".to_owned(), self.nvrtc.clone()),
            ("rollcast".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("kernels".to_owned(), format!("{:016x}", hash(source.as_bytes()))),
        ]);
        Provenance {
            device,
            driver: library::driver(),
            versions,
            provider: "own: kernels of this project, products by cuBLASLt".to_owned(),
        }
    }

    fn notes(&self) -> Vec<String> {
        let files = library::loaded().into_iter().map(|file| format!("loaded: {file}"));
        files.chain(self.functions.notes.lines().map(str::to_owned)).collect()
    }

    fn launcher(&mut self) -> Option<&mut dyn Launcher> {
        Some(self)
    }
}
