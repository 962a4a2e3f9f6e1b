//! What can go wrong when a name or a `config.json` is looked up.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// What kind of entry a name was looked up as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A target.
    Model,
    /// A drafter.
    Drafter,
    /// A GPU.
    Device,
    /// A network between nodes.
    Network,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Model => "model",
            Kind::Drafter => "drafter",
            Kind::Device => "device",
            Kind::Network => "network",
        })
    }
}

/// Why a name or a `config.json` gives no facts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The catalog has no entry of this name.
    #[error("{}", unknown(*kind, name, nearest, known))]
    Unknown {
        /// What was asked for.
        kind: Kind,
        /// The name as it was written.
        name: String,
        /// Ids that were likely meant, the likeliest first; may be empty.
        nearest: Vec<String>,
        /// All ids of this kind.
        known: Vec<String>,
    },
    /// A model was given by a path at which nothing lies.
    #[error("{}", missing(name, path, nearest))]
    Missing {
        /// The path as it was written.
        name: String,
        /// Where it was looked for.
        path: PathBuf,
        /// Catalog ids that were likely meant; may be empty.
        nearest: Vec<String>,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not JSON.
    #[error("{origin}:{line}:{column}: not valid JSON: {message}")]
    Syntax {
        /// The file.
        origin: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// A `config.json` lacks a key, or a key has an impossible value.
    #[error("{origin}: {message}")]
    Config {
        /// The file or the catalog entry.
        origin: String,
        /// What is wrong, with the key's name.
        message: String,
    },
    /// A `config.json` describes an architecture that Rollcast has no formulas for.
    #[error("{origin}: {feature} ({because}) is not modelled")]
    Unsupported {
        /// The file or the catalog entry.
        origin: String,
        /// What the model has.
        feature: &'static str,
        /// The key that says so.
        because: String,
    },
    /// An embedded entry is broken: a fault of this program, not of its user.
    #[error("catalog entry of {kind} `{id}`: {message}")]
    Entry {
        /// Its kind.
        kind: Kind,
        /// Its id.
        id: String,
        /// What is wrong.
        message: String,
    },
}

fn unknown(kind: Kind, name: &str, nearest: &[String], known: &[String]) -> String {
    let names = if nearest.is_empty() {
        format!("known: {}", known.join(", "))
    } else {
        format!("nearest: {}", nearest.join(", "))
    };
    let path = if kind == Kind::Model { "; or give the path of a Hugging Face config.json" } else { "" };
    format!("unknown {kind} `{name}`; {names}{path}")
}

fn missing(name: &str, path: &std::path::Path, nearest: &[String]) -> String {
    let mut text =
        format!("`{name}` is neither a model of the catalog nor a file: there is no {}", path.display());
    if !nearest.is_empty() {
        text.push_str("; nearest in the catalog: ");
        text.push_str(&nearest.join(", "));
    }
    text
}
