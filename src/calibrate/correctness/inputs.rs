//! Contents of a program's buffers on the host: what the device's `fill` would draw, and poison where kernels write.

use crate::calibrate::launch::{Fill, Program};
use crate::calibrate::reference::to_bf16;
use crate::math::normal_quantile;
use crate::rng::{Purpose, Stream};

/// Contents of every buffer. What kernels write is NaN before (and -1 where it is whole numbers), so that nothing
/// unwritten passes.
pub(super) fn contents(program: &Program, seed: u64) -> Vec<Vec<u8>> {
    program
        .buffers
        .iter()
        .enumerate()
        .map(|(index, buffer)| {
            let mut stream = Stream::new(seed, Purpose::Calibration, &[5, index as u64]);
            let n = buffer.bytes as usize;
            let mut normal = |sd: f32| sd * normal_quantile(stream.open_uniform()) as f32;
            match &buffer.fill {
                Fill::Zero => vec![0; n],
                Fill::Output => vec![0xff; n],
                Fill::Bytes(bytes) => bytes.clone(),
                Fill::Bf16(sd) => (0..n / 2).flat_map(|_| to_bf16(normal(*sd)).to_le_bytes()).collect(),
                Fill::F32(sd) => (0..n / 4).flat_map(|_| normal(*sd).to_le_bytes()).collect(),
                Fill::Uniform => (0..n / 4).flat_map(|_| (stream.uniform() as f32).to_le_bytes()).collect(),
            }
        })
        .collect()
}

/// Numbers as f32 bytes.
pub(super) fn floats(values: impl IntoIterator<Item = f64>) -> Vec<u8> {
    values.into_iter().flat_map(|x| (x as f32).to_le_bytes()).collect()
}

/// Numbers as i32 bytes.
pub(super) fn ints(values: impl IntoIterator<Item = i32>) -> Vec<u8> {
    values.into_iter().flat_map(i32::to_le_bytes).collect()
}
