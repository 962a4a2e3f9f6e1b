//! The event machine of all loops: a trainer, and whatever generates for it.
//!
//! A step's stages follow each other: data, prepare, generation, reward, log-probs, training. The generating side says
//! when a step's samples are whole and what the stages behind them take; the trainer takes one step after the other and
//! publishes new weights after each, which lets the generating side start more. How far that may run ahead is the
//! generating side's own rule, so synchronous is a bound of 0 and no path of its own.
//!
//! Exposed seconds are the trainer's view of the time between the ends of two steps: what it waited for, stage by stage.

use crate::units::SimTime;

/// A stage of an RL step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Prompts are loaded.
    Data,
    /// New weights reach the engine and it wakes.
    Prepare,
    /// Responses are generated.
    Generation,
    /// What is left of scoring when generation has ended.
    Reward,
    /// Log-probs of the policy before the update.
    LogprobOld,
    /// Log-probs of the reference.
    LogprobReference,
    /// Optimizer steps.
    Training,
}

impl Stage {
    /// All stages in their order.
    pub const ALL: [Stage; 7] = [
        Stage::Data,
        Stage::Prepare,
        Stage::Generation,
        Stage::Reward,
        Stage::LogprobOld,
        Stage::LogprobReference,
        Stage::Training,
    ];

    /// Key in results.
    pub fn key(self) -> &'static str {
        match self {
            Stage::Data => "data",
            Stage::Prepare => "prepare",
            Stage::Generation => "generation",
            Stage::Reward => "reward",
            Stage::LogprobOld => "logprob_old",
            Stage::LogprobReference => "logprob_reference",
            Stage::Training => "training",
        }
    }
}

/// When the stages of one RL step ran.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRecord {
    /// Start and end by stage, in the order of [`Stage::ALL`].
    pub spans: [(SimTime, SimTime); 7],
    /// When each replica finished; empty where replicas work on several steps at once.
    pub replica_ends: Vec<SimTime>,
    /// When the step before ended; the start of the run for the first.
    pub before: SimTime,
    /// RL steps that the weights of its samples lag: mean and largest.
    pub lag: (f64, u32),
    /// When the trainer handed over the weights of the step before: from when, and until when it was held by that. Between
    /// the end of that step and the beginning of this, engines had yet to finish what they generated.
    pub handed_over: (SimTime, SimTime),
}

impl StepRecord {
    /// When the step began.
    pub fn start(&self) -> SimTime {
        self.spans[0].0
    }

    /// When its last stage ended.
    pub fn end(&self) -> SimTime {
        self.spans[6].1
    }

    /// Seconds between the end of the step before and its own: what a step takes.
    pub fn period(&self) -> f64 {
        self.end().since(self.before).seconds()
    }

    /// Seconds from its first admission to its last completion.
    pub fn rollout_seconds(&self) -> f64 {
        let (start, end) = self.spans[Stage::Generation as usize];
        end.since(start).seconds()
    }

    /// Seconds of its period by the stage that the trainer was in or waited for; they are apart from each other.
    ///
    /// Until its first own stage starts, the trainer waits for what comes before it, each second counted for the stage that
    /// ended first. Of what none of them explains while it is held, the hand-over is counted as preparing, and the wait for
    /// engines that finish what runs before they take weights as generation.
    pub fn exposed(&self) -> [f64; 7] {
        let own = self.spans[Stage::LogprobOld as usize].0;
        let mut waited = [Stage::Data, Stage::Prepare, Stage::Generation, Stage::Reward];
        waited.sort_by_key(|stage| (self.spans[*stage as usize].1, *stage));
        let mut exposed = self.spans.map(|(start, end)| end.since(start).seconds());
        let (begun, free) = (self.handed_over.0.max(self.before), self.handed_over.1);
        let (mut now, mut draining, mut handing) =
            (self.before, begun.since(self.before).seconds(), free.since(begun).seconds());
        for stage in waited {
            let (start, end) = self.spans[stage as usize];
            let (from, to) = (start.max(now), end.min(own));
            exposed[stage as usize] = to.since(from).seconds();
            draining -= to.min(begun).since(from).seconds();
            handing -= to.min(free).since(from.max(begun)).seconds();
            now = now.max(to);
        }
        exposed[Stage::Generation as usize] += draining.max(0.0);
        exposed[Stage::Prepare as usize] += handing.max(0.0);
        exposed
    }
}

/// A step whose samples are whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Ready {
    /// Spans of data, prepare and generation.
    pub spans: [(SimTime, SimTime); 3],
    /// Seconds of reward (what is left when the last sample has come, were it alone), log-probs (old, reference) and training.
    pub stages: [f64; 4],
    /// Seconds that scoring all of its samples keeps the reward's servers busy.
    pub scoring: f64,
    /// When each replica finished.
    pub replica_ends: Vec<SimTime>,
    /// RL steps that the weights of its samples lag: mean and largest.
    pub lag: (f64, u32),
}

/// What generates samples for the trainer.
pub trait Generator {
    /// The weights after `version` RL steps are there from `now` on; more may be started.
    fn publish(&mut self, now: SimTime, version: usize);

    /// When its next event is; none where it waits for weights.
    fn next(&self) -> Option<SimTime>;

    /// Goes through its next event, and no further than `until`.
    fn advance(&mut self, until: SimTime);

    /// The samples of an RL step where they are whole; called when the trainer is free, steps in order.
    fn take(&mut self, now: SimTime, step: usize) -> Option<Ready>;

    /// From when and until when the trainer hands over the weights that it published last, at `published`, and is held by
    /// that; none where the engines have yet to come for them.
    fn handed_over(&self, published: SimTime) -> Option<(SimTime, SimTime)>;
}

/// Runs `steps` RL steps. Ends early only where the generating side has nothing left to do.
pub fn drive(generator: &mut impl Generator, steps: usize) -> Vec<StepRecord> {
    let mut records: Vec<StepRecord> = Vec::with_capacity(steps);
    let mut now = SimTime::ZERO;
    // What the trainer is busy with, to its end; and the last time that it published.
    let mut training: Option<SimTime> = None;
    let mut published = SimTime::ZERO;
    generator.publish(now, 0);
    while records.len() < steps || training.is_some() {
        if let Some(end) = training {
            // The generating side goes first where both are due: its event cannot depend on the later one.
            if generator.next().is_some_and(|next| next < end) {
                generator.advance(end);
                continue;
            }
            training = None;
            now = end;
            published = end;
            if records.len() < steps {
                generator.publish(now, records.len());
            }
            continue;
        }
        let step = records.len();
        let handed_over =
            if step == 0 { Some((SimTime::ZERO, SimTime::ZERO)) } else { generator.handed_over(published) };
        let free = handed_over.map(|(_, until)| until);
        if let Some(handed_over) = handed_over
            && handed_over.1 <= now.max(published)
            && let Some(ready) = generator.take(now, step)
        {
            let record = train(&ready, handed_over, records.last());
            training = Some(record.end());
            records.push(record);
            continue;
        }
        let held = free.filter(|free| *free > now);
        match (generator.next(), held) {
            (Some(next), Some(free)) if free < next => now = free,
            (Some(next), _) => {
                now = now.max(next);
                generator.advance(held.unwrap_or(SimTime::from_ns(u64::MAX)));
            }
            (None, Some(free)) => now = free,
            (None, None) => break,
        }
    }
    records
}

/// The stages behind a step's samples: rewards when they are whole, the rest when weights are handed over.
///
/// Steps share the servers that score, first come first served: a step's scores are there no sooner than what it alone
/// would take after its last sample, and no sooner than all of its work takes once the servers are done with the step before
/// (or its first sample has started).
fn train(ready: &Ready, handed_over: (SimTime, SimTime), last: Option<&StepRecord>) -> StepRecord {
    let before = last.map_or(SimTime::ZERO, StepRecord::end);
    let [data, prepare, generation] = ready.spans;
    let [reward, old, reference, training] = ready.stages.map(SimTime::from_seconds);
    let served = last.map_or(SimTime::ZERO, |last| last.spans[Stage::Reward as usize].1);
    let scored = (generation.1 + reward).max(served.max(generation.0) + SimTime::from_seconds(ready.scoring));
    let reward = (generation.1, scored);
    let mut now = scored;
    let mut after = |seconds: SimTime, earliest: SimTime| {
        let start = now.max(earliest);
        now = start + seconds;
        (start, now)
    };
    let free = handed_over.1.max(before);
    let old = after(old, free);
    let spans = [data, prepare, generation, reward, old, after(reference, free), after(training, free)];
    StepRecord {
        spans,
        replica_ends: ready.replica_ends.clone(),
        before,
        lag: ready.lag,
        handed_over: (handed_over.0, free),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spans of data, prepare, generation and reward; log-probs from `own` on, a second each, then a second of training.
    fn record(before: f64, handed_over: (f64, f64), spans: [(f64, f64); 4], own: f64) -> StepRecord {
        let of = |(start, end): (f64, f64)| (SimTime::from_seconds(start), SimTime::from_seconds(end));
        let [data, prepare, generation, reward] = spans.map(of);
        let stage = |n: f64| of((own + n, own + n + 1.0));
        StepRecord {
            spans: [data, prepare, generation, reward, stage(0.0), stage(1.0), stage(2.0)],
            replica_ends: Vec::new(),
            before: SimTime::from_seconds(before),
            lag: (0.0, 0),
            handed_over: of(handed_over),
        }
    }

    fn close(record: &StepRecord, expected: [f64; 4]) {
        let exposed = record.exposed();
        assert!(exposed.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{exposed:?} {expected:?}");
        assert_eq!(exposed[4..], [1.0, 1.0, 1.0]);
        assert!((exposed.iter().sum::<f64>() - record.period()).abs() < 1e-9, "all of the period");
    }

    #[test]
    fn steps_share_the_servers_that_score() {
        let ready = |generated: (f64, f64), left, scoring| {
            let span = |(start, end): (f64, f64)| (SimTime::from_seconds(start), SimTime::from_seconds(end));
            Ready {
                spans: [span((0.0, 0.0)), span((0.0, 0.0)), span(generated)],
                stages: [left, 0.0, 0.0, 1.0],
                scoring,
                replica_ends: Vec::new(),
                lag: (0.0, 0),
            }
        };
        let none = (SimTime::ZERO, SimTime::ZERO);
        let scored = |record: &StepRecord| record.spans[Stage::Reward as usize].1.seconds();
        // Ten seconds of work for samples that come until 4: six are left. The next step's work waits for that.
        let first = train(&ready((0.0, 4.0), 6.0, 10.0), none, None);
        let second = train(&ready((4.0, 8.0), 6.0, 10.0), none, Some(&first));
        assert!((scored(&first) - 10.0).abs() < 1e-9 && (scored(&second) - 20.0).abs() < 1e-9);
        // Servers that are free by then keep nobody waiting.
        let late = train(&ready((30.0, 40.0), 1.0, 10.0), none, Some(&second));
        assert!((scored(&late) - 41.0).abs() < 1e-9);
        // Samples of a batch that began at 18 cannot have been scored before.
        let early = train(&ready((18.0, 19.0), 1.0, 10.0), none, Some(&first));
        assert!((scored(&early) - 28.0).abs() < 1e-9);
    }

    #[test]
    fn every_second_has_one_stage() {
        // In turns: all one after the other.
        close(
            &record(
                100.0,
                (100.0, 100.0),
                [(100.0, 101.0), (101.0, 103.0), (103.0, 110.0), (110.0, 112.0)],
                112.0,
            ),
            [1.0, 2.0, 7.0, 2.0],
        );
        // Samples were whole at 105; engines then finished what ran, and took weights from 120 to 122.
        close(
            &record(
                100.0,
                (120.0, 122.0),
                [(99.0, 99.0), (120.0, 122.0), (60.0, 105.0), (105.0, 105.0)],
                122.0,
            ),
            [0.0, 2.0, 20.0, 0.0],
        );
        // Everything was there: nothing is waited for, though engines take weights while the trainer works.
        close(
            &record(100.0, (100.0, 100.0), [(90.0, 90.0), (101.0, 104.0), (50.0, 98.0), (98.0, 99.0)], 100.0),
            [0.0, 0.0, 0.0, 0.0],
        );
    }
}
