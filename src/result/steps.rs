//! `steps.csv`: one row for each side, draw and RL step; nominal seconds.

use std::io::Write;

use serde::Serialize;

/// One RL step of one draw, priced at nominal costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepRow {
    /// `baseline` or `forecast`.
    pub side: &'static str,
    /// Workload draw, from 0.
    pub draw: u64,
    /// RL step, from 0.
    pub rl_step: u64,
    /// Whether the step is a warm-up, left out of the means.
    pub warmup: bool,
    /// Seconds of the whole step.
    pub step_s: f64,
    /// Data loading.
    pub data_s: f64,
    /// Weight sync and wake.
    pub prepare_s: f64,
    /// Generation.
    pub generation_s: f64,
    /// Exposed reward.
    pub reward_s: f64,
    /// Old log-probs.
    pub logprob_old_s: f64,
    /// Reference log-probs.
    pub logprob_reference_s: f64,
    /// Training.
    pub training_s: f64,
    /// Response tokens.
    pub response_tokens: u64,
    /// Samples.
    pub samples: usize,
    /// Of them, cut at the maximum.
    pub clipped: usize,
    /// Pooled acceptance length; 1 when nothing is drafted.
    pub acceptance_length: f64,
    /// Preemptions.
    pub preemptions: u64,
}

/// Writes the rows with a header.
pub fn write_steps(out: impl Write, rows: &[StepRow]) -> Result<(), csv::Error> {
    let mut writer = csv::Writer::from_writer(out);
    for row in rows {
        writer.serialize(row)?;
    }
    writer.flush()?;
    Ok(())
}
