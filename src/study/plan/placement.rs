//! Where generation and training run: loop, GPUs, their split and their kinds, in whole nodes.

use super::goal::Goal;
use super::space::{Entry, text_node, uint_node};
use crate::catalog;
use crate::scenario::raw::{Count, GpuRange, LoopPreset, Plan};
use crate::scenario::{Document, Error, Scenario};
use crate::yaml::{Key, Node, Path, Place, Value};

/// Names of the columns that a placement fills.
pub(super) const COLUMNS: [&str; 7] =
    ["loop", "gpus", "gpus_generation", "gpus_training", "device", "device_training", "max_staleness"];

/// Shares of the GPUs that generate, where nobody says.
const SHARES: [f64; 5] = [0.25, 0.375, 0.5, 0.625, 0.75];

/// Keys that a preset of the loop sets: a loop of another name sets its own.
const OF_THE_PRESET: [&str; 7] =
    ["colocated", "max_staleness", "lead", "streaming", "order", "stale", "interrupt"];

/// One placement: its columns, and what it changes.
#[derive(Debug, Clone)]
pub(super) struct Placement {
    pub(super) entry: Entry,
    /// Kinds of GPU: that generate, that train.
    pub(super) kinds: [String; 2],
    /// Why it is none: GPUs that do not fill nodes.
    pub(super) impossible: Option<String>,
}

/// A kind of GPU as this plan knows it.
#[derive(Debug, Clone)]
struct Kind {
    device: String,
    per_node: u64,
    /// Other keys of its pool, as the scenario has them.
    more: Vec<(Key, Node)>,
}

struct Builder<'a> {
    document: &'a Document,
    scenario: &'a Scenario,
    plan: &'a Plan,
    place: Place,
}

pub(super) fn all(document: &Document, scenario: &Scenario, plan: &Plan) -> Result<Vec<Placement>, Error> {
    let over = plan.over.clone().unwrap_or_default();
    let place = document.root().place_of(&Path::parse("plan.over").unwrap_or_default());
    let build = Builder { document, scenario, plan, place };
    let devices = |side: &str, given: Option<&Vec<String>>, own: &str| -> Result<Vec<Kind>, Error> {
        match given {
            None => Ok(vec![build.kind(own, &format!("plan.over.{side}.device"))?]),
            Some(list) => list
                .iter()
                .enumerate()
                .map(|(i, device)| build.kind(device, &format!("plan.over.{side}.device[{i}]")))
                .collect(),
        }
    };
    let own = build.own_devices();
    let asked_generation = over.generation.as_ref().and_then(|g| g.device.as_ref());
    let asked_training = over.training.as_ref().and_then(|t| t.device.as_ref());
    let generating = devices("generation", asked_generation, &own[0])?;
    let training = devices("training", asked_training, &own[1])?;
    let split_as_written = scenario.pools.is_some();
    let loops: Vec<Option<LoopPreset>> =
        over.rl_loop.as_ref().map_or_else(|| vec![None], |list| list.iter().copied().map(Some).collect());
    let per_node = generating.first().map_or(8, |kind| kind.per_node);
    let totals = build.totals(per_node);
    let shares: Vec<f64> = match &over.generation_share {
        Some(list) => list.iter().map(|share| share.get()).collect(),
        None if over.gpus.is_none() && over.rl_loop.is_none() && split_as_written => vec![build.own_share()],
        None => SHARES.to_vec(),
    };
    let bounds: Vec<Option<u64>> = over
        .max_staleness
        .as_ref()
        .map_or_else(|| vec![None], |list| list.iter().map(|bound| Some(bound.get())).collect());
    let mut found: Vec<Placement> = Vec::new();
    for asked in &loops {
        let split = asked.map_or(split_as_written, |preset| preset != LoopPreset::Sync);
        for total in &totals {
            if !split {
                let both = generating.iter().filter(|kind| {
                    asked_training.is_none() || training.iter().any(|other| other.device == kind.device)
                });
                found.extend(both.map(|kind| build.shared(*asked, *total, kind)));
                continue;
            }
            for bound in &bounds {
                for generator in &generating {
                    for trainer in &training {
                        let mut seen = Vec::new();
                        for share in &shares {
                            let gpus = build.cut(*total, *share, generator, trainer);
                            if !seen.contains(&gpus) {
                                seen.push(gpus);
                                found.push(build.apart(*asked, *total, gpus, [generator, trainer], *bound));
                            }
                        }
                    }
                }
            }
        }
    }
    Ok(found)
}

impl Builder<'_> {
    /// Kinds that the scenario itself has: that generate, that train.
    fn own_devices(&self) -> [String; 2] {
        let of = |cluster: Option<&crate::scenario::raw::Cluster>| {
            cluster.and_then(|c| c.device.clone()).unwrap_or_default()
        };
        match &self.scenario.pools {
            Some(pools) => [of(pools.generation.as_ref()), of(pools.training.as_ref())],
            None => [of(self.scenario.cluster.as_ref()), of(self.scenario.cluster.as_ref())],
        }
    }

    fn own_share(&self) -> f64 {
        let pools = self.scenario.pools.clone().unwrap_or_default();
        let gpus =
            |c: Option<crate::scenario::raw::Cluster>| c.and_then(|c| c.gpus).map_or(1, Count::get) as f64;
        let (generating, training) = (gpus(pools.generation), gpus(pools.training));
        generating / (generating + training)
    }

    /// A kind of GPU: its node, its price, and what the scenario says of a pool of it.
    fn kind(&self, device: &str, path: &str) -> Result<Kind, Error> {
        let facts =
            catalog::device(device).map_err(|error| self.document.error_at(path, error.to_string(), None))?;
        let root = self.document.root();
        let own = ["cluster", "pools.generation", "pools.training"]
            .into_iter()
            .filter_map(|path| root.get(&Path::parse(path).ok()?))
            .find(|pool| matches!(pool.child("device"), Some(Node { value: Value::Str(name), .. }) if name == device));
        let mut more: Vec<(Key, Node)> = own
            .and_then(Node::entries)
            .unwrap_or_default()
            .iter()
            .filter(|(key, _)| key.name != "device" && key.name != "gpus")
            .cloned()
            .collect();
        let per_node = more.iter().find(|(key, _)| key.name == "gpus_per_node");
        let per_node = match per_node.map(|(_, node)| &node.value) {
            Some(Value::UInt(n)) => *n,
            _ => u64::from(facts.gpus_per_node),
        };
        if let Some(price) = self.plan.usd_per_gpu_hour.as_ref().and_then(|prices| prices.get(device)) {
            more.retain(|(key, _)| key.name != "usd_per_gpu_hour");
            let node = Node { value: Value::Float(price.get()), place: self.place.clone() };
            more.push((self.key("usd_per_gpu_hour"), node));
        }
        let priced =
            facts.usd_per_gpu_hour.is_some() || more.iter().any(|(key, _)| key.name == "usd_per_gpu_hour");
        if !priced && Goal::of(self.plan).is_about_money() {
            // It would count as free, and win.
            let message = format!("no price is known for {device}, and the goal is in USD");
            return Err(self.document.error_at(
                path,
                message,
                Some(format!("plan.usd_per_gpu_hour: {{ {device}: 2.5 }}")),
            ));
        }
        Ok(Kind { device: device.to_owned(), per_node: per_node.max(1), more })
    }

    /// Numbers of GPUs of all pools.
    fn totals(&self, per_node: u64) -> Vec<u64> {
        let pools = self.scenario.pools.clone().unwrap_or_default();
        let clusters = [self.scenario.cluster.clone(), pools.generation, pools.training];
        let written: u64 = clusters.into_iter().flatten().filter_map(|c| c.gpus).map(Count::get).sum();
        let limit = self.plan.subject_to.as_ref().and_then(|limits| limits.gpus).map(Count::get);
        let nodes = |from: u64, to: u64| {
            let whole: Vec<u64> =
                (from.div_ceil(per_node).max(1)..=to / per_node).map(|n| n * per_node).collect();
            if whole.is_empty() { vec![to] } else { whole }
        };
        match self.plan.over.as_ref().and_then(|over| over.gpus.as_ref()) {
            Some(GpuRange::List(list)) => list.iter().map(|n| n.get()).collect(),
            Some(GpuRange::Range(ends)) => nodes(ends.from.get(), ends.to.get()),
            None => limit.map_or_else(|| vec![written], |most| nodes(per_node, most)),
        }
    }

    /// GPUs that generate and that train; none of one where there are too few nodes for two pools.
    fn cut(&self, total: u64, share: f64, generator: &Kind, trainer: &Kind) -> [u64; 2] {
        let node = generator.per_node;
        // As written, and below a node, any number goes.
        let own = self.plan.over.as_ref().is_none_or(|over| over.gpus.is_none());
        let step = if own && total < node + trainer.per_node { 1 } else { node };
        let most = total.saturating_sub(trainer.per_node.min(total / 2)) / step * step;
        let near = (share * total as f64 / step as f64).round() as u64 * step;
        let generating = near.clamp(step.min(most), most.max(step.min(most)));
        [generating, total - generating]
    }

    fn key(&self, name: &str) -> Key {
        Key { name: name.to_owned(), place: self.place.clone() }
    }

    fn pool(&self, kind: &Kind, gpus: u64) -> Node {
        let mut entries = vec![
            (self.key("device"), text_node(&kind.device, &self.place)),
            (self.key("gpus"), uint_node(gpus, &self.place)),
        ];
        entries.extend(kind.more.iter().cloned());
        Node { value: Value::Map(entries), place: self.place.clone() }
    }

    fn null(&self) -> Node {
        Node { value: Value::Null, place: self.place.clone() }
    }

    /// Keys of the loop: the preset alone, or nothing where the scenario's own stays.
    fn rl_loop(&self, asked: Option<LoopPreset>, bound: Option<u64>) -> Vec<(Key, Node)> {
        let mut entries = Vec::new();
        if let Some(preset) = asked {
            for key in OF_THE_PRESET {
                if self.document.has(&format!("loop.{key}")) {
                    entries.push((self.key(&format!("loop.{key}")), self.null()));
                }
            }
            let mut others = vec!["mode"];
            if !self.one_by_one(preset) {
                others.push("max_concurrent");
            }
            for key in others {
                if self.document.has(&format!("loop.{key}")) {
                    entries.push((self.key(&format!("loop.{key}")), self.null()));
                }
            }
            entries.push((self.key("loop.preset"), text_node(&name(preset), &self.place)));
            // What brings weights over depends on where the engines are; measured seconds stay.
            let sync = self.document.root().child("loop").and_then(|node| node.child("weight_sync"));
            if matches!(sync.map(|node| &node.value), Some(Value::Str(_))) {
                entries.push((self.key("loop.weight_sync"), self.null()));
            }
        }
        if let Some(bound) = bound {
            entries.push((self.key("loop.max_staleness"), uint_node(bound, &self.place)));
        }
        entries
    }

    /// Whether prompts start one by one in this loop with what else the scenario says.
    fn one_by_one(&self, preset: LoopPreset) -> bool {
        let together = matches!(preset, LoopPreset::Sync | LoopPreset::OneStepOff);
        !together || self.document.has("loop.over_sampling") || self.document.has("loop.dynamic_sampling")
    }

    fn label(asked: Option<LoopPreset>) -> String {
        asked.map_or_else(|| "as written".to_owned(), name)
    }

    fn shared(&self, asked: Option<LoopPreset>, total: u64, kind: &Kind) -> Placement {
        let mut overrides = self.rl_loop(asked, None);
        overrides.insert(0, (self.key("cluster"), self.pool(kind, total)));
        // Whole: a section that is merged would keep keys of the scenario's own.
        if self.document.has("cluster") {
            overrides.insert(0, (self.key("cluster"), self.null()));
        }
        if self.document.has("pools") {
            overrides.insert(0, (self.key("pools"), self.null()));
        }
        let whole = total <= kind.per_node || total.is_multiple_of(kind.per_node);
        let impossible = (!whole).then(|| format!("{total} GPUs are no whole nodes of {}", kind.per_node));
        let device = kind.device.clone();
        let none = || "-".to_owned();
        let labels =
            vec![Self::label(asked), total.to_string(), none(), none(), device.clone(), none(), none()];
        Placement { entry: Entry { labels, overrides }, kinds: [device.clone(), device], impossible }
    }

    fn apart(
        &self,
        asked: Option<LoopPreset>,
        total: u64,
        [generating, training]: [u64; 2],
        [generator, trainer]: [&Kind; 2],
        bound: Option<u64>,
    ) -> Placement {
        let mut overrides = self.rl_loop(asked, bound);
        let pools = vec![
            (self.key("generation"), self.pool(generator, generating.max(1))),
            (self.key("training"), self.pool(trainer, training.max(1))),
        ];
        let pools = Node { value: Value::Map(pools), place: self.place.clone() };
        // Whole: two sections that are merged would keep keys of the scenario's own pools.
        if self.document.has("pools") {
            overrides.insert(0, (self.key("pools"), self.null()));
        }
        overrides.push((self.key("pools"), pools));
        if self.document.has("cluster") {
            overrides.push((self.key("cluster"), self.null()));
        }
        let whole = |gpus: u64, kind: &Kind| gpus <= kind.per_node || gpus.is_multiple_of(kind.per_node);
        let impossible = if generating == 0 || training == 0 {
            Some(format!("{total} GPUs are too few for two pools"))
        } else if !whole(generating, generator) || !whole(training, trainer) {
            Some(format!("{generating} and {training} GPUs are no whole nodes"))
        } else {
            None
        };
        let labels = vec![
            Self::label(asked),
            total.to_string(),
            generating.to_string(),
            training.to_string(),
            generator.device.clone(),
            trainer.device.clone(),
            bound.map_or_else(|| "-".to_owned(), |bound| bound.to_string()),
        ];
        let kinds = [generator.device.clone(), trainer.device.clone()];
        Placement { entry: Entry { labels, overrides }, kinds, impossible }
    }
}

/// A preset's name in scenarios.
fn name(preset: LoopPreset) -> String {
    match serde_json::to_value(preset) {
        Ok(serde_json::Value::String(name)) => name,
        _ => format!("{preset:?}"),
    }
}
