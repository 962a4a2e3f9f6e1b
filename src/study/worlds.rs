//! Calibration worlds and shifted inputs: stratified standard normal numbers.
//!
//! Each uncertain quantity gets one number from each of n equal slices of the normal law, in an order of its
//! own (a Latin hypercube): with a few dozen worlds the quantiles are already smooth, and the mean has no
//! bias from an unlucky draw. Baseline and forecast share the numbers; each applies its own spread.

use crate::estimate::{Confidence, FAMILIES};
use crate::math::normal_quantile;
use crate::rl::InputShift;
use crate::rng::{Purpose, Stream};
use crate::workload::LengthShift;

/// The 95 % quantile of the standard normal law.
pub(super) const Z95: f64 = 1.644_853_626_951_472_2;

/// `n` rows of standard normal numbers by family.
pub(super) fn normals(seed: u64, n: u32) -> Vec<[f64; FAMILIES]> {
    let mut rows = vec![[0.0; FAMILIES]; n as usize];
    for family in 0..FAMILIES {
        for (row, z) in rows.iter_mut().zip(stratified(seed, Purpose::World, family as u64, n)) {
            row[family] = z;
        }
    }
    rows
}

/// `n` standard normal numbers for what lies beyond the fitted ranges: its error is independent of the families'.
pub(super) fn beyond(seed: u64, n: u32) -> Vec<f64> {
    stratified(seed, Purpose::World, FAMILIES as u64, n)
}

/// The multipliers of one world.
pub(super) fn multipliers(z: &[f64; FAMILIES], confidence: &[Confidence; FAMILIES]) -> [f64; FAMILIES] {
    std::array::from_fn(|family| libm::exp(z[family] * confidence[family].log_sigma))
}

/// The inputs of each draw. A single draw takes the best values.
pub(super) fn input_shifts(seed: u64, draws: u32) -> Vec<InputShift> {
    if draws == 1 {
        return vec![InputShift::default()];
    }
    let of = |input| stratified(seed, Purpose::Input, input, draws);
    let columns: [Vec<f64>; 5] = std::array::from_fn(|input| of(input as u64));
    (0..draws as usize)
        .map(|draw| {
            let [acceptance, mean, sigma, prompt_mean, prompt_sigma] =
                std::array::from_fn(|input| columns[input][draw]);
            InputShift {
                acceptance,
                lengths: LengthShift { mean, sigma },
                prompts: LengthShift { mean: prompt_mean, sigma: prompt_sigma },
            }
        })
        .collect()
}

/// One normal number from the middle of each of `n` slices, shuffled.
fn stratified(seed: u64, purpose: Purpose, entity: u64, n: u32) -> Vec<f64> {
    let mut keys: Vec<(u64, u32)> =
        (0..n).map(|i| (Stream::new(seed, purpose, &[entity, u64::from(i)]).bits(), i)).collect();
    keys.sort_unstable();
    keys.iter().map(|(_, slice)| normal_quantile((f64::from(*slice) + 0.5) / f64::from(n))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_covers_the_normal_law_in_its_own_order() {
        let rows = normals(1, 64);
        for family in 0..FAMILIES {
            let column: Vec<f64> = rows.iter().map(|row| row[family]).collect();
            let mean = column.iter().sum::<f64>() / 64.0;
            let var = column.iter().map(|z| z * z).sum::<f64>() / 64.0;
            assert!(mean.abs() < 1e-9 && (var - 1.0).abs() < 0.05, "{mean} {var}");
        }
        let correlation: f64 = rows.iter().map(|row| row[0] * row[1]).sum::<f64>() / 64.0;
        assert!(correlation.abs() < 0.35, "{correlation}");
    }

    #[test]
    fn one_draw_takes_the_best_values() {
        assert_eq!(input_shifts(1, 1), vec![InputShift::default()]);
        assert_eq!(input_shifts(1, 5).len(), 5);
    }
}
