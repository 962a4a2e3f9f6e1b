//! A run against the clock: which point next, when to look for drift, what to time again, when to stop.
//!
//! Points come in random order, so that drift does not look like an effect of shape. Where time is short, the set
//! with the most value for the seconds that are left is taken (greedy by value over cost, chosen anew every few
//! points with what points really cost so far). A point starts only if it will end in time at twice that cost, and
//! sampling itself watches the clock; a reserve at the end covers one call that takes long. What cannot be covered
//! is a single call longer than the reserve. A point that the device refuses is left out with its reason; a device that
//! breaks ends the run there, and what was found until then stays.

use super::bench::{Bench, BenchError};
use super::drift::{Reading, Sentinels};
use super::outcome::{Listener, Measured, Outcome};
use super::plan::{Point, cost_s};
use super::protocol::Protocol;
use super::work::Work;
use crate::rng::{Purpose, Stream};

/// Points between two looks for drift.
pub const SENTINEL_EVERY: usize = 50;
/// Points after which the choice is made anew.
const CHOOSE_EVERY: usize = 32;
/// Share of the points that are measured again at the end.
const AGAIN: f64 = 0.10;
/// A clock below this share of the run's median makes a point suspect.
const SLOW_CLOCK: f64 = 0.90;
/// Two looks at one work that are no further apart, logarithm, are the same.
const SAME_AGAIN: f64 = 0.03;

/// How a run's seconds are dealt out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Seconds of the whole run.
    pub total_s: f64,
}

impl Budget {
    /// Kept free at the end, for one call that takes long and for what is written.
    pub fn reserve_s(&self) -> f64 {
        (0.05 * self.total_s).max(2.0_f64.min(0.3 * self.total_s))
    }

    /// When points, steps and repeats must be over.
    pub fn until(&self) -> [f64; 3] {
        let end = self.total_s - self.reserve_s();
        [0.68 * end, 0.88 * end, end]
    }
}

/// How a look at a point ended.
enum Ended {
    Measured(Measured),
    /// The device cannot do it, and why.
    Refused(String),
    /// The time was over, or the device broke.
    NotReached,
}

/// A run.
pub struct Run<'a, L: Listener> {
    bench: &'a mut dyn Bench,
    protocol: Protocol,
    budget: Budget,
    stream: Stream,
    listener: &'a mut L,
    /// What points cost over what was expected: the largest of the recent ones counts for the guard.
    costs: Vec<f64>,
    outcome: Outcome,
}

impl<'a, L: Listener> Run<'a, L> {
    /// A run on a bench whose clock began when the budget did.
    pub fn new(
        bench: &'a mut dyn Bench,
        protocol: Protocol,
        budget: Budget,
        seed: u64,
        listener: &'a mut L,
    ) -> Self {
        let stream = Stream::new(seed, Purpose::Calibration, &[1]);
        Run { bench, protocol, budget, stream, listener, costs: Vec::new(), outcome: Outcome::default() }
    }

    /// What was found so far.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Who hears of it.
    pub fn listener(&mut self) -> &mut L {
        self.listener
    }

    /// Ends the run.
    pub fn finish(self) -> Outcome {
        self.outcome
    }

    /// Measures points until their share of the time is over.
    pub fn points(&mut self, points: Vec<Point>) {
        let until = self.budget.until()[0];
        let mut left: Vec<Point> = self.shuffled(points);
        left.reverse();
        let mut chosen: Vec<bool> = Vec::new();
        let mut since = 0;
        let mut looked = false;
        while self.outcome.broken.is_none() {
            if self.outcome.rows.len() / SENTINEL_EVERY >= self.rounds_of_sentinels() && !looked {
                looked = true;
                self.sentinels(until);
            }
            if chosen.is_empty() || since >= CHOOSE_EVERY {
                chosen = self.choose(&left, until - self.bench.now_s());
                since = 0;
            }
            // From the end of a random order, so that taking one out moves nothing that matters.
            let Some(at) = (0..left.len()).rev().find(|at| chosen[*at]) else {
                if since == 0 {
                    break;
                }
                since = CHOOSE_EVERY;
                continue;
            };
            let point = left.remove(at);
            chosen.remove(at);
            if !self.fits(point.seconds, until) {
                left.insert(0, point);
                // A cheaper one may still fit.
                chosen.insert(0, false);
                if !chosen.iter().any(|taken| *taken) {
                    break;
                }
                continue;
            }
            looked = false;
            since += 1;
            match self.measure(&point, until) {
                Ended::Measured(row) => self.outcome.rows.push(row),
                Ended::Refused(why) => self.outcome.refused.push((point.work, why)),
                Ended::NotReached => self.outcome.skipped.push(point),
            }
        }
        left.reverse();
        self.outcome.skipped.extend(left);
        self.listener.so_far(&self.outcome);
    }

    /// Measures works in their order, whatever they are worth, until the given time.
    pub fn ordered(&mut self, points: Vec<Point>, until: f64) -> Vec<Measured> {
        let mut rows = Vec::new();
        for point in points {
            if self.outcome.broken.is_some() || !self.fits(point.seconds, until) {
                self.outcome.skipped.push(point);
                continue;
            }
            match self.measure(&point, until) {
                Ended::Measured(row) => rows.push(row),
                Ended::Refused(why) => self.outcome.refused.push((point.work, why)),
                Ended::NotReached => self.outcome.skipped.push(point),
            }
        }
        rows
    }

    /// Times again what was unsteady or at a low clock, then a tenth of all; these also with operands in the cache, which
    /// bounds what a cache that is not quite cold can be worth.
    pub fn again(&mut self) {
        let until = self.budget.until()[2];
        self.sentinels(until);
        let mut sorted: Vec<f64> = self.outcome.rows.iter().filter_map(|row| row.sm_mhz).collect();
        sorted.sort_by(f64::total_cmp);
        let usual = crate::math::quantile_sorted(&sorted, 0.5);
        let slow = |row: &Measured| row.sm_mhz.is_some_and(|mhz| mhz < SLOW_CLOCK * usual);
        let suspect = |row: &Measured| row.spread.unstable() || slow(row);
        let (mut first, rest): (Vec<usize>, Vec<usize>) =
            (0..self.outcome.rows.len()).partition(|at| suspect(&self.outcome.rows[*at]));
        let suspects = first.len();
        for at in &first {
            // Until a second look clears it.
            self.outcome.rows[*at].unstable = true;
        }
        let rest = self.shuffled(rest);
        let share = libm::ceil(AGAIN * self.outcome.rows.len() as f64) as usize;
        first.extend(rest.into_iter().take(share));
        for (i, at) in first.into_iter().enumerate() {
            let point = self.outcome.rows[at].point.clone();
            if self.outcome.broken.is_some() || !self.fits(point.seconds, until) {
                continue;
            }
            let Ended::Measured(second) = self.measure(&point, until) else { continue };
            if i < suspects {
                // A low clock that gives the same time again is the work's own: products draw all the power there is.
                let ratio = second.spread.median / self.outcome.rows[at].spread.median;
                let still = second.spread.unstable() || slow(&second) && ratio.ln().abs() > SAME_AGAIN;
                self.outcome.rows[at] = Measured { unstable: still, ..second };
            } else {
                let pair = [self.outcome.rows[at].spread.median, second.spread.median];
                self.outcome.again.push(pair);
                self.hot(&point, second.spread.median, until);
            }
        }
        self.sentinels(until);
    }

    fn rounds_of_sentinels(&self) -> usize {
        self.outcome.sentinels.len().div_ceil(Sentinels::WORKS)
    }

    fn sentinels(&mut self, until: f64) {
        for (index, work) in Sentinels::works().into_iter().enumerate() {
            if self.outcome.broken.is_some() || !self.fits(cost_s(&self.protocol, &work), until) {
                continue;
            }
            let opened = self.bench.open(&work);
            match opened.and_then(|_| self.protocol.sample(self.bench, until)) {
                Ok(Some(sampled)) => {
                    let at_s = self.bench.now_s();
                    let seconds = sampled.spread.median;
                    self.outcome.sentinels.push(Reading { sentinel: index, at_s, seconds });
                }
                Ok(None) => {}
                Err(error) => self.failed(&work, error),
            }
        }
        self.listener.so_far(&self.outcome);
    }

    /// Says that a work failed; where the device is broken, that ends the run.
    fn failed(&mut self, work: &Work, error: BenchError) {
        if error.is_local() {
            self.listener.line(&format!("refused: {work}: {error}"));
        } else {
            self.listener.line(&format!("BROKEN: {work}: {error}: nothing more is measured"));
            self.outcome.broken = Some(error);
        }
    }

    /// One point from beginning to end.
    fn measure(&mut self, point: &Point, until: f64) -> Ended {
        match self.attempt(point, until) {
            Ok(Some(row)) => Ended::Measured(row),
            Ok(None) => Ended::NotReached,
            Err(error) => {
                let why = error.is_local().then(|| error.to_string());
                self.failed(&point.work, error);
                why.map_or(Ended::NotReached, Ended::Refused)
            }
        }
    }

    /// A row; none where the time was over before it had its fewest samples.
    fn attempt(&mut self, point: &Point, until: f64) -> Result<Option<Measured>, BenchError> {
        let begun = self.bench.now_s();
        let opened = self.bench.open(&point.work)?;
        let sampled = self.protocol.sample(self.bench, until)?;
        let sm_mhz = if self.bench.now_s() < until { self.bench.sm_mhz()? } else { None };
        let took = self.bench.now_s() - begun;
        self.costs.push(took / point.seconds);
        let Some(sampled) = sampled else { return Ok(None) };
        self.listener.line(&format!(
            "{begun:8.2} s  {:<70} {:>12.3} us  n {:>2}  +-{:.2} %  {:<8}  x{} over {}  {}{}",
            point.work.to_string(),
            1e6 * sampled.spread.median,
            sampled.spread.n,
            100.0 * sampled.spread.half_width(),
            sampled.end.name(),
            opened.copies,
            opened.sets,
            sm_mhz.map_or_else(String::new, |mhz| format!("{mhz:.0} MHz  ")),
            opened.note
        ));
        Ok(Some(Measured {
            point: point.clone(),
            unstable: sampled.spread.unstable(),
            spread: sampled.spread,
            end: sampled.end,
            opened,
            sm_mhz,
            at_s: begun,
        }))
    }

    /// The same work with all copies on one set of operands.
    fn hot(&mut self, point: &Point, cold_s: f64, until: f64) {
        if !point.work.reads_memory() || self.outcome.broken.is_some() || !self.fits(point.seconds, until) {
            return;
        }
        let opened = self.bench.open_hot(&point.work);
        match opened.and_then(|_| self.protocol.sample(self.bench, until)) {
            Ok(Some(sampled)) => {
                self.outcome.hot.push((point.work.clone(), [cold_s, sampled.spread.median]));
            }
            Ok(None) => {}
            Err(error) => self.failed(&point.work, error),
        }
    }

    /// Whether work of these expected seconds will be over in time even at twice what work costs here.
    fn fits(&self, seconds: f64, until: f64) -> bool {
        let recent = self.costs.iter().rev().take(50).copied().fold(1.0, f64::max);
        // A rare stall in one of the last points must not stop the run: it is what the reserve is for.
        let guard = 2.0 * self.ratio().max(recent.min(4.0) / 2.0);
        self.bench.now_s() + guard * seconds <= until
    }

    /// What points cost over what was expected, median of the recent ones.
    fn ratio(&self) -> f64 {
        let mut recent: Vec<f64> = self.costs.iter().rev().take(100).copied().collect();
        if recent.is_empty() {
            return 1.0;
        }
        recent.sort_by(f64::total_cmp);
        let mean = recent.iter().sum::<f64>() / recent.len() as f64;
        mean.max(crate::math::quantile_sorted(&recent, 0.5))
    }

    fn choose(&self, left: &[Point], seconds: f64) -> Vec<bool> {
        let mut seconds = seconds / self.ratio();
        if left.iter().map(|point| point.seconds).sum::<f64>() <= seconds {
            return vec![true; left.len()];
        }
        let mut order: Vec<usize> = (0..left.len()).collect();
        let density = |at: &usize| left[*at].value / left[*at].seconds;
        order.sort_by(|a, b| density(b).total_cmp(&density(a)));
        let mut chosen = vec![false; left.len()];
        for at in order {
            if left[at].seconds <= seconds {
                seconds -= left[at].seconds;
                chosen[at] = true;
            }
        }
        chosen
    }

    /// Fisher and Yates.
    fn shuffled<T>(&mut self, mut items: Vec<T>) -> Vec<T> {
        for i in (1..items.len()).rev() {
            let j = (self.stream.uniform() * (i + 1) as f64) as usize;
            items.swap(i, j.min(i));
        }
        items
    }
}

#[cfg(test)]
mod tests;
