//! Checks between the keys of a scenario that need no catalog; a lone number's range is in its type (`raw`).

mod lengths;
mod plan;
mod rl_loop;
mod speculation;
mod tail;

use super::raw::{Cluster, Count, CountOrZero, Generation, Reward, Scenario, Training, Uncertain};
use super::raw::{NonNegative, Uncertainty, Workload};
use super::{Document, Error};

/// Most samples in one RL step.
const MOST_SAMPLES: u64 = 10_000_000;
/// Most workload draws.
const MOST_DRAWS: u64 = 10_000;
/// Most calibration worlds.
const MOST_WORLDS: u64 = 100_000;
/// Most GPUs.
const MOST_GPUS: u64 = 100_000;
/// Most RL steps.
const MOST_STEPS: u64 = 10_000;
/// Most runs of an engine: GPUs x RL steps x draws; half a GiB of results.
const MOST_RUNS: u64 = 2_000_000;
/// Most prices of a run: draws x worlds.
const MOST_PRICES: u64 = 1_000_000;
/// Longest duration, in seconds: four months.
const LONGEST: f64 = 1e7;

/// The first check that fails, as an error at the key it is about.
pub(super) fn check(document: &Document, scenario: &Scenario) -> Result<(), Error> {
    let check = Check { document };
    check.required(scenario.version, "", "version")?;
    let model = check.required(scenario.model.as_deref(), "", "model")?;
    check.holds(!model.trim().is_empty(), "model", "found nothing, expected a catalog id or a path", "")?;
    gpus(&check, scenario)?;
    let workload = check.required(scenario.workload.as_ref(), "", "workload")?;
    let samples = self::workload(&check, workload)?;
    if let Some(generation) = &scenario.generation {
        self::generation(&check, generation)?;
    }
    if let Some(speculation) = &scenario.speculation {
        speculation::check(&check, speculation)?;
    }
    if let Some(training) = &scenario.training {
        self::training(&check, training, samples)?;
    }
    match &scenario.reward {
        Some(Reward::Rule(rule)) => check.seconds("reward.rule.seconds", Some(rule.seconds))?,
        Some(Reward::Sandbox(sandbox)) => {
            check.seconds("reward.sandbox.latency", Some(sandbox.latency))?;
            check.spread("reward.sandbox.sigma", sandbox.sigma)?;
        }
        Some(Reward::Model(model)) => {
            check.seconds("reward.model.latency", Some(model.latency))?;
            check.spread("reward.model.sigma", model.sigma)?;
        }
        None => {}
    }
    if let Some(rl_loop) = &scenario.rl_loop {
        rl_loop::check(&check, scenario, rl_loop)?;
    }
    if let Some(uncertainty) = &scenario.uncertainty {
        self::uncertainty(&check, uncertainty)?;
    }
    if let Some(tail) = &scenario.tail {
        tail::check(&check, tail, samples)?;
    }
    if let Some(run) = &scenario.whole_run {
        check.required(run.rl_steps, "whole_run", "rl_steps")?;
    }
    if let Some(plan) = &scenario.plan {
        self::plan::check(&check, plan)?;
    }
    steps(&check, scenario.rl_steps, scenario.warmup_steps)?;
    self::size(&check, scenario)?;
    for (index, expectation) in scenario.expect.iter().flatten().enumerate() {
        let quantity = expectation.quantity.trim();
        let path = format!("expect[{index}].quantity");
        check.holds(!quantity.is_empty(), &path, "found nothing, expected a path in result.json", "")?;
    }
    Ok(())
}

/// One set of GPUs, or one for generation and one for training.
fn gpus(check: &Check<'_>, scenario: &Scenario) -> Result<(), Error> {
    let Some(pools) = &scenario.pools else {
        let shared = check.required(scenario.cluster.as_ref(), "", "cluster")?;
        return cluster(check, "cluster", shared);
    };
    let message = "found `pools` beside `cluster`, expected one of the two";
    check.holds(scenario.cluster.is_none(), "pools", message, "with pools, leave cluster out")?;
    let generation = check.required(pools.generation.as_ref(), "pools", "generation")?;
    cluster(check, "pools.generation", generation)?;
    let training = check.required(pools.training.as_ref(), "pools", "training")?;
    cluster(check, "pools.training", training)
}

fn cluster(check: &Check<'_>, path: &str, cluster: &Cluster) -> Result<(), Error> {
    check.required(cluster.device.as_ref(), path, "device")?;
    let gpus = check.required(cluster.gpus, path, "gpus")?.get();
    let message = format!("found {gpus}, expected at most {MOST_GPUS}");
    check.holds(gpus <= MOST_GPUS, &format!("{path}.gpus"), &message, "")?;
    let Some(per_node) = cluster.gpus_per_node.map(Count::get) else {
        return Ok(());
    };
    let message = format!("found {gpus} GPUs, expected whole nodes of {per_node}");
    check.holds(gpus <= per_node || gpus % per_node == 0, &format!("{path}.gpus"), &message, "")
}

/// The number of samples in one RL step.
fn workload(check: &Check<'_>, workload: &Workload) -> Result<u64, Error> {
    let prompts = check.required(workload.prompts_per_step, "workload", "prompts_per_step")?.get();
    let each = check.required(workload.samples_per_prompt, "workload", "samples_per_prompt")?.get();
    let prompt = check.required(workload.prompt_tokens.as_ref(), "workload", "prompt_tokens")?;
    let response = check.required(workload.response_tokens.as_ref(), "workload", "response_tokens")?;
    lengths::check(check, "workload.prompt_tokens", prompt)?;
    lengths::check(check, "workload.response_tokens", response)?;
    let drift = workload.response_drift.as_deref().unwrap_or_default();
    for (index, pair) in drift.windows(2).enumerate() {
        let path = format!("workload.response_drift[{}]", index + 1);
        let message =
            format!("found RL step {} after {}, expected rising steps", pair[1][0].get(), pair[0][0].get());
        check.holds(pair[1][0].get() > pair[0][0].get(), &path, &message, "")?;
    }
    for (index, [_, factor]) in drift.iter().enumerate() {
        let message = format!("found a factor of {}, expected 0.01 to 100", factor.get());
        let path = format!("workload.response_drift[{index}]");
        check.holds((0.01..=100.0).contains(&factor.get()), &path, &message, "[RL step, factor]")?;
    }
    // No overflow: each count is at most 10^9.
    let samples = prompts * each;
    let message =
        format!("found {prompts} x {each} = {samples} samples a step, expected at most {MOST_SAMPLES}");
    check.holds(samples <= MOST_SAMPLES, "workload.prompts_per_step", &message, "")?;
    Ok(samples)
}

fn generation(check: &Check<'_>, generation: &Generation) -> Result<(), Error> {
    let sizes = generation.cudagraph_capture_sizes.as_deref().unwrap_or_default();
    for (index, pair) in sizes.windows(2).enumerate() {
        let path = format!("generation.cudagraph_capture_sizes[{}]", index + 1);
        let message = format!("found {} after {}, expected rising sizes", pair[1], pair[0]);
        check.holds(pair[1] > pair[0], &path, &message, "")?;
    }
    Ok(())
}

fn training(check: &Check<'_>, training: &Training, samples: u64) -> Result<(), Error> {
    check.share("training.mfu", training.mfu)?;
    check.share("training.logprob_mfu", training.logprob_mfu)?;
    check.seconds("training.update_seconds", training.update_seconds)?;
    let batch = training.global_batch_size.map_or(1, Count::get);
    let message = format!("found {batch}, expected at most the {samples} samples of one RL step");
    let hint = "it counts samples: prompts_per_step x samples_per_prompt is one batch a step";
    check.holds(batch <= samples, "training.global_batch_size", &message, hint)
}

fn uncertainty(check: &Check<'_>, uncertainty: &Uncertainty) -> Result<(), Error> {
    let draws = uncertainty.workload_draws.map_or(1, Count::get);
    let message = format!("found {draws}, expected at most {MOST_DRAWS}");
    check.holds(draws <= MOST_DRAWS, "uncertainty.workload_draws", &message, "")?;
    let worlds = uncertainty.worlds.map_or(1, Count::get);
    let message = format!("found {worlds}, expected at most {MOST_WORLDS}");
    check.holds(worlds <= MOST_WORLDS, "uncertainty.worlds", &message, "")
}

/// What the whole simulation keeps in memory; what is not given counts once.
fn size(check: &Check<'_>, scenario: &Scenario) -> Result<(), Error> {
    let uncertainty = scenario.uncertainty.clone().unwrap_or_default();
    let of = |count: Option<Count>| count.map_or(1, Count::get);
    let (draws, worlds, steps) =
        (of(uncertainty.workload_draws), of(uncertainty.worlds), of(scenario.rl_steps));
    let pools = scenario.pools.as_ref();
    let generating = pools.map_or(scenario.cluster.as_ref(), |pools| pools.generation.as_ref());
    let gpus = of(generating.and_then(|cluster| cluster.gpus));
    let message = format!("found {draws} draws x {worlds} worlds, expected at most {MOST_PRICES} together");
    check.holds(draws * worlds <= MOST_PRICES, "uncertainty", &message, "")?;
    let message = format!(
        "found {gpus} GPUs x {steps} RL steps x {draws} draws, expected at most {MOST_RUNS} together"
    );
    check.holds(gpus * steps * draws <= MOST_RUNS, "rl_steps", &message, "")
}

fn steps(check: &Check<'_>, all: Option<Count>, warmup: Option<CountOrZero>) -> Result<(), Error> {
    let number = all.map_or(1, Count::get);
    let message = format!("found {number}, expected at most {MOST_STEPS}");
    check.holds(number <= MOST_STEPS, "rl_steps", &message, "")?;
    let (Some(all), Some(warmup)) = (all, warmup) else {
        return Ok(());
    };
    let message = format!("found {warmup} warm-up steps, expected fewer than rl_steps, {all}");
    check.holds(warmup.get() < all.get(), "warmup_steps", &message, "rl_steps counts the warm-up too")
}

/// Raises errors at keys.
struct Check<'a> {
    document: &'a Document,
}

impl Check<'_> {
    /// The condition, or an error at `path`.
    fn holds(&self, condition: bool, path: &str, message: &str, hint: &str) -> Result<(), Error> {
        if condition {
            return Ok(());
        }
        Err(self.document.error_at(path, message, (!hint.is_empty()).then(|| hint.to_owned())))
    }

    /// A required key's value, from the map at `parent`.
    fn required<T>(&self, value: Option<T>, parent: &str, key: &str) -> Result<T, Error> {
        value.ok_or_else(|| {
            let path = if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") };
            if self.document.has(&path) {
                return self.document.error_at(&path, "found nothing, expected a value", None);
            }
            self.document.error_at(parent, format!("missing key `{key}`"), None)
        })
    }

    fn range(&self, path: &str, value: Uncertain, least: f64, most: f64) -> Result<(), Error> {
        let message = format!("found {}, expected {least} to {most}", value.value);
        self.holds((least..=most).contains(&value.value), path, &message, "")
    }

    /// A standard error that still says something about the number.
    fn error(&self, path: &str, number: Uncertain, most: f64) -> Result<(), Error> {
        let message = format!(
            "found {} beside {}, expected a standard error of at most {most}",
            number.se, number.value
        );
        self.holds(number.se <= most, &format!("{path}.se"), &message, "")
    }

    fn seconds(&self, path: &str, value: Option<Uncertain>) -> Result<(), Error> {
        let Some(seconds) = value else {
            return Ok(());
        };
        self.range(path, seconds, 0.0, LONGEST)?;
        self.error(path, seconds, seconds.value)
    }

    /// A standard deviation of a logarithm.
    fn spread(&self, path: &str, value: Option<NonNegative>) -> Result<(), Error> {
        let sigma = value.map_or(0.0, NonNegative::get);
        let message = format!("found {sigma}, expected 0 to 3");
        self.holds(sigma <= 3.0, path, &message, "")
    }

    fn share(&self, path: &str, value: Option<Uncertain>) -> Result<(), Error> {
        let Some(share) = value else {
            return Ok(());
        };
        let message = format!("found {}, expected a share above 0, up to 1", share.value);
        self.holds(share.value > 0.0 && share.value <= 1.0, path, &message, "")?;
        self.error(path, share, share.value)
    }
}
