//! Lengths of prompts and responses: beside the model's context, and from files.

use std::fs;

use crate::common::{File, number, run, small};
use crate::{ENGINE, RESPONSES, accepted, refused};

#[test]
fn sequences_beyond_the_context_are_refused_and_what_fits_is_said() {
    // Qwen3-8B was made for 40,960 positions; prompts take 130.
    let responses = |lengths: &str, at: &str, said: &[&str]| {
        refused(&[(RESPONSES, &format!("response_tokens: {lengths}"))], at, said);
    };
    let long = "{ lognormal: { mean: 500, sigma: 0.8, max: 40831 } }";
    let said = ["workload.response_tokens", "qwen3-8b's context of 40960", "40830 fits"];
    responses(long, "response_tokens", &said);
    accepted(&[("max: 2048", "max: 40830")]);
    responses("{ constant: { tokens: 40831 } }", "response_tokens", &said);
    // Without a maximum the context is one, and no clipped mean reaches it.
    responses("{ lognormal: { mean: 40830, sigma: 0.8 } }", "40830", &["lognormal.mean", "clipped at 40830"]);
    responses("{ lognormal: { mean: 50000, sigma: 0.8 } }", "50000", &["lognormal.mean", "40830"]);

    // Prompts without a maximum leave the responses what they were given.
    let prompts = (
        "prompt_tokens: { constant: { tokens: 130 } }",
        "prompt_tokens: { lognormal: { mean: 130, sigma: 0.4 } }",
    );
    let result = accepted(&[prompts, ("max: 2048", "max: 30000")]);
    assert_eq!(number(&result, "resolved.workload.prompt_tokens.max"), 10960.0);
    assert_eq!(
        number(&accepted(&[prompts]), "resolved.workload.prompt_tokens.max"),
        20480.0,
        "half of the context"
    );

    let engine = |len: &str| format!("max_model_len: {len}, max_num_seqs: 128");
    refused(&[(ENGINE, &engine("2177"))], "response_tokens", &["generation.max_model_len", "2047 fits"]);
    accepted(&[(ENGINE, &engine("2178"))]);
    refused(&[(ENGINE, &engine("40961"))], "40961", &["generation.max_model_len", "40960"]);
}

#[test]
fn files_of_lengths_are_read_or_refused_by_line() {
    let text = small(&[(RESPONSES, "response_tokens: { file: { path: lengths.txt } }")]);
    let file = File::new(&text);
    let lengths = |content: &str| fs::write(file.folder.path().join("lengths.txt"), content).unwrap();
    let path = "workload.response_tokens.file.path";
    let line = text.lines().position(|line| line.contains("lengths.txt")).unwrap() + 1;
    let place = format!("{}:{line}:", file.name());
    let refused = |said: &[&str]| {
        run(&["run", file.name()]).exits(2).says(&[&place, path, "lengths.txt"]).says(said);
    };
    refused(&["cannot read", "No such file"]);
    lengths("# measured\n100\n\nmany\n");
    refused(&["lengths.txt:4:", "`many`", "one length in tokens a line"]);
    lengths("100\n0\n");
    refused(&["lengths.txt:2:", "`0`"]);
    lengths("100\n-5\n");
    refused(&["lengths.txt:2:", "`-5`"]);
    lengths("# nothing yet\n");
    refused(&["no lengths"]);
    fs::remove_file(file.folder.path().join("lengths.txt")).unwrap();
    fs::create_dir(file.folder.path().join("lengths.txt")).unwrap();
    refused(&["cannot read"]);
    fs::remove_dir(file.folder.path().join("lengths.txt")).unwrap();

    lengths("# measured\n100\n\n  300  \n");
    let result = run(&["run", file.name(), "--format", "json"]).exits(0).json();
    let tokens = number(&result, "simulator.simulated_tokens");
    let samples = 8.0 * 128.0;
    assert!((110.0 * samples..290.0 * samples).contains(&tokens), "{tokens} tokens of {samples} samples");
    assert_eq!((tokens - 100.0 * samples) % 200.0, 0.0, "only the lengths of the file");
}

#[test]
fn equal_lengths_may_be_written_as_a_law_without_spread() {
    let constant = accepted(&[(RESPONSES, "response_tokens: { constant: { tokens: 300 } }")]);
    let law = accepted(&[(RESPONSES, "response_tokens: { lognormal: { mean: 300, sigma: 0, max: 300 } }")]);
    assert_eq!(number(&law, "forecast.step_s.mean"), number(&constant, "forecast.step_s.mean"));
    accepted(&[(
        RESPONSES,
        "response_tokens: { lognormal: { mean: 1, sigma: { value: 0, se: 0.1 }, max: 1 } }",
    )]);
}

#[test]
fn lengths_that_were_observed_or_said_are_not_clipped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lengths.txt");
    std::fs::write(&path, "100\n200\n700\n700\n").unwrap();
    let clipped = |lengths: &str| {
        let text = small(&[(RESPONSES, &format!("response_tokens: {lengths}"))]);
        let file = File::new(&text);
        let run = run(&["run", file.name(), "--format", "json"]).exits(0).json();
        number(&run, "forecast.clipped_share")
    };
    assert_eq!(clipped("{ constant: { tokens: 700 } }"), 0.0);
    let file = |max: &str| clipped(&format!("{{ file: {{ path: {:?}{max} }} }}", path.display().to_string()));
    assert_eq!(file(""), 0.0, "the longest that was seen has ended");
    let half = file(", max: 700");
    assert!((half - 0.5).abs() < 0.2, "of a cap that was written they were cut: {half}");
}
