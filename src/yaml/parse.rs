//! From text to tree. The YAML crate is named here and nowhere else.
//!
//! YAML 1.2 booleans (`true`, `false`) only, so that `no` and `off` stay text. Anchors, aliases and merge keys are
//! resolved here. The crate's budgets are kept, the number of nodes is lowered: nested aliases multiply.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::options::NonFiniteFloatPolicy;
use serde_yaml::{Location, Spanned};

use super::{Error, Key, Node, Place, Value};

/// Most values in a text, aliases expanded.
const MOST_NODES: usize = 20_000;

/// Reads a file's text into a tree. `name` is the file's name as errors print it.
pub fn parse(name: &str, text: &str) -> Result<Node, Error> {
    // Lines and columns are counted without the byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    read(&Place::file(name, text), text)
}

/// Reads the value of a flag into a tree. `flag` is the flag as errors print it.
pub fn parse_flag(flag: &str, text: &str) -> Result<Node, Error> {
    read(&Place::flag(flag), text)
}

fn read(whole: &Place, text: &str) -> Result<Node, Error> {
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! { max_nodes: MOST_NODES, },
        strict_booleans: true,
        // Let through, so that the reader of the key refuses it with the key's path.
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    };
    serde_yaml::from_str_with_options::<Spanned<Raw>>(text, options)
        .map(|root| placed(root, whole))
        .map_err(|error| worded(&error, whole))
}

/// The crate's error in our words, without its remarks on its own options.
fn worded(error: &serde_yaml::Error, whole: &Place) -> Error {
    let place = error.location().map_or_else(|| whole.clone(), |location| inside(whole, location));
    let text = error.without_snippet().to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    if let Some(key) = text.strip_prefix("duplicate mapping key: ") {
        let key = key.split(", set DuplicateKeyPolicy").next().unwrap_or(key);
        return Error::new(format!("the key `{key}` is given twice")).at(&place);
    }
    if text.starts_with("multiple YAML documents") {
        return Error::new("a second YAML document begins here, expected one").at(&place);
    }
    if text.starts_with("recursion limit") || text.contains("epth") {
        return Error::new("nested too deep").at(&place);
    }
    if text.starts_with("budget breached") || text.starts_with("alias replay") {
        return Error::new(format!(
            "too large: more than {MOST_NODES} values once its aliases are expanded, or another limit of size"
        ))
        .at(&place);
    }
    if text.starts_with("expected string scalar") || text.starts_with("cannot deserialize null into string") {
        return Error::new("a key must be text").at(&place);
    }
    Error::new(format!("not valid YAML: {text}")).at(&place)
}

fn inside(whole: &Place, location: Location) -> Place {
    match (usize::try_from(location.line()), usize::try_from(location.column())) {
        (Ok(line), Ok(column)) if line > 0 => whole.inside(line, column.max(1)),
        _ => whole.clone(),
    }
}

fn placed(raw: Spanned<Raw>, whole: &Place) -> Node {
    let place = inside(whole, raw.referenced);
    let value = match raw.value {
        Raw::Scalar(value) => value,
        Raw::Seq(items) => Value::Seq(items.into_iter().map(|item| placed(item, whole)).collect()),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let place = inside(whole, key.referenced);
                    (Key { name: key.value, place }, placed(value, whole))
                })
                .collect(),
        ),
    };
    Node { value, place }
}

/// A value as the crate hands it out.
enum Raw {
    Scalar(Value),
    Seq(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Raw, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(u64::try_from(value).map_or(Value::Int(value), Value::UInt)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::UInt(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Str(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Raw::Seq(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut all = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            all.push(entry);
        }
        Ok(Raw::Map(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        parse("f", text).map_or_else(|error| error.to_string(), |node| format!("{node:?}"))
    }

    #[test]
    fn booleans_are_those_of_yaml_1_2() -> Result<(), Error> {
        let root = parse("f", "a: off\nb: no\nc: false\n")?;
        let values: Vec<String> =
            root.entries().unwrap_or_default().iter().map(|(_, node)| node.value.to_string()).collect();
        assert_eq!(values, ["the text `off`", "the text `no`", "`false`"]);
        Ok(())
    }

    #[test]
    fn errors_are_placed_and_in_our_words() {
        assert!(message("a: 1\na: 2\n").starts_with("f:2:1: the key `a` is given twice"));
        assert!(message("a: 1\n---\nb: 2\n").starts_with("f:3:1: a second YAML document"));
        assert!(message("a: [1, 2\n").starts_with("f:1:4: not valid YAML: unclosed bracket"));
        assert!(message("? [1]\n: 2\n").starts_with("f:1:3: a key must be text"));
        assert!(message(&"[".repeat(100_000)).starts_with("f:1:256: nested too deep"));
    }

    #[test]
    fn a_byte_order_mark_moves_no_column() {
        assert!(message("\u{feff}a: 1\na: 2\n").starts_with("f:2:1: the key `a`"));
    }
}
