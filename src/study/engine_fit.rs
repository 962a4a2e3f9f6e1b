//! Software constants of serving engines, fitted to public serving runs.
//!
//! A run's time per output token = kernels + share · prefill + gap + per_request · batch. Kernels of a decode step at
//! the mean context (prompt and half of the output) and the prefill of one prompt come from the calibration with
//! `overhead: none`; prefills of the batch's other requests steal (batch - 1) · prefill / output tokens. Gap,
//! per_request and share are fitted to relative errors by non-negative least squares on a random half of the runs and
//! tested on the other half, over many splits; the constants are the medians over the splits. Only outputs of at least
//! 500 tokens are fitted and gated: in shorter ones prefill dominates. Runs whose KV cache would not hold the batch
//! queue, and are left out. Leaves out: anything about drafting, which no such run has.

mod runs;

use serde::Serialize;

pub use runs::{Run, RunsError, Table, read};

use crate::math::quantile_sorted;
use crate::piece::Shape;
use crate::resolve::{ResolveError, resolve_engine};
use crate::rng::{Purpose, Stream};
use crate::scenario::Document;

/// Output tokens from which a run is fitted and gated.
pub const LONG_OUTPUT: u32 = 500;
/// Random halves.
const SPLITS: u64 = 40;
/// Fewest runs that are fitted: fewer leave nothing to test on.
const FEWEST: usize = 8;

/// A run with what the calibration makes of it, milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Composed {
    /// The run.
    pub run: Run,
    /// Kernels of a decode step.
    pub kernels_ms: f64,
    /// What prefills of the other requests add to each token, at a share of one.
    pub prefill_ms: f64,
}

/// Median, mean and 95 % quantile of absolute relative errors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Errors {
    /// Runs.
    pub runs: usize,
    /// Median.
    pub median: f64,
    /// Mean.
    pub mean: f64,
    /// Mean of the signed errors: forecast over measured, minus one.
    pub bias: f64,
}

/// The errors of some of the runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What they have in common.
    pub label: String,
    /// Their errors.
    pub errors: Errors,
}

/// Constants of one engine, and how far they miss.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EngineFit {
    /// Engine, version and numbers of the runs.
    pub family: String,
    /// Runs with long outputs.
    pub runs: usize,
    /// Largest batch among them.
    pub largest_batch: u32,
    /// Host time of an iteration, microseconds.
    pub iteration_gap_us: f64,
    /// And for each request.
    pub per_request_us: f64,
    /// Share of the other requests' prefills that decoding waits for: part of the fit, not of the engine's profile.
    pub prefill_share: f64,
    /// Standard deviation of the constants over the splits, in the same order.
    pub spread: [f64; 3],
    /// Errors on test halves, all splits together.
    pub test: Errors,
    /// Test errors by tensor-parallel width and by batch, and those of shorter outputs.
    pub rows: Vec<Row>,
}

/// Prices a run's kernels with the calibration.
///
/// # Errors
///
/// Models, devices and layouts that do not resolve.
pub fn compose(run: &Run) -> Result<Composed, ResolveError> {
    let document = Document::parse("run", &run.scenario())?;
    let engine = resolve_engine(&document)?.engine;
    let batch = f64::from(run.batch);
    let context = batch * (f64::from(run.prompt_tokens) + 0.5 * f64::from(run.output_tokens));
    let decode = Shape { decoding: run.batch, ..Shape::default() };
    let prompt = u64::from(run.prompt_tokens);
    let prefill = Shape {
        prefill_tokens: run.prompt_tokens,
        prefill_pairs: prompt * (prompt + 1) / 2,
        prefill_ends: 1,
        ..Shape::default()
    };
    let piece = engine.piece(&prefill, 0.0);
    let one = piece.seconds(0.0) + prefill.prefill_pairs as f64 * piece.per_prefill_pair;
    Ok(Composed {
        run: run.clone(),
        kernels_ms: 1e3 * engine.piece(&decode, context).seconds(context),
        prefill_ms: 1e3 * one * (batch - 1.0) / f64::from(run.output_tokens),
    })
}

/// Fits the runs of one family; `None` where there are too few long ones.
pub fn fit(family: &str, runs: &[Composed]) -> Option<EngineFit> {
    let (long, short): (Vec<&Composed>, Vec<&Composed>) =
        runs.iter().partition(|composed| composed.run.output_tokens >= LONG_OUTPUT);
    if long.len() < FEWEST {
        return None;
    }
    let mut constants: Vec<[f64; 3]> = Vec::new();
    // Errors of each run whenever it was in a test half.
    let mut tested: Vec<Vec<f64>> = vec![Vec::new(); long.len()];
    for split in 0..SPLITS {
        let mut order: Vec<usize> = (0..long.len()).collect();
        order.sort_by_cached_key(|run| Stream::new(0, Purpose::HeldOut, &[split, *run as u64]).bits());
        let (fitted, test) = order.split_at(long.len().div_ceil(2));
        let half: Vec<&Composed> = fitted.iter().map(|run| long[*run]).collect();
        let solved = solve(&half);
        for run in test {
            tested[*run].push(error(long[*run], &solved));
        }
        constants.push(solved);
    }
    let medians = [0, 1, 2].map(|i| median(constants.iter().map(|c| c[i]).collect()));
    let spread = [0, 1, 2].map(|i| deviation(constants.iter().map(|c| c[i])));
    let mut rows = Vec::new();
    let mut group = |label: String, member: &dyn Fn(&Run) -> bool| {
        let errors: Vec<f64> = long
            .iter()
            .zip(&tested)
            .filter(|(composed, _)| member(&composed.run))
            .flat_map(|(_, errors)| errors.iter().copied())
            .collect();
        let count = long.iter().filter(|composed| member(&composed.run)).count();
        if let Some(errors) = summary(count, &errors) {
            rows.push(Row { label, errors });
        }
    };
    let mut widths: Vec<u32> = long.iter().map(|composed| composed.run.tp).collect();
    widths.sort_unstable();
    widths.dedup();
    for tp in widths {
        group(format!("TP {tp}"), &|run| run.tp == tp);
    }
    for (low, high) in [(1, 16), (17, 64), (65, 128), (129, u32::MAX)] {
        let label =
            if high == u32::MAX { format!("batch {low} and more") } else { format!("batch {low}-{high}") };
        group(label, &|run| (low..=high).contains(&run.batch));
    }
    let shorter: Vec<f64> = short.iter().map(|composed| error(composed, &medians)).collect();
    if let Some(errors) = summary(short.len(), &shorter) {
        rows.push(Row { label: format!("outputs below {LONG_OUTPUT} tokens"), errors });
    }
    Some(EngineFit {
        family: family.to_owned(),
        runs: long.len(),
        largest_batch: long.iter().map(|composed| composed.run.batch).max().unwrap_or(0),
        iteration_gap_us: 1e3 * medians[0],
        per_request_us: 1e3 * medians[1],
        prefill_share: medians[2],
        spread: [1e3 * spread[0], 1e3 * spread[1], spread[2]],
        test: summary(long.len(), &tested.concat())?,
        rows,
    })
}

/// Forecast over measured, minus one, with the constants [gap ms, per request ms, share].
fn error(composed: &Composed, constants: &[f64; 3]) -> f64 {
    let forecast = composed.kernels_ms + dot(&features(composed), constants);
    forecast / composed.run.tpot_ms - 1.0
}

fn features(composed: &Composed) -> [f64; 3] {
    [1.0, f64::from(composed.run.batch), composed.prefill_ms]
}

fn dot(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Non-negative least squares of relative errors, the share at most one: the best of all subsets of constants that are
/// not zero, with the share free or at its bound.
fn solve(runs: &[&Composed]) -> [f64; 3] {
    let mut best = ([0.0; 3], f64::INFINITY);
    for (bound, subset) in (0..8).map(|subset| (0.0, subset)).chain((0..4).map(|subset| (1.0, subset))) {
        let active: Vec<usize> = (0..3).filter(|i| subset & (1 << i) != 0).collect();
        let mut matrix = [[0.0; 4]; 3];
        for composed in runs {
            let measured = composed.run.tpot_ms;
            let x = features(composed).map(|feature| feature / measured);
            let y = 1.0 - (composed.kernels_ms + bound * composed.prefill_ms) / measured;
            for (row, i) in active.iter().enumerate() {
                for (column, j) in active.iter().enumerate() {
                    matrix[row][column] += x[*i] * x[*j];
                }
                matrix[row][3] += x[*i] * y;
            }
        }
        let Some(solution) = eliminate(matrix, active.len()) else { continue };
        let mut constants = [0.0, 0.0, bound];
        for (value, i) in solution.iter().zip(&active) {
            constants[*i] = *value;
        }
        if constants.iter().any(|value| *value < 0.0) || constants[2] > 1.0 {
            continue;
        }
        let loss: f64 = runs.iter().map(|composed| error(composed, &constants)).map(|e| e * e).sum();
        if loss < best.1 {
            best = (constants, loss);
        }
    }
    best.0
}

/// Gaussian elimination of up to three equations; the right side stands in the last column.
fn eliminate(mut matrix: [[f64; 4]; 3], size: usize) -> Option<Vec<f64>> {
    for column in 0..size {
        let pivot =
            (column..size).max_by(|a, b| matrix[*a][column].abs().total_cmp(&matrix[*b][column].abs()))?;
        matrix.swap(column, pivot);
        if matrix[column][column].abs() < 1e-15 {
            return None;
        }
        for row in 0..size {
            if row != column {
                let factor = matrix[row][column] / matrix[column][column];
                let pivot = matrix[column];
                for (value, above) in matrix[row].iter_mut().zip(pivot) {
                    *value -= factor * above;
                }
            }
        }
    }
    Some((0..size).map(|row| matrix[row][3] / matrix[row][row]).collect())
}

fn summary(runs: usize, errors: &[f64]) -> Option<Errors> {
    if errors.is_empty() {
        return None;
    }
    let count = errors.len() as f64;
    let bias = errors.iter().sum::<f64>() / count;
    let absolute: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
    let mean = absolute.iter().sum::<f64>() / count;
    Some(Errors { runs, median: median(absolute), mean, bias })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile_sorted(&values, 0.5)
}

fn deviation(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    libm::sqrt(values.map(|value| (value - mean) * (value - mean)).sum::<f64>() / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_up(batch: u32, tp: u32, output_tokens: u32, constants: &[f64; 3]) -> Composed {
        let run = Run {
            engine: "vllm".into(),
            version: "0.12.0".into(),
            model: "qwen3-32b".into(),
            device: "h100-sxm".into(),
            fp8: false,
            prompt_tokens: 1024,
            output_tokens,
            batch,
            tp,
            tpot_ms: 1.0,
        };
        let kernels_ms = 20.0 / f64::from(tp) + 0.05 * f64::from(batch);
        let prefill_ms = 60.0 * (f64::from(batch) - 1.0) / f64::from(output_tokens);
        let mut composed = Composed { run, kernels_ms, prefill_ms };
        composed.run.tpot_ms = kernels_ms + dot(&features(&composed), constants);
        composed
    }

    fn runs(constants: &[f64; 3]) -> Vec<Composed> {
        let mut all = Vec::new();
        for batch in [1, 8, 16, 32, 64, 128] {
            for tp in [2, 4, 8] {
                for output in [128, 512, 1024] {
                    all.push(made_up(batch, tp, output, constants));
                }
            }
        }
        all
    }

    #[test]
    fn constants_that_made_the_runs_come_out() {
        for truth in [[0.976, 0.037, 0.7], [0.25, 0.0, 1.0], [0.0, 0.012, 0.0]] {
            let fit = fit("made up", &runs(&truth)).unwrap_or_else(|| panic!("too few"));
            assert!((fit.iteration_gap_us - 1e3 * truth[0]).abs() < 1e-6, "{fit:?}");
            assert!((fit.per_request_us - 1e3 * truth[1]).abs() < 1e-6, "{fit:?}");
            assert!((fit.prefill_share - truth[2]).abs() < 1e-9 && fit.test.mean < 1e-9, "{fit:?}");
            assert_eq!((fit.runs, fit.largest_batch), (36, 128));
        }
    }

    #[test]
    fn errors_are_of_runs_that_were_not_fitted() {
        // One run in seven is twice as slow: whoever is tested on it misses by half, whoever is fitted does not help.
        let mut all = runs(&[0.5, 0.02, 0.5]);
        for composed in all.iter_mut().step_by(7) {
            composed.run.tpot_ms *= 2.0;
        }
        let fit = fit("odd ones", &all).unwrap_or_else(|| panic!("too few"));
        assert!(fit.test.mean > 0.02 && fit.test.median < fit.test.mean, "{:?}", fit.test);
        assert!(fit.rows.iter().any(|row| row.label.starts_with("outputs below")));
    }

    #[test]
    fn a_handful_of_runs_is_not_fitted() {
        assert!(fit("few", &runs(&[0.5, 0.0, 0.5])[..9]).is_none());
    }
}
