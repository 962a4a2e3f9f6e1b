//! A device that is made up: its times are a formula, its noise and its drift are known, its clock is virtual.
//!
//! It is what tests of the harness run on, and `rollcast calibrate run --rehearse`, which shows what a run would
//! write without a GPU. Nothing of it may be taken for a measurement: its tables name it as their provider.

use super::bench::{Bench, BenchError, Opened};
use super::protocol::REPLAY_S;
use super::work::Work;
use crate::math::normal_quantile;
use crate::rng::{Purpose, Stream};

/// A made-up device.
#[derive(Debug, Clone)]
pub struct Fake {
    /// Log-sigma of a sample.
    pub noise: f64,
    /// Chance that a sample is half as long again.
    pub spikes: f64,
    /// How much slower it gets in a second, as a share.
    pub drift_per_s: f64,
    /// Seconds to make work ready.
    pub open_s: f64,
    /// Seconds of host time around a replay.
    pub host_s: f64,
    /// What it really takes over what is predicted.
    pub slower: f64,
    /// Chance that making work ready stalls, and for how many seconds.
    pub stalls: (f64, f64),
    /// What work takes with its operands in the cache, over what it takes from memory.
    pub hot: f64,
    /// Seconds of a copy from which work runs at 85 % of the clock, as if it drew all the power there is; and by how much, as a
    /// share, its time then differs from look to look.
    pub throttled: (f64, f64),
    /// Which work, counted from the first, cannot be made ready, and why. A device that is broken stays so.
    pub fails_at: Option<(usize, BenchError)>,
    pub(super) clock: f64,
    pub(super) stream: Stream,
    pub(super) open: Option<(f64, u32)>,
    pub(super) opens: usize,
    pub(super) slow: bool,
}

impl Fake {
    /// A quiet device.
    pub fn new(seed: u64) -> Self {
        Fake {
            noise: 0.01,
            spikes: 0.01,
            drift_per_s: 0.0,
            open_s: 2e-3,
            host_s: 10e-6,
            slower: 1.0,
            stalls: (0.0, 0.0),
            hot: 0.8,
            throttled: (f64::INFINITY, 0.0),
            fails_at: None,
            clock: 0.0,
            stream: Stream::new(seed, Purpose::Calibration, &[]),
            open: None,
            opens: 0,
            slow: false,
        }
    }

    /// The true time of one copy at the start of the run, seconds: what an estimate should find.
    pub fn truth_s(&self, work: &Work) -> f64 {
        if let Work::Step { layers, layer, end, .. } = work {
            let sum = |works: &[Work]| works.iter().map(|work| self.truth_s(work)).sum::<f64>();
            return *layers as f64 * sum(layer) + sum(end);
        }
        // Not the prediction itself: a device whose every ratio to the roofline is one would hide mistakes of scale.
        let bend = 1.0 + 0.2 * libm::sin(libm::log(work.bytes() + 1.0));
        self.slower * bend * work.predicted_s()
    }

    fn ready(&mut self, work: &Work, share: f64) -> Result<Opened, BenchError> {
        let stall = if self.stream.uniform() < self.stalls.0 { self.stalls.1 } else { 0.0 };
        self.clock += self.open_s + stall;
        let at = self.opens;
        self.opens += 1;
        if let Some((when, error)) = &self.fails_at
            && (at == *when || at > *when && !error.is_local())
        {
            return Err(error.clone());
        }
        let mut one = share * self.truth_s(work);
        self.slow = one >= self.throttled.0;
        if self.slow {
            one *= 1.0 + self.throttled.1 * self.stream.uniform();
        }
        let copies = libm::ceil(REPLAY_S / one).clamp(1.0, 4096.0) as u32;
        self.open = Some((one, copies));
        let chosen = if matches!(work, Work::Gemm { .. }) { "made up (no. 1 of 1)" } else { "" };
        Ok(Opened { copies, sets: 1, note: chosen.to_owned() })
    }
}

impl Bench for Fake {
    fn now_s(&self) -> f64 {
        self.clock
    }

    fn open(&mut self, work: &Work) -> Result<Opened, BenchError> {
        self.ready(work, 1.0)
    }

    fn open_hot(&mut self, work: &Work) -> Result<Opened, BenchError> {
        self.ready(work, self.hot)
    }

    fn replay_s(&mut self) -> Result<f64, BenchError> {
        let Some((one, copies)) = self.open else {
            return Err(BenchError::Unsupported("nothing is open".to_owned()));
        };
        let noise = libm::exp(self.noise * normal_quantile(self.stream.open_uniform()));
        let spike = if self.stream.uniform() < self.spikes { 1.5 } else { 1.0 };
        let time = one * noise * spike * (1.0 + self.drift_per_s * self.clock);
        self.clock += time * f64::from(copies) + self.host_s;
        Ok(time)
    }

    fn sm_mhz(&mut self) -> Result<Option<f64>, BenchError> {
        self.clock += 50e-6;
        Ok(Some(if self.slow { 0.85 * 1980.0 } else { 1980.0 }))
    }
}
