//! Values as one line of text, and a whole sweep as lines that say everything its rows depend on.
//!
//! Not in the lines: what files hold that a scenario names (lengths, config.json), and constants inside the program;
//! the program's version stands for these.

use super::Sweep;
use crate::rollout::Stepper;
use crate::yaml::{Node, Value};

/// A value on one line, as YAML's flow form writes it; text without quotes.
pub(in crate::study) fn flow(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::UInt(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::Str(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        Value::Seq(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let all: Vec<String> =
                entries.iter().map(|(key, value)| format!("{}: {}", key.name, flow(value))).collect();
            format!("{{{}}}", all.join(", "))
        }
    }
}

/// One line for each leaf of a tree, with its path.
pub(in crate::study) fn leaves(prefix: &str, node: &Node, lines: &mut Vec<String>) {
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                leaves(&format!("{prefix}.{}", key.name), value, lines);
            }
        }
        // Debug form: a text is told from a number, and stays on its line.
        Value::Str(text) => lines.push(format!("{prefix} = {text:?}")),
        _ => lines.push(format!("{prefix} = {}", flow(node))),
    }
}

/// See [`Sweep::expanded`].
pub(super) fn expanded(sweep: &Sweep) -> Vec<String> {
    let stepper = match sweep.stepper {
        Stepper::Leap => "leap",
        Stepper::Exact => "exact",
    };
    let mut lines = vec![
        format!("program = rollcast {}", env!("CARGO_PKG_VERSION")),
        format!("stepper = {stepper}"),
        format!("name = {:?}", sweep.name),
    ];
    leaves("base", sweep.base.root(), &mut lines);
    for axis in &sweep.axes {
        let name = axis.columns.join("+");
        for entry in &axis.entries {
            for (key, value) in entry.overrides.entries().unwrap_or_default() {
                leaves(&format!("axis {name} {:?}: {}", entry.labels.join(" "), key.name), value, &mut lines);
            }
        }
        if let Some(span) = &axis.span {
            lines.push(format!(
                "axis {name} sampled at 0, 0.5, 1: {}",
                [0.0, 0.5, 1.0].map(|u| span.sampled(u).labels.concat()).join(", ")
            ));
        }
    }
    lines.extend(sweep.exclude.iter().map(|exclusion| format!("exclude {exclusion}")));
    lines.push(sweep.plan.to_string());
    lines
}
