//! Sustained products: the median ratio of power-limited rows to the burst form, by m.

use super::gemm::{Family, Row};
use super::split::{Errors, Fit, key};
use crate::cost::gemm;
use crate::math::quantile_sorted;
use crate::profile::{GemmForm, Sustained};
use crate::rng::mix;

const M: [f64; 9] = [64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16_384.0];

/// The table of a burst form and rows at sustained clocks; a ratio below one is noise and taken as one.
pub(super) fn fit(family: &Family, form: &GemmForm, rows: &[Row]) -> Option<Sustained> {
    let ratios = M.map(|m| {
        let mut logs: Vec<f64> =
            rows.iter().filter(|row| row.shape[0] == m).map(|row| -family.error(form, row)).collect();
        logs.sort_by(f64::total_cmp);
        (!logs.is_empty()).then(|| libm::exp(quantile_sorted(&logs, 0.5)).max(1.0))
    });
    let known: Vec<(f64, f64)> = M.into_iter().zip(ratios).filter_map(|(m, r)| Some((m, r?))).collect();
    (!known.is_empty()).then(|| Sustained {
        m: known.iter().map(|(m, _)| *m).collect(),
        ratio: known.iter().map(|(_, r)| libm::round(r * 1e3) / 1e3).collect(),
        spread: None,
    })
}

/// Their split.
pub(super) const SPLIT: &str = "sustained, unseen (n, k)";

/// Errors at sustained clocks on weight matrices whose rows the ratios were not taken from.
pub(super) fn held_out(family: &Family, form: &GemmForm, rows: &[Row], name: &'static str) -> Errors {
    let left = |row: &Row| mix(key(&row.shape[1..])).is_multiple_of(2);
    let kept: Vec<Row> = rows.iter().copied().filter(|row| !left(row)).collect();
    let table = fit(family, form, &kept);
    let error = |row: &Row| {
        family.error(form, row) + table.as_ref().map_or(0.0, |t| gemm::sustained(t, row.shape[0]))
    };
    Errors { family: name, split: SPLIT, logs: rows.iter().filter(|row| left(row)).map(error).collect() }
}
