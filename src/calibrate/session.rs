//! A whole run: correctness, ceilings, points, steps forecast and then measured, repeats; and what is written of it.
//!
//! Files are given out as they come to be, so that a run that is cut off, or whose device breaks, leaves the tables
//! measured so far.

mod summary;

use std::time::Duration;

use super::bars;
use super::bench::{Bench, BenchError, Opened};
use super::correctness::{self, Check, Effort};
use super::fake::Fake;
use super::forecast::Kernels;
use super::launch::Launcher;
use super::outcome::{Listener, Outcome};
use super::plan::{self, Family, Point, cost_s};
use super::protocol::Protocol;
use super::scheduler::{Budget, Run};
use super::tables::{self, Provenance};
use super::work::{Choice, Format, Work};
use summary::{Found, pretty};

/// A device that can be measured and checked.
pub trait Device: Bench {
    /// What it is.
    fn provenance(&self) -> Provenance;

    /// What the log should begin with.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// To run kernels on given inputs; none where there are no kernels to run.
    fn launcher(&mut self) -> Option<&mut dyn Launcher>;
}

/// A run on the made-up device: nothing of it is a measurement, and its tables say so.
#[derive(Debug)]
pub struct Rehearsal(Fake);

impl Rehearsal {
    /// With noise of this seed.
    pub fn new(seed: u64) -> Self {
        Rehearsal(Fake::new(seed))
    }
}

impl Bench for Rehearsal {
    fn now_s(&self) -> f64 {
        self.0.now_s()
    }

    fn open(&mut self, work: &Work) -> Result<Opened, BenchError> {
        self.0.open(work)
    }

    fn open_hot(&mut self, work: &Work) -> Result<Opened, BenchError> {
        self.0.open_hot(work)
    }

    fn replay_s(&mut self) -> Result<f64, BenchError> {
        self.0.replay_s()
    }

    fn sm_mhz(&mut self) -> Result<Option<f64>, BenchError> {
        self.0.sm_mhz()
    }
}

impl Device for Rehearsal {
    fn provenance(&self) -> Provenance {
        Provenance {
            device: "h200-sxm".to_owned(),
            driver: None,
            versions: std::collections::BTreeMap::new(),
            provider: "rehearsal on a made-up device, not measured".to_owned(),
        }
    }

    fn launcher(&mut self) -> Option<&mut dyn Launcher> {
        None
    }
}

/// What a run is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Seconds.
    pub budget_s: f64,
    /// Of the random order and of inputs.
    pub seed: u64,
    /// Families to measure.
    pub families: Vec<Family>,
    /// How large the checks of correctness are.
    pub checks: Effort,
}

/// Where a run's words and files go, as they come.
pub trait Sink {
    /// A line of the log.
    fn line(&mut self, line: &str);

    /// A file as it stands now; it may come again, longer.
    fn file(&mut self, name: &str, text: &str);
}

/// A finished run.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// For the terminal.
    pub screen: String,
    /// Whether every check of correctness passed.
    pub correct: bool,
    /// What ended it before its time, or why nothing was measured.
    pub broken: Option<BenchError>,
}

/// Writes tables as they stand while a run goes on.
struct Journal<'a> {
    sink: &'a mut dyn Sink,
    provenance: Provenance,
    /// Whether rows count: not where kernels compute something else than they should.
    trusted: bool,
}

impl Listener for Journal<'_> {
    fn line(&mut self, line: &str) {
        self.sink.line(line);
    }

    fn so_far(&mut self, outcome: &Outcome) {
        for (name, text) in tables::tables(&outcome.rows, &self.provenance, self.trusted) {
            self.sink.file(&name, &text);
        }
    }
}

/// Measured first: what everything else is compared with.
pub fn ceilings() -> Vec<Work> {
    let gemm = |format, shape| Work::Gemm { format, shape, choice: Choice::First };
    vec![
        Work::Copy { bytes: 4_000_000_000 },
        gemm(Format::Bf16, [8192, 8192, 8192]),
        gemm(Format::Bf16, [4096, 24_576, 4096]),
        gemm(Format::Fp8, [8192, 8192, 8192]),
    ]
}

/// Most of the budget that checks of correctness may take; of a short run more, because rows that were not checked are flagged.
const CHECKS: f64 = 0.15;
const CHECKS_OF_SHORT: f64 = 0.25;
/// Seconds below which a run is short.
const SHORT_S: f64 = 200.0;

/// Runs everything within the budget. Whatever fails on the way, the sink has what was found.
pub fn run(device: &mut dyn Device, options: &Options, sink: &mut dyn Sink) -> Report {
    let protocol = Protocol::default();
    let budget = Budget { total_s: options.budget_s };
    let provenance = device.provenance();
    device.notes().iter().for_each(|note| sink.line(note));
    let checks = match device.launcher() {
        Some(launcher) => {
            let share = if options.budget_s < SHORT_S { CHECKS_OF_SHORT } else { CHECKS };
            let limit = Duration::from_secs_f64(share * options.budget_s);
            let mut each = |check: &Check| sink.line(&check.to_string());
            correctness::run(launcher, options.seed, options.checks, limit, &mut each)
        }
        None => Vec::new(),
    };
    sink.file("correctness.json", &pretty(&correctness::json(&checks)));
    let all_pass = checks.iter().all(|check| check.passed);
    let point = |family| {
        move |work: Work| {
            let seconds = cost_s(&Protocol::default(), &work);
            Point { work, family, value: 1.0, seconds }
        }
    };
    let works = if options.families.contains(&Family::Step) { plan::steps() } else { Vec::new() };
    let mut journal = Journal { sink, provenance, trusted: all_pass };
    let mut run = Run::new(as_bench(device), protocol, budget, options.seed, &mut journal);
    let first = run.ordered(ceilings().into_iter().map(point(Family::Copy)).collect(), budget.until()[0]);
    run.points(plan::points(&protocol, &options.families));
    let frozen = Kernels::of(&run.outcome().rows).freeze(&works);
    run.listener().line(&format!("forecasts of whole steps frozen, hash {:016x}", frozen.hash));
    let mut stepped = Vec::new();
    for step in works.iter().cloned().map(point(Family::Step)) {
        stepped.extend(run.ordered(vec![step], budget.until()[1]));
        run.listener().sink.file("steps.csv", &tables::steps(&stepped, &works, &frozen));
    }
    run.again();
    let outcome = run.finish();
    let seconds = device.now_s();
    let bars = bars::table(&first, &outcome.rows, &stepped, &frozen, &works, (seconds, options.budget_s));
    let found = Found { first: &first, outcome: &outcome, bars: &bars, seconds, frozen: frozen.hash };
    let correct = (!checks.is_empty()).then_some(all_pass);
    let summary = pretty(&summary::summary(&journal.provenance, options, &found, correct));
    journal.so_far(&outcome);
    journal.sink.file("run.json", &summary);
    let screen = summary::screen(&outcome, &bars, &checks, seconds);
    // A device that refuses everything may be whole, and still nothing was measured.
    let first = outcome.refused.into_iter().next().filter(|_| outcome.rows.is_empty());
    let all_refused = first.map(|(work, why)| {
        BenchError::Unsupported(format!("no point was measured; the first was refused: {work}: {why}"))
    });
    Report { screen, correct: all_pass, broken: outcome.broken.or(all_refused) }
}

/// `&mut dyn Device` as the bench that it is.
fn as_bench(device: &mut dyn Device) -> &mut dyn Bench {
    device
}

#[cfg(test)]
mod tests;
