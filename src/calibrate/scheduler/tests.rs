//! The harness on the made-up device: budgets hold, intervals hold the truth, drift is seen.

use super::*;
use crate::calibrate::drift::{Drift, Sentinels};
use crate::calibrate::fake::Fake;
use crate::calibrate::plan::{self, Family};

/// What a run found, and how many whole steps it measured.
fn with_steps(fake: &mut Fake, total_s: f64, families: &[Family]) -> (Outcome, usize) {
    let protocol = Protocol::default();
    let mut log = |_: &str| {};
    let mut run = Run::new(fake, protocol, Budget { total_s }, 3, &mut log);
    run.points(plan::points(&protocol, families));
    let steps = plan::steps().into_iter().map(|work| {
        let seconds = cost_s(&protocol, &work);
        Point { work, family: Family::Step, value: 1.0, seconds }
    });
    let stepped = run.ordered(steps.collect(), Budget { total_s }.until()[1]).len();
    run.again();
    (run.finish(), stepped)
}

fn go(fake: &mut Fake, total_s: f64, families: &[Family]) -> Outcome {
    with_steps(fake, total_s, families).0
}

#[test]
fn no_budget_is_overrun_whatever_work_costs() {
    let all: Vec<Family> = Family::all().collect();
    for (seed, (total, slower, open_s, stalls)) in [
        (540.0, 1.0, 2e-3, (0.0, 0.0)),
        (540.0, 1.0, 60e-3, (0.0, 0.0)),
        (120.0, 1.0, 2e-3, (0.002, 3.0)),
        (60.0, 3.0, 20e-3, (0.0, 0.0)),
        (20.0, 1.0, 2e-3, (0.01, 0.5)),
        (5.0, 0.5, 1e-3, (0.0, 0.0)),
        (1.0, 1.0, 50e-3, (0.0, 0.0)),
        (0.05, 1.0, 2e-3, (0.0, 0.0)),
    ]
    .into_iter()
    .enumerate()
    {
        let mut fake = Fake { open_s, slower, stalls, ..Fake::new(seed as u64) };
        let (outcome, stepped) = with_steps(&mut fake, total, &all);
        let took = fake.now_s();
        assert!(took <= total, "{total} s: {took} s");
        // And most of it is used where there is more to measure than time.
        if !outcome.skipped.is_empty() && total >= 5.0 {
            assert!(
                took > 0.5 * total,
                "{total} s: stopped after {took} s with {} left",
                outcome.skipped.len()
            );
        }
        // Every point is measured or left out, once.
        let planned = plan::points(&Protocol::default(), &all).len() + plan::steps().len();
        let accounted = outcome.rows.len() + stepped + outcome.skipped.len() + outcome.refused.len();
        assert_eq!(accounted, planned, "{total} s");
    }
}

#[test]
fn the_default_budget_measures_everything() {
    let all: Vec<Family> = Family::all().collect();
    let outcome = go(&mut Fake::new(7), 540.0, &all);
    assert_eq!(outcome.skipped, []);
    assert!(outcome.again.len() * 11 > outcome.rows.len(), "a tenth again");
    let sd = outcome.reproducibility().unwrap_or_default();
    // A median of 20 samples of log-sigma 1 % has 0.28 %.
    assert!((0.001..0.005).contains(&sd), "{sd}");
    // And with operands in the cache, of those that read memory: what that is worth on this device.
    let reading = outcome.rows.iter().filter(|row| row.point.work.reads_memory()).count();
    assert!(outcome.hot.len() * 20 > reading, "{} of {reading}", outcome.hot.len());
    let worth = outcome.hot.iter().map(|(_, [cold, hot])| hot / cold).sum::<f64>() / outcome.hot.len() as f64;
    assert!((worth - 0.8).abs() < 0.01, "{worth}");
}

#[test]
fn an_unsteady_point_without_time_for_a_second_look_is_not_trusted() {
    let mut fake = Fake { spikes: 0.3, ..Fake::new(29) };
    let protocol = Protocol::default();
    let mut log = |_: &str| {};
    let mut run = Run::new(&mut fake, protocol, Budget { total_s: 20.0 }, 3, &mut log);
    run.points(plan::points(&protocol, &[Family::Verify]));
    // As tables that are written meanwhile have them.
    assert!(run.outcome().rows.iter().all(|row| row.unstable == row.spread.unstable()));
    run.again();
    let outcome = run.finish();
    let unsteady = outcome.rows.iter().filter(|row| row.spread.unstable());
    assert!(unsteady.clone().count() > 50 && unsteady.clone().all(|row| row.unstable));
    let measured: Vec<&Work> = outcome.rows.iter().map(|row| &row.point.work).collect();
    assert!(outcome.skipped.iter().all(|point| !measured.contains(&&point.work)), "a row, and left out");
}

#[test]
fn a_low_clock_that_gives_the_same_time_again_is_the_works_own() {
    for (wanders, flagged) in [(0.0, false), (0.5, true)] {
        let mut fake = Fake { throttled: (100e-6, wanders), spikes: 0.0, ..Fake::new(31) };
        let outcome = go(&mut fake, 540.0, &[Family::Gemm]);
        let slow = |row: &&Measured| row.sm_mhz.is_some_and(|mhz| mhz < 1700.0);
        let all: Vec<&Measured> = outcome.rows.iter().filter(slow).collect();
        let unstable = all.iter().filter(|row| row.unstable).count();
        assert!(
            all.len() > 20 && all.len() * 2 < outcome.rows.len(),
            "{} of {}",
            all.len(),
            outcome.rows.len()
        );
        assert_eq!(unstable * 2 > all.len(), flagged, "{unstable} of {} at a low clock", all.len());
    }
}

#[test]
fn where_time_is_short_the_worth_decides() {
    let families = [Family::GemmBest, Family::Verify];
    let outcome = go(&mut Fake::new(5), 12.0, &families);
    let left = |family| outcome.skipped.iter().filter(|point| point.family == family).count();
    let planned = plan::points(&Protocol::default(), &families);
    let share = |family| left(family) as f64 / planned.iter().filter(|p| p.family == family).count() as f64;
    assert!(share(Family::GemmBest) > 0.9, "{}", share(Family::GemmBest));
    assert!(share(Family::Verify) < 0.9, "{}", share(Family::Verify));
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    // Noisy enough that the rule often goes on sampling: stopping early must not spoil the intervals.
    for noise in [0.005, 0.02, 0.05] {
        let fake = Fake { noise, spikes: 0.0, ..Fake::new(11) };
        let outcome = go(&mut fake.clone(), 2000.0, &[Family::Verify, Family::GemmGrid, Family::Elementwise]);
        let holds = |row: &&Measured| {
            let truth = fake.truth_s(&row.point.work);
            let [low, high] = row.spread.interval;
            (low..=high).contains(&truth)
        };
        let (held, n) = (outcome.rows.iter().filter(holds).count() as f64, outcome.rows.len() as f64);
        assert!(n > 700.0, "{n}");
        // Four standard errors at 800 points are 3 %.
        assert!((0.92..=0.985).contains(&(held / n)), "noise {noise}: {} of {n}", held / n);
    }
}

#[test]
fn drift_is_seen_where_it_is_and_not_where_it_is_not() {
    for (drift, there) in [(0.0, false), (0.02 / 100.0, true), (-0.02 / 100.0, true)] {
        let mut fake = Fake { drift_per_s: drift, ..Fake::new(13) };
        let outcome = go(&mut fake, 120.0, &[Family::Gemm, Family::Verify]);
        for sentinel in 0..Sentinels::WORKS {
            let found = Drift::of(&outcome.sentinels, sentinel).unwrap_or_else(|| panic!("no readings"));
            assert_eq!(found.detected(), there, "{drift}: {found:?}");
            if there {
                let asked = drift * fake.now_s();
                assert!((found.change / asked - 1.0).abs() < 0.4, "{found:?}, {asked} asked");
            }
        }
    }
}

#[test]
fn order_does_not_follow_shape() {
    let outcome = go(&mut Fake::new(17), 540.0, &[Family::Gemm]);
    // Rank correlation of the time of measurement with the work's size: four standard errors.
    let n = outcome.rows.len() as f64;
    let mean = |f: &dyn Fn(&Measured) -> f64| outcome.rows.iter().map(f).sum::<f64>() / n;
    let x = |row: &Measured| row.at_s;
    let y = |row: &Measured| libm::log(row.point.work.flops());
    let (mx, my) = (mean(&x), mean(&y));
    let cov = mean(&|row| (x(row) - mx) * (y(row) - my));
    let r = cov / (mean(&|row| (x(row) - mx).powi(2)) * mean(&|row| (y(row) - my).powi(2))).sqrt();
    assert!(r.abs() < 4.0 / n.sqrt(), "{r}");
}

#[test]
fn an_unsteady_point_is_timed_again_and_flagged_if_it_stays_so() {
    let mut fake = Fake { spikes: 0.3, ..Fake::new(19) };
    let outcome = go(&mut fake, 540.0, &[Family::Overhead, Family::Elementwise]);
    let flagged = outcome.rows.iter().filter(|row| row.unstable).count();
    assert!(flagged * 2 > outcome.rows.len(), "three in ten samples are spikes: {flagged} flagged");
    let calm =
        go(&mut Fake { spikes: 0.0, ..Fake::new(19) }, 540.0, &[Family::Overhead, Family::Elementwise]);
    assert!(calm.rows.iter().all(|row| !row.unstable));
}
