//! Where drafting pays: a speculative step against a plain one, batch by batch.
//!
//! With cost ratio c = T_speculative / T_decode at one batch, drafting emits tokens faster exactly when the
//! acceptance length exceeds c. Steps are nominal and at the mean context of a sequence that decodes.

use super::compare::Side;
use super::detail;
use crate::math::polyline;
use crate::piece::Shape;
use crate::resolved::ScheduleInput;
use crate::result::BreakEven;
use crate::workload::running_context;

/// One row a batch, doubling up to the largest that a replica sees; empty where nothing is drafted.
pub(super) fn table(baseline: &Side<'_>, forecast: &Side<'_>) -> Vec<BreakEven> {
    let resolved = &forecast.prepared.resolved;
    let Some(speculation) = &resolved.speculation else { return Vec::new() };
    let ScheduleInput::Fixed { k } = speculation.schedule else { return Vec::new() };
    if k == 0 {
        return Vec::new();
    }
    let steps: Vec<_> = forecast.counted().collect();
    let counted = forecast.first_counted() as u64..u64::from(resolved.rl_steps);
    let scales =
        counted.clone().map(|step| polyline(&resolved.workload.response_drift, step as f64).unwrap_or(1.0));
    let scale = scales.sum::<f64>() / counted.count().max(1) as f64;
    let context = running_context(&resolved.workload, scale);
    let (length, _) = detail::acceptance(steps.iter().flat_map(|s| &s.replicas));
    doubling(resolved.most_sequences())
        .map(|batch| {
            let total = context * f64::from(batch);
            let seconds = |side: &Side<'_>, draft_tokens| {
                let shape = Shape { decoding: batch, draft_tokens, ..Shape::default() };
                side.prepared.engine.piece(&shape, total).seconds(total)
            };
            let (decode_s, speculative_s) = (seconds(baseline, 0), seconds(forecast, k));
            BreakEven {
                batch,
                context,
                decode_s,
                speculative_s,
                acceptance_length: speculative_s / decode_s,
                speedup: length * decode_s / speculative_s,
            }
        })
        .collect()
}

/// 1, 2, 4, … and the largest itself.
pub(super) fn doubling(largest: u32) -> impl Iterator<Item = u32> {
    let powers = (0..31).map(|e| 1_u32 << e).take_while(move |b| *b < largest);
    powers.chain(std::iter::once(largest.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_double_and_end_at_the_largest() {
        assert_eq!(doubling(1).collect::<Vec<_>>(), [1]);
        assert_eq!(doubling(4).collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!(doubling(50).collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 50]);
    }
}
