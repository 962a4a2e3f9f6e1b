//! Attention against the reference, and against itself: what must be the same whatever the numbers are.

use super::inputs::contents;
use super::{Check, Effort, check};
use crate::calibrate::launch::{LaunchError, Launcher};
use crate::calibrate::programs::Setting;
use crate::calibrate::programs::attention::{MOST_SPLITS, PLACES, Shape, binary_tree, program};
use crate::calibrate::reference::{attention, bf16s, distance};
use crate::calibrate::work::HEAD_DIM;

/// Relative distance that rounding of probabilities and results to bf16 explains.
const BOUND: f64 = 5e-3;

fn shape(heads: [u64; 2], queries: u64, context: &[u64], page: u64) -> Shape {
    Shape { heads, batch: context.len() as u64, queries, context: context.to_vec(), page, tree: None }
}

/// Shapes of one run: every kernel, odd lengths, every page size, both masks, prefill.
fn shapes(effort: Effort) -> Vec<(Shape, Option<u64>)> {
    let tree = |shape: Shape| Shape { tree: Some(binary_tree(shape.queries)), ..shape };
    let mut all = vec![
        (shape([4, 1], 1, &[1, 77], 16), None),
        (shape([4, 1], 4, &[200], 16), Some(3)),
        (shape([5, 1], 3, &[130, 3], 64), Some(2)),
        (shape([8, 2], 8, &[100], 16), Some(2)),
        (shape([16, 1], 4, &[150], 256), Some(3)),
        (shape([4, 1], 32, &[90], 16), Some(2)),
        // As many splits as there may be, most of them without a key.
        (shape([4, 1], 4, &[200], 16), Some(MOST_SPLITS)),
        (shape([4, 1], 32, &[90], 16), Some(MOST_SPLITS)),
        (tree(shape([4, 1], 8, &[140, 9], 16)), Some(3)),
        (tree(shape([4, 1], 16, &[70], 16)), Some(1)),
    ];
    if effort == Effort::Full {
        all.extend([
            (shape([32, 8], 1, &[4097, 1000, 64, 1], 16), None),
            (shape([32, 8], 8, &[5000, 777], 16), None),
            (shape([64, 4], 16, &[2048, 1999], 64), None),
            (shape([32, 8], 64, &[3000], 16), None),
            (tree(shape([32, 8], 64, &[3000, 500], 16)), None),
            (shape([32, 8], 700, &[700], 16), None),
            (shape([40, 8], 300, &[1000], 16), None),
        ]);
    }
    all
}

fn run(
    launcher: &mut dyn Launcher,
    shape: &Shape,
    splits: Option<u64>,
    seed: u64,
) -> Result<Ran, LaunchError> {
    let setting = Setting { multiprocessors: 132, seed };
    let program = program(shape, setting, splits);
    let mut data = contents(&program, seed);
    // Slots of the cache behind the end of a sequence hold nothing that may be read.
    let pages = shape.page_table(seed);
    let (per_sequence, kv) = (shape.pages_per_sequence(), shape.heads[1]);
    let row = (kv * HEAD_DIM * 2) as usize;
    for (sequence, length) in shape.context.iter().enumerate() {
        for key in *length..per_sequence * shape.page {
            let page = pages[sequence * per_sequence as usize + (key / shape.page) as usize] as u64;
            let at = (page * shape.page + key % shape.page) as usize * row;
            for cache in [PLACES.k, PLACES.v] {
                data[cache][at..at + row].fill(0xff);
            }
        }
    }
    let before = data.clone();
    launcher.run(&program, &mut data, None)?;
    Ok(Ran { out: bf16s(&data[PLACES.out]), before })
}

struct Ran {
    out: Vec<f64>,
    before: Vec<Vec<u8>>,
}

/// Every shape against the reference.
pub(super) fn reference(
    launcher: &mut dyn Launcher,
    seed: u64,
    effort: Effort,
) -> Result<Vec<Check>, LaunchError> {
    let mut checks = Vec::new();
    for (shape, splits) in shapes(effort) {
        let ran = run(launcher, &shape, splits, seed)?;
        let [q, k, v] = [PLACES.q, PLACES.k, PLACES.v].map(|at| bf16s(&ran.before[at]));
        let right = attention(&shape, &q, &k, &v, &shape.page_table(seed));
        let mask = if shape.tree.is_some() { "tree" } else { "chain" };
        let name = format!(
            "attention {}/{} queries {} context {:?} page {} {mask} splits {splits:?}",
            shape.heads[0], shape.heads[1], shape.queries, shape.context, shape.page
        );
        checks.push(check(name, distance(&ran.out, &right), BOUND));
    }
    Ok(checks)
}

/// A tree that is a chain is a chain; splits do not matter; rows one at a time are rows together; runs repeat.
pub(super) fn relations(
    launcher: &mut dyn Launcher,
    seed: u64,
    _: Effort,
) -> Result<Vec<Check>, LaunchError> {
    let chain = shape([4, 1], 4, &[150, 66], 16);
    let whole = run(launcher, &chain, Some(1), seed)?;
    let mut checks = Vec::new();
    let words = (0..4).map(|i| (1 << (i + 1)) - 1).collect();
    let as_tree = run(launcher, &Shape { tree: Some(words), ..chain.clone() }, Some(1), seed)?;
    checks.push(check(
        "attention: a tree that is a chain".to_owned(),
        distance(&as_tree.out, &whole.out),
        0.0,
    ));
    for splits in [2, 3] {
        let parts = run(launcher, &chain, Some(splits), seed)?;
        let name = format!("attention: {splits} splits and one");
        // Both round to bf16, of which one step is 0.4 %, at different places.
        checks.push(check(name, distance(&parts.out, &whole.out), 3e-3));
        let again = run(launcher, &chain, Some(splits), seed)?;
        let name = format!("attention: {splits} splits, twice");
        checks.push(check(name, distance(&again.out, &parts.out), 0.0));
    }
    // One new token at a time over what it sees. Only sequences of one length share a program, so one sequence.
    let together = shape([4, 1], 4, &[150], 16);
    let all = run(launcher, &together, Some(2), seed)?;
    let row = 4 * HEAD_DIM as usize;
    for token in 0..4 {
        let alone = shape([4, 1], 1, &[147 + token], 16);
        let setting = Setting { multiprocessors: 132, seed };
        let program = program(&alone, setting, Some(2));
        let mut data = contents(&program, seed);
        for cache in [PLACES.k, PLACES.v, PLACES.pages] {
            data[cache].clone_from(&all.before[cache]);
        }
        let at = token as usize * row * 2;
        data[PLACES.q] = all.before[PLACES.q][at..at + row * 2].to_vec();
        launcher.run(&program, &mut data, None)?;
        let right = &all.out[token as usize * row..][..row];
        let name = format!("attention: new token {token} alone and with the others");
        checks.push(check(name, distance(&bf16s(&data[PLACES.out]), right), 3e-3));
    }
    Ok(checks)
}
