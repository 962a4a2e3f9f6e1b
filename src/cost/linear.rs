//! Linear attention with a gated delta rule (arXiv 2412.06464) or Mamba-2's (arXiv 2405.21060): the recurrence and the short
//! convolution before it.
//!
//! A step of q new tokens for each of b sequences reads a state of S bytes a sequence once and writes it after every
//! token, for a rejected token must be undone: t = t0 + t1·(q - 1) + b·S·(1 + q)/(me·BW). Engines do so (vLLM keeps
//! q states a sequence, SGLang a buffer of as many), and public rows of a like kernel follow it (`fit::linear`). A prompt
//! goes through in chunks, one after the other, on as many processors as there are sequences x value heads:
//! t = t0 + (1 + (b·heads/(slots·SMs))^4)^(1/4)·(t1 + t2·tokens), tokens of the mean sequence. The convolution moves its
//! window and its tokens. Mamba-2 has the same traffic in a step, and takes the same constants, with a spread of its own: no
//! table has the kernel that engines run. Its prompts are t0 + heads·(a·chunks + c·tokens), for its chunks do not wait for
//! each other. Leaves out: that small states stay in the L2 in the tables and never do in serving, as those rows
//! are not fitted; and copies of the accepted state, where an engine makes them (`forward`).

use super::{Kernels, Machine, Timed, bound, outside};
use crate::piece::{Bound, Doubt};
use crate::profile::{LinearAttentionForm, LinearDecodeForm, LinearPrefillForm, ScanForm};
use crate::resolved::Rule;

/// Sharpness of the corner between prompts that find free processors and those that queue for them.
const CORNER: f64 = 4.0;

/// One layer's linear attention on one GPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearShape {
    /// What updates the state.
    pub rule: Rule,
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

/// Microseconds of Mamba-2's scan over prompts.
fn scan_us(form: &ScanForm, shape: &LinearShape) -> f64 {
    let chunks = libm::ceil(shape.tokens / form.chunk);
    let of_head = form.per_chunk_us * chunks + form.per_1000_tokens_us * shape.tokens / 1000.0;
    form.t0_us + shape.batch * shape.value_heads * of_head
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
    /// count as extrapolated, and so do all of Mamba-2's.
    pub fn linear_decode(&self, shape: &LinearShape) -> Timed {
        let form = self.linear();
        let recurrence = decode_us(&form.decode, &self.machine, shape);
        let convolution = convolution_us(form.convolution.decode(), &self.machine, window_bytes(shape));
        let memory = recurrence - form.decode.t0_us;
        let far = self.far(outside(shape.tokens, form.decode.queries), None);
        Timed {
            seconds: 1e-6 * (recurrence + convolution),
            doubt: far.max(self.unlike(shape, self.profile.form.mamba.decode_spread)),
            bound: bound(form.decode.t0_us, memory, 0.0),
        }
    }

    /// Recurrence and convolution of one layer over prompts, `shape.batch` of them of `shape.tokens` each.
    pub fn linear_prefill(&self, shape: &LinearShape) -> Timed {
        let (form, scan) = (self.linear(), &self.profile.form.mamba.scan);
        let recurrence = match shape.rule {
            Rule::DeltaRule => prefill_us(&form.prefill, &self.machine, shape),
            Rule::Mamba2 => scan_us(scan, shape),
        };
        let convolution = convolution_us(form.convolution.prefill(), &self.machine, prompt_bytes(shape));
        Timed {
            seconds: 1e-6 * (recurrence + convolution),
            doubt: self.unlike(shape, scan.spread),
            bound: Bound::Latency,
        }
    }

    /// The doubt about a rule that linear attention's constants were not fitted on.
    fn unlike(&self, shape: &LinearShape, spread: f64) -> Doubt {
        match shape.rule {
            Rule::DeltaRule => Doubt::NONE,
            Rule::Mamba2 => Doubt::outside(self.in_sigmas(spread)),
        }
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
        LinearShape {
            rule: Rule::DeltaRule,
            batch,
            tokens,
            value_heads: 32.0,
            head_bytes: 65_536.0,
            channels: 8192.0,
            window: 4.0,
        }
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
            let found = kernels().linear_prefill(&shape(batch, tokens)).seconds * 1e6;
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

    /// Mamba-2 of 128 heads with states of 64 x 128 in 32 bits, 8 groups: Nemotron-3 Super.
    fn mamba(batch: f64, tokens: f64) -> LinearShape {
        LinearShape {
            rule: Rule::Mamba2,
            value_heads: 128.0,
            head_bytes: 32_768.0,
            channels: 10_240.0,
            ..shape(batch, tokens)
        }
    }

    #[test]
    fn mamba_steps_are_near_published_timings_and_count_as_extrapolated() {
        let form = |device: &str| {
            crate::profile::device(device).unwrap_or_else(|error| panic!("{error}")).form.linear_attention
        };
        // vLLM's own kernel in 32 bits, microseconds by sequences x heads: #44251 (H200) and #43083 (Blackwell, taken for a
        // B200). Nothing of these is fitted.
        let h200 = [(4096.0, 73.64), (8192.0, 142.70), (196_608.0, 3373.35)];
        let b200 = [(16_384.0, 168.17), (98_304.0, 972.12), (262_144.0, 2591.49)];
        for (device, bandwidth, rows) in [("h200-sxm", 4.8e12, h200), ("b200", 7.672e12, b200)] {
            let machine = Machine { bandwidth, ..Machine::of(&crate::cost::testing::h100()) };
            for (heads, us) in rows {
                let shape = LinearShape { value_heads: heads, ..mamba(1.0, 1.0) };
                let found = decode_us(&form(device).decode, &machine, &shape);
                assert!((-0.10..0.08).contains(&(found / us - 1.0)), "{device} {heads}: {found} for {us}");
            }
        }
        let kernels = kernels();
        assert!(kernels.linear_decode(&mamba(64.0, 1.0)).doubt.outside);
        assert_eq!(kernels.linear_decode(&shape(64.0, 1.0)).doubt, Doubt::NONE);
        // A verification reads a state once and writes one for every token.
        let seconds = |tokens| kernels.linear_decode(&mamba(256.0, tokens)).seconds;
        assert!((2.3..2.6).contains(&(seconds(4.0) / seconds(1.0))));
    }

    #[test]
    fn mamba_scans_lie_over_the_one_published_timing() {
        // vLLM #27299, H100, 128 heads, one group: 649 us for 8192 tokens, 5.92 ms for 65,536; sped up since.
        let form = kernels().profile().form.mamba.scan.clone();
        for (tokens, us, over) in [(8192.0, 649.0, 0.275), (65_536.0, 5920.0, 0.096)] {
            let error = scan_us(&form, &mamba(1.0, tokens)) / us - 1.0;
            assert!((error - over).abs() < 0.01, "{tokens}: {error}");
        }
        assert!(kernels().linear_prefill(&mamba(4.0, 2048.0)).doubt.outside);
        // Chunks are parallel: so many prompts cost what one as long as all of them does.
        let work = |batch, tokens| scan_us(&form, &mamba(batch, tokens));
        assert_eq!(work(8.0, 1024.0), work(1.0, 8192.0));
        assert!(work(8.0, 1025.0) > work(1.0, 8200.0), "but a chunk that is begun costs a whole one");
    }
}
