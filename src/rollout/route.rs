//! Which replica gets which sample. All samples arrive at once, so this is decided before the run.

use crate::resolved::Router;
use crate::workload::Sample;

/// Deals samples to replicas; each list holds (index in the step, sample) in order of arrival.
///
/// Least-loaded counts samples, as engines' routers do: nobody knows lengths in advance. With all samples
/// arriving at once this is dealing in turn. Group affinity gives whole groups to the replica with the
/// fewest samples.
pub fn assign(samples: &[Sample], replicas: u32, router: Router) -> Vec<Vec<(u32, Sample)>> {
    let replicas = replicas.max(1) as usize;
    let mut lists: Vec<Vec<(u32, Sample)>> = vec![Vec::with_capacity(samples.len() / replicas + 1); replicas];
    match router {
        Router::LeastLoaded => {
            for (index, sample) in samples.iter().enumerate() {
                lists[index % replicas].push((index as u32, *sample));
            }
        }
        Router::GroupAffinity => {
            let mut start = 0;
            for group in samples.chunk_by(|a, b| a.group == b.group) {
                // The first of the emptiest: ties go to the lowest number, so the deal has one outcome.
                let target = (0..replicas).min_by_key(|&r| lists[r].len()).unwrap_or(0);
                lists[target].extend(group.iter().enumerate().map(|(i, s)| ((start + i) as u32, *s)));
                start += group.len();
            }
        }
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(groups: u32, each: u32) -> Vec<Sample> {
        (0..groups * each)
            .map(|i| Sample { group: i / each, prompt: 10, response: 10, clipped: false })
            .collect()
    }

    #[test]
    fn every_sample_goes_to_one_replica_and_loads_are_even() {
        for router in [Router::LeastLoaded, Router::GroupAffinity] {
            let lists = assign(&samples(12, 4), 5, router);
            let mut seen: Vec<u32> = lists.iter().flatten().map(|(index, _)| *index).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..48).collect::<Vec<_>>());
            let sizes: Vec<usize> = lists.iter().map(Vec::len).collect();
            assert!(sizes.iter().max().unwrap_or(&0) - sizes.iter().min().unwrap_or(&0) <= 4, "{sizes:?}");
        }
    }

    #[test]
    fn affinity_keeps_groups_together() {
        for list in assign(&samples(7, 4), 3, Router::GroupAffinity) {
            for group in list.chunk_by(|a, b| a.1.group == b.1.group) {
                assert_eq!(group.len(), 4);
            }
        }
    }
}
