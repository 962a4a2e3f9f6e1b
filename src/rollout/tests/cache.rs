//! The KV cache: preemption where it runs full, and prompts that a group shares.

use super::{AMPLE, job, population, run, run_recorded, samples};
use crate::piece::Shape;
use crate::rollout::{Limits, Outcome};

#[test]
fn a_preempted_request_computes_its_context_again() {
    let samples = samples(&[(0, 16, 64), (1, 16, 64)]);
    // Both hold 3 blocks up to 47 tokens. With their 32nd token they need 4 each: the second gives way until
    // the first is through (step 64), prefills 48 tokens for its 33rd token, and decodes the other 31.
    let (outcome, steps) = run_recorded(&job(&samples, Limits { kv_blocks: 6, ..AMPLE }, None), 0);
    assert_eq!((outcome.preemptions, outcome.prefilled, outcome.tokens), (1, 16 + 16 + 48, 128));
    assert_eq!((outcome.steps, outcome.kv_peak), (64 + 1 + 31, 6));
    let decoding: Vec<u32> = steps.iter().map(|(shape, _)| shape.decoding).collect();
    assert_eq!(decoding, [vec![0], vec![2; 31], vec![1; 32], vec![0], vec![1; 31]].concat());
    assert_eq!(steps[64].0.prefill_pairs, 48 * 49 / 2);
}

#[test]
fn a_preempted_request_draws_new_numbers_when_it_comes_back() {
    let samples = samples(&[(0, 16, 300), (1, 16, 300)]);
    // What a lone request emits, round by round, but for its last round.
    let emitted = |steps: &[(Shape, u64)]| -> Vec<u64> {
        let last_prefill = steps.iter().rposition(|(shape, _)| shape.prefill_tokens > 0).unwrap_or(0);
        steps[last_prefill + 1..].windows(2).map(|pair| pair[1].1 - pair[0].1).collect()
    };
    let (_, alone) = run_recorded(&job(&samples[1..], AMPLE, Some(population(3))), 3);
    let limits = Limits { kv_blocks: 20, ..AMPLE };
    let (outcome, together) = run_recorded(&job(&samples, limits, Some(population(3))), 3);
    assert_eq!((outcome.preemptions, outcome.completions[1].0), (1, 11));
    let (first, again) = (emitted(&alone), emitted(&together));
    assert!((20..first.len() - 20).contains(&again.len()), "{} of {}", again.len(), first.len());
    assert_ne!(again, first[..again.len()]);
}

#[test]
fn more_cache_means_fewer_preemptions() {
    let of: Vec<_> = (0..24).map(|i| (i, 64, 300 + 10 * i)).collect();
    let samples = samples(&of);
    let population = population(3);
    for k in [0, 3] {
        let outcomes: Vec<Outcome> = [48, 96, 192, 384, 768]
            .map(|kv_blocks| run(&job(&samples, Limits { kv_blocks, ..AMPLE }, Some(population)), k))
            .to_vec();
        assert!(outcomes[0].preemptions > 10 && outcomes[4].preemptions == 0);
        for pair in outcomes.windows(2) {
            assert!(pair[0].preemptions >= pair[1].preemptions);
            assert!(pair[0].prefilled >= pair[1].prefilled);
            assert!(pair[0].nominal() >= pair[1].nominal());
        }
        assert_eq!(outcomes[4].prefilled, 24 * 64);
    }
}

#[test]
fn the_youngest_is_preempted_and_comes_back_first() {
    let samples = samples(&[(0, 16, 60), (1, 16, 60), (2, 16, 60), (3, 16, 60)]);
    let limits = Limits { kv_blocks: 9, max_num_seqs: 3, ..AMPLE };
    let outcome = run(&job(&samples, limits, None), 0);
    assert!(outcome.preemptions > 0);
    let order: Vec<u32> = outcome.completions.iter().map(|(id, _)| *id).collect();
    assert_eq!(order, [10, 11, 12, 13]);
}

#[test]
fn a_group_shares_the_full_blocks_of_its_prompt() {
    let of: Vec<_> = (0..8).map(|i| (i / 4, 100, 50)).collect();
    let samples = samples(&of);
    let shared = run(&job(&samples, Limits { prefix_caching: true, ..AMPLE }, None), 0);
    let alone = run(&job(&samples, AMPLE, None), 0);
    // 6 blocks of 16 tokens are shared; the other 4 tokens everyone computes.
    assert_eq!(shared.prefilled, 2 * (100 + 3 * 4));
    assert_eq!(alone.prefilled, 8 * 100);
    assert!(shared.nominal() < alone.nominal());
    // 150 tokens and one of look-ahead are 10 blocks, 6 of them shared. They all end in the same step.
    assert_eq!((shared.kv_peak, alone.kv_peak), (2 * (6 + 4 * 4), 8 * 10));
}

#[test]
fn a_shared_prompt_survives_between_members_and_is_paid_once() {
    let of: Vec<_> = (0..8).map(|i| (i / 4, 100, 50)).collect();
    let samples = samples(&of);
    let limits = Limits { prefix_caching: true, max_num_seqs: 1, ..AMPLE };
    assert_eq!(run(&job(&samples, limits, None), 0).prefilled, 2 * (100 + 3 * 4));
}

#[test]
fn a_prefix_whose_prefill_was_broken_off_is_computed_anew() {
    let samples = samples(&[(0, 16, 40), (1, 320, 1)]);
    // The second prompt takes 8 tokens a step. At the 32nd token of the first the cache is full: the second
    // has computed 2 + 31 · 8 tokens, comes back when the first is through, and has to start again.
    let limits = Limits { max_num_batched_tokens: 9, kv_blocks: 24, prefix_caching: true, ..AMPLE };
    let outcome = run(&job(&samples, limits, None), 0);
    assert_eq!(outcome.preemptions, 1);
    assert_eq!(outcome.prefilled, 16 + 250 + 320);
}

#[test]
fn a_sequence_too_long_for_the_cache_runs_alone() {
    for prefix_caching in [false, true] {
        let samples = samples(&[(0, 200, 100), (0, 200, 100), (0, 200, 100), (1, 10, 20)]);
        let outcome = run(&job(&samples, Limits { kv_blocks: 4, prefix_caching, ..AMPLE }, None), 0);
        assert_eq!(outcome.tokens, 320);
        assert!(outcome.timeline.iter().all(|point| point.kv_blocks <= 4 || point.running == 1));
        assert_eq!(outcome.timeline.last().map(|point| point.kv_blocks), Some(0));
        assert_eq!(outcome.kv_peak, 300_u64.div_ceil(16));
    }
}
