//! Drafters: the catalog's entries around the published `config.json` of each.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::config::Config;
use super::entries::{DRAFTERS, Entry};
use super::{CatalogError, Kind, models};
use crate::resolved::{Drafter, DrafterKind};

/// One file of `drafters/`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DrafterFile {
    id: String,
    /// Where the keys of `config` come from.
    source: String,
    note: Option<String>,
    kind: DrafterKind,
    /// Catalog ids of the targets that it fits by shape.
    targets: Vec<String>,
    /// Target layers whose hidden states are fused.
    fused_layers: u32,
    /// The published `config.json`, the keys that matter here.
    config: Map<String, Value>,
}

/// The drafter of an entry.
pub(super) fn read(entry: &Entry) -> Result<Drafter, CatalogError> {
    let file: DrafterFile = serde_json::from_str(entry.text).map_err(|error| CatalogError::Entry {
        kind: Kind::Drafter,
        id: entry.id.to_owned(),
        message: error.to_string(),
    })?;
    let config = Config::new(&file.id, &file.config);
    let source = models::with_note(&file.source, file.note.as_deref());
    let model = config.model(&file.id, &source)?;
    let draft_vocab = config.size("draft_vocab_size", model.vocab)?;
    Ok(Drafter {
        source,
        kind: file.kind,
        targets: file.targets,
        model,
        draft_vocab,
        fused_layers: file.fused_layers,
        id: file.id,
    })
}

/// Ids of the drafters of a target, in the catalog's order.
pub(super) fn of(target: &str) -> Result<Vec<String>, CatalogError> {
    let Some(target) = models::find(target)? else { return Ok(Vec::new()) };
    let mut ids = Vec::new();
    for entry in DRAFTERS {
        let drafter = read(entry)?;
        if drafter.targets.iter().any(|id| id == target.id) {
            ids.push(drafter.id);
        }
    }
    Ok(ids)
}
