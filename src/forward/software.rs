//! The engine's software: gaps between iterations, CUDA-graph buckets, eager launches.
//!
//! With a captured graph the GPU runs the next larger captured size. Beyond the largest captured size, or
//! with graphs switched off, every kernel is launched by the host: a step then takes the longer of its
//! kernels and its launches. Prefill runs inside piecewise graphs where captured sizes count tokens (vLLM)
//! and eagerly where they count requests (SGLang). With `overhead: none` all of this is zero.

use crate::estimate::{Family, STEP_FAMILIES};
use crate::piece::{Bound, Line, Piece, Shape};
use crate::profile::{CaptureCounts, EngineProfile};
use crate::resolved::DrafterKind;

/// Software costs of one engine.
#[derive(Debug, Clone, PartialEq)]
pub struct Software {
    constants: Option<EngineProfile>,
    capture_sizes: Vec<u32>,
}

/// How many tokens the target's kernels run over, and how they are launched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rows {
    /// Tokens, padded to a captured size.
    pub(super) tokens: f64,
    /// Whether the host launches every kernel.
    pub(super) eager: bool,
}

impl Software {
    /// The engine as it is; `capture_sizes` empty where no graphs are captured.
    pub fn measured(constants: EngineProfile, capture_sizes: Vec<u32>) -> Self {
        Software { constants: Some(constants), capture_sizes }
    }

    /// Kernels only.
    pub fn none() -> Self {
        Software { constants: None, capture_sizes: Vec::new() }
    }

    /// Tokens that the target runs over in a step.
    pub(super) fn rows(&self, shape: &Shape) -> Rows {
        let tokens = shape.decoding * (shape.draft_tokens + 1) + shape.prefill_tokens;
        let exact = Rows { tokens: f64::from(tokens), eager: false };
        let Some(constants) = &self.constants else { return exact };
        let captured = |count: u32| {
            let at = self.capture_sizes.partition_point(|size| *size < count);
            self.capture_sizes.get(at).copied()
        };
        let padded = match constants.capture_counts {
            CaptureCounts::Tokens => captured(tokens),
            CaptureCounts::Requests if shape.prefill_tokens > 0 => None,
            CaptureCounts::Requests => captured(shape.decoding).map(|size| size * (shape.draft_tokens + 1)),
        };
        match padded {
            Some(size) => Rows { tokens: f64::from(size), eager: false },
            None => Rows { eager: true, ..exact },
        }
    }

    /// Lifts an eager step to its launch time where its kernels are shorter: the difference is software.
    /// The step stays affine: below the knot in context it is constant, above it is the kernels'.
    pub(super) fn bound_by_launches(&self, layers: u32, rows: &Rows, context: f64, piece: &mut Piece) {
        let Some(constants) = self.constants.as_ref().filter(|_| rows.eager) else { return };
        let launches = f64::from(layers) * constants.eager_layer_us * 1e-6;
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
        let line = Line {
            operator: "kernel launches",
            family: Family::Host,
            fixed: launches - kernels,
            per_context_token: -slope,
            bound: Bound::Host,
        };
        piece.add_operator(line, false);
    }

    /// Gaps that the host leaves around a step.
    pub(super) fn gaps(&self, shape: &Shape, drafter: Option<DrafterKind>, piece: &mut Piece) {
        let Some(constants) = &self.constants else { return };
        let requests = f64::from(shape.decoding + shape.prefill_ends);
        let beyond = requests > f64::from(constants.fitted_batch);
        let line = |operator, family, us: f64| Line {
            operator,
            family,
            fixed: us * 1e-6,
            per_context_token: 0.0,
            bound: Bound::Host,
        };
        piece.add_operator(line("iteration gap", Family::Host, constants.iteration_gap_us), false);
        piece.add_operator(
            line("requests on the host", Family::Host, constants.per_request_us * requests),
            beyond,
        );
        let Some(kind) = drafter.filter(|_| !shape.drafter_asleep) else { return };
        // Passes that the host launches: one a token, one a round, or none on the GPU at all.
        let passes = match kind {
            DrafterKind::Eagle3 | DrafterKind::Mtp | DrafterKind::Model => {
                f64::from(shape.draft_depth().max(1))
            }
            DrafterKind::Block => 1.0,
            DrafterKind::Ngram | DrafterKind::Suffix => 0.0,
        };
        let us = if shape.draft_tokens > 0 && shape.decoding > 0 {
            constants.draft_round_us
                + constants.draft_pass_us * passes
                + constants.per_request_draft_us * f64::from(shape.decoding)
        } else {
            // Keeping the drafter's cache in step takes one pass.
            constants.draft_pass_us * passes.min(1.0)
        };
        piece.add_operator(line("draft software", Family::DraftHost, us), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(id: &str) -> Software {
        let constants = crate::profile::engine(id).unwrap_or_else(|error| panic!("{error}"));
        let sizes = constants.capture_sizes.clone();
        Software::measured(constants, sizes)
    }

    #[test]
    fn tokens_are_padded_to_the_next_captured_size() {
        let shape = |decoding, draft_tokens| Shape { decoding, draft_tokens, ..Shape::default() };
        let vllm = engine("vllm");
        assert_eq!(vllm.rows(&shape(65, 0)), Rows { tokens: 72.0, eager: false });
        assert_eq!(vllm.rows(&shape(85, 5)), Rows { tokens: 512.0, eager: false });
        assert_eq!(vllm.rows(&shape(86, 5)), Rows { tokens: 516.0, eager: true }, "past the largest graph");
        let sglang = engine("sglang");
        assert_eq!(sglang.rows(&shape(250, 5)), Rows { tokens: 256.0 * 6.0, eager: false });
        assert!(sglang.rows(&Shape { prefill_tokens: 10, ..shape(2, 0) }).eager);
        assert_eq!(Software::none().rows(&shape(65, 0)), Rows { tokens: 65.0, eager: false });
    }

    #[test]
    fn an_eager_step_takes_the_longer_of_kernels_and_launches() {
        let software = engine("vllm");
        let rows = Rows { tokens: 1.0, eager: true };
        let kernels = || {
            let mut piece = Piece::zero();
            piece.add(Family::Gemm, 1e-3, 0.0);
            piece.add(Family::Attention, 0.0, 1e-8);
            piece
        };
        let launches = 36.0 * 180e-6;
        let mut short = kernels();
        software.bound_by_launches(36, &rows, 1e4, &mut short);
        assert!(
            (short.seconds(1e4) - launches).abs() < 1e-12 && (short.seconds(0.0) - launches).abs() < 1e-12
        );
        let knot = (launches - 1e-3) / 1e-8;
        assert!((short.context.end - knot).abs() < 1.0);
        let mut long = kernels();
        software.bound_by_launches(36, &rows, 2.0 * knot, &mut long);
        assert!((long.seconds(2.0 * knot) - kernels().seconds(2.0 * knot)).abs() < 1e-12);
        assert!((long.context.start - knot).abs() < 1.0);
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
