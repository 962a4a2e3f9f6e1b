//! Contents of a program's buffers on the host: what the device's `fill` would draw, and poison where kernels write.

use rayon::prelude::*;

use crate::calibrate::launch::{Buffer, Fill, Program};
use crate::calibrate::reference::to_bf16;
use crate::math::normal_quantile;
use crate::rng::{Purpose, Stream};

/// Numbers that one stream draws: large buffers are filled in parallel.
const CHUNK: usize = 1 << 16;

/// Contents of every buffer. What kernels write is NaN before (and -1 where it is whole numbers), so that nothing
/// unwritten passes.
pub(super) fn contents(program: &Program, seed: u64) -> Vec<Vec<u8>> {
    let fill = |(index, buffer): (usize, &Buffer)| {
        let bytes = buffer.bytes as usize;
        let drawn = |width: usize, draw: &(dyn Fn(&mut Stream, &mut [u8]) + Sync)| {
            let mut out = vec![0; bytes];
            out.par_chunks_mut(CHUNK * width).enumerate().for_each(|(chunk, numbers)| {
                let entity = [5, index as u64, chunk as u64];
                let mut stream = Stream::new(seed, Purpose::Calibration, &entity);
                numbers.chunks_exact_mut(width).for_each(|number| draw(&mut stream, number));
            });
            out
        };
        let normal = |stream: &mut Stream, sd: f32| sd * normal_quantile(stream.open_uniform()) as f32;
        match &buffer.fill {
            Fill::Zero => vec![0; bytes],
            Fill::Output => vec![0xff; bytes],
            Fill::Bytes(bytes) => bytes.clone(),
            Fill::Bf16(sd) => {
                drawn(2, &|stream, out| out.copy_from_slice(&to_bf16(normal(stream, *sd)).to_le_bytes()))
            }
            Fill::F32(sd) => drawn(4, &|stream, out| out.copy_from_slice(&normal(stream, *sd).to_le_bytes())),
            Fill::Uniform => {
                drawn(4, &|stream, out| out.copy_from_slice(&(stream.uniform() as f32).to_le_bytes()))
            }
        }
    };
    program.buffers.iter().enumerate().map(fill).collect()
}

/// Numbers as f32 bytes.
pub(super) fn floats(values: impl IntoIterator<Item = f64>) -> Vec<u8> {
    values.into_iter().flat_map(|x| (x as f32).to_le_bytes()).collect()
}

/// A token as kernels have it.
pub(super) fn id(token: usize) -> i32 {
    (token as u32).cast_signed()
}

/// Numbers as i32 bytes.
pub(super) fn ints(values: impl IntoIterator<Item = i32>) -> Vec<u8> {
    values.into_iter().flat_map(i32::to_le_bytes).collect()
}
