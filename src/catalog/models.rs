//! Targets: the catalog's own entries, those that it refuses, and `config.json` files of the user.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::config::Config;
use super::entries::{Entry, MODELS, REFUSED};
use super::{CatalogError, Kind, names};
use crate::resolved::Model;

/// Families whose text parts are models of their own inside a `config.json` (`text_config`).
const WITH_EYES: [&str; 2] = ["qwen3_5_text", "qwen3_5_moe_text"];
/// Largest `config.json` that is read, bytes; real ones have a few thousand.
const LARGEST: u64 = 1 << 20;

/// One file of `models/` or `refused/`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelFile {
    /// Catalog id.
    pub(super) id: String,
    /// Other names of the same architecture; case does not matter.
    #[serde(default)]
    pub(super) aliases: Vec<String>,
    /// Name on Hugging Face, a further alias.
    pub(super) hf_id: String,
    /// Where the keys of `config` come from.
    source: String,
    /// What a reader should know beside it.
    note: Option<String>,
    /// Its published size, which the one derived from `config` must meet; of a refused one nothing is derived.
    pub(super) published_params: Option<Published>,
    /// The published `config.json`, the keys that matter here.
    config: Map<String, Value>,
}

/// A published number of weights.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Published {
    /// Weights.
    pub(super) value: f64,
    /// Where it was published.
    #[expect(dead_code, reason = "for the reader of the file; its presence is checked")]
    source: String,
}

impl ModelFile {
    /// Reads an entry.
    pub(super) fn read(entry: &Entry) -> Result<Self, CatalogError> {
        serde_json::from_str(entry.text).map_err(|error| broken(entry.id, &error))
    }

    /// All names beside the id.
    fn spellings(&self) -> impl Iterator<Item = &str> {
        self.aliases.iter().chain([&self.hf_id]).map(String::as_str)
    }

    /// The model's facts.
    pub(super) fn model(&self) -> Result<Model, CatalogError> {
        Config::new(&self.id, &self.config).model(&self.id, &with_note(&self.source, self.note.as_deref()))
    }
}

/// The entry of this id, alias or Hugging Face id, refused ones too. Ids need no reading; aliases do.
pub(super) fn find(name: &str) -> Result<Option<&'static Entry>, CatalogError> {
    if let Some(entry) = names::by_id(MODELS, name).or_else(|| names::by_id(REFUSED, name)) {
        return Ok(Some(entry));
    }
    for entry in MODELS.iter().chain(REFUSED) {
        let file = ModelFile::read(entry)?;
        if file.spellings().any(|spelling| spelling.eq_ignore_ascii_case(name)) {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// The model of an entry.
pub(super) fn read(entry: &Entry) -> Result<Model, CatalogError> {
    ModelFile::read(entry)?.model()
}

/// Whether a name that the catalog does not know is meant as a path.
pub(super) fn is_path(name: &str) -> bool {
    let json = Path::new(name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    json || name.contains(['/', '\\']) || name == "." || name == ".."
}

/// The model of a `config.json`, given by the file or its folder, relative to `directory`.
pub(super) fn from_path(name: &str, directory: &Path) -> Result<Model, CatalogError> {
    let mut path = directory.join(name);
    if path.is_dir() {
        path.push("config.json");
    }
    let Ok(metadata) = fs::metadata(&path) else {
        let last = name.rsplit('/').next().unwrap_or(name);
        return Err(CatalogError::Missing { name: name.to_owned(), path, nearest: nearest(last) });
    };
    let origin = path.display().to_string();
    if metadata.len() > LARGEST {
        let message = format!("{} bytes are too many for a config.json", metadata.len());
        return Err(CatalogError::Config { origin, message });
    }
    let text = fs::read_to_string(&path).map_err(|source| CatalogError::Read { path, source })?;
    let keys = parse(&origin, &text)?;
    match text_part(&keys) {
        Some(part) => Config::new(&origin, &part)
            .model(name, &format!("config.json of {name}, its text part: the vision encoder is left out")),
        None => Config::new(&origin, &keys).model(name, &format!("config.json of {name}")),
    }
}

/// The text part of a model that also sees, where all its weights but the encoder's are that part's.
fn text_part(keys: &Map<String, Value>) -> Option<Map<String, Value>> {
    let part = keys.get("text_config")?.as_object()?;
    let family = part.get("model_type")?.as_str()?;
    WITH_EYES.contains(&family).then(|| {
        let mut part = part.clone();
        if let Some(tied) =
            keys.get("tie_word_embeddings").filter(|_| !part.contains_key("tie_word_embeddings"))
        {
            part.insert("tie_word_embeddings".to_owned(), tied.clone());
        }
        part
    })
}

/// The error for a name that is neither in the catalog nor a path.
pub(super) fn unknown(name: &str) -> CatalogError {
    names::unknown(Kind::Model, MODELS, name, nearest(name))
}

/// What to say of the source and of the note beside it.
pub(super) fn with_note(source: &str, note: Option<&str>) -> String {
    note.map_or(source.to_owned(), |note| format!("{source}; {note}"))
}

fn parse(origin: &str, text: &str) -> Result<Map<String, Value>, CatalogError> {
    match serde_json::from_str(&finite(text)) {
        Ok(Value::Object(keys)) => Ok(keys),
        Ok(_) => Err(CatalogError::Config {
            origin: origin.to_owned(),
            message: "must hold one JSON object".to_owned(),
        }),
        Err(error) => Err(CatalogError::Syntax {
            origin: origin.to_owned(),
            line: error.line(),
            column: error.column(),
            message: without_place(&error),
        }),
    }
}

/// The text with the numbers that Python writes and JSON does not know (Nemotron-3's limits of a time step) as nulls of the
/// same length, so that places in errors stay.
fn finite(text: &str) -> Cow<'_, str> {
    const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    if !WORDS.iter().any(|word| text.contains(word)) {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest, mut quoted) = (String::with_capacity(text.len()), text, false);
    while let Some(first) = rest.chars().next() {
        let word = WORDS.iter().find(|word| !quoted && rest.starts_with(**word));
        // A word of three letters leaves no room for `null`.
        let (instead, taken) = match word {
            Some(word) if word.len() > 3 => (format!("{:1$}", "null", word.len()), word.len()),
            Some(word) => ("null".to_owned(), word.len()),
            None => {
                let escaped = quoted && first == '\\';
                quoted ^= first == '"';
                let taken = first.len_utf8()
                    + if escaped { rest.chars().nth(1).map_or(0, char::len_utf8) } else { 0 };
                (rest[..taken].to_owned(), taken)
            }
        };
        out.push_str(&instead);
        rest = &rest[taken..];
    }
    Cow::Owned(out)
}

/// serde_json ends its messages with the place, which the error states already.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(message, _)| message.to_owned())
}

fn broken(id: &str, error: &serde_json::Error) -> CatalogError {
    CatalogError::Entry { kind: Kind::Model, id: id.to_owned(), message: error.to_string() }
}

fn nearest(name: &str) -> Vec<String> {
    let files: Vec<_> = MODELS.iter().filter_map(|entry| ModelFile::read(entry).ok()).collect();
    let spellings = files.iter().flat_map(|file| {
        let all = file.spellings().chain([file.id.as_str()]);
        all.map(|spelling| (file.id.as_str(), spelling))
    });
    names::nearest(name, spellings)
}
