//! One running request and its current leap.
//!
//! Near its end a request cannot leap far, so the last rounds are drawn one by one at once, and drawn again from
//! the same numbers where the leap is cut.

use crate::math::{binomial, hypergeometric};
use crate::rng::Stream;

/// Guaranteed rounds up to which the rest of a request is drawn round by round.
const SHORT: u32 = 12;
/// A threshold as a probability.
const SCALE: f64 = 1.0 / 4_294_967_296.0;

/// How the current leap was drawn.
#[derive(Debug, Clone)]
enum Drawn {
    /// Nothing is drafted: one token a round.
    Certain,
    /// One multinomial draw.
    Counts,
    /// Round by round, from this state of the stream on.
    Rounds(Stream),
}

/// A running request.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) index: u32,
    /// Order of admission.
    pub(super) admitted: u64,
    /// Response tokens to come, and tokens in the cache, both at the start of the leap.
    pub(super) remaining: u32,
    pub(super) length: u32,
    /// Iteration at which the leap started.
    pub(super) start: u64,
    /// Rounds of the leap, and the tokens that they emit.
    pub(super) rounds: u32,
    pub(super) gain: u32,
    /// Rounds that accepted 0, 1, … K draft tokens.
    pub(super) counts: Vec<u32>,
    /// Tokens a round at which context grows in the leap; before the first leap none.
    pub(super) mean: f64,
    /// Counts the leaps that were cut short, so that their ends in the heap are known as stale.
    pub(super) version: u32,
    pub(super) stream: Stream,
    pub(super) reserved: u64,
    pub(super) shared: u64,
    pub(super) seated: bool,
    drawn: Drawn,
}

impl Slot {
    pub(super) fn new(
        index: u32,
        remaining: u32,
        length: u32,
        stream: Stream,
        reserved: u64,
        shared: u64,
    ) -> Self {
        Slot {
            index,
            admitted: 0,
            remaining,
            length,
            start: 0,
            rounds: 0,
            gain: 0,
            counts: Vec::new(),
            mean: 0.0,
            version: 0,
            stream,
            reserved,
            shared,
            seated: true,
            drawn: Drawn::Certain,
        }
    }

    /// Draws the next leap; `thresholds` hold the survival of each draft position, none where nothing is
    /// drafted.
    pub(super) fn leap(&mut self, now: u64, thresholds: &[u32]) {
        self.start = now;
        let width = thresholds.len() as u32 + 1;
        if width == 1 {
            (self.rounds, self.gain, self.drawn) = (self.remaining, self.remaining, Drawn::Certain);
            self.mean = 1.0;
            return;
        }
        self.counts.clear();
        self.counts.resize(width as usize, 0);
        let guaranteed = self.remaining.div_ceil(width);
        if guaranteed <= SHORT {
            self.drawn = Drawn::Rounds(self.stream.clone());
            self.rounds = 0;
            self.gain = 0;
            let mut before = 0;
            while self.gain < self.remaining {
                before += self.gain;
                self.round(thresholds);
            }
            // The order is known, so the rate is the one whose contexts add up to the rounds'.
            let pairs = self.rounds * (self.rounds - 1) / 2;
            self.mean = if pairs > 0 { f64::from(before) / f64::from(pairs) } else { 1.0 };
        } else {
            self.drawn = Drawn::Counts;
            self.rounds = guaranteed;
            self.gain = self.multinomial(guaranteed, thresholds);
            // Given the counts any order is as likely, so progress is linear on average.
            self.mean = f64::from(self.gain) / f64::from(guaranteed);
        }
        self.gain = self.gain.min(self.remaining);
    }

    /// Cuts the leap to its first `passed` rounds.
    pub(super) fn shorten(&mut self, passed: u32, thresholds: &[u32]) {
        match &self.drawn {
            Drawn::Certain => self.gain = passed,
            Drawn::Rounds(from) => {
                let later = std::mem::replace(&mut self.stream, from.clone());
                self.counts.fill(0);
                self.rounds = 0;
                self.gain = 0;
                while self.rounds < passed {
                    self.round(thresholds);
                }
                // The numbers beyond are not used again: what they would have decided is forgotten.
                self.stream = later;
            }
            Drawn::Counts => self.gain = self.split(passed),
        }
        self.gain = self.gain.min(self.remaining);
        self.rounds = passed;
    }

    /// One round, as the exact stepper draws it.
    fn round(&mut self, thresholds: &[u32]) {
        let bits = (self.stream.bits() >> 32) as u32;
        let accepted = thresholds.iter().map(|t| u32::from(bits < *t)).sum::<u32>();
        self.counts[accepted as usize] += 1;
        self.rounds += 1;
        self.gain += accepted + 1;
    }

    /// How many of `rounds` accepted each number of tokens, by one binomial a position; the tokens.
    fn multinomial(&mut self, rounds: u32, thresholds: &[u32]) -> u32 {
        let (mut left, mut before, mut tokens) = (rounds, 1.0, 0);
        for (j, threshold) in thresholds.iter().enumerate() {
            let survival = f64::from(*threshold) * SCALE;
            let stopped =
                if before > 0.0 { binomial(&mut self.stream, left, 1.0 - survival / before) } else { left };
            self.counts[j] = stopped;
            tokens += stopped * (j as u32 + 1);
            left -= stopped;
            before = survival;
            if left == 0 {
                return tokens;
            }
        }
        self.counts[thresholds.len()] = left;
        tokens + left * (thresholds.len() as u32 + 1)
    }

    /// The counts of the first `passed` of the leap's rounds: given the counts of all, the order is uniform, so
    /// this is a draw without replacement. Returns their tokens.
    fn split(&mut self, passed: u32) -> u32 {
        let (mut pool, mut left, mut tokens) = (self.rounds, passed, 0);
        for (j, count) in self.counts.iter_mut().enumerate() {
            let taken = hypergeometric(&mut self.stream, *count, pool - *count, left);
            pool -= *count;
            left -= taken;
            *count = taken;
            tokens += taken * (j as u32 + 1);
        }
        tokens
    }
}
