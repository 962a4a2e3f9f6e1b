//! vLLM's table of draft tokens by batch (`num_speculative_tokens_per_batch_size`, read in vLLM 0.33.0).
//!
//! Ranges [first, last, K] are inclusive, sorted and apart; the first starts at 1. A batch in a gap, or beyond the last
//! range, has the K of the range before it. K is cut to `num_speculative_tokens`, and 0 is plain decoding with the
//! drafter's cache kept in step. The index is the number of requests scheduled in the step, prefills included; requests
//! that are admitted in this very step are not counted yet here.

use super::{Schedule, ScheduleError, Snapshot};
use crate::speculation::Configuration;

/// Draft tokens by batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VllmTable {
    /// K by the number of requests, from 0.
    by_batch: Vec<u32>,
}

impl VllmTable {
    /// From ranges [first, last, K], for engines of at most `max_num_seqs` requests.
    pub fn new(
        ranges: &[[u32; 3]],
        num_speculative_tokens: u32,
        max_num_seqs: u32,
    ) -> Result<Self, ScheduleError> {
        let Some(first) = ranges.first() else { return Err(ScheduleError::Empty("the table")) };
        if first[0] != 1 {
            return Err(ScheduleError::FirstRange { start: first[0] });
        }
        let mut previous = 0;
        for &[start, end, _] in ranges {
            if start <= previous {
                return Err(ScheduleError::Overlap { start, previous });
            }
            if end < start {
                return Err(ScheduleError::EmptyRange { start, end });
            }
            previous = end;
        }
        let of = |batch: u32| {
            let upto = ranges.partition_point(|range| range[0] <= batch);
            ranges[upto.saturating_sub(1)][2].min(num_speculative_tokens)
        };
        Ok(VllmTable { by_batch: (0..=max_num_seqs.max(1)).map(of).collect() })
    }

    /// K at a number of requests.
    pub fn draft_tokens(&self, requests: u32) -> u32 {
        let last = self.by_batch.len() - 1;
        self.by_batch[(requests as usize).min(last)]
    }
}

impl Schedule for VllmTable {
    fn decide(&mut self, snapshot: &Snapshot) -> Configuration {
        Configuration::chain(self.draft_tokens(snapshot.running + snapshot.prefilling))
    }

    fn max_draft_tokens(&self) -> u32 {
        self.by_batch.iter().copied().max().unwrap_or(0)
    }

    fn leapable(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(ranges: &[[u32; 3]], k: u32) -> Result<VllmTable, ScheduleError> {
        VllmTable::new(ranges, k, 512)
    }

    #[test]
    fn ranges_gaps_and_tail() {
        let table = table(&[[1, 4, 7], [9, 16, 3], [65, 128, 0]], 5).unwrap_or_else(|e| panic!("{e}"));
        for (batch, k) in
            [(1, 5), (4, 5), (5, 5), (8, 5), (9, 3), (16, 3), (64, 3), (65, 0), (512, 0), (900, 0)]
        {
            assert_eq!(table.draft_tokens(batch), k, "{batch}");
        }
        assert_eq!(table.max_draft_tokens(), 5);
    }

    #[test]
    fn prefills_count() {
        let mut table = table(&[[1, 4, 7], [5, 64, 2]], 7).unwrap_or_else(|e| panic!("{e}"));
        let snapshot = Snapshot { running: 3, prefilling: 2, ..Snapshot::default() };
        assert_eq!(table.decide(&snapshot), Configuration::chain(2));
        assert_eq!(table.decide(&Snapshot { prefilling: 0, ..snapshot }), Configuration::chain(7));
    }

    #[test]
    fn tables_that_vllm_refuses_are_refused() {
        assert_eq!(table(&[], 3), Err(ScheduleError::Empty("the table")));
        assert_eq!(table(&[[2, 8, 3]], 3), Err(ScheduleError::FirstRange { start: 2 }));
        assert_eq!(table(&[[1, 8, 3], [8, 16, 1]], 3), Err(ScheduleError::Overlap { start: 8, previous: 8 }));
        assert_eq!(
            table(&[[1, 8, 3], [20, 30, 1], [10, 12, 2]], 3),
            Err(ScheduleError::Overlap { start: 10, previous: 30 })
        );
        assert_eq!(
            table(&[[1, 8, 3], [20, 19, 1]], 3),
            Err(ScheduleError::EmptyRange { start: 20, end: 19 })
        );
    }
}
