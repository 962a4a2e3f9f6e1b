//! What kernels should compute, in f64 on the CPU: short and slow, to be believed by reading.

use rayon::prelude::*;

use super::programs::attention::Shape;
use super::work::HEAD_DIM;

const DIM: usize = HEAD_DIM as usize;

/// bf16 to f64.
pub fn from_bf16(bits: u16) -> f64 {
    f64::from(f32::from_bits(u32::from(bits) << 16))
}

/// f32 to bf16, to nearest, ties to even. For numbers that are not NaN.
pub fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// e4m3 to f64: sign, four bits of exponent, three behind the point; no infinities, one NaN of each sign.
pub fn from_e4m3(bits: u8) -> f64 {
    let (exponent, behind) = (i32::from(bits >> 3 & 15), f64::from(bits & 7));
    let size = match (exponent, bits & 7) {
        (15, 7) => f64::NAN,
        (0, _) => behind * libm::exp2(-9.0),
        _ => (1.0 + behind / 8.0) * libm::exp2(f64::from(exponent - 7)),
    };
    if bits & 0x80 == 0 { size } else { -size }
}

/// Bytes as bf16 numbers.
pub fn bf16s(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(2).map(|b| from_bf16(u16::from_le_bytes([b[0], b[1]]))).collect()
}

/// Bytes as f32 numbers.
pub fn f32s(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect()
}

/// Bytes as i32 numbers.
pub fn i32s(bytes: &[u8]) -> Vec<i32> {
    bytes.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// ‖found − right‖ / ‖right‖; infinite where a number is missing or not one.
pub fn distance(found: &[f64], right: &[f64]) -> f64 {
    let norm: f64 = right.iter().map(|x| x * x).sum();
    let off: f64 = found.iter().zip(right).map(|(a, b)| (a - b) * (a - b)).sum();
    if found.len() != right.len() || off.is_nan() {
        f64::INFINITY
    } else {
        libm::sqrt(off / norm.max(1e-300))
    }
}

/// Whether new token `token` of a sequence sees key `key`.
pub fn sees(shape: &Shape, sequence: usize, token: u64, key: u64) -> bool {
    let context = shape.context[sequence];
    let before = context - shape.queries;
    match &shape.tree {
        _ if key < before => true,
        _ if key >= context => false,
        Some(words) => words[token as usize] >> (key - before) & 1 == 1,
        None => key - before <= token,
    }
}

/// softmax(q kᵀ / √128) v over a paged cache; all [.., 128] row by row.
pub fn attention(shape: &Shape, q: &[f64], k: &[f64], v: &[f64], pages: &[i32]) -> Vec<f64> {
    let [heads, kv] = shape.heads.map(|h| h as usize);
    let per_sequence = shape.pages_per_sequence() as usize;
    let rows = (shape.batch * shape.queries) as usize * heads;
    let one = |row: usize| -> Vec<f64> {
        let (token_row, head) = (row / heads, row % heads);
        let (sequence, token) =
            (token_row / shape.queries as usize, (token_row % shape.queries as usize) as u64);
        let own = &q[row * DIM..][..DIM];
        let place = |key: u64| {
            let page = pages[sequence * per_sequence + (key / shape.page) as usize] as usize;
            ((page * shape.page as usize + (key % shape.page) as usize) * kv + head / (heads / kv)) * DIM
        };
        let seen: Vec<u64> =
            (0..shape.context[sequence]).filter(|key| sees(shape, sequence, token, *key)).collect();
        let dot = |key: &u64| -> f64 {
            let at = place(*key);
            own.iter().zip(&k[at..at + DIM]).map(|(a, b)| a * b).sum::<f64>() / libm::sqrt(HEAD_DIM as f64)
        };
        let scores: Vec<f64> = seen.iter().map(dot).collect();
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|s| libm::exp(s - most)).collect();
        let sum: f64 = weights.iter().sum();
        let mut out = vec![0.0; DIM];
        for (key, weight) in seen.iter().zip(&weights) {
            let at = place(*key);
            out.iter_mut().zip(&v[at..at + DIM]).for_each(|(o, x)| *o += weight / sum * x);
        }
        out
    };
    (0..rows).into_par_iter().flat_map_iter(one).collect()
}

/// x · w / √(mean(x²) + ε).
pub fn rms_norm(x: &[f64], weight: &[f64], epsilon: f64) -> Vec<f64> {
    let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    let scale = 1.0 / libm::sqrt(mean + epsilon);
    x.iter().zip(weight).map(|(x, w)| x * scale * w).collect()
}

/// Softmax of logits at a temperature.
pub fn softmax(logits: &[f64], temperature: f64) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits.iter().map(|x| libm::exp((x - most) / temperature)).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| w / sum).collect()
}

/// Where a verification of a chain ends, and what its last token is drawn from.
#[derive(Debug, Clone, PartialEq)]
pub struct Walk {
    /// Drafts accepted.
    pub accepted: usize,
    /// What the last token is drawn from; it need not sum to one.
    pub left: Vec<f64>,
    /// How near the closest decision was: |u q - p| / p, least over the drafts looked at.
    pub margin: f64,
}

/// Rejection sampling along a chain (arXiv 2211.17192). `p` has one law more than there are drafts; `q` is over the
/// target's vocabulary.
pub fn verify(p: &[Vec<f64>], q: &[Vec<f64>], drafts: &[usize], uniform: &[f64]) -> Walk {
    let mut margin = f64::INFINITY;
    for (at, &token) in drafts.iter().enumerate() {
        let (has, asked) = (p[at][token], uniform[at] * q[at][token]);
        margin = margin.min((asked - has).abs() / has.max(1e-300));
        if asked >= has {
            let left = p[at].iter().zip(&q[at]).map(|(p, q)| (p - q).max(0.0)).collect();
            return Walk { accepted: at, left, margin };
        }
    }
    Walk { accepted: drafts.len(), left: p[drafts.len()].clone(), margin }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_rounds_to_nearest_and_ties_to_even() {
        // 1 + 2^-8 lies between 1 and 1 + 2^-7: to even, 1. 1 + 3 · 2^-8 goes up.
        for (x, y) in
            [(1.0, 1.0), (1.0 + 1.0 / 256.0, 1.0), (1.0 + 3.0 / 256.0, 1.0 + 2.0 / 128.0), (-2.5, -2.5)]
        {
            assert_eq!(from_bf16(to_bf16(x)), y);
        }
    }

    #[test]
    fn e4m3_by_hand() {
        for (bits, x) in
            [(0x00, 0.0), (0x01, 1.0 / 512.0), (0x08, 1.0 / 64.0), (0x38, 1.0), (0xbc, -1.5), (0x7e, 448.0)]
        {
            assert_eq!(from_e4m3(bits), x);
        }
        assert!(from_e4m3(0x7f).is_nan());
    }

    #[test]
    fn attention_of_equal_keys_is_the_mean_of_what_is_seen() {
        let shape = Shape { heads: [1, 1], batch: 1, queries: 2, context: vec![3], page: 16, tree: None };
        let cache = 16 * DIM;
        let mut v = vec![f64::NAN; cache];
        for (key, x) in [(0, 3.0), (1, 6.0), (2, 30.0)] {
            v[key * DIM..(key + 1) * DIM].fill(x);
        }
        let out = attention(&shape, &vec![1.0; 2 * DIM], &vec![0.5; cache], &v, &[0]);
        // Token 0 sees keys 0 and 1; token 1 sees all three.
        assert!((out[0] - 4.5).abs() < 1e-12 && (out[DIM] - 13.0).abs() < 1e-12, "{} {}", out[0], out[DIM]);
    }

    #[test]
    fn a_walk_by_hand() {
        let p = vec![vec![0.5, 0.5], vec![0.1, 0.9]];
        let q = vec![vec![0.8, 0.2]];
        // u q = 0.4 < 0.5: accepted; u q = 0.64 is not.
        assert_eq!(verify(&p, &q, &[0], &[0.5, 0.0]).accepted, 1);
        let walk = verify(&p, &q, &[0], &[0.8, 0.0]);
        assert_eq!(walk.accepted, 0);
        assert!(walk.left[0] == 0.0 && (walk.left[1] - 0.3).abs() < 1e-12);
        assert!((walk.margin - 0.28).abs() < 1e-12);
    }

    #[test]
    fn a_missing_number_is_infinitely_far() {
        assert_eq!(distance(&[1.0, f64::NAN], &[1.0, 1.0]), f64::INFINITY);
        assert_eq!(distance(&[1.0], &[1.0, 1.0]), f64::INFINITY);
        assert_eq!(distance(&[3.0, 5.0], &[3.0, 4.0]), 0.2);
    }
}
