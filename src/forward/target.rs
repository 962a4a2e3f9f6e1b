//! The target's forward pass: decode, verify and prefill tokens in one step.
//!
//! Per layer: q/k/v, output, gate-up and down products, attention, four fused memory-bound kernels
//! (two residual-add + norm, rotary + cache append, activation) and two all-reduces under tensor
//! parallelism; then the output head over the rows that need logits, and sampling or verification.

use super::software::Rows;
use super::{Engine, add_timed};
use crate::cost::AttentionShape;
use crate::estimate::Family;
use crate::piece::{Piece, Shape};

impl Engine {
    pub(super) fn target_step(&self, shape: &Shape, rows: &Rows, piece: &mut Piece) {
        let model = &self.model;
        let (layers, tp) = (f64::from(model.layers), f64::from(self.tp));
        let (hidden, intermediate) = (f64::from(model.hidden), f64::from(model.intermediate));
        let (q, kv) = (model.q_width() / tp, self.kv_heads_here() * f64::from(model.head_dim));
        let m = rows.tokens;
        if m > 0.0 {
            let products = [
                (q + 2.0 * kv, hidden),
                (hidden, q),
                (2.0 * intermediate / tp, hidden),
                (hidden, intermediate / tp),
            ];
            for (n, k) in products {
                add_timed(piece, Family::Gemm, self.kernels.gemm(m, n, k, self.weights), layers);
            }
            // bf16 in and out: add + norm reads two and writes two, and reads its own result once more.
            let kernels = [6.0 * hidden, 6.0 * hidden, 4.0 * (q + 2.0 * kv), 6.0 * intermediate / tp];
            for bytes_per_token in kernels {
                let seconds = self.kernels.elementwise(m * bytes_per_token);
                piece.add(Family::Elementwise, layers * seconds, 0.0);
            }
            let reduce = self.kernels.all_reduce(m * hidden * 2.0, self.tp, rows.eager);
            add_timed(piece, Family::Collective, reduce, 2.0 * layers);
        }
        self.target_attention(shape, piece);
        self.logits_and_sampling(shape, piece);
    }

    /// Key and value heads on one GPU: heads are replicated where there are fewer than GPUs.
    fn kv_heads_here(&self) -> f64 {
        (f64::from(self.model.kv_heads) / f64::from(self.tp)).max(1.0)
    }

    fn target_attention(&self, shape: &Shape, piece: &mut Piece) {
        let model = &self.model;
        let layers = f64::from(model.layers);
        let (heads, kv_heads) = (f64::from(model.heads) / f64::from(self.tp), self.kv_heads_here());
        let head_dim = f64::from(model.head_dim);
        if shape.decoding > 0 {
            let time = self.kernels.attention(&AttentionShape {
                batch: f64::from(shape.decoding),
                queries: f64::from(shape.draft_tokens + 1),
                heads,
                kv_heads,
                head_dim,
                kv_bytes: self.kv_cache.bytes(),
            });
            let family = if shape.draft_tokens > 0 { Family::VerifyAttention } else { Family::Attention };
            piece.add_flagged(
                family,
                layers * time.fixed,
                layers * time.per_context_token,
                time.extrapolated,
            );
        }
        if shape.prefill_tokens > 0 {
            let tokens = f64::from(shape.prefill_tokens);
            let (fixed, per_pair) = self.kernels.prefill_attention(tokens, heads, kv_heads, head_dim);
            piece.add(Family::Attention, layers * fixed, 0.0);
            piece.per_prefill_pair += layers * per_pair;
        }
    }

    fn logits_and_sampling(&self, shape: &Shape, piece: &mut Piece) {
        let rows = f64::from(shape.decoding * (shape.draft_tokens + 1) + shape.prefill_ends);
        if rows == 0.0 {
            return;
        }
        let vocab = f64::from(self.model.vocab);
        let head = self.kernels.gemm(
            rows,
            vocab / f64::from(self.tp),
            f64::from(self.model.hidden),
            // Engines keep the head in 16 bits when they quantise the layers.
            crate::resolved::Precision::Bf16,
        );
        add_timed(piece, Family::Gemm, head, 1.0);
        // Gathering the vocabulary shards moves half of what an all-reduce of them would.
        let gather = self.kernels.all_reduce(rows * vocab * 2.0, self.tp, false);
        add_timed(piece, Family::Collective, gather, 0.5);
        piece.add(Family::Sampling, self.kernels.sampling(rows, vocab), 0.0);
    }
}
