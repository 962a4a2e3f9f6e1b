//! Schedules that change the configuration under way: what they are shown, what their steps cost, and drafters that
//! sleep meanwhile.

use super::{AMPLE, Affine, Recorder, job, mixed_samples, population, run, samples};
use crate::rollout::run_exact;
use crate::speculation::Configuration;
use crate::speculation::schedule::{Observation, Schedule, Snapshot};
use crate::speculation::solver::CatchUp;

#[test]
fn a_schedule_may_change_k_with_the_batch() {
    /// Drafts 4 tokens from a batch of 8 down, 1 up to 16, none above.
    #[derive(Default)]
    struct ByBatch(Vec<(u32, u64, u32)>);
    impl Schedule for ByBatch {
        fn decide(&mut self, snapshot: &Snapshot) -> Configuration {
            let k =
                [(8, 4), (16, 1)].iter().find(|(most, _)| snapshot.running <= *most).map_or(0, |(_, k)| *k);
            self.0.push((snapshot.running, snapshot.context, k));
            Configuration::chain(k)
        }

        fn max_draft_tokens(&self) -> u32 {
            4
        }

        fn leapable(&self) -> bool {
            true
        }
    }
    let samples = mixed_samples(30);
    let population = population(4);
    let job = job(&samples, AMPLE, Some(population));
    let (cost, mut schedule) = (Recorder::default(), ByBatch::default());
    let outcome = run_exact(&job, &cost, &mut schedule);
    let steps = cost.steps();
    let seen: Vec<_> = steps.iter().map(|(shape, c)| (shape.decoding, *c, shape.draft_tokens)).collect();
    assert_eq!(seen, schedule.0, "a schedule sees the step that it decides");
    for k in [0, 1, 4] {
        assert!(seen.iter().any(|(_, _, seen)| *seen == k));
    }
    let rounds =
        |least| seen.iter().filter(|(_, _, k)| *k >= least).map(|(n, ..)| u64::from(*n)).sum::<u64>();
    assert_eq!(outcome.rounds, rounds(1));
    assert!(outcome.accepted_at[1] <= rounds(4), "only rounds of 4 reach the second position");
    let response: u32 = samples.iter().map(|(_, s)| s.response).sum();
    assert_eq!(outcome.tokens, u64::from(response));
    assert_eq!(run_exact(&job, &Affine, &mut ByBatch::default()), outcome);
}

#[test]
fn steps_of_one_batch_are_priced_by_their_own_k() {
    /// Drafts 0, 1, 2, 3, 0, … tokens, step by step.
    #[derive(Default)]
    struct ByTurns(u32);
    impl Schedule for ByTurns {
        fn decide(&mut self, _: &Snapshot) -> Configuration {
            self.0 += 1;
            Configuration::chain(self.0 % 4)
        }

        fn max_draft_tokens(&self) -> u32 {
            3
        }

        fn leapable(&self) -> bool {
            false
        }
    }
    let samples = mixed_samples(10);
    let job = job(&samples, AMPLE, Some(population(3)));
    let kept = run_exact(&job, &Affine, &mut ByTurns::default());
    assert_eq!(kept, run_exact(&job, &Recorder::default(), &mut ByTurns::default()));
}

#[test]
fn k_zero_of_a_loaded_drafter_only_reserves_its_look_ahead() {
    /// Loads a drafter and never uses it.
    struct Idle;
    impl Schedule for Idle {
        fn decide(&mut self, _: &Snapshot) -> Configuration {
            Configuration::Off
        }

        fn max_draft_tokens(&self) -> u32 {
            16
        }

        fn leapable(&self) -> bool {
            true
        }
    }
    let samples = mixed_samples(20);
    let population = population(3);
    let idle = run_exact(&job(&samples, AMPLE, Some(population)), &Affine, &mut Idle);
    let off = run(&job(&samples, AMPLE, None), 0);
    assert_eq!((idle.seconds, idle.steps, idle.rounds), (off.seconds, off.steps, 0));
    assert!(idle.kv_peak > off.kv_peak);
}

/// Drafts three tokens in every other step: only its own history tells which.
#[derive(Default)]
struct EveryOther {
    steps: u32,
}

impl Schedule for EveryOther {
    fn decide(&mut self, _: &Snapshot) -> Configuration {
        self.steps += 1;
        Configuration::chain(3 * (self.steps % 2))
    }

    fn max_draft_tokens(&self) -> u32 {
        3
    }

    fn leapable(&self) -> bool {
        false
    }
}

#[test]
fn a_schedule_with_a_history_is_stepped_whatever_was_asked_for() {
    let samples = mixed_samples(30);
    let job = job(&samples, AMPLE, Some(population(3)));
    let asked = super::run_replica(super::Stepper::Leap, &job, &Affine, &mut EveryOther::default());
    let mut schedule = EveryOther::default();
    assert_eq!(asked, run_exact(&job, &Affine, &mut schedule));
    assert_eq!(u64::from(schedule.steps), asked.steps, "it decided every step");
}

/// Off beyond one batch, a chain up to it; the drafter sleeps meanwhile and catches up at a price.
struct Sleeper(u32, CatchUp);

impl Schedule for Sleeper {
    fn decide(&mut self, snapshot: &Snapshot) -> Configuration {
        Configuration::chain(if snapshot.running > self.0 { 0 } else { 3 })
    }

    fn max_draft_tokens(&self) -> u32 {
        3
    }

    fn leapable(&self) -> bool {
        true
    }

    fn catch_up(&self) -> CatchUp {
        self.1
    }
}

#[test]
fn a_sleeping_drafter_pays_when_it_is_woken_and_once() {
    let samples = samples(&[(0, 50, 900), (1, 50, 40), (2, 50, 40)]);
    let price = CatchUp::HiddenStates { fixed: 7.0, per_token: 1e-3 };
    let job = job(&samples, AMPLE, Some(population(3)));
    let warm = run_exact(&job, &Affine, &mut Sleeper(1, CatchUp::KeepWarm));
    for leap in [false, true] {
        let mut schedule = Sleeper(1, price);
        let outcome = if leap {
            super::run_leap(&job, &Affine, &mut schedule)
        } else {
            run_exact(&job, &Affine, &mut schedule)
        };
        // The two short responses end after 40 tokens: one switch, at about 90 tokens of the long one.
        assert_eq!(outcome.switches, 1, "leap: {leap}");
        assert!((outcome.catch_up_seconds - 7.09).abs() < 0.01, "{}", outcome.catch_up_seconds);
        assert_eq!(warm.catch_up_seconds, 0.0);
        let difference = outcome.nominal() - warm.nominal() - outcome.catch_up_seconds;
        assert!(leap || difference.abs() < 1e-9, "{difference}");
    }
}

#[test]
fn a_drafter_asleep_is_asked_for_in_plain_steps_alone() {
    let samples = samples(&[(0, 50, 90), (1, 50, 40), (2, 50, 40)]);
    let job = job(&samples, AMPLE, Some(population(3)));
    let cost = Recorder::default();
    run_exact(&job, &cost, &mut Sleeper(1, CatchUp::Window { tokens: 8.0, fixed: 0.0, per_token: 0.0 }));
    for (shape, _) in cost.steps() {
        assert_eq!(shape.drafter_asleep, shape.draft_tokens == 0, "{shape:?}");
    }
}

#[test]
fn a_learning_schedule_is_shown_every_round() {
    struct Shown(Vec<u64>, u64);
    impl Schedule for Shown {
        fn decide(&mut self, snapshot: &Snapshot) -> Configuration {
            Configuration::chain(snapshot.running % 3)
        }
        fn max_draft_tokens(&self) -> u32 {
            3
        }
        fn leapable(&self) -> bool {
            false
        }
        fn observe(&mut self, seen: &Observation<'_>) {
            assert_eq!(seen.accepted.iter().sum::<u64>(), u64::from(seen.running));
            assert_eq!(seen.accepted.len(), seen.configuration.draft_tokens() as usize + 1);
            if seen.configuration != Configuration::Off {
                self.1 += u64::from(seen.running);
                for (n, count) in seen.accepted.iter().enumerate() {
                    self.0[n] += count;
                }
            }
        }
    }
    let samples = mixed_samples(20);
    let job = job(&samples, AMPLE, Some(population(3)));
    let mut schedule = Shown(vec![0; 4], 0);
    let outcome = run_exact(&job, &Affine, &mut schedule);
    assert_eq!(schedule.1, outcome.rounds);
    for j in 0..3 {
        assert_eq!(schedule.0[j + 1..].iter().sum::<u64>(), outcome.accepted_at[j]);
    }
}
