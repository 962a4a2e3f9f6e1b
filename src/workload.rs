//! The samples of one RL step: prompts, groups and lengths.
//!
//! Lengths are drawn by inverse distribution from streams keyed by (draw, RL step, prompt, sample): the baseline
//! and the forecast see the same lengths, and a change of one sample moves no other. Leaves out: over-sampling
//! and filters, which the loop adds; that the spread of lengths may change over RL steps, not only their scale.

mod lengths;
mod predict;

pub use lengths::LengthSampler;
pub use predict::Predictor;

use std::sync::LazyLock;

use crate::math::{normal_quantile, polyline};
use crate::resolved::Workload;
use crate::rng::{Purpose, Stream};

/// One response to be generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Prompt group, from 0.
    pub group: u32,
    /// Prompt tokens, at least 1.
    pub prompt: u32,
    /// Response tokens, at least 1.
    pub response: u32,
    /// Whether the response was cut at the maximum.
    pub clipped: bool,
}

/// Draws the samples of RL steps.
#[derive(Debug, Clone)]
pub struct Generator {
    prompts_per_step: u32,
    samples_per_prompt: u32,
    prompt: LengthSampler,
    response: LengthSampler,
    correlation: f64,
    drift: Vec<(f64, f64)>,
    seed: u64,
    cap: u32,
}

/// How far the uncertain numbers of a length distribution lie from their best values, in standard errors.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LengthShift {
    /// Of the mean length.
    pub mean: f64,
    /// Of the spread of lengths.
    pub sigma: f64,
}

impl Generator {
    /// A generator for a workload whose uncertain response lengths are shifted.
    pub fn new(workload: &Workload, seed: u64, shift: LengthShift) -> Self {
        Generator {
            prompts_per_step: workload.prompts_per_step,
            samples_per_prompt: workload.samples_per_prompt,
            prompt: LengthSampler::new(&workload.prompt_tokens, LengthShift::default()),
            response: LengthSampler::new(&workload.response_tokens, shift),
            correlation: workload.group_correlation,
            drift: workload.response_drift.clone(),
            seed,
            cap: workload.response_cap.unwrap_or(u32::MAX),
        }
    }

    /// The same with the workload's uncertain prompt lengths shifted.
    #[must_use]
    pub fn with_prompts(self, workload: &Workload, shift: LengthShift) -> Self {
        Generator { prompt: LengthSampler::new(&workload.prompt_tokens, shift), ..self }
    }

    /// The samples of one RL step of one draw, group by group, as the policy that it trains answers them.
    pub fn step(&self, draw: u64, rl_step: u64) -> Vec<Sample> {
        self.answered(draw, rl_step, rl_step)
    }

    /// The same as whichever policy up to then answers most briefly: loops that run ahead have an older one answer.
    pub fn briefest(&self, draw: u64, rl_step: u64) -> Vec<Sample> {
        let scale = |version: &u64| polyline(&self.drift, *version as f64).unwrap_or(1.0);
        let of = if self.drift.is_empty() {
            None
        } else {
            (0..=rl_step).min_by(|a, b| scale(a).total_cmp(&scale(b)))
        };
        self.answered(draw, rl_step, of.unwrap_or(rl_step))
    }

    /// The samples of an RL step's prompts, as the policy after `version` RL steps answers them.
    pub fn answered(&self, draw: u64, rl_step: u64, version: u64) -> Vec<Sample> {
        let mut samples = Vec::with_capacity((self.prompts_per_step * self.samples_per_prompt) as usize);
        let (shared, own) = (self.correlation.sqrt(), (1.0 - self.correlation).sqrt());
        let normal =
            |purpose, entity: &[u64]| normal_quantile(Stream::new(self.seed, purpose, entity).open_uniform());
        let scale = polyline(&self.drift, version as f64).unwrap_or(1.0);
        for group in 0..self.prompts_per_step {
            let path = [draw, rl_step, u64::from(group)];
            let prompt = self.prompt.at(normal(Purpose::PromptLength, &path), 1.0);
            let z_group = if shared > 0.0 { normal(Purpose::GroupLength, &path) } else { 0.0 };
            for sample in 0..self.samples_per_prompt {
                let z_own = normal(Purpose::ResponseLength, &[path[0], path[1], path[2], u64::from(sample)]);
                let response = self.response.at(shared * z_group + own * z_own, scale);
                samples.push(Sample {
                    group,
                    prompt: prompt.tokens,
                    response: response.tokens.min(self.cap),
                    clipped: response.clipped || response.tokens > self.cap,
                });
            }
        }
        samples
    }
}

/// Quantiles of the standard normal law at the middles of equal slices, for means over a length distribution: worked out once, as
/// every scenario that is resolved asks for one.
static NODES: LazyLock<Vec<f64>> =
    LazyLock::new(|| (0..512).map(|i| normal_quantile((f64::from(i) + 0.5) / 512.0)).collect());

/// Mean context of a sequence that decodes, over all decode steps of a rollout, tokens: a response of L tokens is there for L
/// of them, at L / 2 on average, so it is the mean prompt and E[L²] / (2 E[L]); long responses weigh more. Responses are `scale`
/// times as long before they are clipped (`response_drift`).
pub fn running_context(workload: &Workload, scale: f64) -> f64 {
    let generator = Generator::new(workload, 0, LengthShift::default());
    let response = |z| f64::from(generator.response.at(z, scale).tokens.min(generator.cap));
    let [mut prompts, mut first, mut second] = [0.0; 3];
    for &z in NODES.iter() {
        prompts += f64::from(generator.prompt.at(z, 1.0).tokens);
        first += response(z);
        second += response(z) * response(z);
    }
    prompts / NODES.len() as f64 + 0.5 * second / first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolved::{LengthModel, Lengths, Quantity};

    fn workload(correlation: f64) -> Workload {
        let lognormal = |mean, sigma, max| Lengths {
            model: LengthModel::Lognormal { mean: Quantity::given(mean), sigma: Quantity::given(sigma) },
            min: 1,
            max,
            capped: true,
        };
        Workload {
            prompts_per_step: 400,
            samples_per_prompt: 8,
            prompt_tokens: lognormal(130.0, 0.4, 2048),
            response_tokens: lognormal(4000.0, 0.9, 16_384),
            group_correlation: correlation,
            response_drift: Vec::new(),
            response_cap: None,
        }
    }

    #[test]
    fn responses_drift_with_the_policy() {
        let mean = |workload: &Workload, step: u64| {
            let samples = Generator::new(workload, 1, LengthShift::default()).step(0, step);
            samples.iter().map(|s| f64::from(s.response)).sum::<f64>() / samples.len() as f64
        };
        let fixed = workload(0.0);
        let drifting = Workload { response_drift: vec![(0.0, 1.0), (100.0, 2.0)], ..fixed.clone() };
        assert_eq!(mean(&fixed, 0), mean(&drifting, 0));
        // One and a half times as long before clipping at four times the mean, which takes some of it.
        let grown = mean(&drifting, 50) / mean(&fixed, 50);
        assert!((1.3..1.5).contains(&grown), "{grown}");
        assert!(mean(&drifting, 1000) < 2.0 * mean(&fixed, 1000), "flat beyond, clipped at the maximum");
    }

    #[test]
    fn the_clipped_mean_is_the_asked_one() {
        let generator = Generator::new(&workload(0.0), 1, LengthShift::default());
        let samples: Vec<Sample> = (0..10).flat_map(|step| generator.step(0, step)).collect();
        let mean = samples.iter().map(|s| f64::from(s.response)).sum::<f64>() / samples.len() as f64;
        // Standard error of the mean of 32,000 clipped lengths: about 20 tokens.
        assert!((mean - 4000.0).abs() < 80.0, "{mean}");
        let clipped = samples.iter().filter(|s| s.clipped).count() as f64 / samples.len() as f64;
        assert!((0.01..0.1).contains(&clipped), "{clipped}");
        assert!(samples.iter().all(|s| s.response <= 16_384 && s.clipped == (s.response == 16_384)));
    }

    #[test]
    fn the_running_context_is_that_of_a_rollout_counted_step_by_step() {
        let workload = workload(0.0);
        let samples: Vec<Sample> = {
            let generator = Generator::new(&workload, 1, LengthShift::default());
            (0..10).flat_map(|step| generator.step(0, step)).collect()
        };
        let (mut steps, mut context) = (0.0, 0.0);
        for sample in &samples {
            for emitted in 0..sample.response {
                steps += 1.0;
                context += f64::from(sample.prompt + emitted);
            }
        }
        let (counted, formula) = (context / steps, running_context(&workload, 1.0));
        assert!((formula / counted - 1.0).abs() < 0.02, "{formula} {counted}");
        assert!(formula > 1.5 * (130.0 + 2000.0), "long responses are there for longer");
        let capped = running_context(&Workload { response_cap: Some(2000), ..workload }, 1.0);
        assert!(capped < 130.0 + 1000.0 && capped > 130.0 + 700.0, "{capped}");
    }

    #[test]
    fn correlation_acts_inside_groups_only() {
        let correlation_of = |rho: f64| {
            let generator = Generator::new(&workload(rho), 1, LengthShift::default());
            let samples: Vec<Sample> = (0..10).flat_map(|step| generator.step(0, step)).collect();
            let ln: Vec<f64> = samples.iter().map(|s| f64::from(s.response).ln()).collect();
            let mean = ln.iter().sum::<f64>() / ln.len() as f64;
            let var = ln.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / ln.len() as f64;
            // Pairs of neighbours inside a group.
            let pairs: Vec<f64> =
                ln.chunks(8).flat_map(|g| g.windows(2).map(|w| (w[0] - mean) * (w[1] - mean))).collect();
            pairs.iter().sum::<f64>() / pairs.len() as f64 / var
        };
        assert!(correlation_of(0.0).abs() < 0.03);
        // Clipping takes a little off the 0.6 of the copula.
        assert!((0.5..0.65).contains(&correlation_of(0.6)));
    }

    #[test]
    fn draws_are_reproducible_and_differ() {
        let generator = Generator::new(&workload(0.2), 1, LengthShift::default());
        assert_eq!(generator.step(0, 3), generator.step(0, 3));
        assert_ne!(generator.step(0, 3), generator.step(0, 4));
        assert_ne!(generator.step(0, 3), generator.step(1, 3));
        let shifted = Generator::new(&workload(0.2), 1, LengthShift { mean: 1.0, sigma: 0.0 });
        assert_eq!(generator.step(0, 0), shifted.step(0, 0), "an exact mean has nothing to shift");
    }
}
