//! Which replica gets which sample, and in what order, where lengths are predicted.
//!
//! Leaves out: routers that balance predicted tokens.

use super::route::assign;
use crate::resolved::{Isolation, Router, Tail};
use crate::workload::Sample;

/// Deals samples as [`assign`] does, the longest predicted ones first and to replicas of their own where the tail's
/// remedies say so. `predicted` holds a length for each sample, in tokens; it is not looked at where nothing asks.
///
/// Replicas for the isolated ones are the last of the list.
pub fn deal(
    samples: &[Sample],
    predicted: &[f64],
    replicas: u32,
    router: Router,
    tail: &Tail,
) -> Vec<Vec<(u32, Sample)>> {
    let all: Vec<u32> = (0..samples.len() as u32).collect();
    let part = |chosen: Vec<u32>, replicas| Part { samples, predicted, router, tail }.deal(chosen, replicas);
    let Some(isolation) = tail.isolate.filter(|_| replicas > 1 && samples.len() > 1) else {
        return part(all, replicas);
    };
    let mut ranked = all;
    longest_first(&mut ranked, predicted);
    let count = (isolation.share * samples.len() as f64).ceil() as usize;
    let mut long = ranked;
    let mut short = long.split_off(count.clamp(1, samples.len() - 1));
    let own = dedicated(isolation, &long, &short, predicted, replicas);
    // In the order in which they came.
    long.sort_unstable();
    short.sort_unstable();
    let mut lists = part(short, replicas - own);
    lists.extend(part(long, own));
    lists
}

/// Replicas of the isolated samples: as asked, or by their share of the predicted tokens.
fn dedicated(isolation: Isolation, long: &[u32], short: &[u32], predicted: &[f64], replicas: u32) -> u32 {
    let sum = |list: &[u32]| list.iter().map(|index| predicted[*index as usize]).sum::<f64>();
    let (long, short) = (sum(long), sum(short));
    let share = if long + short > 0.0 { long / (long + short) } else { 0.0 };
    let fair = (share * f64::from(replicas)).round() as u32;
    isolation.replicas.unwrap_or(fair).clamp(1, replicas - 1)
}

/// Longest prediction first; of equal ones the first that came.
fn longest_first(indices: &mut [u32], predicted: &[f64]) {
    indices.sort_by(|a, b| predicted[*b as usize].total_cmp(&predicted[*a as usize]).then(a.cmp(b)));
}

struct Part<'a> {
    samples: &'a [Sample],
    predicted: &'a [f64],
    router: Router,
    tail: &'a Tail,
}

impl Part<'_> {
    fn deal(&self, mut chosen: Vec<u32>, replicas: u32) -> Vec<Vec<(u32, Sample)>> {
        // Groups must stay together for a router that keeps them so; its replicas' queues are ordered afterwards.
        if self.tail.longest_first && self.router == Router::LeastLoaded {
            longest_first(&mut chosen, self.predicted);
        }
        let own: Vec<Sample> = chosen.iter().map(|index| self.samples[*index as usize]).collect();
        let mut lists = assign(&own, replicas, self.router);
        for list in &mut lists {
            for (index, _) in list.iter_mut() {
                *index = chosen[*index as usize];
            }
            if self.tail.longest_first && self.router == Router::GroupAffinity {
                let of = |index: u32| self.predicted[index as usize];
                list.sort_by(|(a, _), (b, _)| of(*b).total_cmp(&of(*a)).then(a.cmp(b)));
            }
        }
        lists
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> (Vec<Sample>, Vec<f64>) {
        let samples: Vec<Sample> = (0..96)
            .map(|i| Sample { group: i / 4, prompt: 10, response: 1 + (i * 37) % 96, clipped: false })
            .collect();
        let predicted = samples.iter().map(|s| f64::from(s.response)).collect();
        (samples, predicted)
    }

    fn isolating(share: f64, replicas: Option<u32>) -> Tail {
        Tail { isolate: Some(Isolation { share, replicas }), ..Tail::default() }
    }

    #[test]
    fn every_sample_goes_to_one_replica_whatever_the_remedies() {
        let (samples, predicted) = samples();
        for router in [Router::LeastLoaded, Router::GroupAffinity] {
            for longest_first in [false, true] {
                for isolate in [None, isolating(0.1, None).isolate, isolating(0.3, Some(4)).isolate] {
                    let tail = Tail { longest_first, isolate, ..Tail::default() };
                    let lists = deal(&samples, &predicted, 5, router, &tail);
                    assert_eq!(lists.len(), 5);
                    let mut seen: Vec<u32> = lists.iter().flatten().map(|(index, _)| *index).collect();
                    seen.sort_unstable();
                    assert_eq!(seen, (0..96).collect::<Vec<_>>(), "{router:?} {tail:?}");
                    assert!(lists.iter().flatten().all(|(i, sample)| samples[*i as usize] == *sample));
                }
            }
        }
    }

    #[test]
    fn without_remedies_it_is_the_router_alone() {
        let (samples, _) = samples();
        for router in [Router::LeastLoaded, Router::GroupAffinity] {
            assert_eq!(deal(&samples, &[], 5, router, &Tail::default()), assign(&samples, 5, router));
        }
    }

    #[test]
    fn queues_run_from_the_longest_down() {
        let (samples, predicted) = samples();
        let tail = Tail { longest_first: true, ..Tail::default() };
        for router in [Router::LeastLoaded, Router::GroupAffinity] {
            for list in deal(&samples, &predicted, 5, router, &tail) {
                assert!(list.windows(2).all(|w| w[0].1.response >= w[1].1.response), "{router:?}");
            }
        }
    }

    #[test]
    fn the_longest_have_replicas_of_their_own() {
        let (samples, predicted) = samples();
        // Lengths are 1 to 96: the longest tenth is 87 to 96, which are 915 of 4656 tokens, 0.98 of 5 replicas.
        let lists = deal(&samples, &predicted, 5, Router::LeastLoaded, &isolating(0.1, None));
        let mut long: Vec<u32> = lists[4].iter().map(|(_, s)| s.response).collect();
        long.sort_unstable();
        assert_eq!(long, (87..=96).collect::<Vec<_>>());
        // Half of the samples are three quarters of the tokens: four of five replicas.
        let lists = deal(&samples, &predicted, 5, Router::LeastLoaded, &isolating(0.5, None));
        assert_eq!(lists[0].len(), 48);
        assert!(lists[0].iter().all(|(_, s)| s.response <= 48));
    }
}
