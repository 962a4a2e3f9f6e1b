//! Keys by the names that engines and frameworks have for them: where they stand here.
//!
//! Left out: names whose numbers count something else there (verl's mini batches are prompts, its staleness a share).

use super::Error;

/// A foreign name, and the path of the key here.
const ELSEWHERE: [(&str, &str); 11] = [
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
    ("max_response_length", "workload.response_tokens"),
];

/// The error, pointing to where a key stands that is known by a foreign name.
pub(super) fn pointed(error: Error) -> Error {
    let path = error.path().to_string();
    let name = path.rsplit('.').next().unwrap_or_default().replace('-', "_");
    match ELSEWHERE.iter().find(|(other, _)| *other == name) {
        Some((_, key)) if error.message() == "unknown key" => {
            let valid = error.advice().and_then(|advice| advice.split_once("valid here: "));
            let valid = valid.map_or(String::new(), |(_, names)| format!(" valid here: {names}"));
            error.hint(format!("did you mean `{key}`?{valid}"))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Document, schema};

    #[test]
    fn foreign_names_lead_to_keys_that_there_are() {
        let schema = schema();
        for (name, key) in super::ELSEWHERE {
            let text = format!("version: 1\nmodel: qwen3-8b\ngeneration: {{ {name}: 1 }}\n");
            let error = Document::parse("s.yaml", &text).and_then(|document| document.scenario());
            let error = error.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(&format!("did you mean `{key}`?")), "{error}");
            assert!(error.contains("valid here: engine, "), "{error}");
            let last = key.rsplit('.').next().unwrap_or_default();
            assert!(schema.to_string().contains(&format!("\"{last}\"")), "{key}");
        }
    }
}
