//! Choices: an enum written as its variant's name alone, or as a map whose only key is the variant's name.

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, VariantAccess, Visitor};

use super::{Reader, name, under};
use crate::yaml::{Error, Key, Node, Step, Value, nearest};

/// The chosen variant and what is written inside it.
pub(super) struct Choice {
    variant: Key,
    /// What the variant's key holds; nothing if the name stands alone.
    content: Node,
    /// Whether the name is a key, and so a step of the path.
    keyed: bool,
}

impl Choice {
    /// The choice that a value makes among `variants`.
    pub(super) fn of(reader: Reader<'_>, variants: &'static [&'static str]) -> Result<Self, Error> {
        let alone = |name: &str| {
            let place = reader.place().clone();
            let content = Node { value: Value::Null, place: place.clone() };
            Self { variant: Key { name: name.to_owned(), place }, content, keyed: false }
        };
        match &reader.node.value {
            Value::Str(name) => Ok(alone(name)),
            // Writers of YAML 1.1 turn `off` into `false`.
            Value::Bool(false) if variants.contains(&"off") => Ok(alone("off")),
            Value::Map(entries) => match entries.as_slice() {
                [(key, content)] => Ok(Self { variant: key.clone(), content: content.clone(), keyed: true }),
                [(first, _), (second, _), ..] => {
                    let found = format!("found `{}` and `{}`", first.name, second.name);
                    Err(Error::new(format!("{found}, expected one choice"))
                        .hint(format!("choose one of {}", nearest::list(variants)))
                        .at(&second.place))
                }
                [] => Err(Error::new("found an empty map, expected one choice")
                    .hint(format!("choose one of {}", nearest::list(variants)))
                    .at(reader.place())),
            },
            _ => Err(reader.wrong(&format!("one of {}", nearest::list(variants)))),
        }
    }

    fn rise(&self, error: Error) -> Error {
        if self.keyed { under(&self.variant, error) } else { error }
    }

    fn inside<T>(&self, read: impl FnOnce(Reader<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let reader = Reader { node: &self.content, key: Some(&self.variant) };
        read(reader).map_err(|error| self.rise(error))
    }
}

impl<'de> EnumAccess<'de> for Choice {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let variant = name(&self.variant, seed).map_err(|error| self.rise(error))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Choice {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        if self.content.value == Value::Null {
            return Ok(());
        }
        let name = &self.variant.name;
        Err(Error::new(format!("found {}, expected nothing inside `{name}`", self.content.value))
            .hint(format!("write `{name}` alone"))
            .at(&self.variant.place)
            .under(Step::Key(name.clone())))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.inside(|reader| seed.deserialize(reader))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.inside(|reader| reader.deserialize_seq(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.inside(|reader| reader.deserialize_struct("", fields, visitor))
    }
}
