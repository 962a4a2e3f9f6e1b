//! The power law a_j = first · (1 + j)^-decay fitted to counters.
//!
//! Accepted tokens at position j are binomial in its trials with log a_j = log first - decay · log(1 + j): a binomial
//! regression with log link, whose likelihood is concave, by Newton steps that are halved where they leave the
//! likelihood's domain. Positions weigh as their trials do. One position, or one length, does not tell the decay, so a
//! normal prior on it is part of the fit (published curves: .04 to .08 in domain, .1 and more elsewhere). Leaves out:
//! single multi-token-prediction heads and block drafters, whose rates follow no power law: use their counters.

/// A fitted power law.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerLawFit {
    /// Rate of the first position.
    pub first: f64,
    /// Decay.
    pub decay: f64,
    /// Standard error of log `first`.
    pub se_log_first: f64,
    /// Standard error of `decay`.
    pub se_decay: f64,
}

/// Largest log-rate: a rate of one has no finite likelihood once a token is rejected.
const CEILING: f64 = -1e-4;
const STEPS: usize = 40;

/// Fits trials and acceptances by position, with a normal prior (mean, standard error) on the decay. `None` without
/// any trial. Allocates nothing.
pub fn fit_power_law(
    positions: &(impl Iterator<Item = (f64, f64)> + Clone),
    prior: (f64, f64),
) -> Option<PowerLawFit> {
    let (trials, hits) = positions.clone().fold((0.0, 0.0), |(n, y), (t, a)| (n + t, y + a));
    if trials <= 0.0 {
        return None;
    }
    let precision = 1.0 / (prior.1 * prior.1);
    let rows = || positions.clone().enumerate().filter(|(_, (n, _))| *n > 0.0);
    let log_rate = |b: f64, g: f64, j: usize| b - g * libm::log1p(j as f64);
    let likelihood = |b: f64, g: f64| {
        let mut sum = -0.5 * precision * (g - prior.0) * (g - prior.0);
        for (j, (n, y)) in rows() {
            let eta = log_rate(b, g, j);
            if eta > CEILING {
                return f64::NEG_INFINITY;
            }
            sum += y * eta + (n - y) * libm::log1p(-libm::exp(eta));
        }
        sum
    };
    let (mut b, mut g) = (libm::log((hits / trials).clamp(1e-6, 0.95)), 0.0);
    let mut value = likelihood(b, g);
    let mut information = [0.0; 3];
    for _ in 0..STEPS {
        let mut score = [0.0, -precision * (g - prior.0)];
        information = [0.0, 0.0, precision];
        for (j, (n, y)) in rows() {
            let (x, rate) = (-libm::log1p(j as f64), libm::exp(log_rate(b, g, j)));
            let residual = (y - n * rate) / (1.0 - rate);
            let weight = n * rate / (1.0 - rate);
            score[0] += residual;
            score[1] += residual * x;
            information[0] += weight;
            information[1] += weight * x;
            information[2] += weight * x * x;
        }
        let determinant = information[0] * information[2] - information[1] * information[1];
        if determinant <= 0.0 {
            break;
        }
        let step = [
            (information[2] * score[0] - information[1] * score[1]) / determinant,
            (information[0] * score[1] - information[1] * score[0]) / determinant,
        ];
        let mut scale = 1.0;
        let mut moved = false;
        for _ in 0..30 {
            let next = likelihood(b + scale * step[0], g + scale * step[1]);
            if next >= value {
                (b, g, value) = (b + scale * step[0], g + scale * step[1], next);
                moved = true;
                break;
            }
            scale *= 0.5;
        }
        if !moved || (scale * step[0]).abs() + (scale * step[1]).abs() < 1e-10 {
            break;
        }
    }
    let determinant = information[0] * information[2] - information[1] * information[1];
    let variance =
        |entry: f64| if determinant > 0.0 { libm::sqrt(entry / determinant) } else { f64::INFINITY };
    Some(PowerLawFit {
        first: libm::exp(b),
        decay: g,
        se_log_first: variance(information[2]),
        se_decay: variance(information[0]),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Counters, acceptance_length, power_law};
    use super::*;
    use crate::rng::{Purpose, Stream};

    fn fit(trials: &[f64], accepted: &[f64]) -> PowerLawFit {
        fit_power_law(&trials.iter().copied().zip(accepted.iter().copied()), (0.08, 10.0))
            .unwrap_or_else(|| panic!("no trials"))
    }

    #[test]
    fn published_curves_come_back() {
        // EAGLE-3 on Qwen3-8B (arXiv 2604.26412, table 5) and figure 1b: least-squares fits are (.635, .157), (.741, .113).
        for (rates, first, decay) in [
            ([0.638, 0.566, 0.533, 0.511, 0.495, 0.481, 0.469], 0.635, 0.157),
            ([0.741, 0.686, 0.654, 0.634, 0.619, 0.607, 0.594], 0.741, 0.113),
        ] {
            let mut trials = [0.0; 7];
            let mut n = 1e5;
            for (j, rate) in rates.iter().enumerate() {
                trials[j] = n;
                n *= rate;
            }
            let accepted: Vec<f64> = trials.iter().zip(rates).map(|(n, a)| n * a).collect();
            let law = fit(&trials, &accepted);
            assert!((law.first - first).abs() < 0.005 && (law.decay - decay).abs() < 0.012, "{law:?}");
        }
    }

    #[test]
    fn counters_to_fit_to_counters() {
        // Rounds at known rates, counted and fitted; counters simulated from the fit say the same length.
        let truth = power_law(0.776, 0.074, 7);
        let count = |rates: &[f64], seed: u64| {
            let mut counters = Counters::new(7);
            let mut stream = Stream::new(seed, Purpose::AcceptDraft, &[]);
            let mut histogram = [0_u64; 8];
            for _ in 0..200_000 {
                histogram[rates.iter().take_while(|a| stream.uniform() < **a).count()] += 1;
            }
            counters.record(&histogram);
            counters
        };
        let counters = count(&truth, 1);
        let law = fit(counters.trials(), counters.accepted());
        assert!((libm::log(law.first / 0.776) / law.se_log_first).abs() < 4.0, "{law:?}");
        assert!(((law.decay - 0.074) / law.se_decay).abs() < 4.0, "{law:?}");
        let again = count(&power_law(law.first, law.decay, 7), 2);
        let length =
            |c: &Counters| acceptance_length(&(0..7).map(|j| c.interval(j, 1.0).rate).collect::<Vec<f64>>());
        assert!((length(&counters) - length(&again)).abs() < 0.03);
    }

    #[test]
    fn standard_errors_are_those_of_repeated_samples() {
        let truth = power_law(0.7, 0.1, 5);
        let fits: Vec<PowerLawFit> = (0..300)
            .map(|seed| {
                let mut counters = Counters::new(5);
                let mut stream = Stream::new(seed, Purpose::AcceptDraft, &[9]);
                let mut histogram = [0_u64; 6];
                for _ in 0..2_000 {
                    histogram[truth.iter().take_while(|a| stream.uniform() < **a).count()] += 1;
                }
                counters.record(&histogram);
                fit(counters.trials(), counters.accepted())
            })
            .collect();
        let mean = fits.iter().map(|f| f.decay).sum::<f64>() / 300.0;
        let sd = (fits.iter().map(|f| (f.decay - mean).powi(2)).sum::<f64>() / 299.0).sqrt();
        assert!((sd / fits[0].se_decay - 1.0).abs() < 0.15, "{sd} {}", fits[0].se_decay);
        assert!((mean - 0.1).abs() < 4.0 * sd / 300_f64.sqrt(), "{mean}");
    }

    #[test]
    fn one_position_takes_the_decay_from_the_prior() {
        let law = fit_power_law(&[(1000.0, 700.0)].into_iter(), (0.06, 0.02)).unwrap_or_else(|| panic!());
        assert!((law.first - 0.7).abs() < 1e-6 && (law.decay - 0.06).abs() < 1e-9);
        assert!((law.se_decay - 0.02).abs() < 1e-9);
        assert_eq!(fit_power_law(&[(0.0, 0.0)].into_iter(), (0.06, 0.02)), None);
    }

    #[test]
    fn certain_acceptance_stays_finite() {
        let law = fit(&[100.0, 100.0], &[100.0, 100.0]);
        assert!(law.first < 1.0 && law.first > 0.9 && law.decay.is_finite(), "{law:?}");
        let none = fit(&[100.0, 0.0], &[0.0, 0.0]);
        assert!(none.first < 1e-3, "{none:?}");
    }
}
