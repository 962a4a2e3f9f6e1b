//! The plan's keys: a goal that says something, lists that hold something.

use super::Check;
use crate::scenario::Error;
use crate::scenario::raw::{Count, Fraction, GpuRange, Over, Plan};
use crate::yaml::{Path, Value};

/// Longest list of one choice.
const MOST_VALUES: usize = 1000;

pub(super) fn check(check: &Check<'_>, plan: &Plan) -> Result<(), Error> {
    check.required(plan.minimise, "plan", "minimise")?;
    if let Some(p) = plan.subject_to.as_ref().and_then(|limits| limits.p).map(Fraction::get) {
        let message = format!("found {p}, expected 0.5 to 1");
        let hint = "a plan that misses its limits in most draws meets none";
        check.holds((0.5..=1.0).contains(&p), "plan.subject_to.p", &message, hint)?;
    }
    let Some(over) = &plan.over else { return Ok(()) };
    gpus(check, over)?;
    lists(check)
}

fn gpus(check: &Check<'_>, over: &Over) -> Result<(), Error> {
    let Some(GpuRange::Range(ends)) = &over.gpus else { return Ok(()) };
    let (from, to) = (ends.from, ends.to);
    let message = format!("found {from} to {to}, expected the smaller number first");
    check.holds(from <= to, "plan.over.gpus", &message, "")?;
    let most = super::MOST_GPUS;
    let message = format!("found {to}, expected at most {most}");
    check.holds(Count::get(to) <= most, "plan.over.gpus.to", &message, "")
}

/// Every list under `plan.over` holds something, nothing twice.
fn lists(check: &Check<'_>) -> Result<(), Error> {
    let root = check.document.root();
    let Some(over) = Path::parse("plan.over").ok().and_then(|path| root.get(&path)) else { return Ok(()) };
    let mut open = vec![("plan.over".to_owned(), over)];
    while let Some((path, node)) = open.pop() {
        match &node.value {
            Value::Map(entries) if path != "plan.over.speculation" => {
                for (key, child) in entries {
                    // A key with dots is a path of `other`, and no list of this form.
                    if path == "plan.over.other" {
                        let message =
                            format!("`{}`: found {}, expected a list of values", key.name, child.value);
                        let full = matches!(&child.value, Value::Seq(items) if !items.is_empty());
                        check.holds(full, "plan.over.other", &message, "")?;
                    } else {
                        open.push((format!("{path}.{}", key.name), child));
                    }
                }
            }
            Value::Seq(items) => {
                let message = "found an empty list, expected values to choose from";
                check.holds(
                    !items.is_empty(),
                    &path,
                    message,
                    "leave the key out to keep the scenario's own",
                )?;
                let message = format!("found {} values, expected at most {MOST_VALUES}", items.len());
                check.holds(items.len() <= MOST_VALUES, &path, &message, "")?;
                for (index, item) in items.iter().enumerate() {
                    let twice = items[..index].iter().any(|other| other.value == item.value);
                    let scalar = !matches!(item.value, Value::Map(_) | Value::Seq(_));
                    let message = format!("found {} twice", item.value);
                    check.holds(!(twice && scalar), &format!("{path}[{index}]"), &message, "")?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}
