//! Attention: decode and verify over a paged KV cache, and prefill.
//!
//! Decode and verify of q query tokens per sequence:
//! t = t0 + wave·batch·kv_heads/SMs + ((bytes/(me·BW))^p + (F/(ce·P))^p)^(1/p), bytes = the KV cache once,
//! F = 4·q·heads·head_dim for each token of context. Both terms are linear in total context, so their p-norm
//! is: the time is affine in total context. The causal mask inside the draft window is left out (q ≪ context).

use super::Kernels;
use crate::math::p_norm;
use crate::piece::Bound;

/// One layer's decode or verify attention on one GPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionShape {
    /// Sequences.
    pub batch: f64,
    /// Key and value heads on this GPU (1 where a head is replicated, and with latent attention).
    pub kv_heads: f64,
    /// Bytes read of the cache for each token of context, once for all queries of the sequence.
    pub bytes_per_token: f64,
    /// Operations for each token of context, all queries and heads together.
    pub flops_per_token: f64,
    /// Whether public tables hold this kind of head.
    pub tabulated: bool,
}

/// A time affine in total context.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionTime {
    /// Seconds without context.
    pub fixed: f64,
    /// Seconds for each token of total context.
    pub per_context_token: f64,
    /// Total context up to which the constants were fitted, tokens.
    pub fitted_to: f64,
    /// Whether the batch or the kind of head lay outside the fitted range.
    pub extrapolated: bool,
    /// What limits it at long context.
    pub bound: Bound,
}

impl Kernels {
    /// Decode (`queries` = 1) or verify attention of one layer.
    pub fn attention(&self, shape: &AttentionShape) -> AttentionTime {
        let form = &self.profile.form.attention_decode;
        let memory = shape.bytes_per_token / (form.memory_efficiency * self.bandwidth);
        let compute = shape.flops_per_token / (form.compute_efficiency * self.bf16);
        let waves = shape.batch * shape.kv_heads / self.sm_count;
        AttentionTime {
            fixed: (form.t0_us + form.wave_us * waves) * 1e-6,
            per_context_token: p_norm(memory, compute, form.p),
            fitted_to: form.context[1] * shape.batch,
            extrapolated: shape.batch > form.batch[1] || !shape.tabulated,
            bound: if memory >= compute { Bound::Memory } else { Bound::Compute },
        }
    }

    /// Prefill attention of one layer over `tokens` queries: seconds without, and for each, query-key pair.
    pub fn prefill_attention(&self, tokens: f64, heads: f64, kv_heads: f64, head_dim: f64) -> (f64, f64) {
        let form = &self.profile.form.attention_prefill;
        let bytes = 2.0 * head_dim * tokens * (2.0 * heads + 4.0 * kv_heads);
        let fixed = form.t0_us * 1e-6 + bytes / (form.memory_efficiency * self.bandwidth);
        (fixed, 4.0 * heads * head_dim / (form.compute_efficiency * self.bf16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::testing::kernels;

    fn qwen3_8b(batch: f64, queries: f64) -> AttentionShape {
        AttentionShape {
            batch,
            kv_heads: 8.0,
            bytes_per_token: 2.0 * 8.0 * 128.0 * 2.0,
            flops_per_token: 4.0 * queries * 32.0 * 128.0,
            tabulated: true,
        }
    }

    #[test]
    fn decode_matches_published_layer_sums() {
        // 36 layers of Qwen3-8B on an H100 at context 4k: 6.73 ms at batch 32, 24.8 ms at 128 (vLLM 0.24 tables).
        for (batch, ms) in [(32.0, 6.73), (128.0, 24.8)] {
            let time = kernels().attention(&qwen3_8b(batch, 1.0));
            let total = 36.0 * (time.fixed + time.per_context_token * batch * 4096.0) * 1e3;
            assert!((total / ms - 1.0).abs() < 0.12, "{total} {ms}");
        }
    }

    #[test]
    fn verify_reads_the_cache_once() {
        let kernels = kernels();
        let decode = kernels.attention(&qwen3_8b(32.0, 1.0));
        let verify = kernels.attention(&qwen3_8b(32.0, 4.0));
        let ratio = verify.per_context_token / decode.per_context_token;
        assert!((1.0..1.1).contains(&ratio), "4 query tokens are nearly free: {ratio}");
        let wide = kernels.attention(&qwen3_8b(32.0, 64.0));
        assert!(wide.per_context_token / decode.per_context_token > 1.3, "64 are not");
    }

    #[test]
    fn prefill_of_long_sequences_is_near_its_compute() {
        // 8k tokens, 32/8 heads: FA3 reaches about 570 TFLOP/s on an H100.
        let (s, heads) = (8192.0, 32.0);
        let (fixed, per_pair) = kernels().prefill_attention(s, heads, 8.0, 128.0);
        let tflops = 4.0 * heads * 128.0 * s * s / 2.0 / (fixed + per_pair * s * s / 2.0) / 1e12;
        assert!((450.0..680.0).contains(&tflops), "{tflops}");
    }
}
