//! Memory of a serving GPU: weights, working space, and what is left for the KV cache.
//!
//! Working space follows what engines profile at start: activations of the largest step, fp32 logits of
//! its rows, CUDA context, libraries and graphs. These last are assumed figures, not measured ones; a
//! scenario that knows better gives `num_gpu_blocks`.

use crate::resolved::{Device, Drafter, DrafterKind, Layout, Model, Precision};
use crate::units::Bytes;

/// What a serving GPU has to hold.
#[derive(Debug, Clone, Copy)]
pub struct Demand<'a> {
    /// The target.
    pub model: &'a Model,
    /// Format of its layers; embedding and head stay in 16 bits.
    pub weights: Precision,
    /// Format of the KV cache.
    pub kv_cache: Precision,
    /// Layout of the replica.
    pub layout: Layout,
    /// The drafter, its weight format and its tensor-parallel width.
    pub drafter: Option<(&'a Drafter, Precision, u32)>,
    /// Most tokens of a step.
    pub max_num_batched_tokens: u32,
    /// Most rows of logits of a step.
    pub max_logit_rows: u32,
    /// Mean context of a running sequence, tokens: layers with a window hold no more than its width of it.
    pub context: f64,
    /// Whether activations and logits lie beside the share that the engine takes (SGLang's reserve), not in it.
    pub activations_beside: bool,
    /// CUDA context, communication buffers and captured graphs, GiB.
    pub reserved_gib: f64,
}

/// How a GPU's memory is shared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Target weights on one GPU.
    pub weights: Bytes,
    /// Drafter weights on one GPU.
    pub drafter: Bytes,
    /// Working space.
    pub working: Bytes,
    /// Left for the KV cache; negative where nothing fits.
    pub kv: Bytes,
    /// KV bytes of one token on one GPU.
    pub kv_per_token: f64,
}

impl Demand<'_> {
    /// The share-out when the engine may take `utilization` of the device.
    pub fn plan(&self, device: &Device, utilization: f64) -> Plan {
        let budget = Bytes::from_gib(device.memory_gib).0 * utilization;
        let weights = self.weight_bytes();
        let drafter = self.drafter.map_or(0.0, |(d, precision, tp)| self.drafter_bytes(d, precision, tp));
        let working = self.working_bytes();
        Plan {
            weights: Bytes(weights),
            drafter: Bytes(drafter),
            working: Bytes(working),
            kv: Bytes(budget - weights - drafter - working),
            kv_per_token: self.kv_bytes_per_token(),
        }
    }

    fn weight_bytes(&self) -> f64 {
        let model = self.model;
        let (tp, all) = (f64::from(self.layout.tp), f64::from(self.layout.gpus()));
        let routed = model.routed_params();
        let common = model.layer_params() - routed;
        let tables = model.params() - model.layer_params();
        // Experts lie over all GPUs of the replica, the rest over each attention rank's.
        (common * self.weights.bytes() + tables * Precision::Bf16.bytes()) / tp
            + routed * self.weights.bytes() / all
    }

    /// Bytes of a drafter on one GPU. Multi-token prediction adds a layer of the target and its projection.
    fn drafter_bytes(&self, drafter: &Drafter, precision: Precision, tp: u32) -> f64 {
        if drafter.kind == DrafterKind::Mtp {
            let [dense, mlp] = self.model.mtp_params().map(|params| params * precision.bytes());
            return dense / f64::from(self.layout.tp) + mlp / f64::from(self.layout.gpus());
        }
        drafter.params() * precision.bytes() / f64::from(tp)
    }

    fn kv_bytes_per_token(&self) -> f64 {
        let of = |model: &Model, tp: u32| {
            // A head is replicated where there are fewer heads than GPUs; a latent cache always is.
            let heads = if model.latent.is_some() { 1 } else { model.kv_heads };
            let share = (1.0 / f64::from(tp)).max(1.0 / f64::from(heads));
            let (windowed, held) = model.sliding.map_or((0, 0.0), |sliding| {
                (sliding.layers, (f64::from(sliding.tokens) / self.context.max(1.0)).min(1.0))
            });
            let layers = f64::from(model.layers - windowed) + f64::from(windowed) * held;
            layers * model.kv_bytes_per_layer(self.kv_cache) * share
        };
        let drafter = self.drafter.map_or(0.0, |(drafter, _, tp)| match (&drafter.model, drafter.kind) {
            (Some(model), _) => of(model, tp),
            (None, DrafterKind::Mtp) => {
                of(&Model { layers: 1, sliding: None, ..self.model.clone() }, self.layout.tp)
            }
            (None, _) => 0.0,
        });
        of(self.model, self.layout.tp) + drafter
    }

    fn working_bytes(&self) -> f64 {
        let model = self.model;
        // Residual stream in and out, and the widest intermediate of the layer, in 16 bits.
        let width = match &model.experts {
            Some(experts) => experts.intermediate * experts.per_token,
            None => model.intermediate,
        };
        let per_token =
            2.0 * (3.0 * f64::from(model.hidden) + 3.0 * f64::from(width) / f64::from(self.layout.gpus()));
        // Logits and their softmax in fp32.
        let per_row = 8.0 * f64::from(model.vocab);
        let reserved = Bytes::from_gib(self.reserved_gib).0;
        if self.activations_beside {
            return reserved;
        }
        reserved
            + f64::from(self.max_num_batched_tokens) * per_token
            + f64::from(self.max_logit_rows) * per_row
    }
}

impl Plan {
    /// KV blocks of `block_size` tokens; zero where nothing is left.
    pub fn blocks(&self, block_size: u32) -> u64 {
        (self.kv.0 / (self.kv_per_token * f64::from(block_size))).max(0.0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::testing::h100;
    use crate::forward::tests::qwen3_8b;
    use crate::resolved::SlidingWindow;

    #[test]
    fn an_8b_model_leaves_most_of_an_h100_for_its_cache() {
        let model = qwen3_8b();
        let demand = demand(&model);
        let plan = demand.plan(&h100(), 0.9);
        assert!((plan.weights.gib() - 15.26).abs() < 0.05, "{}", plan.weights);
        assert_eq!(plan.kv_per_token, 147_456.0);
        // vLLM reports about 370k-390k tokens for this model on an 80 GB GPU at 0.9.
        let tokens = plan.blocks(16) * 16;
        assert!((330_000..420_000).contains(&tokens), "{tokens}");
    }

    #[test]
    fn tensor_parallelism_splits_weights_and_replicates_scarce_heads() {
        let model = qwen3_8b();
        let demand = |tp| Demand {
            weights: Precision::Fp8,
            kv_cache: Precision::Fp8,
            layout: Layout::tensor_parallel(tp),
            ..demand(&model)
        };
        let (one, sixteen) = (demand(1).plan(&h100(), 0.9), demand(16).plan(&h100(), 0.9));
        assert!((one.weights.0 / sixteen.weights.0 - 16.0).abs() < 1e-9);
        assert_eq!(one.kv_per_token / sixteen.kv_per_token, 8.0, "8 KV heads on 16 GPUs");
    }

    #[test]
    fn a_window_bounds_the_cache_of_a_sequence() {
        let bytes = |layers: u32, context: f64| {
            let sliding = Some(SlidingWindow { tokens: 1024, layers });
            let model = Model { sliding, ..qwen3_8b() };
            let demand = Demand { context, ..demand(&model) };
            demand.plan(&h100(), 0.9).kv_per_token
        };
        let whole = bytes(0, 4096.0);
        // Every layer has the window: at four times its width a sequence holds a quarter, never nothing.
        assert!((bytes(36, 4096.0) / whole - 0.25).abs() < 1e-12);
        assert!((bytes(18, 4096.0) / whole - 0.625).abs() < 1e-12);
        assert_eq!(bytes(36, 512.0), whole, "shorter than the window");
    }

    #[test]
    fn a_reserve_holds_activations_and_logits() {
        let model = qwen3_8b();
        let inside = demand(&model).plan(&h100(), 0.9);
        let beside = Demand { activations_beside: true, ..demand(&model) }.plan(&h100(), 0.9);
        assert_eq!(beside.working.gib(), 2.0, "what is loaded before the cache is made");
        let kept = inside.working.0 - beside.working.0;
        assert!(kept > 0.0 && (beside.kv.0 - inside.kv.0 - kept).abs() < 1.0);
    }

    fn demand(model: &Model) -> Demand<'_> {
        Demand {
            model,
            weights: Precision::Bf16,
            kv_cache: Precision::Bf16,
            layout: Layout::tensor_parallel(1),
            drafter: None,
            max_num_batched_tokens: 8192,
            max_logit_rows: 256,
            context: 2048.0,
            activations_beside: false,
            reserved_gib: 2.0,
        }
    }
}
