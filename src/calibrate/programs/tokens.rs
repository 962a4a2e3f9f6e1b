//! Kernels over tokens (`kernels/tokens.cu`). Buffers come in the order in which the kernel's struct names them.

use super::Setting;
use crate::calibrate::launch::{Buffer, Fill, Launch, Program, Scalar};
use crate::calibrate::models;
use crate::calibrate::work::{DRAFT_VOCABULARY, HEAD_DIM, TokenKernel};
use crate::rng::{Purpose, Stream};

/// Threads of a block.
const THREADS: u64 = 256;
/// Under the root of a norm: the models' own.
pub const EPSILON: f32 = 1e-6;
/// Accepted tokens of a sequence whose cache is compacted, and slots that its tree took.
const MOVES: u64 = 4;
const SLOTS: u64 = 16;

/// Sizes of one program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Which kernel.
    pub kernel: TokenKernel,
    /// Tokens.
    pub tokens: u64,
    /// Features.
    pub width: u64,
    /// Query heads and KV heads.
    pub heads: [u64; 2],
    /// Rows of the table that is read from: the embedding, or the draft vocabulary.
    pub table: u64,
    /// Positions of the rotary table.
    pub positions: u64,
}

impl Shape {
    /// As serving has it.
    pub fn served(kernel: TokenKernel, tokens: u64, width: u64, heads: [u64; 2]) -> Self {
        let table = match kernel {
            TokenKernel::DraftToTarget => DRAFT_VOCABULARY,
            _ => models::targets()[0].vocabulary,
        };
        Shape { kernel, tokens, width, heads, table, positions: 4096 }
    }
}

fn random_ids(n: u64, below: u64, seed: u64) -> Vec<i32> {
    let mut stream = Stream::new(seed, Purpose::Calibration, &[3]);
    (0..n).map(|_| (stream.uniform() * below as f64) as i32).collect()
}

/// `n` of the numbers below `below`, each once and in order.
fn distinct(n: u64, below: u64, seed: u64) -> Vec<i32> {
    let mut stream = Stream::new(seed, Purpose::Calibration, &[3]);
    let mut left: Vec<i32> = (0..below as i32).collect();
    let mut drawn: Vec<i32> = (0..n.min(below))
        .map(|_| left.swap_remove((stream.uniform() * left.len() as f64) as usize))
        .collect();
    drawn.sort_unstable();
    drawn
}

fn int(x: u64) -> Scalar {
    Scalar::I32(x as i32)
}

/// cos and sin of position · 10⁶^(-i / 64), i from 0 to 63: Qwen3's rotary base. Positions follow each other.
pub fn rotary(positions: u64) -> [Vec<f32>; 2] {
    let angle = |at: u64| (at / 64) as f64 * libm::pow(1e6, -((at % 64) as f64) / 64.0);
    let table = |f: fn(f64) -> f64| (0..positions * 64).map(|at| f(angle(at)) as f32).collect();
    [table(libm::cos), table(libm::sin)]
}

fn floats(values: &[f32]) -> Fill {
    Fill::Bytes(values.iter().flat_map(|x| x.to_le_bytes()).collect())
}

/// The program.
pub fn program(shape: &Shape, setting: Setting) -> Program {
    let Shape { kernel, tokens, width, heads: [heads, kv], table, positions } = *shape;
    let row = 2 * width;
    let normal = |bytes: u64| Buffer::hot(bytes, Fill::Bf16(1.0));
    let (buffers, scalars, grid): (Vec<Buffer>, Vec<Scalar>, [u64; 2]) = match kernel {
        TokenKernel::AddRmsNorm => (
            vec![normal(tokens * row), normal(tokens * row), normal(row), Buffer::output(tokens * row)],
            vec![int(width), Scalar::F32(EPSILON)],
            [tokens, 1],
        ),
        TokenKernel::NormConcat => (
            vec![
                normal(tokens * row),
                normal(tokens * row),
                normal(row),
                normal(row),
                Buffer::output(2 * tokens * row),
            ],
            vec![int(width), Scalar::F32(EPSILON)],
            [tokens, 2],
        ),
        TokenKernel::RopeAppend => {
            let all = heads + 2 * kv;
            let [cosines, sines] = rotary(positions);
            let slots = tokens.max(1);
            let mut slot: Vec<i32> = (0..slots as i32).collect();
            // Pages lie anywhere.
            for (i, j) in random_ids(slots, slots, setting.seed).into_iter().enumerate() {
                slot.swap(i, j as usize);
            }
            (
                vec![
                    normal(tokens * all * HEAD_DIM * 2),
                    normal(HEAD_DIM * 2),
                    normal(HEAD_DIM * 2),
                    Buffer::hot(cosines.len() as u64 * 4, floats(&cosines)),
                    Buffer::hot(sines.len() as u64 * 4, floats(&sines)),
                    Buffer::ints(&random_ids(tokens, positions, setting.seed ^ 1)),
                    Buffer::ints(&slot),
                    Buffer::output(tokens * heads * HEAD_DIM * 2),
                    Buffer::output(slots * kv * HEAD_DIM * 2),
                    Buffer::output(slots * kv * HEAD_DIM * 2),
                ],
                vec![int(tokens), int(heads), int(kv), Scalar::F32(EPSILON)],
                [(tokens * all * 8).div_ceil(THREADS), 1],
            )
        }
        TokenKernel::SiluMul => (
            vec![normal(2 * tokens * row), Buffer::output(tokens * row)],
            vec![int(width), int(tokens)],
            [(tokens * width / 8).div_ceil(THREADS), 1],
        ),
        TokenKernel::EmbedGather => (
            vec![
                // The table is read row by row from memory, but only a few rows of it a step.
                normal(table * row),
                Buffer::ints(&random_ids(tokens, table, setting.seed)),
                Buffer::output(tokens * row),
            ],
            vec![int(width)],
            [tokens, 1],
        ),
        TokenKernel::FuseHidden => (
            vec![
                normal(tokens * row),
                normal(tokens * row),
                normal(tokens * row),
                Buffer::output(3 * tokens * row),
            ],
            vec![int(width)],
            [tokens, 3],
        ),
        TokenKernel::KvCompact => {
            let sequences = tokens.div_ceil(MOVES);
            let (mut from, mut to, mut begin) = (Vec::new(), Vec::new(), vec![0]);
            for sequence in 0..sequences {
                let moves = MOVES.min(tokens - sequence * MOVES);
                for (place, slot) in distinct(moves, SLOTS, setting.seed ^ sequence).into_iter().enumerate() {
                    from.push((sequence * SLOTS) as i32 + slot);
                    to.push((sequence * SLOTS) as i32 + (place as u32).cast_signed());
                }
                begin.push((from.len() as u32).cast_signed());
            }
            let cache = sequences * SLOTS * kv * HEAD_DIM * 2;
            (
                vec![
                    Buffer::ints(&from),
                    Buffer::ints(&to),
                    Buffer::ints(&begin),
                    normal(cache),
                    normal(cache),
                ],
                vec![int(kv * HEAD_DIM)],
                [sequences, 1],
            )
        }
        TokenKernel::DraftToTarget => (
            vec![
                Buffer::ints(&random_ids(tokens, table, setting.seed)),
                Buffer::ints(&random_ids(table, 100_000, setting.seed ^ 1)),
                Buffer::output(tokens * 4),
            ],
            vec![int(tokens)],
            [tokens.div_ceil(THREADS), 1],
        ),
    };
    let pointers = (0..buffers.len()).map(Some).collect();
    let launch = Launch {
        kernel: kernel.name(),
        grid: [grid[0] as u32, grid[1] as u32, 1],
        threads: THREADS as u32,
        shared: 0,
        pointers,
        scalars,
    };
    Program { buffers, launches: vec![launch] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_nodes_are_moved_as_there_are_tokens() {
        for tokens in [1, 3, 4, 64, 1023] {
            let shape = Shape::served(TokenKernel::KvCompact, tokens, 0, [0, 2]);
            let program = program(&shape, Setting { multiprocessors: 132, seed: 7 });
            let Fill::Bytes(from) = &program.buffers[0].fill else { panic!("slots are given") };
            let mut slots: Vec<&[u8]> = from.chunks(4).collect();
            assert_eq!(slots.len() as u64, tokens);
            slots.sort_unstable();
            slots.dedup();
            assert_eq!(slots.len() as u64, tokens, "a slot twice");
        }
    }
}
