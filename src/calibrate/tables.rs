//! A run's rows as measured tables, which `rollcast fit` reads, and its steps as a plain table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::forecast::Frozen;
use super::outcome::Measured;
use super::plan::Family;
use super::work::{Choice, Format, HEAD_DIM, Mask, RowKernel, Work};
use crate::measured::{self, Clocks, Header, L2, Op, Row, Table, VERSION};

/// Where rows come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Catalog id of the device.
    pub device: String,
    /// Driver.
    pub driver: Option<String>,
    /// Versions of libraries, and the hash of the kernels' source.
    pub versions: BTreeMap<String, String>,
    /// Whose figures: begins with `own` where they were measured.
    pub provider: String,
}

/// A table that a row goes into, its file's name, and the state of the cache.
struct Place {
    file: &'static str,
    op: Op,
    l2: L2,
    labels: Vec<String>,
    axes: Vec<u64>,
}

fn dtype(format: Format) -> &'static str {
    match format {
        Format::Bf16 => "bf16",
        Format::Fp8 => "fp8",
    }
}

fn place(row: &Measured) -> Option<Place> {
    let bf16 = || "bf16".to_owned();
    let cold = |file, op, labels, axes| Some(Place { file, op, l2: L2::Cold, labels, axes });
    match &row.point.work {
        Work::Copy { bytes } => {
            cold("elementwise.csv", Op::Elementwise, vec!["copy".to_owned()], vec![2 * bytes])
        }
        Work::Gemm { format, shape, choice } => {
            let file = if *choice == Choice::Best { "gemm_best.csv" } else { "gemm.csv" };
            cold(file, Op::Gemm, vec![dtype(*format).to_owned()], shape.to_vec())
        }
        Work::Attention { mask, heads: [h, kv], batch, queries, context, page } => {
            let axes = vec![*h, *kv, HEAD_DIM, *batch, *queries, *context];
            if row.point.family == Family::Verify {
                return cold("attention_decode.csv", Op::AttentionDecode, vec![bf16()], axes);
            }
            let mask = if *mask == Mask::Chain { "chain" } else { "tree" };
            let axes = [axes, vec![*page]].concat();
            let labels = vec![bf16(), mask.to_owned()];
            cold("attention_variant.csv", Op::AttentionVariant, labels, axes)
        }
        Work::Prefill { heads: [h, kv], batch, tokens } => {
            let axes = vec![*h, *kv, HEAD_DIM, *batch, *tokens];
            cold("attention_prefill.csv", Op::AttentionPrefill, vec![bf16()], axes)
        }
        // As engines have it: activations are where the kernel before left them, in the cache as far as they fit there.
        Work::Tokens { kernel, .. } => Some(Place {
            file: "elementwise_mixed.csv",
            op: Op::Elementwise,
            l2: L2::Mixed,
            labels: vec![kernel.name().to_owned()],
            axes: vec![row.point.work.bytes() as u64],
        }),
        Work::Rows { kernel, rows, vocabulary, draft } => {
            let positions = if *kernel == RowKernel::VerifyChain { draft + 1 } else { 1 };
            let labels = vec![kernel.name().to_owned()];
            cold("sampling.csv", Op::Sampling, labels, vec![*rows, *vocabulary, positions])
        }
        Work::Host { what, count } => Some(Place {
            file: "overhead.csv",
            op: Op::Overhead,
            l2: L2::Hot,
            labels: vec![what.name().to_owned()],
            axes: vec![*count],
        }),
        Work::Step { .. } => None,
    }
}

/// File names and texts of all tables that have rows. Where rows are not to be trusted, each is flagged.
pub fn tables(rows: &[Measured], provenance: &Provenance, trusted: bool) -> Vec<(String, String)> {
    let mut all: BTreeMap<&'static str, Table> = BTreeMap::new();
    for row in rows {
        let Some(place) = place(row) else { continue };
        let table = all.entry(place.file).or_insert_with(|| Table {
            name: place.file.to_owned(),
            header: Header {
                rollcast_measured: VERSION,
                device: provenance.device.clone(),
                driver: provenance.driver.clone(),
                versions: provenance.versions.clone(),
                provider: provenance.provider.clone(),
                l2: place.l2,
                clocks: Clocks::Burst,
                op: place.op,
                axes: place.op.axes().iter().map(|(a, u)| ((*a).to_owned(), (*u).to_owned())).collect(),
            },
            rows: Vec::new(),
        });
        table.rows.push(Row {
            line: 0,
            labels: place.labels,
            axes: place.axes.into_iter().map(|x| x as f64).collect(),
            timing: row.spread.timing(),
            flagged: row.unstable || !trusted,
        });
    }
    // Sorted by shape: the order of measurement is random, and is in the log.
    let order = |a: &Row, b: &Row| {
        let axes = a.axes.iter().zip(&b.axes).map(|(x, y)| x.total_cmp(y));
        a.labels.cmp(&b.labels).then(axes.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then))
    };
    let mut files: Vec<(String, String)> = all
        .into_values()
        .map(|mut table| {
            table.rows.sort_by(order);
            (table.name.clone(), measured::write(&table))
        })
        .collect();
    files.extend(algorithms(rows).map(|text| ("algorithms.csv".to_owned(), text)));
    files
}

/// What the library chose for each product; none where there is no product.
fn algorithms(rows: &[Measured]) -> Option<String> {
    let mut chosen: Vec<([u64; 3], &'static str, bool, &str)> = rows
        .iter()
        .filter_map(|row| match &row.point.work {
            Work::Gemm { format, shape, choice } => {
                Some((*shape, dtype(*format), *choice == Choice::Best, row.opened.note.as_str()))
            }
            _ => None,
        })
        .collect();
    chosen.sort_unstable();
    let mut text = "dtype,m,n,k,choice,algorithm\n".to_owned();
    for ([m, n, k], dtype, best, note) in &chosen {
        let choice = if *best { "best" } else { "first" };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{dtype},{m},{n},{k},{choice},{note}");
    }
    (!chosen.is_empty()).then_some(text)
}

/// Steps beside their forecasts.
pub fn steps(rows: &[Measured], works: &[Work], frozen: &Frozen) -> String {
    let mut text = format!(
        "# forecasts frozen before any step was measured, hash {:016x}\n\
         step,forecast_us,measured_us,low_us,high_us,error\n",
        frozen.hash
    );
    for (work, forecast) in works.iter().zip(&frozen.seconds) {
        let Some(row) = rows.iter().find(|row| row.point.work == *work) else { continue };
        let Work::Step { name, .. } = work else { continue };
        let us = |s: f64| 1e6 * s;
        let [low, high] = row.spread.interval.map(us);
        let (said, error) = match forecast {
            Some(s) => (format!("{:.2}", us(*s)), format!("{:.4}", s / row.spread.median - 1.0)),
            None => (String::new(), String::new()),
        };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{name},{said},{:.2},{low:.2},{high:.2},{error}", us(row.spread.median));
    }
    text
}
