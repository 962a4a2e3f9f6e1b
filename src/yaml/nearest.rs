//! The valid name that a misspelt one most likely meant.

/// Least similarity (Jaro-Winkler, 0 to 1) of a suggestion.
const SIMILAR: f64 = 0.82;
/// Most names in a list of valid ones.
const LISTED: usize = 12;

/// The most similar valid name, if one is similar enough.
pub(super) fn nearest<'a>(name: &str, valid: &[&'a str]) -> Option<&'a str> {
    let name = plain(name);
    valid
        .iter()
        .map(|candidate| (*candidate, similarity(&name, &plain(candidate))))
        .filter(|(_, similarity)| *similarity >= SIMILAR)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(candidate, _)| candidate)
}

/// A hint that names the nearest valid name and lists the valid ones.
pub fn hint(name: &str, valid: &[&str]) -> String {
    let mut hint = nearest(name, valid).map_or(String::new(), |found| format!("did you mean `{found}`? "));
    hint.push_str("valid here: ");
    hint.push_str(&list(valid));
    hint
}

/// The names in a row, the first dozen of them.
pub(super) fn list(names: &[&str]) -> String {
    let more = if names.len() > LISTED { ", ..." } else { "" };
    format!("{}{more}", names[..names.len().min(LISTED)].join(", "))
}

/// Case and the kind of dash do not count.
fn plain(name: &str) -> String {
    // A name beyond this length is no typing error, and the comparison is quadratic.
    name.chars().take(64).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

fn similarity(a: &str, b: &str) -> f64 {
    // Jaro-Winkler forgives little in short names (`tq` for `tp`): one edit is always forgiven.
    let close = if strsim::damerau_levenshtein(a, b) <= 1 { 0.9 } else { 0.0 };
    strsim::jaro_winkler(a, b).max(close)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_recognised() {
        let valid =
            ["prompts_per_step", "samples_per_prompt", "prompt_tokens", "response_tokens", "tp", "pp"];
        assert_eq!(nearest("response_tokns", &valid), Some("response_tokens"));
        assert_eq!(nearest("prompt-per-step", &valid), Some("prompts_per_step"));
        assert_eq!(nearest("TP", &valid), Some("tp"));
        assert_eq!(nearest("colour", &valid), None);
        assert_eq!(nearest("", &[]), None);
    }
}
