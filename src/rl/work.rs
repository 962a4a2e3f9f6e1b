//! The work of one RL step, before any world prices it.

use crate::estimate::{FAMILIES, Family};
use crate::forward::Engine;
use crate::forward::training;
use crate::resolve::{Prepared, Prototype};
use crate::resolved::AcceptanceInput;
use crate::rl::batches::{StepPlan, Turns};
use crate::rl::machine::Stage;
use crate::rl::memo::Memo;
use crate::rl::scoring::Scoring;
use crate::rollout::{Limits, Outcome, Stepper};
use crate::speculation::acceptance::{History, Population, power_law, shift, solve_first_rate};
use crate::speculation::staleness;
use crate::workload::{Generator, LengthShift, Sample};

/// Highest acceptance rate where rates are scaled.
pub(crate) const HIGHEST_RATE: f64 = 0.999;

/// How far the uncertain inputs lie from their best values, in standard errors.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct InputShift {
    /// Of the acceptance rates.
    pub acceptance: f64,
    /// Of the mean response length and its spread.
    pub lengths: LengthShift,
    /// Of the mean prompt length and its spread.
    pub prompts: LengthShift,
}

/// Simulates the RL steps of one set of inputs.
#[derive(Debug)]
pub struct Simulation<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) cost: Memo<'a, Engine>,
    pub(super) generator: Generator,
    /// None where nothing is drafted.
    pub(super) acceptance: Option<Population>,
    /// Shift of the logits of all acceptance rates.
    acceptance_shift: f64,
    /// Knows the acceptance of the first step.
    schedule: Prototype,
    pub(super) stepper: Stepper,
    /// The tail's engines, where their layout is another.
    pub(super) wide: Option<Box<Simulation<'a>>>,
}

/// One RL step: its rollout, and the nominal seconds of the other stages.
#[derive(Debug, Clone)]
pub struct StepWork {
    /// The replicas' rollouts.
    pub replicas: Vec<Outcome>,
    /// Samples.
    pub samples: usize,
    /// Nominal seconds, beside the replicas', in which all of them stood still to be regrouped.
    pub pause: f64,
    /// Conditional acceptance by position, pooled over all rounds, that a schedule which knows it took; empty where nothing
    /// is drafted.
    pub believed: Vec<f64>,
    /// Response tokens.
    pub response_tokens: u64,
    /// Prompt tokens, each sample's counted.
    pub prompt_tokens: u64,
    /// Samples that were cut at the maximum.
    pub clipped: usize,
    /// Nominal seconds by family, of the families that are whole stages.
    stage_seconds: [f64; FAMILIES],
    /// Nominal seconds of bringing new weights over, of which engines stand still for a share.
    transfer: f64,
    /// Nominal seconds of old and reference log-probs.
    logprobs: [f64; 2],
    /// Share of the reward's seconds that is left when generation has ended.
    reward_exposed: f64,
}

impl<'a> Simulation<'a> {
    /// For inputs that are shifted by standard errors.
    pub fn new(prepared: &'a Prepared, shifts: InputShift, stepper: Stepper) -> Self {
        let resolved = &prepared.resolved;
        let input = resolved.speculation.as_ref().map(|s| &s.acceptance).filter(|a| !a.rates.is_empty());
        let acceptance_shift = input.map_or(0.0, |a| shifts.acceptance * a.logit_se);
        let acceptance = input.map(|a| population(a, [&a.rates, &a.counted], acceptance_shift));
        let schedule = knowing(&prepared.schedule, acceptance.as_ref());
        Simulation {
            prepared,
            cost: Memo::new(&prepared.engine),
            generator: Generator::new(&resolved.workload, resolved.seed, shifts.lengths)
                .with_prompts(&resolved.workload, shifts.prompts),
            acceptance,
            acceptance_shift,
            schedule,
            stepper,
            wide: prepared.wide.as_ref().map(|wide| Box::new(Simulation::new(wide, shifts, stepper))),
        }
    }

    /// The first-position rate of weights after `version` RL steps, where it moves.
    fn first_rate(&self, version: u64) -> Option<f64> {
        let rates = &self.prepared.resolved.speculation.as_ref()?.first_rates;
        rates.get(version as usize).or(rates.last()).copied()
    }

    /// RL steps that the weights of a batch lag behind it where batches run ahead: one, as long as the trainer keeps pace.
    /// What runs further ahead waits for the trainer, and then it is the trainer that decides how long a step takes.
    fn lag(&self) -> u64 {
        let cycle = &self.prepared.resolved.cycle;
        u64::from(cycle.mode.split && !cycle.mode.feeds_back() && cycle.max_staleness > 0)
    }

    /// The population of weights after `version` RL steps in the rollout of an RL step, where it differs from the first
    /// step's: weights have moved, or a drafter has seen more responses by then.
    pub(super) fn grown(&self, version: u64, rl_step: u64) -> Option<Population> {
        let speculation = self.prepared.resolved.speculation.as_ref()?;
        let input = &speculation.acceptance;
        if let (Some(start), Some(rate)) = (speculation.first_rates.first(), self.first_rate(version)) {
            if (rate - start).abs() < 1e-9 && speculation.first_rates.iter().all(|r| r == start) {
                return None;
            }
            let moved = staleness::logit_shift(*start, rate);
            return Some(population(input, [&input.rates, &input.counted], self.acceptance_shift + moved));
        }
        let history = input.history.as_ref()?;
        let seen = history.responses(rl_step);
        if seen <= history.responses(0) || self.acceptance.is_none() {
            return None;
        }
        let (fresh, limit) = history.lengths;
        let length = History::new(fresh, limit, history.rollouts).ok()?.length(seen);
        let first = solve_first_rate(length, history.decay, history.at_k as usize)?;
        let [rates, counted] = [&input.rates, &input.counted].map(|of| {
            let mut rates = power_law(first, history.decay, of.len());
            if history.scale != 1.0 {
                for rate in &mut rates {
                    *rate = (*rate * history.scale).min(HIGHEST_RATE);
                }
            }
            rates
        });
        Some(population(input, [&rates, &counted], self.acceptance_shift))
    }

    /// The schedule where an RL step's population is another than the first one's.
    pub(super) fn schedule_of(&self, grown: Option<&Population>) -> Prototype {
        if grown.is_some() { knowing(&self.prepared.schedule, grown) } else { self.schedule.clone() }
    }

    /// What a schedule that knows the acceptance takes it for.
    pub(super) fn believed(&self, grown: Option<&Population>) -> Vec<f64> {
        grown.or(self.acceptance.as_ref()).map(Population::pooled_over_all).unwrap_or_default()
    }

    /// Limits of a replica.
    pub(super) fn limits(&self) -> Limits {
        let generation = &self.prepared.resolved.generation;
        Limits {
            max_num_seqs: generation.engine.max_num_seqs,
            max_num_batched_tokens: generation.engine.max_num_batched_tokens,
            block_size: generation.engine.block_size,
            kv_blocks: generation.kv_blocks,
            prefix_caching: generation.engine.prefix_caching,
            prefill_alone: generation.engine.prefill_alone,
            state_tokens: generation.state_tokens,
        }
    }

    /// Runs one RL step of one draw.
    pub fn step(&self, draw: u64, rl_step: u64) -> StepWork {
        // Lengths are of the policy that generates, and so is acceptance.
        let served = rl_step.saturating_sub(self.lag());
        let samples = self.generator.answered(draw, rl_step, served);
        let grown = self.grown(served, rl_step);
        let (replicas, pause) = self.roll_out(&samples, [draw, rl_step], grown.as_ref());
        let believed = self.believed(grown.as_ref());
        StepWork { pause, believed, ..self.around([draw, rl_step], &samples, replicas) }
    }

    /// Seconds that training the drafter adds after an RL step, and that its new weights add before it.
    pub(super) fn drafter_seconds(&self, rl_step: u64, replicas: &[Outcome]) -> (f64, f64) {
        let resolved = &self.prepared.resolved;
        let Some(drafter) = &resolved.training.drafter else { return (0.0, 0.0) };
        let idle = idle_gpu_seconds(replicas, resolved.generation.layout.gpus());
        let exposed = if drafter.due(rl_step) { drafter.exposed(idle) } else { 0.0 };
        let fresh = rl_step > 0 && drafter.due(rl_step - 1);
        (exposed, if fresh { drafter.sync_seconds } else { 0.0 })
    }

    /// How batches take turns on these pools. On one pool nothing runs ahead, whatever a sample's weights may lag.
    pub fn turns(prepared: &Prepared) -> Turns {
        let cycle = &prepared.resolved.cycle;
        let rendezvous = cycle.transfer.rendezvous;
        if !cycle.mode.split {
            return Turns { rendezvous, ..Turns::default() };
        }
        Turns { max_staleness: cycle.max_staleness, trainer_stall: cycle.transfer.trainer_stall, rendezvous }
    }

    /// Nominal seconds of training on samples, and of one pass for log-probs.
    pub(super) fn passes(&self, samples: &[Sample]) -> (f64, f64) {
        let resolved = &self.prepared.resolved;
        let lengths: Vec<f64> = samples.iter().map(|s| f64::from(s.prompt + s.response)).collect();
        let (train, logprob) = training::passes(resolved);
        let epochs = f64::from(resolved.training.epochs);
        let train = train.seconds(&resolved.model, &lengths) * epochs;
        let logprob = logprob.seconds(&resolved.model, &lengths);
        (train, logprob)
    }

    /// The stages around a rollout.
    pub(super) fn around(
        &self,
        [draw, rl_step]: [u64; 2],
        samples: &[Sample],
        replicas: Vec<Outcome>,
    ) -> StepWork {
        let resolved = &self.prepared.resolved;
        let training = &resolved.training;
        let (train, logprob) = self.passes(samples);
        let streamed = replicas.iter().all(|replica| replica.completions.is_empty());
        // Replicas that work on several steps are never all idle at its end: nothing hides there.
        let idle: &[Outcome] = if streamed { &[] } else { &replicas };
        let (drafter, drafter_sync) = self.drafter_seconds(rl_step, idle);
        let logprobs =
            [training.old_logprobs, training.reference_logprobs].map(|on| if on { logprob } else { 0.0 });
        let mut stage_seconds = [0.0; FAMILIES];
        stage_seconds[Family::Training as usize] = train + drafter;
        stage_seconds[Family::Data as usize] = resolved.cycle.data.value;
        stage_seconds[Family::Prepare as usize] = resolved.cycle.prepare.value;
        let transfer = resolved.cycle.weight_sync.value + drafter_sync;
        stage_seconds[Family::WeightSync as usize] = transfer * resolved.cycle.transfer.engine_stall;
        stage_seconds[Family::Reward as usize] = resolved.reward.seconds.value;
        let scoring = Scoring::of(resolved, [draw, rl_step]);
        // Streams time their own rewards.
        let reward_exposed = if streamed { 0.0 } else { scoring.exposed_share(&replicas) };
        StepWork {
            samples: samples.len(),
            response_tokens: samples.iter().map(|s| u64::from(s.response)).sum(),
            prompt_tokens: samples.iter().map(|s| u64::from(s.prompt)).sum(),
            clipped: samples.iter().filter(|s| s.clipped).count(),
            replicas,
            pause: 0.0,
            believed: Vec::new(),
            stage_seconds,
            transfer,
            logprobs,
            reward_exposed,
        }
    }
}

impl StepWork {
    /// Seconds in a world, given its multiplier for each family.
    pub fn price(&self, world: &[f64; FAMILIES]) -> StepPlan {
        self.price_beyond(world, 0.0)
    }

    /// The same where seconds beyond the fitted ranges are longer by `doubt`, in logarithm, times how far they are beyond.
    pub fn price_beyond(&self, world: &[f64; FAMILIES], doubt: f64) -> StepPlan {
        let replicas: Vec<f64> = self
            .replicas
            .iter()
            .map(|replica| {
                let pause = self.pause * world[Family::WeightSync as usize];
                replica.seconds_in(world) + replica.extrapolated.excess(doubt) + pause
            })
            .collect();
        let of = |family: Family| self.stage_seconds[family as usize] * world[family as usize];
        let logprob = world[Family::Logprob as usize];
        let mut stages = [0.0; 7];
        stages[Stage::Data as usize] = of(Family::Data);
        stages[Stage::Prepare as usize] = of(Family::Prepare) + of(Family::WeightSync);
        stages[Stage::Generation as usize] = replicas.iter().copied().fold(0.0, f64::max);
        stages[Stage::Reward as usize] = of(Family::Reward) * self.reward_exposed;
        stages[Stage::LogprobOld as usize] = self.logprobs[0] * logprob;
        stages[Stage::LogprobReference as usize] = self.logprobs[1] * logprob;
        stages[Stage::Training as usize] = of(Family::Training);
        StepPlan {
            stages,
            replicas,
            scoring: self.reward_busy(world),
            transfer: self.transfer * world[Family::WeightSync as usize],
        }
    }

    /// Seconds that the reward is busy in a world, hidden ones included.
    pub fn reward_busy(&self, world: &[f64; FAMILIES]) -> f64 {
        self.stage_seconds[Family::Reward as usize] * world[Family::Reward as usize]
    }

    /// Nominal seconds by family on the step's critical path: the slowest replica's rollout, and the stages.
    pub fn family_seconds(&self) -> [f64; FAMILIES] {
        let mut seconds = self.stage_seconds;
        seconds[Family::Reward as usize] *= self.reward_exposed;
        seconds[Family::Logprob as usize] = self.logprobs.iter().sum();
        seconds[Family::WeightSync as usize] += self.pause;
        let slowest = self.replicas.iter().max_by(|a, b| a.nominal().total_cmp(&b.nominal()));
        if let Some(replica) = slowest {
            seconds[..replica.seconds.len()].copy_from_slice(&replica.seconds);
        }
        seconds
    }

    /// Frees what only a timeline needs.
    pub fn drop_details(&mut self) {
        for replica in &mut self.replicas {
            replica.timeline = Vec::new();
            replica.completions = Vec::new();
        }
    }
}

/// GPU seconds that these replicas, of so many GPUs each, are idle for until the slowest has finished.
pub(crate) fn idle_gpu_seconds(replicas: &[Outcome], gpus: u32) -> f64 {
    let slowest = replicas.iter().map(Outcome::nominal).fold(0.0, f64::max);
    replicas.iter().map(|r| (slowest - r.nominal()) * f64::from(gpus)).sum()
}

/// Counters show within seconds what acceptance there is: a schedule that knows it knows this one.
fn knowing(schedule: &Prototype, acceptance: Option<&Population>) -> Prototype {
    acceptance.map_or_else(|| schedule.clone(), |population| schedule.knowing(&population.pooled_over_all()))
}

/// The requests behind these rates, and the ones that were counted, shifted.
fn population(input: &AcceptanceInput, [rates, counted]: [&Vec<f64>; 2], logit_shift: f64) -> Population {
    let [rates, counted] = [rates, counted].map(|of| shift(of, logit_shift));
    Population::counted_in(&counted, &rates, input.concentration, input.proposal_share)
}
