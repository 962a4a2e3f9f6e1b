//! From priced draws and worlds to the numbers of one side.

use super::compare::Side;
use super::{detail, worlds};
use crate::estimate::{Confidence, FAMILIES, Family, STEP_FAMILIES, Tier};
use crate::math::{Summary, quantile_sorted};
use crate::resolve::Prepared;
use crate::resolved::{Resolved, ScheduleInput, Source};
use crate::result::{Arm, Basis, Exposed, StageBands, StageBasis, Stages};
use crate::rl::{self, Simulation, Stage, StepPlan, StepRecord, StepWork, Turns};

/// A side priced in every world of every draw; means over the RL steps that count.
pub(super) struct Priced {
    pub(super) step_s: Vec<f64>,
    pub(super) rollout_s: Vec<f64>,
    /// Seconds by stage, and those of them that the trainer waits for or spends.
    busy: [Vec<f64>; 7],
    exposed: [Vec<f64>; 7],
    reward_busy: Vec<f64>,
    tokens_per_s: Vec<f64>,
    /// Mean step and rollout with the engine's software at zero seconds.
    bare_step_s: f64,
    bare_rollout_s: f64,
}

/// The worlds of a side: multipliers by family, and by how much seconds beyond the fitted ranges are longer in logarithm.
pub(super) fn worlds_of(
    prepared: &Prepared,
    normals: &[[f64; FAMILIES]],
    beyond: &[f64],
) -> Vec<([f64; FAMILIES], f64)> {
    let sigma = prepared.engine.kernels.profile().form.extrapolation_sigma;
    let draws = normals.iter().zip(beyond);
    draws.map(|(z, x)| (worlds::multipliers(z, &prepared.confidence), sigma * x)).collect()
}

impl Priced {
    /// Prices one side in all worlds: `normals` by family, `beyond` for what lies beyond the fitted ranges.
    pub(super) fn new(side: &Side<'_>, normals: &[[f64; FAMILIES]], beyond: &[f64]) -> Self {
        let first = side.first_counted();
        let worlds = worlds_of(side.prepared, normals, beyond);
        let mut priced = Priced {
            step_s: Vec::new(),
            rollout_s: Vec::new(),
            busy: Default::default(),
            exposed: Default::default(),
            reward_busy: Vec::new(),
            tokens_per_s: Vec::new(),
            bare_step_s: 0.0,
            bare_rollout_s: 0.0,
        };
        let turns = Simulation::turns(side.prepared);
        let mut bare = [0.0; 3];
        for (draw, steps) in side.draws.iter().enumerate() {
            let tokens = steps[first..].iter().map(|step| step.response_tokens as f64).sum::<f64>();
            for (world, doubt) in &worlds {
                let counted = &steps[first..];
                let n = counted.len() as f64;
                if let Some(loops) = side.loops.get(draw) {
                    let (node, _) = loops.at(steps, world, *doubt);
                    let (without, _) = loops.at(steps, &without_software(world), 0.0);
                    bare[0] += without.step;
                    bare[1] += without.engine;
                    bare[2] += 1.0;
                    priced.step_s.push(node.step);
                    priced.rollout_s.push(node.engine);
                    let plans: Vec<StepPlan> = counted.iter().map(|s| s.price(world)).collect();
                    for stage in Stage::ALL {
                        let seconds = plans.iter().map(|plan| plan.stages[stage as usize]).sum::<f64>() / n;
                        let busy = if stage == Stage::Generation { node.engine } else { seconds };
                        priced.busy[stage as usize].push(busy);
                        priced.exposed[stage as usize].push(node.exposed[stage as usize]);
                    }
                } else {
                    priced.batches(steps, first, turns, (world, *doubt), &mut bare);
                }
                priced.reward_busy.push(counted.iter().map(|s| s.reward_busy(world)).sum::<f64>() / n);
                let step_s = priced.step_s.last().copied().unwrap_or(f64::NAN);
                priced.tokens_per_s.push(tokens / n / step_s);
            }
        }
        priced.bare_step_s = bare[0] / f64::max(bare[2], 1.0);
        priced.bare_rollout_s = bare[1] / f64::max(bare[2], 1.0);
        priced
    }

    /// Seconds of a stage on the critical path, by draw and world.
    pub(super) fn exposed(&self, stage: Stage) -> &[f64] {
        &self.exposed[stage as usize]
    }

    /// Prices a draw whose rollouts are the same in every world.
    fn batches(
        &mut self,
        steps: &[StepWork],
        first: usize,
        turns: Turns,
        (world, doubt): (&[f64; FAMILIES], f64),
        bare: &mut [f64; 3],
    ) {
        let plans: Vec<StepPlan> = steps.iter().map(|step| step.price_beyond(world, doubt)).collect();
        let records = rl::run(&plans, turns);
        let counted = &records[first..];
        let n = counted.len() as f64;
        let plans: Vec<StepPlan> = steps.iter().map(|step| step.price(&without_software(world))).collect();
        add_seconds(&mut bare[0], &plans, first, turns);
        for plan in &plans[first..] {
            bare[1] += plan.stages[Stage::Generation as usize];
            bare[2] += 1.0;
        }
        self.step_s.push(counted.iter().map(StepRecord::period).sum::<f64>() / n);
        self.rollout_s.push(counted.iter().map(StepRecord::rollout_seconds).sum::<f64>() / n);
        let exposed: Vec<[f64; 7]> = counted.iter().map(StepRecord::exposed).collect();
        for stage in Stage::ALL {
            let seconds = counted.iter().map(|r| {
                let (start, end) = r.spans[stage as usize];
                end.since(start).seconds()
            });
            self.busy[stage as usize].push(seconds.sum::<f64>() / n);
            let seconds = exposed.iter().map(|stages| stages[stage as usize]);
            self.exposed[stage as usize].push(seconds.sum::<f64>() / n);
        }
    }
}

/// Adds the seconds that the steps from `first` on take together: their stages' where nothing overlaps.
pub(super) fn add_seconds(sum: &mut f64, plans: &[StepPlan], first: usize, turns: Turns) {
    if turns.max_staleness == 0 {
        plans[first..].iter().for_each(|plan| *sum += plan.stages.iter().sum::<f64>());
    } else {
        rl::run(plans, turns)[first..].iter().for_each(|record| *sum += record.period());
    }
}

/// a / b, paired.
pub(super) fn ratio(a: &[f64], b: &[f64]) -> Summary {
    Summary::of(&a.iter().zip(b).map(|(a, b)| a / b).collect::<Vec<f64>>())
}

/// Share of pairs in which b is below a.
pub(super) fn share(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).filter(|(a, b)| b < a).count() as f64 / a.len().max(1) as f64
}

/// The numbers of one side, its courses over time left out.
pub(super) fn arm(side: &Side<'_>, priced: &Priced) -> Arm {
    let resolved = &side.prepared.resolved;
    let gpus = f64::from(resolved.gpus());
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let exposed = Stages::from_array(std::array::from_fn(|stage| mean(&priced.exposed[stage])));
    let busy = Stages::from_array(std::array::from_fn(|stage| mean(&priced.busy[stage])));
    let busy = Stages { reward: mean(&priced.reward_busy), ..busy };
    let step_s = Summary::of(&priced.step_s);
    let quantiles = |q: f64| {
        Stages::from_array(std::array::from_fn(|stage| {
            let mut sorted = priced.exposed[stage].clone();
            sorted.sort_by(f64::total_cmp);
            quantile_sorted(&sorted, q)
        }))
    };
    let usd = resolved.usd_per_second();
    let scaled =
        |values: &[f64], factor: f64| Summary::of(&values.iter().map(|v| v * factor).collect::<Vec<f64>>());
    let counted: Vec<&StepWork> = side.counted().collect();
    let samples: usize = counted.iter().map(|step| step.samples).sum();
    let replicas = || counted.iter().flat_map(|step| &step.replicas);
    let kv_peak = replicas().map(|replica| replica.kv_peak).max().unwrap_or(0);
    let (length, mut per_position) = detail::acceptance(replicas());
    // Depths that a schedule might have taken and never took have no rate. A fixed one takes all of its own.
    let schedule = resolved.speculation.as_ref().map(|speculation| &speculation.schedule);
    if !matches!(schedule, Some(ScheduleInput::Fixed { .. })) {
        while per_position.len() > 1 && per_position.last() == Some(&0.0) {
            per_position.pop();
        }
    }
    Arm {
        label: label(resolved),
        step_s,
        rollout_s: Summary::of(&priced.rollout_s),
        usd_per_step: scaled(&priced.step_s, usd),
        response_tokens_per_s_per_gpu: scaled(&priced.tokens_per_s, 1.0 / gpus),
        stages_s: busy,
        exposed_s: Exposed {
            stages: exposed,
            idle: (step_s.mean - exposed.to_array().iter().sum::<f64>()).max(0.0),
        },
        stage_bands_s: StageBands { p05: quantiles(0.05), p95: quantiles(0.95) },
        stage_basis: stage_basis(side),
        bare_kernels_step_s: priced.bare_step_s,
        bare_kernels_rollout_s: priced.bare_rollout_s,
        acceptance_length: length,
        acceptance_per_position: per_position,
        batch_over_time: Vec::new(),
        rl_steps: Vec::new(),
        completions: Vec::new(),
        tail_share: mean(&side.tail_shares),
        preemptions: replicas().map(|replica| replica.preemptions).sum::<u64>() as f64
            / counted.len().max(1) as f64,
        kv_peak_share: kv_peak as f64 / resolved.generation.kv_blocks as f64,
        loop_stats: super::loops::stats(side, priced),
        clipped_share: counted.iter().map(|step| step.clipped).sum::<usize>() as f64 / samples.max(1) as f64,
    }
}

fn label(resolved: &Resolved) -> String {
    match &resolved.speculation {
        None => "off".to_owned(),
        Some(speculation) => match &speculation.schedule {
            ScheduleInput::Off => format!("{} loaded, not drafting", speculation.drafter.id),
            schedule => format!("{}, {}", speculation.drafter.id, schedule.label()),
        },
    }
}

/// A world whose engine has no software.
fn without_software(world: &[f64; FAMILIES]) -> [f64; FAMILIES] {
    let mut bare = *world;
    bare[Family::Host as usize] = 0.0;
    bare[Family::DraftHost as usize] = 0.0;
    bare
}

fn stage_basis(side: &Side<'_>) -> StageBasis {
    let resolved = &side.prepared.resolved;
    let of = |source: Source| match source {
        Source::Given => Basis::Given,
        Source::Default => Basis::Default,
        Source::Catalog | Source::Profile => Basis::Published,
    };
    let cycle = &resolved.cycle;
    let larger =
        if cycle.prepare.value > cycle.weight_sync.value { cycle.prepare } else { cycle.weight_sync };
    StageBasis {
        data: of(cycle.data.source),
        prepare: of(larger.source),
        generation: generation_basis(side),
        reward: of(resolved.reward.seconds.source),
        logprob: of(resolved.training.logprob_mfu.source),
        training: of(resolved.training.mfu.source),
    }
}

fn generation_basis(side: &Side<'_>) -> Basis {
    let mut by_tier = [0.0; 3];
    for step in side.counted() {
        for (family, seconds) in step.family_seconds()[..STEP_FAMILIES].iter().enumerate() {
            by_tier[side.prepared.confidence[family].tier as usize] += seconds;
        }
    }
    let largest = |a: &Tier, b: &Tier| by_tier[*a as usize].total_cmp(&by_tier[*b as usize]);
    [Tier::Measured, Tier::Analytic, Tier::Published]
        .into_iter()
        .max_by(largest)
        .unwrap_or(Tier::Analytic)
        .into()
}

/// Confidence by family, for the notes.
pub(super) fn tier_seconds(side: &Side<'_>) -> [f64; 3] {
    let confidence: &[Confidence; FAMILIES] = &side.prepared.confidence;
    let mut by_tier = [0.0; 3];
    for step in side.counted() {
        for family in Family::ALL {
            if (family as usize) < STEP_FAMILIES || family == Family::Training {
                by_tier[confidence[family as usize].tier as usize] += step.family_seconds()[family as usize];
            }
        }
    }
    by_tier
}
