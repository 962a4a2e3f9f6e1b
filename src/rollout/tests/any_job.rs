//! Whatever the job, it completes, within its limits, and its counts are the sums of its steps'.

use proptest::prelude::*;

use super::{job, population, run_recorded, samples};
use crate::rollout::Limits;
use crate::workload::Sample;

/// A job that an engine might get, its KV cache from hopeless to ample.
#[derive(Debug, Clone)]
struct AnyJob {
    samples: Vec<(u32, Sample)>,
    limits: Limits,
    k: u32,
}

impl AnyJob {
    /// Blocks of the longest sequence with its look-ahead.
    fn longest(&self) -> u64 {
        let tokens = self.samples.iter().map(|(_, s)| s.prompt + s.response).max().unwrap_or(0)
            + self.k
            + 1
            + self.limits.state_tokens;
        u64::from(tokens.div_ceil(self.limits.block_size))
    }
}

fn any_job() -> impl Strategy<Value = AnyJob> {
    let length = || prop_oneof![1 => 1_u32..4, 4 => 1_u32..250];
    let group = (length(), prop::collection::vec(length(), 1..6));
    let blocks = prop_oneof![Just(1_u32), Just(4), Just(16)];
    (
        prop::collection::vec(group, 1..7),
        0_u32..=8,
        1_u32..12,
        1_u32..200,
        blocks,
        0.0_f64..1.0,
        any::<[bool; 2]>(),
        prop_oneof![2 => Just(0_u32), 1 => 1_u32..90],
    )
        .prop_map(|(groups, k, max_num_seqs, spare_tokens, block_size, room, caching, state_tokens)| {
            let [prefix_caching, prefill_alone] = caching;
            let of: Vec<(u32, u32, u32)> = (0..)
                .zip(&groups)
                .flat_map(|(group, (prompt, responses))| responses.iter().map(move |r| (group, *prompt, *r)))
                .collect();
            let all: u32 = of
                .iter()
                .map(|(_, prompt, response)| (prompt + response + k + 1 + state_tokens).div_ceil(block_size))
                .sum();
            AnyJob {
                samples: samples(&of),
                limits: Limits {
                    max_num_seqs,
                    max_num_batched_tokens: max_num_seqs * (k + 1) + spare_tokens,
                    block_size,
                    kv_blocks: 1 + (room * room * f64::from(all)) as u64,
                    prefix_caching,
                    prefill_alone,
                    state_tokens,
                },
                k,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn whatever_the_job_it_completes_within_its_limits(any in any_job()) {
        let population = population(any.k as usize);
        let job = job(&any.samples, any.limits, (any.k > 0).then_some(population));
        let (outcome, steps) = run_recorded(&job, any.k);
        let (count, k) = (any.samples.len() as u64, u64::from(any.k));

        // Everything completes once, in order of time.
        let mut completed: Vec<u32> = outcome.completions.iter().map(|(id, _)| *id).collect();
        completed.sort_unstable();
        prop_assert_eq!(completed, any.samples.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        prop_assert!(outcome.completions.is_sorted_by_key(|(_, seconds)| *seconds));
        prop_assert!(outcome.nominal().is_finite() && outcome.nominal() > 0.0);
        let response: u64 = any.samples.iter().map(|(_, s)| u64::from(s.response)).sum();
        prop_assert_eq!(outcome.tokens, response);

        // Each count is the sum of the steps'.
        prop_assert_eq!(outcome.steps, steps.len() as u64);
        let prefilled: u64 = steps.iter().map(|(s, _)| u64::from(s.prefill_tokens)).sum();
        prop_assert_eq!(outcome.prefilled, prefilled);
        let decodes: u64 = steps.iter().map(|(s, _)| u64::from(s.decoding)).sum();
        prop_assert_eq!(outcome.rounds, if k > 0 { decodes } else { 0 });
        // Tokens come from ends of prefill and from decodes; only a last round offers more than is taken.
        let ends: u64 = steps.iter().map(|(s, _)| u64::from(s.prefill_ends)).sum();
        prop_assert!((count..=count + outcome.preemptions).contains(&ends));
        let offered = ends + decodes + outcome.accepted_at.iter().sum::<u64>();
        prop_assert!((response..=response + k * count).contains(&offered));
        prop_assert_eq!(outcome.accepted_at.len() as u64, k);
        prop_assert!(outcome.accepted_at.iter().is_sorted_by(|a, b| a >= b));
        prop_assert!(outcome.accepted_at.iter().all(|a| *a <= outcome.rounds));

        // No step and no moment is beyond the limits, but for a sequence that alone is too long.
        for (shape, context) in &steps {
            let tokens = shape.decoding * (shape.draft_tokens + 1) + shape.prefill_tokens;
            prop_assert!((1..=any.limits.max_num_batched_tokens).contains(&tokens));
            prop_assert!(shape.decoding <= any.limits.max_num_seqs);
            prop_assert!(!any.limits.prefill_alone || shape.decoding == 0 || shape.prefill_tokens == 0);
            let cache = any.limits.kv_blocks * u64::from(any.limits.block_size);
            let states = u64::from(shape.decoding * any.limits.state_tokens);
            prop_assert!(any.limits.prefix_caching || shape.decoding <= 1 || *context + states <= cache);
        }
        for point in &outcome.timeline {
            prop_assert!(point.running <= any.limits.max_num_seqs);
            prop_assert!(point.kv_blocks <= any.limits.kv_blocks || point.running == 1);
            prop_assert!(point.kv_blocks <= outcome.kv_peak);
        }
        prop_assert!(outcome.kv_peak <= any.limits.kv_blocks.max(any.longest()));
        let last = outcome.timeline.last().map(|point| (point.running, point.waiting, point.kv_blocks));
        prop_assert_eq!(last, Some((0, 0, 0)), "blocks leaked");

        // Prompts are computed: all of them, or the shared part once a group; more only after preemptions or
        // where a shared part was given up.
        let block = any.limits.block_size;
        let shared = |s: &Sample| if any.limits.prefix_caching { (s.prompt - 1) / block * block } else { 0 };
        let least: u64 = any
            .samples
            .chunk_by(|a, b| a.1.group == b.1.group)
            .map(|group| shared(&group[0].1) + group.iter().map(|(_, s)| s.prompt - shared(s)).sum::<u32>())
            .map(u64::from)
            .sum();
        prop_assert!(outcome.prefilled >= least);
        if !any.limits.prefix_caching && outcome.preemptions == 0 {
            prop_assert_eq!(outcome.prefilled, least);
        }
    }
}
