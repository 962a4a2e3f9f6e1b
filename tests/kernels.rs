//! The CUDA kernels' own source, run thread by thread on the host (`kernels/host`), against f64 references: every check
//! of a GPU run at small sizes. Needs a C++ compiler; says so and passes where there is none.

#![cfg(feature = "simulator")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skipped"
)]

mod common;
#[path = "kernels/host.rs"]
mod host;
#[path = "kernels/races.rs"]
mod races;
#[path = "kernels/standin.rs"]
mod standin;

use std::time::Duration;

use host::Host;
use rollcast::calibrate::correctness::{self, BUGS, Effort};
use rollcast::calibrate::launch::{Buffer, Fill, Launcher, Program};
use rollcast::calibrate::programs::{self, Setting, attention};

#[test]
fn kernels_compute_what_they_should_and_planted_bugs_are_found() {
    let Some(mut host) = Host::build(&BUGS) else { return };
    let mut lines = String::new();
    let limit = Duration::from_secs(3600);
    let checks = correctness::run(&mut host, 1, Effort::Small, limit, &mut |check| {
        lines.push_str(&check.to_string());
        lines.push('\n');
    });
    let failed: Vec<String> = checks.iter().filter(|c| !c.passed).map(ToString::to_string).collect();
    assert!(failed.is_empty(), "{}\nof\n{lines}", failed.join("\n"));
    assert!(checks.len() > 50, "{} checks", checks.len());
    println!("{lines}");
}

#[test]
fn a_copy_copies_and_a_wrong_struct_is_refused() {
    let Some(mut host) = Host::build(&[]) else { return };
    let setting = Setting { multiprocessors: 2, seed: 1 };
    for bytes in [16, 4096 * 16, 3 * 2048 * 16 + 16] {
        let program = programs::copy(bytes, setting);
        let from: Vec<u8> = (0..bytes).map(|i| (i * 31 % 251) as u8).collect();
        let mut data = vec![from.clone(), vec![0xff; bytes as usize]];
        host.run(&program, &mut data, None).unwrap();
        assert!(data[1] == from, "{bytes} bytes");
    }
    let mut program = programs::copy(16, setting);
    program.launches[0].scalars.pop();
    program.launches[0].scalars.pop();
    let error = host.run(&program, &mut [vec![0; 16], vec![0; 16]], None).unwrap_err();
    assert!(error.message.contains("24 bytes, 16 were given"), "{error}");
}

#[test]
fn a_block_that_writes_behind_its_shared_memory_is_told() {
    let Some(mut host) = Host::build(&[]) else { return };
    let (heads, context) = ([4, 1], vec![40, 64]);
    let shape = attention::Shape { heads, batch: 2, queries: 1, context, page: 16, tree: None };
    let mut program = attention::program(&shape, Setting { multiprocessors: 2, seed: 1 }, None);
    let bytes = |buffer: &Buffer| match &buffer.fill {
        Fill::Bytes(bytes) => bytes.clone(),
        _ => vec![0; buffer.bytes as usize],
    };
    let mut data: Vec<Vec<u8>> = program.buffers.iter().map(bytes).collect();
    host.run(&program, &mut data, None).unwrap();
    assert_eq!(program.launches[0].shared, 32 << 10, "one stage: no sequence has more than 64 tokens");
    program.launches[0].shared -= 64;
    let error = host.run(&program, &mut data, None).unwrap_err();
    assert!(error.message.contains("attention_rows16 wrote behind its 32704 bytes"), "{error}");
}

#[test]
fn a_read_reads_everything_and_writes_nothing_where_nobody_asks() {
    let Some(mut host) = Host::build(&[]) else { return };
    let setting = Setting { multiprocessors: 1, seed: 1 };
    for bytes in [16, 5 * 4096 * 16, 3 * 2048 * 16 + 16] {
        let buffer: Vec<u8> = (0..bytes).map(|i| (i * i % 251) as u8).collect();
        let words = |bytes: &[u8]| {
            bytes.chunks(4).fold(0, |all, word| all ^ u32::from_le_bytes(word.try_into().unwrap()))
        };
        let launch = programs::read_launch(bytes, Some(1), setting);
        let threads = (launch.grid[0] * launch.threads) as usize;
        let program = Program { buffers: Vec::new(), launches: vec![launch] };
        let mut data = vec![buffer.clone(), vec![0xff; 4 * threads]];
        host.run(&program, &mut data, None).unwrap();
        assert_eq!(words(&data[1]), words(&buffer), "{bytes} bytes");
        let silent = programs::read_launch(bytes, None, setting);
        let mut data = vec![buffer.clone()];
        host.run(&Program { buffers: Vec::new(), launches: vec![silent] }, &mut data, None).unwrap();
        assert!(data[0] == buffer);
    }
}
