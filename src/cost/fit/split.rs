//! Held-out errors: rows are left out by group, the whole form is fitted on the others, and the left-out rows are
//! predicted. Groups fall into five folds by a hash; each fold is left out once.

use rayon::prelude::*;

use crate::math::quantile_sorted;
use crate::profile::HeldOut;
use crate::rng::mix;

/// Folds.
const FOLDS: u64 = 5;
/// The 95 % quantile of the standard normal law: a 90 % band is this many sigmas each way.
pub(super) const Z95: f64 = 1.644_853_626_951_472_2;

/// A family of rows that a form can be fitted to.
pub(super) trait Fit: Sync {
    type Row: Sync;
    type Form: Send;
    /// Fits a form.
    fn fit(&self, rows: &[&Self::Row]) -> Option<Self::Form>;
    /// ln(predicted / measured).
    fn error(&self, form: &Self::Form, row: &Self::Row) -> f64;
}

/// Errors of one split: ln(predicted / measured) of each held-out row.
#[derive(Debug, Clone)]
pub(super) struct Errors {
    pub(super) family: &'static str,
    pub(super) split: &'static str,
    pub(super) logs: Vec<f64>,
}

/// The group of a number that no row has alone: rows of the same key are left out together.
pub(super) fn key(parts: &[f64]) -> u64 {
    parts.iter().fold(0, |hash, x| mix(hash ^ x.to_bits()))
}

/// Leaves out groups in turn. `group` is `None` for rows that always stay in the fit; `folds` of the five are run.
pub(super) fn hold_out<F: Fit>(
    fit: &F,
    rows: &[F::Row],
    (family, split): (&'static str, &'static str),
    folds: u64,
    group: impl Fn(usize, &F::Row) -> Option<u64> + Sync,
) -> Errors {
    let fold = |i: usize| group(i, &rows[i]).map(|key| mix(key ^ 0x5eed) % FOLDS);
    let of: Vec<Option<u64>> = (0..rows.len()).map(fold).collect();
    let errors: Vec<Vec<f64>> = (0..folds)
        .into_par_iter()
        .map(|out| {
            let kept: Vec<&F::Row> =
                rows.iter().zip(&of).filter(|(_, f)| **f != Some(out)).map(|(row, _)| row).collect();
            let Some(form) = fit.fit(&kept) else { return Vec::new() };
            let left = rows.iter().zip(&of).filter(|(_, f)| **f == Some(out));
            left.map(|(row, _)| fit.error(&form, row)).collect()
        })
        .collect();
    Errors { family, split, logs: errors.concat() }
}

/// Errors one and two octaves beyond what was fitted: rows up to `limit` / 4 are fitted, those above it, and above
/// `limit` / 2, predicted.
pub(super) fn beyond<F: Fit>(
    fit: &F,
    rows: &[F::Row],
    family: &'static str,
    [one, two]: [&'static str; 2],
    limit: f64,
    size: impl Fn(&F::Row) -> f64,
) -> Vec<Errors> {
    let kept: Vec<&F::Row> = rows.iter().filter(|row| size(row) <= limit / 4.0).collect();
    let Some(form) = fit.fit(&kept) else { return Vec::new() };
    let errors = |from: f64, to: f64| {
        let far = rows.iter().filter(|row| size(row) > from && size(row) <= to);
        far.map(|row| fit.error(&form, row)).collect()
    };
    vec![
        Errors { family, split: one, logs: errors(limit / 4.0, limit / 2.0) },
        Errors { family, split: two, logs: errors(limit / 2.0, limit) },
    ]
}

/// The log-sigma whose 90 % band holds 90 % of the errors.
pub(super) fn sigma<'a>(errors: impl IntoIterator<Item = &'a Errors>) -> f64 {
    let mut sizes: Vec<f64> = errors.into_iter().flat_map(|e| e.logs.iter().map(|x| x.abs())).collect();
    sizes.sort_by(f64::total_cmp);
    quantile_sorted(&sizes, 0.9) / Z95
}

/// What one split's log-sigma has on top of another's, in quadrature; `None` without errors.
pub(super) fn excess(errors: &[Errors], split: &str, sigma_inside: f64) -> Option<f64> {
    let of = errors.iter().find(|e| e.split == split && !e.logs.is_empty())?;
    let found = sigma([of]);
    Some(libm::sqrt((found * found - sigma_inside * sigma_inside).max(0.0)))
}

/// The table's line of a split.
pub(super) fn held_out(errors: &Errors, sigma: f64) -> HeldOut {
    let relative = |e: &f64| libm::exp(*e) - 1.0;
    let mut sizes: Vec<f64> = errors.logs.iter().map(|e| relative(e).abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let n = sizes.len().max(1) as f64;
    let percent = |x: f64| libm::round(x * 1e4) / 100.0;
    HeldOut {
        family: errors.family.to_owned(),
        split: errors.split.to_owned(),
        rows: sizes.len(),
        median: percent(quantile_sorted(&sizes, 0.5)),
        mean: percent(sizes.iter().sum::<f64>() / n),
        p95: percent(quantile_sorted(&sizes, 0.95)),
        bias: percent(errors.logs.iter().map(relative).sum::<f64>() / n),
        in_band: percent(errors.logs.iter().filter(|e| e.abs() <= Z95 * sigma).count() as f64 / n),
    }
}
