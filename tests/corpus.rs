//! Readers of files that anyone may have written: no input makes them panic, hang or draw a broken page. Replays the corpus
//! (what fuzzing found, and shapes that it should begin from) and changes sound files in every place.

#![cfg(feature = "simulator")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "what fuzzing found is told")]

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::{SMALL, root};
use rollcast::ingest::{self, Kind, import};
use rollcast::report::{SweepTable, run_page, sweep_page};
use rollcast::resolve::resolve;
use rollcast::result::RunResult;
use rollcast::scenario::Document;
use rollcast::study::sweep::journal::{self, Header};
use rollcast::study::sweep::{Options, Row, Sweep};
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
fn damaged_logs_give_yaml_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let data = root().join("tests/data/import");
    let logs = [
        ("verl.log", Kind::Verl),
        ("verl.jsonl", Kind::Verl),
        ("nemo_metrics.json", Kind::NemoRl),
        ("slime.log", Kind::Slime),
        ("vllm.log", Kind::Vllm),
        ("vllm_after.prom", Kind::Vllm),
        ("sglang.log", Kind::Sglang),
    ];
    for (name, kind) in logs {
        let path = folder.path().join(name);
        let mut good = 0;
        around(&fs::read(data.join(name)).unwrap(), |bytes| {
            fs::write(&path, bytes).unwrap();
            let Ok(found) = import(kind, std::slice::from_ref(&path), &ingest::Options::default()) else {
                return;
            };
            let text = found.fragment().unwrap();
            let read = rollcast::yaml::parse("found.yaml", &text);
            assert!(read.is_ok(), "{name}: {:?}\n{text}", read.err());
            good += 1;
        });
        // One JSON object that was cut is none.
        assert!(good > 20, "{name}: {good}");
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

// ---- fuzzing, for minutes: `fuzz/run` ----

/// Numbers that arithmetic stumbles over.
const NUMBERS: [&str; 16] = [
    "0",
    "-1",
    "1",
    "0.5",
    "1e-320",
    "1e308",
    "-1e308",
    "1e400",
    ".nan",
    ".inf",
    "255",
    "65536",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "-9223372036854775808",
];

/// Repeatable random numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = rollcast::rng::mix(self.0);
        (self.0 % n.max(1) as u64) as usize
    }
}

/// Bounds of the words (letters and digits) of a text, and of its lines.
fn spans(bytes: &[u8], part: impl Fn(u8) -> bool) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if !part(*byte) {
            if at > start {
                found.push((start, at));
            }
            start = at + 1;
        }
    }
    if start < bytes.len() {
        found.push((start, bytes.len()));
    }
    found
}

/// One change: of bytes, of words, of lines, or a piece of another file.
fn changed(dice: &mut Dice, mut bytes: Vec<u8>, other: &[u8]) -> Vec<u8> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_';
    let line = |byte: u8| byte != b'\n';
    let of = |dice: &mut Dice, from: &[u8], lines: bool| {
        let all = if lines { spans(from, line) } else { spans(from, word) };
        if all.is_empty() { (0, 0) } else { all[dice.below(all.len())] }
    };
    match dice.below(9) {
        0 if !bytes.is_empty() => {
            let at = dice.below(bytes.len());
            bytes[at] ^= 1 << dice.below(8);
        }
        1 => bytes.insert(dice.below(bytes.len() + 1), dice.below(256) as u8),
        2 => {
            let (from, to) = of(dice, &bytes, false);
            bytes.drain(from..to);
        }
        3 => {
            let (from, to) = of(dice, &bytes, true);
            bytes.drain(from..to);
        }
        4 => {
            let (from, to) = of(dice, &bytes, false);
            bytes.splice(from..to, NUMBERS[dice.below(NUMBERS.len())].bytes());
        }
        kind @ (5 | 6) => {
            let (from, to) = of(dice, &bytes, kind == 6);
            let (a, b) = of(dice, other, kind == 6);
            bytes.splice(from..to, other[a..b].iter().copied());
        }
        7 => {
            let (from, to) = of(dice, &bytes, true);
            let again = bytes[from..to].to_vec();
            let at = dice.below(bytes.len() + 1);
            bytes.splice(at..at, again);
        }
        _ => bytes.truncate(dice.below(bytes.len() + 1)),
    }
    bytes
}

/// Changes seeds and reads them, for `ROLLCAST_FUZZ_SECONDS`. Inputs that panic are kept and told.
fn fuzz(reader: &str, seeds: &[Vec<u8>], read: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    let asked = |name: &str, otherwise: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    };
    let limit = std::time::Duration::from_secs(asked("ROLLCAST_FUZZ_SECONDS", 300));
    let mut dice = Dice(asked("ROLLCAST_FUZZ_SEED", 1));
    let started = std::time::Instant::now();
    let (mut runs, mut slowest, mut crashes) = (0_u64, 0.0, 0);
    while started.elapsed() < limit {
        let mut bytes = seeds[dice.below(seeds.len())].clone();
        for _ in 0..=dice.below(6) {
            let other = dice.below(seeds.len());
            bytes = changed(&mut dice, bytes, &seeds[other]);
        }
        let before = std::time::Instant::now();
        if std::panic::catch_unwind(|| read(&bytes)).is_err() {
            crashes += 1;
            let kept = std::env::temp_dir().join(format!("rollcast-fuzz-{reader}-{crashes}"));
            fs::write(&kept, &bytes).unwrap();
            eprintln!("{reader}: a panic, kept in {}", kept.display());
        }
        let took = before.elapsed().as_secs_f64();
        if took >= 20.0 {
            let kept = std::env::temp_dir().join(format!("rollcast-fuzz-{reader}-slow"));
            fs::write(&kept, &bytes).unwrap();
            eprintln!("{reader}: {took:.1} s, kept in {}", kept.display());
        }
        slowest = f64::max(slowest, took);
        runs += 1;
    }
    eprintln!("{reader}: {runs} inputs, {crashes} panics, the slowest took {slowest:.2} s");
    assert_eq!(crashes, 0, "{reader}");
    assert!(slowest < 20.0, "{reader}: an input took {slowest} s");
}

/// Files of a folder of the project.
fn files(folder: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries.filter(|path| path.is_file()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
#[ignore = "takes minutes: fuzz/run"]
fn fuzz_scenario() {
    let folders =
        ["scenarios/seeds", "scenarios/published", "scenarios/schedules", "tests/data/corpus/scenario"];
    let mut seeds: Vec<Vec<u8>> = folders.into_iter().flat_map(files).collect();
    seeds.push(SMALL.as_bytes().to_vec());
    fuzz("scenario", &seeds, read_scenario);
}

#[test]
#[ignore = "takes minutes: fuzz/run"]
fn fuzz_sweep() {
    let seeds: Vec<Vec<u8>> =
        ["scenarios/sweeps", "tests/data/corpus/sweep"].into_iter().flat_map(files).collect();
    let name = root().join("scenarios/sweeps/fuzzed.yaml").display().to_string();
    fuzz("sweep", &seeds, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let Ok(document) = Document::parse(&name, text) else { return };
        for sample in [None, Some(7)] {
            let Ok(sweep) = Sweep::read(&document, Options { sample, ..Options::default() }) else {
                continue;
            };
            Header::of(&sweep).line().unwrap();
            for index in [0, sweep.len() / 2, sweep.len() - 1, sweep.len()] {
                if let Some(point) = sweep.point(index) {
                    assert_eq!(point.labels().len(), sweep.axis_columns().count());
                }
            }
            // Every value is resolved: of large sweeps that alone takes seconds.
            if sweep.len() <= 64 {
                let _ = sweep.check();
            }
        }
    });
}

#[test]
#[ignore = "takes minutes: fuzz/run"]
fn fuzz_journal() {
    let mut seeds = files("tests/data/corpus/journal");
    let folder = root().join("scenarios/sweeps/batch-k.yaml");
    let sweep = Sweep::read(&Document::read(&folder).unwrap(), Options::default()).unwrap();
    let header = Header::of(&sweep);
    let cells = |index: u64| header.columns.iter().map(|_| format!("{}.5", index + 1)).collect();
    let rows = (0..9).map(|index| Row { index, cells: cells(index) }.line());
    seeds.push((header.line().unwrap() + &rows.collect::<String>()).into_bytes());
    fuzz("journal", &seeds, |bytes| {
        read_journal(bytes);
        // With its checksums put right: hardly a change gets past them otherwise.
        let mut right = Vec::new();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let json = line.iter().position(|byte| *byte == b' ').map_or(line, |blank| &line[blank + 1..]);
            let json = json.strip_suffix(b"\n").unwrap_or(json);
            // FNV-1a, as the journal's lines carry it.
            let sum = json.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
            });
            right.extend(format!("{sum:016x} ").bytes().chain(json.iter().copied()).chain([b'\n']));
        }
        read_journal(&right);
    });
}

fn read_journal(bytes: &[u8]) {
    let mut rows = Vec::new();
    let Ok(contents) = journal::read(bytes, |_, row, _| rows.push(row)) else { return };
    assert!(contents.good_bytes <= bytes.len() as u64);
    let Some(header) = contents.header else { return };
    for row in &rows {
        assert_eq!(journal::row(&row.line(), &header).as_ref(), Some(row), "what is written is read");
    }
    rows.sort_by_key(|row| row.index);
    rows.dedup_by_key(|row| row.index);
    let page = sweep_page(&SweepTable { command: header.command.clone(), header, rows });
    assert!(page.ends_with("</html>\n"));
}

#[test]
#[ignore = "takes minutes: fuzz/run"]
fn fuzz_result() {
    let result = common::forecast(SMALL, &["uncertainty.worlds=2"]).unwrap().result;
    let mut seeds = files("tests/data/corpus/result");
    // Mostly the sound one: what is broken in its first bytes is told in its first bytes.
    seeds.extend(std::iter::repeat_n(serde_json::to_vec_pretty(&result).unwrap(), 20));
    fuzz("result", &seeds, read_result);
}
