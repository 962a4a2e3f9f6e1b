//! Layers of experts: the form over all shapes, and a residual over (routing, tokens) for each measured shape.
//!
//! Rows: tensor parallelism up to 8, expert parallelism up to 16, 1 to 16,384 tokens. What balanced rows touch is
//! min(experts, top-k x tokens): their generator deals experts out evenly. Power-law rows touch what Zipf routing of
//! the profile's exponents touches, on the slowest rank. Two terms belong to vLLM's all-gather path of expert
//! parallelism (every rank sees all tokens) and are fitted, but not written: a fixed time on such rows, and bytes
//! for the pairs of other ranks. Layers 7168 wide (another kernel) and those of further models have a residual but no say
//! in the form nor in its errors: those of further models, and of experts without a gate, are reported apart.

use super::base::{self, Bound};
use super::split::{self, Errors, Fit};
use super::surface::{self, Point};
use crate::cost::moe::{Work, residual};
use crate::cost::{ExpertShape, Machine};
use crate::math::Surface;
use crate::profile::{ExpertForm, Imbalance, Residual, ShapeResidual};
use crate::resolved::Precision;

const TOKENS: [f64; 22] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 48.0, 64.0, 96.0, 128.0, 192.0, 256.0, 384.0, 512.0, 768.0, 1024.0,
    1536.0, 2048.0, 3072.0, 4096.0, 8192.0, 16_384.0,
];
const STIFFNESS: [f64; 2] = [0.02, 0.02];

#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// hidden, inter, experts, topk, tp, ep.
    pub(super) layer: [f64; 6],
    pub(super) tokens: f64,
    /// Popularity exponent; zero for balanced rows.
    pub(super) skew: f64,
    pub(super) us: f64,
    work: Work,
}

impl Row {
    pub(super) fn new(
        layer: [f64; 6],
        [tokens, skew, us]: [f64; 3],
        weights: Precision,
        overload: &Imbalance,
    ) -> Self {
        let shape = shape(layer, tokens, skew, weights);
        let [_, _, experts, topk, _, ep] = layer;
        let touched = if skew > 0.0 { shape.touched() } else { experts.min(topk * tokens) / ep };
        Row { layer, tokens, skew, us, work: Work::of(&shape, touched.max(1.0 / ep), overload) }
    }

    /// Whether a layer's layout is fitted. The other kernel's rows with expert parallelism hold more of the
    /// all-gather path than the two terms say, so that only its rows on one GPU are taken.
    pub(super) fn in_range(layer: [f64; 6]) -> bool {
        let [_, _, _, _, tp, ep] = layer;
        tp <= 8.0 && ep <= 16.0 && (ep == 1.0 || !other_kernel(&layer))
    }

    fn shapes_the_form(&self) -> bool {
        !other_kernel(&self.layer) && self.first()
    }

    /// Whether it is of a model whose layers came after the form.
    fn further(&self) -> bool {
        FURTHER.iter().any(|layer| self.layer[..4] == *layer)
    }

    /// Whether it is of experts without a gate, which came later still.
    fn ungated(&self) -> bool {
        UNGATED.iter().any(|layer| self.layer[..4] == *layer)
    }

    /// Whether it is of the models whose layers the form was made for.
    fn first(&self) -> bool {
        !self.further() && !self.ungated()
    }
}

/// Layers of Qwen3.5-35B and -122B, MiniMax-M2 and Kimi-K2: hidden, inter, experts, topk.
const FURTHER: [[f64; 4]; 4] = [
    [2048.0, 512.0, 256.0, 8.0],
    [3072.0, 1024.0, 256.0, 8.0],
    [3072.0, 1536.0, 256.0, 8.0],
    [7168.0, 2048.0, 384.0, 8.0],
];

/// Layers of Nemotron-3 Nano, and of Ultra between the projections around its experts. They have no gate: on one GPU the rows
/// take 1.04 to 1.21 times what reading two matrices takes, less than three at full bandwidth.
const UNGATED: [[f64; 4]; 2] = [[2688.0, 1856.0, 128.0, 6.0], [2048.0, 5120.0, 512.0, 22.0]];

/// Matrices of an expert of a layer.
fn matrices(layer: [f64; 4]) -> f64 {
    if UNGATED.contains(&layer) { 2.0 } else { 3.0 }
}

/// DeepSeek-V3's and Kimi-K2's layers run another kernel.
fn other_kernel(layer: &[f64; 6]) -> bool {
    layer[..2] == [7168.0, 2048.0]
}

fn shape(
    [hidden, inter, count, per_token, tp, ep]: [f64; 6],
    tokens: f64,
    skew: f64,
    weights: Precision,
) -> ExpertShape {
    ExpertShape {
        tokens,
        independent_tokens: tokens,
        hidden,
        matrices: matrices([hidden, inter, count, per_token]),
        intermediate: inter / tp,
        count,
        per_token,
        expert_parallel: ep,
        skew,
        weights,
    }
}

/// The fitted form, and the two terms that are not written: microseconds, and times the bytes of others' pairs.
pub(super) struct Fitted {
    pub(super) form: ExpertForm,
    pub(super) gathered: [f64; 2],
}

pub(super) struct Family {
    pub(super) machine: Machine,
    pub(super) weights: Precision,
    pub(super) overload: Imbalance,
    /// Exponents of the tables' routings, rising from zero.
    pub(super) skews: [f64; 3],
}

impl Family {
    fn base_at(&self, fitted: &Fitted, row: &Row) -> f64 {
        let [hidden, _, _, topk, _, ep] = row.layer;
        let others = if ep > 1.0 {
            let bytes = 2.0 * hidden * (row.tokens * topk - row.work.pairs);
            fitted.gathered[0] * 1e-6 + fitted.gathered[1] * bytes / self.machine.bandwidth
        } else {
            0.0
        };
        row.work.base(&fitted.form, &self.machine, self.weights) + others
    }

    fn base(&self, rows: &[&Row]) -> Fitted {
        let few: Vec<&Row> = rows.iter().copied().filter(|row| row.shapes_the_form()).collect();
        let form = |p: &[f64; 7]| Fitted {
            form: ExpertForm {
                t0_us: p[0],
                per_expert_us: p[1],
                memory_efficiency: p[2],
                compute_efficiency: p[3],
                p: p[4],
                sigma: 0.0,
                tokens: [1.0, 16_384.0],
                beyond_tokens: None,
                unseen_layout: None,
                unseen_shape: None,
                shapes: Vec::new(),
            },
            gathered: [p[5] - 20.0, p[6]],
        };
        let start = [
            (25.0, Bound::Positive),
            (0.15, Bound::Positive),
            (0.89, Bound::Between(0.4, 0.98)),
            (0.5, Bound::Between(0.1, 0.95)),
            (1.2, Bound::Between(1.0, 4.0)),
            (30.0, Bound::Between(0.0, 60.0)),
            (4.0, Bound::Positive),
        ];
        let found = base::fit(start, &vec![1.0; few.len()], |p, i| {
            libm::log(self.base_at(&form(p), few[i]) * 1e6 / few[i].us)
        });
        form(&found.map(base::rounded))
    }

    /// The residual of one shape.
    fn residual(&self, fitted: &Fitted, layer: [f64; 6], rows: &[&&Row]) -> Option<ShapeResidual> {
        let knots = [self.skews.map(|skew| 1.0 + skew).to_vec(), TOKENS.to_vec()];
        let grid = Surface::zero(knots.clone())?;
        let points: Vec<Point<2>> = rows
            .iter()
            .map(|row| {
                let target = libm::log(row.us / (self.base_at(fitted, row) * 1e6));
                let cells = [grid.cell(0, libm::log1p(row.skew)), grid.cell(1, libm::log(row.tokens))];
                Point { cells, target, weight: 1.0 }
            })
            .collect();
        let mut surface = surface::fit(knots, &points, STIFFNESS)?;
        surface::monotone(&mut surface, |axis, [skew, i]| {
            (axis == 1).then(|| self.fall(&fitted.form, layer, self.skews[skew], i))
        });
        let [hidden, inter, experts, topk, tp, ep] = layer.map(|x| x as u32);
        let matrices = matrices([layer[0], layer[1], layer[2], layer[3]]) as u32;
        Some(ShapeResidual { hidden, matrices, inter, experts, topk, tp, ep, residual: Residual(surface) })
    }

    /// The base's least slope in ln tokens over a cell, times its width.
    fn fall(&self, form: &ExpertForm, layer: [f64; 6], skew: f64, i: usize) -> f64 {
        const PARTS: i32 = 4;
        let Some(next) = TOKENS.get(i + 1) else { return 0.0 };
        let width = libm::log(next / TOKENS[i]);
        let base = |part: i32| {
            let tokens = TOKENS[i] * libm::exp(width * f64::from(part) / f64::from(PARTS));
            let shape = shape(layer, tokens, skew, self.weights);
            libm::log(Work::of(&shape, shape.touched(), &self.overload).base(
                form,
                &self.machine,
                self.weights,
            ))
        };
        let least = (0..PARTS).map(|part| base(part + 1) - base(part)).fold(f64::INFINITY, f64::min);
        (least * f64::from(PARTS)).max(0.0)
    }
}

impl Fit for Family {
    type Row = Row;
    type Form = Fitted;

    fn fit(&self, rows: &[&Row]) -> Option<Fitted> {
        let mut fitted = self.base(rows);
        let mut layers: Vec<[f64; 6]> = Vec::new();
        for row in rows {
            if !layers.contains(&row.layer) {
                layers.push(row.layer);
            }
        }
        let mut shapes = Vec::with_capacity(layers.len());
        for layer in layers {
            let own: Vec<&&Row> = rows.iter().filter(|row| row.layer == layer).collect();
            shapes.push(self.residual(&fitted, layer, &own)?);
        }
        fitted.form.shapes = shapes;
        Some(fitted)
    }

    fn error(&self, fitted: &Fitted, row: &Row) -> f64 {
        let r = residual(&fitted.form, &shape(row.layer, row.tokens, row.skew, self.weights))
            .map_or(0.0, |(r, _)| r);
        libm::log(self.base_at(fitted, row) * 1e6 / row.us) + r
    }
}

/// Splits beyond the range of the tokens.
pub(super) const BEYOND: [&str; 2] = ["one octave beyond in tokens", "two octaves beyond in tokens"];
/// The split of layouts that no table holds.
pub(super) const UNSEEN_LAYOUT: &str = "unseen (tp, ep)";
/// The split of layers that no table holds.
pub(super) const UNSEEN_SHAPE: &str = "unseen model shape";

/// Held-out errors: random rows, unseen tokens, unseen layouts, unseen shapes.
pub(super) fn held_out(family: &Family, rows: &[Row], name: &'static str) -> Vec<Errors> {
    let of = |split, group: &(dyn Fn(usize, &Row) -> Option<u64> + Sync)| {
        split::hold_out(family, rows, (name, split), 5, group)
    };
    let mut all = vec![
        of("random rows", &|i, row| row.first().then_some(i as u64)),
        of("unseen tokens", &|_, row| {
            (row.first() && row.tokens > 1.0 && row.tokens < 16_384.0).then(|| split::key(&[row.tokens]))
        }),
        of(UNSEEN_LAYOUT, &|_, row| row.shapes_the_form().then(|| split::key(&row.layer))),
        of(UNSEEN_SHAPE, &|_, row| row.shapes_the_form().then(|| split::key(&row.layer[..4]))),
    ];
    all.push(of("further models, random rows", &|i, row| row.further().then_some(i as u64)));
    all.push(of("experts without a gate, random rows", &|i, row| row.ungated().then_some(i as u64)));
    let first: Vec<Row> = rows.iter().copied().filter(Row::first).collect();
    all.extend(split::beyond(family, &first, name, BEYOND, 16_384.0, |row| row.tokens));
    all
}
