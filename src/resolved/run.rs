//! The values of one run: cluster, workload, engine, speculation, training, loop and uncertainty.

use serde::{Deserialize, Serialize};

use super::facts::{Device, Drafter, Network, Precision};
use super::model::Model;
use super::{Crowd, LoopSettings, Reward, ScheduleInput, Tail, Training};

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Written in the scenario.
    Given,
    /// Nobody said: the program's default.
    Default,
    /// The catalog of published facts.
    Catalog,
    /// The calibration profile.
    Profile,
}

/// A value that the scenario did not give, and what was taken instead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assumption {
    /// Key path in the scenario.
    pub path: String,
    /// The value, as it would be written.
    pub value: String,
    /// Where it came from.
    pub source: Source,
    /// Why this value; empty where it is obvious.
    pub why: String,
}

/// An uncertain number: value, standard error and source.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantity {
    /// Best value.
    pub value: f64,
    /// Standard error, in the value's unit; 0 where it is taken as exact.
    pub se: f64,
    /// Where it came from.
    pub source: Source,
}

impl Quantity {
    /// A number that the scenario states without an error.
    pub fn given(value: f64) -> Self {
        Quantity { value, se: 0.0, source: Source::Given }
    }

    /// Standard error of the logarithm, for values that are scaled by a lognormal factor.
    pub fn log_sigma(&self) -> f64 {
        if self.value > 0.0 { self.se / self.value } else { 0.0 }
    }
}

/// GPUs of the run. One pool: generation and training share them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// The GPU.
    pub device: Device,
    /// Between nodes.
    pub network: Network,
    /// All GPUs.
    pub gpus: u32,
    /// GPUs in one node.
    pub gpus_per_node: u32,
    /// Price of one GPU, USD per hour.
    pub usd_per_gpu_hour: f64,
}

/// A distribution of token counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LengthModel {
    /// Lognormal, clipped at `max`: `mean` is that of min(X, max), as frameworks log it.
    Lognormal {
        /// Mean of the clipped lengths, tokens.
        mean: Quantity,
        /// Standard deviation of the logarithm.
        sigma: Quantity,
    },
    /// Uniform inside each bin.
    Histogram {
        /// Bin edges, tokens, rising; one more than weights.
        edges: Vec<f64>,
        /// Weight of each bin.
        weights: Vec<f64>,
    },
    /// Drawn from a list (a file of measured lengths), sorted.
    Samples(Vec<u32>),
    /// Always the same.
    Constant(u32),
}

impl LengthModel {
    /// Mean tokens, before any further clipping.
    pub fn mean(&self) -> f64 {
        match self {
            LengthModel::Lognormal { mean, .. } => mean.value,
            LengthModel::Histogram { edges, weights } => {
                let sum: f64 = weights.iter().sum();
                let bins = edges.windows(2).zip(weights);
                bins.map(|(edge, w)| 0.5 * (edge[0] + edge[1]) * w).sum::<f64>() / sum.max(f64::MIN_POSITIVE)
            }
            LengthModel::Samples(list) => {
                list.iter().map(|n| f64::from(*n)).sum::<f64>() / list.len().max(1) as f64
            }
            LengthModel::Constant(tokens) => f64::from(*tokens),
        }
    }
}

/// Lengths and the bounds that the engine puts on them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lengths {
    /// The distribution before clipping.
    pub model: LengthModel,
    /// Shortest, tokens.
    pub min: u32,
    /// Longest, tokens: longer ones are clipped, not drawn again.
    pub max: u32,
    /// Whether the longest is a cap, rather than the longest of lengths that were observed.
    #[serde(default = "capped")]
    pub capped: bool,
}

/// What was written before it could be said.
fn capped() -> bool {
    true
}

/// What one RL step generates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// Prompt groups per step.
    pub prompts_per_step: u32,
    /// Samples of each prompt.
    pub samples_per_prompt: u32,
    /// Prompt lengths, one per group.
    pub prompt_tokens: Lengths,
    /// Response lengths, one per sample.
    pub response_tokens: Lengths,
    /// Correlation of the lengths of one group, through a Gaussian copula, 0 to 1.
    pub group_correlation: f64,
    /// Factors on all responses before clipping by RL step, linear between them and flat beyond; empty where lengths stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub response_drift: Vec<(f64, f64)>,
    /// Longest response that is waited for, tokens (`tail.cap`): longer ones are cut as they are drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_cap: Option<u32>,
}

impl Workload {
    /// Samples of one RL step.
    pub fn samples(&self) -> u32 {
        self.prompts_per_step * self.samples_per_prompt
    }
}

/// Whether the engine's software costs are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overhead {
    /// Host gaps, graph buckets, eager launches: the engine as it is.
    Measured,
    /// Kernels only: what perfect software would reach.
    None,
}

/// How prompts are spread over replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Router {
    /// Each sample to the replica with the fewest.
    LeastLoaded,
    /// All samples of a prompt to one replica.
    GroupAffinity,
}

/// Which steps replay a CUDA graph.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GraphMode {
    /// Uniform decode steps one graph, others a graph for each piece between attentions.
    #[default]
    FullAndPiecewise,
    /// Decode steps one graph, others none.
    FullDecodeOnly,
    /// Every step a graph for each piece between attentions.
    Piecewise,
    /// No graphs.
    None,
}

impl GraphMode {
    /// The name in scenarios.
    pub fn name(self) -> &'static str {
        match self {
            GraphMode::FullAndPiecewise => "full_and_piecewise",
            GraphMode::FullDecodeOnly => "full_decode_only",
            GraphMode::Piecewise => "piecewise",
            GraphMode::None => "none",
        }
    }
}

/// Limits and software constants of the inference engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineSettings {
    /// Engine id of the engine profile.
    pub engine: String,
    /// Version as the scenario states it.
    pub version: Option<String>,
    /// First version that the defaults in use belong to.
    pub defaults_since: String,
    /// Whether software costs count.
    pub overhead: Overhead,
    /// Share of the kernels' fixed times that is left.
    #[serde(default = "as_fitted")]
    pub kernel_floors: f64,
    /// Which steps replay a CUDA graph.
    pub graph_mode: GraphMode,
    /// Captured graph sizes, tokens, rising; empty when eager.
    pub capture_sizes: Vec<u32>,
    /// Most sequences in one step.
    pub max_num_seqs: u32,
    /// Most tokens in one step.
    pub max_num_batched_tokens: u32,
    /// Longest sequence (prompt and response), tokens.
    pub max_model_len: u32,
    /// Share of the GPU's memory that the engine takes; none where its KV blocks are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_memory_utilization: Option<f64>,
    /// Tokens in one KV block.
    pub block_size: u32,
    /// Whether full prompt blocks are shared inside a group.
    pub prefix_caching: bool,
    /// Whether prompts are prefilled in steps of their own.
    #[serde(default)]
    pub prefill_alone: bool,
    /// Spread over replicas.
    pub router: Router,
    /// Sampling temperature.
    pub temperature: f64,
}

/// Results from before there was a choice.
fn as_fitted() -> f64 {
    1.0
}

/// How one replica lies on GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Tensor-parallel width of attention and dense layers.
    pub tp: u32,
    /// GPUs that the experts are spread over; 1: they are split by tensor parallelism too.
    pub ep: u32,
    /// Whether attention ranks have batches of their own and meet only in the experts.
    pub dp_attention: bool,
}

impl Layout {
    /// A dense replica.
    pub fn tensor_parallel(tp: u32) -> Self {
        Layout { tp, ep: 1, dp_attention: false }
    }

    /// GPUs of one replica.
    pub fn gpus(&self) -> u32 {
        self.tp.max(self.ep)
    }

    /// Attention ranks with batches of their own.
    pub fn attention_ranks(&self) -> u32 {
        if self.dp_attention { self.gpus() / self.tp } else { 1 }
    }

    /// GPUs that one expert is split over.
    pub fn expert_tp(&self) -> u32 {
        (self.gpus() / self.ep).max(1)
    }
}

/// How tokens choose experts: nobody publishes it for RL rollouts, so it is an explicit assumption.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Routing {
    /// Exponent of the experts' popularity by rank; 0 is even.
    pub skew: f64,
    /// Share of its experts that a further token of a draft chain has in common with the chain, 0 to 1.
    pub chain_overlap: f64,
    /// How tokens travel to their experts under data-parallel attention.
    pub transport: Transport,
}

/// How tokens travel to their experts under data-parallel attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// To the GPUs of their experts and back (DeepEP).
    AllToAll,
    /// All tokens to all GPUs, results scattered back (NCCL).
    Gather,
}

impl Routing {
    /// Even routing, nothing in common.
    pub const EVEN: Routing = Routing { skew: 0.0, chain_overlap: 0.0, transport: Transport::Gather };
}

/// The generation side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// Engine settings.
    pub engine: EngineSettings,
    /// Layout of one replica.
    pub layout: Layout,
    /// How tokens choose experts.
    pub routing: Routing,
    /// Data-parallel replicas.
    pub replicas: u32,
    /// Weight format.
    pub weights: Precision,
    /// KV-cache format.
    pub kv_cache: Precision,
    /// KV blocks of one replica.
    pub kv_blocks: u64,
    /// Tokens whose room in it the states of a running sequence take, in layers of linear attention.
    #[serde(default)]
    pub state_tokens: u32,
}

/// Acceptance as *pooled engine counters* show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AcceptanceInput {
    /// Conditional acceptance rate at each draft position, pooled over requests; as many as the longest
    /// configuration drafts.
    pub rates: Vec<f64>,
    /// The same at each position of the rounds that they were counted in: as many as those drafted. Requests that accept less
    /// have more rounds, so that the same requests show other rates where they draft more. Empty: as `rates`.
    #[serde(default)]
    pub counted: Vec<f64>,
    /// Standard error of the logit of all rates together.
    pub logit_se: f64,
    /// Concentration of the Beta law of the requests' own first-position rate.
    pub concentration: f64,
    /// Share of the rounds that have a proposal; `rates` count those alone.
    pub proposal_share: f64,
    /// How the rates grow with what was seen of a prompt; `rates` are those of the first RL step.
    pub history: Option<SeenHistory>,
    /// Where it came from.
    pub source: Source,
}

impl AcceptanceInput {
    /// Conditional rates over all rounds: one without a proposal accepts nothing at the first position.
    pub fn rates_over_all(&self) -> Vec<f64> {
        let mut rates = self.rates.clone();
        if let Some(first) = rates.first_mut() {
            *first *= self.proposal_share;
        }
        rates
    }
}

/// What a drafter has seen of each prompt's earlier responses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SeenHistory {
    /// Acceptance length with nothing seen, and the one that it tends to.
    pub lengths: (f64, f64),
    /// Draft tokens of a round that both were read at.
    pub at_k: u32,
    /// Decay of the rates over positions.
    pub decay: f64,
    /// Responses after which 63 % of the growth are done.
    pub rollouts: f64,
    /// Factor on the rates that follow from the lengths, which are at most 0.999; a study's, to move them.
    #[serde(default = "as_fitted")]
    pub scale: f64,
    /// Responses to each prompt that it holds at the first RL step.
    pub seen: f64,
    /// Responses to each prompt that every pass over the data set adds.
    pub each_pass: f64,
    /// RL steps of a pass over the data set.
    pub steps_a_pass: f64,
    /// Sibling responses that a sample sees on average while they are generated.
    pub siblings: f64,
}

impl SeenHistory {
    /// Responses seen of a prompt in an RL step, on average over its samples.
    pub fn responses(&self, rl_step: u64) -> f64 {
        self.seen + self.each_pass * libm::floor(rl_step as f64 / self.steps_a_pass) + self.siblings
    }
}

/// Speculative decoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Speculation {
    /// The drafter.
    pub drafter: Drafter,
    /// Its weight format.
    pub weights: Precision,
    /// Its tensor-parallel width.
    pub tp: u32,
    /// Acceptance.
    pub acceptance: AcceptanceInput,
    /// What picks configurations.
    pub schedule: ScheduleInput,
    /// First-position rate at each RL step, where it moves; else empty.
    pub first_rates: Vec<f64>,
    /// The same of a drafter that is never trained, where this one is and would go stale; else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untrained_rates: Vec<f64>,
    /// Total variation of each token between what is emitted and what the target would draw; 0 where verification is
    /// exact.
    #[serde(default)]
    pub inexactness: f64,
}

/// How much sampling stands behind the error bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uncertainty {
    /// Independent workloads (and inputs) that are simulated.
    pub workload_draws: u32,
    /// Calibration worlds in which each is priced.
    pub worlds: u32,
}

/// One run, complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resolved {
    /// The scenario's name.
    pub name: String,
    /// The target model.
    pub model: Model,
    /// GPUs; with two pools those that generate.
    pub cluster: Cluster,
    /// GPUs that train, where they are others than those that generate.
    pub trainer: Option<Cluster>,
    /// Prompts and lengths.
    pub workload: Workload,
    /// Generation.
    pub generation: Generation,
    /// Speculation, or none.
    pub speculation: Option<Speculation>,
    /// What is done about the longest responses.
    #[serde(default, skip_serializing_if = "Tail::is_off")]
    pub tail: Tail,
    /// Training.
    pub training: Training,
    /// Reward.
    pub reward: Reward,
    /// Loop.
    #[serde(rename = "loop")]
    pub cycle: LoopSettings,
    /// RL steps that are simulated in each draw.
    pub rl_steps: u32,
    /// Of them, the first ones that the means leave out.
    pub warmup_steps: u32,
    /// Seed of every random stream.
    pub seed: u64,
    /// Sampling.
    pub uncertainty: Uncertainty,
    /// What nobody said, and what was taken.
    pub assumptions: Vec<Assumption>,
    /// Keys that were given and change nothing here, each with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_effect: Vec<String>,
}

impl Resolved {
    /// Most sequences that a replica ever decodes.
    pub fn most_sequences(&self) -> u32 {
        let engine = &self.generation.engine;
        let groups = engine.router == Router::GroupAffinity;
        let crowd = Crowd::new(&self.workload, &self.cycle.mode, groups, self.tail.isolate.is_some());
        crowd.most(self.generation.replicas).min(engine.max_num_seqs)
    }

    /// The GPUs that train.
    pub fn training_cluster(&self) -> &Cluster {
        self.trainer.as_ref().unwrap_or(&self.cluster)
    }

    /// All GPUs.
    pub fn gpus(&self) -> u32 {
        self.cluster.gpus + self.reward.gpus + self.trainer.as_ref().map_or(0, |pool| pool.gpus)
    }

    /// Price of all GPUs, USD per second.
    pub fn usd_per_second(&self) -> f64 {
        let of = |pool: &Cluster| pool.usd_per_gpu_hour * f64::from(pool.gpus) / 3600.0;
        let scoring = self.cluster.usd_per_gpu_hour * f64::from(self.reward.gpus) / 3600.0;
        of(&self.cluster) + scoring + self.trainer.as_ref().map_or(0.0, of)
    }
}
