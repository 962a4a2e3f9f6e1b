//! What a device must do to be measured: hold one piece of work ready, replay it, tell the time.
//!
//! Two devices implement it: CUDA, and a made-up one whose times and noise are known, on which the harness is tested.

use super::work::Work;

/// Why something was not measured.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// There is no CUDA, no GPU, or one too old.
    #[error("{0}")]
    NoDevice(String),
    /// The device cannot do this piece of work; the others may go on.
    #[error("{0}")]
    Unsupported(String),
    /// It does not fit into what is left of the device's memory.
    #[error("{needed} bytes are needed, {free} are free")]
    Memory {
        /// Bytes that the work needs.
        needed: u64,
        /// Bytes that are left.
        free: u64,
    },
    /// A call failed: what follows would be measured on a broken context.
    #[error("{call}: {message}")]
    Call {
        /// Which call.
        call: &'static str,
        /// The library's own words.
        message: String,
    },
}

impl BenchError {
    /// Whether the rest of the run can go on.
    pub fn is_local(&self) -> bool {
        matches!(self, BenchError::Unsupported(_) | BenchError::Memory { .. })
    }
}

/// What was made ready.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Opened {
    /// Serial copies of the work in one replay.
    pub copies: u32,
    /// Sets of operands that they rotate over.
    pub sets: u32,
    /// What the library chose (algorithm, tile, split), where it chooses.
    pub note: String,
}

/// A device.
pub trait Bench {
    /// Seconds since the run began.
    fn now_s(&self) -> f64;

    /// Makes a piece of work ready: operands in memory, a graph of serial copies. What was open before is closed.
    fn open(&mut self, work: &Work) -> Result<Opened, BenchError>;

    /// The same with all copies on one set of operands, so that they find it in the cache as far as it fits there.
    fn open_hot(&mut self, work: &Work) -> Result<Opened, BenchError>;

    /// One replay, timed: seconds of one copy.
    fn replay_s(&mut self) -> Result<f64, BenchError>;

    /// The clock of the multiprocessors, MHz, by counting cycles inside a kernel; none where it cannot be read.
    fn sm_mhz(&mut self) -> Result<Option<f64>, BenchError>;
}
