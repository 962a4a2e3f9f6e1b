//! Layers of linear attention in a step: their projections, their recurrence, and the small kernels around it.
//!
//! Per layer: a projection to queries, keys, values and the output's gate, one to the two numbers of each value head, the
//! convolution and the recurrence (`cost::linear`), the gated norm of the output, and the projection out. Mamba-2 has its
//! one number a head in the first projection, and its kernels read what was projected where it is (vLLM 0.24.0,
//! `mamba_mixer2.py`). Heads are split by tensor parallelism. Engines that keep the states of a verification beside the sequence's own copy the accepted one
//! back when it is known.

use super::decoder::{Decoder, Pass};
use super::{add_plain, add_timed};
use crate::cost::LinearShape;
use crate::estimate::Family;
use crate::piece::{Bound, Piece};
use crate::resolved::{LinearAttention, Rule};

impl Decoder<'_> {
    /// Products before and after the recurrence.
    pub(super) fn linear_projections(&self, linear: &LinearAttention, pass: &Pass, piece: &mut Piece) {
        let (layers, hidden, tp) =
            (f64::from(linear.layers), f64::from(self.model.hidden), f64::from(self.layout.tp));
        let (keys, values) = (linear.key_width() / tp, linear.value_width() / tp);
        let m = pass.tokens;
        let (wide, heads) = (2.0 * (keys + values), f64::from(linear.value_heads) / tp);
        match linear.rule {
            Rule::DeltaRule => {
                self.gemm("linear projections", (m, wide, hidden), layers, pass, piece);
                self.gemm("linear projections", (m, 2.0 * heads, hidden), layers, pass, piece);
            }
            Rule::Mamba2 => self.gemm("linear projections", (m, wide + heads, hidden), layers, pass, piece),
        }
        self.gemm("linear projections", (m, hidden, values), layers, pass, piece);
    }

    /// Bytes of a token in the kernels that take the place of rotary embedding and cache append: the split of what was
    /// projected, and the norm of the output times its gate.
    pub(super) fn linear_bytes(&self, linear: &LinearAttention) -> [Option<f64>; 2] {
        let tp = f64::from(self.layout.tp);
        let (keys, values) = (linear.key_width() / tp, linear.value_width() / tp);
        let split = (linear.rule == Rule::DeltaRule).then_some(8.0 * (keys + values));
        [split, Some(6.0 * values)]
    }

    /// The recurrence.
    pub(super) fn linear_attention(&self, linear: &LinearAttention, pass: &Pass, piece: &mut Piece) {
        let layers = f64::from(linear.layers);
        let heads = (f64::from(linear.value_heads) / f64::from(self.layout.tp)).max(1.0);
        let shape = LinearShape {
            rule: linear.rule,
            batch: pass.decoding,
            tokens: pass.queries,
            value_heads: heads,
            head_bytes: linear.matrix_bytes() / f64::from(linear.value_heads),
            channels: linear.channels() / f64::from(self.layout.tp),
            window: f64::from(linear.conv),
        };
        if pass.decoding > 0.0 {
            let time = self.kernels.linear_decode(&shape);
            add_timed(piece, "linear attention", Family::Attention, time, layers);
            if pass.queries > 1.0 && self.copies_states {
                let seconds = layers * self.kernels.linear_commit(&shape);
                add_plain(piece, "accepted states", Family::Elementwise, seconds, Bound::Memory);
            }
        }
        if pass.prefill > 0.0 {
            let prompts = pass.prompts.max(1.0);
            let prompt = LinearShape { batch: prompts, tokens: pass.prefill / prompts, ..shape };
            let time = self.kernels.linear_prefill(&prompt);
            add_timed(piece, "linear attention of prompts", Family::Attention, time, layers);
        }
    }
}
