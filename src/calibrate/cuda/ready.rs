//! A piece of work with its operands in memory: several sets of what serving reads from memory, one of the rest.

use cudarc::driver::sys::CUdeviceptr;

use super::super::bench::BenchError;
use super::super::launch::{Buffer, Fill, Launch, Program};
use super::super::programs::{self, Kind, Setting};
use super::super::work::Format;
use super::context::{Context, Functions};
use super::gemm::Product;

/// A work that is ready.
pub(super) enum Ready {
    /// A product: weights by set, input, output.
    Product { product: Product, algorithm: usize, weights: Vec<CUdeviceptr>, x: CUdeviceptr, y: CUdeviceptr },
    /// Launches, and the addresses of their buffers by set.
    Program { launches: Vec<Launch>, addresses: Vec<Vec<CUdeviceptr>> },
}

impl Ready {
    /// Enqueues one copy on the operands of a set.
    pub(super) fn enqueue(
        &self,
        context: &Context,
        functions: &Functions,
        set: usize,
    ) -> Result<(), BenchError> {
        match self {
            Ready::Product { product, algorithm, weights, x, y } => {
                product.enqueue(context, *algorithm, [weights[set % weights.len()], *x, *y])
            }
            Ready::Program { launches, addresses } => {
                let own = &addresses[set % addresses.len()];
                for launch in launches {
                    let parameters = launch.parameters(|buffer| own[buffer]);
                    context.launch(functions.get(launch.kernel)?, launch, &parameters)?;
                }
                Ok(())
            }
        }
    }
}

/// Bytes of a program's buffers that come in sets, and of those that do not.
pub(super) fn sizes(program: &Program) -> [u64; 2] {
    let sum = |cold| program.buffers.iter().filter(|b| b.cold == cold).map(|b| b.bytes).sum();
    [sum(true), sum(false)]
}

/// Puts a program's buffers into memory.
pub(super) fn program(
    context: &mut Context,
    functions: &Functions,
    program: Program,
    sets: usize,
    seed: u64,
) -> Result<Ready, BenchError> {
    let mut addresses: Vec<Vec<CUdeviceptr>> = vec![Vec::new(); sets];
    for (index, buffer) in program.buffers.iter().enumerate() {
        let mut shared = None;
        for (set, own) in addresses.iter_mut().enumerate() {
            let at = if let (false, Some(at)) = (buffer.cold, shared) {
                at
            } else {
                let at = context.allocate(buffer.bytes)?;
                let seed = seed.wrapping_add((index * 1009 + set) as u64);
                fill(context, functions, buffer, at, seed)?;
                at
            };
            shared = Some(at);
            own.push(at);
        }
    }
    Ok(Ready::Program { launches: program.launches, addresses })
}

/// Puts a product's operands into memory: weights of a trained layer's spread, inputs of a normalised one's.
pub(super) fn product(
    context: &mut Context,
    functions: &Functions,
    product: Product,
    format: Format,
    [m, n, k]: [u64; 3],
    (algorithm, sets, seed): (usize, usize, u64),
) -> Result<Ready, BenchError> {
    let bytes = if format == Format::Bf16 { 2 } else { 1 };
    let kind = if format == Format::Bf16 { Kind::Bf16 } else { Kind::E4m3 };
    // e4m3 has no digits for 0.02: quantised weights fill its range.
    let sd = if format == Format::Bf16 { 0.02 } else { 1.0 };
    let mut weights = Vec::with_capacity(sets);
    for set in 0..sets {
        let at = context.allocate(n * k * bytes)?;
        random(context, functions, at, n * k, (kind, seed.wrapping_add(set as u64), sd))?;
        weights.push(at);
    }
    let x = context.allocate(m * k * bytes)?;
    random(context, functions, x, m * k, (kind, seed ^ 0x5555, 1.0))?;
    let y = context.allocate(m * n * 2)?;
    Ok(Ready::Product { product, algorithm, weights, x, y })
}

fn fill(
    context: &Context,
    functions: &Functions,
    buffer: &Buffer,
    at: CUdeviceptr,
    seed: u64,
) -> Result<(), BenchError> {
    match &buffer.fill {
        Fill::Zero | Fill::Output => context.set(at, 0, buffer.bytes),
        Fill::Bytes(bytes) => context.upload(at, bytes),
        Fill::Bf16(sd) => random(context, functions, at, buffer.bytes / 2, (Kind::Bf16, seed, *sd)),
        Fill::F32(sd) => random(context, functions, at, buffer.bytes / 4, (Kind::F32, seed, *sd)),
        Fill::Uniform => random(context, functions, at, buffer.bytes / 4, (Kind::Uniform, seed, 1.0)),
    }
}

fn random(
    context: &Context,
    functions: &Functions,
    at: CUdeviceptr,
    elements: u64,
    (kind, seed, sd): (Kind, u64, f32),
) -> Result<(), BenchError> {
    let setting = Setting { multiprocessors: context.facts.multiprocessors, seed };
    let launch = programs::fill(elements, kind, seed, sd, setting);
    context.launch(functions.get("fill")?, &launch, &launch.parameters(|_| at))
}
