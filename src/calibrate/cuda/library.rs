//! Which of CUDA's libraries are there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::super::bench::BenchError;

/// Beginnings of the file names that are loaded from folders, in this order: NVRTC asks for its builtins by name alone when
/// it compiles, and finds them where they are loaded already.
const WANTED: [&str; 3] = ["libnvrtc-builtins.so", "libnvrtc.so", "libcublasLt.so"];

/// Loads what the user's folders hold, so that later look-ups by name find it; then, of what the system does not find, what
/// is in one of the usual places. An error where a folder of the user's cannot be read or holds none of the libraries.
pub(super) fn load(folders: &[PathBuf]) -> Result<(), BenchError> {
    for folder in folders {
        std::fs::read_dir(folder).map_err(|error| {
            BenchError::NoDevice(format!("{}: cannot be read: {error}", folder.display()))
        })?;
        if !keep_all(folder, &WANTED) {
            return Err(BenchError::NoDevice(format!(
                "{}: none of libnvrtc.so.*, libcublasLt.so.* could be loaded from there",
                folder.display()
            )));
        }
    }
    let usual = usual(&|name| std::env::var_os(name));
    if !nvrtc_is_there() {
        usual.iter().any(|folder| keep_all(folder, &WANTED[..2]));
    }
    if !cublaslt_is_there() {
        usual.iter().any(|folder| keep_all(folder, &WANTED[2..]));
    }
    Ok(())
}

/// Loads the files of a folder that begin so; whether there was one that could be.
fn keep_all(folder: &Path, wanted: &[&str]) -> bool {
    let files = children(folder);
    let mut loaded = false;
    for wanted in wanted {
        for file in files.iter().filter(|file| named(file, wanted)) {
            loaded |= keep(file);
        }
    }
    loaded
}

/// What a folder holds, in order; nothing where it cannot be read.
fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut all: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    all.sort();
    all
}

/// Folders where CUDA's libraries are found though the system does not look there: of a toolkit, and of the Python packages
/// that PyTorch brings along (`nvidia/*/lib`), newest first among the toolkit's versions.
fn usual(variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> =
        ["CUDA_HOME", "CUDA_PATH"].iter().filter_map(|name| variable(name).map(PathBuf::from)).collect();
    roots.push(PathBuf::from("/usr/local/cuda"));
    roots.extend(children(Path::new("/usr/local")).into_iter().rev().filter(|path| named(path, "cuda-")));
    let mut folders: Vec<PathBuf> = roots.iter().map(|root| root.join("lib64")).collect();
    let mut prefixes: Vec<PathBuf> =
        ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(|name| variable(name).map(PathBuf::from)).collect();
    // A virtual environment's python3 is a link out of it: its packages are beside the link.
    let path = variable("PATH").unwrap_or_default();
    let python = std::env::split_paths(&path).find(|folder| folder.join("python3").exists());
    prefixes.extend(python.and_then(|folder| folder.parent().map(Path::to_owned)));
    for prefix in prefixes {
        for python in children(&prefix.join("lib")).into_iter().filter(|path| named(path, "python3")) {
            let packages = ["site-packages", "dist-packages"].map(|name| python.join(name).join("nvidia"));
            folders.extend(packages.iter().flat_map(|nvidia| children(nvidia)).map(|one| one.join("lib")));
        }
    }
    folders
}

fn named(file: &Path, wanted: &str) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(wanted))
}

/// Loads a library for good.
fn keep(file: &Path) -> bool {
    // SAFETY: loading runs the library's initialisers; these are NVIDIA's, in folders that the user named.
    match unsafe { libloading::Library::new(file) } {
        Ok(library) => {
            std::mem::forget(library);
            true
        }
        Err(_) => false,
    }
}

/// The files that this process has loaded of those that are wanted. A folder that was given comes after one that the system
/// finds first, so what is used must be asked for.
pub(super) fn loaded() -> Vec<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    mapped(&maps)
}

/// The libraries among a process's mappings, each once. A line ends with the file's path.
fn mapped(maps: &str) -> Vec<String> {
    let mut found: Vec<String> = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| &line[at..]))
        .filter(|path| WANTED.iter().any(|wanted| named(Path::new(path), wanted)))
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The driver's own version, where the system says it. CUDA's, which it speaks, is another number.
pub(super) fn driver() -> Option<String> {
    version_of(&std::fs::read_to_string("/proc/driver/nvidia/version").ok()?)
}

/// From "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.124.06  Release Build ...".
fn version_of(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("NVRM version"))?;
    let numbers = |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    line.split_whitespace().find(numbers).map(str::to_owned)
}

fn nvrtc_is_there() -> bool {
    // SAFETY: tries to load the library.
    unsafe { cudarc::nvrtc::sys::is_culib_present() }
}

fn cublaslt_is_there() -> bool {
    // SAFETY: tries to load the library.
    unsafe { cudarc::cublaslt::sys::is_culib_present() }
}

/// What to say of a library that is not there.
fn missing(name: &str, file: &str, package: &str) -> BenchError {
    BenchError::NoDevice(format!(
        "no {name}: {file} is neither where the system looks for libraries nor in CUDA_HOME, /usr/local/cuda or the \
         packages of python3; give its folder with --cuda-lib-dir (it comes with CUDA, or with the Python package \
         {package})"
    ))
}

/// Whether NVRTC is there; says where it was looked for.
pub(super) fn need_nvrtc() -> Result<(), BenchError> {
    if nvrtc_is_there() { Ok(()) } else { Err(missing("NVRTC", "libnvrtc.so", "nvidia-cuda-nvrtc")) }
}

/// Whether cuBLASLt is there.
pub(super) fn need_cublaslt() -> Result<(), BenchError> {
    if cublaslt_is_there() { Ok(()) } else { Err(missing("cuBLASLt", "libcublasLt.so", "nvidia-cublas")) }
}

/// Whether there is a driver.
pub(super) fn need_driver() -> Result<(), BenchError> {
    // SAFETY: tries to load the library.
    if unsafe { cudarc::driver::sys::is_culib_present() } {
        return Ok(());
    }
    Err(BenchError::NoDevice(
        "no CUDA driver: libcuda.so is not on this machine. Measuring needs an NVIDIA H100 or H200; \
         `rollcast calibrate plan`, `check` and `run --rehearse` work without"
            .to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drivers_version_is_the_number_in_its_line() {
        for text in [
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Thu Jan 23 12:00:00 UTC 2025\nGCC version:  gcc 12.3.0\n",
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (root@host)\n",
        ] {
            assert_eq!(version_of(text).as_deref(), Some("570.86.15"));
        }
        assert_eq!(version_of("GCC version:  gcc 12.3.0\n"), None);
    }

    #[test]
    fn libraries_are_told_from_a_processs_mappings() {
        let maps = "7f00-7f01 r--p 00000000 08:01 11 /opt/cuda 13/libnvrtc.so.13\n\
                    7f01-7f02 r-xp 00001000 08:01 11 /opt/cuda 13/libnvrtc.so.13\n\
                    7f03-7f04 r--p 00000000 08:01 12 /usr/lib/libcublas.so.13\n\
                    7f05-7f06 rw-p 00000000 00:00 0\n\
                    7f07-7f08 r--p 00000000 08:01 13 /usr/lib/libcublasLt.so.13\n";
        assert_eq!(mapped(maps), ["/opt/cuda 13/libnvrtc.so.13", "/usr/lib/libcublasLt.so.13"]);
    }
}
