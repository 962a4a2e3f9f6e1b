//! Numbers that are in range once they exist, so that no layer above checks a lone number again.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Unexpected, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// Largest magnitude of any number in a scenario: far beyond every use, far below where sums lose meaning.
const LARGEST: f64 = 1e15;

macro_rules! whole_number {
    ($(#[$doc:meta])* $name:ident, $least:literal, $most:literal, $words:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(u64);

        impl $name {
            /// The number, if it is in range.
            pub fn new(value: u64) -> Option<Self> {
                ($least..=$most).contains(&value).then_some(Self(value))
            }

            /// The number.
            pub fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Whole;
                impl Visitor<'_> for Whole {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($words)
                    }

                    fn visit_u64<E: Error>(self, value: u64) -> Result<$name, E> {
                        $name::new(value).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(value), &self))
                    }

                    fn visit_i64<E: Error>(self, value: i64) -> Result<$name, E> {
                        u64::try_from(value)
                            .ok()
                            .and_then($name::new)
                            .ok_or_else(|| E::invalid_value(Unexpected::Signed(value), &self))
                    }
                }
                deserializer.deserialize_u64(Whole)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "integer", "minimum": $least, "maximum": $most })
            }
        }
    };
}

whole_number!(
    /// How many of something: 1 to 10^9.
    Count,
    1_u64,
    1_000_000_000_u64,
    "a whole number from 1 to 1000000000"
);
whole_number!(
    /// How many of something that may be absent: 0 to 10^9.
    CountOrZero,
    0_u64,
    1_000_000_000_u64,
    "a whole number from 0 to 1000000000"
);

macro_rules! real_number {
    ($(#[$doc:meta])* $name:ident, $words:literal, $in_range:expr, $schema:tt) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
        pub struct $name(f64);

        impl $name {
            /// The number, if it is finite and in range.
            pub fn new(value: f64) -> Option<Self> {
                let in_range: fn(f64) -> bool = $in_range;
                (value.is_finite() && in_range(value)).then_some(Self(value))
            }

            /// The number.
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Real;
                impl Visitor<'_> for Real {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($words)
                    }

                    fn visit_f64<E: Error>(self, value: f64) -> Result<$name, E> {
                        $name::new(value).ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))
                    }

                    fn visit_u64<E: Error>(self, value: u64) -> Result<$name, E> {
                        $name::new(value as f64).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(value), &self))
                    }

                    fn visit_i64<E: Error>(self, value: i64) -> Result<$name, E> {
                        $name::new(value as f64).ok_or_else(|| E::invalid_value(Unexpected::Signed(value), &self))
                    }
                }
                deserializer.deserialize_f64(Real)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

real_number!(
    /// A share of something that cannot be nothing: above 0, up to 1.
    Fraction,
    "a number above 0, up to 1",
    |x| x > 0.0 && x <= 1.0,
    { "type": "number", "exclusiveMinimum": 0, "maximum": 1 }
);
real_number!(
    /// 0 to 1.
    Probability,
    "a number from 0 to 1",
    |x| (0.0..=1.0).contains(&x),
    { "type": "number", "minimum": 0, "maximum": 1 }
);
real_number!(
    /// Above 0, up to 10^15.
    Positive,
    "a finite number above 0",
    |x| x > 0.0 && x <= LARGEST,
    { "type": "number", "exclusiveMinimum": 0, "maximum": 1e15 }
);
real_number!(
    /// 0 to 10^15.
    NonNegative,
    "a finite number, 0 or more",
    |x| (0.0..=LARGEST).contains(&x),
    { "type": "number", "minimum": 0, "maximum": 1e15 }
);
real_number!(
    /// Any finite number up to 10^15 in size.
    Number,
    "a finite number",
    |x| x.abs() <= LARGEST,
    { "type": "number", "minimum": -1e15, "maximum": 1e15 }
);

/// A number with its standard error: written as a number alone (error 0) or as `{ value, se }`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Uncertain {
    /// The number itself; finite.
    pub value: f64,
    /// Its standard error, in the same unit; finite, 0 or more.
    pub se: f64,
}

/// The long form of an uncertain number.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ValueWithError")]
struct UncertainForm {
    /// The number itself.
    value: Number,
    /// Its standard error, in the same unit.
    se: NonNegative,
}

impl Uncertain {
    /// A number known exactly.
    pub fn exact(value: f64) -> Self {
        Self { value, se: 0.0 }
    }
}

impl<'de> Deserialize<'de> for Uncertain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrForm;
        impl<'de> Visitor<'de> for NumberOrForm {
            type Value = Uncertain;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a finite number, or { value, se }")
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Uncertain, E> {
                Number::new(value)
                    .map(|number| Uncertain::exact(number.get()))
                    .ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Uncertain, E> {
                self.visit_f64(value as f64)
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Uncertain, E> {
                self.visit_f64(value as f64)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Uncertain, A::Error> {
                UncertainForm::deserialize(MapAccessDeserializer::new(map))
                    .map(|form| Uncertain { value: form.value.get(), se: form.se.get() })
            }
        }
        deserializer.deserialize_any(NumberOrForm)
    }
}

impl Serialize for Uncertain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.se == 0.0 {
            return serializer.serialize_f64(self.value);
        }
        UncertainForm { value: Number(self.value), se: NonNegative(self.se) }.serialize(serializer)
    }
}

impl JsonSchema for Uncertain {
    fn schema_name() -> Cow<'static, str> {
        "Uncertain".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number, or { value, se } with its standard error.",
            "anyOf": [{ "type": "number" }, generator.subschema_for::<UncertainForm>()],
        })
    }
}
