//! Decode attention: the form and a residual over (batch x KV heads, context, queries x heads a KV head).
//!
//! Rows: bf16 cache, heads of 128 features, context of at least 128, at most 1,024 sequences. The public tables replay
//! one cache, so that caches of 8 to 50 MB are read from the L2, which serving never does: those rows are left out, of
//! the fit and of the headline errors, and reported apart. Verify attention has no public row; rows of one query
//! and many heads a KV head stand in, which fixes the form's compute efficiency (p = 2 by choice).

use super::base::{self, Bound};
use super::split::{self, Errors, Fit};
use super::surface::{self, Point};
use crate::cost::Machine;
use crate::cost::attention::{self, AttentionShape, Heads};
use crate::math::Surface;
use crate::profile::{DecodeAttentionForm, Residual};

const U: [f64; 14] =
    [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0];
const CONTEXT: [f64; 11] =
    [128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16_384.0, 32_768.0, 65_536.0, 131_072.0];
/// Up to the first that no row exceeds, and at least to 64.
const ROWS: [f64; 10] = [1.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];
const STIFFNESS: [f64; 3] = [0.05, 0.02, 0.3];
/// Bytes of cache below which only fixed time is seen, and above which memory is.
const SMALL: f64 = 8e6;
const LARGE: f64 = 50e6;

#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) heads: f64,
    pub(super) kv_heads: f64,
    pub(super) batch: f64,
    pub(super) queries: f64,
    pub(super) context: f64,
    pub(super) us: f64,
    /// Whether operands came from memory for certain.
    pub(super) cold: bool,
    /// Whether one latent key and value of 512 + 64 numbers serves all heads.
    pub(super) latent: bool,
}

/// Numbers of a latent key, of which the first are the value.
const LATENT: [f64; 2] = [576.0, 512.0];

impl Row {
    pub(super) fn in_range(&self) -> bool {
        (128.0..=131_072.0).contains(&self.context) && self.batch <= 1024.0
    }

    /// Whether the row shows what serving sees.
    pub(super) fn counts(&self) -> bool {
        self.cold || !(SMALL..LARGE).contains(&self.bytes())
    }

    fn shape(&self) -> AttentionShape {
        AttentionShape {
            batch: self.batch,
            kv_heads: self.kv_heads,
            rows: self.queries * self.heads / self.kv_heads,
            bytes_per_token: if self.latent { 2.0 * LATENT[0] } else { 512.0 * self.kv_heads },
            flops_per_token: self.queries
                * self.heads
                * if self.latent { 2.0 * (LATENT[0] + LATENT[1]) } else { 512.0 },
            heads: if self.latent { Heads::Latent } else { Heads::Grouped },
        }
    }

    /// Bytes of the cache.
    pub(super) fn bytes(&self) -> f64 {
        self.shape().bytes_per_token * self.batch * self.context
    }

    /// Operations, for the check against the peak.
    pub(super) fn flops(&self) -> f64 {
        self.shape().flops_per_token * self.batch * self.context
    }
}

/// The knots that rows of these sizes need: a knot that none reaches would only repeat its neighbour.
fn row_knots(rows: impl Iterator<Item = f64>) -> Vec<f64> {
    let most = rows.fold(64.0, f64::max);
    let last = ROWS.iter().position(|knot| *knot >= most).unwrap_or(ROWS.len() - 1);
    ROWS[..=last].to_vec()
}

pub(super) struct Family {
    machine: Machine,
    /// Carried over: no public row.
    verify_sigma: f64,
    heads: Heads,
}

impl Family {
    pub(super) fn new(machine: Machine, verify_sigma: f64, heads: Heads) -> Self {
        Family { machine, verify_sigma, heads }
    }

    fn latent(&self) -> bool {
        self.heads == Heads::Latent
    }

    fn base_at(&self, form: &DecodeAttentionForm, row: &Row) -> f64 {
        attention::base(form, &self.machine, &row.shape(), row.batch * row.context)
    }

    fn base(&self, rows: &[&Row]) -> DecodeAttentionForm {
        let form = |p: &[f64; 4]| DecodeAttentionForm {
            t0_us: p[0],
            wave_us: p[1],
            memory_efficiency: p[2],
            compute_efficiency: p[3],
            p: 2.0,
            sigma: 0.0,
            verify_sigma: self.verify_sigma,
            batch: [1.0, 1024.0],
            context: [128.0, 131_072.0],
            beyond_context: None,
            residual: None,
        };
        let start = [
            (13.0, Bound::Positive),
            (2.2, Bound::Positive),
            (0.9, Bound::Between(0.4, 0.98)),
            (0.49, Bound::Between(0.2, 0.9)),
        ];
        let found = base::fit(start, &vec![1.0; rows.len()], |p, i| {
            libm::log(self.base_at(&form(p), rows[i]) * 1e6 / rows[i].us)
        });
        form(&found.map(base::rounded))
    }

    /// A row like the node of a grid.
    fn at(&self, surface: &Surface<3>, [u, l, r]: [usize; 3]) -> Row {
        let (batch, context, heads) = (surface.knots(0)[u], surface.knots(1)[l], surface.knots(2)[r]);
        let latent = self.latent();
        Row { heads, kv_heads: 1.0, batch, queries: 1.0, context, us: 1.0, cold: true, latent }
    }

    fn fall(&self, form: &DecodeAttentionForm, surface: &Surface<3>, axis: usize, node: [usize; 3]) -> f64 {
        let knots = surface.knots(axis);
        let Some(next) = knots.get(node[axis] + 1) else { return 0.0 };
        let width = libm::log(next / knots[node[axis]]);
        let row = self.at(surface, node);
        let moved = |factor: f64| match axis {
            0 => Row { batch: row.batch * factor, ..row },
            1 => Row { context: row.context * factor, ..row },
            _ => Row { heads: row.heads * factor, ..row },
        };
        // Along the context time is linear between knots: only the knots matter. Along the others ln base is
        // convex, and its slope least at the lower end.
        let factor = if axis == 1 { next / knots[node[1]] } else { 1.001 };
        // A latent cache is often held in fp8, whose reads grow half as fast: the residual may fall by no more than those.
        let least = |row: &Row| {
            let mut shape = row.shape();
            shape.bytes_per_token *= if row.latent { 0.5 } else { 1.0 };
            attention::base(form, &self.machine, &shape, row.batch * row.context)
        };
        let rise = libm::log(least(&moved(factor)) / least(&row));
        rise * width / libm::log(factor)
    }
}

impl Fit for Family {
    type Row = Row;
    type Form = DecodeAttentionForm;

    fn fit(&self, rows: &[&Row]) -> Option<DecodeAttentionForm> {
        let mut form = self.base(rows);
        let knots = [U.to_vec(), CONTEXT.to_vec(), row_knots(rows.iter().map(|row| row.shape().rows))];
        let grid = Surface::zero(knots.clone())?;
        let points: Vec<Point<3>> = rows
            .iter()
            .map(|row| {
                let shape = row.shape();
                let x = [shape.batch * shape.kv_heads, row.context, shape.rows].map(libm::log);
                let mut cells: [_; 3] = std::array::from_fn(|axis| grid.cell(axis, x[axis]));
                let (low, share) = &mut cells[1];
                if *share > 0.0 {
                    // Time is linear in context: the share of the upper knot's *time*.
                    let ends = [*low, *low + 1].map(|knot| CONTEXT[knot]);
                    let linear = (row.context - ends[0]) / (ends[1] - ends[0]);
                    let [t0, t1] = ends.map(|context| self.base_at(&form, &Row { context, ..**row }));
                    *share = linear * t1 / ((1.0 - linear) * t0 + linear * t1);
                }
                let target = libm::log(row.us / (self.base_at(&form, row) * 1e6));
                Point { cells, target, weight: 1.0 }
            })
            .collect();
        let mut surface = surface::fit(knots, &points, STIFFNESS)?;
        surface::monotone(&mut surface, |axis, node| Some(self.fall(&form, &grid, axis, node)));
        form.residual = Some(Residual(surface));
        Some(form)
    }

    fn error(&self, form: &DecodeAttentionForm, row: &Row) -> f64 {
        let shape = row.shape();
        let total = row.batch * row.context;
        let predicted = match &form.residual {
            Some(residual) => {
                let [fixed, memory, compute] = attention::terms(form, &self.machine, &shape);
                let line = [fixed, crate::math::p_norm(memory, compute, form.p)];
                let ([fixed, slope], _) = attention::piece(&residual.0, &shape, line, total, row.batch);
                fixed + slope * total
            }
            None => self.base_at(form, row),
        };
        libm::log(predicted * 1e6 / row.us)
    }
}

/// Held-out errors of rows with several query tokens, where no row with as many was fitted.
pub(super) fn held_out_queries(family: &Family, rows: &[Row]) -> Errors {
    split::hold_out(family, rows, ("verify_attention", "unseen query tokens"), 5, |_, row| {
        (row.queries > 1.0).then(|| split::key(&[row.queries]))
    })
}

/// Splits beyond the range of the context.
pub(super) const BEYOND: [&str; 2] = ["one octave beyond in context", "two octaves beyond in context"];

/// Held-out errors: random rows, unseen heads, batch, context; and the cache-hot rows that are never fitted.
pub(super) fn held_out(family: &Family, rows: &[Row], hot: &[Row]) -> Vec<Errors> {
    let name = if family.latent() { "attention_latent" } else { "attention_decode" };
    let of = |split, group: &(dyn Fn(usize, &Row) -> Option<u64> + Sync)| {
        split::hold_out(family, rows, (name, split), 5, group)
    };
    let mut all = vec![
        of("random rows", &|i, _| Some(i as u64)),
        of("unseen heads", &|_, row| Some(split::key(&[row.heads, row.kv_heads]))),
        of("unseen batch", &|_, row| {
            (row.batch > 1.0 && row.batch < 1024.0).then(|| split::key(&[row.batch]))
        }),
        of("unseen context", &|_, row| {
            (row.context > 128.0 && row.context < 131_072.0).then(|| split::key(&[row.context]))
        }),
    ];
    if let Some(form) = family.fit(&rows.iter().collect::<Vec<_>>()) {
        let errors = hot.iter().map(|row| family.error(&form, row)).collect();
        all.push(Errors { family: name, split: "cache-hot rows, never fitted", logs: errors });
    }
    all.extend(split::beyond(family, rows, name, BEYOND, 131_072.0, |row| row.context));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knots_reach_the_largest_row_and_no_further() {
        let last = |most: f64| row_knots([1.0, most].into_iter()).last().copied();
        for (most, knot) in
            [(4.0, 64.0), (64.0, 64.0), (65.0, 128.0), (256.0, 256.0), (1024.0, 1024.0), (4096.0, 1024.0)]
        {
            assert_eq!(last(most), Some(knot), "{most}");
        }
    }

    #[test]
    fn many_rows_have_a_time_of_their_own() {
        // A kernel that is twice as slow as its form from 256 rows on.
        let machine = Machine::of(&crate::cost::testing::h100());
        let family = Family::new(machine, 0.1, Heads::Grouped);
        let mut rows = Vec::new();
        for batch in [1.0, 16.0, 256.0] {
            for context in [1024.0, 8192.0, 65_536.0] {
                for queries in [1.0, 4.0, 16.0, 64.0, 128.0, 256.0] {
                    let row = Row {
                        heads: 4.0,
                        kv_heads: 1.0,
                        batch,
                        queries,
                        context,
                        us: 1.0,
                        cold: true,
                        latent: false,
                    };
                    let slow = if row.shape().rows >= 256.0 { 2.0 } else { 1.0 };
                    let us = 10.0 + 1e6 * slow * (row.bytes() / 4e12 + row.flops() / 5e14);
                    rows.push(Row { us, ..row });
                }
            }
        }
        let form = family.fit(&rows.iter().collect::<Vec<_>>()).unwrap_or_else(|| panic!("a fit"));
        let off = rows.iter().map(|row| family.error(&form, row).abs()).sum::<f64>() / rows.len() as f64;
        assert!(off < 0.08, "mean error {off}");
    }
}
