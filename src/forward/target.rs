//! The target's forward pass: decode, verify and prefill tokens in one step; then the output head over the rows
//! that need logits, and sampling or verification.
//!
//! With data-parallel attention a replica is several attention ranks that step together: the step is that of the
//! fullest rank, and a rank without work runs along (a dummy step).

use super::decoder::{Decoder, Pass};
use super::software::Rows;
use super::{Engine, add_plain, add_timed};
use crate::estimate::Family;
use crate::math::expected_maximum;
use crate::piece::{Bound, Piece, Shape};
use crate::resolved::Precision;

/// Sequences of the fullest of `ranks`, of `left` that remain of `dealt`.
fn fullest(left: u32, ranks: u32, dealt: u32) -> u32 {
    let even = left.div_ceil(ranks);
    if left >= dealt || left == 0 {
        return even;
    }
    let (n, mean) = (f64::from(ranks), f64::from(left) / f64::from(ranks));
    // As if all ranks had been as full as the fullest: else one more could be a less full rank.
    let whole = dealt.div_ceil(ranks) * ranks;
    let variance = mean * (1.0 - f64::from(left) / f64::from(whole)) * (1.0 - 1.0 / n);
    let most = (mean + expected_maximum(n) * libm::sqrt(variance)).round() as u32;
    most.max(even).min(dealt.div_ceil(ranks)).min(left)
}

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
            copies_states: self.linear_states.copied,
        }
    }

    /// What the fullest attention rank gets of a step.
    ///
    /// Requests are dealt evenly and stay on their rank. Of `dealt` of them those that are left are any, so a rank's are a
    /// hypergeometric number, and the fullest has the mean and as many standard deviations as the expected maximum of
    /// normal numbers: within a sequence of simulated dealing. Leaves out: that their contexts differ, that a step's prompts
    /// lie on few ranks, and loops whose samples come one by one, where new ones go to the emptiest rank (`dealt` is 0 there).
    pub(super) fn fullest_rank(&self, shape: &Shape) -> Shape {
        let ranks = self.layout.attention_ranks();
        if ranks == 1 {
            return *shape;
        }
        Shape {
            decoding: fullest(shape.decoding, ranks, self.dealt),
            prefill_tokens: shape.prefill_tokens.div_ceil(ranks),
            prefill_ends: shape.prefill_ends.div_ceil(ranks),
            ..*shape
        }
    }

    /// How full the attention ranks are beside the fullest.
    pub(super) fn filled(&self, whole: &Shape, rank: &Shape) -> f64 {
        let fullest = f64::from(self.layout.attention_ranks()) * f64::from(rank.decoding);
        if fullest > 0.0 { (f64::from(whole.decoding) / fullest).min(1.0) } else { 1.0 }
    }

    /// The pass of a rank over `tokens`, given its part of the step; all ranks as full as this one.
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
            filled: 1.0,
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
        let pass = Pass {
            filled: self.filled(whole, rank),
            ..Engine::pass(whole, rank, rows.tokens, context, rows.eager())
        };
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

#[cfg(test)]
mod tests {
    use super::fullest;
    use crate::math::hypergeometric;
    use crate::rng::{Purpose, Stream};

    #[test]
    fn the_fullest_rank_is_that_of_requests_that_stay_where_they_were_dealt() {
        let mut stream = Stream::new(1, Purpose::Calibration, &[]);
        for (dealt, ranks) in [(256, 16), (1024, 16), (2048, 32), (512, 8), (64, 4)] {
            for left in [dealt - 4, dealt * 9 / 10, dealt / 2, dealt / 4, dealt / 10, ranks, ranks / 2] {
                let each = dealt / ranks;
                let mut draw = || {
                    let (mut most, mut still, mut others) = (0, left, dealt);
                    for _ in 0..ranks {
                        let here = hypergeometric(&mut stream, still, others - still, each);
                        (most, still, others) = (most.max(here), still - here, others - each);
                    }
                    most
                };
                let mean = (0..400).map(|_| f64::from(draw())).sum::<f64>() / 400.0;
                let got = f64::from(fullest(left, ranks, dealt));
                assert!((got - mean).abs() < 1.0, "{left} of {dealt} on {ranks}: {got}, drawn {mean}");
            }
        }
    }

    #[test]
    fn more_sequences_never_have_a_less_full_rank() {
        for (dealt, ranks) in (0..300).flat_map(|dealt| [2, 3, 8, 16, 32, 64, 72].map(|ranks| (dealt, ranks)))
        {
            let all: Vec<u32> = (0..=dealt + 100).map(|left| fullest(left, ranks, dealt)).collect();
            assert!(all.is_sorted(), "{dealt} on {ranks}");
            assert_eq!((all[0], all[1]), (0, 1));
        }
    }
}
