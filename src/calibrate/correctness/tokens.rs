//! Kernels over tokens against the reference.

use super::inputs::contents;
use super::{Check, Effort, check};
use crate::calibrate::launch::{LaunchError, Launcher};
use crate::calibrate::programs::Setting;
use crate::calibrate::programs::tokens::{EPSILON, Shape, program};
use crate::calibrate::reference::{bf16s, distance, f32s, from_bf16, i32s, rms_norm, to_bf16};
use crate::calibrate::work::{HEAD_DIM, TokenKernel};

/// Relative distance that rounding to bf16 explains: half of its step of 2^-8, and a second rounding before it.
const BOUND: f64 = 4e-3;
const DIM: usize = HEAD_DIM as usize;

fn shape(kernel: TokenKernel, tokens: u64, width: u64) -> Shape {
    Shape { kernel, tokens, width, heads: [4, 2], table: 50, positions: 40 }
}

fn rounded(x: f64) -> f64 {
    from_bf16(to_bf16(x as f32))
}

/// Inputs and outputs of one run.
fn run(launcher: &mut dyn Launcher, shape: &Shape, seed: u64) -> Result<[Vec<Vec<u8>>; 2], LaunchError> {
    let program = program(shape, Setting { multiprocessors: 132, seed });
    let before = contents(&program, seed);
    let mut after = before.clone();
    launcher.run(&program, &mut after, None)?;
    Ok([before, after])
}

/// Every kernel; what only moves numbers must move them exactly.
pub(super) fn reference(
    launcher: &mut dyn Launcher,
    seed: u64,
    effort: Effort,
) -> Result<Vec<Check>, LaunchError> {
    let sizes: &[(u64, u64)] = if effort == Effort::Full {
        &[(3, 64), (1, 2056), (17, 4096), (300, 8192)]
    } else {
        &[(3, 64), (2, 2056)]
    };
    let mut checks = Vec::new();
    for &(tokens, width) in sizes {
        let mut add = |kernel: TokenKernel, off: f64, bound: f64| {
            checks.push(check(format!("{} tokens {tokens} width {width}", kernel.name()), off, bound));
        };
        let w = width as usize;
        let [before, after] = run(launcher, &shape(TokenKernel::AddRmsNorm, tokens, width), seed)?;
        let [x, residual, weight] = [0, 1, 2].map(|at| bf16s(&before[at]));
        let sum: Vec<f64> = x.iter().zip(&residual).map(|(a, b)| rounded(a + b)).collect();
        let normed: Vec<f64> =
            sum.chunks(w).flat_map(|row| rms_norm(row, &weight, f64::from(EPSILON))).collect();
        let off = distance(&bf16s(&after[1]), &sum).max(distance(&bf16s(&after[3]), &normed));
        add(TokenKernel::AddRmsNorm, off, BOUND);

        let [before, after] = run(launcher, &shape(TokenKernel::NormConcat, tokens, width), seed)?;
        let [embedding, hidden, we, wh] = [0, 1, 2, 3].map(|at| bf16s(&before[at]));
        let right: Vec<f64> = embedding
            .chunks(w)
            .zip(hidden.chunks(w))
            .flat_map(|(e, h)| {
                [rms_norm(e, &we, f64::from(EPSILON)), rms_norm(h, &wh, f64::from(EPSILON))].concat()
            })
            .collect();
        add(TokenKernel::NormConcat, distance(&bf16s(&after[4]), &right), BOUND);

        let [before, after] = run(launcher, &shape(TokenKernel::SiluMul, tokens, width), seed)?;
        let right: Vec<f64> = bf16s(&before[0])
            .chunks(2 * w)
            .flat_map(|row| {
                let of = |i: usize| row[i] / (1.0 + libm::exp(-row[i])) * row[w + i];
                (0..w).map(of).collect::<Vec<f64>>()
            })
            .collect();
        add(TokenKernel::SiluMul, distance(&bf16s(&after[1]), &right), BOUND);

        let [before, after] = run(launcher, &shape(TokenKernel::EmbedGather, tokens, width), seed)?;
        let table = bf16s(&before[0]);
        let right: Vec<f64> =
            i32s(&before[1]).iter().flat_map(|id| table[*id as usize * w..][..w].to_vec()).collect();
        add(TokenKernel::EmbedGather, distance(&bf16s(&after[2]), &right), 0.0);

        let [before, after] = run(launcher, &shape(TokenKernel::FuseHidden, tokens, width), seed)?;
        let parts = [0, 1, 2].map(|at| bf16s(&before[at]));
        let right: Vec<f64> = (0..tokens as usize)
            .flat_map(|t| parts.iter().flat_map(|part| part[t * w..][..w].to_vec()).collect::<Vec<f64>>())
            .collect();
        add(TokenKernel::FuseHidden, distance(&bf16s(&after[3]), &right), 0.0);

        let [before, after] = run(launcher, &shape(TokenKernel::DraftToTarget, tokens, width), seed)?;
        let offset = i32s(&before[1]);
        let right: Vec<f64> =
            i32s(&before[0]).iter().map(|id| f64::from(id + offset[*id as usize])).collect();
        let found: Vec<f64> = i32s(&after[2]).iter().map(|x| f64::from(*x)).collect();
        add(TokenKernel::DraftToTarget, distance(&found, &right), 0.0);

        add(TokenKernel::RopeAppend, rope(launcher, tokens, width, seed)?, BOUND);
        add(TokenKernel::KvCompact, compact(launcher, tokens, width, seed)?, 0.0);
    }
    Ok(checks)
}

fn rope(launcher: &mut dyn Launcher, tokens: u64, width: u64, seed: u64) -> Result<f64, LaunchError> {
    let shape = shape(TokenKernel::RopeAppend, tokens, width);
    let [heads, kv] = shape.heads.map(|h| h as usize);
    let [before, after] = run(launcher, &shape, seed)?;
    let [qkv, qw, kw] = [0, 1, 2].map(|at| bf16s(&before[at]));
    let [cosines, sines] = [3, 4].map(|at| f32s(&before[at]));
    let (positions, slots) = (i32s(&before[5]), i32s(&before[6]));
    let found = [7, 8, 9].map(|at| bf16s(&after[at]));
    let mut off = 0.0_f64;
    for (token, row) in qkv.chunks((heads + 2 * kv) * DIM).enumerate() {
        for (head, x) in row.chunks(DIM).enumerate() {
            let is_query = head < heads;
            let right: Vec<f64> = if head < heads + kv {
                let normed = rms_norm(x, if is_query { &qw } else { &kw }, f64::from(EPSILON));
                let at = positions[token] as usize * 64;
                let turned = |i: usize| {
                    let (low, high, j) = (normed[i % 64], normed[i % 64 + 64], at + i % 64);
                    if i < 64 {
                        low * cosines[j] - high * sines[j]
                    } else {
                        high * cosines[j] + low * sines[j]
                    }
                };
                (0..DIM).map(turned).collect()
            } else {
                x.to_vec()
            };
            let (buffer, at) = if is_query {
                (0, token * heads + head)
            } else {
                let own = (head - heads) % kv;
                (1 + usize::from(head >= heads + kv), slots[token] as usize * kv + own)
            };
            off = off.max(distance(&found[buffer][at * DIM..][..DIM], &right));
        }
    }
    Ok(off)
}

fn compact(launcher: &mut dyn Launcher, tokens: u64, width: u64, seed: u64) -> Result<f64, LaunchError> {
    let shape = shape(TokenKernel::KvCompact, tokens, width);
    let row = shape.heads[1] as usize * DIM;
    let [before, after] = run(launcher, &shape, seed)?;
    let (from, to) = (i32s(&before[0]), i32s(&before[1]));
    let mut off = 0.0_f64;
    for cache in [3, 4] {
        // All accepted nodes are read before any is written: in order they never overlap.
        let old = bf16s(&before[cache]);
        let mut right = old.clone();
        for (from, to) in from.iter().zip(&to) {
            right[*to as usize * row..][..row].copy_from_slice(&old[*from as usize * row..][..row]);
        }
        off = off.max(distance(&bf16s(&after[cache]), &right));
    }
    Ok(off)
}
