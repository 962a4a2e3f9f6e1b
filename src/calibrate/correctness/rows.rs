//! Kernels over rows of logits against the reference: statistics, the largest, samples and decisions by replay.

use super::inputs::{contents, id, ints};
use super::{Check, Effort, check};
use crate::calibrate::launch::{LaunchError, Launcher, Program};
use crate::calibrate::programs::Setting;
use crate::calibrate::programs::rows::{ROWS, Shape, program, verification};
use crate::calibrate::reference::{Walk, f32s, i32s, softmax, verify};
use crate::calibrate::work::RowKernel;

/// Mass by which sums in f32 may be off.
const MASS: f64 = 2e-5;

fn setting(seed: u64) -> Setting {
    Setting { multiprocessors: 132, seed }
}

fn sizes(effort: Effort) -> Vec<(u64, u64, Option<u64>, f32)> {
    let mut sizes = vec![(2, 8, None, 1.0), (3, 1000, Some(1), 0.7), (2, 5000, Some(4), 1.0)];
    if effort == Effort::Full {
        sizes.extend([(8, 151_936, None, 1.0), (64, 32_000, None, 0.6), (30, 152_064, None, 1.0)]);
    }
    sizes
}

fn shape(kernel: RowKernel, (rows, vocabulary, splits, t): (u64, u64, Option<u64>, f32)) -> Shape {
    Shape { kernel, rows, vocabulary, draft_vocabulary: vocabulary, draft: 0, temperatures: [t, t], splits }
}

/// By how much mass `u` lies outside the token's part of the running sum of `weights`, relative to one.
fn outside(weights: &[f64], token: i32, u: f64) -> f64 {
    let total: f64 = weights.iter().sum();
    let Some(own) = usize::try_from(token).ok().filter(|at| *at < weights.len()) else {
        return f64::INFINITY;
    };
    if weights[own] <= 0.0 {
        return f64::INFINITY;
    }
    let below: f64 = weights[..own].iter().sum();
    let target = u * total;
    (below - target).max(target - below - weights[own]).max(0.0)
}

/// Statistics, samples, the eight largest.
pub(super) fn reference(
    launcher: &mut dyn Launcher,
    seed: u64,
    effort: Effort,
) -> Result<Vec<Check>, LaunchError> {
    let mut checks = Vec::new();
    for size in sizes(effort) {
        let (rows, vocabulary, _, t) = size;
        let v = vocabulary as usize;
        let what = |kernel: RowKernel| format!("{} rows {rows} vocabulary {vocabulary}", kernel.name());
        let mut run = |kernel| -> Result<[Vec<Vec<u8>>; 2], LaunchError> {
            let program = program(&shape(kernel, size), setting(seed));
            let before = contents(&program, seed);
            let mut after = before.clone();
            launcher.run(&program, &mut after, None)?;
            Ok([before, after])
        };
        let [before, after] = run(RowKernel::Stats)?;
        let (logits, stats, most) = (f32s(&before[ROWS[0]]), f32s(&after[ROWS[2]]), i32s(&after[ROWS[3]]));
        let mut off = 0.0_f64;
        for (row, x) in logits.chunks(v).enumerate() {
            let right = {
                let top = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = x.iter().map(|x| libm::exp((x - top) / f64::from(t))).sum();
                top / f64::from(t) + libm::log(sum)
            };
            let found = stats[2 * row] * std::f64::consts::LN_2 + libm::log(stats[2 * row + 1]);
            // NaN must not pass a maximum.
            let away = (found - right).abs();
            off = if away.is_nan() { f64::INFINITY } else { off.max(away) };
            let first = (0..v).fold(0, |best, i| if x[i] > x[best] { i } else { best });
            off = if most[row] == id(first) { off } else { f64::INFINITY };
        }
        checks.push(check(what(RowKernel::Stats), off, MASS));

        let [before, after] = run(RowKernel::Sample)?;
        let (logits, uniform) = (f32s(&before[ROWS[0]]), f32s(&before[ROWS[1]]));
        let tokens = i32s(&after[ROWS[3]]);
        let off = logits
            .chunks(v)
            .enumerate()
            .map(|(row, x)| outside(&softmax(x, f64::from(t)), tokens[row], uniform[row]))
            .fold(0.0, f64::max);
        checks.push(check(what(RowKernel::Sample), off, MASS));

        let [before, after] = run(RowKernel::TopK)?;
        let logits = f32s(&before[ROWS[0]]);
        let tokens = i32s(&after[ROWS[3]]);
        let wrong = logits.chunks(v).enumerate().filter(|(row, x)| {
            let mut order: Vec<usize> = (0..v).collect();
            order.sort_by(|a, b| x[*b].total_cmp(&x[*a]).then(a.cmp(b)));
            let right: Vec<i32> = order[..8].iter().map(|at| id(*at)).collect();
            tokens[row * 8..][..8] != right
        });
        checks.push(check(what(RowKernel::TopK), wrong.count() as f64, 0.0));
    }
    Ok(checks)
}

/// Verification, token by token, on the same uniform numbers as the reference.
pub(super) fn replay(
    launcher: &mut dyn Launcher,
    seed: u64,
    effort: Effort,
) -> Result<Vec<Check>, LaunchError> {
    let mut sizes = vec![(6, 8, 8, 2, None), (3, 1000, 1000, 3, Some(1)), (2, 4096, 1024, 4, Some(3))];
    if effort == Effort::Full {
        sizes.extend([(16, 151_936, 32_000, 7, None), (64, 32_000, 32_000, 3, None)]);
    }
    let mut checks = Vec::new();
    for (sequences, vocabulary, draft_vocabulary, draft, splits) in sizes {
        let shape = Shape {
            kernel: RowKernel::VerifyChain,
            rows: sequences,
            vocabulary,
            draft_vocabulary,
            draft,
            temperatures: [1.0, 0.8],
            splits,
        };
        let mut program = Program::default();
        let places = verification(&mut program, &shape, setting(seed));
        let mut data = contents(&program, seed);
        let (n, v, d) = (draft as usize, vocabulary as usize, draft_vocabulary as usize);
        let map = places.to_draft.map(|at| i32s(&data[at]));
        let mapped = |i: usize| map.as_ref().map_or(id(i), |map| map[i]);
        let (target, drafted) = (f32s(&data[places.target]), f32s(&data[places.drafted]));
        let p: Vec<Vec<f64>> = target.chunks(v).map(|x| softmax(x, 1.0)).collect();
        let q: Vec<Vec<f64>> = drafted
            .chunks(d)
            .map(|x| {
                let own = softmax(x, f64::from(0.8_f32));
                (0..v).map(|i| usize::try_from(mapped(i)).map_or(0.0, |at| own[at])).collect()
            })
            .collect();
        // Half of the drafts are the drafter's likeliest, which are often accepted.
        let mut drafts: Vec<usize> = i32s(&data[places.tokens]).into_iter().map(|x| x as usize).collect();
        for (at, draft) in drafts.iter_mut().enumerate().filter(|(at, _)| at % 2 == 0) {
            *draft = (0..v).fold(*draft, |best, i| if q[at][i] > q[at][best] { i } else { best });
        }
        data[places.tokens] = ints(drafts.iter().map(|x| id(*x)));
        let uniform = f32s(&data[places.uniform]);
        launcher.run(&program, &mut data, None)?;
        let (out, accepted) = (i32s(&data[places.out]), i32s(&data[places.accepted]));
        let (mut wrong, mut off, mut near) = (0, 0.0_f64, 0);
        for s in 0..sequences as usize {
            let own = &uniform[s * (n + 1)..][..=n];
            let tokens = &drafts[s * n..][..n];
            let Walk { accepted: right, left, margin } =
                verify(&p[s * (n + 1)..][..=n], &q[s * n..][..n], tokens, own);
            if margin < 1e-5 {
                near += 1;
                continue;
            }
            let found = &out[s * (n + 1)..][..=n];
            let kept = (0..right).all(|i| found[i] == id(tokens[i]));
            let rest = (right + 1..=n).all(|i| found[i] == -1);
            if accepted[s] as usize != right || !kept || !rest {
                wrong += 1;
                continue;
            }
            off = off.max(outside(&left, found[right], own[n]));
        }
        let name = format!(
            "verify_chain sequences {sequences} vocabulary {vocabulary}/{draft_vocabulary} draft {draft}"
        );
        let mut decisions = check(format!("{name}: decisions that differ"), f64::from(wrong), 0.0);
        decisions.note = format!("{near} of {sequences} too near to tell");
        checks.push(decisions);
        checks.push(check(format!("{name}: mass of the last token"), off, MASS));
    }
    Ok(checks)
}
