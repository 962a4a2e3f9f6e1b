//! A launcher that hands programs to `kernels/host/run.cpp`, compiled here.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rollcast::calibrate::launch::{LaunchError, Launcher, Program, Scalar};

/// Host programs by planted bug; "" is the one without.
pub(crate) struct Host {
    programs: BTreeMap<String, Child>,
    folder: tempfile::TempDir,
}

impl Host {
    /// Compiles one program for each bug and one without; none, and a line that says so, where there is no compiler.
    pub(crate) fn build(bugs: &[&str]) -> Option<Self> {
        let compiler = compiler()?;
        let folder = tempfile::tempdir().unwrap();
        let mut compiling = Vec::new();
        for bug in std::iter::once(&"").chain(bugs) {
            let out = folder.path().join(format!("host{bug}"));
            let mut command = compile(&compiler, &out);
            compiling.push((*bug, out, command.args(flag(bug)).spawn().unwrap()));
        }
        let mut programs = BTreeMap::new();
        for (bug, out, mut child) in compiling {
            assert!(child.wait().unwrap().success(), "the kernels' source does not compile on the host");
            programs.insert(bug.to_owned(), started(&mut Command::new(out)));
        }
        Some(Host { programs, folder })
    }

    /// The program without a bug under ThreadSanitizer; `deaf` where barriers should seem to order nothing. None, and a line
    /// that says so, where the compiler has none.
    pub(crate) fn watched(deaf: bool) -> Option<Self> {
        let compiler = compiler()?;
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("host");
        let mut command = compile(&compiler, &out);
        let built = command.args(["-g1", "-fsanitize=thread"]).output().unwrap();
        if !built.status.success() {
            println!("SKIPPED: `{compiler}` has no ThreadSanitizer");
            return None;
        }
        let mut command = Command::new(out);
        let log = folder.path().join("races");
        command.env("TSAN_OPTIONS", format!("log_path={} exitcode=0", log.display()));
        if deaf {
            command.env("ROLLCAST_DEAF", "1");
        }
        let programs = BTreeMap::from([(String::new(), started(&mut command))]);
        Some(Host { programs, folder })
    }

    /// Ends the programs: what was reported of them.
    pub(crate) fn reports(mut self) -> String {
        self.end();
        let logs = fs::read_dir(self.folder.path()).unwrap().flatten();
        let logs = logs.filter(|entry| entry.file_name().to_string_lossy().starts_with("races"));
        logs.map(|entry| fs::read_to_string(entry.path()).unwrap()).collect()
    }

    fn end(&mut self) {
        for child in self.programs.values_mut() {
            // It ends by itself when its input does.
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

fn compile(compiler: &str, out: &Path) -> Command {
    let mut command = Command::new(compiler);
    command.args(["-std=c++17", "-O1", "-Wall", "-o"]).arg(out).arg(source("host/run.cpp"));
    command
}

fn started(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// The C++ compiler; none, and a line that says so, where there is none.
pub(crate) fn compiler() -> Option<String> {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    if Command::new(&compiler).arg("--version").output().is_err() {
        println!("SKIPPED: no C++ compiler `{compiler}` to run the kernels' source with");
        return None;
    }
    Some(compiler)
}

/// A file of `kernels/`.
pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels").join(name)
}

/// What plants a bug; nothing where none is named.
pub(crate) fn flag(bug: &str) -> Option<String> {
    (!bug.is_empty()).then(|| format!("-D{bug}"))
}

fn encoded(program: &Program, data: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let number = |bytes: &mut Vec<u8>, x: u32| bytes.extend(x.to_le_bytes());
    number(&mut bytes, data.len() as u32);
    for buffer in data {
        bytes.extend((buffer.len() as u64).to_le_bytes());
        bytes.extend(buffer);
    }
    number(&mut bytes, program.launches.len() as u32);
    for launch in &program.launches {
        number(&mut bytes, launch.kernel.len() as u32);
        bytes.extend(launch.kernel.as_bytes());
        launch.grid.iter().for_each(|x| number(&mut bytes, *x));
        number(&mut bytes, launch.threads);
        number(&mut bytes, launch.shared);
        number(&mut bytes, launch.pointers.len() as u32);
        for pointer in &launch.pointers {
            bytes.extend(pointer.map_or(-1, |x| i32::try_from(x).unwrap()).to_le_bytes());
        }
        number(&mut bytes, launch.scalars.len() as u32);
        for scalar in &launch.scalars {
            bytes.extend(match scalar {
                Scalar::I32(x) => x.to_le_bytes(),
                Scalar::F32(x) => x.to_le_bytes(),
            });
        }
    }
    bytes
}

impl Launcher for Host {
    fn run(
        &mut self,
        program: &Program,
        data: &mut [Vec<u8>],
        flaw: Option<&str>,
    ) -> Result<(), LaunchError> {
        let child = self.programs.get_mut(flaw.unwrap_or_default()).unwrap();
        let (input, output) = (child.stdin.as_mut().unwrap(), child.stdout.as_mut().unwrap());
        input.write_all(&encoded(program, data)).unwrap();
        input.flush().unwrap();
        let mut length = [0; 4];
        output.read_exact(&mut length).unwrap();
        let length = u32::from_le_bytes(length) as usize;
        if length > 0 {
            let mut text = vec![0; length];
            output.read_exact(&mut text).unwrap();
            let message = String::from_utf8(text).unwrap();
            return Err(LaunchError { kernel: program.launches[0].kernel.to_owned(), message });
        }
        for buffer in &mut *data {
            output.read_exact(buffer).unwrap();
        }
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.end();
    }
}
