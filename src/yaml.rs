//! YAML as a tree in which every key and value knows where it was written, and typed reading with errors that
//! point there.
//!
//! The only module that names the YAML crate. A text becomes a tree (`parse`), the tree is edited by path (`edit`)
//! read into plain types (`de`) and written (`write`); an [`Error`] carries place, key path, what was found and what was expected.
//! Left out: anything that knows what a scenario is.

mod de;
mod edit;
mod error;
mod nearest;
mod node;
mod parse;
mod path;
mod place;
mod write;

pub use de::from_node;
pub use error::Error;
pub use nearest::hint as nearest_hint;
pub use node::{Key, Node, Value};
pub use parse::{parse, parse_flag};
pub use path::{Path, Step};
pub use place::Place;
pub use write::{flow, to_text};
