//! Which of CUDA's libraries are there.

use std::path::{Path, PathBuf};

use super::super::bench::BenchError;

/// Beginnings of the file names that are loaded from the user's folders, in the order in which they need each other.
const WANTED: [&str; 4] = ["libnvrtc-builtins.so", "libnvrtc.so", "libcublas.so", "libcublasLt.so"];

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
        // cuBLAS needs cuBLASLt: the reverse of the list's last two would fail, and either alone is fine.
        for wanted in WANTED.iter().rev() {
            for file in files.iter().filter(|file| named(file, wanted)) {
                loaded |= keep(file);
            }
        }
        if !loaded {
            let list: Vec<&str> = vec!["libnvrtc.so.*", "libcublasLt.so.*"];
            return Err(BenchError::NoDevice(format!(
                "{}: none of {} could be loaded from there",
                folder.display(),
                list.join(", ")
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
