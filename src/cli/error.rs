//! What can end a command, and the exit code that says so.

use std::io;
use std::path::PathBuf;

use crate::resolve::ResolveError;

#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(transparent)]
    Input(#[from] crate::scenario::Error),
    #[error(transparent)]
    Table(#[from] crate::measured::MeasuredError),
    #[error(transparent)]
    Ingest(#[from] crate::ingest::IngestError),
    #[error(transparent)]
    Fit(#[from] crate::cost::fit::FitError),
    #[error("{message}")]
    Usage { message: String },
    #[error("{}: {message}", path.display())]
    Unreadable { path: PathBuf, message: String },
    #[error(transparent)]
    Sweep(#[from] crate::study::sweep::SweepErrors),
    #[error("{}: {source}", path.display())]
    Journal { path: PathBuf, source: crate::study::sweep::journal::JournalError },
    #[error("{}: another process is at work on this sweep; wait for it, or give --out another directory", path.display())]
    Busy { path: PathBuf },
    #[error(
        "cannot write {}: {source}\n  {kept} of {all} points are in it and stay there: with room again, the same command goes on from there",
        path.display()
    )]
    SweepStopped { path: PathBuf, source: io::Error, kept: u64, all: u64 },
    #[error(transparent)]
    Measure(#[from] crate::calibrate::bench::BenchError),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot write to standard output: {0}")]
    Stdout(#[from] io::Error),
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("cannot start threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

impl CliError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            CliError::Journal { source: crate::study::sweep::journal::JournalError::Changed(_), .. }
            | CliError::Sweep(_)
            | CliError::Input(_)
            | CliError::Table(_)
            | CliError::Fit(_)
            | CliError::Ingest(_)
            | CliError::Usage { .. }
            | CliError::Resolve(ResolveError::Input(_)) => 2,
            _ => 1,
        }
    }

    /// Whether the reader of standard output went away (`rollcast … | head`).
    pub(super) fn is_closed_pipe(&self) -> bool {
        matches!(self, CliError::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
