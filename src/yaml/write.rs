//! A tree as YAML text that reads back as the same tree: sections as blocks, everything below them in flow form on a line.
//!
//! Left out: comments and the order of spaces, which a tree does not keep.

use std::fmt::Write;

use super::{Node, Value};

/// A map as a file's text; keys without a value are left out.
pub fn to_text(root: &Node) -> String {
    let mut text = String::new();
    for (key, node) in root.entries().unwrap_or_default() {
        if node.value == Value::Null {
            continue;
        }
        match node.entries() {
            Some(entries) if holds_maps(node) => {
                let _ = writeln!(text, "{}:", scalar(&key.name));
                for (key, node) in entries.iter().filter(|(_, node)| node.value != Value::Null) {
                    let _ = writeln!(text, "  {}: {}", scalar(&key.name), flow(node));
                }
            }
            _ => {
                let _ = writeln!(text, "{}: {}", scalar(&key.name), flow(node));
            }
        }
    }
    text
}

fn holds_maps(node: &Node) -> bool {
    node.entries().is_some_and(|entries| entries.iter().any(|(_, child)| child.entries().is_some()))
}

/// One value on one line.
pub fn flow(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::UInt(value) => value.to_string(),
        // Rust's shortest form that reads back as the same number; with a point, so that it stays a float.
        Value::Float(value) => format!("{value:?}"),
        Value::Str(text) => scalar(text),
        Value::Seq(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Map(entries) => {
            let given = entries.iter().filter(|(_, node)| node.value != Value::Null);
            let all: Vec<String> =
                given.map(|(key, node)| format!("{}: {}", scalar(&key.name), flow(node))).collect();
            format!("{{ {} }}", all.join(", "))
        }
    }
}

/// Text, quoted unless it is plainly a word.
fn scalar(text: &str) -> String {
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "y", "n"].contains(&text.to_lowercase().as_str());
    if word {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", c as u32 & 0xff);
            }
            c => out.push(c),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::parse;

    /// Values alone: places differ.
    fn bare(node: &Node) -> String {
        match &node.value {
            Value::Map(entries) => {
                let all = entries.iter().filter(|(_, n)| n.value != Value::Null);
                all.map(|(key, n)| format!("{:?}:({})", key.name, bare(n))).collect::<Vec<_>>().concat()
            }
            Value::Seq(items) => items.iter().map(|n| format!("[{}]", bare(n))).collect::<Vec<_>>().concat(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn what_is_written_reads_back() -> Result<(), crate::yaml::Error> {
        let text = "a: 1\nb: {c: {d: 1.0, e: [1, off, 'true', \"q\\\"\\n# x: y\"]}, f: 1e-7}\ng: off\nh: -3\ni: '0.10'\nj:\n";
        let root = parse("f", text)?;
        let again = parse("g", &to_text(&root))?;
        assert_eq!(bare(&root), bare(&again), "{}", to_text(&root));
        Ok(())
    }
}
