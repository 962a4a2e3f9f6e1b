//! EAGLE-3 (arXiv 2503.01840): one transformer layer over the target's fused hidden states.
//!
//! A round of K draft tokens is K passes. The first runs over the K + 1 tokens that the target just
//! verified (rejected ones are padding: engines do not compact them), after fusing three hidden states by one
//! product; it also catches the drafter's KV cache up. Each further pass runs over one token per sequence.
//! q, k and v read the concatenation of embedding and hidden state (2h). Every pass ends in the reduced
//! head and an argmax. Prompts are prefilled by the drafter too. An idle drafter still runs the first pass,
//! without head, to stay in step with the target.

use super::super::{Engine, LoadedDrafter, add_timed};
use crate::cost::AttentionShape;
use crate::estimate::Family;
use crate::piece::{Piece, Shape};

pub(super) fn round(engine: &Engine, loaded: &LoadedDrafter, shape: &Shape, piece: &mut Piece) {
    let round = Round { engine, loaded };
    let verified = shape.draft_tokens + 1;
    let decoding = f64::from(shape.decoding);
    let first_tokens = f64::from(shape.decoding * verified + shape.prefill_tokens);
    if first_tokens > 0.0 {
        round.fuse(first_tokens, piece);
        round.layer(first_tokens, piece);
    }
    round.attention(shape.decoding, verified, piece);
    round.prefill(shape, piece);
    if shape.draft_tokens == 0 || shape.decoding == 0 {
        return;
    }
    round.propose(decoding, piece);
    for _ in 1..shape.draft_tokens {
        round.layer(decoding, piece);
        round.attention(shape.decoding, 1, piece);
        round.propose(decoding, piece);
    }
}

struct Round<'a> {
    engine: &'a Engine,
    loaded: &'a LoadedDrafter,
}

impl Round<'_> {
    fn tp(&self) -> f64 {
        f64::from(self.loaded.tp)
    }

    fn kv_heads(&self) -> f64 {
        (f64::from(self.loaded.drafter.model.kv_heads) / self.tp()).max(1.0)
    }

    /// Fusion of the target's hidden states.
    fn fuse(&self, tokens: f64, piece: &mut Piece) {
        let hidden = f64::from(self.loaded.drafter.model.hidden);
        let width = f64::from(self.loaded.drafter.fused_layers) * hidden;
        let time = self.engine.kernels.gemm(tokens, hidden, width, self.loaded.weights);
        add_timed(piece, Family::Gemm, time, 1.0);
    }

    /// Products, memory-bound kernels and all-reduces of the drafter's layers.
    fn layer(&self, tokens: f64, piece: &mut Piece) {
        let model = &self.loaded.drafter.model;
        let (kernels, tp) = (&self.engine.kernels, self.tp());
        let (hidden, intermediate) = (f64::from(model.hidden), f64::from(model.intermediate));
        let (q, kv) = (model.q_width() / tp, self.kv_heads() * f64::from(model.head_dim));
        let layers = f64::from(model.layers);
        let products = [
            (q + 2.0 * kv, 2.0 * hidden),
            (hidden, q),
            (2.0 * intermediate / tp, hidden),
            (hidden, intermediate / tp),
        ];
        for (n, k) in products {
            add_timed(piece, Family::Gemm, kernels.gemm(tokens, n, k, self.loaded.weights), layers);
        }
        // Two norms and a concatenation of two inputs, rotary + append, activation, residual + norm.
        let bytes = [8.0 * hidden, 4.0 * (q + 2.0 * kv), 6.0 * intermediate / tp, 6.0 * hidden];
        for bytes_per_token in bytes {
            piece.add(Family::Elementwise, layers * kernels.elementwise(tokens * bytes_per_token), 0.0);
        }
        let reduce = kernels.all_reduce(tokens * hidden * 2.0, self.loaded.tp, false);
        add_timed(piece, Family::Collective, reduce, 2.0 * layers);
    }

    fn attention(&self, decoding: u32, queries: u32, piece: &mut Piece) {
        if decoding == 0 {
            return;
        }
        let model = &self.loaded.drafter.model;
        let layers = f64::from(model.layers);
        let time = self.engine.kernels.attention(&AttentionShape {
            batch: f64::from(decoding),
            queries: f64::from(queries),
            heads: f64::from(model.heads) / self.tp(),
            kv_heads: self.kv_heads(),
            head_dim: f64::from(model.head_dim),
            kv_bytes: self.engine.kv_cache.bytes(),
        });
        let family = if queries > 1 { Family::VerifyAttention } else { Family::Attention };
        piece.add_flagged(family, layers * time.fixed, layers * time.per_context_token, time.extrapolated);
    }

    fn prefill(&self, shape: &Shape, piece: &mut Piece) {
        if shape.prefill_tokens == 0 {
            return;
        }
        let model = &self.loaded.drafter.model;
        let tokens = f64::from(shape.prefill_tokens);
        let heads = f64::from(model.heads) / self.tp();
        let head_dim = f64::from(model.head_dim);
        let (fixed, per_pair) =
            self.engine.kernels.prefill_attention(tokens, heads, self.kv_heads(), head_dim);
        let layers = f64::from(model.layers);
        piece.add(Family::Attention, layers * fixed, 0.0);
        piece.per_prefill_pair += layers * per_pair;
    }

    /// Reduced head and argmax.
    fn propose(&self, rows: f64, piece: &mut Piece) {
        let drafter = &self.loaded.drafter;
        let (vocab, hidden) = (f64::from(drafter.draft_vocab), f64::from(drafter.model.hidden));
        let head = self.engine.kernels.gemm(rows, vocab / self.tp(), hidden, self.loaded.weights);
        add_timed(piece, Family::Gemm, head, 1.0);
        piece.add(Family::Sampling, self.engine.kernels.sampling(rows, vocab), 0.0);
    }
}
