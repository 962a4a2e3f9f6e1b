//! Training and log-prob passes: floating-point operations over an efficiency.
//!
//! A dense model costs 6·N·s + 6·L·d_q·s² operations forward and backward for a sequence of s tokens (N:
//! weights that a token multiplies with, d_q: width of all query heads; causal), a third of it forward only.
//! Recomputation adds forward passes. The efficiency is the *model* FLOP utilisation of a well-fed GPU.
//! Two things lie on top of it: padding where sequences are not packed, and the longest sequence, which one
//! data-parallel rank must take whole. Pipeline bubbles,
//! expert communication and imbalance are part of the efficiency.

use crate::resolved::Model;

/// Operations of one forward pass over a sequence of `tokens`.
pub fn forward_flops(model: &Model, tokens: f64) -> f64 {
    let attention = 2.0 * f64::from(model.layers) * model.q_width() * tokens * tokens;
    2.0 * model.params_per_token() * tokens + attention
}

/// One pass over the samples of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pass {
    /// Operations of this pass over those of one forward pass: 1 for log-probs, 3 for training, more with
    /// recomputation.
    pub forwards: f64,
    /// GPUs.
    pub gpus: f64,
    /// GPUs that share one sequence (tensor parallelism).
    pub gpus_per_sequence: f64,
    /// Rate of one GPU, FLOP/s: peak times efficiency.
    pub rate: f64,
    /// Whether sequences are packed.
    pub packing: bool,
    /// Samples that are balanced and padded together (one optimizer step).
    pub batch: usize,
}

impl Pass {
    /// Seconds over sequences of these lengths (tokens, prompt and response), batch after batch.
    pub fn seconds(&self, model: &Model, lengths: &[f64]) -> f64 {
        lengths.chunks(self.batch.max(1)).map(|batch| self.batch_seconds(model, batch)).sum()
    }

    fn batch_seconds(&self, model: &Model, lengths: &[f64]) -> f64 {
        let longest = lengths.iter().copied().fold(0.0, f64::max);
        let total: f64 = if self.packing {
            lengths.iter().map(|tokens| forward_flops(model, *tokens)).sum()
        } else {
            forward_flops(model, longest) * lengths.len() as f64
        };
        let even = total / self.gpus;
        // Balancing cannot split a sequence: one rank holds the longest alone.
        let alone = forward_flops(model, longest) / self.gpus_per_sequence;
        self.forwards * even.max(alone) / self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::tests::qwen3_8b;

    fn pass(gpus: f64, packing: bool) -> Pass {
        Pass { forwards: 3.0, gpus, gpus_per_sequence: 1.0, rate: 400e12, packing, batch: 512 }
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
    fn packing_saves_padding_and_balance_is_bounded_by_the_longest() {
        let model = qwen3_8b();
        let mut lengths = vec![1000.0; 511];
        lengths.push(16_000.0);
        let packed = pass(8.0, true).seconds(&model, &lengths);
        let padded = pass(8.0, false).seconds(&model, &lengths);
        assert!(padded > 10.0 * packed);
        let alone = 3.0 * forward_flops(&model, 16_000.0) / 400e12;
        assert!((pass(4096.0, true).seconds(&model, &lengths) - alone).abs() < 1e-12);
    }

    #[test]
    fn updates_add_up() {
        let model = qwen3_8b();
        let lengths = vec![2000.0; 1024];
        let two = pass(8.0, true).seconds(&model, &lengths);
        let one = pass(8.0, true).seconds(&model, &lengths[..512]);
        assert!((two - 2.0 * one).abs() < 1e-9);
    }
}
