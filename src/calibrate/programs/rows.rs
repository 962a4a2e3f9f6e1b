//! Kernels over rows of logits (`kernels/sampling.cu`, `kernels/verify.cu`): statistics, sampling, the largest, verification of a chain.

use super::Setting;
use crate::calibrate::launch::{Buffer, Fill, Launch, Program, Scalar};
use crate::calibrate::work::RowKernel;
use crate::rng::{Purpose, Stream};

const THREADS: u32 = 256;
/// Most chunks of a row; the kernels keep one number of each in shared memory.
const MOST_SPLITS: u64 = 64;
/// Fewest elements of a chunk: one look of all threads, four elements each.
const LEAST: u64 = 1024;
/// Blocks that share a multiprocessor.
const RESIDENT: u64 = 4;
/// Spread of logits: sharp enough that few tokens hold most of the mass.
const SPREAD: f32 = 3.0;

/// Sizes of one program.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Which kernel.
    pub kernel: RowKernel,
    /// Rows, or sequences where a chain is verified.
    pub rows: u64,
    /// Logits a row, a multiple of four.
    pub vocabulary: u64,
    /// Of the drafter.
    pub draft_vocabulary: u64,
    /// Draft tokens a sequence.
    pub draft: u64,
    /// Temperatures of target and drafter.
    pub temperatures: [f32; 2],
    /// Chunks a row; the program's own choice where none is given.
    pub splits: Option<u64>,
}

/// Buffers of a verification, by their index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verification {
    /// Target logits [sequences · (draft + 1), vocabulary].
    pub target: usize,
    /// Draft logits [sequences · draft, draft vocabulary].
    pub drafted: usize,
    /// Draft id of each target id, or -1; none where the vocabularies are one.
    pub to_draft: Option<usize>,
    /// Draft tokens [sequences, draft], target ids.
    pub tokens: usize,
    /// Uniform numbers [sequences, draft + 1].
    pub uniform: usize,
    /// Tokens [sequences, draft + 1].
    pub out: usize,
    /// Accepted drafts [sequences].
    pub accepted: usize,
}

/// Buffers of a kernel over rows: logits, uniform numbers, statistics, tokens.
pub const ROWS: [usize; 4] = [0, 1, 2, 3];

fn splits(rows: u64, vocabulary: u64, setting: Setting) -> u64 {
    // No more blocks than run at once: a second wave that is nearly empty takes as long as a full one.
    let wanted = setting.multiprocessors * RESIDENT / rows.max(1);
    wanted.min(vocabulary.div_ceil(LEAST)).clamp(1, MOST_SPLITS)
}

fn scale(temperature: f32) -> Scalar {
    Scalar::F32(std::f32::consts::LOG2_E / temperature)
}

fn int(x: u64) -> Scalar {
    Scalar::I32(x as i32)
}

/// Adds a launch over rows: where its buffers are (logits, uniform, statistics, tokens).
fn over_rows(
    program: &mut Program,
    kernel: &'static str,
    [rows, vocabulary, splits]: [u64; 3],
    logits: Option<usize>,
    temperature: f32,
    outputs: u64,
) -> [usize; 4] {
    let logits =
        logits.unwrap_or_else(|| program.buffer(Buffer::cold(rows * vocabulary * 4, Fill::F32(SPREAD))));
    let uniform = program.buffer(Buffer::hot(rows * 4, Fill::Uniform));
    let stats = program.buffer(Buffer::output(rows * 8));
    let out = program.buffer(Buffer::output(rows * outputs * 4));
    let partial = program.buffer(Buffer::hot(rows * splits * 64, Fill::Zero));
    let arrived = program.buffer(Buffer::hot(rows * 4, Fill::Zero));
    program.launches.push(Launch {
        kernel,
        grid: [rows as u32, splits as u32, 1],
        threads: THREADS,
        shared: 0,
        pointers: [logits, uniform, stats, out, partial, arrived].map(Some).to_vec(),
        scalars: vec![int(vocabulary), int(splits), scale(temperature)],
    });
    [logits, uniform, stats, out]
}

/// The program of a kernel over rows.
pub fn program(shape: &Shape, setting: Setting) -> Program {
    let mut program = Program::default();
    if shape.kernel == RowKernel::VerifyChain {
        verification(&mut program, shape, setting);
    } else {
        let own = shape.splits.unwrap_or_else(|| splits(shape.rows, shape.vocabulary, setting));
        let outputs = if shape.kernel == RowKernel::TopK { 8 } else { 1 };
        let sizes = [shape.rows, shape.vocabulary, own];
        over_rows(&mut program, shape.kernel.name(), sizes, None, shape.temperatures[0], outputs);
    }
    program
}

/// A verification as it is launched: statistics of target rows and of draft rows, then the walk.
pub fn verification(program: &mut Program, shape: &Shape, setting: Setting) -> Verification {
    let Shape { rows: sequences, vocabulary, draft_vocabulary, draft, temperatures, .. } = *shape;
    let own = |rows, vocabulary| shape.splits.unwrap_or_else(|| splits(rows, vocabulary, setting));
    let rows = [sequences * (draft + 1), sequences * draft];
    let name = RowKernel::Stats.name();
    let sizes = [rows[0], vocabulary, own(rows[0], vocabulary)];
    let [target, _, target_stats, _] = over_rows(program, name, sizes, None, temperatures[0], 1);
    let sizes = [rows[1], draft_vocabulary, own(rows[1], draft_vocabulary)];
    let [drafted, _, drafted_stats, _] = over_rows(program, name, sizes, None, temperatures[1], 1);
    let mut stream = Stream::new(setting.seed, Purpose::Calibration, &[4]);
    // Every so-manieth target token is a draft token, in order.
    let stride = vocabulary / draft_vocabulary;
    let to_draft = (draft_vocabulary < vocabulary).then(|| {
        let id = |at: u64| {
            if at.is_multiple_of(stride) && at / stride < draft_vocabulary {
                (at / stride) as i32
            } else {
                -1
            }
        };
        program.buffer(Buffer::ints(&(0..vocabulary).map(id).collect::<Vec<_>>()))
    });
    let stride = if to_draft.is_some() { stride } else { 1 };
    let drafts: Vec<i32> =
        (0..rows[1]).map(|_| ((stream.uniform() * draft_vocabulary as f64) as u64 * stride) as i32).collect();
    let tokens = program.buffer(Buffer::ints(&drafts));
    let uniform = program.buffer(Buffer::hot(rows[0] * 4, Fill::Uniform));
    let out = program.buffer(Buffer::output(rows[0] * 4));
    let accepted = program.buffer(Buffer::output(sequences * 4));
    let splits = own(sequences, vocabulary);
    let partial = program.buffer(Buffer::hot(sequences * splits * 4, Fill::Zero));
    let arrived = program.buffer(Buffer::hot(sequences * 4, Fill::Zero));
    program.launches.push(Launch {
        kernel: RowKernel::VerifyChain.name(),
        grid: [sequences as u32, splits as u32, 1],
        threads: THREADS,
        shared: 0,
        pointers: vec![
            Some(target),
            Some(target_stats),
            Some(drafted),
            Some(drafted_stats),
            to_draft,
            Some(tokens),
            Some(uniform),
            Some(out),
            Some(accepted),
            Some(partial),
            Some(arrived),
        ],
        scalars: vec![
            int(draft),
            int(vocabulary),
            int(draft_vocabulary),
            int(splits),
            scale(temperatures[0]),
            scale(temperatures[1]),
        ],
    });
    Verification { target, drafted, to_draft, tokens, uniform, out, accepted }
}
