//! A sweep of any bytes: read, numbered, every value checked, nothing run. Its base may be any scenario of the project.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rollcast::scenario::Document;
use rollcast::study::sweep::{Options, Sweep, journal::Header};

/// Points of which the values are tried too: beyond these an execution would take seconds.
const TRIED: u64 = 64;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(document) = Document::parse("scenarios/sweeps/fuzzed.yaml", text) else { return };
    for sample in [None, Some(7)] {
        let Ok(sweep) = Sweep::read(&document, Options { sample, ..Options::default() }) else { continue };
        let _ = Header::of(&sweep).line();
        for index in [0, sweep.len() / 2, sweep.len() - 1, sweep.len()] {
            if let Some(point) = sweep.point(index) {
                assert_eq!(point.labels().len(), sweep.axis_columns().count());
            }
        }
        if sweep.len() <= TRIED {
            let _ = sweep.check();
        }
    }
});
