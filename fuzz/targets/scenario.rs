//! A scenario of any bytes: read, overridden, checked, resolved on both sides, never run.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rollcast::scenario::Document;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(document) = Document::parse("scenarios/fuzzed.yaml", text) else { return };
    if document.scenario().is_err() {
        return;
    }
    let _ = rollcast::resolve::resolve(&document);
    if let Ok(baseline) = document.baseline() {
        let _ = rollcast::resolve::resolve(&baseline);
    }
    for candidate in document.candidates().unwrap_or_default() {
        let _ = rollcast::resolve::resolve(&candidate);
    }
});
