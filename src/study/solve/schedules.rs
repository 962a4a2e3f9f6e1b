//! Schedules against each other on a scenario's own rollouts.
//!
//! Every schedule gets the same draws of lengths and of the requests' own acceptance (common random numbers), so that
//! differences are paired: a speedup is the mean over rollouts of plain decoding's seconds over the schedule's, with the
//! standard error of that mean. Seconds are nominal: of one world in which every family is as calibrated. The vLLM table
//! is the solver's own answer, written as that engine reads it; SGLang's tiers are its defaults.

use rayon::prelude::*;
use serde::Serialize;

use super::export::vllm_ranges;
use super::{Asked, Question};
use crate::estimate::FAMILIES;
use crate::resolve::{Prepared, resolve_engine};
use crate::resolved::DraftInput;
use crate::rl::machine::Stage;
use crate::rl::{InputShift, Simulation};
use crate::rollout::Stepper;
use crate::scenario::Document;
use crate::study::{StudyError, detail};

/// The name of the table that the user brought.
const OWN_TABLE: &str = "your table";

/// One schedule.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScheduleRow {
    /// What it is.
    pub schedule: String,
    /// Mean nominal seconds of a rollout.
    pub rollout_s: f64,
    /// Plain decoding without a drafter, over this; and the standard error.
    pub speedup: f64,
    /// Of the speedup.
    pub se: f64,
    /// Tokens of a draft round, pooled.
    pub acceptance_length: f64,
    /// Changes of configuration in a rollout, all replicas together.
    pub switches: f64,
    /// Seconds in which drafters caught up, all replicas together.
    pub catch_up_s: f64,
}

/// All schedules.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScheduleScores {
    /// Rollouts of each.
    pub rollouts: usize,
    /// Plain decoding without a drafter first, then fastest first.
    pub rows: Vec<ScheduleRow>,
    /// What these rollouts leave out of the scenario.
    pub warnings: Vec<String>,
    /// Schedules that the scenario's acceptance or engine has no place for, and why.
    pub left_out: Vec<String>,
}

/// Runs every schedule on the scenario's rollouts.
pub fn schedules(
    document: &Document,
    question: &Question,
    stepper: Stepper,
) -> Result<ScheduleScores, StudyError> {
    let asked = Asked::new(document, question)?;
    let mut off = document.clone();
    off.set("speculation=off")?;
    let off = rollouts(&resolve_engine(&off)?, stepper);
    let mut rows = vec![row("no drafter".to_owned(), &off, &off)];
    // The rates of a power law are those of rounds of one length, the scenario's own, whatever a schedule drafts: else every
    // schedule would have requests of its own.
    let speculation = asked.prepared.resolved.speculation.as_ref();
    let counted = speculation.map_or(0, |speculation| speculation.acceptance.counted.len());
    let path = "speculation.acceptance.power_law";
    let one_law = document.has(path) && counted > 0;
    let mut left_out = Vec::new();
    for (name, schedule) in contenders(&asked, question) {
        let mut changed = document.clone();
        changed.set(&format!("speculation.schedule={schedule}"))?;
        if one_law {
            changed.set(&format!("{path}.at_k={counted}"))?;
        }
        match resolve_engine(&changed) {
            Ok(prepared) => rows.push(row(name, &off, &rollouts(&prepared, stepper))),
            // What the user brought is run or refused.
            Err(error) if name == OWN_TABLE => return Err(error),
            Err(error) => left_out.push(format!("{name}: {error}")),
        }
    }
    rows[1..].sort_by(|a, b| a.rollout_s.total_cmp(&b.rollout_s));
    let cycle = &asked.prepared.resolved.cycle;
    let mut warnings = Vec::new();
    if cycle.mode.feeds_back() || cycle.max_staleness > 0 {
        warnings.push(
            "each rollout here starts and ends empty; this scenario's loop fills engines while others finish, or beside \
             training: `rollcast run` with each schedule compares them in it"
                .to_owned(),
        );
    }
    Ok(ScheduleScores { rollouts: off.len(), rows, warnings, left_out })
}

/// Names and the scenario's text of the schedules to run.
fn contenders(asked: &Asked, question: &Question) -> Vec<(String, String)> {
    let (chains, trees): (Vec<DraftInput>, Vec<DraftInput>) =
        asked.choices.iter().partition(|choice| matches!(choice, DraftInput::Chain { .. }));
    let list: Vec<String> = chains.iter().map(|chain| chain.draft_tokens().to_string()).collect();
    let list = list.join(", ");
    let forms: Vec<String> = trees
        .iter()
        .filter_map(|tree| match tree {
            DraftInput::Tree { steps, top_k, tokens } => {
                Some(format!("{{ steps: {steps}, top_k: {top_k}, tokens: {tokens} }}"))
            }
            DraftInput::Chain { .. } => None,
        })
        .collect();
    let mut all: Vec<(String, String)> = chains
        .iter()
        .map(|chain| {
            let k = chain.draft_tokens();
            (format!("fixed K={k}"), format!("{{ fixed: {{ k: {k} }} }}"))
        })
        .collect();
    let mut add = |name: &str, text: String| all.push((name.to_owned(), text));
    add("goodput", format!("{{ goodput: {{ chains: [{list}] }} }}"));
    add("goodput, learning", format!("{{ goodput: {{ chains: [{list}], learn_from: 0.6 }} }}"));
    add("respec, chains", format!("{{ respec: {{ chains: [{list}] }} }}"));
    if !forms.is_empty() {
        let trees = format!("chains: [{list}], trees: [{}]", forms.join(", "));
        add("goodput, trees", format!("{{ goodput: {{ {trees} }} }}"));
        add("goodput, trees, learning", format!("{{ goodput: {{ {trees}, learn_from: 0.6 }} }}"));
        add("respec, trees", format!("{{ respec: {{ {trees} }} }}"));
        add("specrl", "{ specrl: {} }".to_owned());
    }
    let ranges = vllm_ranges(asked);
    let table: Vec<String> = ranges.iter().map(|[a, b, k]| format!("[{a}, {b}, {k}]")).collect();
    add("vllm table, solved", format!("{{ vllm_table: {{ table: [{}] }} }}", table.join(", ")));
    if let Some(own) = &question.table {
        let table: Vec<String> = own.iter().map(|[a, b, k]| format!("[{a}, {b}, {k}]")).collect();
        add(OWN_TABLE, format!("{{ vllm_table: {{ table: [{}] }} }}", table.join(", ")));
    }
    add("sglang tiers, default", "{ sglang_tiers: {} }".to_owned());
    all
}

/// Seconds, rounds and tokens of each rollout.
struct Rollout {
    seconds: f64,
    length: f64,
    switches: f64,
    catch_up: f64,
}

fn rollouts(prepared: &Prepared, stepper: Stepper) -> Vec<Rollout> {
    let resolved = &prepared.resolved;
    let simulation = Simulation::new(prepared, InputShift::default(), stepper);
    let draws = u64::from(resolved.uncertainty.workload_draws);
    let pairs: Vec<(u64, u64)> =
        (0..draws).flat_map(|draw| (0..u64::from(resolved.rl_steps)).map(move |step| (draw, step))).collect();
    pairs
        .par_iter()
        .map(|&(draw, step)| {
            let work = simulation.step(draw, step);
            let (length, _) = detail::acceptance(work.replicas.iter());
            Rollout {
                seconds: work.price(&[1.0; FAMILIES]).stages[Stage::Generation as usize],
                length,
                switches: work.replicas.iter().map(|replica| replica.switches as f64).sum(),
                catch_up: work.replicas.iter().map(|replica| replica.catch_up_seconds).sum(),
            }
        })
        .collect()
}

fn row(schedule: String, off: &[Rollout], own: &[Rollout]) -> ScheduleRow {
    let n = own.len().max(1) as f64;
    let mean = |of: fn(&Rollout) -> f64| own.iter().map(of).sum::<f64>() / n;
    let speedups: Vec<f64> = off.iter().zip(own).map(|(slow, fast)| slow.seconds / fast.seconds).collect();
    let speedup = speedups.iter().sum::<f64>() / n;
    let variance = speedups.iter().map(|s| (s - speedup) * (s - speedup)).sum::<f64>() / (n - 1.0).max(1.0);
    ScheduleRow {
        schedule,
        rollout_s: mean(|rollout| rollout.seconds),
        speedup,
        se: libm::sqrt(variance / n),
        acceptance_length: mean(|rollout| rollout.length),
        switches: mean(|rollout| rollout.switches),
        catch_up_s: mean(|rollout| rollout.catch_up),
    }
}
