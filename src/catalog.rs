//! Published facts by name: models, drafters, devices and networks.
//!
//! Each entry is one file under `src/catalog/`, embedded in the binary: models and drafters are JSON around the
//! keys of the published `config.json`, devices and networks are YAML with a source beside each figure. A model
//! may also be given as the path of a Hugging Face `config.json`; the same reader ([`model`]) takes both. To add
//! an entry, add its file and its line in `catalog/entries.rs`.
//!
//! Described are decoders with grouped-query or latent attention (windows in some layers or none), or linear attention with
//! a gated delta rule in some layers, and gated MLPs, dense or with experts; and Nemotron-H's hybrids with Mamba-2. Everything
//! else is refused by name ([`CatalogError::Unsupported`]) rather than approximated; of what people train, sparse attention
//! is listed with that reason. Left out: measured or fitted figures (those are calibration profiles), and the weights' own precision (the scenario gives it).

mod config;
mod drafters;
mod entries;
mod error;
mod hybrid;
mod listing;
mod models;
mod names;
mod parts;
mod refusals;

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::resolved::{Device, Drafter, Model, Network};
use crate::yaml;

pub use error::{CatalogError, Kind};
pub use listing::{DeviceRow, DrafterRow, Listing, ModelRow, NetworkRow, RefusedRow, list};

use entries::Entry;

/// A model by catalog id, alias or Hugging Face id (case does not matter), or from a `config.json`.
///
/// A name that the catalog does not know is a path when it contains a slash or ends in `.json`: a file, or a
/// folder that holds `config.json`, relative to `directory` (where the scenario lies). The catalog wins over a
/// folder of the same name; write `./` before the path to mean the folder.
pub fn model(id_or_path: &str, directory: &Path) -> Result<Model, CatalogError> {
    if let Some(entry) = models::find(id_or_path)? {
        return models::read(entry);
    }
    if models::is_path(id_or_path) {
        return models::from_path(id_or_path, directory);
    }
    Err(models::unknown(id_or_path))
}

/// A drafter by catalog id.
pub fn drafter(id: &str) -> Result<Drafter, CatalogError> {
    drafters::read(names::find(Kind::Drafter, entries::DRAFTERS, id)?)
}

/// Ids of the drafters that fit a target, in the catalog's order; see [`fits`].
pub fn drafters_for(target: &Model) -> Vec<String> {
    drafters::of(target).unwrap_or_default()
}

/// Whether a drafter can draft for a target: it was made for any, or for this one by its catalog id, or, where
/// the target was read from a `config.json`, for one of the same sizes (longest sequence and name aside).
pub fn fits(drafter: &Drafter, target: &Model) -> bool {
    drafters::fits(drafter, target)
}

/// A device by catalog id.
pub fn device(id: &str) -> Result<Device, CatalogError> {
    facts(Kind::Device, names::find(Kind::Device, entries::DEVICES, id)?)
}

/// A network between nodes by catalog id.
pub fn network(id: &str) -> Result<Network, CatalogError> {
    facts(Kind::Network, names::find(Kind::Network, entries::NETWORKS, id)?)
}

/// Reads an entry that is nothing but the fields of its type.
fn facts<T: DeserializeOwned>(kind: Kind, entry: &Entry) -> Result<T, CatalogError> {
    yaml::parse(entry.id, entry.text)
        .and_then(|node| yaml::from_node(&node))
        .map_err(|error| CatalogError::Entry { kind, id: entry.id.to_owned(), message: error.to_string() })
}
