//! `rollcast plan`: the best plan for a goal, and how sure that is.
//!
//! With `--out DIR` the directory holds `plan.journal` while the search runs (it goes on from there after a kill), then
//! `plan.json`, `plan.csv` (every candidate and what became of it) and `best.yaml`, the scenario of the best plan. With
//! `--out FILE.yaml` only that scenario is written.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::error::CliError;
use super::progress::Progress;
use super::sweep::Store;
use super::{Format, OutputOptions, ScenarioOptions, screen};
use crate::report::plan_page;
use crate::study::plan::{self, Found, Options, PlanResult, Question, SearchError, Space, Told};
use crate::study::sweep::Row;
use crate::study::sweep::journal::Header;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The scenario, a YAML file with a `plan:`.
    scenario: PathBuf,
    /// Write into this directory; or, where it ends in .yaml, only the best plan's scenario into this file.
    #[arg(long, value_name = "DIR|FILE")]
    out: Option<PathBuf>,
    /// Write a report, one HTML file that needs nothing else.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Say what became of the candidates with these values, such as `gpus=64,tp=4`; may be given again.
    #[arg(long, value_name = "KEY=VALUE,…")]
    explain: Vec<String>,
    /// Simulate every candidate that can be, in full.
    #[arg(long)]
    exhaustive: bool,
    #[command(flatten)]
    options: ScenarioOptions,
    #[command(flatten)]
    output: OutputOptions,
}

/// Where results go.
enum Out<'a> {
    Nowhere,
    Scenario(&'a Path),
    Directory(&'a Path),
}

impl Arguments {
    fn out(&self) -> Out<'_> {
        match &self.out {
            None => Out::Nowhere,
            Some(path) if path.extension().is_some_and(|end| end == "yaml" || end == "yml") => {
                Out::Scenario(path)
            }
            Some(path) => Out::Directory(path),
        }
    }

    fn command(&self) -> String {
        let more = if self.exhaustive { " --exhaustive" } else { "" };
        self.options.command("plan", &self.scenario, more)
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let document = arguments.options.read(&arguments.scenario)?;
    let space = Space::of(&document)?;
    let goal = plan::goal(&document)?;
    let options = Options { stepper: arguments.options.stepper(), exhaustive: arguments.exhaustive };
    let wrong = |message| CliError::Usage { message: format!("--explain: {message}") };
    let questions = arguments.explain.iter().map(|text| Question::parse(&space, text).map_err(wrong));
    let questions = questions.collect::<Result<Vec<Question>, CliError>>()?;
    let mut store = match arguments.out() {
        Out::Directory(directory) => {
            let header = Header {
                command: Some(arguments.command()),
                ..Header::new(
                    arguments.scenario.display().to_string(),
                    plan::rows(&space),
                    plan::COLUMNS.map(str::to_owned).to_vec(),
                    plan::expanded(&document, options),
                )
            };
            Some(Store::begun(directory, "plan.journal", header, arguments.output)?)
        }
        _ => None,
    };
    let (found, result) = arguments.options.on_threads(|| {
        let found = search(&space, &goal, options, store.as_mut(), arguments.output)?;
        let result = plan::answer(&space, &goal, options, &found);
        Ok::<_, CliError>((found, result))
    })??;
    match arguments.output.format {
        Format::Table => super::print(&screen::plan(&result))?,
        Format::Json => super::print_json(&result)?,
    }
    for question in &questions {
        let text = screen::explained(&question.answer(&space, &found));
        match arguments.output.format {
            Format::Table => super::print(&text)?,
            // The answer stays one JSON text.
            Format::Json => super::note(OutputOptions { quiet: false, ..arguments.output }, text.trim_end()),
        }
    }
    write(arguments, &space, &found, &result, store.as_ref())?;
    Ok(if result.best.is_some() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Searches, keeps what is found and says how far it is.
fn search(
    space: &Space,
    goal: &plan::Goal,
    options: Options,
    store: Option<&mut Store>,
    output: OutputOptions,
) -> Result<Found, CliError> {
    let known: HashMap<u64, Row> = match &store {
        Some(store) => {
            let failed = |source| CliError::Write { path: store.path().to_owned(), source };
            store.rows().map_err(failed)?.into_iter().map(|row| (row.index, row)).collect()
        }
        None => HashMap::new(),
    };
    if !known.is_empty() {
        super::note(output, &format!("{} simulations are there already", known.len()));
    }
    let mut progress: Option<Progress> = None;
    let mut store = store;
    let found = plan::search(space, goal, options, &known, |told| {
        match told {
            Told::Begin(parts) => {
                if let Some(before) = progress.replace(Progress::new(output.quiet, 0, parts as u64)) {
                    before.end();
                }
            }
            Told::Done(parts) => {
                if let Some(progress) = &mut progress {
                    progress.steps(parts);
                }
            }
            Told::Row(row) => {
                if let Some(store) = &mut store {
                    store.append(row)?;
                }
            }
        }
        Ok(())
    });
    if let Some(progress) = progress {
        progress.end();
    }
    match found {
        Ok(found) => Ok(found),
        Err(SearchError::Input(error)) => Err(error.into()),
        Err(SearchError::Keep(source)) => {
            let path = store.map_or_else(PathBuf::new, |store| store.path().to_owned());
            Err(CliError::Write { path, source })
        }
    }
}

fn write(
    arguments: &Arguments,
    space: &Space,
    found: &Found,
    result: &PlanResult,
    store: Option<&Store>,
) -> Result<(), CliError> {
    let scenario = match &result.best {
        Some(best) => {
            let remark = format!(
                "The best plan of {} (candidate {} of {}): {}\nMade by: {}",
                arguments.scenario.display(),
                best.candidate,
                space.len(),
                best.title,
                arguments.command()
            );
            Some(plan::scenario_text(space, best.candidate, &remark)?)
        }
        None => None,
    };
    match arguments.out() {
        Out::Nowhere => {}
        Out::Scenario(path) => match &scenario {
            Some(text) => {
                super::report::write(path, text)?;
                super::note(arguments.output, &format!("wrote {}", path.display()));
            }
            None => super::note(arguments.output, "nothing is within the limits: no scenario is written"),
        },
        Out::Directory(directory) => {
            if let Some(store) = store {
                store.sync()?;
            }
            super::run::file(directory, "plan.json", |out| {
                serde_json::to_writer_pretty(&mut *out, result)?;
                out.write_all(b"\n")
            })?;
            super::run::file(directory, "plan.csv", |out| {
                let mut table = csv::Writer::from_writer(out);
                let fixed = ["fate", "why"].map(str::to_owned);
                table.write_record(
                    std::iter::once("candidate".to_owned()).chain(space.columns()).chain(fixed),
                )?;
                for (candidate, fate) in found.fates.iter().enumerate() {
                    let cells = [fate.reason().to_owned(), fate.text(space)];
                    let labels = space.labels(candidate);
                    table.write_record(std::iter::once(candidate.to_string()).chain(labels).chain(cells))?;
                }
                table.flush()
            })?;
            let mut names = "plan.json and plan.csv";
            if let Some(text) = &scenario {
                super::run::file(directory, "best.yaml", |out| out.write_all(text.as_bytes()))?;
                names = "plan.json, plan.csv and best.yaml";
            }
            super::note(arguments.output, &format!("wrote {names} to {}", directory.display()));
        }
    }
    if let Some(path) = &arguments.report {
        super::report::write(path, &plan_page(result, scenario.as_deref(), &arguments.command()))?;
        super::note(arguments.output, &format!("wrote {}", path.display()));
    }
    Ok(())
}
