//! A plan as a scenario file: it runs with `rollcast run` and gives the figures that the plan gave.

use super::space::Space;
use crate::scenario::Error;
use crate::yaml::{Node, Value, to_text};

/// The text of a candidate's scenario; paths in it are made whole, as it may lie elsewhere.
pub fn scenario_text(space: &Space, candidate: usize, remark: &str) -> Result<String, Error> {
    let document = space.document(candidate)?;
    let mut root = document.root().clone();
    if let Value::Map(entries) = &mut root.value {
        for (key, node) in entries.iter_mut() {
            match (key.name.as_str(), &mut node.value) {
                ("name", Value::Str(name)) => *name = format!("{name}: {}", space.title(candidate)),
                ("model", Value::Str(text)) => whole(space, text),
                ("workload" | "speculation", _) => paths(space, node),
                _ => {}
            }
        }
    }
    let remark: Vec<String> = remark.lines().map(|line| format!("# {line}\n")).collect();
    Ok(remark.concat() + &to_text(&root))
}

/// Makes every `path` below a node whole.
fn paths(space: &Space, node: &mut Node) {
    match &mut node.value {
        Value::Map(entries) => {
            for (key, child) in entries {
                match &mut child.value {
                    Value::Str(text) if key.name == "path" => whole(space, text),
                    _ => paths(space, child),
                }
            }
        }
        Value::Seq(items) => items.iter_mut().for_each(|item| paths(space, item)),
        _ => {}
    }
}

/// A relative path of an existing file, from the root of the file system.
fn whole(space: &Space, text: &mut String) {
    let path = space.base().directory().join(&*text);
    if let Ok(path) = path.canonicalize()
        && let Some(found) = path.to_str()
    {
        found.clone_into(text);
    }
}
