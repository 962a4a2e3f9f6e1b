//! The goal of `rollcast plan` and the space that it searches.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::{Count, CountOrZero, Fraction, LoopPreset, NonNegative, Planned, Positive, Precision};

/// What `rollcast plan` looks for, within which limits, over which choices.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What is made as small as can be; required.
    #[schemars(required)]
    pub minimise: Option<Minimise>,
    /// What a plan must keep to.
    pub subject_to: Option<Limits>,
    /// The choices; what is not named stays as the scenario has it, but for `gpus`, `generation.tp` and `speculation`.
    pub over: Option<Over>,
    /// Prices by device id, in USD for one GPU and hour; by default the scenario's own, else the catalog's.
    pub usd_per_gpu_hour: Option<BTreeMap<String, NonNegative>>,
}

/// What is made as small as can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Minimise {
    /// USD of an RL step.
    UsdPerStep,
    /// Seconds of an RL step.
    StepS,
    /// GPUs of all pools.
    Gpus,
}

/// What a plan must keep to.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Most seconds of an RL step.
    pub step_s: Option<Positive>,
    /// Fewest RL steps in a day.
    pub steps_per_day: Option<Positive>,
    /// Most USD of an RL step.
    pub usd_per_step: Option<Positive>,
    /// Most USD in a day: the price of all GPUs, whatever they do.
    pub usd_per_day: Option<Positive>,
    /// Most GPUs of all pools.
    pub gpus: Option<Count>,
    /// Most RL steps that a sample's weights may lag.
    pub max_staleness: Option<CountOrZero>,
    /// Share of draws and worlds in which seconds and USD must be within their limits, 0.5 to 1; 0.9 by default.
    pub p: Option<Fraction>,
}

/// The choices.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Over {
    /// GPUs of all pools: a list, or `{ from, to }` in whole nodes; by default one node to `subject_to.gpus`, else as
    /// written.
    pub gpus: Option<GpuRange>,
    /// Where pools are apart: shares of the GPUs that generate, taken to whole nodes; by default 1/4, 3/8, 1/2, 5/8, 3/4.
    pub generation_share: Option<Vec<Fraction>>,
    /// Loops by preset; `sync` shares its GPUs, all others have pools of their own.
    #[serde(rename = "loop")]
    pub rl_loop: Option<Vec<LoopPreset>>,
    /// Staleness bounds of loops that run ahead, in RL steps; by default the preset's.
    pub max_staleness: Option<Vec<CountOrZero>>,
    /// Choices of the generating side.
    pub generation: Option<OverGeneration>,
    /// Choices of the training side.
    pub training: Option<OverTraining>,
    /// Speculation: `off`, or maps that are laid over the scenario's, `{}` for it as it is; by default it and `off`.
    pub speculation: Option<Vec<Planned>>,
    /// Draft tokens of a fixed schedule, where something is drafted.
    pub draft_tokens: Option<Vec<Count>>,
    /// Values of any other keys, by path.
    pub other: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Choices of the generating side.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OverGeneration {
    /// Device ids; where GPUs are shared, of both sides.
    pub device: Option<Vec<String>>,
    /// Tensor-parallel widths; by default 1, 2, 4 and 8.
    pub tp: Option<Vec<Count>>,
    /// GPUs that experts are spread over.
    pub ep: Option<Vec<Count>>,
    /// Whether attention ranks have batches of their own.
    pub dp_attention: Option<Vec<bool>>,
    /// Most sequences of a replica.
    pub max_num_seqs: Option<Vec<Count>>,
    /// Weight formats.
    pub weights: Option<Vec<Precision>>,
    /// KV-cache formats.
    pub kv_cache_dtype: Option<Vec<Precision>>,
}

/// Choices of the training side; data parallelism is what the others leave.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OverTraining {
    /// Device ids.
    pub device: Option<Vec<String>>,
    /// Tensor-parallel widths.
    pub tp: Option<Vec<Count>>,
    /// Pipeline stages.
    pub pp: Option<Vec<Count>>,
    /// Context-parallel widths.
    pub cp: Option<Vec<Count>>,
    /// Expert-parallel widths.
    pub ep: Option<Vec<Count>>,
    /// Number formats.
    pub precision: Option<Vec<Precision>>,
}

/// Numbers of GPUs: a list, or all whole nodes between two ends.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum GpuRange {
    /// These.
    List(Vec<Count>),
    /// Whole nodes from one to the other.
    Range(Ends),
}

/// Both ends of a range, included.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ends {
    /// Fewest.
    pub from: Count,
    /// Most.
    pub to: Count,
}

impl<'de> Deserialize<'de> for GpuRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListOrEnds;
        impl<'de> Visitor<'de> for ListOrEnds {
            type Value = GpuRange;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of numbers of GPUs, or { from, to }")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<GpuRange, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(GpuRange::List)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<GpuRange, A::Error> {
                Ends::deserialize(MapAccessDeserializer::new(map)).map(GpuRange::Range)
            }
        }
        deserializer.deserialize_any(ListOrEnds)
    }
}

impl JsonSchema for GpuRange {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "GpuRange".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [generator.subschema_for::<Vec<Count>>(), generator.subschema_for::<Ends>()],
        })
    }
}
