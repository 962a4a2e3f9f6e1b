//! Verification keeps the target's law: counts of first tokens and of pairs against it, acceptance against its closed
//! form; and planted bugs are seen.
//!
//! Two positions over V tokens: p₁, and p₂ given the first draft; q likewise. A round that rejects the first draft gives
//! one token, and the second is drawn from p₂ given it, as the next round would. Levels are shared out over all
//! tests of a run (Bonferroni).

use super::inputs::{contents, floats, id, ints};
use super::{Check, Effort, check};
use crate::calibrate::launch::{LaunchError, Launcher, Program};
use crate::calibrate::programs::Setting;
use crate::calibrate::programs::rows::{Shape, verification};
use crate::calibrate::reference::i32s;
use crate::calibrate::work::RowKernel;
use crate::math::chi_square_p_value;
use crate::rng::{Purpose, Stream, mix};

/// Chance that a right kernel fails any of the tests.
const LEVEL: f64 = 1e-3;
/// What a bug's p-value must be below.
const CAUGHT: f64 = 1e-6;

/// Pairs of laws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pair {
    /// Unlike each other.
    Unlike,
    /// One and the same.
    Same,
    /// Half of the tokens each, none in common.
    Disjoint,
    /// The target has one token.
    Point,
    /// The target has lost its tail.
    Truncated,
}

const PAIRS: [Pair; 5] = [Pair::Unlike, Pair::Same, Pair::Disjoint, Pair::Point, Pair::Truncated];

/// A law over `v` tokens in a context, as logits and as chances.
fn law(pair: Pair, draft: bool, v: usize, context: u64) -> (Vec<f64>, Vec<f64>) {
    let seed = if draft && pair != Pair::Same { 77 } else { 5 };
    let hashed = |x: usize| (mix(mix(seed ^ context << 8) ^ x as u64) >> 11) as f64 / (1_u64 << 53) as f64;
    let logits: Vec<f64> = (0..v)
        .map(|x| {
            let there = match (pair, draft) {
                (Pair::Disjoint, draft) => (x % 2 == 0) == draft,
                (Pair::Point, false) => x == (context as usize * 3 + 1) % v,
                (Pair::Truncated, false) => hashed(x) > 0.5,
                _ => true,
            };
            // As f32, which is what kernels see.
            if there { f64::from((2.5 * hashed(x)) as f32) } else { f64::NEG_INFINITY }
        })
        .collect();
    let weights: Vec<f64> = logits.iter().map(|x| libm::exp(*x)).collect();
    let sum: f64 = weights.iter().sum();
    (logits, weights.into_iter().map(|w| w / sum).collect())
}

fn drawn(law: &[f64], stream: &mut Stream) -> usize {
    let mut u = stream.uniform();
    for (x, p) in law.iter().enumerate() {
        if u < *p {
            return x;
        }
        u -= p;
    }
    law.iter().rposition(|p| *p > 0.0).unwrap_or(0)
}

/// What a run of many rounds gave.
struct Counts {
    first: Vec<u64>,
    pairs: Vec<u64>,
    accepted: u64,
    rounds: u64,
}

fn count(
    launcher: &mut dyn Launcher,
    pair: Pair,
    v: usize,
    rounds: u64,
    (seed, flaw): (u64, Option<&str>),
) -> Result<Counts, LaunchError> {
    let shape = Shape {
        kernel: RowKernel::VerifyChain,
        rows: rounds,
        vocabulary: v as u64,
        draft_vocabulary: v as u64,
        draft: 2,
        temperatures: [1.0, 1.0],
        splits: Some(1),
    };
    let mut program = Program::default();
    let places = verification(&mut program, &shape, Setting { multiprocessors: 132, seed });
    let mut data = contents(&program, seed);
    let mut stream = Stream::new(seed, Purpose::Calibration, &[6, v as u64, pair as u64]);
    let contexts = |draft| (0..=v as u64).map(|c| law(pair, draft, v, c)).collect::<Vec<_>>();
    let (p, q) = (contexts(false), contexts(true));
    // Context 0 is the beginning, context x + 1 follows token x; what follows two tokens is not looked at.
    let (mut target, mut drafted, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let x = drawn(&q[0].1, &mut stream);
        let y = drawn(&q[x + 1].1, &mut stream);
        tokens.extend([id(x), id(y)]);
        target.extend(p[0].0.iter().chain(&p[x + 1].0).chain(&p[y + 1].0));
        drafted.extend(q[0].0.iter().chain(&q[x + 1].0));
    }
    data[places.target] = floats(target);
    data[places.drafted] = floats(drafted);
    data[places.tokens] = ints(tokens);
    data[places.uniform] = floats((0..3 * rounds).map(|_| stream.uniform()));
    launcher.run(&program, &mut data, flaw)?;
    let (out, accepted) = (i32s(&data[places.out]), i32s(&data[places.accepted]));
    let mut counts = Counts { first: vec![0; v], pairs: vec![0; v * v], accepted: 0, rounds };
    let wrong =
        || LaunchError { kernel: "verify_chain".to_owned(), message: "a token that is none".to_owned() };
    for (round, taken) in accepted.iter().enumerate() {
        let token =
            |at: usize| usize::try_from(out[3 * round + at]).ok().filter(|x| *x < v).ok_or_else(wrong);
        let first = token(0)?;
        let second = if *taken > 0 { token(1)? } else { drawn(&p[first + 1].1, &mut stream) };
        counts.first[first] += 1;
        counts.pairs[first * v + second] += 1;
        counts.accepted += u64::from(*taken > 0);
    }
    Ok(counts)
}

/// p-values of first tokens and of pairs.
fn p_values(counts: &Counts, pair: Pair, v: usize) -> [f64; 2] {
    let first = law(pair, false, v, 0).1;
    let joint: Vec<f64> = (0..v)
        .flat_map(|x| law(pair, false, v, x as u64 + 1).1.into_iter().map(move |p| (x, p)))
        .map(|(x, p)| first[x] * p)
        .collect();
    [chi_square_p_value(&counts.first, &first), chi_square_p_value(&counts.pairs, &joint)]
}

/// Every pair of laws.
pub(super) fn preserved(
    launcher: &mut dyn Launcher,
    seed: u64,
    effort: Effort,
) -> Result<Vec<Check>, LaunchError> {
    let rounds = if effort == Effort::Full { 100_000 } else { 600 };
    let sizes: &[usize] = if effort == Effort::Full { &[8, 64, 1000] } else { &[8, 16] };
    let tests = (sizes.len() * PAIRS.len() * 2) as f64;
    let mut checks = Vec::new();
    for &v in sizes {
        // Ten million logits a buffer are made in under a second.
        let rounds = rounds.min(10_000_000 / (3 * v as u64));
        for pair in PAIRS {
            let counts = count(launcher, pair, v, rounds, (seed, None))?;
            for (what, p) in ["first tokens", "pairs"].into_iter().zip(p_values(&counts, pair, v)) {
                let name = format!("verify_chain keeps the law: {what}, vocabulary {v}, {pair:?}");
                let mut found = check(name, -libm::log10(p.max(1e-300)), -libm::log10(LEVEL / tests));
                found.note = format!("-log10 of p over {} rounds", counts.rounds);
                checks.push(found);
            }
            let (p, q) = (law(pair, false, v, 0).1, law(pair, true, v, 0).1);
            let rate: f64 = p.iter().zip(&q).map(|(p, q)| p.min(*q)).sum();
            let n = counts.rounds as f64;
            // A rate of zero or one has no spread, and f32 may miss it by a rounding.
            let sd = libm::sqrt(rate * (1.0 - rate) / n).max(1e-5);
            let off = (counts.accepted as f64 / n - rate).abs() / sd;
            checks.push(check(
                format!("verify_chain accepts sum min(p, q): vocabulary {v}, {pair:?}"),
                off,
                4.0,
            ));
        }
    }
    Ok(checks)
}

/// Bugs, each compiled in by its name.
pub const BUGS: [&str; 3] = ["BUG_NO_RESIDUAL", "BUG_REUSE_U", "BUG_STALE_BONUS_ROW"];

/// Each bug is found by the tests above.
pub(super) fn bugs(
    launcher: &mut dyn Launcher,
    seed: u64,
    effort: Effort,
) -> Result<Vec<Check>, LaunchError> {
    let rounds = if effort == Effort::Full { 50_000 } else { 1000 };
    let mut checks = Vec::new();
    for bug in BUGS {
        // A bonus token is seen only where drafts are accepted; the third token's law is where that bug shows.
        let p = if bug == "BUG_STALE_BONUS_ROW" {
            bonus(launcher, rounds, (seed, Some(bug)))?.0
        } else {
            let counts = count(launcher, Pair::Unlike, 8, rounds, (seed, Some(bug)))?;
            p_values(&counts, Pair::Unlike, 8).into_iter().fold(1.0, f64::min)
        };
        checks.push(check(format!("{bug} is caught: p-value"), p, CAUGHT));
    }
    // And the same look at the bonus token finds nothing wrong in the kernel as it is.
    let (p, missing) = bonus(launcher, rounds, (seed, None))?;
    let off = -libm::log10(p.max(1e-300));
    checks.push(check("verify_chain keeps the law: bonus token".to_owned(), off, -libm::log10(LEVEL)));
    // Tokens that are not there have no law to break.
    checks.push(check("verify_chain: share of rounds without a bonus token".to_owned(), missing, 0.01));
    Ok(checks)
}

/// The p-value of the token behind an accepted draft, and the share of rounds that have none. The drafter is the target, so
/// every draft should be accepted.
fn bonus(
    launcher: &mut dyn Launcher,
    rounds: u64,
    with: (u64, Option<&str>),
) -> Result<(f64, f64), LaunchError> {
    const V: usize = 8;
    let shape = Shape {
        kernel: RowKernel::VerifyChain,
        rows: rounds,
        vocabulary: V as u64,
        draft_vocabulary: V as u64,
        draft: 1,
        temperatures: [1.0, 1.0],
        splits: Some(1),
    };
    let mut program = Program::default();
    let places = verification(&mut program, &shape, Setting { multiprocessors: 132, seed: with.0 });
    let mut data = contents(&program, with.0);
    let mut stream = Stream::new(with.0, Purpose::Calibration, &[7]);
    let (p, q) = (law(Pair::Same, false, V, 0), law(Pair::Same, true, V, 0));
    let behind = law(Pair::Unlike, false, V, 1);
    let n = rounds as usize;
    data[places.target] = floats((0..n).flat_map(|_| p.0.iter().chain(&behind.0).copied()));
    data[places.drafted] = floats((0..n).flat_map(|_| q.0.iter().copied()));
    data[places.tokens] = ints((0..n).map(|_| id(drawn(&q.1, &mut stream))));
    data[places.uniform] = floats((0..2 * n).map(|_| stream.uniform()));
    launcher.run(&program, &mut data, with.1)?;
    let out = i32s(&data[places.out]);
    let mut counts = vec![0_u64; V];
    for round in out.chunks(2) {
        if let Some(count) = usize::try_from(round[1]).ok().and_then(|x| counts.get_mut(x)) {
            *count += 1;
        }
    }
    let missing = 1.0 - counts.iter().sum::<u64>() as f64 / rounds as f64;
    Ok((chi_square_p_value(&counts, &behind.1), missing))
}
