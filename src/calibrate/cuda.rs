//! CUDA: the one device that is real. Alone names cudarc.
//!
//! Nothing is linked: libraries are loaded when asked for, from the folders given or from where the system finds
//! them. Each is looked for before cudarc touches it, because cudarc panics where one is missing.
//! Memory is one arena that is taken once and cut up by a pointer: allocations cost as much as a small measurement.
#![expect(unsafe_code, reason = "the driver, NVRTC and cuBLASLt are C libraries")]

mod compile;
mod context;
mod device;
mod gemm;
mod library;
mod ready;

use std::path::PathBuf;

use super::bench::BenchError;
use super::inspect::{self, Disassembler};
use super::kernels::SOURCES;
pub use device::Cuda;

/// What `check` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// For people.
    pub text: String,
    /// Whether every kernel is as it should be.
    pub passed: bool,
}

/// Opens the GPU: libraries, context, kernels compiled and loaded.
pub fn open(folders: &[PathBuf], seed: u64) -> Result<Cuda, BenchError> {
    Cuda::open(folders, seed)
}

/// Compiles every kernel and looks at its machine code. Needs NVRTC and no GPU.
pub fn check(folders: &[PathBuf], disassemble: Disassembler) -> Result<Checked, BenchError> {
    library::load(folders)?;
    library::need_nvrtc()?;
    let mut text = format!("NVRTC {} from {}\n", compile::version()?, library::loaded().join(", "));
    let mut passed = true;
    for (file, source) in SOURCES {
        let cubin = compile::cubin(file, source, None)?;
        let found = inspect::cubin(file, &cubin, disassemble);
        text += &found.text;
        passed &= found.passed;
    }
    Ok(Checked { text, passed })
}
