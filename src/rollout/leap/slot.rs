//! One running request and its current leap.
//!
//! A leap goes as far as the request will hardly have ended: to where the rounds' mean gain and a few deviations add up
//! to what it has to come. Where it has ended all the same, the round in which it did is found by halving: given what all
//! rounds of a leap accepted any order of them is as likely, so the first half's share is a draw without replacement.
//! Near its end a request cannot leap far, so the last rounds are drawn one by one at once, and drawn again from the same
//! numbers where the leap is cut.

use crate::math::{binomial, hypergeometric};
use crate::rng::Stream;

/// Expected rounds up to which the rest of a request is drawn round by round.
const SHORT: f64 = 40.0;
/// Deviations of its gain that a leap keeps from the request's end: one in some hundreds has to be halved.
const MARGIN: f64 = 3.0;
/// A threshold as a probability.
const SCALE: f64 = 1.0 / 4_294_967_296.0;

/// How the current leap was drawn.
#[derive(Debug, Clone)]
enum Drawn {
    /// Nothing is drafted: one token a round.
    Certain,
    /// One multinomial draw.
    Counts,
    /// The same, cut to the round in which the request ends: that one accepted so many tokens.
    Ending(usize),
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
        let (mean, deviation) = gain_of_a_round(thresholds);
        if f64::from(self.remaining) <= SHORT * mean {
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
            // n with n mean + margin deviation sqrt(n) = remaining; never fewer than cannot end it.
            let spare = MARGIN * deviation;
            let root =
                (libm::sqrt(spare * spare + 4.0 * mean * f64::from(self.remaining)) - spare) / (2.0 * mean);
            self.far(((root * root) as u32).max(self.remaining.div_ceil(width)), thresholds);
        }
        self.gain = self.gain.min(self.remaining);
    }

    /// Draws this many rounds at once, fewer where the request ends before.
    fn far(&mut self, rounds: u32, thresholds: &[u32]) {
        self.rounds = rounds;
        self.drawn = Drawn::Counts;
        self.gain = self.multinomial(rounds, thresholds);
        if self.gain > self.remaining {
            self.end();
        }
        // Given the counts any order is as likely, so progress is linear on average.
        self.mean = f64::from(self.gain) / f64::from(self.rounds);
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
            // The round in which it ends is the last: the order of those before it is free.
            Drawn::Ending(last) if passed < self.rounds => {
                self.counts[*last] -= 1;
                self.rounds -= 1;
                self.gain = self.split(passed);
            }
            Drawn::Ending(_) => {}
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

    /// Cuts the leap to the round in which the request ends.
    fn end(&mut self) {
        let mut before = vec![0; self.counts.len()];
        let mut gained = 0;
        let mut rounds = 0;
        // The end lies in these rounds, whose counts are the leap's.
        let mut within = self.rounds;
        while within > 1 {
            let all = self.counts.clone();
            (self.rounds, within) = (within, within / 2);
            let gain = self.split(within);
            if gained + gain < self.remaining {
                gained += gain;
                rounds += within;
                within = self.rounds - within;
                for ((before, all), first) in before.iter_mut().zip(all).zip(&mut self.counts) {
                    *before += *first;
                    *first = all - *first;
                }
            }
        }
        let last = self.counts.iter().position(|count| *count > 0).unwrap_or_default();
        for (count, before) in self.counts.iter_mut().zip(before) {
            *count += before;
        }
        self.rounds = rounds + 1;
        self.gain = gained + last as u32 + 1;
        self.drawn = Drawn::Ending(last);
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

/// Mean and deviation of the tokens that a round emits: one, and one for each position that survives.
fn gain_of_a_round(thresholds: &[u32]) -> (f64, f64) {
    let (mut mean, mut square) = (0.0, 0.0);
    for (j, threshold) in thresholds.iter().enumerate() {
        let survival = f64::from(*threshold) * SCALE;
        mean += survival;
        // The square of a count of steps is the sum of the odd numbers up to it.
        square += (2 * j + 1) as f64 * survival;
    }
    (1.0 + mean, libm::sqrt((square - mean * mean).max(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    const SURVIVAL: [f64; 3] = [0.8, 0.5, 0.2];
    const TOKENS: u32 = 300;
    const RUNS: u64 = 20_000;

    fn thresholds() -> Vec<u32> {
        SURVIVAL.iter().map(|survival| (survival / SCALE) as u32).collect()
    }

    fn slot(run: u64) -> Slot {
        let mut slot = Slot::new(0, TOKENS, 0, Stream::new(5, Purpose::AcceptDraft, &[run]), 0, 0);
        slot.counts = vec![0; SURVIVAL.len() + 1];
        slot
    }

    /// Mean and standard error.
    fn mean(values: impl Iterator<Item = f64>) -> (f64, f64) {
        let values: Vec<f64> = values.collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        (mean, (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt())
    }

    fn assert_alike(what: &str, a: impl Iterator<Item = f64>, b: impl Iterator<Item = f64>) {
        let ((a, error_a), (b, error_b)) = (mean(a), mean(b));
        assert!((a - b).abs() <= 4.0 * error_a.hypot(error_b), "{what}: {a} {b}");
    }

    /// Requests whose leap goes on to 160 rounds: 300 tokens take 120, 160 nearly never.
    fn leaps() -> Vec<Slot> {
        let thresholds = thresholds();
        let drawn = (0..RUNS).map(|run| {
            let mut slot = slot(run);
            slot.far(160, &thresholds);
            slot
        });
        drawn.collect()
    }

    /// Requests drawn round by round.
    fn round_by_round(passed: u32) -> Vec<Slot> {
        let thresholds = thresholds();
        let drawn = (0..RUNS).map(|run| {
            let mut slot = slot(RUNS + run);
            while slot.gain < TOKENS && slot.rounds < passed {
                slot.round(&thresholds);
            }
            slot
        });
        drawn.collect()
    }

    #[test]
    fn a_leap_beyond_the_end_ends_where_single_rounds_do() {
        let (leaps, oracle) = (leaps(), round_by_round(u32::MAX));
        for slot in &leaps {
            assert!(matches!(slot.drawn, Drawn::Ending(_)) || slot.gain <= TOKENS);
            assert_eq!(slot.counts.iter().sum::<u32>(), slot.rounds);
            let tokens = slot.counts.iter().zip(1..).map(|(count, tokens)| count * tokens).sum::<u32>();
            assert!(tokens == slot.gain && tokens < TOKENS + 4, "{tokens} tokens of {TOKENS}");
        }
        let rounds = |slots: &[Slot]| slots.iter().map(|slot| f64::from(slot.rounds)).collect::<Vec<_>>();
        let (a, b) = (rounds(&leaps), rounds(&oracle));
        let (middle, _) = mean(b.iter().copied());
        assert_alike("rounds", a.iter().copied(), b.iter().copied());
        let spread = |rounds: &[f64]| rounds.iter().map(|n| (n - middle).powi(2)).collect::<Vec<_>>();
        assert_alike("spread of rounds", spread(&a).into_iter(), spread(&b).into_iter());
        for accepted in 0..=SURVIVAL.len() {
            let count = |slots: &[Slot]| {
                slots.iter().map(|slot| f64::from(slot.counts[accepted])).collect::<Vec<_>>()
            };
            assert_alike("rounds that accepted", count(&leaps).into_iter(), count(&oracle).into_iter());
        }
        let overshoot =
            |slots: &[Slot]| slots.iter().map(|slot| f64::from(slot.gain - TOKENS)).collect::<Vec<_>>();
        assert_alike("overshoot", overshoot(&leaps).into_iter(), overshoot(&oracle).into_iter());
    }

    #[test]
    fn a_leap_beyond_the_end_is_cut_as_single_rounds_are() {
        let thresholds = thresholds();
        let mut cut = leaps();
        // Some have ended by then: those are not cut.
        for slot in cut.iter_mut().filter(|slot| slot.rounds > 118) {
            slot.shorten(118, &thresholds);
        }
        let oracle = round_by_round(118);
        let running = |slots: &[Slot]| {
            slots.iter().map(|slot| f64::from(u8::from(slot.gain < TOKENS))).collect::<Vec<_>>()
        };
        assert_alike("still running", running(&cut).into_iter(), running(&oracle).into_iter());
        let gain =
            |slots: &[Slot]| slots.iter().map(|slot| f64::from(slot.gain.min(TOKENS))).collect::<Vec<_>>();
        assert_alike("gain", gain(&cut).into_iter(), gain(&oracle).into_iter());
        assert!(cut.iter().all(|slot| slot.counts.iter().sum::<u32>() == slot.rounds && slot.rounds <= 118));
    }

    #[test]
    fn a_leap_ends_its_request_rarely() {
        let thresholds = thresholds();
        let ended = (0..RUNS).filter(|run| {
            let mut slot = slot(*run);
            slot.leap(0, &thresholds);
            assert!(slot.rounds > TOKENS / 4, "it goes beyond what cannot end it");
            slot.gain == TOKENS
        });
        let ended = ended.count() as f64 / RUNS as f64;
        assert!(ended > 0.0 && ended < 0.01, "{ended}");
    }
}
