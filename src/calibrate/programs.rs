//! Works as programs of the project's own kernels: which launches, on which buffers.
//!
//! The same programs are timed on random contents and checked on given ones, so that what was checked is what was
//! timed. Products are cuBLASLt's and have none.

pub mod attention;
pub mod rows;
pub mod tokens;

use super::launch::{Buffer, Fill, Launch, Program, Scalar};
use super::work::{Mask, Work, draft_vocabulary};

/// Multiprocessors and the seed of page tables: what a program's shape depends on beside the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Multiprocessors.
    pub multiprocessors: u64,
    /// Seed.
    pub seed: u64,
}

/// The program of a work; none where it is not one kernel's or a few's.
pub fn program(work: &Work, setting: Setting) -> Option<Program> {
    match work {
        Work::Copy { bytes } => Some(copy(*bytes, setting)),
        Work::Attention { mask, heads, batch, queries, context, page } => {
            let shape = attention::Shape {
                heads: *heads,
                batch: *batch,
                queries: *queries,
                context: vec![*context; *batch as usize],
                page: *page,
                tree: (*mask == Mask::Tree).then(|| attention::binary_tree(*queries)),
            };
            Some(attention::program(&shape, setting, None))
        }
        Work::Prefill { heads, batch, tokens } => {
            let shape = attention::Shape {
                heads: *heads,
                batch: *batch,
                queries: *tokens,
                context: vec![*tokens; *batch as usize],
                page: 16,
                tree: None,
            };
            Some(attention::program(&shape, setting, None))
        }
        Work::Tokens { kernel, tokens, width, heads } => {
            Some(tokens::program(&tokens::Shape::served(*kernel, *tokens, *width, *heads), setting))
        }
        Work::Rows { kernel, rows, vocabulary, draft } => {
            let shape = rows::Shape {
                kernel: *kernel,
                rows: *rows,
                vocabulary: *vocabulary,
                draft_vocabulary: draft_vocabulary(*vocabulary),
                draft: *draft,
                temperatures: [1.0, 1.0],
                splits: None,
            };
            Some(rows::program(&shape, setting))
        }
        Work::Gemm { .. } | Work::Host { .. } | Work::Step { .. } => None,
    }
}

/// `bytes` from one buffer to another.
pub fn copy(bytes: u64, setting: Setting) -> Program {
    let mut program = Program::default();
    let from = program.buffer(Buffer::cold(bytes, Fill::Bf16(1.0)));
    let to = program.buffer(Buffer::cold(bytes, Fill::Output));
    let vectors = bytes / 16;
    let blocks = vectors.div_ceil(256 * 8).clamp(1, setting.multiprocessors * 4);
    program.launches.push(Launch {
        kernel: "copy",
        grid: [blocks as u32, 1, 1],
        threads: 256,
        shared: 0,
        pointers: vec![Some(from), Some(to)],
        scalars: halves(vectors).to_vec(),
    });
    program
}

/// Reads `bytes` of one buffer and writes nothing, or, where a buffer is named, what each thread read.
pub fn read_launch(bytes: u64, out: Option<usize>, setting: Setting) -> Launch {
    let vectors = bytes / 16;
    Launch {
        kernel: "read",
        grid: [vectors.div_ceil(256 * 8).clamp(1, setting.multiprocessors * 4) as u32, 1, 1],
        threads: 256,
        shared: 0,
        pointers: vec![Some(0), out],
        scalars: halves(vectors).to_vec(),
    }
}

/// Keeps one multiprocessor, and so what follows on the stream, waiting.
pub fn spin(nanoseconds: u64) -> Launch {
    Launch {
        kernel: "spin",
        grid: [1; 3],
        threads: 32,
        shared: 0,
        pointers: Vec::new(),
        scalars: halves(nanoseconds).to_vec(),
    }
}

/// A 64-bit number as two of 32 bits, the low one first.
fn halves(x: u64) -> [Scalar; 2] {
    [Scalar::I32((x as u32).cast_signed()), Scalar::I32(((x >> 32) as u32).cast_signed())]
}

/// A kernel that does nothing.
pub fn empty() -> Program {
    let launch = Launch {
        kernel: "empty",
        grid: [1; 3],
        threads: 32,
        shared: 0,
        pointers: vec![None],
        scalars: Vec::new(),
    };
    Program { buffers: Vec::new(), launches: vec![launch] }
}

/// The look at the clocks: cycles and nanoseconds, two 64-bit numbers.
pub fn clocks() -> Launch {
    Launch {
        kernel: "clocks",
        grid: [1; 3],
        threads: 32,
        shared: 0,
        pointers: vec![Some(0)],
        scalars: Vec::new(),
    }
}

/// What `fill` makes, by the numbers that its source has for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Normal bf16 numbers.
    Bf16 = 0,
    /// Normal f32 numbers.
    F32 = 1,
    /// Uniform f32 numbers in [0, 1).
    Uniform = 2,
    /// Normal e4m3 numbers.
    E4m3 = 3,
}

/// Fills a buffer with so many random numbers.
pub fn fill(elements: u64, kind: Kind, seed: u64, sd: f32, setting: Setting) -> Launch {
    let [low, high] = halves(elements);
    Launch {
        kernel: "fill",
        grid: [(setting.multiprocessors * 8) as u32, 1, 1],
        threads: 256,
        shared: 0,
        pointers: vec![Some(0)],
        scalars: vec![low, high, Scalar::I32(kind as i32), Scalar::I32(seed as i32), Scalar::F32(sd)],
    }
}
