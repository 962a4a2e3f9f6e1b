//! Attention: decode and verify over a paged KV cache, and prefill.
//!
//! Decode and verify of q query tokens per sequence, U = batch x KV heads, context L, R = q x heads a KV head:
//! t = (t0 + wave·U/SMs + ((bytes/(me·BW))^p + (F/(ce·P))^p)^(1/p)) · exp(r(U, L, R)) at the knots of L, with
//! bytes = the KV cache once and F = 4·q·heads·head_dim for each token of context; between knots t is linear in
//! L. The form is linear in L too, so the time is piecewise affine in total context, as steps are by definition,
//! and the knots say where one piece ends. Below the first knot and beyond the last r holds its edge's value. The
//! causal mask inside the draft window is left out (q ≪ context), and so is raggedness: all sequences have the
//! mean context. Latent attention has constants of its own where rows of it were fitted; other heads that no table
//! holds (widths other than 128) get the form alone.

use super::{Kernels, Machine};
use crate::math::{Surface, exp, ln, p_norm};
use crate::piece::{Bound, Doubt};
use crate::profile::{DecodeAttentionForm, PrefillAttentionForm};

/// One layer's decode or verify attention on one GPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionShape {
    /// Sequences.
    pub batch: f64,
    /// Key and value heads on this GPU (1 where a head is replicated, and with latent attention).
    pub kv_heads: f64,
    /// Query tokens of a sequence times query heads of a KV head: rows that share a read.
    pub rows: f64,
    /// Bytes read of the cache for each token of context, once for all queries of the sequence.
    pub bytes_per_token: f64,
    /// Operations for each token of context, all queries and heads together.
    pub flops_per_token: f64,
    /// What kind of heads they are.
    pub heads: Heads,
}

/// Kinds of heads, by what tables hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heads {
    /// Keys and values of 128 features each.
    Grouped,
    /// One latent key and value for all query heads.
    Latent,
    /// Others: the form of the first, without its residual.
    Other,
}

/// A time affine in total context.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionTime {
    /// Seconds without context.
    pub fixed: f64,
    /// Seconds for each token of total context.
    pub per_context_token: f64,
    /// Total context from and to which this holds, tokens.
    pub contexts: [f64; 2],
    /// Whether the batch or the kind of head lies outside what was fitted.
    pub doubt: Doubt,
    /// What limits it at long context.
    pub bound: Bound,
}

/// The terms of the form: seconds without context, and for each token of total context of memory and of compute.
pub(super) fn terms(form: &DecodeAttentionForm, machine: &Machine, shape: &AttentionShape) -> [f64; 3] {
    let waves = shape.batch * shape.kv_heads / machine.sm_count;
    [
        (form.t0_us + form.wave_us * waves) * 1e-6,
        shape.bytes_per_token / (form.memory_efficiency * machine.bandwidth),
        shape.flops_per_token / (form.compute_efficiency * machine.bf16),
    ]
}

/// Seconds of the form at a total context.
pub(super) fn base(
    form: &DecodeAttentionForm,
    machine: &Machine,
    shape: &AttentionShape,
    context: f64,
) -> f64 {
    let [fixed, memory, compute] = terms(form, machine, shape);
    fixed + p_norm(memory, compute, form.p) * context
}

/// An affine piece of the surface: intercept, slope and range of the context. `line` is the form's, and `scale` what
/// the context of the ranks together is over one sequence's mean: sequences over the rank's share.
pub(super) fn piece(
    surface: &Surface<3>,
    shape: &AttentionShape,
    [fixed, slope]: [f64; 2],
    context: f64,
    scale: f64,
) -> ([f64; 2], [f64; 2]) {
    let (u, r) = (surface.cell(0, ln(shape.batch * shape.kv_heads)), surface.cell(2, ln(shape.rows)));
    let factor = |knot: usize| exp(surface.at_middle(u, knot, r));
    let knots = surface.knots(1);
    let end = |knot: usize| knots[knot] * scale;
    // The ends decide, so that every context of a range finds the same piece.
    let upper = knots.partition_point(|knot| knot * scale <= context);
    if upper == 0 {
        let factor = factor(0);
        return ([fixed * factor, slope * factor], [0.0, end(0)]);
    }
    if upper == knots.len() {
        let factor = factor(upper - 1);
        return ([fixed * factor, slope * factor], [end(upper - 1), f64::INFINITY]);
    }
    let ends = [end(upper - 1), end(upper)];
    let times = [upper - 1, upper].map(|knot| (fixed + slope * end(knot)) * factor(knot));
    let slope = (times[1] - times[0]) / (ends[1] - ends[0]);
    ([times[0] - slope * ends[0], slope], ends)
}

/// Seconds of the prefill form: without, and for each, query-key pair. Only the write into the cache is of the memory
/// (keys and values in bf16, read and written): between devices that differ in nothing else, it alone scales.
pub(super) fn prefill(
    form: &PrefillAttentionForm,
    machine: &Machine,
    tokens: f64,
    [heads, kv_heads, head_dim]: [f64; 3],
) -> [f64; 2] {
    let written = 8.0 * head_dim * kv_heads / (form.memory_efficiency * machine.bandwidth);
    let per_key = 4.0 * head_dim / (form.compute_efficiency * machine.bf16);
    let per_token = written + per_key * (heads * form.query_keys + kv_heads * form.kv_keys);
    [form.t0_us * 1e-6 + tokens * per_token, per_key * heads]
}

/// Where prefill attention lies on its residual: tokens x heads, tokens of a sequence, heads a KV head, KV heads.
pub(super) fn prefill_place(tokens: f64, mean: f64, heads: f64, kv_heads: f64) -> [f64; 4] {
    [tokens * heads, mean, heads / kv_heads, kv_heads].map(ln)
}

impl Kernels {
    /// Decode (one query token) or verify attention of one layer, affine around a total context of which this GPU's
    /// sequences hold `share`.
    pub fn attention(&self, shape: &AttentionShape, context: f64, share: f64) -> AttentionTime {
        let profile = &self.profile.form;
        let latent = shape.heads == Heads::Latent;
        let form = profile.attention_over(latent);
        let tabulated = shape.heads == Heads::Grouped || (latent && profile.attention_latent.is_some());
        let [fixed, memory, compute] = terms(form, &self.machine, shape);
        let line = [fixed, p_norm(memory, compute, form.p) * share];
        let scale = shape.batch / share.max(f64::MIN_POSITIVE);
        let ([fixed, per_context_token], contexts) = match &form.residual {
            Some(residual) if tabulated => piece(&residual.0, shape, line, context, scale),
            _ => (line, [0.0, f64::INFINITY]),
        };
        AttentionTime {
            fixed,
            per_context_token,
            contexts,
            doubt: Doubt::outside(f64::from(shape.batch > form.batch[1] || !tabulated)),
            bound: if memory >= compute { Bound::Memory } else { Bound::Compute },
        }
    }

    /// The doubt about attention whose context is longer than any table's: as two octaves beyond.
    pub fn beyond_context(&self, latent: bool) -> Doubt {
        self.far(2.0, self.profile.form.attention_over(latent).beyond_context)
    }

    /// Prefill attention of one layer over `tokens` queries, `mean` a sequence: seconds without, and for each,
    /// query-key pair. Tokens of a chunk behind others count like those of a sequence of the chunk's length.
    pub fn prefill_attention(
        &self,
        tokens: f64,
        mean: f64,
        heads: f64,
        kv_heads: f64,
        head_dim: f64,
    ) -> (f64, f64) {
        let form = &self.profile.form.attention_prefill;
        let [fixed, per_pair] = prefill(form, &self.machine, tokens, [heads, kv_heads, head_dim]);
        let factor =
            form.residual.as_ref().map_or(1.0, |r| exp(r.0.at(prefill_place(tokens, mean, heads, kv_heads))));
        (fixed * factor, per_pair * factor)
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
            rows: 4.0 * queries,
            bytes_per_token: 2.0 * 8.0 * 128.0 * 2.0,
            flops_per_token: 4.0 * queries * 32.0 * 128.0,
            heads: Heads::Grouped,
        }
    }

    #[test]
    fn decode_matches_published_layer_sums() {
        // 36 layers of Qwen3-8B on an H100 at context 4k: 6.73 ms at batch 32, 24.8 ms at 128 (vLLM 0.24 tables).
        for (batch, ms) in [(32.0, 6.73), (128.0, 24.8)] {
            let time = kernels().attention(&qwen3_8b(batch, 1.0), batch * 4096.0, 1.0);
            let total = 36.0 * (time.fixed + time.per_context_token * batch * 4096.0) * 1e3;
            assert!((total / ms - 1.0).abs() < 0.12, "{total} {ms}");
        }
    }

    #[test]
    fn latent_attention_is_that_of_its_own_rows() {
        // One layer of DeepSeek-V3 on an H100, microseconds (SGLang 0.5.14 tables): all 128 heads on a GPU, and sixteen. With
        // the constants of grouped heads the first would take 330 and 1281.
        for (heads, batch, us) in [(128.0, 64.0, 140.5), (128.0, 256.0, 544.4), (16.0, 64.0, 120.6)] {
            let shape = AttentionShape {
                batch,
                kv_heads: 1.0,
                rows: heads,
                bytes_per_token: 2.0 * 576.0,
                flops_per_token: 2.0 * heads * (576.0 + 512.0),
                heads: Heads::Latent,
            };
            let context = batch * 4096.0;
            let time = kernels().attention(&shape, context, 1.0);
            let total = (time.fixed + time.per_context_token * context) * 1e6;
            assert!((total / us - 1.0).abs() < 0.08, "{heads} heads, batch {batch}: {total} for {us}");
        }
    }

    #[test]
    fn verify_reads_the_cache_once() {
        let kernels = kernels();
        let context = 32.0 * 8192.0;
        let seconds = |queries: f64| {
            let time = kernels.attention(&qwen3_8b(32.0, queries), context, 1.0);
            time.fixed + time.per_context_token * context
        };
        let ratio = seconds(4.0) / seconds(1.0);
        assert!((1.0..1.1).contains(&ratio), "4 query tokens are nearly free: {ratio}");
        assert!(seconds(64.0) / seconds(1.0) > 1.3, "64 are not");
    }

    #[test]
    fn prefill_of_long_sequences_is_near_its_compute() {
        // 8k tokens, 32/8 heads: FA3 reaches about 570 TFLOP/s on an H100.
        let (s, heads) = (8192.0, 32.0);
        let (fixed, per_pair) = kernels().prefill_attention(s, s, heads, 8.0, 128.0);
        let tflops = 4.0 * heads * 128.0 * s * s / 2.0 / (fixed + per_pair * s * s / 2.0) / 1e12;
        assert!((450.0..680.0).contains(&tflops), "{tflops}");
    }
}
