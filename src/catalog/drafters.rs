//! Drafters: the catalog's entries around the published `config.json` of each, or around a target's own facts.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::config::Config;
use super::entries::{DRAFTERS, Entry, MODELS};
use super::{CatalogError, Kind, models, names};
use crate::resolved::{Drafter, DrafterKind, Model};

/// One file of `drafters/`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DrafterFile {
    id: String,
    /// Where the facts come from.
    source: String,
    note: Option<String>,
    kind: DrafterKind,
    /// Catalog ids of the targets that it fits; none: any.
    targets: Vec<String>,
    /// Target layers whose hidden states are fused.
    #[serde(default)]
    fused_layers: u32,
    /// Most tokens that one pass proposes.
    #[serde(default)]
    block: u32,
    /// Whether the target's hidden states go straight into the layers' caches.
    #[serde(default)]
    injects_context: bool,
    /// Catalog id of the small model that it is.
    model: Option<String>,
    /// The published `config.json`, the keys that matter here.
    config: Option<Map<String, Value>>,
}

/// The drafter of an entry.
pub(super) fn read(entry: &Entry) -> Result<Drafter, CatalogError> {
    let file: DrafterFile =
        serde_json::from_str(entry.text).map_err(|error| broken(entry.id, error.to_string()))?;
    let source = models::with_note(&file.source, file.note.as_deref());
    let (model, draft_vocab) = match (file.kind, &file.model, &file.config) {
        (DrafterKind::Eagle3 | DrafterKind::Block, None, Some(keys)) => {
            let config = Config::new(&file.id, keys);
            let model = config.model(&file.id, &source)?;
            // Without a vocabulary of its own it uses the target's head.
            let draft_vocab = match config.value("draft_vocab_size") {
                Some(_) => config.size("draft_vocab_size", model.vocab)?,
                None => model.vocab,
            };
            (Some(model), draft_vocab)
        }
        (DrafterKind::Model, Some(id), None) => {
            let model = models::read(names::find(Kind::Model, MODELS, id)?)?;
            let vocab = model.vocab;
            (Some(model), vocab)
        }
        (DrafterKind::Mtp, None, None) => {
            let [target] = file.targets.as_slice() else {
                return Err(broken(entry.id, "heads for multi-token prediction have one target".to_owned()));
            };
            (None, models::read(names::find(Kind::Model, MODELS, target)?)?.vocab)
        }
        (DrafterKind::Ngram | DrafterKind::Suffix, None, None) => (None, 0),
        (kind, ..) => {
            return Err(broken(entry.id, format!("wrong `model` or `config` for the kind {kind:?}")));
        }
    };
    Ok(Drafter {
        source,
        kind: file.kind,
        targets: file.targets,
        model,
        draft_vocab,
        fused_layers: file.fused_layers,
        block: file.block,
        injects_context: file.injects_context,
        id: file.id,
    })
}

/// Ids of the drafters of a target, in the catalog's order.
pub(super) fn of(target: &Model) -> Result<Vec<String>, CatalogError> {
    let mut ids = Vec::new();
    for entry in DRAFTERS {
        let drafter = read(entry)?;
        if fits(&drafter, target) {
            ids.push(drafter.id);
        }
    }
    Ok(ids)
}

/// Whether a drafter was made for a target, or for one of its sizes where the catalog does not know the target.
pub(super) fn fits(drafter: &Drafter, target: &Model) -> bool {
    if drafter.targets.is_empty() || drafter.targets.contains(&target.id) {
        return true;
    }
    if names::by_id(MODELS, &target.id).is_some() {
        return false;
    }
    drafter.targets.iter().any(|id| {
        let entry = names::by_id(MODELS, id);
        entry
            .and_then(|entry| models::read(entry).ok())
            .is_some_and(|made_for| same_sizes(&made_for, target, drafter.kind == DrafterKind::Mtp))
    })
}

/// Whether the weights of both have the same sizes, `with_heads` those for multi-token prediction too.
fn same_sizes(a: &Model, b: &Model, with_heads: bool) -> bool {
    let other = Model {
        id: a.id.clone(),
        source: a.source.clone(),
        max_positions: a.max_positions,
        mtp_layers: if with_heads { b.mtp_layers } else { a.mtp_layers },
        ..b.clone()
    };
    *a == other
}

fn broken(id: &str, message: String) -> CatalogError {
    CatalogError::Entry { kind: Kind::Drafter, id: id.to_owned(), message }
}
