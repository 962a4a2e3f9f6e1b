//! Products of the library: that operands lie as is thought. Nothing to check where the launcher has no library.

use super::inputs::contents;
use super::{Check, Effort, check};
use crate::calibrate::launch::{Buffer, Fill, LaunchError, Launcher, Program};
use crate::calibrate::reference::{bf16s, distance, from_e4m3};
use crate::calibrate::work::Format;

/// y = x · Wᵀ in bf16; fp8 differs by its operands' format only, whose values here are exact in bf16 too.
pub(super) fn reference(
    launcher: &mut dyn Launcher,
    seed: u64,
    _: Effort,
) -> Result<Vec<Check>, LaunchError> {
    let mut checks = Vec::new();
    for [m, n, k] in [[16, 512, 1024], [1, 1024, 512], [200, 768, 640]] {
        let mut program = Program::default();
        program.buffer(Buffer::hot(n * k * 2, Fill::Bf16(0.02)));
        program.buffer(Buffer::hot(m * k * 2, Fill::Bf16(1.0)));
        let data = contents(&program, seed);
        let (w, x) = (bf16s(&data[0]), bf16s(&data[1]));
        let k = k as usize;
        let right = |w: &[f64], x: &[f64]| -> Vec<f64> {
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            x.chunks(k)
                .flat_map(|row| w.chunks(k).map(|column| dot(row, column)).collect::<Vec<_>>())
                .collect()
        };
        let shape = [m, n, k as u64];
        if let Some(found) = launcher.product(Format::Bf16, shape, &data[0], &data[1])? {
            let off = distance(&bf16s(&found), &right(&w, &x));
            checks.push(check(format!("cuBLASLt bf16 {m}x{n}x{k}"), off, 5e-3));
        }
        if m % 16 != 0 {
            continue;
        }
        let [w8, x8] = [&w, &x].map(|values| values.iter().map(|v| eighths(*v)).collect::<Vec<u8>>());
        if let Some(found) = launcher.product(Format::Fp8, shape, &w8, &x8)? {
            let [w, x] = [&w8, &x8].map(|bytes| bytes.iter().map(|b| from_e4m3(*b)).collect::<Vec<f64>>());
            let off = distance(&bf16s(&found), &right(&w, &x));
            // Fast accumulation keeps fewer bits between steps.
            checks.push(check(format!("cuBLASLt fp8 {m}x{n}x{k}"), off, 2e-2));
        }
    }
    Ok(checks)
}

/// A number as e4m3 by its sign and size: 0, ±0.5, ±1 or ±1.5, which is enough to see where each lies.
fn eighths(x: f64) -> u8 {
    let size = [0x00, 0x30, 0x38, 0x3c][(x.abs() * 1e4) as usize % 4];
    if x < 0.0 { size | 0x80 } else { size }
}
