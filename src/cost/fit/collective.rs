//! Collectives: a table of sizes for each number of GPUs, made rising; and what a call outside a CUDA graph adds.

use super::split::Errors;
use crate::math::{log_log, quantile_sorted};
use crate::measured::Row;
use crate::profile::SizeTable;

/// Whose all-reduce the tables are.
const IN_GRAPH: &str = "vllm_graph";
const EAGER: &str = "vllm_eager";
/// Largest size that the extra of eager calls is taken from, bytes.
const SMALL: f64 = 16_777_216.0;

/// (ranks, bytes, microseconds) of an implementation.
fn rows<'a>(rows: &'a [Row], implementation: &'static str) -> impl Iterator<Item = [f64; 3]> + 'a {
    rows.iter()
        .filter(move |row| row.labels[0].starts_with(implementation))
        .map(|row| [row.axes[0], row.axes[1], row.timing.median])
}

/// The tables by rising number of GPUs; of tables without vLLM's rows, all that there are.
pub(super) fn tables(all: &[Row]) -> Vec<SizeTable> {
    let implementation = if rows(all, IN_GRAPH).next().is_some() { IN_GRAPH } else { "" };
    let mut ranks: Vec<u32> = rows(all, implementation).map(|row| row[0] as u32).collect();
    ranks.sort_unstable();
    ranks.dedup();
    ranks
        .into_iter()
        .map(|gpus| {
            let mut points: Vec<[f64; 2]> = rows(all, implementation)
                .filter(|row| row[0] as u32 == gpus)
                .map(|[_, bytes, us]| [bytes, us])
                .collect();
            points.sort_by(|a, b| a[0].total_cmp(&b[0]));
            table(gpus, &points)
        })
        .collect()
}

fn table(gpus: u32, points: &[[f64; 2]]) -> SizeTable {
    let mut floor = 0.0_f64;
    let us = points.iter().map(|point| {
        floor = floor.max(point[1]);
        libm::round(floor * 100.0) / 100.0
    });
    SizeTable { gpus, us: us.collect(), bytes: points.iter().map(|point| point[0]).collect() }
}

/// What a call outside a graph adds: the median over sizes, the mean over numbers of GPUs.
pub(super) fn eager_extra(all: &[Row], tables: &[SizeTable]) -> Option<f64> {
    let medians: Vec<f64> = tables
        .iter()
        .filter_map(|table| {
            let mut extra: Vec<f64> = rows(all, EAGER)
                .filter(|row| row[0] as u32 == table.gpus && row[1] <= SMALL)
                .map(|[_, bytes, us]| us - log_log(&table.bytes, &table.us, bytes))
                .collect();
            extra.sort_by(f64::total_cmp);
            (!extra.is_empty()).then(|| quantile_sorted(&extra, 0.5))
        })
        .collect();
    let mean = medians.iter().sum::<f64>() / medians.len() as f64;
    (!medians.is_empty()).then_some(libm::round(mean * 10.0) / 10.0)
}

/// Held-out errors: every second size left out in turn; and one and two octaves beyond the largest kept.
pub(super) fn held_out(family: &'static str, tables: &[SizeTable]) -> Vec<Errors> {
    let errors = |keep: &dyn Fn(usize, usize) -> bool, test: &dyn Fn(usize, usize) -> bool| {
        let of = |table: &SizeTable| {
            let n = table.bytes.len();
            let pick = |values: &[f64]| -> Vec<f64> {
                values.iter().enumerate().filter(|(i, _)| keep(*i, n)).map(|(_, x)| *x).collect()
            };
            let (bytes, us) = (pick(&table.bytes), pick(&table.us));
            let left = (0..n).filter(|i| test(*i, n));
            left.map(|i| libm::log(log_log(&bytes, &us, table.bytes[i]) / table.us[i])).collect::<Vec<_>>()
        };
        tables.iter().flat_map(of).collect::<Vec<_>>()
    };
    let inner = |i: usize, n: usize, odd: usize| i % 2 == odd && i > 0 && i + 1 < n;
    let mut sizes = errors(&|i, n| !inner(i, n, 0), &|i, n| inner(i, n, 0));
    sizes.extend(errors(&|i, n| !inner(i, n, 1), &|i, n| inner(i, n, 1)));
    let beyond = |octaves: usize| errors(&|i, n| i + 2 < n, &|i, n| i + 3 == n + octaves);
    vec![
        Errors { family, split: "unseen sizes", logs: sizes },
        Errors { family, split: "one octave beyond", logs: beyond(1) },
        Errors { family, split: "two octaves beyond", logs: beyond(2) },
    ]
}
