//! Single lengths: NeMo-RL's dumped samples, or numbers under a key of JSON lines.
//!
//! NeMo-RL's `train_data_step*.jsonl` has lists of one for each value; a response's length is the sum of its loss mask within
//! its input length, which leaves tool output out. Left out: texts, which would need a tokenizer.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::IngestError;
use super::text::lines;

/// Names under which a record may have a response's tokens, and a prompt's.
const RESPONSE: [&str; 7] = [
    "response_tokens",
    "response_length",
    "completion_tokens",
    "num_generated_tokens",
    "output_tokens",
    "output_len",
    "gen_tokens",
];
const PROMPT: [&str; 4] = ["prompt_tokens", "prompt_length", "input_tokens", "input_len"];

/// Lengths of prompts and responses.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub prompts: Vec<f64>,
    pub responses: Vec<f64>,
}

/// What is needed of a NeMo-RL record: token ids are skipped unread.
#[derive(Deserialize)]
struct Nemo {
    input_lengths: Vec<f64>,
    token_loss_mask: Vec<Vec<f64>>,
}

/// Reads a file into `samples`; how many records it held. `key` is the name of a response's length, where it is another.
pub(super) fn read(path: &Path, key: Option<&str>, samples: &mut Samples) -> Result<u64, IngestError> {
    let mut records = 0;
    lines(path, |_, line| {
        if let Ok(length) = line.parse::<f64>() {
            samples.responses.push(length);
            records += 1;
            return;
        }
        if key.is_none()
            && let Ok(record) = serde_json::from_str::<Nemo>(line)
        {
            for (length, mask) in record.input_lengths.iter().zip(&record.token_loss_mask) {
                let seen = &mask[..mask.len().min(*length as usize)];
                samples.responses.push(seen.iter().sum());
                samples.prompts.extend(seen.iter().position(|m| *m > 0.0).map(|at| at as f64));
            }
            records += 1;
            return;
        }
        let Ok(record) = serde_json::from_str::<Value>(line) else { return };
        let keys = key.map_or(RESPONSE.to_vec(), |key| vec![key]);
        if let Some(length) = keys.iter().find_map(|key| length(&record, key)) {
            samples.responses.push(length);
            samples.prompts.extend(PROMPT.iter().find_map(|key| self::length(&record, key)));
            records += 1;
        }
    })?;
    Ok(records)
}

/// The number under a key, at the top, inside `usage` or `meta_info`, or alone in a list; of a list of many their count.
fn length(record: &Value, key: &str) -> Option<f64> {
    let place = [Some(record), record.get("usage"), record.get("meta_info"), record.get("metrics")];
    let value = place.into_iter().flatten().find_map(|place| place.get(key))?;
    match value {
        Value::Array(items) if items.len() == 1 => items[0].as_f64(),
        Value::Array(items) => Some(items.len() as f64),
        value => value.as_f64(),
    }
}
