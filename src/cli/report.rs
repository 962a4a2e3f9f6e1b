//! `rollcast report`: the page of a forecast (`result.json`) or of a sweep (its journals; shards are put together).

use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::OutputOptions;
use super::error::CliError;
use super::sweep::is_journal;
use crate::report::{SweepTable, run_page, sweep_page};
use crate::result::RunResult;
use crate::study::sweep::Row;
use crate::study::sweep::journal::{self, Header};

/// Most bytes of a result that is read.
const LARGEST: u64 = 256 * 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Directory of a forecast (`run --out`), or directories of one sweep.
    #[arg(required = true, value_name = "DIR")]
    directories: Vec<PathBuf>,
    /// The file to write; by default report.html in the first directory.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: OutputOptions,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let mut journals = Vec::new();
    let mut results = Vec::new();
    for directory in &arguments.directories {
        let found = files(directory)?;
        results.extend(found.iter().filter(|path| path.ends_with("result.json")).cloned());
        journals.extend(found.into_iter().filter(|path| is_journal(path)));
    }
    let page = match (results.as_slice(), journals.is_empty()) {
        ([result], true) => run_page(&forecast(result)?),
        ([], false) => sweep_page(&rows(&journals)?),
        ([], true) => {
            let message = "no result.json and no sweep.journal in these directories".to_owned();
            return Err(CliError::Usage { message });
        }
        _ => {
            let message = "a page is of one forecast, or of one sweep, not of several".to_owned();
            return Err(CliError::Usage { message });
        }
    };
    let first = arguments.directories.first().map_or(Path::new("."), PathBuf::as_path);
    let path = arguments.out.clone().unwrap_or_else(|| first.join("report.html"));
    write(&path, &page)?;
    super::note(arguments.output, &format!("wrote {}", path.display()));
    Ok(ExitCode::SUCCESS)
}

/// Writes a page beside its final name and renames it into place.
pub(super) fn write(path: &Path, page: &str) -> Result<(), CliError> {
    let directory = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(|source| CliError::Write { path: directory.to_owned(), source })?;
    let Some(name) = path.file_name() else {
        return Err(CliError::Usage { message: format!("{} names no file", path.display()) });
    };
    super::run::file(directory, &name.to_string_lossy(), |out| out.write_all(page.as_bytes()))
}

fn files(directory: &Path) -> Result<Vec<PathBuf>, CliError> {
    let failed = |error| CliError::Unreadable { path: directory.to_owned(), message: format!("{error}") };
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        found.push(entry.map_err(failed)?.path());
    }
    found.sort();
    Ok(found)
}

fn forecast(path: &Path) -> Result<RunResult, CliError> {
    let wrong = |message: String| CliError::Unreadable { path: path.to_owned(), message };
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    if file.metadata().map_or(0, |metadata| metadata.len()) > LARGEST {
        return Err(wrong("larger than any forecast".to_owned()));
    }
    RunResult::read(BufReader::new(file)).map_err(|error| wrong(error.to_string()))
}

/// The rows of all journals, which are of one sweep, in order of index.
fn rows(paths: &[PathBuf]) -> Result<SweepTable, CliError> {
    let mut known: Option<Header> = None;
    let mut rows: Vec<Row> = Vec::new();
    for path in paths {
        let wrong = |source| CliError::Journal { path: path.clone(), source };
        let file = File::open(path).map_err(|error| wrong(error.into()))?;
        let contents = journal::read(BufReader::new(file), |_, row, _| rows.push(row)).map_err(wrong)?;
        let Some(header) = contents.header else { continue };
        match &known {
            Some(first) => header.same_as(first).map_err(wrong)?,
            None => known = Some(header),
        }
    }
    // A point that two shards ran is one point; the first journal's row stays.
    rows.sort_by_key(|row| row.index);
    rows.dedup_by_key(|row| row.index);
    let Some(header) = known else {
        return Err(CliError::Usage { message: "these journals hold no sweep".to_owned() });
    };
    Ok(SweepTable { command: header.command.clone(), header, rows })
}
