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
    /// States of linear attention of a running sequence.
    pub states: u32,
    /// Memory set apart for states over that for keys and values; absent where both lie in one pool.
    pub state_ratio: Option<f64>,
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
    /// Bytes on one GPU of the states that a running sequence keeps in layers of linear attention: its own, and with a drafter
    /// one for each draft token, any of which may turn out to be the last that is accepted.
    pub states_per_sequence: f64,
    /// What is set apart for these; absent where they take their room from the cache.
    pub states: Option<Bytes>,
}

impl Demand<'_> {
    /// The share-out when the engine may take `utilization` of the device.
    pub fn plan(&self, device: &Device, utilization: f64) -> Plan {
        let budget = Bytes::from_gib(device.memory_gib).0 * utilization;
        let weights = self.weight_bytes();
        let drafter = self.drafter.map_or(0.0, |(d, precision, tp)| self.drafter_bytes(d, precision, tp));
        let working = self.working_bytes();
        let left = budget - weights - drafter - working;
        let states_per_sequence =
            f64::from(self.states) * self.model.state_bytes() / f64::from(self.layout.tp);
        let states = match self.state_ratio.filter(|_| states_per_sequence > 0.0) {
            Some(ratio) => left.max(0.0) * ratio / (1.0 + ratio),
            None => 0.0,
        };
        Plan {
            weights: Bytes(weights),
            drafter: Bytes(drafter),
            working: Bytes(working),
            kv: Bytes(left - states),
            kv_per_token: self.kv_bytes_per_token(),
            states_per_sequence,
            states: self.state_ratio.map(|_| Bytes(states)),
        }
    }

    fn weight_bytes(&self) -> f64 {
        let model = self.model;
        let (tp, all) = (f64::from(self.layout.tp), f64::from(self.layout.gpus()));
        let routed = model.routed_params();
        let whole = f64::from(model.expert_layers()) * model.latent_params();
        let common = model.layer_params() - routed - whole;
        let tables = model.params() - model.layer_params();
        // Experts lie over all GPUs of the replica, the projections around them on each, the rest over each attention rank's.
        (common * self.weights.bytes() + tables * Precision::Bf16.bytes()) / tp
            + routed * self.weights.bytes() / all
            + whole * self.weights.bytes()
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
            let layers = f64::from(model.cached_layers() - windowed) + f64::from(windowed) * held;
            layers * model.kv_bytes_per_layer(self.kv_cache) * share
        };
        let drafter = self.drafter.map_or(0.0, |(drafter, _, tp)| match (&drafter.model, drafter.kind) {
            (Some(model), _) => of(model, tp),
            (None, DrafterKind::Mtp) => of(&self.model.cached_layer(), self.layout.tp),
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

    /// Tokens whose keys and values take the room of a sequence's states; 0 where these have room of their own.
    pub fn state_tokens(&self) -> u32 {
        if self.states.is_some() {
            return 0;
        }
        libm::ceil(self.states_per_sequence / self.kv_per_token) as u32
    }

    /// Sequences whose states fit where room is set apart for them.
    pub fn state_seats(&self) -> Option<u32> {
        let states = self.states.filter(|_| self.states_per_sequence > 0.0)?;
        Some((states.0 / self.states_per_sequence) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::testing::h100;
    use crate::forward::tests::qwen3_8b;
    use crate::resolved::{LinearAttention, Rule, SlidingWindow};

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
    fn states_lie_in_the_cache_or_beside_it() {
        // Qwen3.5-9B's: 24 of 32 layers keep 2 MiB and a window of 3 x 8192 numbers; 8 keep 4 KiB a token.
        let linear = LinearAttention {
            rule: Rule::DeltaRule,
            layers: 24,
            key_heads: 16,
            key_dim: 128,
            value_heads: 32,
            value_dim: 128,
            conv: 4,
        };
        let model = Model { layers: 32, kv_heads: 4, head_dim: 256, linear: Some(linear), ..qwen3_8b() };
        let state = 24.0 * (2_097_152.0 + 49_152.0);
        assert_eq!((model.state_bytes(), model.kv_bytes_per_token(Precision::Bf16)), (state, 32_768.0));
        let shared = Demand { states: 4, ..demand(&model) }.plan(&h100(), 0.9);
        assert_eq!((shared.states_per_sequence, shared.state_seats()), (4.0 * state, None));
        assert_eq!(f64::from(shared.state_tokens()), libm::ceil(4.0 * state / 32_768.0));
        let apart = Demand { states: 5, state_ratio: Some(0.9), ..demand(&model) }.plan(&h100(), 0.9);
        assert_eq!(apart.state_tokens(), 0);
        assert!((apart.kv.0 * 1.9 / shared.kv.0 - 1.0).abs() < 1e-9);
        assert_eq!(apart.state_seats(), Some((shared.kv.0 * 0.9 / 1.9 / (5.0 * state)) as u32));
        // Two GPUs split the heads of both.
        let two = Demand { states: 4, layout: Layout::tensor_parallel(2), ..demand(&model) };
        assert_eq!(two.plan(&h100(), 0.9).state_tokens(), shared.state_tokens());
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
            states: 0,
            state_ratio: None,
            context: 2048.0,
            activations_beside: false,
            reserved_gib: 2.0,
        }
    }
}
