//! A scenario beside its baseline, in the same draws and the same calibration worlds.
//!
//! Each (draw, RL step) is simulated once a side; each world is then a dot product and a run of the event
//! machine. Simulations are independent of each other, so they run in parallel and are collected in order:
//! the result does not depend on the number of threads.

use std::time::Instant;

use rayon::prelude::*;

use super::paces::Loops;
use super::summarise::{self, Priced};
use super::{break_even, detail, notes, rl_steps, sensitivity, timeline, worlds};
use crate::estimate::FAMILIES;
use crate::resolve::{Prepared, ResolveError, resolve, resolve_beside};
use crate::resolved::Resolved;
use crate::result::{Arm, Candidate, RunResult, SCHEMA_VERSION, Simulator, Speedup, StepRow, Timeline};
use crate::rl::{InputShift, Simulation, StepWork};
use crate::rollout::Stepper;
use crate::scenario::Document;

/// Why a comparison could not be made.
pub type StudyError = ResolveError;

/// Longest run, nominal seconds: three years. The clock holds 584, enough for a world of a hundred times the time.
const LONGEST: f64 = 1e8;

/// A comparison, and what only `--out` writes.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The result.
    pub result: RunResult,
    /// Nominal steps.
    pub steps: Vec<StepRow>,
    /// Nominal timelines of one draw.
    pub timelines: Vec<Timeline>,
}

/// One side, simulated: by draw and RL step.
pub(super) struct Side<'a> {
    pub(super) name: &'static str,
    pub(super) prepared: &'a Prepared,
    pub(super) stepper: Stepper,
    pub(super) draws: Vec<Vec<StepWork>>,
    /// Share of each counted rollout that its last 5 % of samples take.
    pub(super) tail_shares: Vec<f64>,
    /// By draw, where time feeds back into what is generated when; else empty.
    pub(super) loops: Vec<Loops>,
}

/// A simulated baseline, for the next scenario that has the same.
pub(super) struct Kept {
    resolved: Resolved,
    shifts: Vec<InputShift>,
    stepper: Stepper,
    draws: Vec<Vec<StepWork>>,
    tail_shares: Vec<f64>,
}

/// Runs a scenario and its baseline.
pub fn compare(document: &Document, stepper: Stepper) -> Result<Comparison, StudyError> {
    compare_for(document, stepper, true, &mut None)
}

/// The same without what explains the answer: sensitivity, break-even, steps, timelines and courses over time are empty.
/// The baseline in `kept` is not simulated again where it is this scenario's; in its place goes this scenario's.
pub(super) fn compare_figures(
    document: &Document,
    stepper: Stepper,
    kept: &mut Option<Kept>,
) -> Result<RunResult, StudyError> {
    Ok(compare_for(document, stepper, false, kept)?.result)
}

fn compare_for(
    document: &Document,
    stepper: Stepper,
    explain: bool,
    kept: &mut Option<Kept>,
) -> Result<Comparison, StudyError> {
    let started = Instant::now();
    if document.has("step") {
        let hint = Some("rollcast cost step --scenario, or rollcast validate".to_owned());
        return Err(ResolveError::Input(document.error_at(
            "step",
            "this scenario is of one step, not of a run",
            hint,
        )));
    }
    let (baseline, others) = (document.baseline()?, document.candidates()?);
    let mut sides = same_steps([document, &baseline].into_iter().chain(&others))?.into_iter();
    let (Some(forecast), Some(without)) = (sides.next(), sides.next()) else {
        // As many come out as went in.
        return Err(ResolveError::Input(document.error_at("", "nothing to compare", None)));
    };
    let candidates: Vec<Prepared> = sides.collect();
    let shifts = worlds::input_shifts(forecast.resolved.seed, forecast.resolved.uncertainty.workload_draws);
    let normals = worlds::normals(forecast.resolved.seed, forecast.resolved.uncertainty.worlds);
    let beyond = worlds::beyond(forecast.resolved.seed, forecast.resolved.uncertainty.worlds);
    let simulated = |name, side| simulate(name, side, &shifts, stepper, (&normals, &beyond));
    let baseline = match kept.take().filter(|kept| kept.serves(&without.resolved, &shifts, stepper)) {
        Some(kept) => kept.side(&without),
        None => simulated("baseline", &without),
    };
    let forecast = simulated("forecast", &forecast);
    let candidates: Vec<Side<'_>> = candidates
        .iter()
        .map(|prepared| simulate("candidate", prepared, &shifts, stepper, (&normals, &beyond)))
        .collect();
    let sides = [&baseline, &forecast].into_iter().chain(&candidates);
    within_the_clock(document, sides.clone())?;
    to_the_end(document, sides)?;
    let (slow, fast) = (Priced::new(&baseline, &normals, &beyond), Priced::new(&forecast, &normals, &beyond));
    let mut candidates: Vec<Candidate> = candidates
        .iter()
        .map(|side| candidate(&baseline, &slow, side, &Priced::new(side, &normals, &beyond)))
        .collect();
    candidates.sort_by(|a, b| a.step_s.mean.total_cmp(&b.step_s.mean));

    let scenario = document.scenario()?;
    let mut result = RunResult {
        schema_version: SCHEMA_VERSION,
        name: forecast.prepared.resolved.name.clone(),
        baseline: summarise::arm(&baseline, &slow),
        forecast: summarise::arm(&forecast, &fast),
        speedup: speedup(&slow, &fast),
        candidates,
        levers: None,
        response_lengths: detail::response_lengths(&forecast, shifts[0]),
        update_interval: super::update_interval::of(&forecast),
        whole_run: scenario
            .whole_run
            .as_ref()
            .map(|asked| super::whole_run::of(asked, [(&baseline, &slow), (&forecast, &fast)])),
        break_even: if explain { break_even::table(&baseline, &forecast) } else { Vec::new() },
        sensitivity: if explain { sensitivity::table(&forecast) } else { Vec::new() },
        provenance: notes::provenance(&forecast),
        assumptions: forecast.prepared.resolved.assumptions.clone(),
        warnings: notes::warnings(&baseline, &forecast),
        not_modelled: notes::not_modelled(),
        expect: Vec::new(),
        resolved: forecast.prepared.resolved.clone(),
        simulator: Simulator { command: None, simulated_tokens: 0, cpu_s: None, wall_s: 0.0 },
    };
    if explain {
        for (arm, side) in [(&mut result.baseline, &baseline), (&mut result.forecast, &forecast)] {
            arm.batch_over_time = detail::batch_over_time(side);
            arm.completions = detail::completions(side);
            arm.rl_steps = rl_steps::points(side);
        }
    }
    let expectations = scenario.expect.as_deref().unwrap_or_default();
    result.expect = super::validate::expected(&result, expectations);
    super::validate::known_quantities(document, expectations, &result.expect)?;
    result.simulator = Simulator {
        command: None,
        simulated_tokens: [&baseline, &forecast].iter().map(|side| side.tokens()).sum(),
        cpu_s: cpu_seconds(),
        wall_s: started.elapsed().as_secs_f64(),
    };
    if !explain {
        if baseline.loops.is_empty() {
            let Side { draws, tail_shares, .. } = baseline;
            *kept = Some(Kept { resolved: without.resolved.clone(), shifts, stepper, draws, tail_shares });
        }
        return Ok(Comparison { result, steps: Vec::new(), timelines: Vec::new() });
    }
    let steps = [&baseline, &forecast].iter().flat_map(|side| detail::step_rows(side)).collect();
    let timelines = [&baseline, &forecast].iter().map(|side| timeline::timeline(side)).collect();
    Ok(Comparison { result, steps, timelines })
}

/// Runs that are compared, resolved: where one of them fills a pipeline (`warmup_steps`), the same RL steps count in all that do
/// not say otherwise, as lengths, acceptance and chance differ from one to the next.
fn same_steps<'d>(documents: impl Iterator<Item = &'d Document>) -> Result<Vec<Prepared>, ResolveError> {
    let documents: Vec<&Document> = documents.collect();
    let alone: Vec<Prepared> =
        documents.iter().map(|document| resolve(document)).collect::<Result<_, _>>()?;
    let warmup = alone.iter().map(|side| side.resolved.warmup_steps).max().unwrap_or(0);
    let beside = |(document, side): (&Document, Prepared)| {
        if side.resolved.warmup_steps == warmup { Ok(side) } else { resolve_beside(document, warmup) }
    };
    documents.into_iter().zip(alone).map(beside).collect()
}

/// One side alone, simulated in so many draws and priced in so many worlds: seconds a step of each world of each draw in
/// turn, and its numbers. One draw and one world are the best values. The error is a sentence.
pub(super) fn alone(
    prepared: &Prepared,
    stepper: Stepper,
    draws: u32,
    worlds: u32,
) -> Result<(Vec<f64>, Arm), String> {
    let seed = prepared.resolved.seed;
    let shifts = worlds::input_shifts(seed, draws);
    let (normals, beyond) = (worlds::normals(seed, worlds), worlds::beyond(seed, worlds));
    let side = simulate("plan", prepared, &shifts, stepper, (&normals, &beyond));
    let steps = prepared.resolved.rl_steps as usize;
    if let Some(short) = side.draws.iter().find(|draw| draw.len() < steps) {
        return Err(format!("the loop came to a halt after {} of {steps} RL steps", short.len()));
    }
    let priced = Priced::new(&side, &normals, &beyond);
    // No number is too long as well.
    if !priced.step_s.iter().all(|seconds| *seconds * steps as f64 <= LONGEST) {
        return Err(format!("all steps take more than {LONGEST:.0} s together"));
    }
    let arm = summarise::arm(&side, &priced);
    Ok((priced.step_s, arm))
}

/// A loop that comes to a halt has a bug of this program behind it, or inputs that it should have refused.
fn to_the_end<'a>(document: &Document, sides: impl Iterator<Item = &'a Side<'a>>) -> Result<(), StudyError> {
    for side in sides {
        let steps = side.prepared.resolved.rl_steps as usize;
        if let Some(short) = side.draws.iter().find(|draw| draw.len() < steps) {
            let message = format!("the loop came to a halt after {} of {steps} RL steps", short.len());
            return Err(ResolveError::Input(document.error_at("loop", message, None)));
        }
    }
    Ok(())
}

/// A run that the clock cannot hold in its slowest world is none.
fn within_the_clock<'a>(
    document: &Document,
    sides: impl Iterator<Item = &'a Side<'a>>,
) -> Result<(), StudyError> {
    let draws = sides.flat_map(|side| &side.draws);
    let seconds = draws.map(|steps| steps.iter().flat_map(|s| s.price(&[1.0; FAMILIES]).stages).sum::<f64>());
    let longest = seconds.fold(0.0, f64::max);
    if longest <= LONGEST {
        return Ok(());
    }
    let message = format!("all steps take {longest:.0} s together, expected at most {LONGEST:.0} s");
    Err(ResolveError::Input(document.error_at(
        "rl_steps",
        message,
        Some("fewer steps, or shorter ones".to_owned()),
    )))
}

fn speedup(slow: &Priced, fast: &Priced) -> Speedup {
    Speedup {
        rollout: summarise::ratio(&slow.rollout_s, &fast.rollout_s),
        step: summarise::ratio(&slow.step_s, &fast.step_s),
        p_gain: summarise::share(&slow.step_s, &fast.step_s),
    }
}

fn candidate(baseline: &Side<'_>, slow: &Priced, side: &Side<'_>, fast: &Priced) -> Candidate {
    let arm = summarise::arm(side, fast);
    Candidate {
        label: arm.label,
        step_s: arm.step_s,
        speedup: speedup(slow, fast),
        acceptance_length: arm.acceptance_length,
        break_even: break_even::table(baseline, side),
    }
}

impl Kept {
    /// Whether a baseline would be simulated to this.
    fn serves(&self, resolved: &Resolved, shifts: &[InputShift], stepper: Stepper) -> bool {
        self.stepper == stepper && self.shifts == shifts && self.resolved == *resolved
    }

    fn side(self, prepared: &Prepared) -> Side<'_> {
        let Kept { stepper, draws, tail_shares, .. } = self;
        Side { name: "baseline", prepared, stepper, draws, tail_shares, loops: Vec::new() }
    }
}

impl Side<'_> {
    /// The first RL step that counts.
    pub(super) fn first_counted(&self) -> usize {
        (self.prepared.resolved.warmup_steps as usize)
            .min(self.prepared.resolved.rl_steps.saturating_sub(1) as usize)
    }

    /// The steps that count, of all draws.
    pub(super) fn counted(&self) -> impl Iterator<Item = &StepWork> {
        let first = self.first_counted();
        self.draws.iter().flat_map(move |steps| &steps[first..])
    }

    /// Response tokens that were simulated.
    fn tokens(&self) -> u64 {
        self.draws.iter().flatten().map(|step| step.response_tokens).sum()
    }
}

/// Simulates a side. Timelines are kept of the first draw only.
pub(super) fn simulate<'a>(
    name: &'static str,
    prepared: &'a Prepared,
    shifts: &[InputShift],
    stepper: Stepper,
    (normals, beyond): (&[[f64; FAMILIES]], &[f64]),
) -> Side<'a> {
    let steps = u64::from(prepared.resolved.rl_steps);
    let simulations: Vec<Simulation<'_>> =
        shifts.par_iter().map(|shift| Simulation::new(prepared, *shift, stepper)).collect();
    let warmup = prepared.resolved.warmup_steps as usize;
    if prepared.resolved.cycle.mode.feeds_back() {
        let worlds = summarise::worlds_of(prepared, normals, beyond);
        let (loops, draws) = simulations
            .par_iter()
            .enumerate()
            .map(|(draw, simulation)| Loops::simulate(simulation, draw as u64, warmup, &worlds))
            .unzip();
        return Side { name, prepared, stepper, draws, tail_shares: vec![0.0], loops };
    }
    let tasks: Vec<(usize, u64)> =
        (0..simulations.len()).flat_map(|draw| (0..steps).map(move |s| (draw, s))).collect();
    let done: Vec<(StepWork, f64)> = tasks
        .into_par_iter()
        .map(|(draw, step)| {
            let mut work = simulations[draw].step(draw as u64, step);
            let tail = detail::tail_share(&work);
            if draw > 0 {
                work.drop_details();
            }
            (work, tail)
        })
        .collect();
    let steps = steps as usize;
    let tail_shares =
        done.iter().enumerate().filter(|(i, _)| i % steps >= warmup).map(|(_, (_, tail))| *tail).collect();
    let mut works = done.into_iter().map(|(work, _)| work);
    let draws = (0..simulations.len()).map(|_| works.by_ref().take(steps).collect()).collect();
    Side { name, prepared, stepper, draws, tail_shares, loops: Vec::new() }
}

/// Processor seconds that this process has used, where the system tells (Linux).
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The command name may hold spaces; the fields after it are counted from its closing bracket. utime and
    // stime are the 14th and 15th of the line, in ticks of 1/100 s on every Linux that Rust supports.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}
