//! Who goes on: fronts, margins and halving.
//!
//! A candidate dominates another if it is faster and cheaper and has no more GPUs and no more staleness. Between rungs it must
//! be so by a margin, as further draws move all candidates alike but not equally (they share their random numbers).

use super::fate::Fate;
use super::goal::{Facts, Goal, by_keys};

/// A candidate as a rung sees it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    pub(super) candidate: usize,
    pub(super) facts: Facts,
    /// Number of its kinds of GPU.
    pub(super) kinds: usize,
    /// Seconds of an RL step.
    pub(super) step_s: f64,
}

impl Seen {
    fn usd(&self) -> f64 {
        self.step_s * self.facts.usd_per_s
    }

    /// Whether this one is better in all by a margin on seconds and USD.
    pub(super) fn beats(&self, other: &Facts, step_s: f64, margin: f64) -> bool {
        let most = 1.0 + margin;
        self.facts.gpus <= other.gpus
            && self.facts.staleness <= other.staleness
            && self.step_s * most < step_s
            && self.usd() * most < step_s * other.usd_per_s
    }

    /// Whether this one is at least as good in all, and better in something.
    fn dominates(&self, other: &Seen) -> bool {
        let mine = [self.step_s, self.usd(), f64::from(self.facts.gpus), f64::from(self.facts.staleness)];
        let its = [other.step_s, other.usd(), f64::from(other.facts.gpus), f64::from(other.facts.staleness)];
        mine.iter().zip(its).all(|(a, b)| *a <= b) && mine.iter().zip(its).any(|(a, b)| *a < b)
    }
}

/// Those that no other dominates, in the order given.
pub(super) fn front(all: &[Seen]) -> Vec<usize> {
    let open = |seen: &&Seen| !all.iter().any(|other| other.dominates(seen));
    all.iter().filter(open).map(|seen| seen.candidate).collect()
}

/// How a rung leaves candidates out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// Draws that stand behind its seconds.
    pub(super) draws: u32,
    pub(super) margin: f64,
    /// Most of one number of GPUs, price, staleness and kinds.
    pub(super) each: usize,
    /// Whether one kind of GPU may leave another out.
    pub(super) across_kinds: bool,
    /// Best by objective that stay in any case, and of each kind.
    pub(super) stay: usize,
    pub(super) stay_of_kind: usize,
}

/// Leaves candidates out: those that go on, in order of objective, and the others with their fates.
pub(super) fn halve(goal: &Goal, mut all: Vec<Seen>, rule: Rule) -> (Vec<Seen>, Vec<(usize, Fate)>) {
    let key = |seen: &Seen| goal.order(&seen.facts, seen.step_s);
    all.sort_by(|a, b| by_keys(&key(a), &key(b)).then(a.candidate.cmp(&b.candidate)));
    let mut out = Vec::new();
    let (mut within, mut of_kind): (usize, Vec<usize>) = (0, Vec::new());
    let mut stays = Vec::with_capacity(all.len());
    for seen in &all {
        let fits = goal.exceeded(&seen.facts, seen.step_s, rule.margin).is_none();
        of_kind.resize(of_kind.len().max(seen.kinds + 1), 0);
        within += usize::from(fits);
        of_kind[seen.kinds] += usize::from(fits);
        stays.push(fits && (within <= rule.stay || of_kind[seen.kinds] <= rule.stay_of_kind));
    }
    let mut kept = Vec::new();
    for (seen, stays) in all.iter().zip(stays) {
        if stays {
            kept.push(seen.clone());
            continue;
        }
        if let Some((limit, used)) = goal.exceeded(&seen.facts, seen.step_s, rule.margin) {
            out.push((seen.candidate, Fate::OverLimit { kind: limit.kind, used, draws: rule.draws }));
            continue;
        }
        let better = |other: &&Seen| {
            (rule.across_kinds || other.kinds == seen.kinds)
                && goal.exceeded(&other.facts, other.step_s, 0.0).is_none()
                && other.beats(&seen.facts, seen.step_s, rule.margin)
        };
        if let Some(other) = all.iter().find(better) {
            let (by, by_step_s) = (other.candidate, other.step_s);
            out.push((
                seen.candidate,
                Fate::Behind { draws: rule.draws, step_s: seen.step_s, by, by_step_s },
            ));
            continue;
        }
        let alike = |other: &&Seen| other.facts == seen.facts && other.kinds == seen.kinds;
        let ahead = all
            .iter()
            .filter(alike)
            .filter(|other| (other.step_s, other.candidate) < (seen.step_s, seen.candidate));
        let ahead = ahead.count();
        if ahead >= rule.each {
            out.push((seen.candidate, Fate::Halved { draws: rule.draws, step_s: seen.step_s, ahead }));
        } else {
            kept.push(seen.clone());
        }
    }
    (kept, out)
}

#[cfg(test)]
mod tests {
    use super::super::goal::{Limit, LimitKind, Objective};
    use super::*;

    fn seen(candidate: usize, gpus: u32, staleness: u32, step_s: f64) -> Seen {
        Seen { candidate, facts: Facts { gpus, staleness, usd_per_s: f64::from(gpus) }, kinds: 0, step_s }
    }

    fn goal(limits: &[(LimitKind, f64)]) -> Goal {
        let subject_to = limits.iter().map(|(kind, given)| Limit { kind: *kind, given: *given }).collect();
        Goal { minimise: Objective::UsdPerStep, subject_to, p: 0.9 }
    }

    #[test]
    fn a_front_is_what_nothing_beats() {
        let all = [seen(0, 8, 0, 100.0), seen(1, 16, 0, 60.0), seen(2, 16, 1, 50.0), seen(3, 16, 1, 55.0)];
        // 3 is slower than 2 and nothing else; 1 is not, as it is on-policy.
        assert_eq!(front(&all), [0, 1, 2]);
        let twins = [seen(0, 8, 0, 100.0), seen(1, 8, 0, 100.0)];
        assert_eq!(front(&twins), [0, 1], "equals do not beat each other");
    }

    #[test]
    fn margins_and_limits_decide_who_goes_on() {
        let rule = Rule { draws: 1, margin: 0.1, each: 2, across_kinds: true, stay: 1, stay_of_kind: 1 };
        let all = vec![
            seen(0, 8, 0, 100.0),
            seen(1, 8, 0, 105.0),
            seen(2, 8, 0, 120.0),
            seen(3, 8, 0, 106.0),
            seen(4, 16, 0, 300.0),
        ];
        let (kept, out) = halve(&goal(&[(LimitKind::StepS, 200.0)]), all, rule);
        assert_eq!(kept.iter().map(|s| s.candidate).collect::<Vec<_>>(), [0, 1]);
        let fates: Vec<(usize, &str)> = out.iter().map(|(c, fate)| (*c, fate.reason())).collect();
        assert_eq!(fates, [(3, "halved"), (2, "dominated in simulation"), (4, "over a limit")]);
    }
}
