//! Distributions of lengths: what no distribution can have.

use super::Check;
use crate::scenario::Error;
use crate::scenario::raw::{Count, Histogram, Lengths, Lognormal};

/// Largest sigma: at 3 the longest of a thousand is ten thousand times the median.
const LARGEST_SIGMA: f64 = 3.0;
/// Longest length, in tokens.
const LONGEST: f64 = 1e9;
/// Most ranges of a histogram.
const MOST_RANGES: usize = 10_000;

pub(super) fn check(check: &Check<'_>, path: &str, lengths: &Lengths) -> Result<(), Error> {
    match lengths {
        Lengths::Lognormal(lognormal) => self::lognormal(check, &format!("{path}.lognormal"), lognormal),
        Lengths::Histogram(histogram) => self::histogram(check, &format!("{path}.histogram"), histogram),
        Lengths::File(file) => {
            let path = format!("{path}.file.path");
            check.holds(!file.path.trim().is_empty(), &path, "found nothing, expected the path of a file", "")
        }
        Lengths::Constant(_) => Ok(()),
    }
}

fn lognormal(check: &Check<'_>, path: &str, lengths: &Lognormal) -> Result<(), Error> {
    let mean = lengths.mean.value;
    let at_mean = format!("{path}.mean");
    check.range(&at_mean, lengths.mean, 1.0, LONGEST)?;
    check.error(&at_mean, lengths.mean, mean)?;
    check.range(&format!("{path}.sigma"), lengths.sigma, 0.0, LARGEST_SIGMA)?;
    check.error(&format!("{path}.sigma"), lengths.sigma, LARGEST_SIGMA)?;
    let most = lengths.max.map_or(LONGEST, |max| max.get() as f64);
    let least = lengths.min.map_or(0.0, |min| min.get() as f64);
    let message = format!("found {least} above max, {most}");
    check.holds(least <= most, &format!("{path}.min"), &message, "")?;
    // Without spread the mean may be the bound itself.
    let flat = lengths.sigma.value == 0.0;
    let message = format!("a mean of {mean} cannot come out of lengths clipped at {most}");
    let hint = "mean is that of min(X, max): the mean that logs show; expected less than max";
    check.holds(mean < most || flat && mean == most, &at_mean, &message, hint)?;
    let message = format!("a mean of {mean} cannot come out of lengths of at least {least}");
    check.holds(mean > least || flat && mean == least, &at_mean, &message, "expected more than min")
}

fn histogram(check: &Check<'_>, path: &str, lengths: &Histogram) -> Result<(), Error> {
    let at_edges = format!("{path}.edges");
    let at_weights = format!("{path}.weights");
    let (edges, weights) = (&lengths.edges, &lengths.weights);
    let message = format!("found {} weights, expected 1 to {MOST_RANGES}", weights.len());
    check.holds((1..=MOST_RANGES).contains(&weights.len()), &at_weights, &message, "")?;
    let message = format!(
        "found {} edges for {} weights, expected one edge more than weights",
        edges.len(),
        weights.len()
    );
    check.holds(edges.len() == weights.len() + 1, &at_edges, &message, "")?;
    for (index, pair) in edges.windows(2).enumerate() {
        let message = format!("found {} after {}, expected rising edges", pair[1], pair[0]);
        check.holds(pair[1] > pair[0], &format!("{at_edges}[{}]", index + 1), &message, "")?;
    }
    let last = edges.last().map_or(0.0, |edge| edge.get());
    let message = format!("found {last}, expected at most {LONGEST} tokens");
    check.holds(last <= LONGEST, &format!("{at_edges}[{}]", edges.len() - 1), &message, "")?;
    let sum: f64 = weights.iter().map(|weight| weight.get()).sum();
    check.holds(sum > 0.0, &at_weights, "found a sum of 0, expected some weight above 0", "")?;
    let least = edges.first().map_or(0.0, |edge| edge.get());
    let most = lengths.max.map_or(LONGEST, |max: Count| max.get() as f64);
    let message = format!("found {most}, expected more than the first edge, {least}");
    check.holds(most > least, &format!("{path}.max"), &message, "")
}
