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

/// Names that engines and frameworks have for keys of other names here, with where those stand.
const ELSEWHERE: [(&str, &str); 14] = [
    ("tensor_parallel_size", "generation.layout.tp"),
    ("tensor_model_parallel_size", "generation.layout.tp"),
    ("tp_size", "generation.layout.tp"),
    ("num_speculative_tokens", "speculation.schedule.fixed.k"),
    ("speculative_num_steps", "speculation.schedule.fixed.k"),
    ("max_running_requests", "generation.max_num_seqs"),
    ("mem_fraction_static", "generation.gpu_memory_utilization"),
    ("chunked_prefill_size", "generation.max_num_batched_tokens"),
    ("enable_prefix_caching", "generation.prefix_caching"),
    ("train_batch_size", "workload.prompts_per_step"),
    ("rollout_n", "workload.samples_per_prompt"),
    ("max_response_length", "workload.response_tokens (its `max`)"),
    ("ppo_mini_batch_size", "training.global_batch_size"),
    ("staleness_threshold", "loop.max_staleness"),
];

/// A hint that names the nearest valid name and lists the valid ones.
pub fn hint(name: &str, valid: &[&str]) -> String {
    let elsewhere = ELSEWHERE.iter().find(|(other, _)| *other == plain(name)).map(|(_, key)| *key);
    let mut hint = elsewhere
        .or_else(|| nearest(name, valid))
        .map_or(String::new(), |found| format!("did you mean `{found}`? "));
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
        let other = hint("tensor-parallel-size", &valid);
        assert!(other.starts_with("did you mean `generation.layout.tp`? "), "{other}");
        assert_eq!(nearest("", &[]), None);
    }
}
