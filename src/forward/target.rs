//! The target's forward pass: decode, verify and prefill tokens in one step; then the output head over the rows
//! that need logits, and sampling or verification.
//!
//! With data-parallel attention a replica is several attention ranks that step together: the step is that of the
//! fullest rank, and a rank without work runs along (a dummy step).

use super::decoder::{Decoder, Pass};
use super::software::Rows;
use super::{Engine, add_plain, add_timed};
use crate::estimate::Family;
use crate::piece::{Bound, Piece, Shape};
use crate::resolved::Precision;

impl Engine {
    pub(super) fn decoder(&self) -> Decoder<'_> {
        Decoder {
            kernels: &self.kernels,
            model: &self.model,
            layout: self.layout,
            weights: self.weights,
            kv_cache: self.kv_cache,
            routing: self.routing,
            inputs: 1.0,
        }
    }

    /// What the fullest attention rank gets of a step.
    pub(super) fn fullest_rank(&self, shape: &Shape) -> Shape {
        let ranks = self.layout.attention_ranks();
        if ranks == 1 {
            return *shape;
        }
        Shape {
            decoding: shape.decoding.div_ceil(ranks),
            prefill_tokens: shape.prefill_tokens.div_ceil(ranks),
            prefill_ends: shape.prefill_ends.div_ceil(ranks),
            ..*shape
        }
    }

    /// The pass of a rank over `tokens`, given its part of the step.
    pub(super) fn pass(whole: &Shape, rank: &Shape, tokens: f64, context: f64, eager: bool) -> Pass {
        let share = |part: u32, all: u32| f64::from(part) / f64::from(all.max(1));
        Pass {
            tokens,
            decoding: f64::from(rank.decoding),
            queries: f64::from(rank.draft_tokens + 1),
            prefill: f64::from(rank.prefill_tokens),
            prompts: f64::from(rank.prefill_ends),
            context_share: share(rank.decoding, whole.decoding),
            prefill_share: share(rank.prefill_tokens, whole.prefill_tokens),
            context,
            eager,
        }
    }

    pub(super) fn target_step(
        &self,
        whole: &Shape,
        rank: &Shape,
        rows: &Rows,
        context: f64,
        piece: &mut Piece,
    ) {
        let pass = Engine::pass(whole, rank, rows.tokens, context, rows.eager());
        self.decoder().layers(&pass, piece);
        self.logits_and_sampling(rank, piece);
    }

    fn logits_and_sampling(&self, rank: &Shape, piece: &mut Piece) {
        let each = self.software.verify_tokens(rank.draft_tokens, self.proposal_share());
        let rows = f64::from(rank.decoding) * each + f64::from(rank.prefill_ends);
        if rows == 0.0 {
            return;
        }
        let vocab = f64::from(self.model.vocab);
        let (tp, hidden) = (f64::from(self.layout.tp), f64::from(self.model.hidden));
        // Engines keep the head in 16 bits when they quantise the layers.
        let head = self.kernels.gemm(rows, vocab / tp, hidden, Precision::Bf16);
        add_timed(piece, "output head", Family::Gemm, head, 1.0);
        // Gathering the vocabulary shards moves half of what an all-reduce of them would.
        let gather = self.kernels.all_reduce(rows * vocab * 2.0, self.layout.tp, false);
        add_timed(piece, "logits gather", Family::Collective, gather, 0.5);
        let (operator, seconds) = if rank.draft_tokens > 0 {
            let sequences = f64::from(rank.decoding);
            ("verification sampling", self.kernels.verification(sequences, rows, vocab))
        } else {
            ("sampling", self.kernels.sampling(rows, vocab))
        };
        add_plain(piece, operator, Family::Sampling, seconds, Bound::Memory);
    }
}
