//! The search: all candidates resolved, those that cannot be or need not be simulated left out with their reasons, the rest
//! simulated with ever more draws.
//!
//! Three rungs. The first simulates the first draw at best values, candidates in order of their bounds, and leaves out whose
//! bound another has beaten; the second takes two draws; the last all draws and worlds, as `run` does. Candidates are taken
//! in batches of a fixed size, so what is left out does not depend on threads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rayon::prelude::*;

use super::attempt::{Open, Tried, attempt, prepare};
use super::bound::Lengths;
use super::fate::Fate;
use super::figures::Figures;
use super::goal::{Goal, by_keys};
use super::select::{Rule, Seen, halve};
use super::space::Space;
use crate::resolve::ResolveError;
use crate::rollout::Stepper;
use crate::scenario::Error;
use crate::study::sweep::Row;

/// Candidates between two looks at what is best so far.
const BATCH: usize = 32;
/// Draws of the second rung.
const SECOND: u32 = 2;
/// Fewest draws of the last rung for which the second is worth it.
const WORTH_A_SECOND: u32 = 4;
/// How much slower and dearer a bound must be than a simulated candidate: other draws and worlds move both.
const MARGIN_OF_BOUND: f64 = 0.05;
/// Candidates over a limit that are simulated where no candidate is within them.
const NEAREST: usize = 8;
/// The same where more exceed the limits alike.
const NEAREST_ALIKE: usize = 64;

/// Rungs, as they are numbered in the journal.
const RUNGS: u64 = 3;

/// How to search.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// How rollouts are simulated.
    pub stepper: Stepper,
    /// Simulate every candidate that can be, in full.
    pub exhaustive: bool,
}

/// What the search tells while it goes on.
#[derive(Debug)]
pub enum Told<'a> {
    /// Work of so many parts begins.
    Begin(usize),
    /// Parts are done.
    Done(usize),
    /// A simulation to keep.
    Row(&'a Row),
}

/// Why a search stopped.
#[derive(Debug, thiserror::Error)]
pub enum SearchError<E> {
    /// The scenario is wrong.
    #[error(transparent)]
    Input(#[from] ResolveError),
    /// What was found cannot be kept.
    #[error(transparent)]
    Keep(E),
}

/// What is known after a search.
#[derive(Debug)]
pub struct Found {
    /// What became of each candidate.
    pub fates: Vec<Fate>,
    /// Candidates that could be, with what is known of each without simulation.
    pub(super) open: HashMap<usize, Open>,
    /// Candidates that were simulated in full.
    pub(super) finals: Vec<(usize, Figures)>,
    /// Simulations by rung.
    pub simulated: [usize; 3],
}

/// Columns of the journal: where a row belongs, its numbers, and why there are none.
pub const COLUMNS: [&str; 3] = ["rung", "figures", "error"];

/// Rows that a journal of this space may hold.
pub fn rows(space: &Space) -> u64 {
    space.len() as u64 * RUNGS
}

/// What became of candidates so far, and those that are still open.
type Resolved = (Vec<Option<Fate>>, HashMap<usize, Open>);
/// A candidate's figures, or why there are none.
type Simulated = (usize, Result<Figures, String>);

/// Searches. `known` are rows of an earlier search of the same space.
#[expect(clippy::implicit_hasher, reason = "rows of a journal, whose maps are std's")]
pub fn search<E>(
    space: &Space,
    goal: &Goal,
    options: Options,
    known: &HashMap<u64, Row>,
    tell: impl FnMut(Told<'_>) -> Result<(), E>,
) -> Result<Found, SearchError<E>> {
    let mut work = Work { space, goal, options, known, tell, simulated: [0; 3] };
    let (mut fates, open) = work.resolve_all()?;
    if options.exhaustive {
        let mut all: Vec<usize> = open.keys().copied().collect();
        all.sort_unstable();
        let finals = work.finals(&open, &all, &mut fates)?;
        return Ok(work.found(fates, open, finals));
    }
    let mut seen = work.first_rung(&open, &mut fates)?;
    if !seen.iter().any(|s| goal.exceeded(&s.facts, s.step_s, 0.0).is_none()) {
        work.nearest(&open, &mut seen, &mut fates)?;
    }
    let kinds = 1 + seen.iter().map(|s| s.kinds).max().unwrap_or(0);
    let stay_of_kind = if kinds > 1 { 2 } else { 0 };
    let first =
        Rule { draws: 1, margin: 0.1, each: 4, across_kinds: false, stay: 8, stay_of_kind: 2 * stay_of_kind };
    let nearest = closest(goal, &seen);
    let (mut seen, out) = halve(goal, seen, first);
    for (candidate, fate) in out {
        fates[candidate] = Some(fate);
    }
    if seen.iter().any(|s| open[&s.candidate].draws >= WORTH_A_SECOND) {
        work.tell(Told::Begin(seen.len()))?;
        let all: Vec<usize> = seen.iter().map(|s| s.candidate).collect();
        let figures = work.rung(1, &all, |_| (SECOND, 1))?;
        seen = results_as_seen(&open, figures, &mut fates).into_iter().map(|(seen, _)| seen).collect();
        let second = Rule { draws: SECOND, margin: 0.05, each: 2, across_kinds: true, stay: 6, stay_of_kind };
        let (kept, out) = halve(goal, seen, second);
        for (candidate, fate) in out {
            fates[candidate] = Some(fate);
        }
        seen = kept;
    }
    let mut last: Vec<usize> = seen.iter().map(|s| s.candidate).collect();
    if last.is_empty() {
        last = nearest;
    }
    let finals = work.finals(&open, &last, &mut fates)?;
    Ok(work.found(fates, open, finals))
}

/// The candidates that exceed their limits the least, of those alike the best.
fn closest(goal: &Goal, seen: &[Seen]) -> Vec<usize> {
    let far = |s: &Seen| goal.exceeded(&s.facts, s.step_s, 0.0).map_or(0.0, |(_, used)| used);
    let mut all: Vec<([f64; 4], usize)> =
        seen.iter().map(|s| (goal.order_over(far(s), &s.facts, s.step_s), s.candidate)).collect();
    all.sort_by(|a, b| by_keys(&a.0, &b.0).then(a.1.cmp(&b.1)));
    all.into_iter().take(NEAREST / 2).map(|(_, candidate)| candidate).collect()
}

struct Work<'a, F> {
    space: &'a Space,
    goal: &'a Goal,
    options: Options,
    known: &'a HashMap<u64, Row>,
    tell: F,
    simulated: [usize; 3],
}

impl<E, F: FnMut(Told<'_>) -> Result<(), E>> Work<'_, F> {
    fn tell(&mut self, what: Told<'_>) -> Result<(), SearchError<E>> {
        (self.tell)(what).map_err(SearchError::Keep)
    }

    fn found(
        self,
        fates: Vec<Option<Fate>>,
        open: HashMap<usize, Open>,
        finals: Vec<(usize, Figures)>,
    ) -> Found {
        let fates = fates.into_iter().map(|fate| fate.unwrap_or(Fate::Final { rank: None })).collect();
        Found { fates, open, finals, simulated: self.simulated }
    }

    /// Resolves every candidate and takes its bound.
    fn resolve_all(&mut self) -> Result<Resolved, SearchError<E>> {
        let space = self.space;
        let lengths: Mutex<HashMap<u64, Arc<Lengths>>> = Mutex::default();
        let mut kinds: Vec<[String; 2]> = Vec::new();
        let mut numbers = Vec::with_capacity(space.len());
        for candidate in 0..space.len() {
            let own = space.kinds(candidate);
            let at = kinds.iter().position(|known| known == own).unwrap_or_else(|| {
                kinds.push(own.clone());
                kinds.len() - 1
            });
            numbers.push(at);
        }
        let tried: Vec<Tried> = (0..space.len())
            .into_par_iter()
            .map(|candidate| attempt(space, candidate, numbers[candidate], &lengths))
            .collect();
        self.misspelt(&tried)?;
        let mut fates: Vec<Option<Fate>> = vec![None; space.len()];
        let mut open = HashMap::new();
        let mut runs: HashMap<u64, usize> = HashMap::new();
        for (candidate, tried) in tried.into_iter().enumerate() {
            match tried {
                Err((fate, _)) => fates[candidate] = Some(fate),
                Ok((facts, run)) => {
                    if let Some(twin) = runs.get(&run) {
                        fates[candidate] = Some(Fate::Same(*twin));
                    } else {
                        runs.insert(run, candidate);
                        open.insert(candidate, facts);
                    }
                }
            }
        }
        Ok((fates, open))
    }

    /// A value that no candidate can run with, for a reason that is not its layout or memory, is a mistake of the scenario's.
    fn misspelt(&self, tried: &[Tried]) -> Result<(), SearchError<E>> {
        let error = |candidate: &usize| match &tried[*candidate] {
            Err((Fate::Refused(_), Some(error))) => Some(error.clone()),
            _ => None,
        };
        for (_, with) in self.space.uses() {
            let errors: Vec<Error> = with.iter().filter_map(error).collect();
            if !with.is_empty()
                && errors.len() == with.len()
                && let Some(first) = errors.into_iter().next()
            {
                return Err(ResolveError::Input(first).into());
            }
        }
        if tried.iter().all(|t| matches!(t, Err((Fate::Nodes(_) | Fate::Layout(_) | Fate::Refused(_), _)))) {
            let why = tried.iter().find_map(|t| t.as_ref().err()).map(|(fate, _)| fate.text(self.space));
            let message = format!(
                "none of the {} candidates is possible; the first: {}",
                tried.len(),
                why.unwrap_or_else(|| "there is none".to_owned())
            );
            let hint = "whole nodes of GPUs, and layouts that divide the model";
            return Err(ResolveError::Input(self.space.error(&message, hint)).into());
        }
        Ok(())
    }

    /// Simulates candidates at one rung, in batches; rows that are known are taken as they are.
    fn rung(
        &mut self,
        rung: u64,
        all: &[usize],
        of: impl Fn(usize) -> (u32, u32) + Sync,
    ) -> Result<Vec<Simulated>, SearchError<E>> {
        let mut done = Vec::with_capacity(all.len());
        let (space, known, stepper) = (self.space, self.known, self.options.stepper);
        for batch in all.chunks(BATCH) {
            let results: Vec<(bool, Result<Figures, String>)> = batch
                .par_iter()
                .map(|&candidate| {
                    let row = known.get(&index(candidate, rung));
                    if let Some(result) = row.and_then(from_row) {
                        return (false, result);
                    }
                    let (draws, worlds) = of(candidate);
                    (true, simulate(space, candidate, stepper, draws, worlds))
                })
                .collect();
            for (candidate, (fresh, result)) in batch.iter().zip(results) {
                if fresh {
                    self.tell(Told::Row(&to_row(*candidate, rung, &result)))?;
                }
                self.simulated[rung as usize] += 1;
                done.push((*candidate, result));
            }
            self.tell(Told::Done(batch.len()))?;
        }
        Ok(done)
    }

    /// The first rung: candidates in order of their bounds, in turn over what they cost.
    fn first_rung(
        &mut self,
        open: &HashMap<usize, Open>,
        fates: &mut [Option<Fate>],
    ) -> Result<Vec<Seen>, SearchError<E>> {
        let mut queue = in_turn(open);
        self.tell(Told::Begin(queue.len()))?;
        let mut seen: Vec<Seen> = Vec::new();
        while !queue.is_empty() {
            let mut batch = Vec::with_capacity(BATCH);
            let mut left_out = 0;
            let mut taken = 0;
            for candidate in &queue {
                if batch.len() == BATCH {
                    break;
                }
                taken += 1;
                match self.needless(&open[candidate], &seen) {
                    Some(fate) => (fates[*candidate], left_out) = (Some(fate), left_out + 1),
                    None => batch.push(*candidate),
                }
            }
            queue.drain(..taken);
            self.tell(Told::Done(left_out))?;
            let results = self.rung(0, &batch, |_| (1, 1))?;
            seen.extend(results_as_seen(open, results, fates).into_iter().map(|(seen, _)| seen));
        }
        Ok(seen)
    }

    /// Why a candidate need not be simulated.
    fn needless(&self, open: &Open, seen: &[Seen]) -> Option<Fate> {
        if let Some((limit, used)) = self.goal.exceeded(&open.facts, open.least_s, MARGIN_OF_BOUND) {
            return Some(Fate::OverLimit { kind: limit.kind, used, draws: 0 });
        }
        let better = |other: &&Seen| {
            other.kinds == open.kinds
                && self.goal.exceeded(&other.facts, other.step_s, 0.0).is_none()
                && other.beats(&open.facts, open.least_s, MARGIN_OF_BOUND)
        };
        seen.iter().find(better).map(|other| Fate::Bound {
            step_s: open.least_s,
            by: other.candidate,
            by_step_s: other.step_s,
        })
    }

    /// Simulates those whose bounds exceed the limits the least, where nothing is within them.
    fn nearest(
        &mut self,
        open: &HashMap<usize, Open>,
        seen: &mut Vec<Seen>,
        fates: &mut [Option<Fate>],
    ) -> Result<(), SearchError<E>> {
        let mut over: Vec<([f64; 4], usize)> = open
            .iter()
            .filter(|(candidate, _)| matches!(fates[**candidate], Some(Fate::OverLimit { .. })))
            .filter_map(|(candidate, o)| {
                let (_, used) = self.goal.exceeded(&o.facts, o.least_s, 0.0)?;
                Some((self.goal.order_over(used, &o.facts, o.least_s), *candidate))
            })
            .collect();
        over.sort_by(|a, b| by_keys(&a.0, &b.0).then(a.1.cmp(&b.1)));
        // A limit on GPUs, staleness or USD a day is exceeded alike by many: which of them is best, simulation tells.
        let alike = over.iter().take_while(|(key, _)| key[0] <= over[0].0[0]).count();
        let most = alike.clamp(NEAREST, NEAREST_ALIKE);
        let all: Vec<usize> = over.into_iter().take(most).map(|(_, candidate)| candidate).collect();
        self.tell(Told::Begin(all.len()))?;
        let results = self.rung(0, &all, |_| (1, 1))?;
        seen.extend(results_as_seen(open, results, fates).into_iter().map(|(seen, _)| seen));
        Ok(())
    }

    /// All draws and worlds.
    fn finals(
        &mut self,
        open: &HashMap<usize, Open>,
        all: &[usize],
        fates: &mut [Option<Fate>],
    ) -> Result<Vec<(usize, Figures)>, SearchError<E>> {
        self.tell(Told::Begin(all.len()))?;
        let results = self.rung(2, all, |candidate| (open[&candidate].draws, open[&candidate].worlds))?;
        let mut finals = results_as_seen(open, results, fates);
        let met =
            |seen: &Seen, figures: &Figures| self.goal.met(&seen.facts, &figures.seconds) >= self.goal.p;
        finals.sort_by(|(a, f), (b, g)| {
            let key = |seen: &Seen, figures: &Figures| {
                let [x, y, z] = self.goal.order(&seen.facts, seen.step_s);
                [f64::from(u8::from(!met(seen, figures))), x, y, z]
            };
            by_keys(&key(a, f), &key(b, g)).then(a.candidate.cmp(&b.candidate))
        });
        for (place, (seen, figures)) in finals.iter().enumerate() {
            let rank = met(seen, figures).then_some(place + 1);
            fates[seen.candidate] = Some(Fate::Final { rank });
        }
        Ok(finals.into_iter().map(|(seen, figures)| (seen.candidate, figures)).collect())
    }
}

/// Candidates by rank of their bound among those of the same cost, then by cost: the best of each cost come first.
fn in_turn(open: &HashMap<usize, Open>) -> Vec<usize> {
    let mut all: Vec<(usize, &Open)> = open.iter().map(|(candidate, o)| (*candidate, o)).collect();
    let cost = |o: &Open| (o.kinds, o.facts.gpus, o.facts.staleness, o.facts.usd_per_s.to_bits());
    all.sort_by(|(a, x), (b, y)| cost(x).cmp(&cost(y)).then(x.least_s.total_cmp(&y.least_s)).then(a.cmp(b)));
    let mut ranked: Vec<(usize, usize, usize)> = Vec::with_capacity(all.len());
    let mut rank = 0;
    for (at, (candidate, o)) in all.iter().enumerate() {
        rank = if at > 0 && cost(all[at - 1].1) == cost(o) { rank + 1 } else { 0 };
        ranked.push((rank, at, *candidate));
    }
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, _, candidate)| candidate).collect()
}

fn simulate(
    space: &Space,
    candidate: usize,
    stepper: Stepper,
    draws: u32,
    worlds: u32,
) -> Result<Figures, String> {
    let prepared = prepare(space, candidate).map_err(|error| error.to_string())?;
    Figures::of(&prepared, stepper, draws, worlds)
}

fn index(candidate: usize, rung: u64) -> u64 {
    candidate as u64 * RUNGS + rung
}

fn to_row(candidate: usize, rung: u64, result: &Result<Figures, String>) -> Row {
    let (figures, error) = match result {
        Ok(figures) => (figures.cell(), String::new()),
        Err(why) => (String::new(), why.split_whitespace().collect::<Vec<_>>().join(" ")),
    };
    Row { index: index(candidate, rung), cells: vec![rung.to_string(), figures, error] }
}

fn from_row(row: &Row) -> Option<Result<Figures, String>> {
    let [_, figures, error] = row.cells.as_slice() else { return None };
    if error.is_empty() { Figures::from_cell(figures).map(Ok) } else { Some(Err(error.clone())) }
}
/// Results as a rung sees them; failures are fates.
fn results_as_seen(
    open: &HashMap<usize, Open>,
    results: Vec<Simulated>,
    fates: &mut [Option<Fate>],
) -> Vec<(Seen, Figures)> {
    let mut all = Vec::with_capacity(results.len());
    for (candidate, result) in results {
        match result {
            Ok(figures) => {
                let Open { facts, kinds, .. } = open[&candidate];
                all.push((Seen { candidate, facts, kinds, step_s: figures.mean() }, figures));
            }
            Err(why) => fates[candidate] = Some(Fate::Failed(why)),
        }
    }
    all
}
