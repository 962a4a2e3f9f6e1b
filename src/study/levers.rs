//! Remedies for the tail, each alone and beside speculation, in the same draws and worlds on the same GPUs.
//!
//! A lever is the scenario with a few keys overridden, so that each can be swept as well. Where it has several settings, all
//! are run in the one draw of best values and the fastest is run in full. Leaves out: levers in threes; the memory of graphs
//! for two layouts; what a lever does to learning; that the first step of partial
//! rollouts, before which nothing was left over, counts with the others.

use super::compare::{StudyError, simulate};
use super::summarise::{self, Priced};
use super::worlds;
use crate::estimate::FAMILIES;
use crate::math::{Summary, quantile_sorted};
use crate::resolve::{Prepared, ResolveError, resolve};
use crate::result::{Lever, LeverSide, Levers, TrainsOn};
use crate::rl::{InputShift, Stage};
use crate::rollout::Stepper;
use crate::scenario::Document;
use crate::workload::{Generator, LengthShift};

/// Response lengths above this quantile are cut by the cap.
const CAP: f64 = 0.95;
/// Shares of the samples that isolation is tried with.
const SHARES: [f64; 4] = [0.02, 0.05, 0.1, 0.2];
/// Samples left for each engine at which regrouping is tried.
const LEFT: [u32; 3] = [1, 4, 16];
/// Factors of over-sampling.
const FACTORS: [f64; 2] = [1.25, 1.5];
/// Factors on the tensor-parallel width.
const WIDER: [u32; 3] = [2, 4, 8];

/// A lever's setting: in a few words, and as overrides.
type Setting = (String, Vec<String>);

/// A lever before it is run.
struct Plan {
    name: &'static str,
    trains_on: TrainsOn,
    bound: bool,
    settings: Vec<Setting>,
    why_not: Option<String>,
}

/// Runs every lever alone and beside the scenario's speculation.
///
/// # Errors
///
/// Those of the scenario itself; a lever that cannot be pulled says why in its row.
pub fn levers(document: &Document, stepper: Stepper) -> Result<Levers, StudyError> {
    let error = document.scenario()?.tail.and_then(|tail| tail.predictor).and_then(|p| p.log_error);
    let mut base = document.clone();
    base.set("tail=null")?;
    let forecast = resolve(&base)?;
    // The same RL steps count under every lever.
    base.set(&format!("rl_steps={}", forecast.resolved.rl_steps))?;
    base.set(&format!("warmup_steps={}", forecast.resolved.warmup_steps))?;
    let mut off = base.clone();
    off.set("speculation=off")?;
    let plain = resolve(&off)?;
    let run = Runner::new(&plain, stepper);
    let normal = run.priced(&plain).map_err(|why| ResolveError::Input(document.error_at("", why, None)))?;
    let drafts = forecast.resolved.speculation.is_some();
    let speculation = if drafts { run.side(&base, &(String::new(), Vec::new()), &normal).ok() } else { None };
    let plans = plans(&plain, error.map(crate::scenario::raw::NonNegative::get));
    let levers: Vec<Lever> = plans
        .into_iter()
        .map(|plan| {
            let alone = run.best(&off, &plan, &normal);
            let beside = drafts.then(|| run.best(&base, &plan, &normal));
            let why_not = plan.why_not.or_else(|| alone.as_ref().err().cloned());
            Lever {
                name: plan.name.to_owned(),
                trains_on: plan.trains_on,
                bound: plan.bound,
                tried: plan.settings.len() as u32,
                alone: alone.ok(),
                beside: beside.and_then(Result::ok),
                why_not,
            }
        })
        .collect();
    let best = |eligible: &dyn Fn(&Lever) -> bool| {
        let alone = speculation.as_ref()?.step_s.median;
        let faster = levers.iter().filter(|lever| !lever.bound && eligible(lever));
        let pairs = faster.filter_map(|lever| Some((lever, lever.beside.as_ref()?.step_s.median)));
        let (lever, median) = pairs.min_by(|a, b| a.1.total_cmp(&b.1))?;
        (median < alone).then(|| lever.name.clone())
    };
    Ok(Levers {
        best_pair: best(&|lever| lever.trains_on == TrainsOn::Same),
        best_pair_of_all: best(&|_| true),
        plain: side_of((String::new(), Vec::new()), &normal, &normal),
        speculation,
        levers,
    })
}

/// What there is to pull in a scenario.
fn plans(plain: &Prepared, log_error: Option<f64>) -> Vec<Plan> {
    let resolved = &plain.resolved;
    let (layout, replicas) = (resolved.generation.layout, resolved.generation.replicas);
    let widths: Vec<u32> = WIDER
        .iter()
        .map(|factor| factor * layout.tp)
        .filter(|tp| *tp <= resolved.cluster.device.nvlink_domain.min(resolved.cluster.gpus))
        .collect();
    let thresholds: Vec<u32> =
        LEFT.iter().map(|each| each * replicas).filter(|left| *left < resolved.workload.samples()).collect();
    let one = |words: String, overrides: String| (words, vec![overrides]);
    let no_width = widths.is_empty().then(|| "no wider engine fits an NVLink domain".to_owned());
    let streams =
        resolved.cycle.mode.feeds_back().then(|| "samples come and go one by one in this loop".to_owned());
    let alone = (replicas < 2).then(|| "one engine alone".to_owned());
    let predictor = |error: Option<f64>| {
        error.map_or_else(String::new, |error| format!("predictor: {{ log_error: {error} }}, "))
    };
    let order = |error| {
        let tail = format!("tail={{ {}admission: longest_first }}", predictor(error));
        vec![one(String::new(), tail)]
    };
    let isolate = |error: Option<f64>| -> Vec<Setting> {
        let of = |share: &f64| {
            let tail = format!("tail={{ {}isolate: {{ share: {share} }} }}", predictor(error));
            one(format!("{:.0} %", 100.0 * share), tail)
        };
        SHARES.iter().map(of).collect()
    };
    let wide =
        widths.iter().map(|tp| one(format!("tp {tp}"), format!("generation.layout.tp={tp}"))).collect();
    let regroup = |tp: Option<u32>, below: u32, kv: &str| {
        let width = tp.map_or_else(String::new, |tp| format!(", tp: {tp}"));
        format!("tail={{ regroup: {{ below: {below}{width}, kv: {kv} }} }}")
    };
    let tails = widths.iter().flat_map(|tp| {
        let of = |below: &u32| one(format!("tp {tp} at {below}"), regroup(Some(*tp), *below, "recompute"));
        thresholds.iter().map(of).collect::<Vec<_>>()
    });
    let moves = [("recompute", ""), ("move", ", sent")].iter().flat_map(|(kv, words)| {
        let of = |below: &u32| one(format!("at {below}{words}"), regroup(None, *below, kv));
        thresholds.iter().map(of).collect::<Vec<_>>()
    });
    let cap = cap(plain);
    let more = |partial: bool| -> Vec<Setting> {
        let of = |factor: &f64| {
            let over = format!("loop.over_sampling={{ factor: {factor} }}");
            let mut keys = vec![over, format!("loop.partial_rollouts={partial}")];
            if partial {
                // By themselves they would leave their first steps out.
                keys.push(format!("warmup_steps={}", resolved.warmup_steps));
            }
            (format!("x {factor}"), keys)
        };
        FACTORS.iter().map(of).collect()
    };
    let same = |name, settings, why_not: Option<String>| Plan {
        name,
        trains_on: TrainsOn::Same,
        bound: false,
        settings,
        why_not,
    };
    let known = |plan: Plan| Plan { bound: true, ..plan };
    let spread = || streams.clone().or_else(|| alone.clone());
    vec![
        same("wider TP", wide, no_width.clone()),
        same("tail TP", tails.collect(), streams.clone().or(no_width)),
        same("migration", moves.collect(), spread()),
        same("longest first", order(log_error), streams.clone()),
        known(same("longest first, known", order(Some(0.0)), streams.clone())),
        same("isolation", isolate(log_error), spread()),
        known(same("isolation, known", isolate(Some(0.0)), spread())),
        Plan {
            trains_on: TrainsOn::Cut,
            ..same("cap", vec![one(format!("{cap} tokens"), format!("tail={{ cap: {cap} }}"))], None)
        },
        Plan { trains_on: TrainsOn::ShortBias, ..same("over-sampling", more(false), streams.clone()) },
        Plan { trains_on: TrainsOn::OlderWeights, ..same("partial rollouts", more(true), streams) },
    ]
}

/// The cap: a quantile of the drawn response lengths, tokens.
fn cap(plain: &Prepared) -> u32 {
    let resolved = &plain.resolved;
    let generator = Generator::new(&resolved.workload, resolved.seed, LengthShift::default());
    let draws = 0..u64::from(resolved.uncertainty.workload_draws);
    let drawn = draws.flat_map(|draw| generator.step(draw, 0));
    let mut lengths: Vec<f64> = drawn.map(|sample| f64::from(sample.response)).collect();
    lengths.sort_by(f64::total_cmp);
    (quantile_sorted(&lengths, CAP).round() as u32).max(1)
}

/// Runs sides in the draws and worlds of one scenario.
struct Runner {
    shifts: Vec<InputShift>,
    normals: Vec<[f64; FAMILIES]>,
    beyond: Vec<f64>,
    stepper: Stepper,
}

impl Runner {
    fn new(plain: &Prepared, stepper: Stepper) -> Self {
        let (seed, uncertainty) = (plain.resolved.seed, &plain.resolved.uncertainty);
        Runner {
            shifts: worlds::input_shifts(seed, uncertainty.workload_draws),
            normals: worlds::normals(seed, uncertainty.worlds),
            beyond: worlds::beyond(seed, uncertainty.worlds),
            stepper,
        }
    }

    /// A side in all draws and worlds, or why not.
    fn priced(&self, prepared: &Prepared) -> Result<Priced, String> {
        let side = simulate("lever", prepared, &self.shifts, self.stepper, (&self.normals, &self.beyond));
        let steps = prepared.resolved.rl_steps as usize;
        if side.draws.iter().any(|draw| draw.len() < steps) {
            return Err("the loop comes to a halt".to_owned());
        }
        Ok(Priced::new(&side, &self.normals, &self.beyond))
    }

    fn side(&self, base: &Document, setting: &Setting, plain: &Priced) -> Result<LeverSide, String> {
        let prepared = with(base, setting)?;
        Ok(side_of(setting.clone(), &self.priced(&prepared)?, plain))
    }

    /// The fastest of a lever's settings.
    fn best(&self, base: &Document, plan: &Plan, plain: &Priced) -> Result<LeverSide, String> {
        if let Some(why) = &plan.why_not {
            return Err(why.clone());
        }
        if let [only] = plan.settings.as_slice() {
            return self.side(base, only, plain);
        }
        let once = Runner {
            shifts: vec![InputShift::default()],
            normals: vec![[0.0; FAMILIES]],
            beyond: vec![0.0],
            stepper: self.stepper,
        };
        let mut best: Option<(&Setting, f64)> = None;
        let mut why = "nothing to try".to_owned();
        for setting in &plan.settings {
            match with(base, setting).and_then(|prepared| once.priced(&prepared)) {
                Ok(priced) => {
                    let step = priced.step_s.first().copied().unwrap_or(f64::INFINITY);
                    if best.is_none_or(|(_, fastest)| step < fastest) {
                        best = Some((setting, step));
                    }
                }
                Err(reason) => why = reason,
            }
        }
        let (setting, _) = best.ok_or(why)?;
        self.side(base, setting, plain)
    }
}

/// A scenario with a lever pulled.
fn with(base: &Document, (_, overrides): &Setting) -> Result<Prepared, String> {
    let mut document = base.clone();
    for assignment in overrides {
        document.set(assignment).map_err(|error| error.message().to_owned())?;
    }
    resolve(&document).map_err(|error| match error {
        ResolveError::Input(error) => error.message().to_owned(),
        ResolveError::DoesNotFit { what, missing, .. } => {
            format!("{what}: {missing:.1} GiB too much for one GPU")
        }
        other @ ResolveError::Profile(_) => other.to_string(),
    })
}

fn side_of((setting, overrides): Setting, priced: &Priced, plain: &Priced) -> LeverSide {
    LeverSide {
        setting,
        overrides,
        step_s: Summary::of(&priced.step_s),
        generation_s: Summary::of(priced.exposed(Stage::Generation)),
        speedup: summarise::ratio(&plain.step_s, &priced.step_s),
        p_gain: summarise::share(&plain.step_s, &priced.step_s),
    }
}
