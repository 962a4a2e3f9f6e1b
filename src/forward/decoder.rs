//! The layers of a decoder over the tokens of one step: the target's, and those of drafters that are models.
//!
//! Per layer: attention projections, attention, MLP or experts, four fused memory-bound kernels (two
//! residual-add + norm, rotary + cache append, activation), and the collectives of the layout. Where layers are one mixer
//! each, one norm and one all-reduce a layer. Latent attention
//! is run absorbed, as engines do for decode: queries meet the compressed cache, which every GPU of a
//! tensor-parallel group holds whole.

use super::{add_plain, add_timed};
use crate::cost::{AttentionShape, ExpertShape, Heads, Kernels};
use crate::estimate::Family;
use crate::piece::{Bound, Line, Piece};
use crate::resolved::{Experts, LatentAttention, Layout, Model, Precision, Routing, Transport};

/// A decoder and how it lies on GPUs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decoder<'a> {
    pub(super) kernels: &'a Kernels,
    pub(super) model: &'a Model,
    pub(super) layout: Layout,
    pub(super) weights: Precision,
    pub(super) kv_cache: Precision,
    pub(super) routing: Routing,
    /// What q, k and v read, in hidden states: 1, or 2 where an embedding is concatenated.
    pub(super) inputs: f64,
    /// Whether the engine copies a sequence's state of linear attention once it knows what was accepted.
    pub(super) copies_states: bool,
}

/// What one attention rank runs over in a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pass {
    /// Tokens, padding included.
    pub(super) tokens: f64,
    /// Decoding sequences.
    pub(super) decoding: f64,
    /// Query tokens of each.
    pub(super) queries: f64,
    /// Prompt tokens.
    pub(super) prefill: f64,
    /// Prompts that they end.
    pub(super) prompts: f64,
    /// Share of the step's total context that this rank holds.
    pub(super) context_share: f64,
    /// Share of the step's prefill that this rank has.
    pub(super) prefill_share: f64,
    /// Total context of the step at which the piece must hold.
    pub(super) context: f64,
    /// Whether the host launches every kernel.
    pub(super) eager: bool,
    /// Decoding sequences of all attention ranks over those that they would have if each were as full as the fullest.
    pub(super) filled: f64,
}

impl Decoder<'_> {
    /// All layers.
    pub(super) fn layers(&self, pass: &Pass, piece: &mut Piece) {
        if pass.tokens > 0.0 {
            self.projections(pass, piece);
            self.mlps(pass, piece);
            self.memory_bound(pass, piece);
            self.reduce(pass, piece);
        }
        self.attention(pass, piece);
    }

    fn tp(&self) -> f64 {
        f64::from(self.layout.tp)
    }

    /// Key and value heads on one GPU: heads are replicated where there are fewer than GPUs.
    fn kv_heads(&self) -> f64 {
        (f64::from(self.model.kv_heads) / self.tp()).max(1.0)
    }

    /// A product. Prompt tokens come in long runs of large products, at the clocks that the power limit leaves.
    pub(super) fn gemm(
        &self,
        operator: &'static str,
        (tokens, n, k): (f64, f64, f64),
        times: f64,
        pass: &Pass,
        piece: &mut Piece,
    ) {
        let share = pass.prefill / tokens;
        let time = self.kernels.gemm_sustained(tokens, n, k, self.weights, share);
        add_timed(piece, operator, Family::Gemm, time, times);
    }

    /// Products before and after attention.
    fn projections(&self, pass: &Pass, piece: &mut Piece) {
        let model = self.model;
        let (layers, hidden, m) = (f64::from(model.cached_layers()), f64::from(model.hidden), pass.tokens);
        if let Some(linear) = &model.linear {
            self.linear_projections(linear, pass, piece);
        }
        if let Some(latent) = &model.latent {
            return self.latent_projections(latent, pass, piece);
        }
        let (q, kv) = (model.q_width() / self.tp(), self.kv_heads() * f64::from(model.head_dim));
        let gate = if model.output_gate { q } else { 0.0 };
        self.gemm("qkv projection", (m, q + gate + 2.0 * kv, self.inputs * hidden), layers, pass, piece);
        self.gemm("output projection", (m, hidden, q), layers, pass, piece);
    }

    fn latent_projections(&self, latent: &LatentAttention, pass: &Pass, piece: &mut Piece) {
        let model = self.model;
        let (layers, hidden, m) = (f64::from(model.cached_layers()), f64::from(model.hidden), pass.tokens);
        let heads = f64::from(model.heads) / self.tp();
        let (kv, nope) = (f64::from(latent.kv_rank), f64::from(latent.nope));
        let (rope, value) = (f64::from(latent.rope), f64::from(latent.value));
        let query_width = heads * (nope + rope);
        match latent.q_rank {
            Some(rank) => {
                // The two down projections are one product.
                self.gemm(
                    "latent down projection",
                    (m, f64::from(rank) + kv + rope, hidden),
                    layers,
                    pass,
                    piece,
                );
                self.gemm("latent query projection", (m, query_width, f64::from(rank)), layers, pass, piece);
            }
            None => {
                self.gemm(
                    "latent down projection",
                    (m, query_width + kv + rope, hidden),
                    layers,
                    pass,
                    piece,
                );
            }
        }
        // Absorbed: each head's queries into the cache's space, and its output out of it.
        self.gemm("latent absorption", (m, heads * kv, nope), layers, pass, piece);
        self.gemm("latent absorption", (m, heads * value, kv), layers, pass, piece);
        self.gemm("output projection", (m, hidden, heads * value), layers, pass, piece);
    }

    fn mlps(&self, pass: &Pass, piece: &mut Piece) {
        let model = self.model;
        let (hidden, m, tp) = (f64::from(model.hidden), pass.tokens, self.tp());
        let dense = f64::from(model.dense_layers());
        if dense > 0.0 {
            let width = f64::from(model.intermediate) / tp;
            let up = model.up_projections() * width;
            self.gemm("gate-up projection", (m, up, hidden), dense, pass, piece);
            self.gemm("down projection", (m, hidden, width), dense, pass, piece);
        }
        if let Some(experts) = &model.experts {
            self.experts(experts, pass, piece);
        }
    }

    fn experts(&self, experts: &Experts, pass: &Pass, piece: &mut Piece) {
        let model = self.model;
        let (hidden, layers) = (f64::from(model.hidden), f64::from(model.expert_layers()));
        // Router and shared experts are replicated over the attention ranks and split by tensor parallelism.
        add_timed(
            piece,
            "router",
            Family::Gemm,
            self.kernels.gemm(pass.tokens, f64::from(experts.count), hidden, Precision::Bf16),
            layers,
        );
        if experts.shared_intermediate > 0 {
            let width = f64::from(experts.shared_intermediate) / self.tp();
            let up = model.up_projections() * width;
            self.gemm("shared experts", (pass.tokens, up, hidden), layers, pass, piece);
            self.gemm("shared experts", (pass.tokens, hidden, width), layers, pass, piece);
        }
        let width = model.expert_width();
        if experts.latent.is_some() {
            // Every GPU projects its tokens with all of the weights (vLLM 0.24.0, `nemotron_h.py`: ReplicatedLinear).
            for shape in [(pass.tokens, width, hidden), (pass.tokens, hidden, width)] {
                self.gemm("latent of experts", shape, layers, pass, piece);
            }
        }
        let ranks = f64::from(self.layout.attention_ranks());
        let routed = ranks * pass.tokens;
        // Tokens of one draft chain share some of their experts; prompts and chains do not. What pads the ranks up to the fullest
        // chooses none of its own.
        let alone = ranks
            * (pass.filled
                * pass.decoding
                * (1.0 + (pass.queries - 1.0) * (1.0 - self.routing.chain_overlap))
                + pass.prefill);
        let time = self.kernels.experts(&ExpertShape {
            tokens: routed,
            independent_tokens: alone.min(routed).max(1.0),
            hidden: width,
            matrices: model.up_projections() + 1.0,
            intermediate: f64::from(experts.intermediate) / f64::from(self.layout.expert_tp()),
            count: f64::from(experts.count),
            per_token: f64::from(experts.per_token),
            expert_parallel: f64::from(self.layout.ep),
            skew: self.routing.skew,
            weights: self.weights,
        });
        add_timed(piece, "experts", Family::Moe, time, layers);
        if self.layout.dp_attention {
            // The GPUs of a tensor-parallel group hold the same tokens: each sends its share of them and is told the
            // others' results at the end (vLLM's sequence-parallel experts).
            let own = pass.tokens / self.tp();
            let (operator, time) = match self.routing.transport {
                Transport::AllToAll => {
                    let elements = width * f64::from(experts.per_token);
                    ("expert all-to-all", self.kernels.all_to_all(own, elements, self.layout.ep))
                }
                Transport::Gather => {
                    ("expert gather", self.kernels.gather_scatter(own, width, self.layout.ep))
                }
            };
            add_timed(piece, operator, Family::Collective, time, layers);
            let back = self.kernels.all_gather(2.0 * pass.tokens * hidden, self.layout.tp);
            add_timed(piece, "all-gather", Family::Collective, back, layers);
        }
    }

    fn memory_bound(&self, pass: &Pass, piece: &mut Piece) {
        let model = self.model;
        let (sublayers, hidden) = (f64::from(model.sublayers()), f64::from(model.hidden));
        let (q, kv) = (model.q_width() / self.tp(), self.kv_heads() * f64::from(model.head_dim));
        let mut of_layers = |layers: f64, bytes_per_token: f64| {
            let seconds = layers * self.kernels.elementwise(pass.tokens * bytes_per_token);
            add_plain(piece, "norms, rotary, activation", Family::Elementwise, seconds, Bound::Latency);
        };
        // bf16 in and out: add + norm reads two and writes one, and reads its own result once more.
        of_layers(sublayers, 6.0 * hidden);
        let cached = f64::from(model.cached_layers());
        of_layers(cached, 4.0 * (q + 2.0 * kv));
        if model.output_gate {
            of_layers(cached, 6.0 * q);
        }
        if let Some(linear) = &model.linear {
            for bytes_per_token in self.linear_bytes(linear).into_iter().flatten() {
                of_layers(f64::from(linear.layers), bytes_per_token);
            }
        }
        // Fused expert kernels hold their activation.
        if model.experts.is_none() || model.mixers.is_some() && model.dense_layers() > 0 {
            let width = f64::from(model.intermediate) / self.tp();
            of_layers(f64::from(model.dense_layers()), 2.0 * (model.up_projections() + 1.0) * width);
        }
    }

    /// All-reduces after attention and after the MLP, or after each layer that is one of them.
    fn reduce(&self, pass: &Pass, piece: &mut Piece) {
        let model = self.model;
        let bytes = pass.tokens * f64::from(model.hidden) * 2.0;
        let (all, experts) = (f64::from(model.sublayers()), f64::from(model.expert_layers()));
        // With data-parallel attention the combine of the all-to-all takes the place of that after experts.
        let times = if self.layout.dp_attention { all - experts } else { all };
        let reduce = self.kernels.all_reduce(bytes, self.layout.tp, pass.eager);
        add_timed(piece, "all-reduce", Family::Collective, reduce, times);
        if !self.layout.dp_attention && self.layout.ep > self.layout.tp {
            // Experts over more GPUs than attention without all-to-all: their results are summed over all.
            let wide = self.kernels.all_reduce(bytes, self.layout.ep, pass.eager);
            let narrow = self.kernels.all_reduce(bytes, self.layout.tp, pass.eager);
            let more = experts * (wide.seconds - narrow.seconds).max(0.0);
            add_plain(piece, "all-reduce", Family::Collective, more, wide.bound);
        }
    }

    fn attention(&self, pass: &Pass, piece: &mut Piece) {
        let model = self.model;
        let heads = f64::from(model.heads) / self.tp();
        let sliding = model.sliding.map_or(0.0, |sliding| f64::from(sliding.layers));
        let full = f64::from(model.cached_layers()) - sliding;
        if let Some(linear) = &model.linear {
            self.linear_attention(linear, pass, piece);
        }
        if pass.decoding > 0.0 {
            let shape = self.attention_shape(pass, heads);
            let time = self.kernels.attention(&shape, pass.context, pass.context_share);
            let slope = time.per_context_token;
            piece.context.start = piece.context.start.max(time.contexts[0]);
            piece.context.end = piece.context.end.min(time.contexts[1]);
            let family = if pass.queries > 1.0 { Family::VerifyAttention } else { Family::Attention };
            let line = |fixed: f64, per_context_token: f64| Line {
                operator: if pass.queries > 1.0 { "verify attention" } else { "attention" },
                family,
                fixed,
                per_context_token,
                bound: time.bound,
            };
            piece.add_operator(line(full * time.fixed, full * slope), time.doubt);
            if let Some(window) = model.sliding {
                // A window that is full costs its width, one that is not costs the context.
                let filled =
                    f64::from(window.tokens) * pass.decoding / pass.context_share.max(f64::MIN_POSITIVE);
                if pass.context < filled {
                    piece.add_operator(line(sliding * time.fixed, sliding * slope), time.doubt);
                    piece.context.end = piece.context.end.min(filled);
                } else {
                    let full = self.kernels.attention(&shape, filled, pass.context_share);
                    let seconds = full.fixed + full.per_context_token * filled;
                    piece.add_operator(line(sliding * seconds, 0.0), full.doubt);
                    piece.context.start = piece.context.start.max(filled);
                }
            }
        }
        if pass.prefill > 0.0 {
            let (fixed, per_pair) = self.kernels.prefill_attention(
                pass.prefill,
                pass.prefill / pass.prompts.max(1.0),
                heads,
                self.kv_heads(),
                f64::from(model.head_dim),
            );
            // A layer with a window has at most its width of keys for each token, and half the tokens at hand where
            // these are fewer: pairs that a piece knows without asking how long the prompts are.
            let windowed = model.sliding.map_or(0.0, |window| {
                pass.prefill * f64::from(window.tokens).min(0.5 * pass.prefill) * per_pair
            });
            let seconds = f64::from(model.cached_layers()) * fixed + sliding * windowed;
            add_plain(piece, "prefill attention", Family::Attention, seconds, Bound::Memory);
            piece.per_prefill_pair += full * per_pair * pass.prefill_share;
        }
    }

    fn attention_shape(&self, pass: &Pass, heads: f64) -> AttentionShape {
        let model = self.model;
        let kv_bytes = self.kv_cache.bytes();
        let head_dim = f64::from(model.head_dim);
        match &model.latent {
            Some(latent) => {
                let (kv, rope) = (f64::from(latent.kv_rank), f64::from(latent.rope));
                AttentionShape {
                    batch: pass.decoding,
                    kv_heads: 1.0,
                    rows: pass.queries * heads,
                    bytes_per_token: (kv + rope) * kv_bytes,
                    flops_per_token: 2.0 * pass.queries * heads * (2.0 * kv + rope),
                    heads: Heads::Latent,
                }
            }
            None => AttentionShape {
                batch: pass.decoding,
                kv_heads: self.kv_heads(),
                rows: (pass.queries * heads / self.kv_heads()).max(1.0),
                bytes_per_token: 2.0 * self.kv_heads() * head_dim * kv_bytes,
                flops_per_token: 4.0 * pass.queries * heads * head_dim,
                heads: if model.head_dim == 128 { Heads::Grouped } else { Heads::Other },
            },
        }
    }
}
