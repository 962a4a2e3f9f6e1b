//! Prefill attention: the form and a residual over (tokens x heads, tokens of a sequence, heads a KV head, KV heads).
//! Of the same work, that of fewer KV heads and more sequences takes up to twice as long in the tables.
//!
//! Rows: bf16, heads of 128 features, nothing before the sequence, 128 to 16,384 tokens a sequence, at most 65,536
//! tokens. The form is fitted from 512 tokens a sequence on, longer ones weighted up to three times.

use super::base::{self, Bound};
use super::split::{self, Errors, Fit};
use super::surface::{self, Point};
use crate::cost::{Machine, attention};
use crate::math::Surface;
use crate::profile::{PrefillAttentionForm, Residual};

const WORK: [f64; 27] = [
    128.0,
    512.0,
    1024.0,
    2048.0,
    3072.0,
    4096.0,
    6144.0,
    8192.0,
    12_288.0,
    16_384.0,
    24_576.0,
    32_768.0,
    49_152.0,
    65_536.0,
    98_304.0,
    131_072.0,
    196_608.0,
    262_144.0,
    393_216.0,
    524_288.0,
    786_432.0,
    1_048_576.0,
    1_572_864.0,
    2_097_152.0,
    3_145_728.0,
    4_194_304.0,
    6_291_456.0,
];
const TOKENS: [f64; 11] =
    [128.0, 256.0, 512.0, 1024.0, 1536.0, 2048.0, 3072.0, 4096.0, 6144.0, 8192.0, 16_384.0];
const GROUP: [f64; 5] = [1.0, 2.0, 4.0, 8.0, 16.0];
const KV_HEADS: [f64; 6] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
const STIFFNESS: [f64; 4] = [0.03, 0.03, 0.05, 0.05];

#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) heads: f64,
    pub(super) kv_heads: f64,
    pub(super) batch: f64,
    pub(super) tokens: f64,
    pub(super) us: f64,
}

impl Row {
    pub(super) fn counts(&self) -> bool {
        self.tokens >= 128.0 && self.batch * self.tokens <= 65_536.0
    }

    fn pairs(&self) -> f64 {
        self.batch * self.tokens * self.tokens / 2.0
    }

    pub(super) fn flops(&self) -> f64 {
        512.0 * self.heads * self.pairs()
    }

    fn place(&self) -> [f64; 4] {
        attention::prefill_place(self.batch * self.tokens, self.tokens, self.heads, self.kv_heads)
    }
}

pub(super) struct Family {
    pub(super) machine: Machine,
    /// Decode attention's: rows of one device cannot tell the write into the cache from what else grows with KV heads.
    pub(super) memory_efficiency: f64,
}

impl Family {
    fn base_at(&self, form: &PrefillAttentionForm, row: &Row) -> f64 {
        let heads = [row.heads, row.kv_heads, 128.0];
        let [fixed, per_pair] = attention::prefill(form, &self.machine, row.batch * row.tokens, heads);
        fixed + per_pair * row.pairs()
    }

    fn base(&self, rows: &[&Row]) -> PrefillAttentionForm {
        let long: Vec<&Row> = rows.iter().copied().filter(|row| row.tokens >= 512.0).collect();
        let weights: Vec<f64> =
            long.iter().map(|row| (1.0 + libm::log2(row.tokens / 512.0) / 2.0).min(3.0)).collect();
        let form = |p: &[f64; 4]| PrefillAttentionForm {
            t0_us: p[0],
            compute_efficiency: p[1],
            memory_efficiency: self.memory_efficiency,
            query_keys: p[2],
            kv_keys: p[3],
            sigma: 0.0,
            residual: None,
        };
        let start = [
            (19.0, Bound::Positive),
            (0.67, Bound::Between(0.2, 0.95)),
            (300.0, Bound::Positive),
            (200.0, Bound::Positive),
        ];
        let found =
            base::fit(start, &weights, |p, i| libm::log(self.base_at(&form(p), long[i]) * 1e6 / long[i].us));
        form(&found.map(base::rounded))
    }

    fn fall(&self, form: &PrefillAttentionForm, surface: &Surface<4>, axis: usize, node: [usize; 4]) -> f64 {
        let knots = surface.knots(axis);
        let Some(next) = knots.get(node[axis] + 1) else { return 0.0 };
        let (group, tokens) = (surface.knots(2)[node[2]], surface.knots(1)[node[1]]);
        let work = surface.knots(0)[node[0]];
        let kv_heads = surface.knots(3)[node[3]];
        let heads = group * kv_heads;
        let row = Row { heads, kv_heads, batch: work / (tokens * heads), tokens, us: 1.0 };
        let factor = 1.001;
        let moved = if axis == 0 {
            Row { batch: row.batch * factor, ..row }
        } else {
            Row { tokens: row.tokens * factor, batch: row.batch / factor, ..row }
        };
        let rise = libm::log(self.base_at(form, &moved) / self.base_at(form, &row));
        rise * libm::log(next / knots[node[axis]]) / libm::log(factor)
    }
}

impl Fit for Family {
    type Row = Row;
    type Form = PrefillAttentionForm;

    fn fit(&self, rows: &[&Row]) -> Option<PrefillAttentionForm> {
        let mut form = self.base(rows);
        let knots = [WORK.to_vec(), TOKENS.to_vec(), GROUP.to_vec(), KV_HEADS.to_vec()];
        let grid = Surface::zero(knots.clone())?;
        let points: Vec<Point<4>> = rows
            .iter()
            .map(|row| {
                let x = row.place();
                let target = libm::log(row.us / (self.base_at(&form, row) * 1e6));
                Point { cells: std::array::from_fn(|axis| grid.cell(axis, x[axis])), target, weight: 1.0 }
            })
            .collect();
        let mut surface = surface::fit(knots, &points, STIFFNESS)?;
        surface::monotone(&mut surface, |axis, node| {
            (axis < 2).then(|| self.fall(&form, &grid, axis, node).max(0.0))
        });
        form.residual = Some(Residual(surface));
        Some(form)
    }

    fn error(&self, form: &PrefillAttentionForm, row: &Row) -> f64 {
        let r = form.residual.as_ref().map_or(0.0, |r| r.0.at(row.place()));
        libm::log(self.base_at(form, row) * 1e6 / row.us) + r
    }
}

/// Held-out errors: random rows, unseen heads, unseen lengths.
pub(super) fn held_out(family: &Family, rows: &[Row]) -> Vec<Errors> {
    let long = |row: &Row| row.tokens >= 512.0;
    let of = |split, group: &(dyn Fn(usize, &Row) -> Option<u64> + Sync)| {
        split::hold_out(family, rows, ("attention_prefill", split), 5, group)
    };
    let heads = |row: &Row| Some(split::key(&[row.heads, row.kv_heads]));
    let mut all = vec![
        of("random rows", &|i, row| long(row).then_some(i as u64)),
        of("unseen heads", &|_, row| long(row).then(|| heads(row)).flatten()),
        of("unseen heads, 128-511 tokens", &|_, row| (!long(row)).then(|| heads(row)).flatten()),
        of("unseen length", &|_, row| {
            (row.tokens > 512.0 && row.tokens < 16_384.0).then(|| split::key(&[row.tokens]))
        }),
    ];
    all.extend(split::beyond(
        family,
        rows,
        "attention_prefill",
        ["one octave beyond in length", "two octaves beyond in length"],
        16_384.0,
        |row| row.tokens,
    ));
    all
}
