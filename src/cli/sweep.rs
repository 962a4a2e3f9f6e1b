//! `rollcast sweep`: a table of points, kept as it grows.
//!
//! The directory holds `sweep.journal` while points run, and `sweep.csv` once all are there; a shard's files are named
//! after it. Run without `--shard`, the command takes over the rows of every shard's journal that it finds.

mod keep;
#[cfg(feature = "parquet")]
mod parquet;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::error::CliError;
use super::progress::Progress;
use super::{Format, OutputOptions, ScenarioOptions, StepperChoice, screen};
use crate::scenario::Document;
use crate::study::sweep::{self, Options, RunError, Sweep, Workers};
pub(super) use keep::{Store, is_journal};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The sweep, a YAML file: a base scenario and axes.
    sweep: PathBuf,
    /// Write into this directory; by default reports/ and the file's name.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Draw N points (a Latin hypercube) instead of the full grid; where axes are lists, fewer if some come up twice.
    #[arg(long, value_name = "N")]
    sample: Option<u32>,
    /// Run part I of N only, such as `--shard 2/4`.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Only say what is wrong with the sweep, and how many points it has.
    #[arg(long)]
    check: bool,
    /// Write the table as Parquet too.
    #[cfg(feature = "parquet")]
    #[arg(long)]
    parquet: bool,
    #[command(flatten)]
    options: ScenarioOptions,
    #[command(flatten)]
    output: OutputOptions,
}

/// One part of a sweep, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shard {
    part: u64,
    of: u64,
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((part, of)) if (1..=of).contains(&part) && of <= 10_000 => Ok(Shard { part, of }),
            _ => Err(format!("found `{text}`, expected I/N with I from 1 to N, such as 2/4")),
        }
    }
}

impl Shard {
    fn holds(shard: Option<Shard>, index: u64) -> bool {
        shard.is_none_or(|shard| index % shard.of == shard.part - 1)
    }

    /// The stem of a sweep's file names.
    fn stem(shard: Option<Shard>) -> String {
        shard.map_or_else(|| "sweep".to_owned(), |shard| format!("sweep.{}-of-{}", shard.part, shard.of))
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let options = Options {
        overrides: &arguments.options.overrides,
        sample: arguments.sample,
        exact: arguments.options.stepper == StepperChoice::Exact,
    };
    let sweep = Sweep::read(&Document::read(&arguments.sweep)?, options)?;
    sweep.check()?;
    if arguments.check {
        super::print(&format!("{}: {} points, no mistakes\n", arguments.sweep.display(), sweep.len()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let directory = arguments.out.clone().unwrap_or_else(|| default_directory(&arguments.sweep));
    let more = arguments.sample.map_or_else(String::new, |n| format!(" --sample {n}"));
    let command = arguments.options.command("sweep", &arguments.sweep, &more);
    let mut store = Store::open(&directory, &sweep, arguments.shard, command, arguments.output)?;
    let mine = |index: &u64| Shard::holds(arguments.shard, *index);
    let todo: Vec<u64> = (0..sweep.len()).filter(mine).filter(|index| !store.has(*index)).collect();
    let all = (0..sweep.len()).filter(mine).count() as u64;
    let before = all - todo.len() as u64;
    if before > 0 {
        super::note(arguments.output, &format!("{before} of {all} points are there already"));
    }
    let threads = arguments.options.threads.map_or_else(rayon::current_num_threads, usize::from);
    let mut progress = Progress::new(arguments.output.quiet, before, all);
    let ran = sweep::run(&sweep, &todo, Workers::new(threads, todo.len()), |row| {
        store.append(&row)?;
        progress.step();
        Ok(())
    });
    progress.end();
    match ran {
        Ok(()) => {}
        Err(RunError::Threads(error)) => return Err(error.into()),
        Err(RunError::Keep(source)) => {
            let kept = (0..sweep.len()).filter(mine).filter(|index| store.has(*index)).count() as u64;
            return Err(CliError::SweepStopped { path: store.path().to_owned(), source, kept, all });
        }
    }
    let table = format!("{}.csv", Shard::stem(arguments.shard));
    let mut best = screen::Best::new(&sweep.columns(), sweep.axis_columns().count());
    store.sync()?;
    super::run::file(&directory, &table, |out| {
        store.write_table(&sweep.columns(), out, |row| best.see(row))
    })?;
    #[cfg(feature = "parquet")]
    if arguments.parquet {
        let name = format!("{}.parquet", Shard::stem(arguments.shard));
        super::run::file(&directory, &name, |out| store.write_parquet(&sweep.columns(), out))?;
    }
    match arguments.output.format {
        Format::Table => super::print(&screen::best_points(&sweep.name, &best, &directory.join(&table)))?,
        Format::Json => super::print_json(&best.json(&sweep.name, &directory.join(&table)))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn default_directory(file: &Path) -> PathBuf {
    Path::new("reports").join(file.file_stem().unwrap_or_default())
}
