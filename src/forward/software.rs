//! The engine's software: gaps between iterations, CUDA graphs, launches, look-ups on the host.
//!
//! With a captured graph the GPU runs the next larger captured size. A step whose requests all have as many tokens
//! replays one graph; others, where the engine captures them, one graph for each piece between two attentions, and
//! the seams cost time in every layer. Beyond the largest captured size, or with graphs switched off, every kernel
//! is launched by the host: a step then takes the longer of its kernels and its launches. With `overhead: none` all
//! of this is zero.

use crate::estimate::{Family, STEP_FAMILIES};
use crate::piece::{Bound, Doubt, Line, Piece, Shape};
use crate::profile::{CaptureCounts, EagerLaunches, EngineProfile, Rounded};
use crate::resolved::{DrafterKind, GraphMode, Layout, Model};

/// Software costs of one engine.
#[derive(Debug, Clone, PartialEq)]
pub struct Software {
    constants: Option<EngineProfile>,
    graphs: GraphMode,
    capture_sizes: Vec<u32>,
    seats: u32,
}

/// How the kernels of a step are launched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Launch {
    /// One graph.
    Full,
    /// A graph for each piece between attentions.
    Piecewise,
    /// Every kernel by the host.
    Eager,
}

/// How many tokens the target's kernels run over, and how they are launched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rows {
    /// Tokens, padded to a captured size.
    pub(super) tokens: f64,
    /// How they are launched.
    pub(super) launch: Launch,
}

impl Rows {
    /// Whether the host launches every kernel.
    pub(super) fn eager(&self) -> bool {
        self.launch == Launch::Eager
    }

    /// Whether one graph holds them all.
    pub(super) fn whole_graph(&self) -> bool {
        self.launch == Launch::Full
    }
}

impl Software {
    /// The engine as it is; `capture_sizes` empty where no graphs are captured. `seats` are the most sequences that a
    /// scheduler runs at once.
    pub fn measured(
        constants: EngineProfile,
        graphs: GraphMode,
        capture_sizes: Vec<u32>,
        seats: u32,
    ) -> Self {
        Software { constants: Some(constants), graphs, capture_sizes, seats }
    }

    /// Kernels only.
    pub fn none() -> Self {
        Software { constants: None, graphs: GraphMode::None, capture_sizes: Vec::new(), seats: u32::MAX }
    }

    /// Share of the requests that verify a draft, when a share `proposed` of the rounds has one.
    fn verifying(&self, proposed: f64) -> f64 {
        let pads = self.constants.as_ref().is_some_and(|constants| constants.pads_drafts);
        if pads { 1.0 } else { proposed }
    }

    /// Tokens of a decoding sequence on average, when a share `proposed` of the rounds has a draft.
    pub(super) fn verify_tokens(&self, draft_tokens: u32, proposed: f64) -> f64 {
        1.0 + f64::from(draft_tokens) * self.verifying(proposed)
    }

    /// Tokens that the target runs over in a step.
    pub(super) fn rows(&self, shape: &Shape, proposed: f64) -> Rows {
        let each = self.verify_tokens(shape.draft_tokens, proposed);
        let tokens = f64::from(shape.decoding) * each + f64::from(shape.prefill_tokens);
        let exact = |launch| Rows { tokens, launch };
        let Some(constants) = &self.constants else { return exact(Launch::Full) };
        let ragged = shape.draft_tokens > 0 && self.verifying(proposed) < 1.0;
        let uniform = shape.prefill_tokens == 0 && !ragged;
        let launch = match (self.graphs, uniform) {
            (GraphMode::None, _) | (GraphMode::FullDecodeOnly, false) => return exact(Launch::Eager),
            (GraphMode::FullAndPiecewise | GraphMode::FullDecodeOnly, true) => Launch::Full,
            (GraphMode::FullAndPiecewise, false) | (GraphMode::Piecewise, _) => Launch::Piecewise,
        };
        let padded = match constants.capture_counts {
            CaptureCounts::Requests if uniform => {
                self.captured(shape.decoding).map(|size| Rows { tokens: f64::from(size) * each, launch })
            }
            // Sizes for prefill are captured up to the chunk, closely.
            CaptureCounts::Requests => Some(Rows { tokens, launch }),
            CaptureCounts::Tokens => {
                let width = if uniform { each as u32 } else { 1 };
                self.graph(tokens.ceil() as u32, width, launch)
            }
        };
        padded.unwrap_or(exact(Launch::Eager))
    }

    /// The smallest captured size that holds `count`.
    fn captured(&self, count: u32) -> Option<u32> {
        let at = self.capture_sizes.partition_point(|size| *size < count);
        self.capture_sizes.get(at).copied()
    }

    /// The graph for a step of sequences of `width` tokens, where captured sizes count tokens.
    ///
    /// A whole graph is captured for a number of sequences that the engine can run, and where sizes are rounded, up to the
    /// largest of them; a step beyond runs in pieces, where there are any for this size.
    fn graph(&self, tokens: u32, width: u32, launch: Launch) -> Option<Rows> {
        let rounded = self.constants.as_ref()?.defaults.rounds_to_verification;
        let largest = self.capture_sizes.last().copied()?;
        let whole = match rounded {
            Rounded::None => self.captured(tokens),
            // The first that is rounded up to these tokens or more.
            Rounded::EverySize | Rounded::WholeGraphs => self
                .captured((tokens + 1).saturating_sub(width))
                .map(|size| size.div_ceil(width) * width)
                .filter(|size| *size <= largest),
        };
        let most = u64::from(self.seats) * u64::from(width);
        let rows = |tokens: u32, launch| Rows { tokens: f64::from(tokens), launch };
        let pieces = match rounded {
            Rounded::EverySize => whole,
            Rounded::None | Rounded::WholeGraphs => self.captured(tokens),
        };
        let in_pieces = pieces
            .filter(|_| self.graphs != GraphMode::FullDecodeOnly)
            .map(|size| rows(size, Launch::Piecewise));
        match launch {
            Launch::Full => whole
                .filter(|size| u64::from(*size) <= most)
                .map(|size| rows(size, Launch::Full))
                .or(in_pieces),
            Launch::Piecewise => in_pieces,
            Launch::Eager => None,
        }
    }

    /// A draft pass over `tokens`, of `sequences` that decode and perhaps prompts: in one graph where the target's steps are,
    /// up to the same sizes.
    pub(super) fn draft_rows(&self, tokens: f64, sequences: u32, prompts: bool) -> Rows {
        let Some(constants) = &self.constants else { return Rows { tokens, launch: Launch::Full } };
        let captured = match constants.capture_counts {
            CaptureCounts::Tokens => self.captured(tokens.ceil() as u32).is_some(),
            CaptureCounts::Requests => prompts || self.captured(sequences).is_some(),
        };
        let launch = match self.graphs {
            GraphMode::None => Launch::Eager,
            _ if !captured => Launch::Eager,
            GraphMode::Piecewise => Launch::Piecewise,
            GraphMode::FullAndPiecewise | GraphMode::FullDecodeOnly => Launch::Full,
        };
        Rows { tokens, launch }
    }

    /// What launching a step's kernels costs beyond the kernels.
    ///
    /// Seams between the pieces of a step are added, to eager steps too: no mode with more launches is cheaper. An
    /// eager step is lifted to its launch time where that is longer: the difference is software. The step stays affine: below the knot in context it is constant,
    /// above it is the kernels'.
    pub(super) fn launches(
        &self,
        model: &Model,
        layout: Layout,
        rows: &Rows,
        context: f64,
        piece: &mut Piece,
    ) {
        let Some(constants) = &self.constants else { return };
        let line = |fixed, per_context_token| Line {
            operator: "kernel launches",
            family: Family::Host,
            fixed,
            per_context_token,
            bound: Bound::Host,
        };
        if rows.launch == Launch::Full {
            return;
        }
        let seams = f64::from(model.attention_layers()) * constants.piecewise_layer_us * 1e-6;
        piece.add_operator(line(seams, 0.0), Doubt::NONE);
        if rows.launch == Launch::Piecewise {
            return;
        }
        let launches = one_by_one(constants.eager, model, layout);
        let kernels: f64 = piece.fixed[..STEP_FAMILIES].iter().sum();
        let slope: f64 = piece.per_context_token[..STEP_FAMILIES].iter().sum();
        if kernels >= launches {
            return;
        }
        let knot = if slope > 0.0 { (launches - kernels) / slope } else { f64::INFINITY };
        if context >= knot {
            piece.context.start = piece.context.start.max(knot);
            return;
        }
        piece.context.end = piece.context.end.min(knot);
        piece.add_operator(line(launches - kernels, -slope), Doubt::NONE);
    }

    /// Gaps that the host leaves around a step.
    pub(super) fn gaps(&self, shape: &Shape, drafter: Option<DrafterKind>, piece: &mut Piece) {
        let Some(constants) = &self.constants else { return };
        let ahead = constants.defaults.works_ahead;
        let ahead = match drafter {
            None => ahead.plain,
            Some(DrafterKind::Ngram) => ahead.ngram,
            Some(DrafterKind::Suffix) => ahead.suffix,
            Some(_) => ahead.drafter,
        };
        let left = |hidden: f64| if ahead { 1.0 - hidden } else { 1.0 };
        let (exposed, exposed_draft) = (left(constants.ahead_hides), left(constants.ahead_hides_draft));
        let requests = f64::from(shape.decoding + shape.prefill_ends);
        let beyond = Doubt::outside(f64::from(requests > f64::from(constants.fitted_batch)));
        let line = |operator, family, us: f64| Line {
            operator,
            family,
            fixed: us * 1e-6,
            per_context_token: 0.0,
            bound: Bound::Host,
        };
        piece.add_operator(
            line("iteration gap", Family::Host, exposed * constants.iteration_gap_us),
            Doubt::NONE,
        );
        let of_requests = exposed * constants.per_request_us * requests;
        piece.add_operator(line("requests on the host", Family::Host, of_requests), beyond);
        let Some(kind) = drafter.filter(|_| !shape.drafter_asleep) else { return };
        // Passes that the host launches: one a token, one a round, or none on the GPU at all.
        let passes = match kind {
            DrafterKind::Eagle3 | DrafterKind::Mtp | DrafterKind::Model => {
                f64::from(shape.draft_depth().max(1))
            }
            DrafterKind::Block => 1.0,
            DrafterKind::Ngram | DrafterKind::Suffix => 0.0,
        };
        let drafts = shape.draft_tokens > 0 && shape.decoding > 0;
        let us = if drafts {
            constants.draft_round_us
                + constants.draft_pass_us * passes
                + constants.per_request_draft_us * f64::from(shape.decoding)
        } else {
            // Keeping the drafter's cache in step takes one pass.
            constants.draft_pass_us * passes.min(1.0)
        };
        piece.add_operator(line("draft software", Family::DraftHost, exposed_draft * us), Doubt::NONE);
        if drafts {
            Self::look_up(constants, kind, f64::from(shape.decoding), piece);
        }
    }

    /// Looking proposals up on the host: the GPU waits for them.
    fn look_up(constants: &EngineProfile, kind: DrafterKind, requests: f64, piece: &mut Piece) {
        let (operator, us, slope) = match kind {
            // Every round reads every request's tokens from the start, on one thread.
            DrafterKind::Ngram if !constants.defaults.lookup_on_gpu => {
                let gather = constants.lookup_ns_per_pair * requests * requests * 1e-3;
                ("n-gram look-up", gather, constants.lookup_ns_per_token * 1e-9)
            }
            DrafterKind::Suffix => ("suffix tree", constants.suffix_request_us * requests, 0.0),
            _ => return,
        };
        let line = Line {
            operator,
            family: Family::DraftHost,
            fixed: us * 1e-6,
            per_context_token: slope,
            bound: Bound::Host,
        };
        piece.add_operator(line, Doubt::NONE);
    }
}

/// Host seconds to launch the layers of a step kernel by kernel.
fn one_by_one(eager: EagerLaunches, model: &Model, layout: Layout) -> f64 {
    // A layer that is one mixer is half of one that is attention and an MLP.
    let layers = 0.5 * f64::from(model.sublayers());
    let layer = eager.layer + if layout.gpus() > 1 { eager.all_reduces } else { 0.0 };
    // A recurrence normalises its queries and keys itself.
    let normed = if model.qk_norm { f64::from(model.cached_layers()) * eager.qk_norm } else { 0.0 };
    let linear = f64::from(model.linear_layers()) * eager.linear;
    let experts = f64::from(model.expert_layers()) * eager.experts;
    let kernels = layers * layer + normed + experts + linear;
    kernels * eager.launch_us * 1e-6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::CaptureOf;

    fn engine(id: &str) -> Software {
        // Neither of these versions works ahead with a drafter, and vLLM's not at all.
        let version = if id == "vllm" { "0.12.0" } else { "0.5.6" };
        let constants = crate::profile::engine(id, Some(version)).unwrap_or_else(|error| panic!("{error}"));
        with_seats(constants, 512, 1)
    }

    /// The engine with so many seats, whose sequences verify so many tokens.
    fn with_seats(constants: EngineProfile, seats: u32, verification: u32) -> Software {
        let of = CaptureOf { device: "h100-sxm", gpus: 1, seats, verification, step: 8192 };
        let (mode, sizes) = (constants.defaults.cudagraph_mode, constants.defaults.capture_sizes(&of));
        Software::measured(constants, mode, sizes, seats)
    }

    fn model(id: &str) -> Model {
        crate::catalog::model(id, std::path::Path::new(".")).unwrap_or_else(|error| panic!("{error}"))
    }

    const ONE: Layout = Layout { tp: 1, ep: 1, dp_attention: false };

    fn full(tokens: f64) -> Rows {
        Rows { tokens, launch: Launch::Full }
    }

    fn eager(tokens: f64) -> Rows {
        Rows { tokens, launch: Launch::Eager }
    }

    #[test]
    fn tokens_are_padded_to_the_next_captured_size() {
        let shape = |decoding, draft_tokens| Shape { decoding, draft_tokens, ..Shape::default() };
        let vllm = engine("vllm");
        assert_eq!(vllm.rows(&shape(65, 0), 1.0), full(72.0));
        assert_eq!(vllm.rows(&shape(83, 5), 1.0), full(498.0));
        assert_eq!(vllm.rows(&shape(86, 5), 1.0), eager(516.0), "past the largest graph");
        let sglang = engine("sglang");
        assert_eq!(sglang.rows(&shape(250, 5), 1.0), full(256.0 * 6.0));
        assert!(sglang.rows(&Shape { prefill_tokens: 10, ..shape(2, 0) }, 1.0).eager());
        assert_eq!(Software::none().rows(&shape(65, 0), 1.0), full(65.0));
    }

    #[test]
    fn whole_graphs_are_those_that_each_version_captures() {
        // Worked out by hand from each version's own rule. Verifications of six tokens.
        let rows = |version: &str, seats, decoding, draft_tokens: u32| {
            let constants = crate::profile::engine("vllm", Some(version)).unwrap_or_else(|e| panic!("{e}"));
            let shape = Shape { decoding, draft_tokens, ..Shape::default() };
            with_seats(constants, seats, draft_tokens + 1).rows(&shape, 1.0)
        };
        let pieces = |tokens| Rows { tokens, launch: Launch::Piecewise };
        // 32 seats: graphs to 64 tokens, whatever a verification has; from 0.13 on to all seats' verifications.
        assert_eq!(rows("0.12.0", 32, 32, 5), eager(192.0));
        assert_eq!(rows("0.13.0", 32, 32, 5), full(192.0));
        assert_eq!(rows("0.12.0", 32, 10, 5), full(60.0));
        // 510 of 512 tokens: 512 rounds to 516, beyond the largest; 0.29 captures the 85 sequences themselves.
        assert_eq!(rows("0.13.0", 256, 85, 5), eager(510.0));
        assert_eq!(rows("0.25.0", 256, 85, 5), pieces(512.0));
        assert_eq!(rows("0.29.0", 85, 85, 5), full(510.0));
        assert_eq!(rows("0.29.0", 256, 78, 5), full(468.0));
        // Whole graphs have as many sequences as there are seats: 100 are not on the list until all seats are.
        assert_eq!(rows("0.29.0", 100, 100, 0), pieces(104.0));
        assert_eq!(rows("0.31.0", 100, 100, 0), full(100.0));
        assert_eq!(rows("0.31.0", 100, 96, 0), full(96.0));
    }

    #[test]
    fn drafts_beyond_the_largest_graph_are_launched_one_by_one() {
        let vllm = engine("vllm");
        assert_eq!(vllm.draft_rows(512.0, 128, false), full(512.0), "not padded");
        assert_eq!(vllm.draft_rows(516.0, 129, false), eager(516.0));
        let sglang = engine("sglang");
        assert_eq!(sglang.draft_rows(516.0, 129, false), full(516.0), "its graphs count requests");
        assert!(sglang.draft_rows(514.0, 257, false).eager());
        assert!(!sglang.draft_rows(8192.0, 0, true).eager(), "prefill has sizes of its own");
    }

    #[test]
    fn steps_that_are_not_uniform_run_piecewise_and_pay_for_the_seams() {
        let shape = Shape { decoding: 10, draft_tokens: 4, ..Shape::default() };
        let vllm = engine("vllm");
        let mixed = vllm.rows(&Shape { prefill_tokens: 100, ..shape }, 1.0);
        assert_eq!(mixed, Rows { tokens: 152.0, launch: Launch::Piecewise });
        // Half of the requests have a draft: 10 x (1 + 2) tokens, and no uniform width.
        let ragged = vllm.rows(&shape, 0.45);
        assert_eq!(ragged, Rows { tokens: 32.0, launch: Launch::Piecewise });
        assert_eq!(engine("sglang").rows(&shape, 0.45), full(60.0), "padded to the same width");
        let (mut piece, model) = (Piece::zero(), model("qwen3-8b"));
        vllm.launches(&model, ONE, &mixed, 1e4, &mut piece);
        let seams = piece.fixed[Family::Host as usize];
        assert!((36.0 * 14e-6..36.0 * 117e-6).contains(&seams), "the published range: {seams}");
        let mut one = Piece::zero();
        vllm.launches(&model, ONE, &vllm.rows(&shape, 1.0), 1e4, &mut one);
        assert_eq!(one.seconds(1e4), 0.0);
    }

    #[test]
    fn look_ups_cost_the_host_and_hold_the_gpu_up() {
        let shape = Shape { decoding: 64, draft_tokens: 3, ..Shape::default() };
        let with = |version, kind| {
            let constants = crate::profile::engine("vllm", Some(version)).unwrap_or_else(|e| panic!("{e}"));
            let mut piece = Piece::zero();
            Software::measured(constants, GraphMode::None, Vec::new(), 1).gaps(
                &shape,
                Some(kind),
                &mut piece,
            );
            piece
        };
        let context = 64.0 * 4096.0;
        let slope = with("0.12.0", DrafterKind::Ngram).per_context_token[Family::DraftHost as usize];
        // 1.06 ns a token on one server (vLLM #56732), 1.6 to 2.5 on two others.
        assert!((1.0e-9..2.5e-9).contains(&slope) && slope * context > 2e-4, "{slope}");
        assert_eq!(with("0.12.0", DrafterKind::Suffix).per_context_token, [0.0; STEP_FAMILIES]);
        assert_eq!(with("0.33.0", DrafterKind::Ngram).per_context_token, [0.0; STEP_FAMILIES], "on the GPU");
        // The host works ahead from 0.14 on, but not with suffix trees.
        let gap = |version, kind| with(version, kind).fixed[Family::Host as usize];
        assert!(gap("0.14.0", DrafterKind::Eagle3) < gap("0.13.0", DrafterKind::Eagle3));
        assert_eq!(gap("0.33.0", DrafterKind::Suffix), gap("0.13.0", DrafterKind::Suffix));
    }

    #[test]
    fn an_eager_step_takes_the_longer_of_kernels_and_launches() {
        let software = engine("vllm");
        let rows = eager(1.0);
        let kernels = || {
            let mut piece = Piece::zero();
            piece.add(Family::Gemm, 1e-3, 0.0);
            piece.add(Family::Attention, 0.0, 1e-8);
            piece
        };
        let model = model("qwen3-8b");
        // 36 layers of 11 launches and two norms of q and k.
        let launches = 36.0 * 13.0 * 29e-6;
        let mut short = kernels();
        software.launches(&model, ONE, &rows, 1e4, &mut short);
        assert!(
            (short.seconds(1e4) - launches).abs() < 1e-12 && (short.seconds(0.0) - launches).abs() < 1e-12
        );
        let seams = 36.0 * 30e-6;
        let knot = (launches - seams - 1e-3) / 1e-8;
        assert!((short.context.end - knot).abs() < 1.0);
        let mut long = kernels();
        software.launches(&model, ONE, &rows, 2.0 * knot, &mut long);
        assert!((long.seconds(2.0 * knot) - seams - kernels().seconds(2.0 * knot)).abs() < 1e-12);
        assert!((long.context.start - knot).abs() < 1.0);
    }

    #[test]
    fn launches_follow_the_layer_and_the_gpus() {
        let constants = crate::profile::engine("vllm", None).unwrap_or_else(|error| panic!("{error}"));
        let seconds = |id, tp| one_by_one(constants.eager, &model(id), Layout { tp, ..ONE });
        assert!((seconds("qwen2.5-7b", 1) - 28.0 * 11.0 * 29e-6).abs() < 1e-12);
        assert!((seconds("qwen2.5-7b", 2) - 28.0 * 13.0 * 29e-6).abs() < 1e-12);
        // vLLM #45709: 33.9 ms a token, of which 1.2 are not launches. One of the four figures behind the constant.
        let experts = seconds("qwen3-30b-a3b", 4);
        assert!((experts - 48.0 * 23.0 * 29e-6).abs() < 1e-12 && (experts / 32.7e-3 - 1.0).abs() < 0.05);
        let first_dense = model("deepseek-v3").experts.map_or(0, |experts| experts.dense_layers);
        assert_eq!(first_dense, 3);
        assert!((seconds("deepseek-v3", 1) - (61.0 * 11.0 + 58.0 * 8.0) * 29e-6).abs() < 1e-9);
    }

    #[test]
    fn a_layer_that_is_one_mixer_is_half_of_the_launches() {
        let constants = crate::profile::engine("vllm", None).unwrap_or_else(|error| panic!("{error}"));
        let model = model("nemotron-3-nano-30b-a3b");
        // 52 half layers, 23 of them with experts and 23 of Mamba.
        let known = (26.0 * 11.0 + 23.0 * 8.0 + 23.0 * 4.0) * 29e-6;
        assert!((one_by_one(constants.eager, &model, ONE) - known).abs() < 1e-9);
        // Seams around what mixes tokens: 29 layers, of which experts have none.
        let (mut piece, rows) = (Piece::zero(), Rows { tokens: 64.0, launch: Launch::Piecewise });
        engine("vllm").launches(&model, ONE, &rows, 1e4, &mut piece);
        assert!((piece.fixed[Family::Host as usize] - 29.0 * 30e-6).abs() < 1e-12);
    }

    #[test]
    fn an_idle_drafter_still_costs_a_pass() {
        let software = engine("vllm");
        let shape = Shape { decoding: 8, ..Shape::default() };
        let (mut without, mut with) = (Piece::zero(), Piece::zero());
        software.gaps(&shape, None, &mut without);
        software.gaps(&shape, Some(DrafterKind::Eagle3), &mut with);
        assert_eq!(without.fixed[Family::DraftHost as usize], 0.0);
        assert!(with.fixed[Family::DraftHost as usize] > 0.0);
    }
}
