//! One launch of a kernel as data: which, how wide, on which buffers.
//!
//! Every kernel takes one struct by value: its pointers first, then 4-byte numbers, so that the struct has no holes
//! and its bytes can be written without knowing its C type. A launch is turned into bytes where pointers are known:
//! on a GPU, or on the host for tests.

use super::work::Format;

/// A number that a kernel takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar {
    /// int
    I32(i32),
    /// float
    F32(f32),
}

/// What a buffer is filled with before it is timed.
#[derive(Debug, Clone, PartialEq)]
pub enum Fill {
    /// Zeros: counters and scratch that kernels leave as they found it.
    Zero,
    /// Normal bf16 numbers of this standard deviation.
    Bf16(f32),
    /// Normal f32 numbers of this standard deviation.
    F32(f32),
    /// Uniform f32 numbers in [0, 1).
    Uniform,
    /// These bytes.
    Bytes(Vec<u8>),
    /// Written by the kernel.
    Output,
}

/// A buffer.
#[derive(Debug, Clone, PartialEq)]
pub struct Buffer {
    /// Bytes.
    pub bytes: u64,
    /// Contents.
    pub fill: Fill,
    /// Whether serving finds it in memory and not in the cache: rotated over copies when timed.
    pub cold: bool,
}

impl Buffer {
    /// Read from memory.
    pub fn cold(bytes: u64, fill: Fill) -> Self {
        Buffer { bytes, fill, cold: true }
    }

    /// Read from or written to the cache.
    pub fn hot(bytes: u64, fill: Fill) -> Self {
        Buffer { bytes, fill, cold: false }
    }

    /// Written by the kernel.
    pub fn output(bytes: u64) -> Self {
        Buffer::hot(bytes, Fill::Output)
    }

    /// Given numbers.
    pub fn ints(values: &[i32]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        Buffer::hot(bytes.len() as u64, Fill::Bytes(bytes))
    }
}

/// A launch.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// The kernel's name.
    pub kernel: &'static str,
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    /// Pointers in the order of the struct: indices into the buffers, or null.
    pub pointers: Vec<Option<usize>>,
    /// Numbers in the order of the struct.
    pub scalars: Vec<Scalar>,
}

impl Launch {
    /// The struct's bytes, given each buffer's address.
    pub fn parameters(&self, address: impl Fn(usize) -> u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for pointer in &self.pointers {
            bytes.extend(pointer.map_or(0, &address).to_le_bytes());
        }
        for scalar in &self.scalars {
            bytes.extend(match scalar {
                Scalar::I32(x) => x.to_le_bytes(),
                Scalar::F32(x) => x.to_le_bytes(),
            });
        }
        // The struct's size is a multiple of a pointer's.
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }
}

/// Launches that follow each other on the same buffers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Program {
    /// Buffers.
    pub buffers: Vec<Buffer>,
    /// Launches, in order.
    pub launches: Vec<Launch>,
}

impl Program {
    /// Adds a buffer: its index.
    pub fn buffer(&mut self, buffer: Buffer) -> usize {
        self.buffers.push(buffer);
        self.buffers.len() - 1
    }
}

/// Why a program did not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kernel}: {message}")]
pub struct LaunchError {
    /// Which kernel.
    pub kernel: String,
    /// What went wrong.
    pub message: String,
}

/// Runs programs on given inputs: a GPU, or the host in tests.
pub trait Launcher {
    /// Runs all launches. `data` holds each buffer's bytes before, and after it returns what they are then.
    /// `flaw` compiles a planted bug into the kernels.
    fn run(&mut self, program: &Program, data: &mut [Vec<u8>], flaw: Option<&str>)
    -> Result<(), LaunchError>;

    /// A product of the library: `w` [n, k] and `x` [m, k] to bf16 [m, n]; none where there is no library.
    fn product(
        &mut self,
        _format: Format,
        _shape: [u64; 3],
        _w: &[u8],
        _x: &[u8],
    ) -> Result<Option<Vec<u8>>, LaunchError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_come_first_and_the_size_is_a_multiple_of_eight() {
        let launch = Launch {
            kernel: "k",
            grid: [1; 3],
            threads: 32,
            shared: 0,
            pointers: vec![Some(1), None],
            scalars: vec![Scalar::I32(-1), Scalar::F32(1.0), Scalar::I32(7)],
        };
        let bytes = launch.parameters(|i| 0x1000 + i as u64);
        assert_eq!(bytes.len(), 32);
        assert_eq!(bytes[..8], 0x1001_u64.to_le_bytes());
        assert_eq!(bytes[8..16], [0; 8]);
        assert_eq!(bytes[16..20], [255; 4]);
        assert_eq!(bytes[20..24], [0, 0, 128, 63]);
    }
}
