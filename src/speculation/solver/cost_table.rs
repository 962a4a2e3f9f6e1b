//! Seconds of a step by arm, batch and context, laid out so that a look-up takes some nanoseconds.
//!
//! Every batch has its own row: captured graph sizes make cliffs that interpolation would wash out. In context a row is
//! the chain of pieces that the cost has there; beyond the last one that goes on. Building asks for
//! arms · batches · pieces costs, once.

use crate::speculation::{Configuration, StepCost};

/// Pieces of one row, at most.
const MOST_PIECES: usize = 32;

/// One piece of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Segment {
    /// Total context at which the next one starts.
    end: f64,
    fixed: f64,
    slope: f64,
}

/// Step costs of some configurations.
#[derive(Debug, Clone, PartialEq)]
pub struct CostTable {
    most_batch: u32,
    /// Where each row starts in `segments`, by arm and batch, with one end at the last.
    rows: Vec<u32>,
    segments: Vec<Segment>,
}

impl CostTable {
    /// Prices steps of each configuration at batches 1 to `most_batch` and total contexts up to `most_context`. With
    /// `asleep` plain steps leave the drafter alone.
    pub fn build(
        cost: &impl StepCost,
        configurations: &[Configuration],
        most_batch: u32,
        most_context: f64,
        asleep: bool,
    ) -> Self {
        let most_batch = most_batch.max(1);
        let mut table = CostTable { most_batch, rows: vec![0], segments: Vec::new() };
        for configuration in configurations {
            for batch in 1..=most_batch {
                let mut shape = configuration.shape(batch);
                shape.drafter_asleep = asleep && *configuration == Configuration::Off;
                let mut context = 0.0;
                for _ in 0..MOST_PIECES {
                    let piece = cost.piece(&shape, context);
                    let slope: f64 = piece.per_context_token.iter().sum();
                    table.segments.push(Segment {
                        end: piece.context.end,
                        fixed: piece.fixed.iter().sum(),
                        slope,
                    });
                    if !(piece.context.end > context && piece.context.end < most_context) {
                        break;
                    }
                    context = piece.context.end;
                }
                table.rows.push(table.segments.len() as u32);
            }
        }
        table
    }

    /// Seconds of a step; a batch beyond the table is taken as its largest, scaled by the batch.
    #[inline]
    pub fn seconds(&self, arm: usize, batch: u32, context: f64) -> f64 {
        let within = batch.clamp(1, self.most_batch);
        if batch > self.most_batch {
            let scale = f64::from(batch) / f64::from(within);
            return scale * self.seconds(arm, within, context / scale);
        }
        let row = arm * self.most_batch as usize + (within - 1) as usize;
        let segments = &self.segments[self.rows[row] as usize..self.rows[row + 1] as usize];
        let mut last = segments[0];
        for segment in segments {
            last = *segment;
            if context < segment.end {
                break;
            }
        }
        last.fixed + context * last.slope
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Cliff, Linear};
    use super::*;

    #[test]
    fn the_table_says_what_the_pieces_say() {
        let configurations = [Configuration::Off, Configuration::chain(3)];
        let table = CostTable::build(&Cliff, &configurations, 40, 1e6, false);
        for (arm, configuration) in configurations.iter().enumerate() {
            for batch in [1, 7, 16, 17, 40] {
                for context in [0.0, 999.0, 5e4, 9.9e5, 3e6] {
                    let seconds = Cliff.piece(&configuration.shape(batch), context).seconds(context);
                    let got = table.seconds(arm, batch, context);
                    assert!((got / seconds - 1.0).abs() < 1e-12, "{configuration} {batch} {context}");
                }
            }
        }
    }

    #[test]
    fn beyond_the_table_time_goes_with_the_batch() {
        let table = CostTable::build(&Linear::default(), &[Configuration::Off], 8, 1e6, false);
        assert!((table.seconds(0, 16, 2e4) / table.seconds(0, 8, 1e4) - 2.0).abs() < 1e-12);
    }
}
