//! A tree of values, each with its place.

use std::fmt;

use super::{Path, Place, Step};

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it was written; of a block map or list, where its first key or item is.
    pub place: Place,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number below 0.
    Int(i64),
    /// A whole number from 0.
    UInt(u64),
    /// Any other number; may be NaN or infinite.
    Float(f64),
    /// Text.
    Str(String),
    /// A list.
    Seq(Vec<Node>),
    /// A map, in the order written; no key appears twice.
    Map(Vec<(Key, Node)>),
}

/// A key of a map and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// The key's text.
    pub name: String,
    /// Where it was written.
    pub place: Place,
}

impl Node {
    /// The entries, if this is a map.
    pub fn entries(&self) -> Option<&[(Key, Node)]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of a key, if this is a map that has it.
    pub fn child(&self, name: &str) -> Option<&Node> {
        self.entries()?.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// The node at a path.
    pub fn get(&self, path: &Path) -> Option<&Node> {
        path.steps().iter().try_fold(self, |node, step| match (step, &node.value) {
            (Step::Key(name), _) => node.child(name),
            (Step::Index(index), Value::Seq(items)) => items.get(*index),
            _ => None,
        })
    }

    /// Where a reader should look for the value at `path`, or for the nearest of its ancestors that exists: a
    /// scalar itself, or the key of a map or list.
    pub fn place_of(&self, path: &Path) -> Place {
        let mut node = self;
        let mut place = self.place.clone();
        for step in path.steps() {
            let (key, child) = match (step, &node.value) {
                (Step::Key(name), Value::Map(entries)) => match entries.iter().find(|(k, _)| k.name == *name)
                {
                    Some((key, child)) => (Some(key), child),
                    None => break,
                },
                (Step::Index(index), Value::Seq(items)) => match items.get(*index) {
                    Some(child) => (None, child),
                    None => break,
                },
                _ => break,
            };
            place = child.place_under(key).clone();
            node = child;
        }
        place
    }

    /// Where to point for an error in this value as a whole.
    pub(super) fn place_under<'a>(&'a self, key: Option<&'a Key>) -> &'a Place {
        match (&self.value, key) {
            (Value::Map(_) | Value::Seq(_) | Value::Null, Some(key)) => &key.place,
            _ => &self.place,
        }
    }
}

impl fmt::Display for Value {
    /// The value as an error message shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("nothing"),
            Self::Bool(value) => write!(f, "`{value}`"),
            Self::Int(value) => write!(f, "`{value}`"),
            Self::UInt(value) => write!(f, "`{value}`"),
            Self::Float(value) => f.write_str(&float(*value)),
            Self::Str(text) => f.write_str(&quoted(text)),
            Self::Seq(_) => f.write_str("a list"),
            Self::Map(_) => f.write_str("a map"),
        }
    }
}

/// A float as YAML writes it.
pub(super) fn float(value: f64) -> String {
    if value.is_nan() {
        "`.nan`".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "`.inf`".to_owned() } else { "`-.inf`".to_owned() }
    } else {
        format!("`{value:?}`")
    }
}

/// A text, short and on one line.
pub(super) fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(40).is_some() {
        short.push('…');
    }
    format!("the text `{short}`")
}
