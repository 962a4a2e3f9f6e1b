//! A drafter beside a policy that learns: how its acceptance moves over RL steps, and what training it restores.
//!
//! The first-position rate without training follows one of
//!   exponential  a_t = a_inf + (a_0 - a_inf) exp(-t / tau), of either sign;
//!   divergence   a_t = a_0 - share · sqrt(KL_t / 2) + b · (H_0 - H_t): total variation bounds what acceptance can lose on given
//!                contexts (|a_t - a_0| <= TV <= sqrt(KL / 2), Pinsker), and KL is what RL frameworks log;
//!   points       read off a run, linear between them, flat beyond.
//! Training closes a gap: g <- g exp(-u / u0) after u updates; every RL step adds what the untrained drafter would lose. So
//! a_t = a_ref - g_t. A drafter that the policy comes closer to by itself has no gap to close. Published curves disagree on
//! the sign (ReSpec Fig 4 falls, DAS is flat, verl-SpeCo rises), so no decay is the default. Leaves out: that contexts move too, and that positions beyond the first may drift apart.

use crate::math::{logit, polyline};

/// Bounds of a rate: a logit must stay finite.
const RATES: std::ops::RangeInclusive<f64> = 0.001..=0.999;

/// How an untrained drafter's first-position rate moves.
#[derive(Debug, Clone, PartialEq)]
pub enum Course {
    /// Towards a limit.
    Exponential {
        /// The rate that it tends to.
        limit: f64,
        /// RL steps after which 63 % of the way are done.
        steps: f64,
    },
    /// With the policy's divergence from the one that the drafter was trained on.
    Divergence {
        /// KL that each RL step adds, nats for each token.
        kl_per_step: f64,
        /// Whether it grows with the square of the steps (directed) rather than in proportion (random).
        quadratic: bool,
        /// Share of Pinsker's bound that acceptance loses, 0 to 1.
        share: f64,
        /// Entropy that each RL step takes, nats, and the rate that a nat less gives.
        entropy: (f64, f64),
    },
    /// Points (RL step, rate), rising in steps.
    Points(Vec<(f64, f64)>),
}

impl Course {
    /// The rate after `step` RL steps of a drafter that starts at `first`.
    pub fn at(&self, first: f64, step: f64) -> f64 {
        let rate = match self {
            Course::Exponential { limit, steps } => limit + (first - limit) * libm::exp(-step / steps),
            Course::Divergence { kl_per_step, quadratic, share, entropy } => {
                let kl = kl_per_step * if *quadratic { step * step } else { step };
                first - share * libm::sqrt(0.5 * kl) + entropy.1 * entropy.0 * step
            }
            Course::Points(points) => polyline(points, step).unwrap_or(first),
        };
        rate.clamp(*RATES.start(), *RATES.end())
    }
}

/// How a drafter is trained beside the policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Learner {
    /// RL steps between two trainings.
    pub every: u32,
    /// Updates of each.
    pub updates: f64,
    /// Updates after which 63 % of a gap are closed.
    pub recovery: f64,
    /// RL steps that a training's result lags: 0 where the loop waits for it.
    pub lag: u32,
    /// How far below its attainable rate the drafter starts.
    pub initial_gap: f64,
}

/// First-position rates at each of `steps` RL steps.
pub fn rates(first: f64, course: Option<&Course>, learner: Option<&Learner>, steps: usize) -> Vec<f64> {
    let untrained = |step: usize| course.map_or(first, |course| course.at(first, step as f64));
    let Some(learner) = learner else { return (0..steps).map(untrained).collect() };
    let reference = first + learner.initial_gap;
    let kept = libm::exp(-learner.updates / learner.recovery);
    let mut gap = learner.initial_gap;
    let mut later: Vec<f64> = vec![0.0; learner.lag as usize];
    (0..steps)
        .map(|step| {
            if step > 0 {
                gap += untrained(step - 1) - untrained(step);
                let due = (step as u32).is_multiple_of(learner.every);
                // What trainings under way will close is not there for this one to close again.
                let left = gap - later.iter().sum::<f64>();
                let closed = if due { left.max(0.0) * (1.0 - kept) } else { 0.0 };
                later.push(closed);
                gap -= later.remove(0);
            }
            (reference - gap).clamp(*RATES.start(), *RATES.end())
        })
        .collect()
}

/// The shift of all logits that moves the first rate from `first` to `rate`.
pub fn logit_shift(first: f64, rate: f64) -> f64 {
    if RATES.contains(&first) { logit(rate) - logit(first) } else { 0.0 }
}

/// RL steps between two trainings of a drafter that cost least: I* = sqrt(2 c / (delta · T)). Each training costs `update_s`
/// seconds; until the next one generation of `generation_s` seconds grows by the share `loss` a step. Infinite without loss.
pub fn best_interval(update_s: f64, loss: f64, generation_s: f64) -> f64 {
    libm::sqrt(2.0 * update_s / (loss * generation_s))
}

/// The same where drift has a course and a training restores a part: of the intervals up to `steps` RL steps (at which nothing
/// is trained within the run) the one whose run costs least, and its seconds for each RL step. `update_s` are a training's,
/// `lost_s` those that a step's generation takes longer for at a first-position rate. Long intervals are tried 5 % apart.
pub fn cheapest_interval(
    rates_at: impl Fn(u32) -> Vec<f64>,
    update_s: f64,
    lost_s: impl Fn(f64) -> f64,
    steps: u32,
) -> (u32, f64) {
    let steps = steps.max(1);
    let (mut best, mut every) = ((steps, f64::INFINITY), 1);
    loop {
        let seconds = interval_cost(&rates_at(every), every, update_s, &lost_s);
        if seconds < best.1 {
            best = (every, seconds);
        }
        if every >= steps {
            return best;
        }
        every = (every + 1).max(every + every / 20).min(steps);
    }
}

/// Seconds for each RL step of a run with these first-position rates, trained after each `every` of its steps but the last:
/// what generation loses, and the trainings.
pub fn interval_cost(rates: &[f64], every: u32, update_s: f64, lost_s: impl Fn(f64) -> f64) -> f64 {
    let trainings = rates.len().saturating_sub(1) as u32 / every.max(1);
    (rates.iter().map(|rate| lost_s(*rate)).sum::<f64>() + f64::from(trainings) * update_s)
        / rates.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergence_is_bounded_by_pinsker() {
        // What logs show: KL .001, .01, .1 cost at most .022, .071, .224 of acceptance.
        for (kl, most) in [(0.001, 0.0224), (0.01, 0.0707), (0.1, 0.2236)] {
            let course =
                Course::Divergence { kl_per_step: kl, quadratic: false, share: 1.0, entropy: (0.0, 0.0) };
            assert!((0.8 - course.at(0.8, 1.0) - most).abs() < 1e-4);
        }
        let entropy =
            Course::Divergence { kl_per_step: 0.0, quadratic: true, share: 1.0, entropy: (0.01, 0.2) };
        assert!((entropy.at(0.7, 10.0) - 0.72).abs() < 1e-12, "a policy that grows sure is easier to guess");
    }

    #[test]
    fn rates_may_fall_rise_or_follow_a_run() {
        let falling = Course::Exponential { limit: 0.5, steps: 10.0 };
        let rising = Course::Exponential { limit: 0.9, steps: 10.0 };
        assert!((falling.at(0.8, 10.0) - (0.5 + 0.3 * (-1.0_f64).exp())).abs() < 1e-12);
        assert!(rising.at(0.8, 5.0) > 0.8 && (falling.at(0.8, 0.0) - 0.8).abs() < 1e-12);
        let points = Course::Points(vec![(0.0, 0.8), (50.0, 0.8), (78.0, 0.6)]);
        assert!((points.at(0.1, 64.0) - 0.7).abs() < 1e-12 && (points.at(0.1, 500.0) - 0.6).abs() < 1e-12);
    }

    #[test]
    fn training_closes_the_gap() {
        let course = Course::Exponential { limit: 0.4, steps: 20.0 };
        let learner = Learner { every: 1, updates: 20.0, recovery: 20.0, lag: 0, initial_gap: 0.0 };
        let frozen = rates(0.8, Some(&course), None, 100);
        let trained = rates(0.8, Some(&course), Some(&learner), 100);
        assert!(frozen[99] < 0.41 && trained[99] > 0.79);
        // A steady drift of d a step leaves d e / (1 - e) behind where a share e of the gap survives.
        let line = Course::Points(vec![(0.0, 0.8), (400.0, 0.4)]);
        let kept = (-1.0_f64).exp();
        let left = 0.8 - rates(0.8, Some(&line), Some(&learner), 300)[299];
        assert!((left - 0.001 * kept / (1.0 - kept)).abs() < 1e-9, "{left}");
        let late = Learner { lag: 2, ..learner };
        assert!(rates(0.8, Some(&line), Some(&late), 300)[299] < 0.8 - left);
        let chat = Learner { initial_gap: 0.1, ..learner };
        let grown = rates(0.7, None, Some(&chat), 100);
        assert!((grown[0] - 0.7).abs() < 1e-12 && (grown[99] - 0.8).abs() < 1e-3);
        assert_eq!(rates(0.7, None, None, 3), [0.7; 3]);
    }

    #[test]
    fn a_result_that_lags_closes_no_more_than_there_is() {
        let falling = Course::Points(vec![(0.0, 0.8), (1.0, 0.6)]);
        for lag in [0, 1, 5] {
            let learner = Learner { every: 1, updates: 20.0, recovery: 20.0, lag, initial_gap: 0.0 };
            let rates = rates(0.8, Some(&falling), Some(&learner), 60);
            assert!(rates.iter().all(|rate| *rate <= 0.8 + 1e-12), "lag {lag}: {rates:?}");
            // Nothing reaches the drafter before the lag is over; in the end all is closed.
            let before = &rates[1..=lag as usize];
            assert!(before.iter().all(|rate| (rate - 0.6).abs() < 1e-12), "lag {lag}: {rates:?}");
            assert!((rates[59] - 0.8).abs() < 1e-3, "lag {lag}: {rates:?}");
        }
    }

    #[test]
    fn the_best_interval_is_the_cheapest_of_all() {
        // A loss that grows by delta a step since the last training, a training that restores everything.
        for (update, loss, generation) in [(20.0, 0.005, 100.0), (2.0, 0.005, 100.0), (20.0, 0.0005, 100.0)] {
            let cost = |every: u32| {
                let lost: f64 = (0..every).map(|age| loss * generation * (f64::from(age) + 0.5)).sum();
                (update + lost) / f64::from(every)
            };
            let cheapest = (1..2000).min_by(|a, b| cost(*a).total_cmp(&cost(*b))).unwrap_or(0);
            let solved = best_interval(update, loss, generation);
            assert!((solved - f64::from(cheapest)).abs() <= 1.0, "{solved} {cheapest}");
        }
        assert!(best_interval(20.0, 0.0, 100.0).is_infinite());
    }

    #[test]
    fn an_interval_follows_the_course_and_not_its_beginning() {
        let cheapest = |course: &Course, update: f64, steps: u32| {
            let rates_at = |every| {
                let learner = Learner { every, updates: 100.0, recovery: 1.0, lag: 0, initial_gap: 0.0 };
                rates(0.8, Some(course), Some(&learner), steps as usize)
            };
            cheapest_interval(rates_at, update, |rate| 100.0 * (0.8 - rate).max(0.0), steps)
        };
        // A straight line: the square-root law, of a loss of 0.1 s a step (to the 5 % between long intervals).
        let line = Course::Points(vec![(0.0, 0.8), (600.0, 0.2)]);
        for update in [0.2, 5.0, 45.0] {
            let law = best_interval(update, 0.001, 100.0);
            let (found, seconds) = cheapest(&line, update, 600);
            assert!((f64::from(found) / law - 1.0).abs() < 0.2, "{found} {law}");
            assert!(seconds < update / f64::from(found) * 2.2, "{seconds}");
        }
        // Flat for fifty steps and steep behind them: the steep part decides, though the first 50 cost nothing.
        let late = Course::Points(vec![(0.0, 0.8), (50.0, 0.8), (250.0, 0.4)]);
        let (found, seconds) = cheapest(&late, 1.0, 250);
        assert!(found < 8 && seconds < 1.0, "{found} {seconds}");
        // Steep at first and flat behind: one training does what one every step would.
        let early = Course::Points(vec![(0.0, 0.8), (4.0, 0.5), (400.0, 0.5)]);
        assert!((4..400).contains(&cheapest(&early, 20.0, 400).0), "{:?}", cheapest(&early, 20.0, 400));
        // Nothing to restore: never.
        let rising = Course::Exponential { limit: 0.9, steps: 10.0 };
        assert_eq!(cheapest(&rising, 1.0, 100), (100, 0.0));
    }

    #[test]
    fn training_takes_nothing_from_a_drafter_that_comes_closer_by_itself() {
        let rising = Course::Exponential { limit: 0.95, steps: 10.0 };
        let learner = Learner { every: 1, updates: 20.0, recovery: 20.0, lag: 0, initial_gap: 0.0 };
        assert_eq!(rates(0.77, Some(&rising), Some(&learner), 40), rates(0.77, Some(&rising), None, 40));
        // One that starts below what it can reach is trained up to there, and rises with its course all the same.
        let behind = Learner { initial_gap: 0.05, ..learner };
        let trained = rates(0.77, Some(&rising), Some(&behind), 40);
        let alone = rates(0.77, Some(&rising), None, 40);
        assert!(trained.iter().zip(&alone).all(|(with, without)| with >= &(without - 1e-12)), "{trained:?}");
    }
}
