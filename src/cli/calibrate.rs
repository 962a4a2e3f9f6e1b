//! `rollcast calibrate plan | check | run`: measure kernels on a GPU. Only this file opens the run's files.

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use super::error::CliError;
use crate::calibrate::correctness::Effort;
use crate::calibrate::cuda;
use crate::calibrate::plan::{self, Family, cost_s};
use crate::calibrate::protocol::Protocol;
use crate::calibrate::scheduler::Budget;
use crate::calibrate::session::{self, Device, Options, Rehearsal, Sink};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print what a run would measure and the seconds that are expected; needs no GPU.
    Plan(PlanArguments),
    /// Compile every kernel and look at its machine code; needs NVRTC, no GPU.
    Check(CheckArguments),
    /// Measure, on an H100 or H200.
    Run(RunArguments),
}

#[derive(Debug, Args)]
struct PlanArguments {
    #[command(flatten)]
    scope: Scope,
    /// Every point, not only a line a family.
    #[arg(long)]
    points: bool,
}

/// What a run measures, and for how long.
#[derive(Debug, Args)]
struct Scope {
    /// Seconds of the run.
    #[arg(long, default_value_t = 540.0, value_parser = seconds)]
    budget_s: f64,
    /// Families to measure; all by default.
    #[arg(long, value_delimiter = ',', value_name = "FAMILY")]
    families: Vec<FamilyChoice>,
}

#[derive(Debug, Args)]
struct CheckArguments {
    /// Folders with libnvrtc; without, where the system finds it, CUDA_HOME, /usr/local/cuda and the packages of python3.
    #[arg(long, value_name = "DIR")]
    cuda_lib_dir: Vec<PathBuf>,
    /// Folder with nvdisasm; by default it is looked for in PATH.
    #[arg(long, value_name = "DIR")]
    cuda_bin_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RunArguments {
    #[command(flatten)]
    scope: Scope,
    /// Folders with libnvrtc and libcublasLt; without, where the system finds them, CUDA_HOME, /usr/local/cuda and the
    /// packages of python3.
    #[arg(long, value_name = "DIR")]
    cuda_lib_dir: Vec<PathBuf>,
    /// Where tables, checks and the log are written.
    #[arg(long, short, value_name = "DIR", default_value = "reports/calibration")]
    out: PathBuf,
    /// Of the random order and of the kernels' inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Sizes at which the kernels are checked; the small ones are for a first look at a machine.
    #[arg(long, value_name = "SIZES", default_value = "full")]
    checks: Sizes,
    /// Go through a run on a made-up device: shows what is written, measures nothing.
    #[arg(long)]
    rehearse: bool,
}

/// Sizes of the checks of correctness.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Sizes {
    /// What a slow host can follow in seconds
    Small,
    /// Those and sizes of serving, a minute on two cores
    Full,
}

/// A family by name.
#[derive(Debug, Clone, Copy)]
struct FamilyChoice(Family);

impl ValueEnum for FamilyChoice {
    fn value_variants<'a>() -> &'a [Self] {
        const {
            &[
                FamilyChoice(Family::Copy),
                FamilyChoice(Family::Gemm),
                FamilyChoice(Family::GemmGrid),
                FamilyChoice(Family::GemmFp8),
                FamilyChoice(Family::GemmBest),
                FamilyChoice(Family::Verify),
                FamilyChoice(Family::Tree),
                FamilyChoice(Family::Prefill),
                FamilyChoice(Family::Elementwise),
                FamilyChoice(Family::Sampling),
                FamilyChoice(Family::Overhead),
                FamilyChoice(Family::Step),
            ]
        }
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.name()))
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(s) if (1.0..=86_400.0).contains(&s) => Ok(s),
        _ => Err("expected seconds from 1 to 86400".to_owned()),
    }
}

impl Scope {
    fn families(&self) -> Vec<Family> {
        let given: Vec<Family> = self.families.iter().map(|choice| choice.0).collect();
        if given.is_empty() { Family::all().collect() } else { given }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    match &arguments.what {
        What::Plan(plan) => print_plan(plan),
        What::Check(check) => print_check(check),
        What::Run(run) => measure(run),
    }
}

fn print_plan(arguments: &PlanArguments) -> Result<ExitCode, CliError> {
    let protocol = Protocol::default();
    let families = arguments.scope.families();
    let points = plan::points(&protocol, &families);
    let mut text = format!("{:<12} {:>7} {:>9}\n", "family", "points", "seconds");
    let mut total = 0.0;
    // Writing into a string cannot fail.
    for family in &families {
        let own: Vec<_> = points.iter().filter(|point| point.family == *family).collect();
        let mut line = |n: usize, seconds: f64| {
            total += seconds;
            let _ = writeln!(text, "{:<12} {n:>7} {seconds:>9.1}", family.name());
        };
        if *family == Family::Step {
            let steps = plan::steps();
            line(steps.len(), steps.iter().map(|work| cost_s(&protocol, work)).sum());
        } else {
            line(own.len(), own.iter().map(|point| point.seconds).sum());
        }
    }
    let budget = Budget { total_s: arguments.scope.budget_s };
    let [points_s, steps_s, again_s] = budget.until();
    let _ = writeln!(
        text,
        "{:<12} {:>7} {total:>9.1}\n\nof {} s: points until {points_s:.0}, whole steps until {steps_s:.0}, repeats until {again_s:.0}",
        "all", "", arguments.scope.budget_s
    );
    let planned: f64 = points.iter().map(|point| point.seconds).sum();
    // Checks of correctness come before the points.
    if planned > 0.8 * points_s {
        let _ = writeln!(
            text,
            "points of {planned:.0} s do not fit: those that are worth most for their seconds come first"
        );
    }
    if arguments.points {
        text += "\n";
        for point in &points {
            let _ = writeln!(text, "{:>8.4} s  {:.2e}  {}", point.seconds, point.value, point.work);
        }
    }
    super::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn print_check(arguments: &CheckArguments) -> Result<ExitCode, CliError> {
    let folder = arguments.cuda_bin_dir.as_deref();
    let found = cuda::check(&arguments.cuda_lib_dir, &|cubin| disassembled(cubin, folder))?;
    super::print(&found.text)?;
    Ok(if found.passed { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// What nvdisasm says of a cubin; none where it is not there or does not run. It reads files only, and a name with the
/// process's id keeps two runs apart.
fn disassembled(cubin: &[u8], folder: Option<&Path>) -> Option<String> {
    let program = folder.map_or_else(|| PathBuf::from("nvdisasm"), |folder| folder.join("nvdisasm"));
    let file = std::env::temp_dir().join(format!("rollcast-{}.cubin", std::process::id()));
    fs::write(&file, cubin).ok()?;
    let output = std::process::Command::new(program).arg("-c").arg(&file).output();
    let removed = fs::remove_file(&file);
    let output = output.ok().filter(|output| output.status.success() && removed.is_ok())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The folder of a run. Files that cannot be written do not end the run: the first failure is told at its end.
struct Folder {
    path: PathBuf,
    log: fs::File,
    failed: Option<CliError>,
}

fn cannot(path: &Path) -> impl FnOnce(std::io::Error) -> CliError {
    let path = path.to_owned();
    move |source| CliError::Write { path, source }
}

impl Folder {
    fn new(path: &Path) -> Result<Self, CliError> {
        fs::create_dir_all(path).map_err(cannot(path))?;
        let log = path.join("log");
        let file = fs::File::create(&log).map_err(cannot(&log))?;
        Ok(Folder { path: path.to_owned(), log: file, failed: None })
    }

    fn note(&mut self, done: Result<(), CliError>) {
        if let Err(error) = done {
            self.failed.get_or_insert(error);
        }
    }
}

impl Sink for Folder {
    fn line(&mut self, line: &str) {
        let done = writeln!(self.log, "{line}").map_err(cannot(&self.path.join("log")));
        self.note(done);
    }

    /// Under another name first: whoever ends this process finds whole files.
    fn file(&mut self, name: &str, text: &str) {
        let (path, part) = (self.path.join(name), self.path.join(format!(".{name}.part")));
        let done = fs::write(&part, text).and_then(|()| fs::rename(&part, &path)).map_err(cannot(&path));
        self.note(done);
    }
}

fn measure(arguments: &RunArguments) -> Result<ExitCode, CliError> {
    let options = Options {
        budget_s: arguments.scope.budget_s,
        seed: arguments.seed,
        families: arguments.scope.families(),
        checks: match arguments.checks {
            Sizes::Small => Effort::Small,
            Sizes::Full => Effort::Full,
        },
    };
    // The device first: without one no folder is made.
    let mut device: Box<dyn Device> = if arguments.rehearse {
        Box::new(Rehearsal::new(arguments.seed))
    } else {
        Box::new(cuda::open(&arguments.cuda_lib_dir, arguments.seed)?)
    };
    let mut folder = Folder::new(&arguments.out)?;
    let report = session::run(device.as_mut(), &options, &mut folder);
    super::print(&report.screen)?;
    // Only now, when all that could be written is.
    if let Some(error) = folder.failed {
        return Err(error);
    }
    if let Some(error) = report.broken {
        return Err(error.into());
    }
    Ok(if report.correct { ExitCode::SUCCESS } else { ExitCode::from(3) })
}
