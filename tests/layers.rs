//! The shape of the source tree: who may import whom, who may touch files, terminals and YAML, how long a file is.
//!
//! The table below is ARCHITECTURE.md's. A module imports strictly lower layers, itself, and the few neighbours in
//! [`SIDEWAYS`]; a module that is not in the table fails. Everything is found in text from which comments, strings
//! and test items were taken out, so the scanner comes first and is tested on texts that must fail.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules by layer, lowest first.
const LAYERS: [&[&str]; 11] = [
    &["units", "rng", "math", "estimate", "piece", "yaml"],
    &["scenario", "measured", "profile", "resolved", "result"],
    &["catalog"],
    &["cost", "workload"],
    &["forward", "speculation"],
    &["resolve"],
    &["rollout"],
    &["rl"],
    &["study"],
    &["report", "calibrate", "ingest"],
    &["cli"],
];

/// Imports inside a layer, one way only: a piece is seconds by operator family, discrete laws are drawn from a random
/// stream, and a result carries the run it is of.
const SIDEWAYS: [(&str, &str); 4] =
    [("piece", "estimate"), ("math", "rng"), ("result", "resolved"), ("profile", "resolved")];

/// What opens or changes a file.
const OUTPUT: [&str; 8] = [
    "File::create",
    "File::options",
    "OpenOptions",
    "create_dir",
    "fs::write",
    "fs::rename",
    "fs::copy",
    "fs::remove_",
];

const PRINTS: [&str; 3] = ["print!", "println!", "dbg!"];

/// Most lines of a file, its tests left out.
const MOST_LINES: usize = 500;
const MOST_LINES_OF_MAIN: usize = 40;

// ---- the scanner ----

/// The text with comments, strings and character literals blanked; lines stay lines.
fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut code = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let end = if at(i) == '/' && at(i + 1) == '/' {
            (i..chars.len()).find(|&j| at(j) == '\n').unwrap_or(chars.len())
        } else if at(i) == '/' && at(i + 1) == '*' {
            block_comment_end(&chars, i)
        } else if let Some(end) = string_end(&chars, i) {
            end
        } else {
            code.push(at(i));
            i += 1;
            continue;
        };
        code.extend(chars[i..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        i = end;
    }
    code
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut i = start;
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => (depth, i) = (depth + 1, i + 2),
            ('*', '/') if depth == 1 => return i + 2,
            ('*', '/') => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
    }
    chars.len()
}

/// Where the string or character literal that starts at `i` ends; `None` where none starts.
fn string_end(chars: &[char], i: usize) -> Option<usize> {
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let in_word = i > 0 && (at(i - 1).is_alphanumeric() || at(i - 1) == '_');
    if at(i) == 'r' && !in_word || at(i) == 'b' && at(i + 1) == 'r' && !in_word {
        let open = i + 1 + usize::from(at(i) == 'b');
        let hashes = (open..chars.len()).take_while(|&j| at(j) == '#').count();
        if at(open + hashes) == '"' {
            let closes = |j: &usize| at(*j) == '"' && (1..=hashes).all(|n| at(j + n) == '#');
            let close = (open + hashes + 1..chars.len()).find(closes)?;
            return Some(close + hashes + 1);
        }
        return None;
    }
    let escaped_end = |quote: char| {
        let mut j = i + 1;
        while j < chars.len() && at(j) != quote {
            j += 1 + usize::from(at(j) == '\\');
        }
        j + 1
    };
    match at(i) {
        '"' => Some(escaped_end('"').min(chars.len())),
        // A lifetime has no quote two or more characters on; an escape is no lifetime.
        '\'' if at(i + 1) == '\\' || at(i + 2) == '\'' => Some(escaped_end('\'').min(chars.len())),
        _ => None,
    }
}

/// The code without its `#[cfg(test)]` items, and the names of test modules that lie in files of their own.
fn without_tests(code: &str) -> (String, Vec<String>) {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::new();
    let mut files = Vec::new();
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        kept.push_str(&rest[..start]);
        let mut item = rest[start + MARK.len()..].trim_start();
        while item.starts_with("#[") {
            item = item[item.find(']').map_or(item.len(), |end| end + 1)..].trim_start();
        }
        let words: Vec<&str> = item.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let is_use = words.iter().find(|w| !matches!(**w, "" | "pub" | "crate" | "super")) == Some(&"use");
        let semicolon = item.find(';').unwrap_or(item.len());
        let brace = item.find('{').unwrap_or(item.len());
        let end = if is_use || semicolon < brace {
            if let Some(name) = item[..semicolon].split_once("mod ") {
                files.push(name.1.trim().to_owned());
            }
            semicolon + 1
        } else {
            closing(item, brace) + 1
        };
        rest = &item[end.min(item.len())..];
    }
    kept.push_str(rest);
    (kept, files)
}

/// Where the brace that opens at `open` closes.
fn closing(text: &str, open: usize) -> usize {
    let mut depth = 0_i32;
    for (i, c) in text[open..].char_indices() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 {
            return open + i;
        }
    }
    text.len()
}

/// Top-level modules that the code of a file `depth` modules below the crate root names, by `crate::` or by as many
/// `super::` as it takes to get there.
fn imports(code: &str, depth: usize) -> BTreeSet<String> {
    let squeezed: String = code.split_whitespace().fold(String::new(), |mut all, word| {
        // A space stays only between two words: `use crate::{ a, b }` and line breaks inside paths close up.
        let glue = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        if glue(all.chars().last()) && glue(word.chars().next()) {
            all.push(' ');
        }
        all + word
    });
    let root = "super::".repeat(depth.max(1));
    let mut found = BTreeSet::new();
    for prefix in ["crate::", root.as_str()] {
        for (start, _) in squeezed.match_indices(prefix) {
            let before = squeezed[..start].chars().last();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            names(&squeezed[start + prefix.len()..], &mut found);
        }
    }
    found
}

/// The first name of a path, or of each path of a group.
fn names(path: &str, found: &mut BTreeSet<String>) {
    if path.starts_with('{') {
        let group = &path[1..closing(path, 0)];
        let mut depth = 0_i32;
        let items = group.split(|c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        });
        items.for_each(|item| names(item, found));
        return;
    }
    let name: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    // `crate::Name` would be an item of lib.rs, which has none but modules.
    if !name.is_empty() && name != "super" && name != "self" {
        found.insert(name);
    }
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// Why `module` may not import `other`; `None` where it may.
fn forbidden(module: &str, other: &str) -> Option<String> {
    let (Some(own), Some(its)) = (layer(module), layer(other)) else {
        return Some(format!("`{module}` imports `{other}`: not both in the layer table"));
    };
    let allowed = own > its || module == other || SIDEWAYS.contains(&(module, other));
    (!allowed).then(|| format!("`{module}` (layer {own}) imports `{other}` (layer {its})"))
}

// ---- the tree ----

/// A file of `src/` that is not a test.
struct Source {
    path: PathBuf,
    /// The top-level module; `lib` and `main` for the roots.
    module: String,
    text: String,
    /// Without comments, strings and tests.
    code: String,
    /// Modules between it and the crate root.
    depth: usize,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut tests = Vec::new();
    let mut all: Vec<Source> = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let (code, test_files) = without_tests(&code_only(&text));
        tests.extend(test_files.iter().map(|name| path.with_extension("").join(name)));
        let inside: Vec<String> = path
            .strip_prefix(&root)
            .unwrap()
            .with_extension("")
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        all.push(Source { module: inside[0].clone(), depth: inside.len(), path, text, code });
    }
    all.retain(|file| !tests.iter().any(|test| file.path.with_extension("").starts_with(test)));
    all
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_imports_lower_layers_only() {
    let mut wrong = Vec::new();
    let mut edges = 0;
    let mut sideways = BTreeSet::from(SIDEWAYS.map(|(from, to)| (from.to_owned(), to.to_owned())));
    for file in sources().iter().filter(|file| file.module != "lib" && file.module != "main") {
        if layer(&file.module).is_none() {
            wrong.push(format!("{}: `{}` is not in the layer table", file.path.display(), file.module));
            continue;
        }
        for other in imports(&file.code, file.depth) {
            edges += 1;
            sideways.remove(&(file.module.clone(), other.clone()));
            wrong
                .extend(forbidden(&file.module, &other).map(|why| format!("{}: {why}", file.path.display())));
        }
    }
    assert_none(&wrong);
    assert!(sideways.is_empty(), "allowed and not used any more: {sideways:?}");
    assert!(edges > 50, "only {edges} imports found: the scanner is blind");
}

#[test]
fn speculation_builds_without_the_simulator() {
    let files = sources();
    let lib = &files.iter().find(|file| file.module == "lib").unwrap().text;
    let gated = |module: &str| lib.contains(&format!("#[cfg(feature = \"simulator\")]\npub mod {module};"));
    assert!(gated("yaml") && !gated("speculation"), "lib.rs is written another way than this test reads it");
    let mut needed: BTreeMap<String, String> = BTreeMap::from([("speculation".into(), "itself".into())]);
    let mut open = vec!["speculation".to_owned()];
    let mut wrong = Vec::new();
    while let Some(module) = open.pop() {
        for file in files.iter().filter(|file| file.module == module) {
            for other in imports(&file.code, file.depth) {
                if other != "speculation" && layer(&other) != Some(0) || gated(&other) {
                    wrong.push(format!("{} needs `{other}`", file.path.display()));
                }
                if needed.insert(other.clone(), module.clone()).is_none() {
                    open.push(other);
                }
            }
        }
    }
    assert_none(&wrong);
    assert!(needed.len() > 2, "speculation stands on nothing: the scanner is blind");
}

#[test]
fn yaml_files_and_the_terminal_are_each_in_one_place() {
    let mut wrong = Vec::new();
    let mut seen = [0, 0];
    for file in sources() {
        let mut only = |words: &[&str], home: &str| {
            let found: Vec<&&str> = words.iter().filter(|word| file.code.contains(**word)).collect();
            if file.module == home {
                return found.len();
            }
            wrong.extend(
                found.iter().map(|word| format!("{}: `{word}` outside src/{home}", file.path.display())),
            );
            0
        };
        seen[0] += only(&["serde_yaml"], "yaml");
        seen[1] += only(&OUTPUT, "cli");
        only(&PRINTS, "cli");
    }
    assert_none(&wrong);
    assert!(seen.iter().all(|n| *n > 0), "the homes are empty: the scanner is blind");
}

#[test]
fn every_file_opens_with_its_purpose_and_is_short() {
    let mut wrong = Vec::new();
    for file in sources() {
        if !file.text.trim_start().starts_with("//!") {
            wrong.push(format!("{}: opens without `//!`", file.path.display()));
        }
        let most = if file.module == "main" { MOST_LINES_OF_MAIN } else { MOST_LINES };
        let lines = file.code.lines().count();
        if lines > most {
            wrong.push(format!("{}: {lines} lines without tests, at most {most}", file.path.display()));
        }
    }
    assert_none(&wrong);
}

// ---- the scanner, on texts that must fail and texts that must not ----

fn found(text: &str, depth: usize) -> Vec<String> {
    imports(&without_tests(&code_only(text)).0, depth).into_iter().collect()
}

#[test]
fn imports_are_found_in_every_spelling() {
    assert_eq!(found("use crate::study::compare;", 1), ["study"]);
    assert_eq!(found("use crate::{\n    rl::{self, Stage},\n    math,\n};", 1), ["math", "rl"]);
    assert_eq!(found("pub use crate :: cli :: main as other;", 1), ["cli"]);
    assert_eq!(found("fn f() -> crate::result::Arm { let x = crate::rng::mix(1); x }", 1), ["result", "rng"]);
    assert_eq!(
        found("use super::super::rollout::Job;", 2),
        ["rollout"],
        "two up from src/cost/gemm.rs is the root"
    );
    assert_eq!(found("use super::super::{rollout, rl::machine};", 2), ["rl", "rollout"]);
    assert_eq!(found("use super::kv::Pool;", 2), [""; 0], "one up is the module itself");
    assert_eq!(found("let url = 'a'; use crate::cli::x; let t: &'static str = \"\";", 1), ["cli"]);
}

#[test]
fn comments_strings_and_tests_import_nothing() {
    assert_eq!(found("// use crate::cli;\n/* crate::cli /* crate::rl */ */ //! crate::rollout", 1), [""; 0]);
    assert_eq!(
        found("let s = \"crate::cli \\\" crate::rl\"; let r = r#\"crate::rollout \" crate::rl\"#;", 1),
        [""; 0]
    );
    assert_eq!(found("let q = '\"'; use crate::math; let e = '\\''; // crate::cli", 1), ["math"]);
    let tested = "use crate::rng;\n#[cfg(test)]\nmod tests {\n use crate::cli;\n fn f() { {} }\n}\nuse crate::rollout;";
    assert_eq!(found(tested, 1), ["rng", "rollout"], "what follows a test module counts again");
    assert_eq!(found("#[cfg(test)]\nuse crate::{cli, rl};\nuse crate::rng;", 1), ["rng"]);
    assert_eq!(found("#[cfg(test)]\n#[allow(x)]\npub(crate) mod testing { use crate::cli; }", 1), [""; 0]);
    assert_eq!(without_tests("#[cfg(test)]\nmod tests;\nfn f() {}").1, ["tests"]);
}

#[test]
fn the_table_refuses_upward_sideways_and_unknown() {
    assert!(forbidden("cost", "forward").is_some(), "upward");
    assert!(forbidden("workload", "cost").is_some(), "sideways");
    assert!(forbidden("resolved", "result").is_some(), "a neighbour is allowed one way only");
    assert!(forbidden("rollout", "helpers").is_some() && forbidden("helpers", "rng").is_some(), "unknown");
    assert!(SIDEWAYS.iter().all(|(from, to)| !SIDEWAYS.contains(&(to, from))), "a circle");
    assert_eq!(forbidden("cli", "study"), None);
    assert_eq!(forbidden("cost", "cost"), None);
    assert_eq!(forbidden("result", "resolved"), None);
}

#[test]
fn lines_of_tests_do_not_count() {
    let text =
        format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\nfn g() {{}}\n", "    x();\n".repeat(600));
    let (code, _) = without_tests(&code_only(&text));
    assert_eq!(code.lines().count(), 3);
    let code = code_only("let a = \"one\ntwo\"; // three\n");
    assert_eq!(code.lines().count(), 2, "blanked text keeps its lines");
    assert!(!code.contains("two") && !code.contains("three"));
}
