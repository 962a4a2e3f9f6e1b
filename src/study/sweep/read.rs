//! Reads a sweep file, and finds all that is wrong with it at once.

use std::fmt;

use super::axis::{Axis, Entry, MOST_ENTRIES, Span};
use super::form;
use super::points::{Exclusion, Plan, same};
use super::row::FIGURES;
use super::text::flow;
use super::{MOST_POINTS, Options, Sweep};
use crate::rollout::Stepper;
use crate::scenario::{Document, Error};
use crate::yaml::{self, Key, Node, Path, Place, Step, Value};

/// The only version of the form.
const VERSION: u64 = 1;
/// Mistakes that are printed; the rest is counted.
const SHOWN: usize = 20;

/// Everything that is wrong with a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepErrors(pub(super) Vec<Error>);

impl SweepErrors {
    /// The mistakes, at least one.
    pub fn all(&self) -> &[Error] {
        &self.0
    }
}

impl std::error::Error for SweepErrors {}

impl fmt::Display for SweepErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, error) in self.0.iter().take(SHOWN).enumerate() {
            let gap = if position > 0 { "\n" } else { "" };
            write!(f, "{gap}{error}")?;
        }
        match self.0.len() {
            0 | 1 => Ok(()),
            all if all > SHOWN => {
                write!(f, "\n{all} mistakes in this sweep, the first {SHOWN} shown; nothing was run")
            }
            all => write!(f, "\n{all} mistakes in this sweep; nothing was run"),
        }
    }
}

/// Collects mistakes.
#[derive(Default)]
struct Mistakes(Vec<Error>);

impl Mistakes {
    /// The value, or a mistake noted.
    fn note<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }
}

impl Sweep {
    /// Reads a sweep whose file was parsed into `file`. Only the sweep's own form and its base are looked at;
    /// [`Sweep::check`] tries the values.
    pub fn read(file: &Document, options: Options<'_>) -> Result<Self, SweepErrors> {
        let mut wrong = Mistakes::default();
        let root = file.root();
        let form = wrong.note(yaml::from_node::<form::File>(root));
        if let Some(form) = &form
            && form.version != VERSION
        {
            wrong.0.push(file.error_at(
                "version",
                format!("found version {}, expected {VERSION}", form.version),
                None,
            ));
        }
        let base =
            root.child("base").and_then(|node| wrong.note(base(file, node, options, root.child("set"))));
        let axes = list(root, "axes").unwrap_or_default();
        if axes.is_empty() && root.child("axes").is_some() {
            wrong.0.push(file.error_at("axes", "found no axis, expected a list of them", None));
        }
        let axes: Vec<Option<Axis>> = axes
            .iter()
            .enumerate()
            .map(|(index, node)| self::axis(&mut wrong, node, &place_of("axes", index)))
            .collect();
        let Some(axes) = axes.into_iter().collect::<Option<Vec<Axis>>>() else {
            return Err(SweepErrors(wrong.0));
        };
        columns_differ(&mut wrong, &axes);
        keys_differ(&mut wrong, &axes, options);
        let sample = sample(&mut wrong, file, form.as_ref(), options);
        if sample.is_none() {
            only_sampled(&mut wrong, &axes);
        }
        let exclude = exclusions(&mut wrong, root, &axes);
        let (Some(form), Some(base), true) = (form, base, wrong.0.is_empty()) else {
            return Err(SweepErrors(wrong.0));
        };
        let plan = match sample {
            Some(of) => Some(Plan::sampled(&axes, &exclude, of, form.seed.unwrap_or(1))),
            None => Plan::grid(&axes, &exclude),
        };
        let Some(plan) = plan else {
            let message = format!("the full grid has more than {MOST_POINTS} points");
            let hint = Some("--sample N draws N points of it".to_owned());
            return Err(SweepErrors(vec![file.error_at("axes", message, hint)]));
        };
        if plan.len() == 0 {
            return Err(SweepErrors(vec![file.error_at("exclude", "every point is excluded", None)]));
        }
        let name = form.name.or_else(|| text(base.root(), "name")).unwrap_or_else(|| file.name().to_owned());
        let stepper = if options.exact { Stepper::Exact } else { Stepper::Leap };
        Ok(Sweep { name, base, axes, exclude, plan, stepper })
    }

    pub(super) fn base(&self) -> &Document {
        &self.base
    }

    pub(super) fn stepper(&self) -> Stepper {
        self.stepper
    }
}

fn place_of(list: &str, index: usize) -> Path {
    Path::default().join(Step::Key(list.to_owned())).join(Step::Index(index))
}

fn list<'a>(node: &'a Node, key: &str) -> Option<&'a [Node]> {
    match &node.child(key)?.value {
        Value::Seq(items) => Some(items),
        _ => None,
    }
}

fn text(node: &Node, key: &str) -> Option<String> {
    match &node.child(key)?.value {
        Value::Str(text) => Some(text.clone()),
        _ => None,
    }
}

/// The base scenario with what every point shares.
fn base(file: &Document, node: &Node, options: Options<'_>, set: Option<&Node>) -> Result<Document, Error> {
    let mut base = match &node.value {
        Value::Str(path) => Document::read(&file.directory().join(path)).map_err(|error| {
            // A base that is not there is a mistake of this file.
            match error.place().and_then(Place::line_column) {
                Some(_) => error,
                None => Error::new(error.message()).at(&node.place).on(key_path("base")),
            }
        })?,
        Value::Map(_) => Document::from_root(file.name(), node.clone())?,
        other => {
            let message = format!("found {other}, expected the path of a scenario, or a scenario");
            return Err(Error::new(message).at(&node.place).on(key_path("base")));
        }
    };
    if let Some(set) = set {
        base.overlay(set)?;
    }
    for assignment in options.overrides {
        base.set(assignment)?;
    }
    Ok(base)
}

fn key_path(key: &str) -> Path {
    Path::default().join(Step::Key(key.to_owned()))
}

/// An axis with its entries; mistakes are noted.
fn axis(wrong: &mut Mistakes, node: &Node, at: &Path) -> Option<Axis> {
    let form: form::Axis =
        wrong.note(yaml::from_node(node).map_err(|error| moved(&error, at, &node.place)))?;
    let mut refuse = |message: String, place: &Place| {
        wrong.0.push(Error::new(message).at(place).on(at.clone()));
        None
    };
    let kinds = ["values", "range", "log_range", "zip", "variants"];
    let given: Vec<&str> = kinds.into_iter().filter(|kind| node.child(kind).is_some()).collect();
    let [kind] = given.as_slice() else {
        let found = if given.is_empty() { "none".to_owned() } else { given.join(" and ") };
        return refuse(format!("found {found}, expected one of {}", kinds.join(", ")), &node.place);
    };
    let held = node.child(kind)?;
    if *kind == "zip" {
        return zip(wrong, form.name.as_ref(), held, node, at);
    }
    if *kind == "variants" {
        let Some(name) = form.name else { return refuse("missing key `name`".to_owned(), &node.place) };
        if form.path.is_some() {
            return refuse(
                "variants change keys of their own, so `path` says nothing here".to_owned(),
                &node.place,
            );
        }
        let Some(variants) = held.entries().filter(|entries| !entries.is_empty()) else {
            return refuse(
                format!("found {}, expected a map of names to overrides", held.value),
                &held.place,
            );
        };
        let mut entries = Vec::new();
        for (key, overrides) in variants {
            let overrides = match &overrides.value {
                Value::Map(_) => overrides.clone(),
                Value::Null => Node { value: Value::Map(Vec::new()), place: key.place.clone() },
                other => return refuse(format!("found {other}, expected a map of overrides"), &key.place),
            };
            entries.push(Entry { labels: vec![key.name.clone()], overrides });
        }
        return Some(Axis { columns: vec![name], entries, span: None, place: node.place.clone() });
    }
    let Some(path) = form.path else { return refuse("missing key `path`".to_owned(), &node.place) };
    let path_place = node.child("path").map_or(&node.place, |node| &node.place).clone();
    if let Err(why) = Path::parse(&path) {
        return refuse(why, &path_place);
    }
    let columns = vec![form.name.unwrap_or_else(|| path.rsplit('.').next().unwrap_or(&path).to_owned())];
    let key = Key { name: path, place: path_place };
    let number = |name: &str| held.child(name).map(|node| &node.value);
    let whole = ["from", "to", "step"].iter().all(|name| !matches!(number(name), Some(Value::Float(_))));
    let spread = match (form.range, form.log_range) {
        (Some(range), _) => Span::even(range, whole, key.clone(), held.place.clone()).and_then(|span| {
            let entries = range.step.map_or(Ok(Vec::new()), |step| span.stepped(step))?;
            Ok((entries, Some(span)))
        }),
        (_, Some(range)) => Span::log(range, whole, key.clone(), held.place.clone()).and_then(|span| {
            let entries = range.points.map_or(Ok(Vec::new()), |points| span.spaced(points))?;
            Ok((entries, Some(span)))
        }),
        _ => values(held, &key).map(|entries| (entries, None)),
    };
    match spread {
        Ok((entries, span)) => Some(Axis { columns, entries, span, place: node.place.clone() }),
        Err(why) => refuse(why, &held.place),
    }
}

/// An error of a part seen from the file: its path starts at the file's root.
fn moved(error: &Error, at: &Path, place: &Place) -> Error {
    let path = at.followed_by(error.path());
    let moved = Error::new(error.message()).at(error.place().unwrap_or(place)).on(path);
    match error.advice() {
        Some(advice) => moved.hint(advice),
        None => moved,
    }
}

fn values(held: &Node, key: &Key) -> Result<Vec<Entry>, String> {
    let Value::Seq(items) = &held.value else { return Err(format!("found {}, expected a list", held.value)) };
    if items.is_empty() || items.len() > MOST_ENTRIES {
        return Err(format!("found {} values, expected 1 to {MOST_ENTRIES}", items.len()));
    }
    let entries: Vec<Entry> = items.iter().map(|item| Entry::of(key, item.clone())).collect();
    for (position, entry) in entries.iter().enumerate() {
        if entries[..position].iter().any(|before| before.labels == entry.labels) {
            return Err(format!("the value `{}` is given twice", entry.labels.concat()));
        }
    }
    Ok(entries)
}

/// Members that move together: one column each.
fn zip(wrong: &mut Mistakes, name: Option<&String>, held: &Node, node: &Node, at: &Path) -> Option<Axis> {
    let Value::Seq(items) = &held.value else { return None };
    let before = wrong.0.len();
    if let Some(name) = name {
        let message = format!("found the name `{name}`, expected names of its members only");
        wrong.0.push(Error::new(message).at(&node.place).on(at.clone()));
    }
    let zip_path = at.join(Step::Key("zip".to_owned()));
    let members: Vec<Axis> = items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| axis(wrong, item, &zip_path.join(Step::Index(index))))
        .collect();
    if wrong.0.len() > before {
        return None;
    }
    let lengths: Vec<usize> = members.iter().map(|member| member.entries.len()).collect();
    let first = lengths.first().copied().unwrap_or(0);
    if members.len() < 2 || first == 0 || lengths.iter().any(|length| *length != first) {
        let found: Vec<String> = lengths.iter().map(usize::to_string).collect();
        let message =
            format!("found members of {} values, expected two or more of equal length", found.join(" and "));
        wrong.0.push(Error::new(message).at(&node.place).on(zip_path));
        return None;
    }
    let columns = members.iter().flat_map(|member| member.columns.clone()).collect();
    let entries = (0..first)
        .filter_map(|i| Entry::joined(&members.iter().map(|member| &member.entries[i]).collect::<Vec<_>>()))
        .collect();
    Some(Axis { columns, entries, span: None, place: node.place.clone() })
}

/// Column names that are told apart, also from the figures.
fn columns_differ(wrong: &mut Mistakes, axes: &[Axis]) {
    let mut seen: Vec<&str> = vec!["index"];
    seen.extend(FIGURES);
    for axis in axes {
        for column in &axis.columns {
            if seen.contains(&column.as_str()) {
                let message = format!("a second column would be called `{column}`");
                wrong.0.push(Error::new(message).at(&axis.place).hint("`name` gives this axis another name"));
            }
            seen.push(column);
        }
    }
}

/// Two axes that set one key, or an axis and a flag: one of them would have no effect.
fn keys_differ(wrong: &mut Mistakes, axes: &[Axis], options: Options<'_>) {
    let mut seen: Vec<(String, String)> = Vec::new();
    for assignment in options.overrides {
        let (key, _) = assignment.split_once('=').unwrap_or((assignment, ""));
        seen.push((key.trim().to_owned(), format!("--set {key}")));
    }
    for axis in axes {
        let name = axis.columns.join(" ");
        let mut own: Vec<String> = axis.keys();
        own.sort();
        own.dedup();
        for key in own {
            if let Some((_, other)) = seen.iter().find(|(before, _)| *before == key) {
                let message =
                    format!("`{name}` and {other} both set {key}, so one of them would have no effect");
                wrong.0.push(Error::new(message).at(&axis.place));
            }
            seen.push((key, format!("the axis `{name}`")));
        }
    }
}

/// Points of a hypercube, from the command line or the file.
fn sample(
    wrong: &mut Mistakes,
    file: &Document,
    form: Option<&form::File>,
    options: Options<'_>,
) -> Option<u32> {
    let asked = options.sample.map(u64::from).or_else(|| form.and_then(|form| form.sample))?;
    if (2..=MOST_POINTS).contains(&asked) {
        return u32::try_from(asked).ok();
    }
    let message = format!("found {asked}, expected 2 to {MOST_POINTS} points");
    wrong.0.push(file.error_at("sample", message, None));
    None
}

fn only_sampled(wrong: &mut Mistakes, axes: &[Axis]) {
    for axis in axes.iter().filter(|axis| axis.entries.is_empty()) {
        let message =
            format!("the range of `{}` has no step and no number of points", axis.columns.join(" "));
        wrong.0.push(Error::new(message).at(&axis.place).hint("give one, or draw points with --sample N"));
    }
}

/// Combinations to leave out, by column and value.
fn exclusions(wrong: &mut Mistakes, root: &Node, axes: &[Axis]) -> Vec<Exclusion> {
    let columns: Vec<(&str, &Axis, usize)> = axes
        .iter()
        .flat_map(|axis| axis.columns.iter().enumerate().map(move |(i, name)| (name.as_str(), axis, i)))
        .collect();
    let names: Vec<&str> = columns.iter().map(|(name, ..)| *name).collect();
    let mut all = Vec::new();
    for (index, item) in list(root, "exclude").unwrap_or_default().iter().enumerate() {
        let at = place_of("exclude", index);
        let Some(entries) = item.entries().filter(|entries| !entries.is_empty()) else {
            let message = format!("found {}, expected a map of columns to values", item.value);
            wrong.0.push(Error::new(message).at(&item.place).on(at));
            continue;
        };
        let mut exclusion = Exclusion { columns: Vec::new() };
        for (key, value) in entries {
            let Some(column) = names.iter().position(|name| *name == key.name) else {
                let hint = yaml::nearest_hint(&key.name, &names);
                wrong.0.push(
                    Error::new(format!("no axis has the column `{}`", key.name))
                        .at(&key.place)
                        .on(at.clone())
                        .hint(hint),
                );
                continue;
            };
            let values: Vec<&Node> = match &value.value {
                Value::Seq(items) => items.iter().collect(),
                _ => vec![value],
            };
            let (_, axis, part) = columns[column];
            for node in &values {
                let known = axis.is_continuous()
                    || axis.entries.iter().any(|entry| same(&entry.labels[part], &flow(node)));
                if !known {
                    let labels: Vec<&str> =
                        axis.entries.iter().map(|entry| entry.labels[part].as_str()).collect();
                    let error =
                        Error::new(format!("`{}` is no value of `{}`", flow(node), key.name)).at(&node.place);
                    wrong.0.push(error.on(at.clone()).hint(yaml::nearest_hint(&flow(node), &labels)));
                }
            }
            exclusion.columns.push((column, values.into_iter().map(flow).collect()));
        }
        all.push(exclusion);
    }
    all
}
