//! A scenario as written, with the place of every key: what overrides act on and what errors point into.

use std::path::Path as FilePath;

use super::raw::Scenario;
use super::{check, elsewhere, load, planned};
use crate::yaml::{self, Error, Key, Node, Path, Place, Step, Value};

/// The only version of the form.
const VERSION: u64 = 1;

/// Keys that hold sections: in `baseline` they are merged key by key. Everything else is replaced whole, `reward`
/// too, as it is a choice of kinds.
const SECTIONS: [&str; 16] = [
    "cluster",
    "pools",
    "pools.generation",
    "pools.training",
    "pools.reward",
    "workload",
    "generation",
    "generation.layout",
    "generation.routing",
    "speculation",
    "training",
    "training.layout",
    "tail",
    "loop",
    "uncertainty",
    "whole_run",
];

/// Keys that a baseline cannot override: they are about the comparison itself.
const OF_THE_COMPARISON: [&str; 3] = ["version", "baseline", "expect"];

/// A scenario as written: a map at its root.
#[derive(Debug, Clone)]
pub struct Document {
    name: String,
    root: Node,
}

impl Document {
    /// Reads a file.
    pub fn read(path: &FilePath) -> Result<Self, Error> {
        Self::parse(&path.display().to_string(), &load::text(path)?)
    }

    /// Reads a text; `name` is its file name in errors, and relative paths inside start at its directory.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        Self::from_root(name, yaml::parse(name, text)?)
    }

    /// A tree that was read already, such as a scenario written inside another file.
    pub fn from_root(name: &str, root: Node) -> Result<Self, Error> {
        let wrong = |message: String| Err(Error::new(message).at(&root.place));
        match root.value {
            Value::Map(_) => Ok(Self { name: name.to_owned(), root }),
            Value::Null => wrong("the file is empty, expected a scenario".to_owned()),
            _ => wrong(format!("found {}, expected a scenario: a map of keys", root.value)),
        }
    }

    /// Applies a `--set PATH=VALUE`; the value is YAML. A path that names no key of a scenario is reported by
    /// [`Document::scenario`], with the flag.
    pub fn set(&mut self, assignment: &str) -> Result<(), Error> {
        let Some((path, value)) = assignment.split_once('=') else {
            let example = "for example --set workload.prompts_per_step=128";
            let message = format!("found `{assignment}`, expected PATH=VALUE");
            return Err(Error::new(message).hint(example).at(&Place::flag("--set")));
        };
        let flag = format!("--set {}", path.trim());
        let path = Path::parse(path).map_err(|why| Error::new(why).at(&Place::flag("--set")))?;
        self.root.set(&path, yaml::parse_flag(&flag, value)?)
    }

    /// Puts a value at a path; what was there goes. Errors about it have the value's own place.
    pub fn put(&mut self, path: &str, value: Node) -> Result<(), Error> {
        let path = Path::parse(path).map_err(|why| Error::new(why).at(&value.place))?;
        self.root.set(&path, value)
    }

    /// Lays a map of overrides over the scenario by the rules of `baseline`: keys may be paths, sections are merged key by
    /// key, everything else is replaced whole.
    pub fn overlay(&mut self, overrides: &Node) -> Result<(), Error> {
        self.root.merge(overrides, &|path| SECTIONS.contains(&path.to_string().as_str()))
    }

    /// The tree as written, overrides included.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// The scenario, typed: every number in range, nothing required missing, nothing planned in use.
    pub fn scenario(&self) -> Result<Scenario, Error> {
        // First of all: a later form may have other keys.
        if let Some(Value::UInt(version)) = self.root.child("version").map(|node| &node.value)
            && *version != VERSION
        {
            let message = format!("found version {version}, expected {VERSION}");
            return Err(self.error_at("version", message, None));
        }
        let scenario = yaml::from_node(&self.root).map_err(elsewhere::pointed)?;
        planned::check(self, &scenario)?;
        check::check(self, &scenario)?;
        Ok(scenario)
    }

    /// The scenario that this one is compared with: `baseline` laid over it; without one, speculation is off.
    /// `expect` is dropped: it is about the forecast.
    pub fn baseline(&self) -> Result<Self, Error> {
        let overrides = match self.root.child("baseline") {
            None | Some(Node { value: Value::Null, .. }) => default_baseline(),
            Some(node) => node.clone(),
        };
        for (key, _) in overrides.entries().unwrap_or_default() {
            if OF_THE_COMPARISON.contains(&key.name.as_str()) {
                return Err(Error::new("a baseline cannot override this key").at(&key.place).on(
                    Path::default().join(Step::Key("baseline".to_owned())).join(Step::Key(key.name.clone())),
                ));
            }
        }
        let mut baseline = self.clone();
        if let Value::Map(entries) = &mut baseline.root.value {
            entries.retain(|(key, _)| key.name != "baseline" && key.name != "expect");
        }
        baseline.root.merge(&overrides, &|path| SECTIONS.contains(&path.to_string().as_str()))?;
        Ok(baseline)
    }

    /// The scenario once for each of `speculation.candidates`, with that candidate in the place of the drafter. Errors
    /// in one point at its own lines.
    pub fn candidates(&self) -> Result<Vec<Self>, Error> {
        let path = Path::parse("speculation.candidates").unwrap_or_default();
        let Some(Node { value: Value::Seq(items), .. }) = self.root.get(&path) else { return Ok(Vec::new()) };
        let whole = path.first(1);
        items
            .iter()
            .map(|item| {
                let mut document = self.clone();
                document.root.set(&whole, item.clone())?;
                Ok(document)
            })
            .collect()
    }

    /// An error about the key at `path`, such as `workload.response_tokens.lognormal.mean`: placed at the key, or
    /// at its nearest ancestor that was written.
    pub fn error_at(&self, path: &str, message: impl Into<String>, hint: Option<String>) -> Error {
        // A malformed path is a mistake of the caller; the message still reaches the user.
        let path = Path::parse(path).unwrap_or_default();
        // A number that a flag has set inside `{ value, se }` is the flag's, though the key is the file's.
        let inner = self.root.place_of(&path.join(Step::Key("value".to_owned())));
        let place = if inner.line_column().is_none() { inner } else { self.root.place_of(&path) };
        let error = Error::new(message).at(&place).on(path);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    /// Whether the key at `path` was written, be it without a value.
    pub fn has(&self, path: &str) -> bool {
        Path::parse(path).is_ok_and(|path| self.root.get(&path).is_some())
    }

    /// The directory of the file, from which relative paths in it start.
    pub fn directory(&self) -> &FilePath {
        match FilePath::new(&self.name).parent() {
            Some(parent) if parent != FilePath::new("") => parent,
            _ => FilePath::new("."),
        }
    }

    /// The file's name as given.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// `{ speculation: off }`.
fn default_baseline() -> Node {
    let place = Place::flag("the default baseline, `speculation: off`");
    let off = Node { value: Value::Str("off".to_owned()), place: place.clone() };
    let key = Key { name: "speculation".to_owned(), place: place.clone() };
    Node { value: Value::Map(vec![(key, off)]), place }
}
