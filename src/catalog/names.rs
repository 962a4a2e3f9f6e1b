//! Finding an entry by its name, and the names that were likely meant when there is none.

use super::entries::Entry;
use super::{CatalogError, Kind};

/// Most names to suggest.
const SUGGESTED: usize = 3;
/// Longest part of a name that is compared: what is longer is no typing error, and comparing is quadratic.
const COMPARED: usize = 64;
/// Most edits that can part a name from the one that was meant.
const MOST_EDITS: usize = 4;
/// Shortest name that counts as an abbreviation of the names that contain it.
const ABBREVIATION: usize = 3;

/// The entry of this id; case does not matter.
pub(super) fn find<'a>(kind: Kind, table: &'a [Entry], name: &str) -> Result<&'a Entry, CatalogError> {
    by_id(table, name).ok_or_else(|| {
        let ids = table.iter().map(|entry| (entry.id, entry.id));
        let nearest = nearest(name, ids);
        unknown(kind, table, name, nearest)
    })
}

/// The entry of this id, if there is one; case does not matter.
pub(super) fn by_id<'a>(table: &'a [Entry], name: &str) -> Option<&'a Entry> {
    table.iter().find(|entry| entry.id.eq_ignore_ascii_case(name))
}

/// The error for a name that the table does not hold.
pub(super) fn unknown(kind: Kind, table: &[Entry], name: &str, nearest: Vec<String>) -> CatalogError {
    let known = table.iter().map(|entry| entry.id.to_owned()).collect();
    CatalogError::Unknown { kind, name: name.to_owned(), nearest, known }
}

/// Ids that `name` may have meant, the likeliest first, of pairs (id, one spelling of it).
///
/// A spelling is near when it contains the name (`h100` for `h100-sxm`) or when few edits part them, one for
/// three characters (Damerau-Levenshtein).
pub(super) fn nearest<'a>(name: &str, spellings: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let name: String = name.chars().take(COMPARED).map(|c| c.to_ascii_lowercase()).collect();
    let allowed = (name.len() / 3).clamp(1, MOST_EDITS);
    let mut near: Vec<(usize, usize, &str)> = spellings
        .filter_map(|(id, spelling)| {
            let spelling = spelling.to_ascii_lowercase();
            let edits = strsim::damerau_levenshtein(&name, &spelling);
            let abbreviated = name.len() >= ABBREVIATION && spelling.contains(&name);
            let rank = if abbreviated { edits.min(1) } else { edits };
            (rank <= allowed).then_some((rank, edits, id))
        })
        .collect();
    near.sort_unstable();
    let mut ids: Vec<String> = Vec::new();
    for (_, _, id) in near {
        if ids.len() < SUGGESTED && !ids.iter().any(|seen| seen == id) {
            ids.push(id.to_owned());
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest_of(name: &str, ids: &[&str]) -> Vec<String> {
        nearest(name, ids.iter().map(|id| (*id, *id)))
    }

    #[test]
    fn the_likeliest_name_comes_first() {
        let ids = ["qwen3-14b", "qwen3-4b", "qwen3-8b", "llama-3.1-8b"];
        assert_eq!(nearest_of("qwen3-8", &ids), ["qwen3-8b", "qwen3-4b"]);
        assert_eq!(nearest_of("llama3.1-8b", &ids), ["llama-3.1-8b"]);
        assert_eq!(nearest_of("QWEN3_8B", &ids)[0], "qwen3-8b");
        assert!(nearest_of("bloom", &ids).is_empty());
        assert!(nearest_of("", &ids).is_empty());
        assert!(nearest_of(&"é".repeat(100_000), &ids).is_empty());
    }

    #[test]
    fn a_part_of_a_name_is_enough_to_suggest_it() {
        assert_eq!(nearest_of("h100", &["h100-sxm", "h200-sxm"]), ["h100-sxm"]);
    }

    #[test]
    fn an_id_is_suggested_once() {
        let spellings = [("llama-3.1-8b", "llama-3.1-8b"), ("llama-3.1-8b", "meta-llama/Llama-3.1-8B")];
        assert_eq!(nearest("llama-3.1-8", spellings.into_iter()), ["llama-3.1-8b"]);
    }
}
