//! Provenance, warnings, and what is not modelled.

use super::compare::Side;
use super::summarise::tier_seconds;
use crate::profile;
use crate::resolved::{DraftInput, LengthModel, Resolved, ScheduleInput};
use crate::result::{Provenance, TierShare};
use crate::rollout::Outcome;
use crate::workload::running_context;

/// Extrapolated share from which a reader should know.
const NOTABLE_EXTRAPOLATION: f64 = 0.05;

/// What a side's numbers rest on.
pub(super) fn provenance(side: &Side<'_>) -> Provenance {
    let by_tier = tier_seconds(side);
    let total: f64 = by_tier.iter().sum();
    let share = |tier: usize| if total > 0.0 { by_tier[tier] / total } else { 0.0 };
    let replicas = || side.counted().flat_map(|step| &step.replicas);
    let nominal: f64 = replicas().map(Outcome::nominal).sum();
    let extrapolated: f64 = replicas().map(|replica| replica.extrapolated.seconds).sum();
    Provenance {
        calibration: side.prepared.calibration.clone(),
        engine_profile: side.prepared.engine_profile.clone(),
        tier_share: TierShare { measured: share(0), published: share(1), analytic: share(2) },
        extrapolated_share: if nominal > 0.0 { extrapolated / nominal } else { 0.0 },
    }
}

/// Inputs that nobody knows exactly and that were given without an error.
fn exact_inputs(resolved: &Resolved) -> Option<String> {
    let acceptance = resolved
        .speculation
        .as_ref()
        .filter(|s| s.acceptance.logit_se == 0.0 && !s.acceptance.rates.is_empty())
        .map(|_| "acceptance");
    let length = match &resolved.workload.response_tokens.model {
        LengthModel::Lognormal { mean, .. } if mean.se == 0.0 => Some("the mean response length"),
        _ => None,
    };
    let given: Vec<&str> = acceptance.into_iter().chain(length).collect();
    (!given.is_empty()).then(|| {
        format!(
            "{} given without a standard error (`se`): taken as exact, so that no band and no chance holds an error of it",
            given.join(" and ")
        )
    })
}

/// What a reader should know before believing the numbers.
pub(super) fn warnings(baseline: &Side<'_>, forecast: &Side<'_>) -> Vec<String> {
    let resolved = &forecast.prepared.resolved;
    let mut warnings = Vec::new();
    let seqs = |side: &Side<'_>| side.prepared.resolved.generation.engine.max_num_seqs;
    let given = |side: &Side<'_>| {
        !side.prepared.resolved.assumptions.iter().any(|a| a.path == "generation.max_num_seqs")
    };
    if seqs(baseline) != seqs(forecast) && !given(forecast) {
        warnings.push(format!(
            "the engine's default max_num_seqs is {} with a drafter and {} without: part of the difference is the cap, \
             not speculation; set generation.max_num_seqs to compare like with like",
            seqs(forecast),
            seqs(baseline)
        ));
    }
    let packs = |side: &Side<'_>| side.prepared.resolved.training.packing;
    if packs(baseline) && !packs(forecast) {
        warnings.push(
            "the baseline trains on packed sequences and this scenario on sequences that are padded to the longest of their \
             update (training.packing): part of the difference is padding, not speculation"
                .to_owned(),
        );
    }
    let provenance = provenance(forecast);
    if provenance.extrapolated_share > NOTABLE_EXTRAPOLATION {
        warnings.push(format!(
            "{:.0} % of the rollout's seconds are of kernels or software beyond the range that their constants were fitted on",
            100.0 * provenance.extrapolated_share
        ));
    }
    let floors = resolved.generation.engine.kernel_floors;
    if floors < 1.0 {
        warnings.push(format!(
            "kernels keep {:.0} % of their fixed times (generation.kernel_floors): a bound on what they could take, no forecast",
            100.0 * floors
        ));
    }
    let vllm = resolved.generation.engine.engine.starts_with("vllm");
    if let Some(speculation) = resolved.speculation.as_ref().filter(|_| vllm) {
        let tree = |draft: &DraftInput| matches!(draft, DraftInput::Tree { .. });
        if speculation.schedule.choices().iter().any(tree) {
            warnings
                .push("vLLM verifies no draft trees: this is a forecast of an engine that would".to_owned());
        }
        if matches!(speculation.schedule, ScheduleInput::SglangTiers { .. }) {
            warnings.push(
                "vLLM has no adaptive steps of SGLang's kind: this is a forecast of an engine that would"
                    .to_owned(),
            );
        }
    }
    warnings.extend(resolved.without_effect.iter().cloned());
    let others = &baseline.prepared.resolved.without_effect;
    let of_baseline = others.iter().filter(|key| !resolved.without_effect.contains(key));
    warnings.extend(of_baseline.map(|key| format!("baseline: {key}")));
    if forecast.prepared.engine.kernels.profile().stands_in {
        warnings.push(format!(
            "{} has no kernel tables: another device's efficiencies stand in on its datasheet",
            resolved.cluster.device.id
        ));
    }
    if let Some(population) = forecast.prepared.acceptance_residual()
        && population > 1e-3
    {
        warnings.push(format!(
            "no spread of requests reproduces these acceptance rates; off by up to {population:.3}"
        ));
    }
    let preemptions: u64 =
        forecast.counted().flat_map(|step| &step.replicas).map(|replica| replica.preemptions).sum();
    if preemptions > 0 {
        let generation = &resolved.generation;
        let context = running_context(&resolved.workload, 1.0) + f64::from(generation.state_tokens);
        let room = generation.kv_blocks as f64 * f64::from(generation.engine.block_size);
        warnings.push(format!(
            "{preemptions} preemptions over all draws: the KV cache is too small for max_num_seqs {}; about {:.0} sequences \
             of the mean context fit a replica: fewer seats or a wider generation.layout.tp",
            seqs(forecast),
            room / context
        ));
    }
    warnings.extend(exact_inputs(resolved));
    let engine = &resolved.generation.engine;
    if let Some(version) = &engine.version
        && let Some(read) = profile::read_no_further_than(&engine.engine, version)
    {
        warnings.push(format!(
            "{} {version} is newer than the newest release whose defaults were read, {read}: settings are those of {}",
            engine.engine, engine.defaults_since
        ));
    }
    if let Some(speculation) = resolved.speculation.as_ref().filter(|s| s.inexactness > 0.0) {
        // At most: a token that differs in law may still be the same one, and only drafted tokens can differ.
        let tokens = forecast.counted().map(|step| step.response_tokens).sum::<u64>() as f64;
        let samples = forecast.counted().map(|step| step.samples).sum::<usize>().max(1) as f64;
        let exact = libm::exp(tokens / samples * libm::log1p(-speculation.inexactness));
        warnings.push(format!(
            "verification is inexact by {} a token: up to {:.0} % of responses of the mean length hold a token that the policy \
             would not have drawn. Log-probs of the policy no longer describe the samples, so importance ratios and rewards \
             may move; no second here does. Exact verification cannot change a reward",
            speculation.inexactness,
            100.0 * (1.0 - exact)
        ));
    }
    if let Some(loops) = forecast.loops.first() {
        warnings.push(format!(
            "time feeds back into what is generated when: each draw was run in full at {} paces of the engines, and worlds \
             lie on lines between them",
            loops.paces()
        ));
    }
    for (of, side) in [("", forecast), ("baseline: ", baseline)] {
        let resolved = &side.prepared.resolved;
        let (filling, left_out) = (resolved.cycle.mode.filling(), resolved.warmup_steps);
        if left_out < filling {
            warnings.push(format!(
                "{of}the first {filling} RL steps fill the pipeline and are unlike the later ones; {left_out} of them are left \
                 out of the means: more rl_steps, and warmup_steps of {filling}, give those of a long run"
            ));
        }
    }
    let own = if resolved.trainer.is_some() { "pools.generation" } else { "cluster" };
    let trainer = resolved.trainer.as_ref().map(|pool| ("pools.training", pool));
    for (path, pool) in std::iter::once((own, &resolved.cluster)).chain(trainer) {
        if pool.usd_per_gpu_hour == 0.0 {
            let device = &pool.device.id;
            warnings.push(format!(
                "no price is known for {device}, so it counts as free: {path}.usd_per_gpu_hour gives one"
            ));
        }
    }
    warnings
}

/// What this version leaves out of every forecast.
pub(super) fn not_modelled() -> Vec<String> {
    [
        "drift of lengths and acceptance over RL steps but where response_drift and drift give it",
        "verification semantics and temperature (acceptance is taken as given)",
        "failures, stragglers, shared networks, clock throttling in decode",
        "pipeline parallelism in generation; overlap of collectives with kernels",
        "multi-turn environments, tool calls",
        "evaluation, checkpoints, start-up but where whole_run gives them",
    ]
    .map(str::to_owned)
    .to_vec()
}
