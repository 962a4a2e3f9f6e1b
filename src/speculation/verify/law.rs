//! The exact law of what verification emits, by enumeration of every draft and every decision.
//!
//! Text i of `tokens` tokens over V has the index Σ token_t · V^(tokens - 1 - t). Work grows with V^tokens and, for
//! sampled drafts, with the orders in which children can be drawn. Flaws of a sampler are not enumerated.

use super::sampler::{Sampler, residual, without};
use crate::speculation::acceptance::{Verification, likeliest, total_variation};

/// The law of the target's own first `tokens` tokens.
pub fn target_law(sampler: &Sampler<'_>, tokens: usize) -> Vec<f64> {
    let vocabulary = sampler.target.vocabulary();
    let mut law = vec![1.0];
    let mut texts: Vec<Vec<u8>> = vec![Vec::new()];
    for _ in 0..tokens {
        let mut next = Vec::with_capacity(law.len() * vocabulary);
        let mut longer = Vec::with_capacity(law.len() * vocabulary);
        for (text, mass) in texts.iter().zip(&law) {
            for (x, p) in sampler.target.law(text).into_iter().enumerate() {
                next.push(mass * p);
                longer.push([text.as_slice(), &[x as u8]].concat());
            }
        }
        (law, texts) = (next, longer);
    }
    law
}

/// The law of the first `tokens` tokens that the sampler emits.
pub fn law(sampler: &Sampler<'_>, tokens: usize) -> Vec<f64> {
    let mut law = vec![0.0; sampler.target.vocabulary().pow(tokens as u32)];
    walk(sampler, &mut Vec::new(), 0, 1.0, tokens, &mut law);
    law
}

/// How far a sampler's first `tokens` tokens are from the target's: total variation, 0 where it is lossless.
pub fn shift(sampler: &Sampler<'_>, tokens: usize) -> f64 {
    total_variation(&law(sampler, tokens), &target_law(sampler, tokens))
}

fn walk(sampler: &Sampler<'_>, text: &mut Vec<u8>, node: usize, mass: f64, tokens: usize, law: &mut [f64]) {
    if mass <= 0.0 {
        return;
    }
    if text.len() == tokens {
        let vocabulary = sampler.target.vocabulary();
        law[text.iter().fold(0, |index, x| index * vocabulary + usize::from(*x))] += mass;
        return;
    }
    let children = sampler.children(node);
    let vocabulary = sampler.target.vocabulary();
    let mut outcome =
        Outcome { taken: vec![vec![0.0; vocabulary]; children.len()], emitted: vec![0.0; vocabulary] };
    if children.is_empty() {
        outcome.emitted = sampler.target.law(text);
    } else {
        outcome.fill(sampler, text);
    }
    let mut on = |x: usize, node: usize, chance: f64| {
        text.push(x as u8);
        walk(sampler, text, node, mass * chance, tokens, law);
        text.pop();
    };
    for (child, taken) in children.iter().zip(&outcome.taken) {
        taken.iter().enumerate().for_each(|(x, chance)| on(x, *child, *chance));
    }
    // A token in a draft's place ends the round: the next one starts at the root.
    outcome.emitted.iter().enumerate().for_each(|(x, chance)| on(x, 0, *chance));
}

/// Chances of everything that can happen at one node.
struct Outcome {
    /// By child and token.
    taken: Vec<Vec<f64>>,
    /// By token, in place of a draft.
    emitted: Vec<f64>,
}

impl Outcome {
    fn fill(&mut self, sampler: &Sampler<'_>, text: &[u8]) {
        let (p, q) = (sampler.target.law(text), sampler.drafting_law(text));
        match sampler.verification {
            Verification::Sampled { .. } => self.sampled(0, &p, &q, 1.0, sampler.lenience()),
            Verification::ExactMatch { .. } => self.matched(0, &p, &q, 1.0, &mut Vec::new()),
            Verification::ArgmaxDraft | Verification::TopK { .. } => {
                let tokens = likeliest(&q, self.taken.len());
                let mut before = 0.0;
                for (child, below) in sampler.thresholds(&p, &tokens).into_iter().enumerate() {
                    self.taken[child][tokens[child]] += below - before;
                    before = below;
                }
                let left = without(&p, &tokens);
                self.emit(&left, 1.0 - before);
            }
        }
    }

    fn sampled(&mut self, child: usize, p: &[f64], q: &[f64], mass: f64, lenience: f64) {
        if child == self.taken.len() || q.iter().sum::<f64>() < 0.5 {
            self.emit(p, mass);
            return;
        }
        let left = residual(p, q);
        for x in (0..q.len()).filter(|x| q[*x] > 0.0) {
            let accepted = (p[x] / (lenience * q[x])).min(1.0);
            self.taken[child][x] += mass * q[x] * accepted;
            let rejected = mass * q[x] * (1.0 - accepted);
            if rejected > 0.0 {
                self.sampled(child + 1, &left, &without(q, &[x]), rejected, lenience);
            }
        }
    }

    fn matched(&mut self, child: usize, p: &[f64], q: &[f64], mass: f64, drawn: &mut Vec<usize>) {
        if child == self.taken.len() || q.iter().sum::<f64>() < 0.5 {
            for x in (0..p.len()).filter(|x| !drawn.contains(x)) {
                self.emitted[x] += mass * p[x];
            }
            return;
        }
        for x in (0..q.len()).filter(|x| q[*x] > 0.0) {
            self.taken[child][x] += mass * q[x] * p[x];
            drawn.push(x);
            self.matched(child + 1, p, &without(q, &[x]), mass * q[x], drawn);
            drawn.pop();
        }
    }

    fn emit(&mut self, law: &[f64], mass: f64) {
        for (slot, chance) in self.emitted.iter_mut().zip(law) {
            *slot += mass * chance;
        }
    }
}
