//! Draft rounds. One file a drafter kind.

mod block;
mod eagle3;
mod model;
mod mtp;

use super::decoder::{Decoder, Pass};
use super::{Engine, LoadedDrafter, add_plain, add_timed};
use crate::estimate::Family;
use crate::piece::{Bound, Piece, Shape};
use crate::resolved::{DrafterKind, Layout, Model, Precision};

impl Engine {
    /// Adds what the drafter does in a step: its round, its own prefill, or keeping its cache in step.
    pub(super) fn draft_round(
        &self,
        loaded: &LoadedDrafter,
        whole: &Shape,
        rank: &Shape,
        context: f64,
        piece: &mut Piece,
    ) {
        if whole.drafter_asleep {
            return;
        }
        let round = Round { engine: self, loaded, whole, rank, context };
        match loaded.drafter.kind {
            DrafterKind::Eagle3 => eagle3::round(&round, piece),
            DrafterKind::Mtp => mtp::round(&round, piece),
            DrafterKind::Model => model::round(&round, piece),
            DrafterKind::Block => block::round(&round, piece),
            // Matching runs on the host, inside the engine's draft software.
            DrafterKind::Ngram | DrafterKind::Suffix => {}
        }
    }
}

/// One round of one attention rank.
struct Round<'a> {
    engine: &'a Engine,
    loaded: &'a LoadedDrafter,
    whole: &'a Shape,
    rank: &'a Shape,
    context: f64,
}

impl Round<'_> {
    /// Tokens that the target verified and the drafter's cache is behind by, and prompt tokens.
    fn catch_up_tokens(&self) -> f64 {
        f64::from(self.rank.decoding * (self.rank.draft_tokens + 1) + self.rank.prefill_tokens)
    }

    fn drafts(&self) -> bool {
        self.rank.draft_tokens > 0 && self.rank.decoding > 0
    }

    /// A transformer of the drafter's over the drafter's own GPUs.
    fn decoder<'a>(&'a self, model: &'a Model) -> Decoder<'a> {
        Decoder {
            model,
            layout: Layout { tp: self.loaded.tp, ep: 1, dp_attention: false },
            weights: self.loaded.weights,
            ..self.engine.decoder()
        }
    }

    /// The layers over the tokens that the drafter is behind by, prompts included.
    fn catch_up(&self, decoder: &Decoder<'_>, piece: &mut Piece) {
        let tokens = self.catch_up_tokens();
        if tokens > 0.0 {
            self.launched(decoder, self.rank, tokens, piece);
        }
    }

    /// The layers over `tokens` of a pass of this shape. Where the host launches every kernel of the target, or a graph for each
    /// piece of it, it does so with the drafter's too.
    fn launched(&self, decoder: &Decoder<'_>, shape: &Shape, tokens: f64, piece: &mut Piece) {
        let software = &self.engine.software;
        let rows = software.draft_rows(tokens, self.rank.decoding, shape.prefill_tokens > 0);
        let pass = Pass {
            filled: self.engine.filled(self.whole, self.rank),
            ..Engine::pass(self.whole, shape, tokens, self.context, rows.eager())
        };
        if rows.whole_graph() {
            return decoder.layers(&pass, piece);
        }
        let mut part = piece.alike();
        decoder.layers(&pass, &mut part);
        software.launches(decoder.model, decoder.layout, &rows, self.context, &mut part);
        piece.add_repeated(&part, 1.0);
    }

    /// Sequences of a draft pass after the first: each beam of a tree is one, and reads the context for itself.
    fn beams(&self) -> u32 {
        self.rank.decoding * self.rank.draft_width()
    }

    /// The layers over `queries` new tokens of each sequence, or of each beam.
    fn draft_pass(&self, decoder: &Decoder<'_>, queries: u32, piece: &mut Piece) {
        let one = Shape {
            decoding: self.beams(),
            draft_tokens: queries - 1,
            tree: None,
            prefill_tokens: 0,
            prefill_pairs: 0,
            prefill_ends: 0,
            ..*self.rank
        };
        let tokens = f64::from(one.decoding * queries);
        self.launched(decoder, &one, tokens, piece);
    }

    /// The passes after a round's first: all alike, so composed once.
    fn further_passes(&self, piece: &mut Piece, pass: impl FnOnce(&mut Piece)) {
        let times = self.rank.draft_depth().saturating_sub(1);
        if times == 0 {
            return;
        }
        let mut part = piece.alike();
        pass(&mut part);
        piece.add_repeated(&part, f64::from(times));
    }

    /// Output head, split over `tp` GPUs, and argmax over `rows` rows.
    fn propose(&self, rows: f64, vocab: f64, hidden: f64, tp: u32, piece: &mut Piece) {
        let kernels = &self.engine.kernels;
        // Heads stay in 16 bits, and their shards of the vocabulary are gathered: see the target's.
        let head = kernels.gemm(rows, vocab / f64::from(tp), hidden, Precision::Bf16);
        add_timed(piece, "draft head", Family::Gemm, head, 1.0);
        add_timed(
            piece,
            "logits gather",
            Family::Collective,
            kernels.all_reduce(rows * vocab * 2.0, tp, false),
            0.5,
        );
        add_plain(piece, "draft sampling", Family::Sampling, kernels.sampling(rows, vocab), Bound::Memory);
    }
}
