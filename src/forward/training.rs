//! Training and log-prob passes: floating-point operations over an efficiency, on the rank that has most of them.
//!
//! A dense model costs 6·N·s + 6·L·d_q·s² operations forward and backward for a sequence of s tokens (N:
//! weights that a token multiplies with, d_q: width of all query heads; causal), a third of it forward only; layers with
//! a window have fewer keys, those of linear attention none but a recurrence of as many operations for every token.
//! Recomputation adds forward passes. The efficiency is the *model* FLOP utilisation of a well-fed GPU; experts'
//! communication is part of it, as it is of the published efficiencies of mixtures of experts.
//! On top of it lie padding where sequences are not packed, data-parallel ranks that wait for the fullest of them at
//! every update, pipeline bubbles (p - 1) / m of p stages over m micro batches (GPipe and 1F1B alike), and the
//! seconds of an update itself. Leaves out: interleaved stages, gradients that are summed while others are computed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::resolved::{Balance, Model, Resolved};

/// Operations of one forward pass over a sequence of `tokens`. A layer with a window of w tokens has no more than w keys a
/// token.
pub fn forward_flops(model: &Model, tokens: f64) -> f64 {
    let pairs = 0.5 * tokens * tokens;
    let (windowed, seen) = model.sliding.map_or((0, 0.0), |window| {
        let width = f64::from(window.tokens).min(tokens);
        (window.layers, width * (tokens - 0.5 * width))
    });
    let attention = f64::from(model.cached_layers() - windowed) * pairs + f64::from(windowed) * seen;
    let recurrence = model.linear.map_or(0.0, |l| f64::from(l.layers) * l.recurrence_flops());
    (2.0 * model.params_per_token() + recurrence) * tokens + 4.0 * model.q_width() * attention
}

/// One pass over the samples of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pass {
    /// Operations of this pass over those of one forward pass: 1 for log-probs, 3 for training, more with
    /// recomputation.
    pub forwards: f64,
    /// Data-parallel ranks.
    pub ranks: usize,
    /// GPUs of a rank: they share its sequences.
    pub gpus_per_rank: f64,
    /// Of them pipeline stages.
    pub stages: f64,
    /// Rate of one GPU, FLOP/s: peak times efficiency.
    pub rate: f64,
    /// Whether sequences are packed; otherwise each is padded to the longest of its update and is a micro batch.
    pub packing: bool,
    /// Tokens of a micro batch of packed sequences.
    pub micro_tokens: f64,
    /// How samples are dealt to ranks.
    pub balance: Balance,
    /// Samples between two points at which all ranks meet: an optimizer step's, or all for log-probs.
    pub update: usize,
    /// Seconds of meeting: gradients, optimizer.
    pub update_seconds: f64,
}

/// What one rank has of an update.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    flops: f64,
    tokens: f64,
    samples: f64,
}

impl Pass {
    /// Seconds over sequences of these lengths (tokens, prompt and response), update after update.
    pub fn seconds(&self, model: &Model, lengths: &[f64]) -> f64 {
        let ranks = self.ranks.max(1);
        let update = self.update.clamp(1, lengths.len().max(1));
        if self.balance == Balance::Step && update < lengths.len() {
            return self.balanced_by_step(model, lengths, update);
        }
        let mut loads = vec![Load::default(); ranks];
        lengths
            .chunks(update)
            .map(|batch| {
                loads.fill(Load::default());
                let longest = longest(batch);
                if self.balance == Balance::None {
                    for (i, tokens) in batch.iter().enumerate() {
                        self.add(&mut loads[i % ranks], model, *tokens, longest);
                    }
                } else {
                    deal(batch, ranks, |sample, rank| {
                        self.add(&mut loads[rank], model, batch[sample], longest);
                    });
                }
                self.slowest(&loads)
            })
            .sum()
    }

    /// The ranks have about the same tokens of the whole step, but meet at every update: there chance decides.
    fn balanced_by_step(&self, model: &Model, lengths: &[f64], update: usize) -> f64 {
        let updates = lengths.len().div_ceil(update);
        let mut of_rank = vec![Vec::new(); self.ranks.max(1)];
        deal(lengths, self.ranks.max(1), |sample, rank| of_rank[rank].push(sample));
        for samples in &mut of_rank {
            // In the order in which they came, which is any.
            samples.sort_unstable();
        }
        let longest = longest(lengths);
        let mut loads = vec![Load::default(); of_rank.len()];
        (0..updates)
            .map(|u| {
                loads.fill(Load::default());
                for (samples, load) in of_rank.iter().zip(&mut loads) {
                    let part = |u: usize| u * samples.len() / updates;
                    for sample in &samples[part(u)..part(u + 1)] {
                        self.add(load, model, lengths[*sample], longest);
                    }
                }
                self.slowest(&loads)
            })
            .sum()
    }

    fn add(&self, load: &mut Load, model: &Model, tokens: f64, longest: f64) {
        let tokens = if self.packing { tokens } else { longest };
        load.flops += forward_flops(model, tokens);
        load.tokens += tokens;
        load.samples += 1.0;
    }

    /// Seconds of the rank that takes longest, and of meeting.
    fn slowest(&self, loads: &[Load]) -> f64 {
        let seconds = loads.iter().map(|load| {
            let micro_batches = if self.packing {
                (load.tokens / self.micro_tokens).ceil().min(load.samples)
            } else {
                load.samples
            };
            let bubbles = 1.0 + (self.stages - 1.0) / micro_batches.max(1.0);
            self.forwards * load.flops / (self.gpus_per_rank * self.rate) * bubbles
        });
        seconds.fold(0.0, f64::max) + self.update_seconds
    }
}

/// Training (once through the samples) and one pass for log-probs of a run.
pub fn passes(resolved: &Resolved) -> (Pass, Pass) {
    let (training, trainer) = (&resolved.training, resolved.training_cluster());
    let peak = trainer.device.peak_flops(training.precision);
    let train = Pass {
        forwards: 3.0 + training.recompute,
        ranks: (trainer.gpus / training.gpus_per_sequence) as usize,
        gpus_per_rank: f64::from(training.gpus_per_sequence),
        stages: f64::from(training.stages),
        rate: peak * training.mfu.value,
        packing: training.packing,
        micro_tokens: f64::from(training.micro_batch_tokens),
        balance: training.balance,
        update: training.global_batch_size as usize,
        update_seconds: training.update.value,
    };
    // Ranks meet when all samples are through.
    let logprob = Pass {
        forwards: 1.0,
        rate: peak * training.logprob_mfu.value,
        update: usize::MAX,
        update_seconds: 0.0,
        ..train
    };
    (train, logprob)
}

fn longest(lengths: &[f64]) -> f64 {
    lengths.iter().copied().fold(0.0, f64::max)
}

/// Deals samples, longest first, each to the rank that has the fewest tokens (LPT; Graham 1969). Ties go to the lowest
/// number. Calls back with (sample, rank).
fn deal(lengths: &[f64], ranks: usize, mut give: impl FnMut(usize, usize)) {
    let mut order: Vec<u32> = (0..lengths.len() as u32).collect();
    order.sort_unstable_by(|a, b| lengths[*b as usize].total_cmp(&lengths[*a as usize]).then(a.cmp(b)));
    let mut heap: BinaryHeap<Reverse<(u64, usize)>> = (0..ranks).map(|rank| Reverse((0, rank))).collect();
    for sample in order {
        let Some(Reverse((tokens, rank))) = heap.pop() else { return };
        give(sample as usize, rank);
        heap.push(Reverse((tokens + lengths[sample as usize] as u64, rank)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::tests::qwen3_8b;
    use crate::resolved::SlidingWindow;

    fn pass(ranks: usize, packing: bool) -> Pass {
        Pass {
            forwards: 3.0,
            ranks,
            gpus_per_rank: 1.0,
            stages: 1.0,
            rate: 400e12,
            packing,
            micro_tokens: 16_384.0,
            balance: Balance::Update,
            update: 512,
            update_seconds: 0.0,
        }
    }

    #[test]
    fn six_operations_per_weight_and_token() {
        let model = qwen3_8b();
        // 7.57e9 weights per token (embedding look-up left out).
        let flops = 3.0 * forward_flops(&model, 1024.0);
        let weights = 6.0 * 7.568e9 * 1024.0;
        let attention = 6.0 * 36.0 * 4096.0 * 1024.0 * 1024.0;
        assert!((flops / (weights + attention) - 1.0).abs() < 1e-3);
    }

    #[test]
    fn a_layer_with_a_window_has_its_width_of_keys() {
        let whole = qwen3_8b();
        let windowed =
            |tokens, layers| Model { sliding: Some(SlidingWindow { tokens, layers }), ..whole.clone() };
        let keys =
            |tokens: u32, width: u32| (1..=tokens).map(|seen| f64::from(seen.min(width)) - 0.5).sum::<f64>();
        for (tokens, width) in [(100, 128), (128, 128), (4096, 128), (4096, 4095)] {
            let less = f64::from(18) * 4.0 * whole.q_width() * (keys(tokens, u32::MAX) - keys(tokens, width));
            let expected = forward_flops(&whole, f64::from(tokens)) - less;
            let got = forward_flops(&windowed(width, 18), f64::from(tokens));
            // The last half key of the diagonal is counted in each token that sees less than all.
            assert!((got / expected - 1.0).abs() < 2e-4, "{tokens} {width}: {got} {expected}");
        }
        assert_eq!(forward_flops(&windowed(64, 0), 1000.0), forward_flops(&whole, 1000.0));
    }

    #[test]
    fn packing_saves_padding_and_balance_is_bounded_by_the_longest() {
        let model = qwen3_8b();
        let mut lengths = vec![1000.0; 511];
        lengths.push(16_000.0);
        let packed = pass(8, true).seconds(&model, &lengths);
        let padded = pass(8, false).seconds(&model, &lengths);
        assert!(padded > 10.0 * packed);
        let alone = 3.0 * forward_flops(&model, 16_000.0) / 400e12;
        assert!((pass(4096, true).seconds(&model, &lengths) - alone).abs() < 1e-12);
    }

    #[test]
    fn updates_add_up() {
        let model = qwen3_8b();
        let lengths = vec![2000.0; 1024];
        let two = pass(8, true).seconds(&model, &lengths);
        let one = pass(8, true).seconds(&model, &lengths[..512]);
        assert!((two - 2.0 * one).abs() < 1e-9);
        let meeting = Pass { update_seconds: 0.5, ..pass(8, true) }.seconds(&model, &lengths);
        assert!((meeting - two - 1.0).abs() < 1e-9);
    }

    /// Lengths without a pattern, between 100 and 4,100 tokens.
    fn scattered(n: u32) -> Vec<f64> {
        (0..n).map(|i| 100.0 + f64::from(i.wrapping_mul(2_654_435_761) % 4000)).collect()
    }

    #[test]
    fn ranks_are_within_the_bounds_of_list_scheduling() {
        let model = qwen3_8b();
        for ranks in [3, 8, 100] {
            let lengths = scattered(256);
            let seconds = |tokens: f64| 3.0 * forward_flops(&model, tokens) / 400e12;
            let even = lengths.iter().map(|t| seconds(*t)).sum::<f64>() / ranks as f64;
            let alone = lengths.iter().map(|t| seconds(*t)).fold(0.0, f64::max);
            let dealt = pass(ranks, true).seconds(&model, &lengths);
            assert!(dealt >= even.max(alone) - 1e-12);
            // LPT is within 4/3 of the best of tokens; operations are nearly in proportion to them.
            assert!(dealt < 1.4 * even.max(alone), "{ranks}: {dealt} {even} {alone}");
        }
    }

    #[test]
    fn balance_over_a_step_leaves_each_update_to_chance() {
        let model = qwen3_8b();
        let lengths = scattered(8192);
        let of = |balance, ranks| Pass { balance, ..pass(ranks, true) }.seconds(&model, &lengths);
        for ranks in [8, 32] {
            let (each, step, none) =
                (of(Balance::Update, ranks), of(Balance::Step, ranks), of(Balance::None, ranks));
            assert!(each < step && each < none, "{ranks}: {each} {step} {none}");
        }
        // A rank's share of an update is 64 samples on 8 ranks and 16 on 32: four times the ranks are less than four
        // times as fast.
        let gain = of(Balance::Step, 8) / of(Balance::Step, 32);
        assert!(gain > 2.8 && gain < 3.8, "{gain}");
        assert!((of(Balance::Update, 8) / of(Balance::Update, 32) - 4.0).abs() < 0.1);
    }

    #[test]
    fn a_pipeline_is_empty_at_both_ends() {
        let model = qwen3_8b();
        let lengths = vec![16_384.0; 64];
        let of = |stages: f64| {
            Pass { stages, gpus_per_rank: stages, update: 64, ..pass(2, true) }.seconds(&model, &lengths)
        };
        // 32 micro batches a rank: seven of 32 more time on eight stages.
        assert!((of(8.0) * 8.0 / of(1.0) - (1.0 + 7.0 / 32.0)).abs() < 1e-9);
    }
}
