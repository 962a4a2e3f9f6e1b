//! Length distributions from what logs show of them: means, longest ones, shares that were cut, or all lengths.
//!
//! A log of means gives a lognormal: its spread comes from the share that was cut at the maximum or, where that tells nothing, from
//! medians, standard deviations or the longest of each step. Counts between edges give one too where the edges are coarse. Single
//! lengths give a histogram, which needs no form. Left out: correlation inside prompt groups.

use serde_json::{Value, json};

use super::found::round;
use super::series::{Series, mean, median};
use crate::math::{
    clipped_lognormal_mean, lognormal_sigma_from_longest, normal_cdf, quantile_sorted,
    solve_lognormal_location, solve_lognormal_sigma,
};

/// Ranges of a histogram below this quantile, of as many lengths each. What lies above, which a rollout waits for, is halved
/// from range to range, down to the longest alone.
const RANGES: usize = 40;
const TAIL: f64 = 0.98;
/// Responses that were cut, over all steps, from which on their share tells the spread.
const ENOUGH_CLIPPED: f64 = 10.0;
/// Least error of a spread, relative: lengths are not quite lognormal. Ways to one spread scatter by 11 % on a
/// published distribution of reasoning lengths (`tests/import.rs`, `ways_to_one_spread`).
const FORM_ERROR: f64 = 0.1;
/// A maximum for lengths that nothing cuts.
const UNLIMITED: f64 = 1e9;
/// Error of the mean of counted ranges up to which they are taken as they are.
const FINE: f64 = 0.02;
/// Where nothing tells the spread: what the scenarios of published runs assume of responses and of prompts.
const ASSUMED_SPREAD: [(f64, f64); 2] = [(0.9, 0.2), (0.4, 0.1)];

/// Whose lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Whose {
    #[default]
    Responses,
    Prompts,
}

/// What a log shows of lengths by RL step, in tokens.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shown<'a> {
    /// Whose.
    pub whose: Whose,
    /// Mean of each step, those cut included.
    pub mean: Option<&'a Series>,
    /// Longest of each step.
    pub longest: Option<&'a Series>,
    /// Share of each step that was cut at the maximum.
    pub clipped: Option<&'a Series>,
    /// Median of each step.
    pub median: Option<&'a Series>,
    /// Standard deviation of each step.
    pub deviation: Option<&'a Series>,
    /// Samples of a step; of prompts, different ones.
    pub samples: Option<f64>,
    /// Whether samples are cut at different lengths.
    pub maximum_varies: bool,
}

/// A distribution for a scenario, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Distribution {
    /// The value of `prompt_tokens` or `response_tokens`.
    pub value: Value,
    /// How it was found.
    pub from: String,
    /// What to know of it.
    pub remarks: Vec<String>,
}

/// A lognormal from means; `None` without any, an error where they are no lengths.
pub(super) fn lognormal(shown: Shown<'_>) -> Option<Result<Distribution, String>> {
    let (what, assumed) = match shown.whose {
        Whose::Responses => ("responses", ASSUMED_SPREAD[0]),
        Whose::Prompts => ("prompts", ASSUMED_SPREAD[1]),
    };
    let logged = mean(shown.mean?)?;
    if logged.value < 1.0 {
        return Some(Err(format!("a mean of {:.3} tokens is no length", logged.value)));
    }
    let share = shown.clipped.and_then(mean).map_or(0.0, |m| m.value.clamp(0.0, 1.0));
    let longest = shown.longest.and_then(|series| series.values().copied().reduce(f64::max));
    // The longest of all is the maximum as soon as anything was cut.
    let max = longest.filter(|_| share > 0.0);
    let from = |text: String| format!("mean of {} steps; {text}", logged.steps);
    if let Some(max) = max.filter(|max| logged.value > 0.995 * max) {
        let value = json!({ "constant": { "tokens": (max.round() as u64).max(1) } });
        let from = from("all as long as the maximum".to_owned());
        return Some(Ok(Distribution { value, from, remarks: Vec::new() }));
    }
    let counted = shown.samples.map_or(f64::INFINITY, |n| share * n * logged.steps as f64);
    let by_share = max.filter(|_| counted >= ENOUGH_CLIPPED);
    let by_share =
        by_share.map(|max| solve_lognormal_sigma(logged.value, share, max).map(|sigma| (sigma, 0.0)));
    let mut remarks = Vec::new();
    if by_share == Some(None) {
        remarks.push(format!(
            "{what}: no lognormal of mean {:.0} has {:.1} % of its lengths cut at {:.0}",
            logged.value,
            100.0 * share,
            max.unwrap_or(0.0)
        ));
    }
    let ways = [
        (by_share.flatten(), format!("the {:.2} % that were cut", 100.0 * share)),
        (spread_by_median(shown, max), "the medians".to_owned()),
        (spread_by_deviation(shown).filter(|_| share == 0.0), "the standard deviations".to_owned()),
        (spread_by_longest(shown, max), "the longest of each step".to_owned()),
    ];
    let mut known = ways.into_iter().filter_map(|(spread, from)| Some((spread?, from)));
    let (sigma, how) = if let Some(((sigma, se), how)) = known.next() {
        let others = known.map(|((other, _), by)| format!("{what}: {by} would give a spread of {other:.2}"));
        remarks.extend(others);
        (with_error(sigma, libm::hypot(se, FORM_ERROR * sigma)), format!("spread {sigma:.2} from {how}"))
    } else {
        let (value, se) = assumed;
        remarks.push(format!("{what}: nothing tells the spread, {value} +- {se} is assumed"));
        (with_error(value, se), "spread assumed".to_owned())
    };
    // A prompt that is longer than all in the log is no more likely than the log says; a response may be.
    let max = if shown.whose == Whose::Prompts { longest } else { max };
    if max.is_none() && shown.whose == Whose::Responses {
        remarks.push("responses: none was cut; give `max` where the run had one".to_owned());
    }
    let mut form = json!({ "mean": with_error(logged.value, logged.se), "sigma": sigma });
    if let Some(max) = max {
        form["max"] = json!(max.round() as u64);
    }
    Some(Ok(Distribution { value: json!({ "lognormal": form }), from: from(how), remarks }))
}

/// Spread and its standard error from the longest of each step over its mean, in the median over steps: as long as fewer than
/// half of them reached the maximum, that is what it would be without one.
fn spread_by_longest(shown: Shown<'_>, max: Option<f64>) -> Option<(f64, f64)> {
    let (means, longest, n) = (shown.mean?, shown.longest?, shown.samples?);
    let ratios: Series = longest.iter().filter_map(|(step, x)| Some((*step, x / means.get(step)?))).collect();
    let cut = longest.values().filter(|x| max.is_some_and(|max| **x >= max)).count();
    if shown.maximum_varies || 2 * cut >= ratios.len() {
        return None;
    }
    let sigma = lognormal_sigma_from_longest(median(&ratios)?, n)?;
    let each = |(step, ratio): (&u64, &f64)| Some((*step, lognormal_sigma_from_longest(*ratio, n)?));
    let scatter = mean(&ratios.iter().filter_map(each).collect())?;
    Some((sigma, scatter.se))
}

/// Spread and its error from medians: the σ at which a lognormal with this median, cut at the maximum, has this mean.
fn spread_by_median(shown: Shown<'_>, max: Option<f64>) -> Option<(f64, f64)> {
    let (means, medians) = (shown.mean?, shown.median?);
    let max = max.unwrap_or(UNLIMITED);
    let spread = |(step, median): (&u64, &f64)| {
        let (mean, location) = (*means.get(step)?, libm::log(*median));
        let (mut low, mut high) = (1e-3, 2.5);
        let at = |sigma| clipped_lognormal_mean(location, sigma, max);
        if !(at(low) < mean && mean < at(high)) {
            return None;
        }
        for _ in 0..50 {
            let middle = 0.5 * (low + high);
            if at(middle) < mean { low = middle } else { high = middle }
        }
        Some((*step, low))
    };
    let found = mean(&medians.iter().filter_map(spread).collect())?;
    Some((found.value, found.se))
}

/// Spread and its error from standard deviations of lengths that nothing cut: σ² = ln(1 + (deviation / mean)²).
fn spread_by_deviation(shown: Shown<'_>) -> Option<(f64, f64)> {
    let (means, deviations) = (shown.mean?, shown.deviation?);
    let spread = |(step, deviation): (&u64, &f64)| {
        let relative = deviation / means.get(step)?;
        Some((*step, libm::sqrt(libm::log1p(relative * relative))))
    };
    let found = mean(&deviations.iter().filter_map(spread).collect())?;
    Some((found.value, found.se))
}

/// A distribution from counts between edges and the exact mean, `max` being where lengths were cut. Ranges that are fine
/// enough to give the mean stay a histogram; others (1, 2, 5, 10, …) give the lognormal of this mean that fits their counts best.
pub(super) fn from_counts(
    edges: &[f64],
    weights: &[f64],
    exact: f64,
    max: Option<u64>,
) -> Option<Distribution> {
    let total: f64 = weights.iter().sum();
    if total <= 0.0 || exact < 1.0 {
        return None;
    }
    if max.is_some_and(|max| exact > 0.995 * max as f64) {
        let value = json!({ "constant": { "tokens": max } });
        return Some(Distribution {
            value,
            from: "all as long as the maximum".to_owned(),
            remarks: Vec::new(),
        });
    }
    let middles = edges.windows(2).zip(weights).map(|(range, n)| 0.5 * (range[0] + range[1]) * n / total);
    let cut = max.map_or(UNLIMITED, |max| max as f64);
    let put_max = |mut form: Value| {
        if let Some(max) = max {
            form["max"] = json!(max);
        }
        form
    };
    // One range tells nothing of the spread.
    let several = weights.iter().filter(|n| **n > 0.0).count() > 1;
    if several && (middles.sum::<f64>() / exact - 1.0).abs() <= FINE {
        let value = json!({ "histogram": put_max(json!({ "edges": edges, "weights": weights })) });
        return Some(Distribution { value, from: "as counted".to_owned(), remarks: Vec::new() });
    }
    let likelihood = |sigma: f64| {
        let Some(location) = solve_lognormal_location(exact, sigma, cut) else { return f64::NEG_INFINITY };
        let below = |x: f64| {
            if x >= cut {
                1.0
            } else if x <= 0.0 {
                0.0
            } else {
                normal_cdf((libm::log(x) - location) / sigma)
            }
        };
        let of = |(range, n): (&[f64], &f64)| n * libm::log((below(range[1]) - below(range[0])).max(1e-12));
        edges.windows(2).zip(weights).map(of).sum()
    };
    // A grid: the likelihood is smooth, and a hundredth is finer than its form is true.
    let sigmas = (5..=250).map(|i| f64::from(i) / 100.0);
    let sigma = sigmas.max_by(|a, b| likelihood(*a).total_cmp(&likelihood(*b)))?;
    let (sigma, se) = if several { (sigma, FORM_ERROR * sigma) } else { ASSUMED_SPREAD[0] };
    let error = exact * libm::sqrt(libm::expm1(sigma * sigma) / total);
    let form = json!({ "mean": with_error(exact, error), "sigma": with_error(sigma, se) });
    let from = if several {
        format!("a lognormal of this mean fits the counts best with a spread of {sigma:.2}")
    } else {
        "one range only: the spread is assumed".to_owned()
    };
    Some(Distribution { value: json!({ "lognormal": put_max(form) }), from, remarks: Vec::new() })
}

/// A histogram of single lengths; `None` without any. What lies at the longest length counts as cut there where several do.
pub(super) fn histogram(lengths: &[f64]) -> Option<Distribution> {
    let mut sorted: Vec<f64> =
        lengths.iter().filter(|x| x.is_finite() && **x >= 0.0).map(|x| x.round()).collect();
    sorted.sort_by(f64::total_cmp);
    let (&first, &last) = (sorted.first()?, sorted.last()?);
    let n = sorted.len();
    let alike = n - sorted.partition_point(|x| *x < last);
    let cut = if alike > 1 { alike } else { 0 };
    let value = if first == last {
        json!({ "constant": { "tokens": (last as u64).max(1) } })
    } else {
        let (edges, weights) = ranges(&sorted, cut);
        let mut form = json!({ "edges": edges, "weights": weights });
        if cut > 0 {
            form["max"] = json!(last as u64);
        }
        json!({ "histogram": form })
    };
    let share = 100.0 * cut as f64 / n as f64;
    let cut = if cut > 0 { format!(", {share:.1} % of exactly that") } else { String::new() };
    let mean = sorted.iter().sum::<f64>() / n as f64;
    let median = quantile_sorted(&sorted, 0.5);
    let from = format!("{n} lengths: mean {mean:.0}, median {median:.0}, longest {last:.0}{cut}");
    Some(Distribution { value, from, remarks: Vec::new() })
}

/// Edges at equal shares of the whole numbers below the `cut` longest, half a token down so that what is drawn inside rounds
/// back, and the counts between them; those that were cut get a range of their own.
fn ranges(sorted: &[f64], cut: usize) -> (Vec<f64>, Vec<u64>) {
    let below = &sorted[..sorted.len() - cut];
    let body = (0..=RANGES).map(|i| TAIL * i as f64 / RANGES as f64);
    let mut edges: Vec<f64> = body.map(|share| quantile_sorted(below, share).floor() - 0.5).collect();
    let mut left = ((1.0 - TAIL) * below.len() as f64) as usize;
    while left > 1 {
        left /= 2;
        edges.push(below[below.len() - left] - 0.5);
    }
    edges.extend(below.last().map(|x| x + 0.5));
    if cut > 0 {
        let longest = sorted[sorted.len() - 1];
        edges.extend([longest - 0.5, longest + 0.5]);
    }
    for edge in &mut edges {
        *edge = edge.max(0.0);
    }
    edges.dedup();
    let under = |edge: f64| sorted.partition_point(|x| *x < edge) as u64;
    let weights = edges.windows(2).map(|range| under(range[1]) - under(range[0])).collect();
    (edges, weights)
}

/// A number with its error, or the number alone where it has none.
pub(super) fn with_error(value: f64, se: f64) -> Value {
    // Whole numbers without a point.
    let plain = |x: f64| if x.fract() == 0.0 && x.abs() < 1e15 { json!(x as i64) } else { json!(x) };
    let value = plain(round(value, 4));
    if se > 0.0 { json!({ "value": value, "se": plain(round(se, 2)) }) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::normal_quantile;
    use crate::rng::{Purpose, Stream};
    use proptest::prelude::*;

    /// Lengths of an RL step: lognormal, cut.
    fn draw(seed: u64, n: usize, location: f64, sigma: f64, max: f64) -> Vec<f64> {
        let mut stream = Stream::new(seed, Purpose::ResponseLength, &[]);
        let one =
            || libm::exp(location + sigma * normal_quantile(stream.open_uniform())).round().clamp(1.0, max);
        std::iter::repeat_with(one).take(n).collect()
    }

    /// What a framework logs of ten steps of them, to three digits as verl's console has it.
    struct Logged([Series; 5]);

    impl Logged {
        fn of(n: usize, location: f64, sigma: f64, max: f64) -> Self {
            let mut all: [Series; 5] = Default::default();
            for step in 0..10 {
                let mut lengths = draw(step, n, location, sigma, max);
                lengths.sort_by(f64::total_cmp);
                let mean = lengths.iter().sum::<f64>() / n as f64;
                let deviation =
                    (lengths.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n as f64).sqrt();
                let cut = lengths.iter().filter(|x| **x >= max).count() as f64 / n as f64;
                let cut = (cut * 1e3).round() / 1e3;
                for (series, value) in
                    all.iter_mut().zip([mean, lengths[n - 1], cut, lengths[n / 2], deviation])
                {
                    series.insert(step, value);
                }
            }
            Logged(all)
        }

        fn shown(&self, n: Option<f64>) -> Shown<'_> {
            let [mean, longest, clipped, _, _] = &self.0;
            Shown {
                mean: Some(mean),
                longest: Some(longest),
                clipped: Some(clipped),
                samples: n,
                ..Shown::default()
            }
        }
    }

    /// The lognormal that is found.
    fn form(shown: Shown<'_>) -> Value {
        lognormal(shown).and_then(Result::ok).map_or(Value::Null, |found| found.value["lognormal"].clone())
    }

    fn number(value: &Value) -> f64 {
        value.get("value").unwrap_or(value).as_f64().unwrap_or(f64::NAN)
    }

    #[test]
    fn a_log_gives_back_the_distribution_behind_it() {
        // Much cut, hardly any cut, nothing cut.
        for (sigma, max, tolerance) in [(0.9, 8192.0, 0.04), (0.6, 8192.0, 0.06), (0.5, 1e6, 0.05)] {
            let logged = Logged::of(2048, 7.3, sigma, max);
            let form = form(logged.shown(Some(2048.0)));
            let spread = number(&form["sigma"]);
            assert!((spread / sigma - 1.0).abs() < tolerance, "{spread} for {sigma} below {max}");
            let expected = clipped_lognormal_mean(7.3, sigma, max);
            assert!((number(&form["mean"]) / expected - 1.0).abs() < 0.02, "{form}");
            assert_eq!(form.get("max").and_then(Value::as_u64), (max < 1e5).then_some(8192));
        }
    }

    #[test]
    fn medians_and_deviations_tell_too_and_nothing_is_assumed() {
        let logged = Logged::of(1024, 7.0, 0.7, 1e6);
        let [mean, _, _, median, deviation] = &logged.0;
        let shown = Shown { mean: Some(mean), ..Shown::default() };
        let spread = |shown| number(&form(shown)["sigma"]);
        assert!((spread(Shown { median: Some(median), ..shown }) / 0.7 - 1.0).abs() < 0.05);
        assert!((spread(Shown { deviation: Some(deviation), ..shown }) / 0.7 - 1.0).abs() < 0.08);
        assert_eq!(spread(shown), 0.9);
        let found = lognormal(shown).and_then(Result::ok);
        assert!(found.is_some_and(|found| found.remarks[0].contains("assumed")));
        assert_eq!(lognormal(Shown::default()), None);
    }

    #[test]
    fn a_few_that_were_cut_do_not_bend_the_spread() {
        // Some of ten steps reach the maximum: too few responses for their share, and the longest are not those left.
        let logged = Logged::of(256, 7.0, 0.8, 14_000.0);
        let cut = logged.0[1].values().filter(|x| **x >= 14_000.0).count();
        assert!((1..=4).contains(&cut), "{cut}");
        let spread = number(&form(logged.shown(Some(256.0)))["sigma"]);
        assert!((spread / 0.8 - 1.0).abs() < 0.1, "{spread}");
    }

    #[test]
    fn what_cannot_be_is_said() {
        let of = |value: f64| Series::from([(1, value), (2, value)]);
        let (mean, longest, share) = (of(500.0), of(2048.0), of(0.5));
        let shown =
            Shown { mean: Some(&mean), longest: Some(&longest), clipped: Some(&share), ..Shown::default() };
        let found = lognormal(shown).and_then(Result::ok);
        assert!(found.is_some_and(|f| f.remarks[0].contains("no lognormal of mean 500 has 50.0 %")));
        let whole = of(2048.0);
        let found = lognormal(Shown { mean: Some(&whole), ..shown }).and_then(Result::ok);
        assert!(found.is_some_and(|f| f.value["constant"]["tokens"] == 2048));
        let none = of(-3.0);
        assert!(lognormal(Shown { mean: Some(&none), ..shown }).is_some_and(|found| found.is_err()));
    }

    #[test]
    fn coarse_counts_give_the_spread_that_their_mean_alone_would_not() {
        let edges = [0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 2e4];
        let lengths = draw(3, 4000, 7.5, 0.8, 8192.0);
        let within =
            |range: &[f64]| lengths.iter().filter(|x| **x > range[0] && **x <= range[1]).count() as f64;
        let weights: Vec<f64> = edges.windows(2).map(within).collect();
        let mean = lengths.iter().sum::<f64>() / 4000.0;
        let found = from_counts(&edges, &weights, mean, Some(8192));
        let form = found.map_or(Value::Null, |found| found.value["lognormal"].clone());
        assert!((number(&form["sigma"]) / 0.8 - 1.0).abs() < 0.05, "{form}");
        // Fine ranges stay as they are.
        let edges: Vec<f64> = (0..=100).map(|i| f64::from(i) * 82.0).collect();
        let weights: Vec<f64> = edges.windows(2).map(within).collect();
        let found = from_counts(&edges, &weights, mean, Some(8192));
        assert!(found.is_some_and(|found| {
            found.value["histogram"]["weights"].as_array().is_some_and(|w| w.len() == 100)
        }));
        assert_eq!(from_counts(&edges, &vec![0.0; 100], mean, None), None);
    }

    proptest! {
        #[test]
        fn a_histogram_holds_every_length(
            seed in 0_u64..50, n in 1_usize..3000, sigma in 0.1..1.5_f64, max in 200.0..20_000.0_f64,
        ) {
            let max = max.round();
            let lengths = draw(seed, n, 6.5, sigma, max);
            let found = histogram(&lengths).ok_or_else(|| TestCaseError::fail("nothing"))?;
            let form = &found.value["histogram"];
            if form.is_null() {
                prop_assert!(lengths.iter().all(|x| *x == lengths[0]));
                return Ok(());
            }
            let list = |key: &str| -> Vec<f64> {
                form[key].as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
            };
            let (edges, weights) = (list("edges"), list("weights"));
            prop_assert_eq!(edges.len(), weights.len() + 1);
            prop_assert!(edges.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", edges);
            prop_assert_eq!(weights.iter().sum::<f64>(), n as f64);
            let middles: f64 = edges.windows(2).zip(&weights).map(|(e, w)| 0.5 * (e[0] + e[1]) * w).sum();
            let mean = lengths.iter().sum::<f64>() / n as f64;
            // Few lengths lie unevenly in their ranges.
            let tolerance = if n < 600 { 0.06 } else { 0.03 };
            prop_assert!((middles / n as f64 / mean - 1.0).abs() < tolerance, "{} for {mean}", middles / n as f64);
            let cut = lengths.iter().filter(|x| **x >= max).count();
            prop_assert_eq!(form.get("max").is_some(), cut > 1 || lengths.iter().filter(|x| {
                **x >= lengths.iter().copied().fold(0.0, f64::max)
            }).count() > 1);
        }
    }
}
