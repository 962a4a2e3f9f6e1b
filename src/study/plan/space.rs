//! The candidates: every combination of placement, speculation and layout, each a set of overrides on the scenario.
//!
//! Overrides are laid over the scenario's raw form by the same rules as a baseline's, so whatever resolves can be planned
//! over, and a plan is a scenario. A choice that says nothing for a candidate (draft tokens where nothing is drafted) is not
//! multiplied out.

use super::placement::{self, Placement};
use crate::resolve::{COUNTED, filling};
use crate::scenario::raw::{self, Over, Plan};
use crate::scenario::{Document, Error, Scenario};
use crate::yaml::{Key, Node, Path, Place, Value};

/// Most candidates.
pub const MOST_CANDIDATES: usize = 200_000;
/// Tensor-parallel widths of the engine, where nobody says.
const WIDTHS: [u64; 4] = [1, 2, 4, 8];
/// Stands for a choice that says nothing for a candidate.
const NONE: u16 = u16::MAX;
/// What a candidate's scenario does not keep: it is no comparison, and no plan.
const DROPPED: [&str; 4] = ["plan", "expect", "baseline", "step"];

/// One value of a choice: what its columns say, and what it changes.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) labels: Vec<String>,
    pub(super) overrides: Vec<(Key, Node)>,
}

/// A choice.
#[derive(Debug, Clone)]
struct Choice {
    name: String,
    /// Where it was written.
    path: String,
    entries: Vec<Entry>,
    /// Whether it says something only where something is drafted.
    of_drafts: bool,
}

/// All candidates of a scenario's plan, numbered from 0.
#[derive(Debug, Clone)]
pub struct Space {
    /// The scenario without its plan and its comparison.
    base: Document,
    placements: Vec<Placement>,
    choices: Vec<Choice>,
    /// Placement, and the entry of each choice.
    candidates: Vec<(u32, Box<[u16]>)>,
    /// Where the choices were written.
    place: Place,
}

/// The scenario with the RL steps that count written down, so that the same count in every candidate: those that fill no
/// pipeline among the loops that are tried.
fn counted(mut base: Document, scenario: &Scenario, plan: &Plan) -> Result<Document, Error> {
    let over = plan.over.clone().unwrap_or_default();
    let own = scenario.rl_loop.clone().unwrap_or_default();
    let presets =
        over.rl_loop.map_or_else(|| vec![own.preset], |presets| presets.into_iter().map(Some).collect());
    let bounds =
        over.max_staleness.map_or_else(|| vec![own.max_staleness], |all| all.into_iter().map(Some).collect());
    let filling = presets.iter().flat_map(|preset| {
        let own = &own;
        bounds
            .iter()
            .map(move |bound| filling(&raw::Loop { preset: *preset, max_staleness: *bound, ..own.clone() }))
    });
    let filling = filling.max().unwrap_or(0);
    if filling == 0 || scenario.warmup_steps.is_some() {
        return Ok(base);
    }
    let warmup = scenario.rl_steps.map_or(filling, |all| filling.min(all.get() as u32 / 2));
    if scenario.rl_steps.is_none() {
        base.set(&format!("rl_steps={}", COUNTED + filling))?;
    }
    base.set(&format!("warmup_steps={warmup}"))?;
    Ok(base)
}

pub(super) fn text_node(text: &str, place: &Place) -> Node {
    Node { value: Value::Str(text.to_owned()), place: place.clone() }
}

pub(super) fn uint_node(value: u64, place: &Place) -> Node {
    Node { value: Value::UInt(value), place: place.clone() }
}

impl Space {
    /// Reads the space of a scenario with a plan.
    pub fn of(document: &Document) -> Result<Self, Error> {
        let scenario = document.scenario()?;
        let Some(plan) = scenario.plan.clone() else {
            let hint = "plan: { minimise: usd_per_step, over: { gpus: { from: 8, to: 64 } } }".to_owned();
            return Err(document.error_at("", "missing key `plan`: the goal and the choices", Some(hint)));
        };
        prices(document, &plan)?;
        let placements = placement::all(document, &scenario, &plan)?;
        let (choices, drafts) = choices(document, &plan)?;
        let mut candidates = Vec::new();
        for (number, _) in placements.iter().enumerate() {
            let mut chosen = vec![0_u16; choices.len()];
            combine(&choices, &drafts, &mut chosen, 0, &mut |entries| {
                candidates.push((number as u32, entries.into()));
                candidates.len() <= MOST_CANDIDATES
            });
            if candidates.len() > MOST_CANDIDATES {
                let message = format!("more than {MOST_CANDIDATES} candidates");
                let hint = "fewer values, or shares, or numbers of GPUs".to_owned();
                return Err(document.error_at("plan.over", message, Some(hint)));
            }
        }
        let place = document.root().place_of(&Path::parse("plan.over").unwrap_or_default());
        let base = counted(base(document)?, &scenario, &plan)?;
        Ok(Space { base, placements, choices, candidates, place })
    }

    /// Candidates.
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Whether there is none; a space that was read has some.
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// Names of what the labels say, in order.
    pub fn columns(&self) -> Vec<String> {
        let placed = placement::COLUMNS.iter().map(|&name| name.to_owned());
        placed.chain(self.choices.iter().map(|choice| choice.name.clone())).collect()
    }

    /// What each column says of a candidate.
    pub fn labels(&self, candidate: usize) -> Vec<String> {
        let Some((placement, chosen)) = self.candidates.get(candidate) else { return Vec::new() };
        let mut labels = self.placements[*placement as usize].entry.labels.clone();
        for (choice, entry) in self.choices.iter().zip(chosen) {
            labels.push(match entry {
                &NONE => "-".to_owned(),
                entry => choice.entries[*entry as usize].labels.concat(),
            });
        }
        labels
    }

    /// A candidate in a line: `gpus 32, tp 2`; what all candidates share is left out.
    pub fn title(&self, candidate: usize) -> String {
        let varies = self.varying();
        let columns = self.columns();
        let labels = self.labels(candidate);
        let parts =
            columns.iter().zip(&labels).zip(&varies).filter(|((_, label), varies)| **varies && *label != "-");
        let parts: Vec<String> = parts.map(|((name, label), _)| format!("{name} {label}")).collect();
        if parts.is_empty() { "as written".to_owned() } else { parts.join(", ") }
    }

    /// Which columns differ between candidates.
    pub fn varying(&self) -> Vec<bool> {
        let differs = |column: usize| {
            let first = self.placements.first().map(|p| &p.entry.labels[column]);
            self.placements.iter().any(|p| Some(&p.entry.labels[column]) != first)
        };
        let placed = (0..placement::COLUMNS.len()).map(differs);
        placed.chain(self.choices.iter().map(|choice| choice.entries.len() > 1)).collect()
    }

    /// Each column with its values, for those that vary.
    pub fn values(&self) -> Vec<(String, Vec<String>)> {
        let distinct = |labels: &mut dyn Iterator<Item = String>| {
            let mut all: Vec<String> = Vec::new();
            for label in labels {
                if !all.contains(&label) {
                    all.push(label);
                }
            }
            all
        };
        let varies = self.varying();
        let mut found = Vec::new();
        for (at, name) in self.columns().into_iter().enumerate() {
            let values = match at.checked_sub(placement::COLUMNS.len()) {
                None => distinct(&mut self.placements.iter().map(|p| p.entry.labels[at].clone())),
                Some(choice) => distinct(&mut self.choices[choice].entries.iter().map(|e| e.labels.concat())),
            };
            if varies[at] {
                found.push((name, values));
            }
        }
        found
    }

    /// Why a candidate's GPUs are none; most are some.
    pub(super) fn impossible(&self, candidate: usize) -> Option<&str> {
        self.placements[self.candidates[candidate].0 as usize].impossible.as_deref()
    }

    /// Kinds of GPU of a candidate: that generate, that train.
    pub(super) fn kinds(&self, candidate: usize) -> &[String; 2] {
        &self.placements[self.candidates[candidate].0 as usize].kinds
    }

    /// Where each value of each choice was written, and which candidates have it.
    pub(super) fn uses(&self) -> Vec<(String, Vec<usize>)> {
        let mut uses = Vec::new();
        for (at, choice) in self.choices.iter().enumerate() {
            for entry in 0..choice.entries.len() {
                let has = |(_, (_, chosen)): &(usize, &(u32, Box<[u16]>))| usize::from(chosen[at]) == entry;
                let with = self.candidates.iter().enumerate().filter(has).map(|(i, _)| i).collect();
                uses.push((format!("{}[{entry}]", choice.path), with));
            }
        }
        uses
    }

    /// The scenario of a candidate.
    pub fn document(&self, candidate: usize) -> Result<Document, Error> {
        let (placement, chosen) = &self.candidates[candidate];
        let placement = &self.placements[*placement as usize].entry;
        let mut entries = placement.overrides.clone();
        for (choice, entry) in self.choices.iter().zip(chosen) {
            if *entry != NONE {
                entries.extend(choice.entries[*entry as usize].overrides.iter().cloned());
            }
        }
        let place = self.base.root().place.clone();
        let mut document = self.base.clone();
        document.overlay(&Node { value: Value::Map(entries), place })?;
        Ok(document)
    }

    /// An error about all choices together.
    pub(super) fn error(&self, message: &str, hint: &str) -> Error {
        Error::new(message).hint(hint).at(&self.place).on(Path::parse("plan.over").unwrap_or_default())
    }

    /// The scenario that candidates change.
    pub fn base(&self) -> &Document {
        &self.base
    }
}

/// All combinations of the choices from `at` on; stops where `found` says so.
fn combine(
    choices: &[Choice],
    drafts: &[bool],
    chosen: &mut [u16],
    at: usize,
    found: &mut dyn FnMut(&[u16]) -> bool,
) -> bool {
    let Some(choice) = choices.get(at) else { return found(chosen) };
    let drafting = at == 0 || drafts.get(usize::from(chosen[0])) == Some(&true);
    if choice.of_drafts && !drafting {
        chosen[at] = NONE;
        return combine(choices, drafts, chosen, at + 1, found);
    }
    (0..choice.entries.len()).all(|entry| {
        chosen[at] = entry as u16;
        combine(choices, drafts, chosen, at + 1, found)
    })
}

/// The scenario without what candidates do not keep.
fn base(document: &Document) -> Result<Document, Error> {
    let mut root = document.root().clone();
    if let Value::Map(entries) = &mut root.value {
        entries.retain(|(key, _)| !DROPPED.contains(&key.name.as_str()));
        for (key, node) in entries {
            if let ("speculation", Value::Map(inner)) = (key.name.as_str(), &mut node.value) {
                inner.retain(|(key, _)| key.name != "candidates");
            }
        }
    }
    Document::from_root(document.name(), root)
}

/// Prices are of known devices.
fn prices(document: &Document, plan: &Plan) -> Result<(), Error> {
    for device in plan.usd_per_gpu_hour.iter().flat_map(|prices| prices.keys()) {
        crate::catalog::device(device).map_err(|error| {
            document.error_at(&format!("plan.usd_per_gpu_hour.{device}"), error.to_string(), None)
        })?;
    }
    Ok(())
}

/// Choices besides placements, and which entries of the first one draft.
fn choices(document: &Document, plan: &Plan) -> Result<(Vec<Choice>, Vec<bool>), Error> {
    let over = plan.over.clone().unwrap_or_default();
    let (speculation, drafts) = speculation(document, &over)?;
    let mut choices = vec![speculation];
    // Name, list under plan.over, key that it sets.
    let lists = [
        ("tp", "generation.tp", "generation.layout.tp"),
        ("ep", "generation.ep", "generation.layout.ep"),
        ("dp_attention", "generation.dp_attention", "generation.layout.dp_attention"),
        ("max_num_seqs", "generation.max_num_seqs", "generation.max_num_seqs"),
        ("weights", "generation.weights", "generation.weights"),
        ("kv_cache", "generation.kv_cache_dtype", "generation.kv_cache_dtype"),
        ("train_tp", "training.tp", "training.layout.tp"),
        ("train_pp", "training.pp", "training.layout.pp"),
        ("train_cp", "training.cp", "training.layout.cp"),
        ("train_ep", "training.ep", "training.layout.ep"),
        ("train_precision", "training.precision", "training.precision"),
        ("draft_tokens", "draft_tokens", "speculation.schedule"),
    ];
    let root = document.root();
    let get = |path: &str| Path::parse(path).ok().and_then(|path| root.get(&path));
    let plan_place = root.place_of(&Path::parse("plan").unwrap_or_default());
    for (name, list, key) in lists {
        let path = format!("plan.over.{list}");
        let of_drafts = name == "draft_tokens";
        let mut values: Vec<Node> = match get(&path).map(|node| &node.value) {
            Some(Value::Seq(items)) => items.clone(),
            _ if name == "tp" => WIDTHS.iter().map(|n| uint_node(*n, &plan_place)).collect(),
            _ => continue,
        };
        values.dedup_by(|a, b| a.value == b.value);
        let entry = |node: Node| {
            let label = super::label(&node);
            let key = Key { name: key.to_owned(), place: node.place.clone() };
            let value = if of_drafts { fixed(node) } else { node };
            Entry { labels: vec![label], overrides: vec![(key, value)] }
        };
        let entries = values.into_iter().map(entry).collect();
        choices.push(Choice { name: name.to_owned(), path, entries, of_drafts });
    }
    // Data parallelism is what is left.
    if document.has("training.layout.dp") {
        let null = Node { value: Value::Null, place: plan_place.clone() };
        let key = Key { name: "training.layout.dp".to_owned(), place: plan_place };
        for entry in &mut choices[0].entries {
            entry.overrides.push((key.clone(), null.clone()));
        }
    }
    for (key, list) in get("plan.over.other").and_then(Node::entries).unwrap_or_default() {
        let Value::Seq(items) = &list.value else { continue };
        let wrong = |why: String| Error::new(why).at(&key.place);
        Path::parse(&key.name).map_err(wrong)?;
        let entry = |node: &Node| Entry {
            labels: vec![super::label(node)],
            overrides: vec![(Key { name: key.name.clone(), place: node.place.clone() }, node.clone())],
        };
        let path = format!("plan.over.other.{}", key.name);
        let entries = items.iter().map(entry).collect();
        choices.push(Choice { name: key.name.clone(), path, entries, of_drafts: false });
    }
    Ok((choices, drafts))
}

/// `{ fixed: { k } }`.
fn fixed(k: Node) -> Node {
    let place = k.place.clone();
    let map = |name: &str, node: Node| Node {
        value: Value::Map(vec![(Key { name: name.to_owned(), place: place.clone() }, node)]),
        place: place.clone(),
    };
    map("fixed", map("k", k))
}

/// Speculation: as asked, or as written and off; and which entries draft.
fn speculation(document: &Document, over: &Over) -> Result<(Choice, Vec<bool>), Error> {
    let root = document.root();
    let path = "plan.over.speculation";
    let written = root.child("speculation").filter(|node| node.entries().is_some());
    let place = root.place_of(&Path::parse("plan").unwrap_or_default());
    let off = |place: &Place| Entry {
        labels: vec!["off".to_owned()],
        overrides: vec![(
            Key { name: "speculation".to_owned(), place: place.clone() },
            text_node("off", place),
        )],
    };
    let own = || {
        let drafter = written.and_then(|node| node.child("drafter"));
        let id = drafter.map(|node| node.child("id").unwrap_or(node));
        Entry {
            labels: vec![id.map_or_else(|| "as written".to_owned(), super::label)],
            overrides: Vec::new(),
        }
    };
    let items = Path::parse(path).ok().and_then(|path| root.get(&path)).map(|node| &node.value);
    let (mut entries, mut drafts): (Vec<Entry>, Vec<bool>) = (Vec::new(), Vec::new());
    match items {
        Some(Value::Seq(items)) if over.speculation.is_some() => {
            for (index, item) in items.iter().enumerate() {
                let refuse = |message: String, hint: &str| {
                    let path = format!("{path}[{index}]");
                    Err(document.error_at(&path, message, Some(hint.to_owned())))
                };
                match &item.value {
                    Value::Str(text) if text == "off" => {
                        entries.push(off(&item.place));
                        drafts.push(false);
                    }
                    Value::Map(inner) => {
                        if written.is_none() && item.child("drafter").is_none() {
                            return refuse(
                                "the scenario has no speculation that this could change".to_owned(),
                                "name a drafter with its acceptance and schedule",
                            );
                        }
                        let key =
                            |name: &str, place: &Place| Key { name: name.to_owned(), place: place.clone() };
                        let mut entry = own();
                        if let Some(drafter) = item.child("drafter") {
                            entry.labels = vec![super::label(drafter.child("id").unwrap_or(drafter))];
                        }
                        if let Some(schedule) = item.child("schedule") {
                            entry.labels =
                                vec![format!("{} {}", entry.labels.concat(), super::label(schedule))];
                        }
                        entry.overrides = if written.is_none() {
                            vec![(key("speculation", &item.place), item.clone())]
                        } else {
                            inner
                                .iter()
                                .map(|(k, node)| {
                                    (key(&format!("speculation.{}", k.name), &k.place), node.clone())
                                })
                                .collect()
                        };
                        if let Some(twin) =
                            entries.iter().filter(|e| e.labels == entry.labels).count().checked_sub(1)
                        {
                            entry.labels = vec![format!("{} #{}", entry.labels.concat(), twin + 2)];
                        }
                        entries.push(entry);
                        drafts.push(true);
                    }
                    other => {
                        return refuse(
                            format!("found {other}, expected `off` or a map"),
                            "{} is the scenario's own",
                        );
                    }
                }
            }
        }
        _ => {
            if written.is_some() {
                entries.push(own());
                drafts.push(true);
            }
            entries.push(off(&place));
            drafts.push(false);
        }
    }
    let choice = Choice { name: "speculation".to_owned(), path: path.to_owned(), entries, of_drafts: false };
    Ok((choice, drafts))
}
