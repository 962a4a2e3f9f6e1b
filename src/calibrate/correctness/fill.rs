//! What operands are filled with before they are timed: products of zeros, or of numbers that are too large, draw another
//! power and run at another clock.

use super::{Check, Effort, check};
use crate::calibrate::launch::{Buffer, LaunchError, Launcher, Program};
use crate::calibrate::programs::{self, Kind, Setting};
use crate::calibrate::reference::{bf16s, distance, f32s, from_e4m3};

/// Standard errors that a mean or a spread may be off: the chance is one in a million.
const ERRORS: f64 = 5.0;
/// Largest share of zeros: of e4m3 numbers of spread one, one in a thousand is rounded to it.
const ZEROS: f64 = 0.01;

/// Numbers of a kind as bytes.
fn filled(
    launcher: &mut dyn Launcher,
    kind: Kind,
    n: u64,
    sd: f32,
    setting: Setting,
) -> Result<Vec<u8>, LaunchError> {
    let width = match kind {
        Kind::Bf16 => 2,
        Kind::F32 | Kind::Uniform => 4,
        Kind::E4m3 => 1,
    };
    let mut program = Program::default();
    program.buffer(Buffer::output(n * width));
    program.launches.push(programs::fill(n, kind, setting.seed, sd, setting));
    let mut data = [vec![0xff; (n * width) as usize]];
    launcher.run(&program, &mut data, None)?;
    let [bytes] = data;
    Ok(bytes)
}

/// By how many standard errors the mean or the spread is off. Of a normal law; a uniform one's spread is known better.
fn off(x: &[f64], mean: f64, sd: f64) -> f64 {
    let n = x.len() as f64;
    let own = x.iter().sum::<f64>() / n;
    let spread = libm::sqrt(x.iter().map(|x| (x - own) * (x - own)).sum::<f64>() / n);
    let errors = [(own - mean).abs() / (sd / libm::sqrt(n)), (spread / sd - 1.0).abs() * libm::sqrt(2.0 * n)];
    // NaN must not pass a maximum.
    if errors.iter().any(|x| x.is_nan()) { f64::INFINITY } else { errors[0].max(errors[1]) }
}

/// The largest distance of an e4m3 number from what it stands for, over half of the step there: one where it is the
/// nearest.
fn steps(found: &[f64], right: &[f64]) -> f64 {
    let away = |(found, right): (&f64, &f64)| {
        let exponent = libm::floor(libm::log2(right.abs().max(1e-300))).max(-6.0);
        let away = (found - right.clamp(-448.0, 448.0)).abs() / libm::exp2(exponent - 4.0);
        if away.is_nan() { f64::INFINITY } else { away }
    };
    found.iter().zip(right).map(away).fold(0.0, f64::max)
}

/// Each kind: its mean and spread, its zeros; and that the narrow ones are the wide ones rounded.
pub(super) fn reference(
    launcher: &mut dyn Launcher,
    seed: u64,
    effort: Effort,
) -> Result<Vec<Check>, LaunchError> {
    let (n, multiprocessors) = if effort == Effort::Full { (1 << 20, 132) } else { (20_001, 2) };
    let setting = Setting { multiprocessors, seed };
    let mut checks = Vec::new();
    let mut seen = |name: &str, x: &[f64], mean: f64, sd: f64| {
        let zeros = x.iter().filter(|x| **x == 0.0).count() as f64 / x.len() as f64;
        checks.push(check(
            format!("fill {name}: mean and spread, standard errors"),
            off(x, mean, sd),
            ERRORS,
        ));
        checks.push(check(format!("fill {name}: share of zeros"), zeros, ZEROS));
    };
    let half = f32s(&filled(launcher, Kind::Uniform, n, 1.0, setting)?);
    seen("uniform", &half, 0.5, libm::sqrt(1.0 / 12.0));
    let inside = half.iter().all(|x| (0.0..1.0).contains(x));
    let narrow = bf16s(&filled(launcher, Kind::Bf16, n, 0.02, setting)?);
    seen("bf16", &narrow, 0.0, f64::from(0.02_f32));
    let wide = f32s(&filled(launcher, Kind::F32, n, 0.02, setting)?);
    seen("f32", &wide, 0.0, f64::from(0.02_f32));
    let tiny: Vec<f64> = filled(launcher, Kind::E4m3, n, 1.0, setting)?.into_iter().map(from_e4m3).collect();
    seen("e4m3", &tiny, 0.0, 1.0);
    let ones = f32s(&filled(launcher, Kind::F32, n, 1.0, setting)?);
    // Large enough that some numbers are beyond the largest, small enough that most are below the least normal one.
    let mut rounded = vec![steps(&tiny, &ones)];
    for sd in [200.0, 0.01] {
        let found: Vec<f64> =
            filled(launcher, Kind::E4m3, n, sd, setting)?.into_iter().map(from_e4m3).collect();
        rounded.push(steps(&found, &f32s(&filled(launcher, Kind::F32, n, sd, setting)?)));
    }
    checks.push(check("fill uniform: outside [0, 1)".to_owned(), f64::from(u8::from(!inside)), 0.0));
    // Half of bf16's step of 2^-8.
    checks.push(check("fill bf16: distance from f32".to_owned(), distance(&narrow, &wide), 2e-3));
    checks.push(check(
        "fill e4m3: distance from f32, in half steps".to_owned(),
        rounded.into_iter().fold(0.0, f64::max),
        1.0 + 1e-6,
    ));
    Ok(checks)
}
