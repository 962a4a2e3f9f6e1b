//! What prompt lookup (n-gram drafting) costs the host: nanoseconds for each token of context.
//!
//! Engines look for the longest match of a request's last tokens in everything before, once a round and request, on
//! one thread: a prefix function of the reversed tokens, capped at the longest n-gram. The constant
//! `lookup_ns_per_token` of `calibration/engines.yaml` is this figure.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Longest and shortest n-gram: vLLM's default of `prompt_lookup_max` is 5.
const LONGEST: usize = 5;
const SHORTEST: usize = 2;

/// Where the tokens behind the best match start: longest match first, the earliest of them.
fn look_up(tokens: &[u32], prefix: &mut [usize; LONGEST]) -> Option<usize> {
    let last = tokens.len() - 1;
    let reversed = |i: usize| tokens[last - i];
    prefix.fill(0);
    let (mut matched, mut best, mut at) = (0, 0, 0);
    for i in 1..tokens.len() {
        // A full match falls back like a failed one, so that the next can be found.
        if matched == LONGEST {
            matched = prefix[LONGEST - 1];
        }
        while matched > 0 && reversed(matched) != reversed(i) {
            matched = prefix[matched - 1];
        }
        matched += usize::from(reversed(matched) == reversed(i));
        if i < LONGEST {
            prefix[i] = matched;
        }
        if matched >= best && matched > 0 {
            (best, at) = (matched, i);
        }
    }
    // The match ends, in reversed order, at `at`: what followed it starts `best` tokens later.
    (best >= SHORTEST).then(|| last - at + best)
}

fn lookup(c: &mut Criterion) {
    let mut group = c.benchmark_group("lookup");
    for length in [1024_u64, 4096, 16_384] {
        // Words of a natural text repeat; a small vocabulary makes partial matches common, as text does.
        let mut state = 1_u64;
        let tokens: Vec<u32> = (0..length)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let u = (state >> 40) as f64 / f64::from(1_u32 << 24);
                (2000.0 * u * u * u) as u32
            })
            .collect();
        group.throughput(Throughput::Elements(length));
        group.bench_with_input(BenchmarkId::from_parameter(length), &tokens, |b, tokens| {
            let mut prefix = [0; LONGEST];
            b.iter(|| look_up(black_box(tokens), &mut prefix));
        });
    }
    group.finish();
}

criterion_group!(benches, lookup);
criterion_main!(benches);
