//! From a scenario to a run: names looked up, defaults filled in, layouts and memory checked, costs attached.
//!
//! Every value that the scenario did not give is written down with its source and reason. A problem with
//! what was written is an [`ResolveError::Input`] with its place; a run that is well written and cannot be
//! (memory) is [`ResolveError::DoesNotFit`].

mod acceptance;
mod book;
mod cluster;
mod cycle;
mod generation;
mod learner;
mod memory;
mod modes;
pub mod schedule;
mod speculation;
mod tail;
mod training;
mod workload;

use crate::catalog;
use crate::estimate::{Confidence, FAMILIES, Family, Tier};
use crate::forward::Engine;
use crate::piece::{Piece, Shape};
use crate::profile::{self, EngineProfile, ProfileError};
use crate::resolved::{Crowd, Generation, Overhead, Precision, Quantity, Resolved, Router, Source};
use crate::scenario::{self, Document, Scenario};
use crate::speculation::StepCost;
use crate::speculation::acceptance::Population;
use crate::workload::running_context;
pub use acceptance::CONCENTRATION;
use book::Book;
pub use modes::filling;
pub use schedule::Prototype;

/// Why there is no run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// Something in the scenario is wrong.
    #[error("{0}")]
    Input(#[from] scenario::Error),
    /// The scenario is fine and does not fit the memory.
    #[error(
        "{what}: {missing:.1} GiB too much for one GPU ({device}, {memory:.1} GiB)\n  it needs {needs}\n  {advice}"
    )]
    DoesNotFit {
        /// What does not fit.
        what: String,
        /// GiB that are missing on one GPU.
        missing: f64,
        /// The device.
        device: String,
        /// Its memory, GiB.
        memory: f64,
        /// What takes the memory.
        needs: String,
        /// What would fit.
        advice: String,
    },
    /// An embedded profile is broken: a bug of this program.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

/// A run and all that prices it.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The run.
    pub resolved: Resolved,
    /// One replica of the inference engine.
    pub engine: Engine,
    /// What picks the SD configuration of each step.
    pub schedule: Prototype,
    /// The engines that the tail of a rollout goes on with, where their layout is another.
    pub wide: Option<Box<Prepared>>,
    /// How sure each family is.
    pub confidence: [Confidence; FAMILIES],
    /// Provenance of the kernel constants, for people.
    pub calibration: String,
    /// Provenance of the software constants.
    pub engine_profile: String,
}

impl Prepared {
    /// How far the solved population's pooled rates lie from the asked ones; none where nothing is drafted.
    pub fn acceptance_residual(&self) -> Option<f64> {
        let acceptance = &self.resolved.speculation.as_ref()?.acceptance;
        (!acceptance.rates.is_empty()).then(|| {
            let (rates, proposed) = (&acceptance.rates, acceptance.proposal_share);
            Population::counted_in(&acceptance.counted, rates, acceptance.concentration, proposed).residual()
        })
    }
}

impl StepCost for Engine {
    fn piece(&self, shape: &Shape, context: f64) -> Piece {
        Engine::piece(self, shape, context)
    }
}

/// Resolves a document.
pub fn resolve(document: &Document) -> Result<Prepared, ResolveError> {
    resolve_for(document, true, 0)
}

/// The same for a run beside another: where nobody says otherwise at least so many first RL steps are left out of the means.
pub fn resolve_beside(document: &Document, warmup: u32) -> Result<Prepared, ResolveError> {
    resolve_for(document, true, warmup)
}

/// Resolves a document whose engine alone is of interest: training need not fit its GPUs.
pub fn resolve_engine(document: &Document) -> Result<Prepared, ResolveError> {
    resolve_for(document, false, 0)
}

fn resolve_for(document: &Document, trains: bool, warmup: u32) -> Result<Prepared, ResolveError> {
    let raw = document.scenario()?;
    let mut book = Book::new(document);
    let model_name = book.required("model", raw.model.as_ref())?;
    let model = catalog::model(model_name, document.directory()).map_err(|e| book.lookup("model", &e))?;
    let (cluster, trainer) = cluster::resolve(&mut book, &raw)?;
    let (workload, max_model_len) = workload::resolve(&mut book, &raw, &model)?;
    let context = running_context(&workload, 1.0);
    let mut speculation = speculation::resolve(&mut book, &raw, &model, (&workload, context))?;
    let engine_id = generation::engine_id(&mut book, raw.generation.as_ref());
    let engine_constants = generation::constants(&mut book, &engine_id, raw.generation.as_ref())?;
    let stages = profile::stages()?;
    let turns = modes::resolve(&mut book, &raw, &workload)?;
    let router = generation::router(raw.generation.as_ref().and_then(|g| g.router));
    let isolates = raw.tail.as_ref().is_some_and(|tail| tail.isolate.is_some());
    let crowd = Crowd::new(&workload, &turns.0, router == Router::GroupAffinity, isolates);
    let inputs = generation::Inputs {
        reserved_gib: stages.memory.reserved_gib.value,
        raw: raw.generation.clone().unwrap_or_default(),
        model: &model,
        cluster: &cluster,
        crowd,
        speculation: speculation.as_ref(),
        constants: &engine_constants,
        max_model_len,
        context,
    };
    let generation = generation::resolve(&mut book, engine_id, &inputs)?;
    if let Some(speculation) = &mut speculation
        && speculation.tp == 0
    {
        speculation.tp = speculation::drafter_tp(speculation, generation.layout);
        let why = "the target's, as engines lay a drafter out";
        book.note("speculation.drafter.tp", speculation.tp, Source::Default, why);
    }
    if let Some(speculation) = &mut speculation {
        let router = generation.engine.router;
        acceptance::spread_history(
            &mut book,
            speculation,
            raw.speculation.as_ref(),
            generation.replicas,
            router,
        );
    }
    let training_gpus = trainer.as_ref().unwrap_or(&cluster);
    let training = training::resolve(
        &mut book,
        raw.training.as_ref(),
        &model,
        training_gpus,
        &workload,
        trains.then(|| trainer.as_ref().map_or(cluster.gpus / generation.replicas, |_| 1)),
        stages,
    )?;
    let (mut training, mut speculation) = (training, speculation);
    let (cycle, reward) = cycle::resolve(&mut book, &raw, turns, (&model, &generation, &workload), stages)?;
    let tail =
        tail::resolve(&mut book, raw.tail.as_ref(), (&model, &cluster), &generation, &cycle.mode, stages)?;
    let wide = tail::wide(&book, &tail, generation.layout.tp)?.map(Box::new);
    let (rl_steps, warmup_steps) = rl_steps(&mut book, &raw, cycle.mode.filling().max(warmup))?;
    if let Some(speculation) = &mut speculation {
        let inputs = learner::Inputs {
            raw: &raw,
            model: &model,
            gpus: training_gpus,
            workload: &workload,
            generation: &generation,
            steps: rl_steps,
        };
        learner::resolve(&mut book, &inputs, speculation, &mut training, stages)?;
    }
    let uncertainty = book.uncertainty(raw.uncertainty.as_ref());
    let seed = book.seed(raw.seed);
    let name = raw.name.clone().unwrap_or_else(|| document.name().to_owned());

    let mut kernel_profile = profile::device(&cluster.device.id)?;
    kernel_profile.form.scale_floors(generation.engine.kernel_floors);
    let kernels = crate::cost::Kernels::new(&cluster.device, &cluster.network, kernel_profile);
    let software = generation::software(&generation, &engine_constants);
    let engine = Engine {
        kernels,
        model: model.clone(),
        weights: generation.weights,
        kv_cache: generation.kv_cache,
        layout: generation.layout,
        routing: generation.routing,
        drafter: speculation.as_ref().map(|s| crate::forward::LoadedDrafter {
            drafter: s.drafter.clone(),
            weights: s.weights,
            tp: s.tp,
            proposal_share: s.acceptance.proposal_share,
        }),
        software,
        linear_states: engine_constants.linear_states,
        dealt: if cycle.mode.feeds_back() { 0 } else { dealt(&generation, &crowd, context) },
    };
    let schedule = match &speculation {
        Some(speculation) => Prototype::build(schedule::Plan {
            speculation,
            generation: &generation,
            engine: &engine,
            most_batch: crowd.most(generation.replicas).min(generation.engine.max_num_seqs),
        })
        .map_err(|error| book.error("speculation.schedule", error.to_string(), None))?,
        None => Prototype::off(),
    };
    let calibration = calibration_label(&engine, &cluster.device.id);
    let engine_profile = match generation.engine.overhead {
        Overhead::Measured => format!("{}: {}", generation.engine.engine, engine_constants.source),
        Overhead::None => "none: kernels only".to_owned(),
    };
    let (assumptions, without_effect) = book.close();
    let resolved = Resolved {
        name,
        model,
        cluster,
        trainer,
        workload,
        generation,
        speculation,
        tail,
        training,
        reward,
        cycle,
        rl_steps,
        warmup_steps,
        seed,
        uncertainty,
        assumptions,
        without_effect,
    };
    let confidence = confidence(&resolved, &engine, &engine_constants);
    Ok(Prepared { resolved, engine, schedule, wide, confidence, calibration, engine_profile })
}

/// RL steps that count where nobody says how many are simulated.
pub const COUNTED: u32 = 4;

/// RL steps that are simulated, and those of them that are left out of the means: they fill the pipeline, this run's or that of
/// one beside it.
fn rl_steps(book: &mut Book<'_>, raw: &Scenario, filling: u32) -> Result<(u32, u32), ResolveError> {
    let given = raw.warmup_steps.map(|n| n.get() as u32);
    let fills = given.unwrap_or(filling);
    let why =
        if fills > 0 { "four behind those that are left out" } else { "enough for the mean over steps" };
    let all = book.count("rl_steps", raw.rl_steps, COUNTED.saturating_add(fills), why);
    // Of few steps that were asked for at least half count.
    let usual = if raw.rl_steps.is_some() { filling.min(all / 2) } else { filling };
    let warmup = given.unwrap_or(usual);
    if given.is_none() && filling > 0 {
        let why = "where generation runs ahead, the first RL steps fill the pipeline and are unlike the later ones; a run beside it leaves \
                   out the same";
        book.note("warmup_steps", warmup, Source::Default, why);
    }
    if warmup >= all {
        let message = format!("found {warmup} warm-up steps, expected fewer than rl_steps, {all}");
        let hint = "rl_steps counts the warm-up too".to_owned();
        return Err(book.error("warmup_steps", message, Some(hint)));
    }
    Ok((all, warmup))
}

/// Sequences that a replica decodes at its fullest: what comes to it, its seats, and what its cache holds of the mean context.
fn dealt(generation: &Generation, crowd: &Crowd, context: f64) -> u32 {
    let engine = &generation.engine;
    let tokens = generation.kv_blocks as f64 * f64::from(engine.block_size);
    let held = (tokens / (context + f64::from(generation.state_tokens))).max(1.0) as u32;
    crowd.most(generation.replicas).min(engine.max_num_seqs).min(held)
}

fn calibration_label(engine: &Engine, device: &str) -> String {
    let profile = engine.kernels.profile();
    if profile.stands_in {
        let stand_in = &profile.form.device;
        format!("{device}: no tables; efficiencies of {stand_in} on its datasheet")
    } else {
        format!("{device}: {}", profile.form.source)
    }
}

/// What each family's error is: kernels and software from the profiles, stages from the inputs.
fn confidence(resolved: &Resolved, engine: &Engine, constants: &EngineProfile) -> [Confidence; FAMILIES] {
    let profile = engine.kernels.profile();
    let fp8 = resolved.generation.weights == Precision::Fp8;
    let software = |log_sigma, tier| match resolved.generation.engine.overhead {
        Overhead::Measured => Confidence { log_sigma, tier },
        Overhead::None => Confidence { log_sigma: 0.0, tier: Tier::Analytic },
    };
    // Defaults of stages are published figures; a number of the user's is taken through a formula.
    let input = |quantity: &Quantity| Confidence {
        log_sigma: quantity.log_sigma(),
        tier: if quantity.source == Source::Default { Tier::Published } else { Tier::Analytic },
    };
    Family::ALL.map(|family| match family {
        Family::Host => software(constants.sigma, constants.tier),
        Family::DraftHost => software(constants.draft_sigma, constants.draft_tier),
        Family::Training => training::confidence(resolved, input(&resolved.training.mfu)),
        Family::Logprob => input(&resolved.training.logprob_mfu),
        Family::WeightSync => input(&resolved.cycle.weight_sync),
        Family::Prepare => input(&resolved.cycle.prepare),
        Family::Data => input(&resolved.cycle.data),
        Family::Reward => input(&resolved.reward.seconds),
        // Layers of linear attention are attention too: as sure as the less sure of both.
        Family::Attention if resolved.model.linear.is_some() => {
            let attention = profile.confidence(family, fp8, resolved.model.latent.is_some());
            let linear = profile.form.linear_attention.sigma.hypot(profile.spread);
            Confidence { log_sigma: attention.log_sigma.max(linear), ..attention }
        }
        kernel => profile.confidence(kernel, fp8, resolved.model.latent.is_some()),
    })
}
