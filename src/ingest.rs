//! Logs of runs and engines, turned into what a scenario says: lengths, acceptance, stage seconds to compare with.
//!
//! A *form* is how metrics lie in a file (`forms`, `prometheus`, `engine_log`, `samples`), a framework's *words* are what it
//! calls them (`words`), and what is found is a list of keys (`found`) that is printed as a piece of YAML or put into a scenario.
//! Nothing here is a forecast. Left out: binary logs, and whatever a log does not hold: model, devices, layouts.

mod acceptance;
mod efficiency;
mod engine_log;
mod forms;
mod found;
mod into;
mod lengths;
mod prometheus;
mod run;
mod samples;
mod series;
mod steps;
mod text;
mod words;

use std::path::PathBuf;

pub use found::{Entry, Expected, Found};
pub use into::{Scenario, into_scenario, samples};
pub use steps::StepTime;

use series::{Metrics, Series};
use words::Words;

/// What a log is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// verl: its console, or its file logger's JSON lines.
    Verl,
    /// NeMo-RL: its metrics as JSON.
    NemoRl,
    /// slime or miles: the console.
    Slime,
    /// SkyRL: an export of its metrics.
    Skyrl,
    /// vLLM: `/metrics`, or the server's log.
    Vllm,
    /// SGLang: `/metrics`, or the server's log.
    Sglang,
    /// One length a line, JSON lines with lengths, or NeMo-RL's `train_data_step*.jsonl`.
    Lengths,
}

/// What logs do not tell.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// RL steps that count, first and last; all by default.
    pub steps: Option<(u64, u64)>,
    /// Samples of an RL step, in place of what the log tells.
    pub samples: Option<u64>,
    /// The same, where neither that nor the log tells.
    pub expected_samples: Option<u64>,
    /// Samples of a prompt.
    pub group: Option<u64>,
    /// Draft tokens of a round, where the log has a length only.
    pub draft_tokens: Option<u32>,
    /// Name of a response's length in JSON lines.
    pub key: Option<String>,
}

/// Why nothing was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// The file itself.
    #[error("{file}: {message}")]
    File {
        /// File.
        file: String,
        /// What is wrong.
        message: String,
    },
    /// What is in the files.
    #[error("{message}")]
    Content {
        /// What is wrong.
        message: String,
    },
}

impl Kind {
    /// All kinds, with the name of each on the command line.
    pub const ALL: [(Kind, &'static str); 7] = [
        (Kind::Verl, "verl"),
        (Kind::NemoRl, "nemo-rl"),
        (Kind::Slime, "slime"),
        (Kind::Skyrl, "skyrl"),
        (Kind::Vllm, "vllm"),
        (Kind::Sglang, "sglang"),
        (Kind::Lengths, "lengths"),
    ];

    fn name(self) -> &'static str {
        Kind::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    fn words(self) -> Option<&'static Words> {
        match self {
            Kind::Verl => Some(&words::VERL),
            Kind::NemoRl => Some(&words::NEMO_RL),
            Kind::Slime => Some(&words::SLIME),
            Kind::Skyrl => Some(&words::SKYRL),
            Kind::Vllm | Kind::Sglang | Kind::Lengths => None,
        }
    }
}

/// Reads logs of one kind. Several files are one log, in the order given; of an engine's `/metrics` they are a beginning and an
/// end.
pub fn import(kind: Kind, files: &[PathBuf], options: &Options) -> Result<Found, IngestError> {
    // A name with line breaks must not end the comment that it stands in.
    let name = |file: &PathBuf| file.display().to_string().replace(char::is_control, "?");
    let label = files.iter().map(name).collect::<Vec<_>>().join(", ");
    unused(kind, options)?;
    let mut found = match kind {
        Kind::Lengths => of_samples(files, options)?,
        Kind::Vllm | Kind::Sglang => of_engine(kind, files, options)?,
        _ => of_framework(kind, files, options)?,
    };
    if found.is_empty() && found.steps.is_empty() && found.remarks.is_empty() {
        let empty =
            files.iter().all(|file| file.metadata().is_ok_and(|data| data.is_file() && data.len() == 0));
        let why = if empty { "it is empty".to_owned() } else { looks_like(kind, files, options) };
        let message = format!("{label}: nothing in it is what {} writes; {why}", kind.name());
        return Err(IngestError::Content { message });
    }
    found.read = format!("rollcast import {} {label}: {}", kind.name(), found.read);
    Ok(found)
}

/// Fails for an option that says nothing about this kind of log.
fn unused(kind: Kind, options: &Options) -> Result<(), IngestError> {
    let framework = kind.words().is_some();
    let wrong = [
        ("--steps", options.steps.is_some() && !framework),
        ("--samples", options.samples.is_some() && !framework),
        ("--draft-tokens", options.draft_tokens.is_some() && matches!(kind, Kind::Vllm | Kind::Lengths)),
        ("--key", options.key.is_some() && kind != Kind::Lengths),
    ];
    match wrong.iter().find(|(_, wrong)| *wrong) {
        Some((option, _)) => {
            Err(IngestError::Content { message: format!("{option} says nothing about `{}`", kind.name()) })
        }
        None => Ok(()),
    }
}

/// What the files look like instead, for an error.
fn looks_like(kind: Kind, files: &[PathBuf], options: &Options) -> String {
    let other = Kind::ALL.iter().filter(|(other, _)| *other != kind).find(|(other, _)| {
        let found = match other {
            Kind::Lengths => of_samples(files, options),
            Kind::Vllm | Kind::Sglang => of_engine(*other, files, options),
            _ => of_framework(*other, files, options),
        };
        found.is_ok_and(|found| !found.is_empty() || !found.steps.is_empty())
    });
    match other {
        Some((_, name)) => format!("it reads as `rollcast import {name}`"),
        None => "`rollcast import --help` says what is read".to_owned(),
    }
}

fn of_framework(kind: Kind, files: &[PathBuf], options: &Options) -> Result<Found, IngestError> {
    let Some(words) = kind.words() else { return Ok(Found::default()) };
    let mut metrics = Metrics::default();
    for file in files {
        forms::read(file, &mut metrics)?;
    }
    if let Some((first, last)) = options.steps {
        let had = metrics.range();
        metrics.keep(first, last);
        if let (None, Some((least, most))) = (metrics.range(), had) {
            let message = format!("no RL step from {first} to {last}: the log has {least} to {most}");
            return Err(IngestError::Content { message });
        }
    }
    if !words.known(|name| metrics.of(name).is_some()) {
        return Ok(Found::default());
    }
    let name =
        |file: &PathBuf| file.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
    let file = files.iter().map(name).collect::<Vec<_>>().join(" and ");
    let mut found = run::found(&metrics, words, &file, options);
    // Steps that only validate have no seconds.
    let mean = words.response.iter().find_map(|[mean, ..]| metrics.of(mean));
    let steps = mean.or_else(|| metrics.any(words.step).map(|found| found.1));
    if let Some((first, last)) = steps.and_then(|s| Some((s.keys().next()?, s.keys().next_back()?))) {
        found.read = format!("RL steps {first} to {last}, {} of them", steps.map_or(0, Series::len));
    }
    Ok(found)
}

fn of_engine(kind: Kind, files: &[PathBuf], options: &Options) -> Result<Found, IngestError> {
    let mut found = Found::default();
    let mut samples: Vec<(u64, prometheus::Sample)> = Vec::new();
    for file in files {
        let mut sample = prometheus::Sample::default();
        let mut values = 0;
        text::lines(file, |_, line| values += u64::from(sample.line(line)))?;
        samples.push((values, sample));
    }
    let metrics = samples.iter().filter(|(values, _)| *values > 0).count();
    if metrics == 0 {
        return of_engine_log(kind, files, options);
    }
    if metrics < samples.len() || samples.len() > 2 {
        let message = format!(
            "{} files, {metrics} of them of /metrics: give one, or two (a beginning and an end), and logs apart",
            samples.len()
        );
        return Err(IngestError::Content { message });
    }
    let values = samples.iter().map(|(values, _)| values).sum::<u64>();
    let mut samples = samples.into_iter().map(|(_, sample)| sample);
    let sample = match (samples.next(), samples.next()) {
        (Some(first), Some(last)) => last.since(&first)?,
        (Some(only), None) => only,
        (None, _) => return Ok(found),
    };
    if sample.is_of(kind.name()) {
        prometheus::found(&sample, options, &mut found);
        found.read = format!("{values} values of /metrics");
        if found.is_empty() {
            found.remark("nothing was counted: no finished request, no draft");
        }
    }
    Ok(found)
}

fn of_engine_log(kind: Kind, files: &[PathBuf], options: &Options) -> Result<Found, IngestError> {
    let mut found = Found::default();
    let read = |each: &mut dyn FnMut(&str)| {
        files.iter().try_for_each(|file| text::lines(file, |_, line| each(line)))
    };
    let lines = match kind {
        Kind::Vllm => engine_log::vllm(read, &mut found)?,
        _ => engine_log::sglang(read, options, &mut found)?,
    };
    found.read = format!("{lines} lines of the engine's log");
    if lines > 0 && found.is_empty() && found.steps.is_empty() && found.remarks.is_empty() {
        found.remark("no drafts were counted in it, and too few steps of one batch to tell their time");
    }
    Ok(found)
}

fn of_samples(files: &[PathBuf], options: &Options) -> Result<Found, IngestError> {
    let mut samples = samples::Samples::default();
    let mut records = 0;
    for file in files {
        records += samples::read(file, options.key.as_deref(), &mut samples)?;
    }
    let mut found = Found { read: format!("{records} records"), ..Found::default() };
    let both =
        [("workload.prompt_tokens", &samples.prompts), ("workload.response_tokens", &samples.responses)];
    for (path, lengths) in both {
        if let Some(lengths) = lengths::histogram(lengths) {
            found.entry(path, lengths.value, lengths.from);
        }
    }
    Ok(found)
}
