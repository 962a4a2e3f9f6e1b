//! Runs of `rollcast calibrate run` on a driver, a compiler and a library of products that stand in for NVIDIA's
//! (`kernels/standin`): the host's half of a run, held to the rules that are documented, where there is no GPU.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use rollcast::calibrate::correctness::BUGS;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{Run, rollcast};
use crate::host::{compiler, flag, source};

/// The folder of the libraries, built once; none where there is no C++ compiler, or no Linux.
fn built() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<TempDir>> = OnceLock::new();
    FOLDER.get_or_init(build).as_ref().map(TempDir::path)
}

fn build() -> Option<TempDir> {
    if !cfg!(target_os = "linux") {
        println!("SKIPPED: the stand-in driver is for Linux");
        return None;
    }
    let compiler = compiler()?;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let compile = |name: &str, from: &[&str], more: &[&str]| {
        let mut command = Command::new(&compiler);
        command.args(["-std=c++17", "-O1", "-Wall", "-fPIC", "-shared"]).arg("-o").arg(at(name));
        command.arg(format!("-Wl,-soname,{name}")).args(from.iter().map(|from| source(from))).args(more);
        command
    };
    let done = |mut command: Command| assert!(command.status().unwrap().success(), "{command:?}");
    // The first names that are looked for, so that a driver of this machine's is not found before.
    done(compile("libcuda.so", &["standin/driver.cpp", "standin/streams.cpp"], &["-ldl"]));
    let with_driver = [&format!("-L{}", folder.path().display()), "-lcuda"];
    done(compile("libnvrtc.so", &["standin/compiler.cpp"], &with_driver));
    done(compile("libcublasLt.so", &["standin/products.cpp"], &with_driver));
    // Several of these are loaded side by side, each with its own state.
    let alone = ["-fno-gnu-unique", "-Wl,-Bsymbolic"];
    let modules: Vec<_> = std::iter::once("")
        .chain(BUGS)
        .map(|bug| {
            let mut command = compile(&format!("module{bug}.so"), &["host/library.cpp"], &alone);
            command.args(flag(bug)).spawn().unwrap()
        })
        .collect();
    for mut module in modules {
        assert!(module.wait().unwrap().success(), "the kernels' source does not compile on the host");
    }
    Some(folder)
}

/// What a run left behind.
struct Session {
    folder: TempDir,
}

impl Session {
    /// A run with these arguments and this fault.
    fn of(libraries: &Path, arguments: &[&str], fault: Option<&str>) -> (Self, Run) {
        let folder = tempfile::tempdir().unwrap();
        let mut command = rollcast();
        command.args(["calibrate", "run", "--checks", "small", "--out"]).arg(folder.path().join("out"));
        command.arg("--cuda-lib-dir").arg(libraries).args(arguments);
        let run = Run::of(on_standin(&mut command, libraries, folder.path(), fault));
        (Session { folder }, run)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join("out").join(name)).unwrap_or_else(|_| panic!("no {name}"))
    }

    fn summary(&self) -> Value {
        serde_json::from_str(&self.text("run.json")).unwrap()
    }

    /// Calls by name, kinds of things that were not given back, and rules that were broken.
    fn report(&self) -> Report {
        let text = fs::read_to_string(self.folder.path().join("report")).unwrap();
        let mut report = Report::default();
        for line in text.lines() {
            if let Some(wrong) = line.strip_prefix("WRONG ") {
                report.wrong.push(wrong.to_owned());
                continue;
            }
            let (left, line) = line.strip_prefix("LEFT ").map_or((false, line), |line| (true, line));
            let (name, count) = line.rsplit_once(' ').unwrap();
            let into = if left { &mut report.left } else { &mut report.calls };
            into.insert(name.to_owned(), count.parse().unwrap());
        }
        report
    }
}

#[derive(Debug, Default)]
struct Report {
    wrong: Vec<String>,
    left: BTreeMap<String, i64>,
    calls: BTreeMap<String, i64>,
}

impl Report {
    /// No rule was broken, and all was given back but modules, which the driver drops with the context.
    fn is_clean(&self) {
        assert_eq!(self.wrong, [""; 0]);
        let kinds: Vec<&str> = self.left.keys().map(String::as_str).collect();
        assert!(kinds.iter().all(|kind| ["function", "module"].contains(kind)), "{:?}", self.left);
    }
}

/// A command with the stand-in's driver where libraries are looked for first.
fn on_standin<'a>(
    command: &'a mut assert_cmd::Command,
    libraries: &Path,
    folder: &Path,
    fault: Option<&str>,
) -> &'a mut assert_cmd::Command {
    // Modules lie beside the libraries, the report elsewhere.
    for entry in fs::read_dir(libraries).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("module") {
            std::os::unix::fs::symlink(entry.path(), folder.join(entry.file_name())).unwrap();
        }
    }
    command.env("LD_LIBRARY_PATH", libraries).env("ROLLCAST_STANDIN", folder);
    if let Some(fault) = fault {
        command.env("ROLLCAST_STANDIN_FAULT", fault).env(FEW_BLOCKS.0, FEW_BLOCKS.1);
    }
    command.timeout(std::time::Duration::from_secs(600))
}

#[test]
fn a_run_of_every_family_keeps_the_drivers_rules_and_gives_everything_back() {
    let Some(libraries) = built() else { return };
    let (session, run) = Session::of(libraries, &["--budget-s", "600"], None);
    let screen = run.exits(0).out;
    assert!(screen.contains(" 0 left out, 0 refused"), "{screen}");
    let summary = session.summary();
    assert_eq!(summary["correct"], true, "{screen}");
    assert_eq!(summary["broken"], Value::Null);
    assert_eq!(summary["checks"], "small");
    let report = session.report();
    report.is_clean();
    for call in ["cuGraphLaunch", "cublasLtMatmul", "cuMemcpyDtoH", "cuEventElapsedTime"] {
        assert!(report.calls[call] > 0, "{call} was not called");
    }
    // Time is made up, so figures mean nothing; that each table has its rows does.
    for (table, least) in
        [("gemm.csv", 500), ("attention_decode.csv", 200), ("sampling.csv", 50), ("steps.csv", 36)]
    {
        let lines = session.text(table).lines().count();
        assert!(lines > least, "{table} has {lines} lines");
    }
    assert!(session.text("gemm.csv").contains("\ndevice: \"stand-in\"\n"), "it must not pass for a GPU");
    assert!(session.text("algorithms.csv").contains("algorithm 60 tile 1 stages 6 split 2"));
}

/// What a run ends with in which laws could not be checked: rows are there, and flagged. So that it takes seconds, on a slow
/// machine too, the stand-in refuses the thousands of blocks that laws take.
const UNCHECKED: i32 = 3;
const FEW_BLOCKS: (&str, &str) = ("ROLLCAST_STANDIN_BLOCKS", "300");

#[test]
fn a_work_that_is_refused_does_not_end_a_run() {
    let Some(libraries) = built() else { return };
    let faults = "cuGraphInstantiate:12:2,cublasLtMatmulAlgoGetHeuristic:6:15,cublasLtMatmul:6:15";
    let (session, run) = Session::of(libraries, &["--budget-s", "300", "--families", "copy"], Some(faults));
    run.exits(UNCHECKED);
    let log = session.text("log");
    for words in ["cuGraphInstantiate: ", "cuBLASLt has no algorithm: ", "cublasLtMatmul: "] {
        let refused = |line: &&str| line.starts_with("refused: ") && line.contains(words);
        assert_eq!(log.lines().filter(refused).count(), 1, "{words}\n{log}");
    }
    assert_eq!(session.summary()["broken"], Value::Null);
    assert!(session.text("elementwise.csv").lines().count() > 10);
    session.report().is_clean();
}

#[test]
fn a_device_that_breaks_ends_the_run_and_leaves_what_was_measured() {
    let Some(libraries) = built() else { return };
    let arguments = ["--budget-s", "300", "--families", "verify"];
    let (session, run) = Session::of(libraries, &arguments, Some("cuEventSynchronize:2000:700"));
    run.exits(1).says(&["cuEventSynchronize"]);
    let broken = session.summary()["broken"].to_string();
    assert!(broken.contains("cuEventSynchronize"), "{broken}");
    assert!(session.text("attention_decode.csv").lines().count() > 10);
    // What a broken context still allows to be given back is given back.
    session.report().is_clean();
}

#[test]
fn what_cannot_be_opened_is_said_and_leaves_no_folder() {
    let Some(libraries) = built() else { return };
    for (fault, words) in [
        ("cuInit:1:100", "no GPU that CUDA can use"),
        ("cuMemAlloc:1:2", "cuMemAlloc"),
        ("cuModuleLoadData:2:209", "cuModuleLoadData"),
        ("nvrtcCompileProgram:3:6", "no log of a stand-in"),
        ("cublasLtCreate:1:1", "cublasLtCreate"),
    ] {
        let (session, run) = Session::of(libraries, &["--budget-s", "5"], Some(fault));
        let run = run.exits(1).says(&[words]);
        assert_eq!(run.out, "", "{fault}");
        assert!(!session.folder.path().join("out").exists(), "{fault}: a folder is left behind");
    }
}

#[test]
fn libraries_are_found_among_the_packages_of_python() {
    let Some(libraries) = built() else { return };
    if !Run::of(rollcast().args(["calibrate", "check"])).err.contains("no NVRTC") {
        println!("SKIPPED: this machine has an NVRTC of its own, which is found first");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = |path: &str, name: &str| {
        let to = folder.path().join(path);
        fs::create_dir_all(&to).unwrap();
        fs::copy(libraries.join(name), to.join(name)).unwrap();
        to
    };
    // The libraries that stand in need the driver's.
    let driver = place("driver", "libcuda.so");
    place("venv/lib/python3.12/site-packages/nvidia/cuda_nvrtc/lib", "libnvrtc.so");
    place("venv/lib/python3.12/site-packages/nvidia/cublas/lib", "libcublasLt.so");
    let mut command = rollcast();
    command.args(["calibrate", "check"]).env("LD_LIBRARY_PATH", driver);
    command.env("VIRTUAL_ENV", folder.path().join("venv"));
    let out = Run::of(&mut command).out;
    for library in ["cuda_nvrtc/lib/libnvrtc.so", "cublas/lib/libcublasLt.so"] {
        assert!(out.contains(library), "no {library} in\n{out}");
    }
}
