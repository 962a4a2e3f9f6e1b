//! Whole files that are no scenario, hostile ones, and edits at random: an error each, and no panic.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rollcast::scenario::Document;

use crate::{GOOD, expect, scenario};

fn bad_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bad").join(name)
}

#[test]
fn whole_files_that_are_no_scenario() {
    let cases: [(&str, &str, &str, &str); 14] = [
        ("empty.yaml", ":1:1", "", "the file is empty"),
        ("only_comments.yaml", ":2:1", "", "the file is empty"),
        ("a_list.yaml", ":1:1", "", "found a list | a map of keys"),
        ("a_sentence.yaml", ":1:1", "", "found the text `hello | a map of keys"),
        ("duplicate_key.yaml", ":5:3", "", "the key `gpus` is given twice |   5 |   gpus: 16"),
        ("two_documents.yaml", ":4:1", "", "a second YAML document begins here"),
        ("unclosed.yaml", ":2:10", "", "not valid YAML | unclosed bracket"),
        ("tabs.yaml", ":3:2", "", "not valid YAML | tabs"),
        ("unknown_alias.yaml", ":2:8", "", "unknown anchor"),
        ("list_as_key.yaml", ":2:3", "", "a key must be text"),
        ("not_utf8.yaml", ":2:8", "", "not UTF-8 text: found the byte 0xe9 | save it as UTF-8"),
        ("utf16.yaml", ":1:1", "", "not UTF-8 text: found the byte 0xff | it may be UTF-16"),
        ("anchor_without_vars.yaml", ":2:1", "shared", "unknown key"),
        ("no_such_file.yaml", "", "", "there is no such file"),
    ];
    for (name, place, path, words) in cases {
        let file = bad_file(name);
        let result = Document::read(&file).and_then(|document| document.scenario());
        expect(result, &format!("{}{place}", file.display()), path, words);
    }
    let directory = bad_file("");
    expect(Document::read(&directory), &directory.display().to_string(), "", "is a directory");
}

#[test]
fn hostile_files_are_refused_at_once() {
    expect(scenario(&"[".repeat(100_000)), "s.yaml:1:256", "", "nested too deep");
    expect(scenario(&format!("vars: {}", "{a: ".repeat(100_000))), "s.yaml:1:259", "", "nested too deep");
    let mut bomb = String::from("vars: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb = format!("{bomb}v{level}: &a{level} [{aliases}]\n");
    }
    let start = Instant::now();
    let error = scenario(&bomb).map_or_else(|error| error.to_string(), |_| String::new());
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    assert!(error.contains("more than 20000 values"), "{error}");
    let huge = tempfile::NamedTempFile::new().and_then(|file| {
        std::fs::write(file.path(), vec![b'#'; 5 * 1024 * 1024])?;
        Ok(file)
    });
    if let Ok(file) = huge {
        expect(Document::read(file.path()), &file.path().display().to_string(), "", "larger than 4 MiB");
    }
    expect(scenario(&format!("\"{}\": 1\n", "\u{1b}[31m".repeat(9))), "s.yaml:1:2", "", "not valid YAML");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn no_text_makes_it_panic(edits in prop::collection::vec((0..3_u8, any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = GOOD.as_bytes().to_vec();
        for (kind, at, other, byte) in edits {
            if bytes.is_empty() {
                break;
            }
            match kind {
                0 => {
                    bytes.remove(at.index(bytes.len()));
                }
                1 => bytes.insert(at.index(bytes.len()), byte),
                _ => {
                    let mut lines: Vec<Vec<u8>> = bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
                    let (a, b) = (at.index(lines.len()), other.index(lines.len()));
                    lines.swap(a, b);
                    bytes = lines.join(&b'\n');
                }
            }
        }
        if let Err(error) = scenario(&String::from_utf8_lossy(&bytes)) {
            prop_assert!(error.place().is_some(), "no place: {error}");
            prop_assert!(!error.message().is_empty());
        }
    }

    #[test]
    fn no_flag_makes_it_panic(assignment in "[a-z.=\\[\\]{}:0-9 ]{0,40}") {
        if let Ok(mut document) = Document::parse("s.yaml", GOOD) {
            let _ = document.set(&assignment).and_then(|()| document.scenario());
        }
    }
}
