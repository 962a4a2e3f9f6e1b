//! From tables to the rows that each family is fitted on; what does not count is left out and counted by reason. A
//! table whose times cannot be in microseconds is refused whole.

use super::{FEWEST, FitError, attention, gemm, linear, memory, moe, prefill};
use crate::cost::Machine;
use crate::measured::{Clocks, Excluded, L2, Op, Reason, Row, Table, screen};
use crate::profile::{Imbalance, SkewAlpha};
use crate::resolved::Precision;

/// Share of a table's rows above the device's peak from which its times are taken to be in another unit. Of the public
/// tables none has any.
const MANY_ABOVE_PEAK: f64 = 0.25;
/// Share of the peak that the best row of a table reaches at least: less means times a thousand times too long.
const LEAST_OF_PEAK: f64 = 1e-3;

/// Rows by family. Pairs are bf16 and fp8.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) gemm: [Vec<gemm::Row>; 2],
    pub(super) sustained: [Vec<gemm::Row>; 2],
    pub(super) decode: Vec<attention::Row>,
    pub(super) decode_hot: Vec<attention::Row>,
    pub(super) latent: Vec<attention::Row>,
    pub(super) latent_hot: Vec<attention::Row>,
    pub(super) prefill: Vec<prefill::Row>,
    pub(super) linear: Vec<linear::Row>,
    pub(super) moe: [Vec<moe::Row>; 2],
    pub(super) elementwise: Vec<memory::Row>,
    pub(super) sampling: Vec<memory::Row>,
    pub(super) verification: Vec<memory::Row>,
    pub(super) all_reduce: Vec<Row>,
    pub(super) all_gather: Vec<Row>,
    pub(super) reduce_scatter: Vec<Row>,
    pub(super) excluded: Excluded,
    /// Tables that no family is fitted on, by operation.
    pub(super) unused: Vec<Op>,
}

/// What the rows of one table reach of the device's peak.
#[derive(Default)]
struct Reached {
    rows: usize,
    above: usize,
    most: f64,
}

impl Reached {
    /// Takes a row's share of the peak.
    fn take(&mut self, share: f64) {
        self.rows += 1;
        self.above += usize::from(share > 1.0);
        self.most = self.most.max(share);
    }

    /// Refuses times that cannot be microseconds.
    fn check(&self, name: &str) -> Result<(), FitError> {
        let wrong = if self.rows < FEWEST {
            return Ok(());
        } else if self.above as f64 > MANY_ABOVE_PEAK * self.rows as f64 {
            format!("{} of {} rows are faster than the device's peak", self.above, self.rows)
        } else if self.most <= LEAST_OF_PEAK {
            format!("no row reaches {} % of the device's peak", 100.0 * LEAST_OF_PEAK)
        } else {
            return Ok(());
        };
        Err(FitError::Unit { name: name.to_owned(), wrong })
    }
}

impl Rows {
    /// Attention rows with several query tokens.
    pub(super) fn verify(&self) -> usize {
        self.decode.iter().filter(|row| row.queries > 1.0).count()
    }

    /// Names of the families that have rows, as profiles name them.
    pub(super) fn families(&self) -> Vec<String> {
        [
            ("gemm bf16", self.gemm[0].len()),
            ("gemm fp8", self.gemm[1].len()),
            ("attention_decode", self.decode.len()),
            ("verify_attention", self.verify()),
            ("attention_latent", self.latent.len()),
            ("attention_prefill", self.prefill.len()),
            ("linear_attention", self.linear.len()),
            ("moe bf16", self.moe[0].len()),
            ("moe fp8", self.moe[1].len()),
            ("elementwise", self.elementwise.len()),
            ("sampling", self.sampling.len()),
            ("verification", self.verification.len()),
            ("all_reduce", self.all_reduce.len()),
        ]
        .into_iter()
        .filter(|(_, rows)| *rows > 0)
        .map(|(name, _)| name.to_owned())
        .collect()
    }
}

/// Sorts rows into families.
pub(super) fn sort(
    tables: Vec<Table>,
    machine: &Machine,
    skew: &SkewAlpha,
    overload: &Imbalance,
) -> Result<Rows, FitError> {
    let mut rows = Rows::default();
    for mut table in tables {
        let mut reached = Reached::default();
        screen(&mut table, &mut rows.excluded);
        let sustained = table.header.clocks == Clocks::Sustained;
        let cold = table.header.l2 == L2::Cold;
        let own = table.header.provider.starts_with("own");
        for row in table.rows {
            let us = row.timing.median;
            match table.header.op {
                Op::Gemm => {
                    let Some(format) = format_of(&row.labels[0], &["fp8"]) else {
                        rows.excluded.count(Reason::OutOfRange);
                        continue;
                    };
                    let own = gemm::Row { shape: [row.axes[0], row.axes[1], row.axes[2]], us };
                    let peak = [machine.bf16, machine.fp8][format];
                    let share = 2.0 * own.shape.iter().product::<f64>() / (peak * us * 1e-6);
                    reached.take(share);
                    let to = if sustained { &mut rows.sustained } else { &mut rows.gemm };
                    keep(&mut to[format], &mut rows.excluded, own, share > 1.0, own.counts());
                }
                Op::AttentionDecode | Op::AttentionLatent => {
                    let latent = table.header.op == Op::AttentionLatent;
                    let [heads, kv_heads, head_dim, batch, queries, context] = if latent {
                        [row.axes[0], 1.0, 128.0, row.axes[1], row.axes[2], row.axes[3]]
                    } else {
                        std::array::from_fn(|axis| row.axes[axis])
                    };
                    let own = attention::Row { heads, kv_heads, batch, queries, context, us, cold, latent };
                    // A cache that fits the L2 is read faster than from memory.
                    let bytes = if own.bytes() > 2e8 { own.bytes() } else { 0.0 };
                    let share = (own.flops() / machine.bf16).max(bytes / machine.bandwidth) / (us * 1e-6);
                    let fast = share > 1.0;
                    // Bytes and operations are those of a bf16 cache with heads of 128.
                    let known = row.labels[0] == "bf16" && head_dim == 128.0;
                    if known {
                        reached.take(share);
                    }
                    let fits = known && own.in_range();
                    let [counted, hot] = if latent {
                        [&mut rows.latent, &mut rows.latent_hot]
                    } else {
                        [&mut rows.decode, &mut rows.decode_hot]
                    };
                    let to = if own.counts() {
                        counted
                    } else {
                        if fits && !fast {
                            rows.excluded.count(Reason::CacheHot);
                        }
                        hot
                    };
                    keep(to, &mut rows.excluded, own, fast, fits);
                }
                Op::AttentionPrefill => {
                    let own = prefill::Row {
                        heads: row.axes[0],
                        kv_heads: row.axes[1],
                        batch: row.axes[3],
                        tokens: row.axes[4],
                        us,
                    };
                    let known = row.labels[0] == "bf16" && row.axes[2] == 128.0;
                    let share = own.flops() / (machine.bf16 * us * 1e-6);
                    if known {
                        reached.take(share);
                    }
                    keep(&mut rows.prefill, &mut rows.excluded, own, share > 1.0, known && own.counts());
                }
                Op::LinearAttention => {
                    let Some(own) = linear::Row::read(&row.labels, &row.axes, us, cold) else {
                        rows.excluded.count(Reason::OutOfRange);
                        continue;
                    };
                    let share = own.bytes() / (machine.bandwidth * us * 1e-6);
                    if own.bytes() > 0.0 {
                        reached.take(share);
                    }
                    keep(&mut rows.linear, &mut rows.excluded, own, share > 1.0, own.counts());
                }
                Op::Moe => {
                    let layer: [f64; 6] = std::array::from_fn(|i| row.axes[i]);
                    let skew = match row.labels[1].as_str() {
                        "balanced" => Some(skew.balanced),
                        "pl1.01" => Some(skew.pl101),
                        "pl1.2" => Some(skew.pl12),
                        _ => None,
                    };
                    let in_range = moe::Row::in_range(layer) && row.axes[6] <= 16_384.0;
                    let (Some(format), Some(skew), true) =
                        (format_of(&row.labels[0], &["fp8_block", "fp8"]), skew, in_range)
                    else {
                        rows.excluded.count(Reason::OutOfRange);
                        continue;
                    };
                    let weights = [Precision::Bf16, Precision::Fp8][format];
                    let own = moe::Row::new(layer, [row.axes[6], skew, us], weights, overload);
                    keep(&mut rows.moe[format], &mut rows.excluded, own, false, true);
                }
                // A bare copy is a ceiling, not a kernel of a step.
                Op::Elementwise if own && row.labels[0] == "copy" => rows.excluded.count(Reason::OutOfRange),
                Op::Elementwise if own => rows.elementwise.push(memory::Row { bytes: row.axes[0], us }),
                Op::Sampling if own && row.labels[0] == "sample" => {
                    rows.sampling.push(memory::Row { bytes: 4.0 * row.axes[0] * row.axes[1], us });
                }
                // One row of each sequence is read again: as `Kernels::verification` counts.
                Op::Sampling if own && row.labels[0] == "verify_chain" => {
                    let bytes = 4.0 * row.axes[0] * (row.axes[2] + 1.0) * row.axes[1];
                    rows.verification.push(memory::Row { bytes, us });
                }
                Op::Sampling if own => rows.excluded.count(Reason::OutOfRange),
                Op::AllReduce => rows.all_reduce.push(row),
                Op::AllGather => rows.all_gather.push(row),
                Op::ReduceScatter => rows.reduce_scatter.push(row),
                other => {
                    if !rows.unused.contains(&other) {
                        rows.unused.push(other);
                    }
                }
            }
        }
        reached.check(&table.name)?;
    }
    Ok(rows)
}

/// 0 for bf16, 1 for one of the names of fp8.
fn format_of(label: &str, fp8: &[&str]) -> Option<usize> {
    if label == "bf16" { Some(0) } else { fp8.contains(&label).then_some(1) }
}

fn keep<T>(to: &mut Vec<T>, excluded: &mut Excluded, row: T, above_peak: bool, counts: bool) {
    match (counts, above_peak) {
        (false, _) => excluded.count(Reason::OutOfRange),
        (true, true) => excluded.count(Reason::AbovePeak),
        (true, false) => to.push(row),
    }
}
