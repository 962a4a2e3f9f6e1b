//! Per-position acceptance from what engines count.
//!
//! The rate at position j is accepted over *trials*: rounds that drafted position j and had accepted all before it.
//! Engines that divide by all rounds (vLLM's per-position rates) read too low as soon as K changes, as a round that
//! drafted fewer tokens never tried position j: such a round is censored there, and leaves trials and hits alone.
//! Old counts fade by a discount at each update. Intervals are Wilson's (J. Am. Stat. Assoc. 22, 1927): rates near
//! 0 and 1 stay inside. Leaves out: that rounds of one request are alike, so intervals are too narrow by that.

/// Trials and acceptances by draft position.
#[derive(Debug, Clone, PartialEq)]
pub struct Counters {
    trials: Vec<f64>,
    accepted: Vec<f64>,
}

/// A rate with its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Accepted over trials; zero without trials.
    pub rate: f64,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

impl Counters {
    /// Nothing counted yet, for draft positions 0 to `positions` - 1.
    pub fn new(positions: usize) -> Self {
        Counters { trials: vec![0.0; positions], accepted: vec![0.0; positions] }
    }

    /// From an engine's sums: rounds that *drafted* position j, and of them those that accepted it, which is what
    /// vLLM exports as `num_accepted_tokens_per_pos` (at a fixed K every round drafts every position). Survival is
    /// accepted over drafted; trials are the rounds that reached the position, drafted rounds times the survival
    /// before it. Takes K as independent of what is accepted.
    pub fn from_engine(drafted: &[f64], accepted: &[f64]) -> Self {
        let positions = drafted.len().min(accepted.len());
        let mut counters = Counters::new(positions);
        let mut before = 1.0;
        for j in 0..positions {
            counters.trials[j] = drafted[j] * before;
            counters.accepted[j] = accepted[j].min(counters.trials[j]);
            before = if drafted[j] > 0.0 { (accepted[j] / drafted[j]).min(before) } else { 0.0 };
        }
        counters
    }

    /// Adds rounds that all drafted as many positions as `histogram` has entries less one: `histogram[n]` of them
    /// accepted exactly n.
    pub fn record(&mut self, histogram: &[u64]) {
        let mut reached: u64 = histogram.iter().sum();
        for (j, stopped) in histogram.iter().enumerate().take(histogram.len().saturating_sub(1)) {
            let passed = reached - stopped;
            self.add(j, reached as f64, passed as f64);
            reached = passed;
        }
    }

    /// Adds trials and acceptances at one position; positions beyond the last are dropped.
    #[inline]
    pub fn add(&mut self, position: usize, trials: f64, accepted: f64) {
        if let (Some(t), Some(a)) = (self.trials.get_mut(position), self.accepted.get_mut(position)) {
            *t += trials;
            *a += accepted;
        }
    }

    /// Lets what was counted so far weigh `factor` of what it did.
    pub fn fade(&mut self, factor: f64) {
        for value in self.trials.iter_mut().chain(&mut self.accepted) {
            *value *= factor;
        }
    }

    /// Draft positions.
    pub fn positions(&self) -> usize {
        self.trials.len()
    }

    /// Trials by position.
    pub fn trials(&self) -> &[f64] {
        &self.trials
    }

    /// Acceptances by position.
    pub fn accepted(&self) -> &[f64] {
        &self.accepted
    }

    /// The rate at a position with Wilson's interval at `z` standard errors (1.96 for 95 %); without trials it is
    /// anything from 0 to 1.
    pub fn interval(&self, position: usize, z: f64) -> Interval {
        let trials = self.trials.get(position).copied().unwrap_or(0.0);
        if trials <= 0.0 {
            return Interval { rate: 0.0, low: 0.0, high: 1.0 };
        }
        let rate = self.accepted[position] / trials;
        let z2 = z * z / trials;
        let middle = (rate + z2 / 2.0) / (1.0 + z2);
        let half = libm::sqrt(rate * (1.0 - rate) * z2 + z2 * z2 / 4.0) / (1.0 + z2);
        Interval { rate, low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};

    #[test]
    fn a_changing_k_does_not_bend_the_rates() {
        // Rounds of 1, 3 and 5 tokens at the same rates: dividing by all rounds would read .21 at the third position.
        let rates = [0.8, 0.7, 0.6, 0.6, 0.5];
        let mut counters = Counters::new(5);
        let mut stream = Stream::new(3, Purpose::AcceptDraft, &[]);
        let (mut drafted, mut accepted) = ([0.0; 5], [0.0; 5]);
        for round in 0..300_000 {
            let k = [1, 3, 5][round % 3];
            let mut histogram = [0; 6];
            let n = (0..k).take_while(|j| stream.uniform() < rates[*j]).count();
            histogram[n] = 1;
            counters.record(&histogram[..=k]);
            (0..k).for_each(|j| drafted[j] += 1.0);
            (0..n).for_each(|j| accepted[j] += 1.0);
        }
        let summed = Counters::from_engine(&drafted, &accepted);
        for (j, rate) in rates.into_iter().enumerate() {
            for counters in [&counters, &summed] {
                let seen = counters.interval(j, 4.0);
                assert!(seen.low < rate && rate < seen.high, "{j}: {seen:?}");
                assert!(seen.high - seen.low < 0.03);
            }
        }
    }

    #[test]
    fn intervals_cover_as_often_as_they_say() {
        let mut stream = Stream::new(4, Purpose::AcceptDraft, &[]);
        let covered = (0..4_000)
            .filter(|_| {
                let hits = (0..60).filter(|_| stream.uniform() < 0.85).count();
                let mut counters = Counters::new(1);
                counters.add(0, 60.0, hits as f64);
                let seen = counters.interval(0, 1.96);
                seen.low <= 0.85 && 0.85 <= seen.high
            })
            .count();
        assert!((0.93..0.97).contains(&(covered as f64 / 4_000.0)), "{covered}");
    }

    #[test]
    fn fading_keeps_rates_and_widens_intervals() {
        let mut counters = Counters::new(2);
        counters.record(&[20, 30, 50]);
        let before = counters.interval(0, 1.96);
        counters.fade(0.1);
        let after = counters.interval(0, 1.96);
        assert!((before.rate - 0.8).abs() < 1e-12 && (after.rate - 0.8).abs() < 1e-12);
        assert!(after.high - after.low > before.high - before.low);
        assert_eq!(counters.interval(7, 1.96), Interval { rate: 0.0, low: 0.0, high: 1.0 });
        counters.add(9, 1.0, 1.0);
    }
}
