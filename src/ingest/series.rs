//! Metrics by name and RL step, and what is said of one over the steps.
//!
//! Left out: weights. Frameworks log one number a step, whatever the step's size.

use std::collections::BTreeMap;

/// A metric over RL steps, in order.
pub(super) type Series = BTreeMap<u64, f64>;

/// Everything that a log says by RL step.
#[derive(Debug, Clone, Default)]
pub(super) struct Metrics {
    by_name: BTreeMap<String, Series>,
    last: Option<u64>,
    /// Steps at which the log went back: a run that was resumed.
    pub went_back: Vec<u64>,
}

/// A mean over RL steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mean {
    /// The mean.
    pub value: f64,
    /// Its standard error, steps that resemble their neighbours counted as fewer.
    pub se: f64,
    /// RL steps.
    pub steps: usize,
}

impl Metrics {
    /// Says that what follows is all of `step`. A log that goes back is of a run that was resumed from a checkpoint: what it had
    /// written of this step and later ones is gone.
    pub(super) fn begin(&mut self, step: u64) {
        if self.last.is_some_and(|last| step < last) {
            self.went_back.push(step);
            self.by_name.values_mut().for_each(|series| series.retain(|at, _| *at < step));
            self.by_name.retain(|_, series| !series.is_empty());
        }
        self.last = Some(step);
    }

    /// Takes a number in; of two for a step the later stays, and what is no number (a failed mean) is left out.
    pub(super) fn insert(&mut self, step: u64, name: &str, value: f64) {
        if !value.is_finite() {
            return;
        }
        match self.by_name.get_mut(name) {
            Some(series) => {
                series.insert(step, value);
            }
            None => {
                self.by_name.insert(name.to_owned(), BTreeMap::from([(step, value)]));
            }
        }
    }

    /// Leaves the steps from `first` to `last`.
    pub(super) fn keep(&mut self, first: u64, last: u64) {
        for series in self.by_name.values_mut() {
            series.retain(|step, _| (first..=last).contains(step));
        }
        self.by_name.retain(|_, series| !series.is_empty());
    }

    /// The first and the last step of all.
    pub(super) fn range(&self) -> Option<(u64, u64)> {
        let first = self.by_name.values().filter_map(|series| series.keys().next()).min()?;
        let last = self.by_name.values().filter_map(|series| series.keys().next_back()).max()?;
        Some((*first, *last))
    }

    /// The first of `names` that the log has, and its numbers.
    pub(super) fn any<'a>(&'a self, names: &[&'a str]) -> Option<(&'a str, &'a Series)> {
        names.iter().find_map(|name| self.by_name.get(*name).map(|series| (*name, series)))
    }

    /// The numbers of a metric; none where the log does not have it.
    pub(super) fn of(&self, name: &str) -> Option<&Series> {
        self.by_name.get(name)
    }
}

/// The mean over steps. Its error takes the steps as a first-order autoregression: with the correlation r of neighbours, n of
/// them are worth n (1 - r) / (1 + r).
pub(super) fn mean(series: &Series) -> Option<Mean> {
    let n = series.len();
    if n == 0 {
        return None;
    }
    let value = series.values().sum::<f64>() / n as f64;
    let off: Vec<f64> = series.values().map(|x| x - value).collect();
    let square: f64 = off.iter().map(|x| x * x).sum();
    // Equal numbers differ from their mean by its rounding.
    if n < 2 || square <= 1e-20 * value * value * n as f64 {
        return Some(Mean { value, se: 0.0, steps: n });
    }
    let r = (off.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / square).clamp(0.0, 0.9);
    let variance = square / (n - 1) as f64;
    let se = libm::sqrt(variance / n as f64 * (1.0 + r) / (1.0 - r));
    Some(Mean { value, se, steps: n })
}

/// The median over steps: seconds have outliers (the first step's compilation, a checkpoint that has no name in the log).
pub(super) fn median(series: &Series) -> Option<f64> {
    let mut values: Vec<f64> = series.values().copied().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { 0.5 * (values[middle - 1] + upper) })
}

/// `a` less `b` where both have the step, `a` elsewhere.
pub(super) fn less(a: &Series, b: Option<&Series>) -> Series {
    let of = |step| b.and_then(|b| b.get(step)).copied().unwrap_or(0.0);
    a.iter().map(|(step, value)| (*step, value - of(step))).collect()
}

/// How far the numbers go from the first fifth of the steps to the last, over their mean; zero for fewer than ten steps.
pub(super) fn trend(series: &Series) -> f64 {
    let values: Vec<f64> = series.values().copied().collect();
    let fifth = values.len() / 5;
    if fifth < 2 {
        return 0.0;
    }
    let average = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let whole = average(&values);
    if whole == 0.0 {
        0.0
    } else {
        (average(&values[values.len() - fifth..]) - average(&values[..fifth])) / whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        values.iter().enumerate().map(|(i, x)| (i as u64, *x)).collect()
    }

    #[test]
    fn means_of_alike_neighbours_are_less_sure() {
        let one = |values: &[f64]| mean(&series(values)).map_or(f64::NAN, |m| m.se);
        let alternating = one(&[1.0, 3.0, 1.0, 3.0, 1.0, 3.0, 1.0, 3.0]);
        let drifting = one(&[1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0]);
        // Standard deviation 1.069 over the root of eight; half the neighbours' products alike gives r = 5/8.
        assert!((alternating - 1.069_045 / 8.0_f64.sqrt()).abs() < 1e-6, "{alternating}");
        let r: f64 = 5.0 / 8.0;
        assert!((drifting / alternating - ((1.0 + r) / (1.0 - r)).sqrt()).abs() < 1e-9, "{drifting}");
        assert_eq!(mean(&series(&[])), None);
        assert_eq!(one(&[4.0]), 0.0);
    }

    #[test]
    fn medians_do_not_see_one_slow_step() {
        assert_eq!(median(&series(&[900.0, 10.0, 12.0])), Some(12.0));
        assert_eq!(median(&series(&[10.0, 12.0])), Some(11.0));
        assert_eq!(median(&series(&[])), None);
    }

    #[test]
    fn a_resumed_run_counts_from_where_it_went_back() {
        let mut metrics = Metrics::default();
        for (step, value) in [(1, 5.0), (2, 4.0), (3, 7.0), (4, f64::NAN), (2, 6.0), (3, 8.0)] {
            metrics.begin(step);
            metrics.insert(step, if value == 7.0 { "only before" } else { "a" }, value);
        }
        assert_eq!(metrics.went_back, [2]);
        assert_eq!(metrics.of("a"), Some(&BTreeMap::from([(1, 5.0), (2, 6.0), (3, 8.0)])));
        assert_eq!(metrics.of("only before"), None, "the run that was resumed has written it no more");
        metrics.keep(2, 3);
        assert_eq!(metrics.range(), Some((2, 3)));
        assert_eq!(metrics.any(&["b", "a"]).map(|found| found.0), Some("a"));
    }

    #[test]
    fn trends_are_relative() {
        assert_eq!(trend(&series(&[1.0; 20])), 0.0);
        let rising: Vec<f64> = (0..20).map(|i| 90.0 + f64::from(i)).collect();
        assert!((trend(&series(&rising)) - 16.0 / 99.5).abs() < 1e-12);
        assert_eq!(trend(&series(&[1.0, 9.0])), 0.0, "two steps show no trend");
    }
}
