//! Attention: decode and verify over a paged KV cache, and prefill.
//!
//! Decode and verify of q query tokens per sequence:
//! t = t0 + wave·batch·kv_heads/SMs + ((bytes/(me·BW))^p + (F/(ce·P))^p)^(1/p), bytes = the KV cache once,
//! F = 4·q·heads·head_dim for each token of context. Both terms are linear in total context, so their p-norm
//! is: the time is affine in total context. The causal mask inside the draft window is left out (q ≪ context).

use super::Kernels;
use crate::math::p_norm;

/// One layer's decode or verify attention on one GPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionShape {
    /// Sequences.
    pub batch: f64,
    /// Query tokens per sequence.
    pub queries: f64,
    /// Query heads on this GPU.
    pub heads: f64,
    /// Key and value heads on this GPU (1 where a head is replicated).
    pub kv_heads: f64,
    /// Numbers in a head.
    pub head_dim: f64,
    /// Bytes of one number in the cache.
    pub kv_bytes: f64,
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
    /// Whether the batch lay outside the fitted range.
    pub extrapolated: bool,
}

impl Kernels {
    /// Decode (`queries` = 1) or verify attention of one layer.
    pub fn attention(&self, shape: &AttentionShape) -> AttentionTime {
        let form = &self.profile.form.attention_decode;
        let bytes = 2.0 * shape.kv_heads * shape.head_dim * shape.kv_bytes;
        let flops = 4.0 * shape.queries * shape.heads * shape.head_dim;
        let memory = bytes / (form.memory_efficiency * self.bandwidth);
        let compute = flops / (form.compute_efficiency * self.bf16);
        let waves = shape.batch * shape.kv_heads / self.sm_count;
        AttentionTime {
            fixed: (form.t0_us + form.wave_us * waves) * 1e-6,
            per_context_token: p_norm(memory, compute, form.p),
            fitted_to: form.context[1] * shape.batch,
            extrapolated: shape.batch > form.batch[1],
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

    const QWEN3_8B: AttentionShape = AttentionShape {
        batch: 32.0,
        queries: 1.0,
        heads: 32.0,
        kv_heads: 8.0,
        head_dim: 128.0,
        kv_bytes: 2.0,
    };

    #[test]
    fn decode_matches_published_layer_sums() {
        // 36 layers of Qwen3-8B on an H100 at context 4k: 6.73 ms at batch 32, 24.8 ms at 128 (vLLM 0.24 tables).
        for (batch, ms) in [(32.0, 6.73), (128.0, 24.8)] {
            let time = kernels().attention(&AttentionShape { batch, ..QWEN3_8B });
            let total = 36.0 * (time.fixed + time.per_context_token * batch * 4096.0) * 1e3;
            assert!((total / ms - 1.0).abs() < 0.12, "{total} {ms}");
        }
    }

    #[test]
    fn verify_reads_the_cache_once() {
        let kernels = kernels();
        let decode = kernels.attention(&QWEN3_8B);
        let verify = kernels.attention(&AttentionShape { queries: 4.0, ..QWEN3_8B });
        let ratio = verify.per_context_token / decode.per_context_token;
        assert!((1.0..1.1).contains(&ratio), "4 query tokens are nearly free: {ratio}");
        let wide = kernels.attention(&AttentionShape { queries: 64.0, ..QWEN3_8B });
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
