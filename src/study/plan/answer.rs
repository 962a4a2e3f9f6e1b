//! The answer: the best plan, what stands beside it, and how sure that is.
//!
//! All of it comes from candidates that were simulated in full. P(best) counts, over shared draws and worlds, in how many a
//! candidate is the best of those within the limits.

use serde::Serialize;

use super::changes::{self, Change};
use super::fate::Fate;
use super::figures::Figures;
use super::goal::{Goal, Limit, LimitKind, Objective, by_keys};
use super::kinds::{self, OtherKind};
use super::measure::{self, Measure};
use super::search::{Found, Options};
use super::select::{Seen, front};
use super::space::Space;
use crate::math::Summary;
use crate::result::{Exposed, STAGE_NAMES, Stages};

/// Version of this form.
pub const PLAN_SCHEMA_VERSION: u32 = 1;

/// One plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// Number of the candidate.
    pub candidate: usize,
    /// Place among those within the limits, from 1; none where it is not.
    pub rank: Option<usize>,
    /// What it is, in a line.
    pub title: String,
    /// What each column says of it.
    pub labels: serde_json::Map<String, serde_json::Value>,
    /// GPUs of all pools.
    pub gpus: u32,
    /// Bound on staleness, RL steps.
    pub max_staleness: u32,
    /// Mean staleness of the trained samples, RL steps.
    pub staleness_mean: f64,
    /// Seconds of an RL step.
    pub step_s: Summary,
    /// USD of an RL step.
    pub usd_per_step: Summary,
    /// RL steps in a day, from the mean.
    pub steps_per_day: f64,
    /// USD of a day.
    pub usd_per_day: f64,
    /// Exposed seconds by stage, means.
    pub exposed_s: Exposed,
    /// Seconds of a rollout, mean.
    pub rollout_s: f64,
    /// Tokens of a request and verify step.
    pub acceptance_length: f64,
    /// Largest share of the KV cache in use.
    pub kv_peak_share: f64,
    /// Preemptions a step.
    pub preemptions: f64,
    /// Share of the time that an engine works.
    pub engine_busy_share: f64,
    /// Share of the time that the trainer's GPUs compute.
    pub trainer_busy_share: f64,
    /// Lower bound on its nominal step, seconds.
    pub least_step_s: f64,
    /// Share of draws and worlds within the limits.
    pub p_within: f64,
    /// Share of draws and worlds in which it is the best of those within the limits.
    pub p_best: f64,
    /// Whether no other plan within the limits is at least as good in step, USD, GPUs and staleness.
    pub on_front: bool,
}

/// Why the second loses.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunnerUp {
    /// The second.
    pub choice: Choice,
    /// In a sentence.
    pub why: String,
    /// Share of draws and worlds in which it is better than the best.
    pub p_better: f64,
}

/// What comes closest where nothing is within the limits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Nearest {
    /// The closest.
    pub choice: Choice,
    /// The limits that it exceeds, the one that it exceeds the most first.
    pub exceeds: Vec<Exceeded>,
}

/// A limit that a plan exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Exceeded {
    /// The limit.
    pub limit: Limit,
    /// What it would have to be for this plan.
    pub needed: f64,
    /// How far it is exceeded; above 1.
    pub used: f64,
}

/// How many candidates were left out for a reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeftOut {
    /// The reason.
    pub reason: String,
    /// Candidates.
    pub count: usize,
    /// The first of them.
    pub example: String,
}

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanResult {
    /// Version of this form.
    pub schema_version: u32,
    /// The scenario.
    pub name: String,
    /// The goal.
    pub goal: Goal,
    /// Columns that vary, with their values.
    pub choices: Vec<(String, Vec<String>)>,
    /// Candidates.
    pub candidates: usize,
    /// Candidates that were left out, by reason.
    pub left_out: Vec<LeftOut>,
    /// Simulations at one draw, at two, and in full.
    pub simulated: [usize; 3],
    /// The best plan; none where nothing is within the limits.
    pub best: Option<Choice>,
    /// The second.
    pub runner_up: Option<RunnerUp>,
    /// What comes closest where nothing is within the limits.
    pub nearest: Option<Nearest>,
    /// Plans within the limits that no other beats in all of step, USD, GPUs and staleness; fastest first.
    pub front: Vec<Choice>,
    /// All that were simulated in full, best first.
    pub finalists: Vec<Choice>,
    /// The best plan if an input moves by 10 %.
    pub changes: Vec<Change>,
    /// Where other kinds of GPU win.
    pub other_kinds: Vec<OtherKind>,
    /// What to measure to decide between the first two.
    pub measure: Vec<Measure>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// A candidate that was simulated in full.
pub(super) struct Finalist<'a> {
    pub(super) seen: Seen,
    pub(super) figures: &'a Figures,
    pub(super) within: bool,
}

/// Makes the answer of a search.
pub fn answer(space: &Space, goal: &Goal, options: Options, found: &Found) -> PlanResult {
    let finalists: Vec<Finalist<'_>> = found
        .finals
        .iter()
        .map(|(candidate, figures)| {
            let open = &found.open[candidate];
            let seen =
                Seen { candidate: *candidate, facts: open.facts, kinds: open.kinds, step_s: figures.mean() };
            let within = goal.met(&seen.facts, &figures.seconds) >= goal.p;
            Finalist { seen, figures, within }
        })
        .collect();
    let within: Vec<&Finalist<'_>> = finalists.iter().filter(|finalist| finalist.within).collect();
    let p_best = p_best(goal, &within);
    let on_front = front(&within.iter().map(|f| f.seen.clone()).collect::<Vec<_>>());
    let choices: Vec<Choice> = finalists
        .iter()
        .map(|finalist| {
            let rank = within.iter().position(|f| f.seen.candidate == finalist.seen.candidate);
            let p = rank.map_or(0.0, |rank| p_best[rank]);
            let on_front = on_front.contains(&finalist.seen.candidate);
            choice(space, goal, found, finalist, (rank, p, on_front))
        })
        .collect();
    let of = |finalist: &Finalist<'_>| {
        choices.iter().find(|choice| choice.candidate == finalist.seen.candidate).cloned()
    };
    let best = within.first().and_then(|finalist| of(finalist));
    let runner_up = match within.as_slice() {
        [first, second, ..] => of(second).zip(best.as_ref()).map(|(choice, best)| {
            let better = pairs(goal, first, second);
            RunnerUp { why: why(goal, best, &choice), choice, p_better: better }
        }),
        _ => None,
    };
    let mut by_step: Vec<Choice> = choices.iter().filter(|choice| choice.on_front).cloned().collect();
    by_step.sort_by(|a, b| a.step_s.mean.total_cmp(&b.step_s.mean).then(a.candidate.cmp(&b.candidate)));
    let nearest = if best.is_none() { nearest(goal, &finalists, &choices) } else { None };
    PlanResult {
        schema_version: PLAN_SCHEMA_VERSION,
        name: space
            .base()
            .scenario()
            .ok()
            .and_then(|s| s.name)
            .unwrap_or_else(|| space.base().name().to_owned()),
        goal: goal.clone(),
        choices: space.values(),
        candidates: space.len(),
        left_out: left_out(space, &found.fates),
        simulated: found.simulated,
        runner_up,
        nearest,
        front: by_step,
        changes: changes::all(space, goal, options, &within),
        other_kinds: kinds::all(space, goal, &within),
        measure: match within.as_slice() {
            [first, second, ..] => measure::between(space, goal, first, second),
            _ => Vec::new(),
        },
        notes: notes(goal, &within, space),
        best,
        finalists: choices,
    }
}

fn choice(
    space: &Space,
    goal: &Goal,
    found: &Found,
    finalist: &Finalist<'_>,
    (rank, p_best, on_front): (Option<usize>, f64, bool),
) -> Choice {
    let Finalist { seen, figures, .. } = finalist;
    let facts = &seen.facts;
    let scaled = |factor: f64| Summary::of(&figures.seconds.iter().map(|s| s * factor).collect::<Vec<f64>>());
    let labels = space.columns().into_iter().zip(space.labels(seen.candidate));
    let stages: [f64; 7] = std::array::from_fn(|stage| figures.exposed[stage]);
    Choice {
        candidate: seen.candidate,
        rank: rank.map(|rank| rank + 1),
        title: space.title(seen.candidate),
        labels: labels.map(|(column, label)| (column, label.into())).collect(),
        gpus: facts.gpus,
        max_staleness: facts.staleness,
        staleness_mean: figures.staleness_mean,
        step_s: scaled(1.0),
        usd_per_step: scaled(facts.usd_per_s),
        steps_per_day: 86_400.0 / seen.step_s,
        usd_per_day: facts.usd_per_s * 86_400.0,
        exposed_s: Exposed { stages: Stages::from_array(stages), idle: figures.exposed[7] },
        rollout_s: figures.rollout_s,
        acceptance_length: figures.acceptance_length,
        kv_peak_share: figures.kv_peak_share,
        preemptions: figures.preemptions,
        engine_busy_share: figures.busy[0],
        trainer_busy_share: figures.busy[1],
        least_step_s: found.open[&seen.candidate].least_s,
        p_within: goal.met(facts, &figures.seconds),
        p_best,
        on_front,
    }
}

/// In how many draws and worlds each is the best of those that are within the limits there.
fn p_best(goal: &Goal, within: &[&Finalist<'_>]) -> Vec<f64> {
    let n = within.iter().map(|f| f.figures.seconds.len()).min().unwrap_or(0);
    let mut wins = vec![0.0; within.len()];
    for world in 0..n {
        let fits = |f: &Finalist<'_>| goal.exceeded(&f.seen.facts, f.figures.seconds[world], 0.0).is_none();
        let any = within.iter().any(|f| fits(f));
        let best = within
            .iter()
            .enumerate()
            .filter(|(_, f)| !any || fits(f))
            .map(|(at, f)| (goal.order(&f.seen.facts, f.figures.seconds[world]), at))
            .min_by(|a, b| by_keys(&a.0, &b.0).then(a.1.cmp(&b.1)));
        if let Some((_, at)) = best {
            wins[at] += 1.0 / n as f64;
        }
    }
    wins
}

/// Share of draws and worlds in which the second is better than the first.
fn pairs(goal: &Goal, first: &Finalist<'_>, second: &Finalist<'_>) -> f64 {
    let all = first.figures.seconds.iter().zip(&second.figures.seconds);
    let n = all.len().max(1) as f64;
    let better =
        all.filter(|(a, b)| goal.order(&second.seen.facts, **b) < goal.order(&first.seen.facts, **a));
    better.count() as f64 / n
}

fn why(goal: &Goal, best: &Choice, second: &Choice) -> String {
    // Without a price a step costs nothing.
    let percent = |a: f64, b: f64| if b > 0.0 { 100.0 * (a / b - 1.0) } else { 0.0 };
    let step = percent(second.step_s.mean, best.step_s.mean);
    let usd = percent(second.usd_per_step.mean, best.usd_per_step.mean);
    let stages = |choice: &Choice| {
        let mut all = [0.0; 8];
        all[..7].copy_from_slice(&choice.exposed_s.stages.to_array());
        all[7] = choice.exposed_s.idle;
        all
    };
    let (mine, its) = (stages(best), stages(second));
    let largest = (0..8).max_by(|a, b| (its[*a] - mine[*a]).total_cmp(&(its[*b] - mine[*b]))).unwrap_or(0);
    let more = its[largest] - mine[largest];
    let faster = |x: f64| {
        if x >= 0.0 { format!("{x:.1} % slower") } else { format!("{:.1} % faster", -x) }
    };
    let dearer = |x: f64| {
        if x >= 0.0 { format!("{x:.1} % dearer") } else { format!("{:.1} % cheaper", -x) }
    };
    let gpus = match second.gpus.cmp(&best.gpus) {
        std::cmp::Ordering::Equal => "the same GPUs".to_owned(),
        std::cmp::Ordering::Greater => format!("{} GPUs more", second.gpus - best.gpus),
        std::cmp::Ordering::Less => format!("{} GPUs fewer", best.gpus - second.gpus),
    };
    // A hundredth of a step is rounding on the screen.
    let reason = if more > 0.01 * best.step_s.mean {
        format!(
            "; most is {}: {more:.1} s more ({:.1} s, not {:.1} s)",
            STAGE_NAMES[largest], its[largest], mine[largest]
        )
    } else {
        "; no stage is slower, and the GPUs cost more than that saves".to_owned()
    };
    let first = match goal.minimise {
        Objective::UsdPerStep => format!("a step is {} and {} on {gpus}", dearer(usd), faster(step)),
        Objective::StepS => format!("a step is {} and {} on {gpus}", faster(step), dearer(usd)),
        Objective::Gpus => format!("{gpus}; a step is {} and {}", dearer(usd), faster(step)),
    };
    first + &reason
}

fn nearest(goal: &Goal, finalists: &[Finalist<'_>], choices: &[Choice]) -> Option<Nearest> {
    let uses = |f: &Finalist<'_>| goal.uses(&f.seen.facts, &f.figures.seconds);
    let closest = finalists
        .iter()
        .filter_map(|f| Some((goal.order_over(uses(f).first()?.1, &f.seen.facts, f.seen.step_s), f)))
        .min_by(|(a, f), (b, g)| by_keys(a, b).then(f.seen.candidate.cmp(&g.seen.candidate)));
    let (_, finalist) = closest?;
    let choice = choices.iter().find(|choice| choice.candidate == finalist.seen.candidate)?.clone();
    let exceeds = uses(finalist).into_iter().filter(|(_, used)| *used > 1.0).map(|(limit, used)| {
        let needed = match limit.kind {
            LimitKind::StepsPerDay => limit.given / used,
            LimitKind::MaxStaleness => f64::from(choice.max_staleness),
            _ => limit.given * used,
        };
        Exceeded { limit, needed, used }
    });
    Some(Nearest { exceeds: exceeds.collect(), choice })
}

fn left_out(space: &Space, fates: &[Fate]) -> Vec<LeftOut> {
    let mut all: Vec<LeftOut> = Vec::new();
    for (candidate, fate) in fates.iter().enumerate() {
        if matches!(fate, Fate::Final { .. }) {
            continue;
        }
        let reason = match fate {
            Fate::OverLimit { kind, .. } => format!("over the limit on {}", kind.key()),
            other => other.reason().to_owned(),
        };
        if let Some(known) = all.iter_mut().find(|known| known.reason == reason) {
            known.count += 1;
        } else {
            let example = format!("{}: {}", space.title(candidate), fate.text(space));
            all.push(LeftOut { reason, count: 1, example });
        }
    }
    all.sort_by(|a, b| b.count.cmp(&a.count).then(a.reason.cmp(&b.reason)));
    all
}

fn notes(goal: &Goal, within: &[&Finalist<'_>], space: &Space) -> Vec<String> {
    let mut notes = vec![
        "Training is operations over one efficiency (MFU) on the rank that has most of them, with pipeline bubbles and the exchange of gradients; the collectives of wide tensor and expert parallelism are inside the MFU, so wide layouts train less well than this says.".to_owned(),
    ];
    let varies = |name: &str| space.values().iter().any(|(column, _)| column == name);
    if ["train_tp", "train_pp", "train_cp", "train_ep"].iter().any(|name| varies(name)) {
        notes.push("Training layouts differ here in how many GPUs share a sequence, in pipeline bubbles and in the exchange of gradients.".to_owned());
    }
    if within.iter().any(|f| f.seen.facts.usd_per_s <= 0.0) {
        notes.push("Some GPUs have no price: their plans cost nothing here.".to_owned());
    }
    if goal.minimise != Objective::UsdPerStep {
        notes.push("Prices do not move this goal but through its limits.".to_owned());
    }
    notes
}
