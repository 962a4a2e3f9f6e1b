//! Counter-based random streams, named by purpose and entity.
//!
//! A draw is a hash of (seed, purpose, entity, counter): it depends on nothing else, so the same request
//! gets the same length and acceptance in the baseline and in the forecast (common random numbers), and a
//! result does not depend on threads or on the order of events. The hash is the finaliser of SplitMix64
//! (Steele, Lea, Flood 2014); the stream implements `rand`'s traits, so that `rand_distr` samples from it.

use rand::rand_core::{Infallible, TryRng};

/// What a stream is for. Adding a purpose at the end changes no existing draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Response length of one sample.
    ResponseLength = 1,
    /// Shared part of the response lengths of one prompt group.
    GroupLength = 2,
    /// Prompt length of one group.
    PromptLength = 3,
    /// A request's own acceptance.
    RequestAcceptance = 4,
    /// Accept or reject of draft tokens.
    AcceptDraft = 5,
    /// Calibration worlds: one multiplier per operator family.
    World = 6,
    /// Uncertainty of the scenario's own numbers.
    Input = 7,
    /// Which rows of a table are held out of a fit.
    HeldOut = 8,
    /// Where a sampled point of a sweep lies on each axis.
    SweepPoint = 9,
    /// Whether a group's samples give a signal.
    Signal = 10,
    /// How long the scoring of a sample takes.
    Scoring = 11,
    /// The error of a predicted response length.
    PredictedLength = 12,
    /// Order, choice and inputs of measurements, and the noise of the made-up device.
    Calibration = 13,
}

/// SplitMix64's increment: the golden ratio in 64 bits.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The inverse of [`GOLDEN`] modulo 2^64.
const GOLDEN_INVERSE: u64 = 0xf1de_83e1_9937_733d;

/// SplitMix64's finaliser: a bijection of 64 bits whose output bits all depend on all input bits.
#[inline]
pub const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A reproducible stream of random numbers.
#[derive(Debug, Clone)]
pub struct Stream {
    key: u64,
    counter: u64,
}

impl Stream {
    /// The stream of one entity (a path of indices such as `[rl_step, prompt, sample]`).
    pub fn new(seed: u64, purpose: Purpose, entity: &[u64]) -> Self {
        let mut key = mix(seed ^ mix(purpose as u64));
        for (depth, index) in entity.iter().enumerate() {
            // The depth keeps [1] and [1, 0] apart, the multiplication spreads neighbouring indices.
            key = mix(key ^ index.wrapping_mul(GOLDEN).wrapping_add(depth as u64 + 1));
        }
        Stream { key, counter: 0 }
    }

    /// What identifies the stream: number i (from 1) is `mix(key + i · 0x9e3779b97f4a7c15)`. For loops that
    /// keep the state of many streams in arrays.
    pub fn key(&self) -> u64 {
        self.key
    }

    /// The stream with a key, after `drawn` numbers.
    pub fn resume(key: u64, drawn: u64) -> Self {
        Stream { key, counter: drawn.wrapping_mul(GOLDEN) }
    }

    /// How many numbers were drawn.
    pub fn drawn(&self) -> u64 {
        // The increment is odd, so it has an inverse modulo 2^64.
        self.counter.wrapping_mul(GOLDEN_INVERSE)
    }

    /// The next 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(GOLDEN);
        mix(self.key.wrapping_add(self.counter))
    }

    /// The next number, uniform in [0, 1), with 53 random bits.
    #[inline]
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// The next number, uniform in (0, 1): never exactly an end, so that a quantile of it is finite.
    pub fn open_uniform(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) * (1.0 / (1_u64 << 53) as f64)
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.bits() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.bits())
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        for chunk in dst.chunks_mut(8) {
            let bytes = self.bits().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(n: usize, mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let values: Vec<f64> = (0..n).map(|_| draw()).collect();
        let mean = values.iter().sum::<f64>() / n as f64;
        let var = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
        (mean, var)
    }

    #[test]
    fn a_stream_is_uniform_along_its_counter_and_across_entities() {
        // Standard errors at n = 200,000: mean 6.5e-4, variance 1.7e-4.
        let mut stream = Stream::new(1, Purpose::AcceptDraft, &[0]);
        let (mean, var) = moments(200_000, || stream.uniform());
        assert!((mean - 0.5).abs() < 3e-3 && (var - 1.0 / 12.0).abs() < 1e-3, "{mean} {var}");
        let mut entity = 0;
        let (mean, var) = moments(200_000, || {
            entity += 1;
            Stream::new(1, Purpose::ResponseLength, &[3, entity]).uniform()
        });
        assert!((mean - 0.5).abs() < 3e-3 && (var - 1.0 / 12.0).abs() < 1e-3, "{mean} {var}");
    }

    #[test]
    fn streams_differ_by_seed_purpose_entity_and_depth() {
        let first = |seed, purpose, entity: &[u64]| Stream::new(seed, purpose, entity).bits();
        let base = first(1, Purpose::World, &[1]);
        assert_ne!(base, first(2, Purpose::World, &[1]));
        assert_ne!(base, first(1, Purpose::Input, &[1]));
        assert_ne!(base, first(1, Purpose::World, &[2]));
        assert_ne!(base, first(1, Purpose::World, &[1, 0]));
        assert_eq!(base, first(1, Purpose::World, &[1]));
    }

    #[test]
    fn a_stream_resumes_where_it_stood() {
        let mut stream = Stream::new(5, Purpose::AcceptDraft, &[4, 2]);
        (0..1000).for_each(|_| _ = stream.bits());
        assert_eq!(stream.drawn(), 1000);
        let mut resumed = Stream::resume(stream.key(), stream.drawn());
        assert_eq!(resumed.bits(), stream.bits());
    }

    #[test]
    fn the_open_interval_has_finite_quantiles() {
        let mut stream = Stream::new(9, Purpose::World, &[]);
        assert!((0..1000).map(|_| stream.open_uniform()).all(|u| u > 0.0 && u < 1.0));
    }
}
