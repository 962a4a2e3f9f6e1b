//! Which of CUDA's libraries are there.

use std::path::{Path, PathBuf};

use super::super::bench::BenchError;

/// Beginnings of the file names that are loaded from the user's folders, in this order: NVRTC asks for its builtins by
/// name alone when it compiles, and finds them where they are loaded already.
const WANTED: [&str; 3] = ["libnvrtc-builtins.so", "libnvrtc.so", "libcublasLt.so"];

/// Loads what the folders hold, so that later look-ups by name find it. An error where a folder cannot be read or
/// holds none of the libraries.
pub(super) fn load(folders: &[PathBuf]) -> Result<(), BenchError> {
    for folder in folders {
        let entries = std::fs::read_dir(folder).map_err(|error| {
            BenchError::NoDevice(format!("{}: cannot be read: {error}", folder.display()))
        })?;
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|e| e.path())).collect();
        files.sort();
        let mut loaded = false;
        for wanted in WANTED {
            for file in files.iter().filter(|file| named(file, wanted)) {
                loaded |= keep(file);
            }
        }
        if !loaded {
            return Err(BenchError::NoDevice(format!(
                "{}: none of libnvrtc.so.*, libcublasLt.so.* could be loaded from there",
                folder.display()
            )));
        }
    }
    Ok(())
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

/// Whether NVRTC is there; says where it was looked for.
pub(super) fn need_nvrtc() -> Result<(), BenchError> {
    // SAFETY: tries to load the library.
    if unsafe { cudarc::nvrtc::sys::is_culib_present() } {
        return Ok(());
    }
    Err(BenchError::NoDevice(
        "no NVRTC: libnvrtc.so is not where the system looks for libraries; give its folder with --cuda-lib-dir \
         (it comes with CUDA, or with the Python package nvidia-cuda-nvrtc)"
            .to_owned(),
    ))
}

/// Whether cuBLASLt is there.
pub(super) fn need_cublaslt() -> Result<(), BenchError> {
    // SAFETY: tries to load the library.
    if unsafe { cudarc::cublaslt::sys::is_culib_present() } {
        return Ok(());
    }
    Err(BenchError::NoDevice(
        "no cuBLASLt: libcublasLt.so is not where the system looks for libraries; give its folder with \
         --cuda-lib-dir (it comes with CUDA, or with the Python package nvidia-cublas)"
            .to_owned(),
    ))
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
