//! A whole run: ceilings, correctness, points, steps forecast and then measured, repeats; and what is written of it.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::bars;
use super::bench::{Bench, BenchError, Opened};
use super::correctness::{self, Check, Effort};
use super::drift::{Drift, Sentinels};
use super::fake::Fake;
use super::forecast::{Kernels, hash};
use super::kernels;
use super::launch::Launcher;
use super::plan::{self, Family, Point, cost_s};
use super::protocol::Protocol;
use super::scheduler::{Budget, Measured, Outcome, Run};
use super::tables::{self, Provenance};
use super::work::{Choice, Format, Work};

/// A device that can be measured and checked.
pub trait Device: Bench {
    /// What it is.
    fn provenance(&self) -> Provenance;

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
}

/// A finished run.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Names and texts of the files.
    pub files: Vec<(String, String)>,
    /// For the terminal.
    pub screen: String,
    /// Whether every check of correctness passed.
    pub correct: bool,
    /// Seconds that it took.
    pub seconds: f64,
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

/// Runs everything within the budget. `log` takes lines as they come.
pub fn run(
    device: &mut dyn Device,
    options: &Options,
    log: &mut dyn FnMut(&str),
) -> Result<Report, BenchError> {
    let protocol = Protocol::default();
    let budget = Budget { total_s: options.budget_s };
    let provenance = device.provenance();
    let checks = match device.launcher() {
        Some(launcher) => {
            let limit = Duration::from_secs_f64(0.15 * options.budget_s);
            let mut each = |check: &Check| log(&check.to_string());
            correctness::run(launcher, options.seed, Effort::Full, limit, &mut each)
        }
        None => Vec::new(),
    };
    let point = |family| {
        move |work: Work| {
            let seconds = cost_s(&Protocol::default(), &work);
            Point { work, family, value: 1.0, seconds }
        }
    };
    let works = if options.families.contains(&Family::Step) { plan::steps() } else { Vec::new() };
    let mut run = Run::new(as_bench(device), protocol, budget, options.seed, log);
    let first = run.ordered(ceilings().into_iter().map(point(Family::Copy)).collect(), budget.until()[0])?;
    run.points(plan::points(&protocol, &options.families))?;
    let frozen = Kernels::of(&run.outcome().rows).freeze(&works);
    run.log(&format!("forecasts of whole steps frozen, hash {:016x}", frozen.hash));
    let steps: Vec<Point> = works.iter().cloned().map(point(Family::Step)).collect();
    let stepped = run.ordered(steps, budget.until()[1])?;
    run.again()?;
    let outcome = run.finish();
    let seconds = device.now_s();
    let bars = bars::table(&first, &outcome.rows, &stepped, &frozen, &works, seconds);
    let mut files = tables::tables(&outcome.rows, &provenance);
    if !stepped.is_empty() {
        files.push(("steps.csv".to_owned(), tables::steps(&stepped, &works, &frozen)));
    }
    let all_pass = checks.iter().all(|check| check.passed);
    files.push(("correctness.json".to_owned(), pretty(&correctness::json(&checks))));
    files.push((
        "run.json".to_owned(),
        pretty(&summary(&provenance, options, &first, &outcome, &bars, seconds, frozen.hash)),
    ));
    let screen = screen(&outcome, &bars, &checks, seconds);
    Ok(Report { files, screen, correct: all_pass, seconds })
}

/// `&mut dyn Device` as the bench that it is.
fn as_bench(device: &mut dyn Device) -> &mut dyn Bench {
    device
}

fn pretty(value: &Value) -> String {
    let mut text = format!("{value:#}");
    text.push('\n');
    text
}

fn summary(
    provenance: &Provenance,
    options: &Options,
    first: &[Measured],
    outcome: &Outcome,
    bars: &[bars::Bar],
    seconds: f64,
    frozen: u64,
) -> Value {
    let drift: Vec<Value> = Sentinels::works()
        .iter()
        .enumerate()
        .filter_map(|(index, work)| {
            let drift = Drift::of(&outcome.sentinels, index)?;
            Some(json!({ "work": work.to_string(), "ln_change": drift.change, "error": drift.error,
                         "readings": drift.readings, "detected": drift.detected() }))
        })
        .collect();
    let rates: Vec<Value> = first
        .iter()
        .map(|row| {
            let (work, s) = (&row.point.work, row.spread.median);
            json!({ "work": work.to_string(), "us": 1e6 * s, "gb_per_s": work.bytes() / s / 1e9,
                    "tflop_per_s": work.flops() / s / 1e12, "note": row.opened.note })
        })
        .collect();
    let mut clocks: Vec<f64> = outcome.rows.iter().filter_map(|row| row.sm_mhz).collect();
    clocks.sort_by(f64::total_cmp);
    json!({
        "device": provenance.device, "driver": provenance.driver, "versions": provenance.versions,
        "provider": provenance.provider,
        "kernels": kernels::SOURCES.iter().map(|(name, text)| (*name, format!("{:016x}", hash(text.as_bytes())))).collect::<std::collections::BTreeMap<_, _>>(),
        "budget_s": options.budget_s, "seed": options.seed, "seconds": seconds,
        "ceilings": rates, "drift": drift, "reproducibility": outcome.reproducibility(),
        "sm_mhz": { "p05": crate::math::quantile_sorted(&clocks, 0.05), "median": crate::math::quantile_sorted(&clocks, 0.5) },
        "rows": outcome.rows.len(), "unstable": outcome.rows.iter().filter(|row| row.unstable).count(),
        "skipped": outcome.skipped.iter().map(|point| point.work.to_string()).collect::<Vec<_>>(),
        "refused": outcome.refused.iter().map(|(work, why)| format!("{work}: {why}")).collect::<Vec<_>>(),
        "frozen_forecasts": format!("{frozen:016x}"),
        "bars": bars.iter().map(|bar| json!({ "what": bar.what, "bar": bar.bar, "found": bar.found, "met": bar.met })).collect::<Vec<_>>(),
    })
}

fn screen(outcome: &Outcome, bars: &[bars::Bar], checks: &[Check], seconds: f64) -> String {
    let mut text = format!(
        "{} points in {seconds:.1} s, {} left out for want of time, {} refused, {} unsteady\n",
        outcome.rows.len(),
        outcome.skipped.len(),
        outcome.refused.len(),
        outcome.rows.iter().filter(|row| row.unstable).count()
    );
    let failed: Vec<&Check> = checks.iter().filter(|check| !check.passed).collect();
    // Writing into a string cannot fail.
    match (checks.len(), failed.len()) {
        (0, _) => text += "correctness: not checked, there is no kernel to run\n",
        (all, 0) => _ = writeln!(text, "correctness: all {all} checks passed"),
        (all, n) => _ = writeln!(text, "correctness: {n} of {all} checks FAILED"),
    }
    for check in failed {
        let _ = writeln!(text, "  {check}");
    }
    for (index, work) in Sentinels::works().iter().enumerate() {
        if let Some(drift) = Drift::of(&outcome.sentinels, index) {
            let seen = if drift.detected() { "DRIFT" } else { "no drift" };
            let _ = writeln!(
                text,
                "{seen}: {work} {:+.2} % +- {:.2} over the run",
                100.0 * drift.change,
                100.0 * drift.error
            );
        }
    }
    text += "\n";
    text + &bars::text(bars)
}
