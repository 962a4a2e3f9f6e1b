//! Acceptance of draft tokens, between pooled engine counters and single requests.
//!
//! Engines count, over all requests together, how often position k was accepted given that the positions
//! before it were: a_k (vLLM: `num_accepted_tokens_per_pos[k] / num_accepted_tokens_per_pos[k-1]`). Those
//! counters weigh a request by its draft rounds, so slow requests weigh more: the pooled acceptance length
//! is the *harmonic* mean of the requests' own. A simulator that gives every request the pooled rates, or
//! draws rates whose plain mean is the pooled one, is 2-20 % too fast.
//!
//! Model: request i has its own first-position rate x_i ~ Beta with a given concentration, and rates
//! a_ik = x_i r_k (r_0 = 1). The Beta mean and the ratios r_k are solved so that the pooled rates come out:
//!   a_k = Σ_i w_i S_i(k+1) / Σ_i w_i S_ik,  S_ik = Π_{j<k} a_ij,  w_i = 1 / AL_i  (rounds per token).
//! Lengths are taken as independent of x_i. Drafters that look tokens up have a proposal in a share h of the rounds
//! only, and engines count only those: then AL_i = 1 + h Σ_j S_ij over all rounds, and w_i follows.
//!
//! The other files, one idea each: what verification semantics do to a rate (`verification`), rates that drift
//! along the output (`drift`) or grow with earlier rollouts (`history`), further ranks of a tree (`curve`), engine
//! counters (`counters`), the power law fitted to them (`fit`), and what a schedule has learned (`belief`).

mod belief;
mod counters;
mod curve;
mod drift;
mod error;
mod fit;
mod history;
mod recent;
mod verification;

pub use belief::Belief;
pub use counters::{Counters, Interval};
pub use curve::{Curve, Ranks};
pub use drift::Drift;
pub use error::AcceptanceError;
pub use fit::{PowerLawFit, fit_power_law};
pub use history::History;
pub(super) use verification::likeliest;
pub use verification::{Verification, tempered, total_variation};

use crate::math::{beta_nodes, expit, logit};
use crate::rng::{Purpose, Stream};

/// Largest conditional rate of a single request: a request that always accepts has no variance left.
const RATE_CEILING: f64 = 0.999;
/// Nodes of the Beta law in the solve and in the draw of requests.
const NODES: usize = 512;

/// Conditional rates by position of a power law a_k = first · (1 + k)^-decay, k = 0 … positions-1.
/// Fits the published EAGLE-3 and MTP curves to 0.1-0.5 % (arXiv 2604.26412, 2604.26779).
pub fn power_law(first: f64, decay: f64, positions: usize) -> Vec<f64> {
    (0..positions).map(|k| (first * libm::pow(1.0 + k as f64, -decay)).min(RATE_CEILING)).collect()
}

/// Acceptance length: 1 + Σ_k Π_{j≤k} a_j, the bonus token included.
pub fn acceptance_length(rates: &[f64]) -> f64 {
    let mut survival = 1.0;
    rates.iter().fold(1.0, |sum, rate| {
        survival *= rate;
        sum + survival
    })
}

/// The first rate of a power law whose acceptance length at `positions` draft tokens is `length`; `None` where
/// no rates give it. Near the longest possible length it exceeds one: rates are capped, later ones rise to
/// the cap too.
pub fn solve_first_rate(length: f64, decay: f64, positions: usize) -> Option<f64> {
    let at = |first: f64| acceptance_length(&power_law(first, decay, positions));
    let (mut low, mut high) = (0.0, libm::pow(positions as f64, decay.abs()));
    if !(length > 1.0 && length < at(high)) {
        return None;
    }
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if at(middle) < length { low = middle } else { high = middle }
    }
    Some(0.5 * (low + high))
}

/// Shifts all rates by `delta` on the logit scale: how an uncertain acceptance moves.
pub fn shift(rates: &[f64], delta: f64) -> Vec<f64> {
    if delta == 0.0 {
        // To the logit scale and back is not exact, and what was solved for these rates is kept by their bits.
        return rates.to_vec();
    }
    rates.iter().map(|&a| if a <= 0.0 || a >= 1.0 { a } else { expit(logit(a) + delta) }).collect()
}

/// The population of requests behind pooled counters.
#[derive(Debug, Clone, PartialEq)]
pub struct Population {
    /// First-position rates at the middles of equal slices of the population.
    nodes: Vec<f64>,
    /// r_k, with r_0 = 1.
    ratios: Vec<f64>,
    /// Share of the rounds that have a proposal.
    proposed: f64,
    /// The pooled rates that were asked for.
    pooled: Vec<f64>,
    /// How further ranks of a tree share what the first leaves.
    ranks: Ranks,
    /// Largest difference between the asked and the reached pooled rates.
    residual: f64,
}

impl Population {
    /// Solves the population whose pooled rates are `pooled` when every request drafts `pooled.len()`
    /// tokens a round. `concentration` is that of the Beta law; infinite means all requests alike.
    pub fn solve(pooled: &[f64], concentration: f64) -> Self {
        Population::solve_proposing(pooled, concentration, 1.0)
    }

    /// The same for a drafter that has a proposal in a share `proposed` of the rounds; `pooled` counts those.
    ///
    /// Each thread keeps its last solutions: the sides, draws and points of a study ask for the same few.
    pub fn solve_proposing(pooled: &[f64], concentration: f64, proposed: f64) -> Self {
        recent::get(pooled, concentration, proposed, || Population::solved(pooled, concentration, proposed))
    }

    /// The requests whose pooled rates are `counted` when every round drafts that many tokens, in rounds of as many as
    /// `pooled` has. At positions beyond those counted a request's own rate falls as `pooled` does.
    pub fn counted_in(counted: &[f64], pooled: &[f64], concentration: f64, proposed: f64) -> Self {
        if counted.is_empty() || counted == pooled {
            return Population::solve_proposing(pooled, concentration, proposed);
        }
        let of = Population::solve_proposing(counted, concentration, proposed);
        let last = counted.len() - 1;
        let beyond = pooled.iter().skip(counted.len());
        let fall =
            |rate: &f64| if counted[last] > 0.0 { of.ratios[last] * rate / counted[last] } else { 0.0 };
        let ratios = of.ratios.iter().take(pooled.len()).copied().chain(beyond.map(fall)).collect();
        Population { ratios, pooled: pooled.to_vec(), ..of }
    }

    fn solved(pooled: &[f64], concentration: f64, proposed: f64) -> Self {
        let first = pooled.first().copied().unwrap_or(0.0).clamp(0.0, RATE_CEILING);
        let mut ratios: Vec<f64> = pooled.iter().map(|a| if first > 0.0 { a / first } else { 0.0 }).collect();
        // At 1e6 requests differ by 0.0005, and beyond it the quantiles of the Beta law converge ever slower.
        let alike = concentration >= 1e6 || first <= 0.0;
        if alike {
            let (pooled, ranks) = (pooled.to_vec(), Ranks::default());
            return Population { nodes: vec![first], ratios, proposed, pooled, ranks, residual: 0.0 };
        }
        let mut mean = first;
        let mut nodes = beta_nodes(mean, concentration, NODES);
        let (mut residual, mut best, mut stalled) = (f64::INFINITY, f64::INFINITY, 0);
        for _ in 0..200 {
            let reached = pooled_rates(&nodes, &ratios, proposed);
            residual = reached.iter().zip(pooled).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            // Rates that no population has, such as one: further rounds would only cost time.
            stalled = if residual < 0.99 * best { 0 } else { stalled + 1 };
            best = best.min(residual);
            if residual < 1e-9 || stalled == 8 {
                break;
            }
            mean = expit(logit(mean) + logit(first) - logit(reached[0])).clamp(1e-6, RATE_CEILING);
            nodes = beta_nodes(mean, concentration, NODES);
            for k in 1..ratios.len() {
                if reached[k] > 0.0 {
                    ratios[k] *= pooled[k] / reached[k];
                }
            }
        }
        Population { nodes, ratios, proposed, pooled: pooled.to_vec(), ranks: Ranks::default(), residual }
    }

    /// The same requests with another law of ranks.
    #[must_use]
    pub fn with_ranks(self, ranks: Ranks) -> Self {
        Population { ranks, ..self }
    }

    /// The law of ranks.
    pub fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    /// The pooled rates that it was solved for.
    pub fn pooled(&self) -> &[f64] {
        &self.pooled
    }

    /// The pooled rates over all rounds, those without a proposal included.
    pub fn pooled_over_all(&self) -> Vec<f64> {
        let mut rates = self.pooled.clone();
        if let Some(first) = rates.first_mut() {
            *first *= self.proposed;
        }
        rates
    }

    /// Largest difference between the asked and the reached pooled rates: near zero unless rates so close
    /// to one were asked that no population of this concentration has them.
    pub fn residual(&self) -> f64 {
        self.residual
    }

    /// Draft positions.
    pub fn positions(&self) -> usize {
        self.ratios.len()
    }

    /// The pooled acceptance length over all rounds when every request drafts `k` tokens a round.
    pub fn pooled_length(&self, k: usize) -> f64 {
        let rounds_per_token: f64 = self.nodes.iter().map(|&x| 1.0 / self.length_of(x, k)).sum();
        self.nodes.len() as f64 / rounds_per_token
    }

    /// The survival S_1 … S_K of one request, drawn by its entity path: the chance that a round accepts at
    /// least j draft tokens. The same request gets the same draw in every configuration.
    pub fn draw_survival(&self, seed: u64, entity: &[u64], survival: &mut [f64]) {
        let u = Stream::new(seed, Purpose::RequestAcceptance, entity).uniform();
        // Linear between node middles: a continuous law rather than 512 kinds of request.
        let position = (u * self.nodes.len() as f64 - 0.5).clamp(0.0, (self.nodes.len() - 1) as f64);
        let low = position as usize;
        let high = (low + 1).min(self.nodes.len() - 1);
        let x = self.nodes[low] + (position - low as f64) * (self.nodes[high] - self.nodes[low]);
        let mut product = 1.0;
        for (k, slot) in survival.iter_mut().enumerate() {
            product *= (x * self.ratios.get(k).copied().unwrap_or(0.0)).min(RATE_CEILING);
            *slot = self.proposed * product;
        }
    }

    /// The conditional rates a_0 … of the same request: what a tree needs.
    pub fn draw_rates(&self, seed: u64, entity: &[u64], rates: &mut [f64]) {
        self.draw_survival(seed, entity, rates);
        let mut before = 1.0;
        for slot in rates {
            let survival = *slot;
            *slot = if before > 0.0 { survival / before } else { 0.0 };
            before = survival;
        }
    }

    fn length_of(&self, x: f64, k: usize) -> f64 {
        let mut survival = 1.0;
        self.ratios[..k.min(self.ratios.len())].iter().fold(1.0, |sum, r| {
            survival *= (x * r).min(RATE_CEILING);
            sum + self.proposed * survival
        })
    }
}

/// The rates that engine counters would show for a population.
fn pooled_rates(nodes: &[f64], ratios: &[f64], proposed: f64) -> Vec<f64> {
    let mut sums = vec![0.0; ratios.len() + 1];
    for &x in nodes {
        let mut survivals = vec![1.0; ratios.len() + 1];
        for (k, r) in ratios.iter().enumerate() {
            survivals[k + 1] = survivals[k] * (x * r).min(RATE_CEILING);
        }
        let weight = 1.0 / (1.0 + proposed * survivals[1..].iter().sum::<f64>());
        for (sum, survival) in sums.iter_mut().zip(&survivals) {
            *sum += weight * survival;
        }
    }
    sums.windows(2).map(|pair| if pair[0] > 0.0 { pair[1] / pair[0] } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_law_reproduces_published_lengths() {
        // NeMo-RL table 4 (arXiv 2604.26779): RL-Zero 3.32/4.35/5.06, RL-Think 2.77/3.23/3.48 at K = 3/5/7.
        for (k, length) in [(3, 3.32), (5, 4.35), (7, 5.06)] {
            assert!((acceptance_length(&power_law(0.890, 0.037, k)) - length).abs() < 0.01);
        }
        for (k, length) in [(3, 2.77), (5, 3.23), (7, 3.48)] {
            assert!((acceptance_length(&power_law(0.776, 0.074, k)) - length).abs() < 0.02);
        }
    }

    #[test]
    fn requests_are_those_of_the_rounds_that_were_counted() {
        let law = |k| power_law(0.776, 0.074, k);
        let three = Population::solve(&law(3), 12.0);
        let longer = Population::counted_in(&law(3), &law(7), 12.0, 1.0);
        // The same requests: what they accept in rounds of three does not depend on how long drafts may be.
        assert_eq!((longer.positions(), longer.pooled()), (7, law(7).as_slice()));
        assert!((longer.pooled_length(3) - three.pooled_length(3)).abs() < 1e-12);
        assert!((three.pooled_length(3) - acceptance_length(&law(3))).abs() < 1e-6, "as the counters show");
        // In longer rounds the slow ones weigh more, so that counters would show less than the law.
        assert!(longer.pooled_length(7) < acceptance_length(&law(7)) - 0.01);
        let shorter = Population::counted_in(&law(7), &law(3), 12.0, 1.0);
        assert_eq!(shorter.positions(), 3);
        assert!(shorter.pooled_length(3) > three.pooled_length(3));
        assert_eq!(Population::counted_in(&[], &law(3), 12.0, 1.0), three);
    }

    #[test]
    fn solving_the_first_rate_inverts_the_length() {
        let first = solve_first_rate(2.77, 0.074, 3).unwrap_or(f64::NAN);
        assert!((acceptance_length(&power_law(first, 0.074, 3)) - 2.77).abs() < 1e-9);
        assert_eq!(solve_first_rate(4.2, 0.0, 3), None);
        assert_eq!(solve_first_rate(1.0, 0.0, 3), None);
    }

    /// Engine counters by brute force: simulate rounds of many requests of equal length.
    fn counters(population: &Population, k: usize, tokens: u64) -> (Vec<f64>, f64) {
        let mut reached = vec![0_u64; k + 1];
        let mut emitted = 0_u64;
        for request in 0..4_000_u64 {
            let mut survival = vec![0.0; k];
            population.draw_survival(7, &[request], &mut survival);
            let mut stream = Stream::new(7, Purpose::AcceptDraft, &[request]);
            let mut remaining = tokens;
            while remaining > 0 {
                let u = stream.uniform();
                let accepted = survival.iter().filter(|&&s| u < s).count();
                (0..=accepted).for_each(|j| reached[j] += 1);
                emitted += accepted as u64 + 1;
                remaining = remaining.saturating_sub(accepted as u64 + 1);
            }
        }
        let rates = reached.windows(2).map(|w| w[1] as f64 / w[0] as f64).collect();
        (rates, emitted as f64 / reached[0] as f64)
    }

    #[test]
    fn pooled_counters_come_out_of_the_solved_population() {
        let pooled = power_law(0.776, 0.074, 5);
        let population = Population::solve(&pooled, 12.0);
        assert!(population.residual() < 1e-8, "{}", population.residual());
        let (rates, length) = counters(&population, 5, 400);
        for (rate, asked) in rates.iter().zip(&pooled) {
            assert!((rate - asked).abs() < 0.006, "{rates:?} {pooled:?}");
        }
        assert!((length / acceptance_length(&pooled) - 1.0).abs() < 0.006, "{length}");
        assert!((population.pooled_length(5) / acceptance_length(&pooled) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn rounds_without_a_proposal_emit_one_token_and_are_not_counted() {
        // Counters of the rounds that had one: P(S_1) = h a_0 over all rounds, later rates as they are.
        let pooled = [0.6, 0.7, 0.8];
        let population = Population::solve_proposing(&pooled, 12.0, 0.25);
        let (rates, length) = counters(&population, 3, 400);
        assert!((rates[0] / 0.25 - 0.6).abs() < 0.02 && (rates[1] - 0.7).abs() < 0.02, "{rates:?}");
        let over_all = 1.0 + 0.25 * (acceptance_length(&pooled) - 1.0);
        assert!((length / over_all - 1.0).abs() < 0.01, "{length} {over_all}");
        assert!((population.pooled_length(3) / over_all - 1.0).abs() < 1e-6);
    }

    #[test]
    fn ignoring_the_spread_would_miss() {
        // What the module opens with: rates drawn around the pooled mean give counters below it.
        let naive = Population {
            nodes: beta_nodes(0.75, 10.0, NODES),
            ratios: vec![1.0; 7],
            proposed: 1.0,
            pooled: vec![0.75; 7],
            ranks: Ranks::default(),
            residual: 0.0,
        };
        let plug_in = acceptance_length(&[0.75; 7]);
        let harmonic = naive.pooled_length(7);
        assert!((plug_in - 3.60).abs() < 0.01 && (harmonic - 3.48).abs() < 0.03, "{plug_in} {harmonic}");
    }

    #[test]
    fn alike_requests_and_useless_drafters() {
        let alike = Population::solve(&[0.8, 0.7], f64::INFINITY);
        let mut survival = [0.0; 2];
        alike.draw_survival(1, &[5], &mut survival);
        assert!((survival[1] - 0.56).abs() < 1e-12);
        let useless = Population::solve(&[0.0, 0.0, 0.0], 12.0);
        assert_eq!(useless.pooled_length(3), 1.0);
    }

    #[test]
    fn rates_near_one_stay_rates() {
        let population = Population::solve(&[0.995, 0.995, 0.995], 12.0);
        let mut survival = [0.0; 3];
        for request in 0..100 {
            population.draw_survival(3, &[request], &mut survival);
            assert!(survival.iter().all(|s| (0.0..=1.0).contains(s)));
        }
    }

    #[test]
    fn shifting_moves_every_rate_the_same_way() {
        let up = shift(&[0.7, 0.5], 0.3);
        assert!(up[0] > 0.7 && up[1] > 0.5 && up.iter().all(|a| *a < 1.0));
        assert_eq!(shift(&[0.0, 1.0], 0.3), vec![0.0, 1.0]);
    }
}
