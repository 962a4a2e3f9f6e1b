//! Reads a tree into plain types, through serde; every error gets the place and path of the value it is about.
//!
//! Stricter than serde's own habit: a number or truth value is no text, a list is no struct, `8.0` is no whole
//! number. Errors raised inside a type's own `Deserialize` have no place; the nearest reader adds it.

mod choice;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::{Error, Key, Node, Place, Step, Value, nearest};

/// Reads a tree into a type.
pub fn from_node<T: DeserializeOwned>(node: &Node) -> Result<T, Error> {
    T::deserialize(Reader { node, key: None })
}

/// Reads one value.
#[derive(Clone, Copy)]
struct Reader<'a> {
    node: &'a Node,
    /// The key that holds the value, if a map does.
    key: Option<&'a Key>,
}

impl Reader<'_> {
    fn place(&self) -> &Place {
        self.node.place_under(self.key)
    }

    fn wrong(&self, expected: &str) -> Error {
        Error::new(format!("found {}, expected {expected}", self.node.value)).at(self.place())
    }

    fn map<'de, V: Visitor<'de>>(&self, entries: &[(Key, Node)], visitor: V) -> Result<V::Value, Error> {
        let entries = Entries { rest: entries.iter(), current: None };
        visitor.visit_map(entries).map_err(|error| error.or_at(self.place()))
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => visitor.visit_i64(*value),
            Value::UInt(value) => visitor.visit_u64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Str(text) => visitor.visit_str(text),
            Value::Seq(items) => visitor.visit_seq(Items { rest: items.iter().enumerate() }),
            Value::Map(entries) => return self.map(entries, visitor),
        }
        .map_err(|error: Error| error.or_at(self.place()))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self).map_err(|error| error.or_at(self.place()))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.value {
            Value::Bool(_) | Value::Int(_) | Value::UInt(_) | Value::Float(_) => {
                Err(self.wrong("text").hint("write it in quotes"))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Map(entries) => self.map(entries, visitor),
            _ => Err(self.wrong(&format!("a map of {}", nearest::list(fields)))),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let choice = choice::Choice::of(self, variants)?;
        visitor.visit_enum(choice).map_err(|error| error.or_at(self.place()))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        seq tuple tuple_struct map identifier ignored_any
    }
}

/// The entries of a map, one after the other.
struct Entries<'a> {
    rest: std::slice::Iter<'a, (Key, Node)>,
    current: Option<&'a (Key, Node)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.current = self.rest.next();
        self.current.map(|(key, _)| name(key, seed).map_err(|error| under(key, error))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (key, node) = self.current.ok_or_else(|| Error::custom("a value without a key"))?;
        seed.deserialize(Reader { node, key: Some(key) }).map_err(|error| under(key, error))
    }
}

/// The items of a list, one after the other.
struct Items<'a> {
    rest: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.rest
            .next()
            .map(|(index, node)| {
                seed.deserialize(Reader { node, key: None })
                    .map_err(|error| error.or_at(&node.place).under(Step::Index(index)))
            })
            .transpose()
    }
}

/// Reads a key's name; what is wrong with it is at the key.
fn name<'de, K: DeserializeSeed<'de>>(key: &Key, seed: K) -> Result<K::Value, Error> {
    let name: StrDeserializer<'_, Error> = key.name.as_str().into_deserializer();
    seed.deserialize(name).map_err(|error| error.or_at(&key.place))
}

/// An error seen from the map that holds the key.
fn under(key: &Key, error: Error) -> Error {
    error.or_at(&key.place).under(Step::Key(key.name.clone()))
}
