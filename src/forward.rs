//! Operators composed into engine steps, draft rounds and training passes.
//!
//! An [`Engine`] prices one iteration of one replica as a [`Piece`]: the target's forward over decoded,
//! verified and prefilled tokens, the drafter's round, sampling, and the software around them, under
//! tensor and expert parallelism and data-parallel attention. Leaves out: pipeline and context parallelism.

mod decoder;
pub mod drafter;
mod linear;
pub mod memory;
mod software;
mod target;
pub mod training;

pub use software::Software;

use crate::cost::Kernels;
use crate::estimate::Family;
use crate::piece::{Bound, Doubt, Extrapolated, Line, Piece, Shape};
use crate::profile::LinearStates;
use crate::resolved::{Drafter, Layout, Model, Precision, Routing};

/// One replica of an inference engine, as far as its time goes.
#[derive(Debug, Clone)]
pub struct Engine {
    /// Kernel times of the device.
    pub kernels: Kernels,
    /// The target.
    pub model: Model,
    /// Format of the target's weights.
    pub weights: Precision,
    /// Format of the KV cache.
    pub kv_cache: Precision,
    /// Layout of the replica.
    pub layout: Layout,
    /// How tokens choose experts.
    pub routing: Routing,
    /// The loaded drafter, drafting or idle.
    pub drafter: Option<LoadedDrafter>,
    /// Software costs.
    pub software: Software,
    /// What the engine keeps of layers of linear attention.
    pub linear_states: LinearStates,
    /// Sequences that a replica decodes when all its attention ranks are full: as fewer are left they are spread unevenly. 0: always
    /// evenly.
    pub dealt: u32,
}

/// A drafter in the engine's memory.
#[derive(Debug, Clone)]
pub struct LoadedDrafter {
    /// Its facts.
    pub drafter: Drafter,
    /// Format of its weights.
    pub weights: Precision,
    /// Tensor-parallel width.
    pub tp: u32,
    /// Share of the rounds that have a proposal; 1 for a drafter with weights.
    pub proposal_share: f64,
}

impl Engine {
    /// The cost of an iteration with this shape, valid at a total context (tokens over decoding sequences).
    pub fn piece(&self, shape: &Shape, context: f64) -> Piece {
        self.fill(Piece::zero(), shape, context)
    }

    /// The same with the operators that make it up.
    pub fn itemised(&self, shape: &Shape, context: f64) -> Piece {
        self.fill(Piece::itemised(), shape, context)
    }

    fn fill(&self, mut piece: Piece, shape: &Shape, context: f64) -> Piece {
        let rank = self.fullest_rank(shape);
        let rows = self.software.rows(&rank, self.proposal_share());
        self.target_step(shape, &rank, &rows, context, &mut piece);
        self.software.launches(&self.model, self.layout, &rows, context, &mut piece);
        if let Some(loaded) = &self.drafter {
            self.draft_round(loaded, shape, &rank, context, &mut piece);
        }
        self.software.gaps(&rank, self.drafter.as_ref().map(|d| d.drafter.kind), &mut piece);
        let latent = self.model.latent.is_some();
        let fitted_to =
            self.kernels.profile().form.attention_over(latent).context[1] * f64::from(shape.decoding);
        if shape.decoding > 0 {
            if context <= fitted_to {
                piece.context.end = piece.context.end.min(fitted_to.next_up());
            } else {
                piece.context.start = piece.context.start.max(fitted_to.next_up());
                // Attention alone grows with context, so its slope is what is beyond the fitted range.
                piece.extrapolated[1] = Extrapolated::default();
                let slope = piece.per_context_token.iter().sum::<f64>().max(0.0);
                piece.extrapolated[1].add_seconds(slope, self.kernels.beyond_context(latent));
            }
        }
        piece
    }
}

impl Engine {
    /// Share of the rounds that have a proposal.
    fn proposal_share(&self) -> f64 {
        self.drafter.as_ref().map_or(1.0, |loaded| loaded.proposal_share)
    }
}

/// Adds a kernel's seconds, `times` times over.
fn add_timed(
    piece: &mut Piece,
    operator: &'static str,
    family: Family,
    timed: crate::cost::Timed,
    times: f64,
) {
    let line =
        Line { operator, family, fixed: times * timed.seconds, per_context_token: 0.0, bound: timed.bound };
    piece.add_operator(line, timed.doubt);
}

/// Adds seconds that are known without a fitted range.
fn add_plain(piece: &mut Piece, operator: &'static str, family: Family, seconds: f64, bound: Bound) {
    piece.add_operator(Line { operator, family, fixed: seconds, per_context_token: 0.0, bound }, Doubt::NONE);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cost::testing::kernels;
    use crate::resolved::{DrafterKind, GraphMode};

    pub(crate) fn qwen3_8b() -> Model {
        Model {
            id: "qwen3-8b".into(),
            source: "Hugging Face config.json".into(),
            layers: 36,
            hidden: 4096,
            intermediate: 12_288,
            heads: 32,
            kv_heads: 8,
            head_dim: 128,
            vocab: 151_936,
            tied_embeddings: false,
            attention_bias: false,
            qk_norm: true,
            max_positions: 40_960,
            experts: None,
            latent: None,
            sliding: None,
            linear: None,
            output_gate: false,
            gated: true,
            mixers: None,
            mtp_layers: 0,
        }
    }

    fn engine(drafter: bool, software: Software) -> Engine {
        let model = Model { layers: 1, ..qwen3_8b() };
        let drafter = drafter.then(|| LoadedDrafter {
            drafter: Drafter {
                id: "eagle3-qwen3-8b".into(),
                source: "SpecForge".into(),
                kind: DrafterKind::Eagle3,
                targets: vec!["qwen3-8b".into()],
                model: Some(model),
                draft_vocab: 32_000,
                fused_layers: 3,
                block: 0,
                injects_context: false,
            },
            weights: Precision::Bf16,
            tp: 1,
            proposal_share: 1.0,
        });
        Engine {
            kernels: kernels(),
            model: qwen3_8b(),
            weights: Precision::Bf16,
            kv_cache: Precision::Bf16,
            layout: Layout::tensor_parallel(1),
            routing: Routing::EVEN,
            drafter,
            software,
            linear_states: LinearStates::default(),
            dealt: 0,
        }
    }

    fn milliseconds(engine: &Engine, decoding: u32, draft_tokens: u32, context: f64) -> f64 {
        let total = context * f64::from(decoding);
        engine.piece(&Shape { decoding, draft_tokens, ..Shape::default() }, total).seconds(total) * 1e3
    }

    #[test]
    fn decode_steps_match_published_compositions() {
        // aiconfigurator 0.12, vLLM tables, Qwen3-8B on one H100, context 2k: kernels without host time.
        let engine = engine(false, Software::none());
        for (batch, published) in [(1, 6.42), (8, 7.60), (32, 10.22), (128, 19.51), (256, 33.96)] {
            let ms = milliseconds(&engine, batch, 0, 2048.0);
            assert!((ms / published - 1.0).abs() < 0.15, "batch {batch}: {ms} ms, published {published}");
        }
    }

    #[test]
    fn a_draft_pass_costs_its_weights_and_a_round_grows_with_k() {
        let engine = engine(true, Software::none());
        let step = |k| milliseconds(&engine, 1, k, 1024.0);
        // 0.70 GB of weights at 0.45-0.92 of 3.35 TB/s, plus small kernels: 0.25 to 0.5 ms a pass.
        for k in 1..6 {
            assert!((0.2..0.6).contains(&(step(k + 1) - step(k))), "{} {}", step(k), step(k + 1));
        }
    }

    #[test]
    fn a_tree_pays_for_its_beams_and_for_what_it_verifies() {
        let engine = engine(true, Software::none());
        let ms = |batch: u32, draft_tokens, tree| {
            let total = 4096.0 * f64::from(batch);
            let shape = Shape { decoding: batch, draft_tokens, tree, ..Shape::default() };
            engine.piece(&shape, total).seconds(total) * 1e3
        };
        let tree = |depth, width| Some(crate::piece::DraftTree { depth, width });
        assert_eq!(ms(8, 4, tree(4, 1)), ms(8, 4, None), "one beam is a chain");
        // The same tokens verified: fewer passes cost less, wider ones more, and each beam reads the context.
        assert!(ms(8, 7, tree(3, 4)) < ms(8, 7, None));
        let (narrow, wide) = (ms(32, 15, tree(5, 2)), ms(32, 15, tree(5, 8)));
        let context_bytes = 4.0 * 6.0 * 32.0 * 4096.0 * 2.0 * 8.0 * 128.0 * 2.0;
        assert!(wide - narrow > 0.8 * context_bytes / 3.35e12 * 1e3, "{narrow} {wide}");
    }

    #[test]
    fn a_drafter_that_fuses_nothing_pays_for_no_fusion() {
        let mut engine = engine(true, Software::none());
        let shape = Shape { decoding: 4, draft_tokens: 3, ..Shape::default() };
        let fusion = |engine: &Engine| {
            let piece = engine.itemised(&shape, 4e3);
            let lines =
                piece.lines.iter().flatten().filter(|(line, _)| line.operator == "hidden-state fusion");
            (lines.count(), piece.extrapolated_in(1.0, 4e3).weighted.is_finite())
        };
        assert_eq!(fusion(&engine), (1, true));
        if let Some(loaded) = &mut engine.drafter {
            loaded.drafter.fused_layers = 0;
        }
        assert_eq!(fusion(&engine), (0, true));
    }

    #[test]
    fn a_drafter_asleep_costs_nothing() {
        let (with, without) = (engine(true, Software::none()), engine(false, Software::none()));
        let asleep = Shape { decoding: 8, drafter_asleep: true, ..Shape::default() };
        assert_eq!(with.piece(&asleep, 1e4).seconds(1e4), without.piece(&asleep, 1e4).seconds(1e4));
    }

    #[test]
    fn an_idle_drafter_costs_little_and_never_nothing() {
        let (with, without) = (engine(true, Software::none()), engine(false, Software::none()));
        let extra = milliseconds(&with, 32, 0, 4096.0) - milliseconds(&without, 32, 0, 4096.0);
        assert!(extra > 0.1 && extra < 0.1 * milliseconds(&without, 32, 0, 4096.0), "{extra} ms");
    }

    #[test]
    fn pieces_hold_where_they_say_and_meet_at_their_ends() {
        let constants = crate::profile::engine("vllm", None).unwrap_or_else(|error| panic!("{error}"));
        // Eager everywhere: a knot where kernels overtake launches.
        let engine = engine(true, Software::measured(constants, GraphMode::None, Vec::new(), 1));
        let shape = Shape { decoding: 4, draft_tokens: 3, ..Shape::default() };
        let mut context = 100.0;
        while context < 6e5 {
            let piece = engine.piece(&shape, context);
            assert!(piece.context.contains(&context), "{context} {:?}", piece.context);
            if piece.context.end.is_finite() {
                let (end, next) = (piece.context.end, engine.piece(&shape, piece.context.end));
                assert!((piece.seconds(end) / next.seconds(end) - 1.0).abs() < 1e-9, "continuous at {end}");
            }
            context *= 1.7;
        }
    }

    /// Nemotron-3 on eight GPUs, and what an operator of a decode step takes.
    fn nemotron(id: &str, layout: Layout) -> Engine {
        let model = crate::catalog::model(id, std::path::Path::new(".")).unwrap_or_else(|e| panic!("{e}"));
        Engine { model, layout, ..engine(false, Software::none()) }
    }

    fn operator(engine: &Engine, name: &str, shape: &Shape) -> f64 {
        let piece = engine.itemised(shape, 1e5);
        let lines = piece.lines.iter().flatten().filter(|(line, _)| line.operator == name);
        lines.map(|(line, _)| line.fixed).sum()
    }

    #[test]
    fn a_layer_that_is_one_mixer_has_one_norm_and_one_all_reduce() {
        let shape = Shape { decoding: 64, ..Shape::default() };
        let (id, h) = ("nemotron-3-super-120b-a12b", 4096.0);
        let tensor = nemotron(id, Layout::tensor_parallel(8));
        let reduce = tensor.kernels.all_reduce(64.0 * h * 2.0, 8, false).seconds;
        let found = operator(&tensor, "all-reduce", &shape);
        assert!((found / reduce - 88.0).abs() < 1e-9, "{}", found / reduce);
        // Experts over all ranks: the combine takes the place of the all-reduce behind 40 layers of experts.
        let spread = nemotron(id, Layout { tp: 4, ep: 8, dp_attention: true });
        let reduce = spread.kernels.all_reduce(32.0 * h * 2.0, 4, false).seconds;
        let found = operator(&spread, "all-reduce", &shape);
        assert!((found / reduce - 48.0).abs() < 1e-9, "{}", found / reduce);
        // 88 norms; attention's cache in 8 layers, the gated norm of 40: nothing else, for experts hold their activation.
        let one = nemotron(id, Layout::tensor_parallel(1));
        let kernel = |bytes: f64| one.kernels.elementwise(64.0 * bytes);
        let known = 88.0 * kernel(6.0 * h)
            + 8.0 * kernel(4.0 * (4096.0 + 2.0 * 256.0))
            + 40.0 * kernel(6.0 * 8192.0)
            + kernel(4.0 * h);
        let found = operator(&one, "norms, rotary, activation", &shape);
        assert!((found / known - 1.0).abs() < 0.01, "{found} {known}");
    }

    #[test]
    fn experts_behind_projections_are_narrow_and_their_tokens_too() {
        let shape = Shape { decoding: 256, ..Shape::default() };
        let spread = Layout { tp: 1, ep: 8, dp_attention: true };
        let narrow = nemotron("nemotron-3-super-120b-a12b", spread);
        let mut wide = narrow.clone();
        if let Some(experts) = &mut wide.model.experts {
            experts.latent = None;
        }
        // Weights are a quarter, and what is gathered too, in part at the links' fixed times.
        for (name, most) in [("experts", 0.6), ("expert gather", 0.75)] {
            let (narrow, wide) = (operator(&narrow, name, &shape), operator(&wide, name, &shape));
            assert!(narrow < most * wide, "{name}: {narrow} {wide}");
        }
        let projections = operator(&narrow, "latent of experts", &shape);
        let one = |n, k| narrow.kernels.gemm(32.0, n, k, Precision::Bf16).seconds;
        let known = 40.0 * (one(1024.0, 4096.0) + one(4096.0, 1024.0));
        assert!((projections / known - 1.0).abs() < 1e-9, "{projections} {known}");
        assert_eq!(operator(&wide, "latent of experts", &shape), 0.0);
    }

    #[test]
    fn a_verification_by_mamba_writes_a_state_for_every_token() {
        let engine = nemotron("nemotron-3-nano-30b-a3b", Layout::tensor_parallel(1));
        let seconds = |draft_tokens| {
            operator(&engine, "linear attention", &Shape { decoding: 256, draft_tokens, ..Shape::default() })
        };
        let state = 23.0 * 256.0 * 2_097_152.0;
        let more = (seconds(3) - seconds(0)) / (3.0 * state / 3.35e12);
        assert!((1.1..1.3).contains(&more), "three writes more, at 87 % of the bandwidth: {more}");
    }
}
