//! Draws of acceptance: the same for the same job, each request's its own, and distributed as the population says.

use super::{AMPLE, job, mixed_samples, population, run, samples};
use crate::rollout::{Job, Limits, Outcome};

#[test]
fn the_same_job_gives_the_same_outcome() {
    let samples = mixed_samples(30);
    let population = population(3);
    let limits = Limits { kv_blocks: 40, max_num_seqs: 8, prefix_caching: true, ..AMPLE };
    let job = job(&samples, limits, Some(population));
    let outcome = run(&job, 3);
    assert!(outcome.preemptions > 0);
    assert_eq!(outcome, run(&job, 3));
    assert_ne!(outcome, run(&Job { seed: 4, ..job.clone() }, 3));
    assert_ne!(outcome, run(&Job { path: [1, 3], ..job }, 3));
}

#[test]
fn a_requests_rounds_do_not_depend_on_its_company() {
    let samples = mixed_samples(40);
    let population = population(4);
    let alone: Vec<Outcome> =
        samples.chunks(1).map(|one| run(&job(one, AMPLE, Some(population)), 4)).collect();
    let mut orders = Vec::new();
    for max_num_seqs in [1, 3, 64] {
        let limits = Limits { max_num_seqs, ..AMPLE };
        let together = run(&job(&samples, limits, Some(population)), 4);
        assert_eq!(together.rounds, alone.iter().map(|o| o.rounds).sum::<u64>());
        for (position, accepted) in together.accepted_at.iter().enumerate() {
            assert_eq!(*accepted, alone.iter().map(|o| o.accepted_at[position]).sum::<u64>());
        }
        orders.push(together.completions.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    }
    assert_ne!(orders[0], orders[1]);
    assert_ne!(orders[1], orders[2]);
}

#[test]
fn measured_acceptance_is_the_populations_pooled_length() {
    let population = population(3);
    for k in 1..=3_u32 {
        // Replicas of 100 requests, as (1 + accepted draft tokens a round, emitted tokens a round).
        let lengths: Vec<(f64, f64)> = (0..40)
            .map(|replica| {
                let samples: Vec<_> = samples(&[(0, 10, 1500); 100]);
                let outcome = run(&Job { path: [replica, 0], ..job(&samples, AMPLE, Some(population)) }, k);
                let rounds = outcome.rounds as f64;
                let accepted: u64 = outcome.accepted_at.iter().sum();
                (1.0 + accepted as f64 / rounds, (outcome.tokens - 100) as f64 / rounds)
            })
            .collect();
        let n = lengths.len() as f64;
        let mean = lengths.iter().map(|(length, _)| length).sum::<f64>() / n;
        let variance = lengths.iter().map(|(length, _)| (length - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let expected = population.pooled_length(k as usize);
        let error = (variance / n).sqrt();
        assert!((mean - expected).abs() < 3.0 * error, "K = {k}: {mean} {expected} ± {error}");
        assert!(error < 0.01, "{error}");
        // The last round of a request is cut at its length: at most K of 1500 tokens are lost.
        for (length, emitted) in lengths {
            assert!((0.0..=f64::from(k) / 1499.0).contains(&(1.0 - emitted / length)), "{length} {emitted}");
        }
    }
}
