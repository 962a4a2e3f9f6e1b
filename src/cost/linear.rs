//! Linear attention with a gated delta rule (arXiv 2412.06464): the recurrence and the short convolution before it.
//!
//! A step of q new tokens for each of b sequences reads a state of S bytes a sequence once and writes it after every
//! token, for a rejected token must be undone: t = t0 + t1·(q - 1) + b·S·(1 + q)/(me·BW). Engines do so (vLLM keeps
//! q states a sequence, SGLang a buffer of as many), and public rows of a like kernel follow it (`fit::linear`). A prompt
//! goes through in chunks, one after the other, on as many processors as there are sequences x value heads:
//! t = t0 + (1 + (b·heads/(slots·SMs))^4)^(1/4)·(t1 + t2·tokens), tokens of the mean sequence. The convolution moves its
//! window and its tokens. Leaves out: that small states stay in the L2 in the tables and never do in serving, as those rows
//! are not fitted; and copies of the accepted state, where an engine makes them (`forward`).

use super::{Kernels, Machine, Timed, bound, outside};
use crate::profile::{LinearAttentionForm, LinearDecodeForm, LinearPrefillForm};

/// Sharpness of the corner between prompts that find free processors and those that queue for them.
const CORNER: f64 = 4.0;

/// One layer's linear attention on one GPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearShape {
    /// Sequences.
    pub batch: f64,
    /// New tokens of each: 1 in decode, K + 1 in verification, a prompt's in prefill.
    pub tokens: f64,
    /// Value heads on this GPU.
    pub value_heads: f64,
    /// Bytes of the state of one value head.
    pub head_bytes: f64,
    /// Channels of the convolution on this GPU.
    pub channels: f64,
    /// Tokens that the convolution sees.
    pub window: f64,
}

/// Microseconds of the recurrence of a decode or verify step.
pub(super) fn decode_us(form: &LinearDecodeForm, machine: &Machine, shape: &LinearShape) -> f64 {
    let state = shape.batch * shape.value_heads * shape.head_bytes;
    form.t0_us
        + form.per_query_us * (shape.tokens - 1.0)
        + 1e6 * state * (1.0 + shape.tokens) / (form.memory_efficiency * machine.bandwidth)
}

/// Microseconds of the recurrence over prompts.
pub(super) fn prefill_us(form: &LinearPrefillForm, machine: &Machine, shape: &LinearShape) -> f64 {
    let queue = shape.batch * shape.value_heads / (form.slots * machine.sm_count);
    let waves = libm::pow(1.0 + libm::pow(queue, CORNER), 1.0 / CORNER);
    form.t0_us + waves * (form.sequence_us + form.per_1000_tokens_us * shape.tokens / 1000.0)
}

/// Bytes that the convolution of a decode or verify step moves: the window in and out, tokens in and out.
pub(super) fn window_bytes(shape: &LinearShape) -> f64 {
    let numbers = 2.0 * (shape.window - 1.0) + 2.0 * shape.tokens;
    2.0 * shape.batch * shape.channels * numbers
}

/// Bytes that the convolution over prompts moves: tokens in and out.
pub(super) fn prompt_bytes(shape: &LinearShape) -> f64 {
    4.0 * shape.batch * shape.channels * shape.tokens
}

/// Microseconds of the convolution.
pub(super) fn convolution_us([t0_us, efficiency]: [f64; 2], machine: &Machine, bytes: f64) -> f64 {
    t0_us + 1e6 * bytes / (efficiency * machine.bandwidth)
}

impl Kernels {
    fn linear(&self) -> &LinearAttentionForm {
        &self.profile.form.linear_attention
    }

    /// Recurrence and convolution of one layer in a decode or verify step, seconds. More draft tokens than any row had
    /// count as extrapolated.
    pub fn linear_decode(&self, shape: &LinearShape) -> Timed {
        let form = self.linear();
        let recurrence = decode_us(&form.decode, &self.machine, shape);
        let convolution = convolution_us(form.convolution.decode(), &self.machine, window_bytes(shape));
        let memory = recurrence - form.decode.t0_us;
        Timed {
            seconds: 1e-6 * (recurrence + convolution),
            doubt: self.far(outside(shape.tokens, form.decode.queries), None),
            bound: bound(form.decode.t0_us, memory, 0.0),
        }
    }

    /// Recurrence and convolution of one layer over prompts, `shape.batch` of them of `shape.tokens` each, seconds.
    pub fn linear_prefill(&self, shape: &LinearShape) -> f64 {
        let form = self.linear();
        let recurrence = prefill_us(&form.prefill, &self.machine, shape);
        let convolution = convolution_us(form.convolution.prefill(), &self.machine, prompt_bytes(shape));
        1e-6 * (recurrence + convolution)
    }

    /// Copying `sequences` states of one layer, seconds.
    pub fn linear_commit(&self, shape: &LinearShape) -> f64 {
        self.elementwise(2.0 * shape.batch * shape.value_heads * shape.head_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::testing::kernels;

    /// Layers of 16 key and 32 value heads of 128.
    fn shape(batch: f64, tokens: f64) -> LinearShape {
        LinearShape { batch, tokens, value_heads: 32.0, head_bytes: 65_536.0, channels: 8192.0, window: 4.0 }
    }

    #[test]
    fn steps_and_prompts_match_published_rows() {
        // One layer on an H100, microseconds, recurrence and convolution (vLLM 0.24.0 tables).
        for (batch, us) in
            [(1.0, 4.9 + 1.9), (64.0, 95.1 + 4.0), (256.0, 363.9 + 10.7), (1024.0, 1439.9 + 57.7)]
        {
            let found = kernels().linear_decode(&shape(batch, 1.0)).seconds * 1e6;
            assert!((found / us - 1.0).abs() < 0.1, "batch {batch}: {found} for {us}");
        }
        for (batch, tokens, us) in [(1.0, 2048.0, 105.4 + 34.4), (16.0, 512.0, 143.0 + 122.8)] {
            let found = kernels().linear_prefill(&shape(batch, tokens)) * 1e6;
            assert!((found / us - 1.0).abs() < 0.2, "{batch} of {tokens}: {found} for {us}");
        }
    }

    #[test]
    fn every_token_of_a_verification_is_a_state_to_write() {
        let seconds = |tokens| kernels().linear_decode(&shape(256.0, tokens)).seconds;
        // One read and four writes over one read and one write.
        let ratio = seconds(4.0) / seconds(1.0);
        assert!((2.3..2.6).contains(&ratio), "{ratio}");
        assert_eq!(kernels().linear_decode(&shape(8.0, 8.0)).doubt.spread, 0.0);
        assert!(kernels().linear_decode(&shape(8.0, 16.0)).doubt.outside, "no row has so many");
        let copied = kernels().linear_commit(&shape(256.0, 4.0));
        assert!(copied > 2.0 * 256.0 * 32.0 * 65_536.0 / 3.35e12, "a state in and out");
    }
}
