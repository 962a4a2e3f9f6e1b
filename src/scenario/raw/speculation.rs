//! Speculative decoding: drafter, acceptance and schedule, or `off`.
//!
//! Two keys have a short and a long form (`speculation: off`, `drafter: ID`): their readers are written by hand,
//! because an untagged enum would lose the place of an error inside the long form.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Unexpected, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::{Count, NonNegative, Number, Positive, Precision, Probability, Schedule, Uncertain};

/// Speculative decoding, or none.
#[derive(Debug, Clone, PartialEq)]
pub enum Speculation {
    /// No drafter is loaded.
    Off,
    /// A drafter is loaded.
    On(Box<SpeculationConfig>),
}

/// A drafter, how well it is accepted, and when it is used.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpeculationConfig {
    /// The drafter: an id of the catalog, or `{ id, tp, weights }`.
    pub drafter: Option<Drafter>,
    /// How much of a draft the target accepts.
    pub acceptance: Option<Acceptance>,
    /// Concentration of the spread between requests (Beta distribution), for `per_position`; large is no spread.
    pub concentration: Option<Positive>,
    /// Share of the rounds in which a drafter without weights finds something to propose, 0 to 1. Engines count
    /// acceptance over these rounds only.
    pub proposal_share: Option<Uncertain>,
    /// What picks the configuration at each step.
    pub schedule: Option<Schedule>,
    /// How acceptance moves over RL steps while the drafter is not trained; by default it does not.
    pub drift: Option<Course>,
    /// How far verification is from exact: total variation, for each token, between what is emitted and what the target
    /// would draw; 0 by default. It changes no second; the result says what it does to the samples.
    pub inexactness: Option<Probability>,
    /// Other drafters to compare with this one, each with its own acceptance and schedule.
    pub candidates: Option<Vec<SpeculationConfig>>,
}

/// How the first position's acceptance rate moves over RL steps; the other positions follow on the logit scale.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    /// Towards a limit, below or above the start.
    Exponential(ExponentialCourse),
    /// With the policy's divergence, which bounds what acceptance can lose.
    Divergence(DivergenceCourse),
    /// Points `[RL step, rate]`, rising in steps; linear between them, flat beyond.
    Points(Vec<[NonNegative; 2]>),
    /// The same from a file: an RL step and a rate on each line.
    File(CourseFile),
}

/// Rate `limit + (first - limit) * exp(-t / steps)`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExponentialCourse {
    /// First-position rate that it tends to, between 0 and 1.
    pub limit: Probability,
    /// RL steps after which 63 % of the way are done.
    pub steps: Positive,
}

/// Rate `first - share * sqrt(KL / 2) + entropy_gain * entropy lost`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DivergenceCourse {
    /// KL of the policy from the one that the drafter was trained on, nats a token, that each RL step adds.
    pub kl_per_step: NonNegative,
    /// True: it grows with the square of the steps.
    pub quadratic: Option<bool>,
    /// Share of the bound sqrt(KL / 2) that acceptance loses, 0 to 1.
    pub share: Option<Probability>,
    /// Entropy that each RL step takes, nats a token.
    pub entropy_per_step: Option<Number>,
    /// Acceptance that a nat of entropy less gives.
    pub entropy_gain: Option<Number>,
}

/// A course read from a file.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CourseFile {
    /// Path of a text file, relative to the scenario.
    pub path: String,
}

/// The drafter and how it runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Drafter {
    /// Drafter id of the catalog.
    pub id: Option<String>,
    /// Tensor-parallel GPUs of the drafter.
    pub tp: Option<Count>,
    /// Number format of the drafter's weights.
    pub weights: Option<Precision>,
}

/// The long form of a drafter.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Drafter")]
struct DrafterForm {
    /// Drafter id of the catalog.
    id: String,
    /// Tensor-parallel GPUs of the drafter.
    tp: Option<Count>,
    /// Number format of the drafter's weights.
    weights: Option<Precision>,
}

/// How much of a draft the target accepts: pooled over requests, as engine counters show it.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Acceptance {
    /// Acceptance rate that decays as a power of the position.
    PowerLaw(PowerLaw),
    /// Acceptance rate at each draft position, given that the positions before were accepted; 0 to 1.
    PerPosition(Vec<Uncertain>),
    /// A published acceptance length.
    Length(AcceptanceLength),
    /// A length that grows with what was seen of a prompt's earlier responses: suffix trees.
    History(HistoryAcceptance),
}

/// Acceptance rate at position i (from 1): `first * i^-decay`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PowerLaw {
    /// Acceptance rate of the first draft token, between 0 and 1.
    pub first: Uncertain,
    /// Exponent of the decay over positions, 0 or more.
    pub decay: Uncertain,
    /// Number of draft tokens of the rounds that the rates were counted in: slow requests have more rounds, and the more so the
    /// longer the drafts. Default: the schedule's, where it has one; else 3.
    pub at_k: Option<Count>,
    /// Concentration of the spread between requests (Beta distribution); large is no spread.
    pub concentration: Option<Positive>,
}

/// Acceptance known only as a length.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptanceLength {
    /// Tokens emitted per request and verify step, bonus token included: 1 to `at_k` + 1.
    pub value: Uncertain,
    /// Number of draft tokens it was measured with.
    pub at_k: Count,
    /// Exponent of the decay over positions, 0 or more.
    pub decay: Option<Uncertain>,
    /// Concentration of the spread between requests (Beta distribution); large is no spread.
    pub concentration: Option<Positive>,
}

/// Acceptance length `limit - (limit - start) * exp(-n / rollouts)` after n earlier responses to a prompt.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryAcceptance {
    /// Length with nothing seen, bonus token included.
    pub start: Uncertain,
    /// Length that it tends to.
    pub limit: Uncertain,
    /// Number of draft tokens of both lengths.
    pub at_k: Count,
    /// Responses after which 63 % of the growth are done.
    pub rollouts: Positive,
    /// Prompts of the data set: how often a prompt comes round again.
    pub dataset_prompts: Count,
    /// Responses to each prompt that the trees hold at the first RL step.
    pub seen: Option<NonNegative>,
    /// True: replicas share their trees; otherwise each has seen only what it generated.
    pub shared: Option<bool>,
    /// Exponent of the decay over positions, 0 or more.
    pub decay: Option<Uncertain>,
    /// Concentration of the spread between requests (Beta distribution); large is no spread.
    pub concentration: Option<Positive>,
}

impl<'de> Deserialize<'de> for Speculation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OffOrConfig;
        impl<'de> Visitor<'de> for OffOrConfig {
            type Value = Speculation;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`off`, or a map with drafter, acceptance and schedule")
            }

            // YAML 1.1 writers turn `off` into `false`.
            fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Speculation, E> {
                if value {
                    Err(E::invalid_value(Unexpected::Bool(true), &self))
                } else {
                    Ok(Speculation::Off)
                }
            }

            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Speculation, E> {
                if value.eq_ignore_ascii_case("off") {
                    Ok(Speculation::Off)
                } else {
                    Err(E::invalid_value(Unexpected::Str(value), &self))
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Speculation, A::Error> {
                SpeculationConfig::deserialize(MapAccessDeserializer::new(map))
                    .map(|config| Speculation::On(Box::new(config)))
            }
        }
        deserializer.deserialize_any(OffOrConfig)
    }
}

impl Serialize for Speculation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str("off"),
            Self::On(config) => config.serialize(serializer),
        }
    }
}

impl JsonSchema for Speculation {
    fn schema_name() -> Cow<'static, str> {
        "Speculation".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Speculative decoding: `off`, or a drafter, how well it is accepted, and when it is used.",
            "anyOf": [{ "enum": ["off", false] }, generator.subschema_for::<SpeculationConfig>()],
        })
    }
}

impl<'de> Deserialize<'de> for Drafter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdOrForm;
        impl<'de> Visitor<'de> for IdOrForm {
            type Value = Drafter;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a drafter id, or { id, tp, weights }")
            }

            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Drafter, E> {
                Ok(Drafter { id: Some(value.to_owned()), tp: None, weights: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Drafter, A::Error> {
                DrafterForm::deserialize(MapAccessDeserializer::new(map)).map(|form| Drafter {
                    id: Some(form.id),
                    tp: form.tp,
                    weights: form.weights,
                })
            }
        }
        deserializer.deserialize_any(IdOrForm)
    }
}

impl JsonSchema for Drafter {
    fn schema_name() -> Cow<'static, str> {
        "DrafterOrId".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, generator.subschema_for::<DrafterForm>()] })
    }
}
