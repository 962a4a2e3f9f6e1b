//! What the user writes: the form of a scenario, read with places, overridden by path, and checked key by key.
//!
//! [`Document`] is the text with its places; [`raw`] is the same as plain data. A scenario that comes out of
//! [`Document::scenario`] has every number in range and no key that is planned and not built. Left out: everything
//! that needs the catalog, a profile or a default; that is `resolve`, which reports through [`Document::error_at`].

mod check;
mod document;
mod elsewhere;
mod load;
mod planned;
pub mod raw;
mod schema;

pub use crate::yaml::Error;
pub use document::Document;
pub use raw::Scenario;
pub use schema::{schema, schema_text};
