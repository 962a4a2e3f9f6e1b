//! Loops in which time feeds back: simulated in full at a few paces, interpolated for every calibration world.
//!
//! A world makes engines slower by a factor g (its seconds of the step's operators over nominal ones) and the stages around
//! them by a factor t. Were all operators alike, the loop at (g, t) would be the loop at pace g / t with every second t times
//! as long. So each draw is simulated at a few paces that span its worlds' g / t, and a world takes t times what lies on the
//! line between its neighbours. Exact where a world's own pace was simulated and its families move together.

use rayon::prelude::*;

use crate::estimate::{FAMILIES, Family};
use crate::rl::{LoopRun, Simulation, StepPlan, StepRecord, StepWork};
use crate::rollout::Outcome;

/// Paces between the least and the largest, both included, beside the nominal one.
const PACES: usize = 4;

/// A draw whose time feeds back.
pub(super) struct Loops {
    /// The run at nominal seconds.
    pub(super) nominal: LoopRun,
    /// By rising pace.
    nodes: Vec<Node>,
    first: usize,
}

/// Means over the RL steps that count.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Node {
    pub(super) pace: f64,
    pub(super) step: f64,
    pub(super) exposed: [f64; 7],
    /// Seconds that an engine works for a trained step.
    pub(super) engine: f64,
    /// RL steps that a trained sample's weights lag.
    pub(super) lag: f64,
}

impl Node {
    fn of(run: &LoopRun, first: usize) -> Self {
        let (records, trained) = (&run.records[first..], &run.trained[first..]);
        let n = records.len().max(1) as f64;
        let mut exposed = [0.0; 7];
        for record in records {
            for (sum, seconds) in exposed.iter_mut().zip(record.exposed()) {
                *sum += seconds / n;
            }
        }
        let replicas = trained.first().map_or(1, |step| step.replicas.len()).max(1) as f64;
        let nominal: f64 = trained.iter().flat_map(|step| &step.replicas).map(Outcome::nominal).sum();
        Node {
            pace: run.pace,
            step: records.iter().map(StepRecord::period).sum::<f64>() / n,
            exposed,
            engine: run.pace * nominal / replicas / n,
            lag: records.iter().map(|record| record.lag.0).sum::<f64>() / n,
        }
    }

    fn between(&self, other: &Node, share: f64) -> Node {
        let mix = |a: f64, b: f64| a + share * (b - a);
        Node {
            pace: mix(self.pace, other.pace),
            step: mix(self.step, other.step),
            exposed: std::array::from_fn(|i| mix(self.exposed[i], other.exposed[i])),
            engine: mix(self.engine, other.engine),
            lag: mix(self.lag, other.lag),
        }
    }
}

/// How much slower a world's engines are, and its stages around them.
fn factors(steps: &[StepWork], world: &[f64; FAMILIES], doubt: f64) -> (f64, f64) {
    let sums = |world: &[f64; FAMILIES], doubt: f64| {
        steps.iter().fold((0.0, 0.0), |(engines, stages), step| {
            let StepPlan { stages: plan, replicas, .. } = step.price_beyond(world, doubt);
            let around: f64 = plan[1] + plan[3..].iter().sum::<f64>();
            (engines + replicas.iter().sum::<f64>(), stages + around)
        })
    };
    let (engines, stages) = sums(world, doubt);
    let (nominal_engines, nominal_stages) = sums(&[1.0; FAMILIES], 0.0);
    let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { 1.0 };
    (ratio(engines, nominal_engines).max(1e-6), ratio(stages, nominal_stages).max(1e-6))
}

impl Loops {
    /// Simulates a draw at paces that span these worlds. Returns the nominal work of its steps too.
    pub(super) fn simulate(
        simulation: &Simulation<'_>,
        draw: u64,
        first: usize,
        worlds: &[([f64; FAMILIES], f64)],
    ) -> (Self, Vec<StepWork>) {
        let nominal = simulation.stream(draw, 1.0);
        let first = first.min(nominal.records.len().saturating_sub(1));
        let steps = simulation.work_of(&nominal);
        let mut bare = [1.0; FAMILIES];
        bare[Family::Host as usize] = 0.0;
        bare[Family::DraftHost as usize] = 0.0;
        let counted = &steps[first..];
        let mut paces: Vec<f64> = worlds
            .iter()
            .chain([&(bare, 0.0)])
            .map(|(world, doubt)| {
                let (g, t) = factors(counted, world, *doubt);
                g / t
            })
            .collect();
        paces.sort_by(f64::total_cmp);
        if paces.len() > PACES + 1 {
            // The software-free world may lie far out: its own pace, and an even grid over the others.
            let (low, high) = (paces[1], paces[paces.len() - 1]);
            let grid = (0..PACES).map(|i| low + (high - low) * i as f64 / (PACES - 1) as f64);
            paces = std::iter::once(paces[0]).chain(grid).collect();
        }
        paces.dedup_by(|a, b| (*a - *b).abs() < 1e-9);
        paces.retain(|pace| (pace - 1.0).abs() >= 1e-9);
        let mut nodes: Vec<Node> =
            paces.par_iter().map(|pace| Node::of(&simulation.stream(draw, *pace), first)).collect();
        nodes.push(Node::of(&nominal, first));
        nodes.sort_by(|a, b| a.pace.total_cmp(&b.pace));
        (Loops { nominal, nodes, first }, steps)
    }

    /// A world's means over the RL steps that count, and its factor on stages.
    pub(super) fn at(&self, steps: &[StepWork], world: &[f64; FAMILIES], doubt: f64) -> (Node, f64) {
        let (g, t) = factors(&steps[self.first.min(steps.len())..], world, doubt);
        let pace = g / t;
        let above = self.nodes.partition_point(|node| node.pace < pace).min(self.nodes.len() - 1);
        let node = if above == 0 {
            self.nodes[0]
        } else {
            let (low, high) = (&self.nodes[above - 1], &self.nodes[above]);
            let share = (pace - low.pace) / (high.pace - low.pace);
            low.between(high, share.clamp(0.0, 1.0))
        };
        let scaled = Node {
            step: t * node.step,
            exposed: node.exposed.map(|seconds| t * seconds),
            engine: t * node.engine,
            ..node
        };
        (scaled, t)
    }

    /// Runs that were simulated in full.
    pub(super) fn paces(&self) -> usize {
        self.nodes.len()
    }
}
