//! How much of a draft each sample accepts, for every configuration that may be asked for.
//!
//! A row a sample: the survival S_1 … S_K of its chain, of which a shorter chain is a prefix, then that of each tree. A
//! tree counts tokens like a chain whose survival sums its paths. Its topology is laid out for the pooled rates, its
//! chances follow the sample's own. Survival is kept as thresholds for numbers of 32 random bits.

use super::Job;
use crate::speculation::acceptance::{Curve, Population};
use crate::speculation::schedule::Schedule;
use crate::speculation::{Arm, Configuration};

/// Thresholds by sample and configuration.
#[derive(Debug)]
pub(super) struct Lanes {
    /// Positions of the chains.
    chain: usize,
    /// Trees with their place in a row and their depth.
    trees: Vec<(Configuration, usize, usize)>,
    /// Entries of a row.
    width: usize,
    thresholds: Vec<u32>,
    /// The trees' paths, and room for one sample's survival.
    arms: Vec<Arm>,
    survival: Vec<f64>,
}

impl Lanes {
    pub(super) fn new(job: &Job<'_>, schedule: &dyn Schedule) -> Self {
        let chain = schedule.max_draft_tokens() as usize;
        let curve = job
            .acceptance
            .and_then(|population| Curve::new(population.pooled().to_vec(), population.ranks().clone()).ok());
        let arms: Vec<Arm> = curve
            .iter()
            .flat_map(|curve| schedule.trees().into_iter().map(move |tree| Arm::new(tree, curve)))
            .collect();
        let mut lanes = Lanes {
            chain,
            trees: Vec::new(),
            width: chain,
            thresholds: Vec::new(),
            arms: Vec::new(),
            survival: Vec::new(),
        };
        for arm in &arms {
            lanes.trees.push((arm.configuration(), lanes.width, arm.depth()));
            lanes.width += arm.depth();
        }
        lanes.arms = arms;
        for (id, _) in job.samples {
            let entity = [job.path[0], job.path[1], u64::from(*id)];
            lanes.push(job.acceptance, job.seed, &entity);
        }
        lanes
    }

    /// Adds the row of a sample, named by draw, RL step and sample.
    pub(super) fn push(&mut self, population: Option<&Population>, seed: u64, entity: &[u64; 3]) {
        let start = self.thresholds.len();
        self.thresholds.resize(start + self.width, 0);
        let Some(population) = population.filter(|_| self.width > 0) else { return };
        let row = &mut self.thresholds[start..];
        // A number of 32 random bits is below this with probability s, to within 2^-32.
        let threshold = |s: &f64| (s * f64::from(u32::MAX)) as u32;
        self.survival.resize(self.chain, 0.0);
        population.draw_survival(seed, entity, &mut self.survival);
        for (slot, s) in row.iter_mut().zip(&self.survival) {
            *slot = threshold(s);
        }
        if self.arms.is_empty() {
            return;
        }
        population.draw_rates(seed, entity, &mut self.survival);
        for (arm, (_, offset, depth)) in self.arms.iter().zip(&self.trees) {
            let survival = arm.survival(&self.survival, population.ranks());
            for (slot, s) in row[*offset..offset + depth].iter_mut().zip(&survival) {
                *slot = threshold(s);
            }
        }
    }

    /// The configuration, cut to what was announced.
    pub(super) fn within(&self, configuration: Configuration) -> Configuration {
        match configuration {
            Configuration::Tree { .. } if self.trees.iter().any(|(tree, ..)| *tree == configuration) => {
                configuration
            }
            Configuration::Tree { .. } => Configuration::Off,
            chain => Configuration::chain(chain.draft_tokens().min(self.chain as u32)),
        }
    }

    /// Where a configuration's thresholds lie in a row, and how many there are.
    pub(super) fn lane(&self, configuration: Configuration) -> (usize, usize) {
        match configuration {
            Configuration::Tree { .. } => {
                let found = self.trees.iter().find(|(tree, ..)| *tree == configuration);
                found.map_or((0, 0), |(_, offset, depth)| (*offset, *depth))
            }
            chain => (0, chain.draft_tokens() as usize),
        }
    }

    /// Entries of a row.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// All rows.
    pub(super) fn thresholds(&self) -> &[u32] {
        &self.thresholds
    }

    /// The thresholds of a sample under a configuration.
    pub(super) fn of(&self, index: u32, configuration: Configuration) -> &[u32] {
        let (offset, depth) = self.lane(configuration);
        let row = index as usize * self.width + offset;
        &self.thresholds[row..row + depth]
    }
}
