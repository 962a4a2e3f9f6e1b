//! Step costs as pieces, affine in context.
//!
//! The cost of an engine step is *defined* piecewise-affine in the total context of its decoding sequences
//! (decision 1 of the architecture): the exact stepper sums these numbers step by step, a leaping stepper
//! may integrate them in closed form, and both mean the same.

use std::ops::Range;

use crate::estimate::{Family, STEP_FAMILIES, StepSeconds};

/// The composition of one engine step, as far as its cost depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Shape {
    /// Sequences that decode in this step.
    pub decoding: u32,
    /// Draft tokens per decoding sequence (K); the target verifies K + 1. Zero: plain decoding.
    pub draft_tokens: u32,
    /// How the draft tokens were found where they are a tree; a chain takes one pass of one token for each.
    pub tree: Option<DraftTree>,
    /// Whether the drafter does nothing at all in this step, not even keep its cache in step with the target.
    pub drafter_asleep: bool,
    /// Prompt tokens that are prefilled in this step.
    pub prefill_tokens: u32,
    /// Query-key pairs of those tokens, Σ s·(past + s/2) over the prefilled chunks. The piece of a shape does
    /// not depend on them: what they cost is `per_prefill_pair`.
    pub prefill_pairs: u64,
    /// Prompts whose prefill ends in this step: each samples its first token.
    pub prefill_ends: u32,
}

/// The passes that find the draft tokens of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DraftTree {
    /// Draft passes, and the tree's depth below its root (SGLang: num_steps).
    pub depth: u32,
    /// Sequences that each pass after the first runs for each decoding one (SGLang: topk).
    pub width: u32,
}

impl Shape {
    /// Draft passes of a step.
    #[inline]
    pub fn draft_depth(&self) -> u32 {
        self.tree.map_or(self.draft_tokens, |tree| tree.depth)
    }

    /// Sequences that a draft pass after the first runs for each decoding one.
    #[inline]
    pub fn draft_width(&self) -> u32 {
        self.tree.map_or(1, |tree| tree.width)
    }
}

/// What limits an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "simulator", derive(serde::Serialize), serde(rename_all = "lowercase"))]
pub enum Bound {
    /// Bytes of device memory.
    Memory,
    /// Arithmetic.
    Compute,
    /// Fixed times: launches, waves, small collectives.
    Latency,
    /// Bytes between GPUs.
    Network,
    /// The engine's software.
    Host,
}

/// One line of a step's breakdown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// What runs.
    pub operator: &'static str,
    /// Its family.
    pub family: Family,
    /// Seconds that do not depend on context.
    pub fixed: f64,
    /// Seconds for each token of total context.
    pub per_context_token: f64,
    /// What limits it.
    pub bound: Bound,
}

/// How much less is known of an operator than its family's sigma says.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Doubt {
    /// Whether it is outside the range that its constants were fitted on, and not only between what was measured.
    pub outside: bool,
    /// What its logarithm spreads by on top, in the profile's `extrapolation_sigma`.
    pub spread: f64,
}

impl Doubt {
    /// The family's sigma says all.
    pub const NONE: Doubt = Doubt { outside: false, spread: 0.0 };

    /// Outside by so much; none at 0.
    pub fn outside(spread: f64) -> Self {
        Doubt { outside: spread > 0.0, spread }
    }

    /// Between what was measured, by so much.
    pub fn inside(spread: f64) -> Self {
        Doubt { outside: false, spread }
    }

    /// The greater of two doubts about one operator.
    #[must_use]
    pub fn max(self, other: Doubt) -> Self {
        Doubt { outside: self.outside || other.outside, spread: self.spread.max(other.spread) }
    }
}

/// Seconds of operators of which less is known than their families' sigmas say.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Extrapolated {
    /// Those outside the range that their constants were fitted on.
    pub seconds: f64,
    /// Those in doubt: these and the ones between what was measured.
    pub doubted: f64,
    /// The same, each times its doubt's spread.
    pub weighted: f64,
}

impl Extrapolated {
    /// Adds another's seconds, `times` times over.
    pub fn add(&mut self, times: f64, other: Extrapolated) {
        self.seconds += times * other.seconds;
        self.doubted += times * other.doubted;
        self.weighted += times * other.weighted;
    }

    /// Adds seconds that are in such doubt.
    pub fn add_seconds(&mut self, seconds: f64, doubt: Doubt) {
        if doubt.spread > 0.0 {
            let outside = if doubt.outside { seconds } else { 0.0 };
            self.add(
                1.0,
                Extrapolated { seconds: outside, doubted: seconds, weighted: doubt.spread * seconds },
            );
        }
    }

    /// How many seconds more there are in a world whose seconds at a weight of 1 are `doubt` longer in logarithm; all are
    /// taken at their mean weight.
    pub fn excess(&self, doubt: f64) -> f64 {
        if self.doubted > 0.0 {
            (libm::exp(doubt * self.weighted / self.doubted) - 1.0) * self.doubted
        } else {
            0.0
        }
    }
}

/// The cost of a step with a given shape, affine in total context, valid in `context`.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// Seconds by family that do not depend on context.
    pub fixed: StepSeconds,
    /// Seconds by family for each token of total context.
    pub per_context_token: StepSeconds,
    /// Seconds of attention for each query-key pair of a prefill.
    pub per_prefill_pair: f64,
    /// Total context (tokens, over the decoding sequences) in which the piece holds.
    pub context: Range<f64>,
    /// Of these seconds, those of operators in doubt: fixed, and for each token of total context.
    pub extrapolated: [Extrapolated; 2],
    /// The operators that make it up, each with the doubt about it, where somebody asked for them.
    pub lines: Option<Vec<(Line, Doubt)>>,
}

impl Piece {
    /// A piece that costs nothing, valid everywhere.
    pub fn zero() -> Self {
        Piece {
            fixed: [0.0; STEP_FAMILIES],
            per_context_token: [0.0; STEP_FAMILIES],
            per_prefill_pair: 0.0,
            context: 0.0..f64::INFINITY,
            extrapolated: [Extrapolated::default(); 2],
            lines: None,
        }
    }

    /// A piece that costs nothing and keeps its operators.
    pub fn itemised() -> Self {
        Piece { lines: Some(Vec::new()), ..Piece::zero() }
    }

    /// Adds an operator: seconds, what limits them, and the doubt about them.
    pub fn add_operator(&mut self, line: Line, doubt: Doubt) {
        self.add_flagged(line.family, line.fixed, line.per_context_token, doubt);
        if let Some(lines) = &mut self.lines {
            lines.push((line, doubt));
        }
    }

    /// An empty piece that lists its operators where this one does.
    #[must_use]
    pub fn alike(&self) -> Self {
        if self.lines.is_some() { Piece::itemised() } else { Piece::zero() }
    }

    /// Adds a part that runs `times` times over; the whole holds where all of its parts do.
    pub fn add_repeated(&mut self, part: &Piece, times: f64) {
        let scaled = |sums: &mut [f64], parts: &[f64]| {
            sums.iter_mut().zip(parts).for_each(|(sum, seconds)| *sum += times * seconds);
        };
        scaled(&mut self.fixed, &part.fixed);
        scaled(&mut self.per_context_token, &part.per_context_token);
        self.extrapolated.iter_mut().zip(part.extrapolated).for_each(|(sum, part)| sum.add(times, part));
        self.per_prefill_pair += times * part.per_prefill_pair;
        self.context.start = self.context.start.max(part.context.start);
        self.context.end = self.context.end.min(part.context.end);
        if let (Some(lines), Some(more)) = (&mut self.lines, &part.lines) {
            lines.extend(more.iter().map(|(line, doubt)| {
                let (fixed, slope) = (times * line.fixed, times * line.per_context_token);
                (Line { fixed, per_context_token: slope, ..*line }, *doubt)
            }));
        }
    }

    /// Adds `fixed` seconds and `slope` seconds per context token to a family.
    pub fn add(&mut self, family: Family, fixed: f64, slope: f64) {
        self.fixed[family as usize] += fixed;
        self.per_context_token[family as usize] += slope;
    }

    /// Adds the seconds of an operator, and the doubt about them.
    pub fn add_flagged(&mut self, family: Family, fixed: f64, slope: f64, doubt: Doubt) {
        self.add(family, fixed, slope);
        self.extrapolated[0].add_seconds(fixed, doubt);
        self.extrapolated[1].add_seconds(slope, doubt);
    }

    /// Extrapolated seconds of `steps` steps whose contexts add up to `contexts`.
    #[inline]
    pub fn extrapolated_in(&self, steps: f64, contexts: f64) -> Extrapolated {
        let mut sum = Extrapolated::default();
        sum.add(steps, self.extrapolated[0]);
        sum.add(contexts, self.extrapolated[1]);
        sum
    }

    /// Seconds at a total context without prefill pairs, all families together.
    pub fn seconds(&self, context: f64) -> f64 {
        self.fixed.iter().sum::<f64>() + context * self.per_context_token.iter().sum::<f64>()
    }

    /// Adds the seconds of `steps` steps by family to `total`, whose contexts add up to `contexts` and whose
    /// prefills to `pairs` query-key pairs.
    #[inline]
    pub fn accumulate(&self, steps: f64, contexts: f64, pairs: f64, total: &mut StepSeconds) {
        for ((sum, fixed), slope) in total.iter_mut().zip(&self.fixed).zip(&self.per_context_token) {
            *sum += steps * fixed + contexts * slope;
        }
        total[Family::Attention as usize] += pairs * self.per_prefill_pair;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_part_is_that_part_again_and_again() {
        let line = |fixed| Line {
            operator: "part",
            family: Family::Gemm,
            fixed,
            per_context_token: 2e-9,
            bound: Bound::Memory,
        };
        let mut part = Piece::itemised();
        part.add_operator(line(1e-3), Doubt::outside(0.5));
        part.context = 10.0..2e6;
        let (mut once, mut again) = (Piece::itemised(), Piece::itemised());
        once.add_repeated(&part, 3.0);
        for _ in 0..3 {
            again.add_operator(line(1e-3), Doubt::outside(0.5));
        }
        assert!((once.seconds(1e6) - again.seconds(1e6)).abs() < 1e-15);
        let [one, other] = [&once, &again].map(|piece| piece.extrapolated_in(1.0, 1e6));
        assert!((one.seconds - other.seconds).abs() < 1e-15 && (one.weighted - other.weighted).abs() < 1e-15);
        assert!(
            (one.excess(0.3) / one.seconds - (libm::exp(0.15) - 1.0)).abs() < 1e-12,
            "half of the usual spread"
        );
        assert_eq!((once.context.clone(), once.lines.as_ref().map(Vec::len)), (10.0..2e6, Some(1)));
    }

    #[test]
    fn what_is_between_measured_sizes_is_in_doubt_but_not_extrapolated() {
        let mut sum = Extrapolated::default();
        sum.add_seconds(1.0, Doubt::inside(0.5));
        sum.add_seconds(3.0, Doubt::outside(1.5));
        sum.add_seconds(10.0, Doubt::NONE);
        assert_eq!(sum, Extrapolated { seconds: 3.0, doubted: 4.0, weighted: 5.0 });
        assert!((sum.excess(0.2) - 4.0 * (libm::exp(0.25) - 1.0)).abs() < 1e-12, "at their mean spread");
        let both = Doubt::inside(0.5).max(Doubt::outside(0.1));
        assert_eq!(both, Doubt { outside: true, spread: 0.5 });
    }

    #[test]
    fn accumulating_families_adds_up_to_the_seconds() {
        let mut piece = Piece::zero();
        piece.add(Family::Gemm, 2e-3, 0.0);
        piece.add(Family::Attention, 1e-4, 3e-9);
        let mut total = [0.0; STEP_FAMILIES];
        piece.accumulate(1.0, 1e6, 0.0, &mut total);
        assert!((total.iter().sum::<f64>() - piece.seconds(1e6)).abs() < 1e-15);
        assert!((piece.seconds(1e6) - 5.1e-3).abs() < 1e-12);
    }
}
