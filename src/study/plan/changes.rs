//! The best plan if acceptance, network, MFU or a price is 10 % off.
//!
//! Each of the first finalists is simulated again at best values with the input moved; its mean over draws and worlds is
//! scaled by the ratio. Acceptance: all conditional rates times 0.9 and 1.1 (at most 0.999). Network: bandwidth between nodes
//! and the speed of the weight transfer. MFU: of training and of log-probs. Prices: of one kind of GPU at a time.

use rayon::prelude::*;
use serde::Serialize;

use super::answer::Finalist;
use super::attempt::prepare;
use super::figures::Figures;
use super::goal::{Facts, Goal, by_keys};
use super::search::Options;
use super::space::Space;
use crate::cost::Kernels;
use crate::resolve::Prepared;
use crate::resolved::{Resolved, Source};
use crate::rl::HIGHEST_RATE;

/// Finalists that are looked at.
const MOST: usize = 8;

/// One input moved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The input and by how much.
    pub what: String,
    /// The best plan then.
    pub best: String,
    /// Its number.
    pub candidate: usize,
    /// Whether it is the same plan as before.
    pub same: bool,
    /// USD and seconds of a step of the best plan before, with the input moved.
    pub before_usd_per_step: f64,
    /// See `before_usd_per_step`.
    pub before_step_s: f64,
    /// USD and seconds of a step of the best plan then.
    pub usd_per_step: f64,
    /// See `usd_per_step`.
    pub step_s: f64,
}

/// An input that is moved by simulating again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    Acceptance,
    Network,
    Mfu,
}

/// Every input, down and up.
pub(super) fn all(space: &Space, goal: &Goal, options: Options, within: &[&Finalist<'_>]) -> Vec<Change> {
    let first: Vec<&Finalist<'_>> = within.iter().copied().take(MOST).collect();
    if first.is_empty() {
        return Vec::new();
    }
    let moves: Vec<(Input, f64)> = [Input::Acceptance, Input::Network, Input::Mfu]
        .into_iter()
        .flat_map(|input| [(input, 0.9), (input, 1.1)])
        .collect();
    // By finalist: seconds moved over seconds as they are.
    let ratios: Vec<Vec<f64>> = first
        .par_iter()
        .map(|finalist| {
            let Ok(prepared) = prepare(space, finalist.seen.candidate) else { return vec![1.0; moves.len()] };
            let seconds = |prepared: &Prepared| {
                Figures::of(prepared, options.stepper, 1, 1).map_or(f64::NAN, |figures| figures.mean())
            };
            let cycle = &prepared.resolved.cycle;
            let in_turn = !cycle.mode.feeds_back() && cycle.max_staleness == 0;
            let mut base = None;
            let mut ratio = |(input, factor): &(Input, f64)| {
                let known = if in_turn { summed(&prepared, finalist, *input, *factor) } else { None };
                known.unwrap_or_else(|| {
                    moved(&prepared, *input, *factor).map_or(1.0, |moved| {
                        seconds(&moved) / *base.get_or_insert_with(|| seconds(&prepared))
                    })
                })
            };
            moves.iter().map(&mut ratio).collect()
        })
        .collect();
    let mut changes = Vec::new();
    for (at, (input, factor)) in moves.iter().enumerate() {
        let name = match input {
            Input::Acceptance => "acceptance",
            Input::Network => "network",
            Input::Mfu => "MFU",
        };
        let own: Vec<(Facts, f64)> =
            first.iter().zip(&ratios).map(|(f, ratios)| (f.seen.facts, f.seen.step_s * ratios[at])).collect();
        changes.extend(change(space, goal, &first, &own, format!("{name} {}", percent(*factor))));
    }
    let mut devices: Vec<&String> = first.iter().flat_map(|f| space.kinds(f.seen.candidate)).collect();
    devices.sort();
    devices.dedup();
    for device in devices {
        for factor in [0.9, 1.1] {
            let own: Vec<(Facts, f64)> = first
                .iter()
                .map(|f| {
                    let part = price_of(space, f.seen.candidate, device);
                    let usd_per_s = f.seen.facts.usd_per_s + (factor - 1.0) * part;
                    (Facts { usd_per_s, ..f.seen.facts }, f.seen.step_s)
                })
                .collect();
            let what = format!("price of {device} {}", percent(factor));
            changes.extend(change(space, goal, &first, &own, what));
        }
    }
    changes
}

/// The ratio where stages follow each other and the input moves stages beside generation alone; none where it moves more.
fn summed(prepared: &Prepared, finalist: &Finalist<'_>, input: Input, factor: f64) -> Option<f64> {
    let resolved = &prepared.resolved;
    let exposed = &finalist.figures.exposed;
    let longer = match input {
        Input::Acceptance => return None,
        Input::Network if resolved.generation.layout.gpus() > resolved.cluster.gpus_per_node => return None,
        Input::Network => {
            let exchange = if exchanges_between_nodes(resolved) { updates(resolved) } else { 0.0 };
            resolved.cycle.weight_sync.value * resolved.cycle.transfer.engine_stall + exchange
        }
        Input::Mfu if resolved.training.mfu.value * factor > 1.0 => return None,
        // Old and reference log-probs, and training but for the updates between its passes.
        Input::Mfu => exposed[4..7].iter().sum::<f64>() - updates(resolved),
    };
    Some(1.0 + longer * (1.0 / factor - 1.0) / finalist.seen.step_s)
}

/// Seconds of an RL step's optimizer steps themselves.
fn updates(resolved: &Resolved) -> f64 {
    let training = &resolved.training;
    let steps = resolved.workload.samples().div_ceil(training.global_batch_size.max(1)) * training.epochs;
    f64::from(steps) * training.update.value
}

/// Whether the trainer's gradients go over the network.
fn exchanges_between_nodes(resolved: &Resolved) -> bool {
    let trainer = resolved.training_cluster();
    trainer.gpus > trainer.gpus_per_node
}

fn percent(factor: f64) -> String {
    format!("{:+.0} %", 100.0 * (factor - 1.0))
}

/// The best of the finalists with these facts and seconds.
fn change(
    space: &Space,
    goal: &Goal,
    first: &[&Finalist<'_>],
    own: &[(Facts, f64)],
    what: String,
) -> Option<Change> {
    let fits = |at: usize| goal.exceeded(&own[at].0, own[at].1, 0.0).is_none();
    let any = (0..own.len()).any(fits);
    let key = |at: usize| goal.order(&own[at].0, own[at].1);
    let best = (0..own.len())
        .filter(|at| !any || fits(*at))
        .min_by(|a, b| by_keys(&key(*a), &key(*b)).then(a.cmp(b)))?;
    let usd = |at: usize| own[at].0.usd_per_s * own[at].1;
    Some(Change {
        what,
        best: space.title(first[best].seen.candidate),
        candidate: first[best].seen.candidate,
        same: best == 0,
        before_usd_per_step: usd(0),
        before_step_s: own[0].1,
        usd_per_step: usd(best),
        step_s: own[best].1,
    })
}

/// USD per second of one kind of GPU in a candidate.
pub(super) fn price_of(space: &Space, candidate: usize, device: &str) -> f64 {
    let Ok(prepared) = prepare(space, candidate) else { return 0.0 };
    let resolved = &prepared.resolved;
    let kinds = space.kinds(candidate);
    let pool = |cluster: &crate::resolved::Cluster, more: u32| {
        cluster.usd_per_gpu_hour * f64::from(cluster.gpus + more) / 3600.0
    };
    let generating = if kinds[0] == device { pool(&resolved.cluster, resolved.reward.gpus) } else { 0.0 };
    let training = match &resolved.trainer {
        Some(cluster) if kinds[1] == device => pool(cluster, 0),
        _ => 0.0,
    };
    generating + training
}

/// A run with an input moved; none where it has none.
fn moved(prepared: &Prepared, input: Input, factor: f64) -> Option<Prepared> {
    let mut moved = prepared.clone();
    let resolved = &mut moved.resolved;
    match input {
        Input::Acceptance => {
            let speculation = resolved.speculation.as_mut()?;
            let up = |rate: &mut f64| *rate = (*rate * factor).min(HIGHEST_RATE);
            speculation.acceptance.rates.iter_mut().for_each(up);
            speculation.acceptance.counted.iter_mut().for_each(up);
            speculation.first_rates.iter_mut().for_each(up);
            if let Some(history) = &mut speculation.acceptance.history {
                history.scale *= factor;
            }
        }
        Input::Network => {
            let network = &mut resolved.cluster.network;
            network.gb_per_s_per_gpu *= factor;
            network.latency_us /= factor;
            if let Some(measured) = &mut network.all_reduce {
                measured.us.iter_mut().for_each(|us| *us /= factor);
            }
            let profile = moved.engine.kernels.profile().clone();
            moved.engine.kernels = Kernels::new(&resolved.cluster.device, network, profile);
            // Seconds that somebody measured are theirs, and no less a matter of the network.
            resolved.cycle.weight_sync.value /= factor;
            if exchanges_between_nodes(resolved) {
                resolved.training.update.value /= factor;
            }
        }
        Input::Mfu => {
            let training = &mut resolved.training;
            for mfu in [&mut training.mfu, &mut training.logprob_mfu] {
                mfu.value = (mfu.value * factor).min(1.0);
                mfu.source = Source::Given;
            }
            // The drafter's own passes run at the same efficiency.
            if let Some(drafter) = &mut training.drafter {
                drafter.seconds /= factor;
                drafter.exposed_seconds /= factor;
                drafter.idle_gpu_seconds /= factor;
            }
        }
    }
    Some(moved)
}
