//! The price at which another kind of GPU wins.
//!
//! A plan costs s (n x + r) a step: s seconds, n GPUs of the kind whose price is x, r for all others. Two plans cost the same
//! at x = (s2 r2 - s1 r1) / (s1 n1 - s2 n2). For each other combination of kinds, the plan of it that needs the price to move
//! the least. Only where USD are minimised: other goals do not see prices.

use serde::Serialize;

use super::answer::Finalist;
use super::attempt::prepare;
use super::changes::price_of;
use super::goal::{Goal, Objective};
use super::space::Space;

/// Where another kind of GPU wins.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OtherKind {
    /// The plan that wins then.
    pub plan: String,
    /// Its number.
    pub candidate: usize,
    /// The kind whose price moves.
    pub device: String,
    /// What its price is compared with.
    pub against: String,
    /// Its price over the other's now.
    pub price_ratio_now: f64,
    /// Its price over the other's at which both plans cost the same; none where no price does it.
    pub price_ratio: Option<f64>,
    /// Its price then, USD for one GPU and hour.
    pub usd_per_gpu_hour: Option<f64>,
    /// Whether the other plan wins below that price, or above it.
    pub wins_below: bool,
}

/// What a candidate pays for a kind: seconds, USD per second of it, USD per second of all else, its price.
struct Cost {
    step_s: f64,
    of_it: f64,
    rest: f64,
}

fn cost(space: &Space, finalist: &Finalist<'_>, device: &str) -> Cost {
    let of_it = price_of(space, finalist.seen.candidate, device);
    Cost { step_s: finalist.seen.step_s, of_it, rest: finalist.seen.facts.usd_per_s - of_it }
}

/// Price of a kind in a candidate, USD for one GPU and hour.
fn price(space: &Space, candidate: usize, device: &str) -> Option<f64> {
    let resolved = prepare(space, candidate).ok()?.resolved;
    let kinds = space.kinds(candidate);
    let pool = if kinds[0] == device { Some(&resolved.cluster) } else { None };
    let pool = pool.or_else(|| resolved.trainer.as_ref().filter(|_| kinds[1] == device));
    pool.map(|pool| pool.usd_per_gpu_hour)
}

/// Each other combination of kinds among the finalists.
pub(super) fn all(space: &Space, goal: &Goal, within: &[&Finalist<'_>]) -> Vec<OtherKind> {
    let Some((best, others)) = within.split_first() else { return Vec::new() };
    if goal.minimise != Objective::UsdPerStep {
        return Vec::new();
    }
    let own = space.kinds(best.seen.candidate);
    let mut combinations: Vec<&[String; 2]> = Vec::new();
    for other in others {
        let kinds = space.kinds(other.seen.candidate);
        if kinds != own && !combinations.contains(&kinds) {
            combinations.push(kinds);
        }
    }
    let of = |kinds: &[String; 2]| {
        let same = others.iter().filter(|f| space.kinds(f.seen.candidate) == kinds);
        // The kind that one of the two has and the other has not.
        let device =
            kinds.iter().find(|k| !own.contains(k)).or_else(|| own.iter().find(|k| !kinds.contains(k)))?;
        let below = kinds.contains(device);
        let against = own.iter().chain(kinds).find(|other| *other != device)?;
        let mine = cost(space, best, device);
        let now = same.clone().map(|f| f.seen.candidate).chain([best.seen.candidate]);
        let price_now = now.clone().find_map(|c| price(space, c, device))?;
        let price_against = now.clone().find_map(|c| price(space, c, against)).filter(|p| *p > 0.0)?;
        let equal = |other: &Cost| {
            // In units of the price now: x = 1 is as it is.
            let slope = mine.step_s * mine.of_it - other.step_s * other.of_it;
            let gap = other.step_s * other.rest - mine.step_s * mine.rest;
            let x = gap / slope;
            (slope != 0.0 && x.is_finite() && x > 0.0).then_some(x)
        };
        let mut found: Vec<(Option<f64>, &&Finalist<'_>)> =
            same.map(|f| (equal(&cost(space, f, device)), f)).collect();
        let far = |x: &Option<f64>| x.map_or(f64::INFINITY, |x| libm::log(x).abs());
        found.sort_by(|a, b| far(&a.0).total_cmp(&far(&b.0)));
        let (x, finalist) = found.first()?;
        Some(OtherKind {
            plan: space.title(finalist.seen.candidate),
            candidate: finalist.seen.candidate,
            device: device.clone(),
            against: against.clone(),
            price_ratio_now: price_now / price_against,
            price_ratio: x.map(|x| x * price_now / price_against),
            usd_per_gpu_hour: x.map(|x| x * price_now),
            wins_below: below,
        })
    };
    combinations.into_iter().filter_map(of).collect()
}
