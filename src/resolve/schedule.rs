//! Schedules: defaults of what the scenario leaves out, and the schedule itself, ready to be copied for each replica.

use super::ResolveError;
use super::book::Book;
use crate::forward::Engine;
use crate::piece::Shape;
use crate::resolved::{
    CatchUpInput, DraftInput, DrafterKind, Generation, ScheduleInput, Source, Speculation, TierInput,
};
use crate::scenario::raw::{self, CountOrZero, TreeForm};
use crate::speculation::acceptance::{Belief, Curve, Ranks};
use crate::speculation::schedule::{
    Fixed, Goodput, Profile, Respec, Schedule, ScheduleError, SglangConfig, SglangTiers, SpecRl, Tier,
    VllmTable,
};
use crate::speculation::solver::{CatchUp, Solver, Switching};
use crate::speculation::{Configuration, ConfigurationError, StepCost};

/// Chains that a schedule chooses from where nobody says: K = 1 … 7, what published sweeps cover.
const CHAINS: u32 = 7;
/// Batches of a ReSpec profile: those of its figure 7.
const PROFILE_BATCHES: [u32; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
/// SpecRL's tree: 5 iterations of top-8; the tokens verified are those of ReSpec's best cell with these two.
const SPECRL_TREE: DraftInput = DraftInput::Tree { steps: 5, top_k: 8, tokens: 32 };
/// Tokens for which a decision is taken to hold, where a switch costs something.
const HORIZON: f64 = 500.0;
/// Rounds that the guess of a learning schedule weighs, and what an update leaves of older counts.
const PRIOR_ROUNDS: f64 = 50.0;
const FADE: f64 = 0.995;
/// Decay over positions of that guess.
const PRIOR_DECAY: f64 = 0.08;
/// Steps between two updates of a belief.
const UPDATE: u32 = 5;

const PATH: &str = "speculation.schedule";

/// What limits the choices that defaults make.
pub(super) struct Bounds {
    pub(super) kind: DrafterKind,
    /// Tokens that a block drafter proposes; 0 where there is no bound.
    pub(super) block: u32,
    /// Positions whose acceptance is known, where it was given one by one.
    pub(super) positions: Option<u32>,
    /// Mean context of a sequence over the rollout, tokens.
    pub(super) context: f64,
}

/// Reads the schedule of a scenario.
pub(super) fn resolve(
    book: &mut Book<'_>,
    given: &raw::Schedule,
    bounds: &Bounds,
) -> Result<ScheduleInput, ResolveError> {
    let schedule = match given {
        raw::Schedule::Off => ScheduleInput::Off,
        raw::Schedule::Fixed(fixed) => ScheduleInput::Fixed { k: fixed.k.get() as u32 },
        raw::Schedule::Goodput(form) => ScheduleInput::Goodput {
            choices: choices(book, "goodput", form.chains.as_deref(), form.trees.as_deref(), bounds)?,
            learn_from: form.learn_from.map(raw::Probability::get),
            margin: form.margin.map_or(0.0, raw::NonNegative::get),
            horizon_tokens: form.horizon_tokens.map_or_else(
                || {
                    if form.catch_up.is_some() {
                        let why = "assumed: how long a decision holds";
                        book.note(&format!("{PATH}.goodput.horizon_tokens"), HORIZON, Source::Default, why);
                    }
                    HORIZON
                },
                raw::Positive::get,
            ),
            catch_up: catch_up(form.catch_up.as_ref(), CatchUpInput::KeepWarm),
        },
        raw::Schedule::Respec(form) => ScheduleInput::Respec {
            choices: choices(book, "respec", form.chains.as_deref(), form.trees.as_deref(), bounds)?,
            batches: form.batches.as_ref().map_or_else(
                || PROFILE_BATCHES.to_vec(),
                |batches| batches.iter().map(|batch| batch.get() as u32).collect(),
            ),
            context_tokens: form.context_tokens.map_or(bounds.context, raw::Positive::get),
            speedups: form
                .speedups
                .as_ref()
                .map(|rows| rows.iter().map(|row| row.iter().map(|value| value.get()).collect()).collect()),
            catch_up: catch_up(form.catch_up.as_ref(), CatchUpInput::Prefill),
        },
        raw::Schedule::Specrl(form) => specrl(book, form, bounds)?,
        raw::Schedule::SglangTiers(form) => sglang(form),
        raw::Schedule::VllmTable(form) => {
            let table: Vec<[u32; 3]> =
                form.table.iter().map(|range| range.map(|number| number.get() as u32)).collect();
            let longest = table.iter().map(|range| range[2]).max().unwrap_or(0);
            let num_speculative_tokens = form.num_speculative_tokens.map_or(longest, |n| n.get() as u32);
            ScheduleInput::VllmTable { table, num_speculative_tokens }
        }
    };
    let tree = schedule.choices().into_iter().any(|choice| matches!(choice, DraftInput::Tree { .. }));
    let one_by_one = matches!(bounds.kind, DrafterKind::Eagle3 | DrafterKind::Mtp | DrafterKind::Model);
    if tree && !one_by_one {
        return Err(book.error(
            PATH,
            "this drafter proposes chains only, and the schedule asks for trees",
            None,
        ));
    }
    Ok(schedule)
}

fn choices(
    book: &mut Book<'_>,
    name: &str,
    chains: Option<&[CountOrZero]>,
    trees: Option<&[TreeForm]>,
    bounds: &Bounds,
) -> Result<Vec<DraftInput>, ResolveError> {
    let mut choices: Vec<DraftInput> = if let Some(given) = chains {
        let drafting = given.iter().map(|k| k.get() as u32).filter(|k| *k > 0);
        drafting.map(|k| DraftInput::Chain { k }).collect()
    } else {
        let block = if bounds.block > 0 { bounds.block } else { CHAINS };
        let most = CHAINS.min(block).min(bounds.positions.unwrap_or(CHAINS));
        let path = format!("{PATH}.{name}.chains");
        book.note(&path, format!("1 to {most}"), Source::Default, "what published sweeps cover");
        (1..=most).map(|k| DraftInput::Chain { k }).collect()
    };
    for (index, form) in trees.unwrap_or(&[]).iter().enumerate() {
        choices.push(tree(book, &format!("{PATH}.{name}.trees[{index}]"), form)?);
    }
    let longest = choices.iter().map(|choice| choice.draft_tokens()).max().unwrap_or(0);
    if longest > 64 {
        let message = format!("{longest} draft tokens; at most 64");
        return Err(book.error(&format!("{PATH}.{name}"), message, None));
    }
    Ok(choices)
}

fn tree(book: &Book<'_>, path: &str, form: &TreeForm) -> Result<DraftInput, ResolveError> {
    let [steps, top_k, tokens] = [form.steps, form.top_k, form.tokens].map(|n| n.get() as u32);
    match Configuration::tree(steps, top_k, tokens) {
        Ok(Configuration::Tree { .. }) => Ok(DraftInput::Tree { steps, top_k, tokens }),
        Ok(chain) => Ok(DraftInput::Chain { k: chain.draft_tokens() }),
        Err(error) => Err(book.error(path, error.to_string(), None)),
    }
}

fn specrl(
    book: &mut Book<'_>,
    form: &raw::SpecrlSchedule,
    bounds: &Bounds,
) -> Result<ScheduleInput, ResolveError> {
    let tree = if let Some(form) = &form.tree {
        tree(book, &format!("{PATH}.specrl.tree"), form)?
    } else {
        let why = "SpecRL's 5 iterations of top-8; tokens as in ReSpec's best cell of these";
        book.note(&format!("{PATH}.specrl.tree"), "5, 8, 32", Source::Default, why);
        SPECRL_TREE
    };
    let upto = form.tree_upto.map(|tree_upto| {
        let chain_upto = form.chain_upto.map_or(u32::MAX, |n| n.get() as u32);
        [tree_upto.get() as u32, chain_upto]
    });
    if upto.is_none() && form.chain_upto.is_some() {
        let path = format!("{PATH}.specrl.chain_upto");
        return Err(book.error(&path, "given without `tree_upto`", Some("give both, or neither".to_owned())));
    }
    let chain = DraftInput::Chain { k: form.chain.map_or(1, |k| k.get() as u32) };
    Ok(ScheduleInput::Specrl { tree, chain, upto, context_tokens: bounds.context })
}

fn sglang(form: &raw::SglangSchedule) -> ScheduleInput {
    let own = SglangConfig::default();
    let tiers = match &form.tiers {
        Some(given) => given
            .iter()
            .map(|tier| TierInput {
                from: tier.from.get() as u32,
                candidate_steps: tier.candidate_steps.iter().map(|n| n.get() as u32).collect(),
                up_hysteresis: tier.up_hysteresis.map_or(0.0, raw::Number::get),
                // SGLang's default for tiers of one's own.
                down_hysteresis: tier.down_hysteresis.map_or(-0.25, raw::Number::get),
                ceiling_coeff: tier.ceiling_coeff.map_or(0.0, raw::NonNegative::get),
            })
            .collect(),
        None => own
            .tiers
            .iter()
            .map(|tier| TierInput {
                from: tier.from,
                candidate_steps: tier.candidate_steps.clone(),
                up_hysteresis: tier.up_hysteresis,
                down_hysteresis: tier.down_hysteresis,
                ceiling_coeff: tier.ceiling_coeff,
            })
            .collect(),
    };
    ScheduleInput::SglangTiers {
        num_steps: form.num_steps.map_or(3, |n| n.get() as u32),
        ema_alpha: form.ema_alpha.map_or(own.ema_alpha, raw::Probability::get),
        update_interval: form.update_interval.map_or(own.update_interval, |n| n.get() as u32),
        warmup_batches: form.warmup_batches.map_or(own.warmup_batches, |n| n.get() as u32),
        tiers,
    }
}

fn catch_up(given: Option<&raw::CatchUpForm>, default: CatchUpInput) -> CatchUpInput {
    match given {
        None => default,
        Some(raw::CatchUpForm::KeepWarm) => CatchUpInput::KeepWarm,
        Some(raw::CatchUpForm::Prefill) => CatchUpInput::Prefill,
        Some(raw::CatchUpForm::HiddenStates) => CatchUpInput::HiddenStates,
        Some(raw::CatchUpForm::Window(window)) => CatchUpInput::Window { tokens: window.tokens.get() as u32 },
    }
}

/// A schedule as it stands at the start of a rollout.
#[derive(Debug, Clone)]
pub struct Prototype(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Fixed(Fixed),
    Goodput(Box<Goodput>),
    Respec(Respec),
    SpecRl(SpecRl),
    SglangTiers(SglangTiers),
    VllmTable(VllmTable),
}

impl Prototype {
    /// A run without a drafter.
    pub fn off() -> Self {
        Prototype(Kind::Fixed(Fixed(Configuration::Off)))
    }

    /// Builds a schedule for an engine.
    pub fn build(plan: Plan<'_>) -> Result<Self, ScheduleError> {
        let Plan { speculation, generation, .. } = plan;
        let kind = match &speculation.schedule {
            ScheduleInput::Off => Kind::Fixed(Fixed(Configuration::Off)),
            ScheduleInput::Fixed { k } => Kind::Fixed(Fixed(Configuration::chain(*k))),
            ScheduleInput::Goodput { choices, learn_from, margin, horizon_tokens, catch_up } => {
                let catch_up = plan.catch_up(*catch_up);
                let switching = Switching { catch_up, horizon: *horizon_tokens, margin: *margin };
                let solver = plan.solver(choices, &catch_up)?;
                Kind::Goodput(Box::new(match learn_from {
                    None => Goodput::new(solver, switching),
                    Some(first) => {
                        let positions = speculation.acceptance.rates.len();
                        let belief = Belief::new(*first, PRIOR_DECAY, positions, PRIOR_ROUNDS, FADE);
                        Goodput::learning(solver, switching, belief, UPDATE)
                    }
                }))
            }
            ScheduleInput::Respec { choices, batches, context_tokens, speedups, catch_up } => {
                let catch_up = plan.catch_up(*catch_up);
                let profile = match speedups {
                    Some(rows) => Profile::new(batches.clone(), configurations(choices)?, rows)?,
                    None => Profile::measure(&plan.solver(choices, &catch_up)?, batches, *context_tokens)?,
                };
                Kind::Respec(Respec::new(profile, catch_up))
            }
            ScheduleInput::Specrl { tree, chain, upto, context_tokens } => {
                let [t, c] = [configuration(*tree)?, configuration(*chain)?];
                Kind::SpecRl(if let Some([tree_upto, chain_upto]) = upto {
                    SpecRl::new(t, c, *tree_upto, *chain_upto)?
                } else {
                    let solver = plan.solver(&[*tree, *chain], &CatchUp::KeepWarm)?;
                    SpecRl::solved(&solver, t, c, *context_tokens, plan.most_batch)?
                })
            }
            ScheduleInput::SglangTiers { num_steps, ema_alpha, update_interval, warmup_batches, tiers } => {
                let config = SglangConfig {
                    ema_alpha: *ema_alpha,
                    update_interval: *update_interval,
                    warmup_batches: *warmup_batches,
                    tiers: tiers.iter().map(tier_of).collect(),
                };
                let captured = generation.engine.capture_sizes.clone();
                Kind::SglangTiers(SglangTiers::new(&config, *num_steps, captured)?)
            }
            ScheduleInput::VllmTable { table, num_speculative_tokens } => {
                let most = generation.engine.max_num_seqs;
                Kind::VllmTable(VllmTable::new(table, *num_speculative_tokens, most)?)
            }
        };
        Ok(Prototype(kind))
    }

    /// The same where the acceptance turns out to be `rates`: a schedule that knows it knows this.
    #[must_use]
    pub fn knowing(&self, rates: &[f64]) -> Self {
        let mut known = self.clone();
        if let Kind::Goodput(goodput) = &mut known.0 {
            goodput.know(rates, &Ranks::default());
        }
        known
    }

    /// A schedule for one replica.
    pub fn make(&self) -> Box<dyn Schedule> {
        match &self.0 {
            Kind::Fixed(schedule) => Box::new(*schedule),
            Kind::Goodput(schedule) => schedule.clone(),
            Kind::Respec(schedule) => Box::new(schedule.clone()),
            Kind::SpecRl(schedule) => Box::new(*schedule),
            Kind::SglangTiers(schedule) => Box::new(schedule.clone()),
            Kind::VllmTable(schedule) => Box::new(schedule.clone()),
        }
    }
}

fn tier_of(tier: &TierInput) -> Tier {
    Tier {
        from: tier.from,
        candidate_steps: tier.candidate_steps.clone(),
        up_hysteresis: tier.up_hysteresis,
        down_hysteresis: tier.down_hysteresis,
        ceiling_coeff: tier.ceiling_coeff,
    }
}

/// The configuration of an input.
pub fn configuration(input: DraftInput) -> Result<Configuration, ConfigurationError> {
    match input {
        DraftInput::Chain { k } => Ok(Configuration::chain(k)),
        DraftInput::Tree { steps, top_k, tokens } => Configuration::tree(steps, top_k, tokens),
    }
}

fn configurations(inputs: &[DraftInput]) -> Result<Vec<Configuration>, ConfigurationError> {
    inputs.iter().map(|input| configuration(*input)).collect()
}

/// What a solver of a run needs.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// Drafter and acceptance.
    pub speculation: &'a Speculation,
    /// Limits of a replica.
    pub generation: &'a Generation,
    /// Costs.
    pub engine: &'a Engine,
    /// Largest batch that is priced: what a replica ever decodes.
    pub most_batch: u32,
}

impl Plan<'_> {
    /// A solver over some configurations, at the run's pooled acceptance.
    pub fn solver(&self, choices: &[DraftInput], catch_up: &CatchUp) -> Result<Solver, ScheduleError> {
        let curve = Curve::new(self.speculation.acceptance.rates_over_all(), Ranks::default())?;
        let longest = f64::from(self.generation.engine.max_model_len);
        let context = longest * f64::from(self.most_batch);
        let configurations = configurations(choices)?;
        Ok(Solver::new(&configurations, &curve, self.engine, self.most_batch, context, catch_up))
    }

    /// Prices a way to catch up, by the engine's own prefill steps.
    pub fn catch_up(&self, input: CatchUpInput) -> CatchUp {
        let chunk = self.generation.engine.max_num_batched_tokens.min(8192);
        match input {
            CatchUpInput::KeepWarm => CatchUp::KeepWarm,
            CatchUpInput::Prefill => CatchUp::prefill(self.engine, chunk),
            CatchUpInput::HiddenStates => {
                CatchUp::HiddenStates { fixed: 0.0, per_token: self.drafter_per_token(chunk) }
            }
            CatchUpInput::Window { tokens } => {
                let per_token = self.drafter_per_token(chunk);
                CatchUp::Window { tokens: f64::from(tokens), fixed: 0.0, per_token }
            }
        }
    }

    /// Seconds of the drafter alone for each token of a chunk: a prefill step with it less one without.
    fn drafter_per_token(&self, chunk: u32) -> f64 {
        let step = |drafter_asleep| {
            let shape = Shape { prefill_tokens: chunk, prefill_ends: 1, drafter_asleep, ..Shape::default() };
            StepCost::piece(self.engine, &shape, 0.0).seconds(0.0)
        };
        ((step(false) - step(true)) / f64::from(chunk)).max(0.0)
    }
}
