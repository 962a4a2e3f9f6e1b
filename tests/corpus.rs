//! Readers of files that anyone may have written: no input makes them panic, hang or draw a broken page. Replays the corpus
//! (what fuzzing found, and shapes that it should begin from) and changes sound files in every place.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::{SMALL, root};
use rollcast::report::run_page;
use rollcast::resolve::resolve;
use rollcast::result::RunResult;
use rollcast::scenario::Document;
use serde_json::{Value, json};

/// Files of one reader.
fn corpus(reader: &str) -> Vec<(String, Vec<u8>)> {
    let folder = root().join("tests/data/corpus").join(reader);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}

/// A text, its beginnings, and itself with single bytes changed.
fn around(bytes: &[u8], mut read: impl FnMut(&[u8])) {
    read(bytes);
    let stride = (bytes.len() / 100).max(1);
    for at in (0..bytes.len()).step_by(stride) {
        read(&bytes[..at]);
        let mut changed = bytes.to_vec();
        changed[at] ^= 0x15;
        read(&changed);
    }
}

fn read_scenario(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(document) = Document::parse("scenarios/fuzzed.yaml", text) else { return };
    if document.scenario().is_ok() {
        let _ = resolve(&document);
        let _ = document.baseline().map(|baseline| resolve(&baseline));
    }
}

fn read_result(bytes: &[u8]) {
    if let Ok(result) = RunResult::read(bytes) {
        assert!(run_page(&result).ends_with("</html>\n"));
    }
}

#[test]
fn scenarios_of_the_corpus_are_read_or_refused() {
    let files = corpus("scenario");
    assert!(files.len() >= 8);
    for (_, bytes) in &files {
        read_scenario(bytes);
    }
    around(SMALL.as_bytes(), read_scenario);
}

#[test]
fn results_of_the_corpus_are_read_or_refused() {
    let files = corpus("result");
    assert!(files.len() >= 8);
    for (name, bytes) in &files {
        read_result(bytes);
        let told =
            RunResult::read(bytes.as_slice()).map_or_else(|error| error.to_string(), |_| String::new());
        assert!(!told.is_empty(), "{name} is taken for a result");
    }
}

/// Paths of all values, one for each form of path: `/forecast/completions/0/share` and not `…/1/share`.
fn paths(value: &Value, at: &str, form: &str, found: &mut BTreeMap<String, String>) {
    found.entry(form.to_owned()).or_insert_with(|| at.to_owned());
    match value {
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                paths(item, &format!("{at}/{i}"), &format!("{form}/*"), found);
            }
        }
        Value::Object(entries) => {
            for (key, item) in entries {
                paths(item, &format!("{at}/{key}"), &format!("{form}/{key}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn a_result_with_anything_anywhere_is_a_page_or_refused() {
    let result = common::forecast(SMALL, &["uncertainty.worlds=2", "rl_steps=2"]).unwrap().result;
    let whole = serde_json::to_value(&result).unwrap();
    let mut found = BTreeMap::new();
    paths(&whole, "", "", &mut found);
    assert!(found.len() > 200);
    let odd =
        [json!(0), json!(-1), json!(1e300), json!(5e-324), json!(4_294_967_295_u32), json!([]), json!("")];
    let mut pages = 0;
    for (place, path) in found.values().filter(|path| !path.is_empty()).enumerate() {
        // Each place has three of them, each value a third of the places.
        for value in odd.iter().cycle().skip(place).take(3) {
            let mut changed = whole.clone();
            *changed.pointer_mut(path).unwrap() = value.clone();
            if let Ok(result) = RunResult::read(changed.to_string().as_bytes()) {
                let page = run_page(&result);
                assert!(page.ends_with("</html>\n") && page.len() < 4_000_000, "{path} {value}");
                pages += 1;
            }
        }
    }
    assert!(pages > 150, "{pages} pages");
}
