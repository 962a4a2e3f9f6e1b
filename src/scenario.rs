//! What the user writes: the form of a scenario, read with places, overridden by path, and checked key by key.
//!
//! Left out: everything that needs the catalog, a profile or a default; that is `resolve`.

pub mod raw;
