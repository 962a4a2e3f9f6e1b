//! Linear attention: the forms of `cost::linear`, without residuals.
//!
//! Rows of decode are those of the gated delta rule with one query token and of Kimi's delta attention with several (both
//! vLLM's; SGLang's of the latter follow the same law and are not fitted): its state has the same size and its kernel the same traffic, and nobody published the former's.
//! The public tables replay one state, so that states of 4 to 50 MB are read from the L2, which serving never does: those
//! rows are left out. Prompts of fewer than 16 tokens are too.

use super::base::{self, Bound};
use super::memory;
use super::split::{self, Errors, Fit};
use crate::cost::Machine;
use crate::cost::linear::{self, LinearShape};
use crate::profile::{ConvolutionForm, LinearDecodeForm, LinearPrefillForm};
use crate::resolved::Rule;

/// Bytes of state below which only fixed time is seen, and above which memory is.
const SMALL: f64 = 4e6;
const LARGE: f64 = 50e6;
/// Tokens of a prompt that counts.
const FEWEST_TOKENS: f64 = 16.0;
/// Tokens that the convolution sees, in every model of the tables.
const WINDOW: f64 = 4.0;

/// What a row is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Decode,
    Prefill,
    Convolution,
    PromptConvolution,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) part: Part,
    pub(super) shape: LinearShape,
    pub(super) us: f64,
    /// Whether operands came from memory for certain.
    pub(super) cold: bool,
}

impl Row {
    /// The row of a table; `None` where its labels are none of the kernels here.
    pub(super) fn read(labels: &[String], axes: &[f64], us: f64, cold: bool) -> Option<Row> {
        let part = match (labels.first()?.as_str(), labels.get(1)?.as_str()) {
            ("rule", "decode") => Part::Decode,
            ("rule", "prefill") => Part::Prefill,
            ("convolution", "decode") => Part::Convolution,
            ("convolution", "prefill") => Part::PromptConvolution,
            _ => return None,
        };
        let &[key_heads, value_heads, dim, batch, tokens] = axes else { return None };
        let shape = LinearShape {
            rule: Rule::DeltaRule,
            batch,
            tokens,
            value_heads,
            head_bytes: 4.0 * dim * dim,
            channels: (2.0 * key_heads + value_heads) * dim,
            window: WINDOW,
        };
        Some(Row { part, shape, us, cold })
    }

    fn state(&self) -> f64 {
        self.shape.batch * self.shape.value_heads * self.shape.head_bytes
    }

    /// Whether the row shows what serving sees.
    pub(super) fn counts(&self) -> bool {
        match self.part {
            Part::Decode => self.cold || !(SMALL..LARGE).contains(&self.state()),
            Part::Prefill => self.shape.tokens >= FEWEST_TOKENS,
            Part::Convolution | Part::PromptConvolution => true,
        }
    }

    /// Bytes that surely move, for the check against the peak.
    pub(super) fn bytes(&self) -> f64 {
        match self.part {
            Part::Decode if self.state() >= LARGE => self.state() * (1.0 + self.shape.tokens),
            _ => 0.0,
        }
    }

    /// The row of a memory-bound kernel that a convolution is.
    pub(super) fn moved(&self) -> Option<memory::Row> {
        let bytes = match self.part {
            Part::Convolution => linear::window_bytes(&self.shape),
            Part::PromptConvolution => linear::prompt_bytes(&self.shape),
            Part::Decode | Part::Prefill => return None,
        };
        Some(memory::Row { bytes, us: self.us })
    }
}

/// The rows of one part.
pub(super) fn of(rows: &[Row], part: Part) -> Vec<Row> {
    rows.iter().copied().filter(|row| row.part == part).collect()
}

/// The convolution's constants from its two lines.
pub(super) fn convolution(decode: memory::Line, prefill: memory::Line) -> ConvolutionForm {
    ConvolutionForm {
        t0_us: decode.t0_us,
        memory_efficiency: decode.efficiency,
        prefill_t0_us: prefill.t0_us,
        prefill_memory_efficiency: prefill.efficiency,
    }
}

/// Decode and verify steps.
pub(super) struct Decode {
    pub(super) machine: Machine,
}

impl Fit for Decode {
    type Row = Row;
    type Form = LinearDecodeForm;

    fn fit(&self, rows: &[&Row]) -> Option<LinearDecodeForm> {
        let most = rows.iter().map(|row| row.shape.tokens).fold(1.0, f64::max);
        let form = |p: &[f64; 3]| LinearDecodeForm {
            t0_us: p[0],
            per_query_us: p[1],
            memory_efficiency: p[2],
            queries: [1.0, most],
        };
        let start = [(4.0, Bound::Positive), (0.5, Bound::Positive), (0.8, Bound::Between(0.2, 1.0))];
        let found = base::fit(start, &vec![1.0; rows.len()], |p, i| self.error(&form(p), rows[i]));
        (!rows.is_empty()).then(|| form(&found.map(base::rounded)))
    }

    fn error(&self, form: &LinearDecodeForm, row: &Row) -> f64 {
        libm::log(linear::decode_us(form, &self.machine, &row.shape) / row.us)
    }
}

/// Prompts.
pub(super) struct Prefill {
    pub(super) machine: Machine,
}

impl Fit for Prefill {
    type Row = Row;
    type Form = LinearPrefillForm;

    fn fit(&self, rows: &[&Row]) -> Option<LinearPrefillForm> {
        let form = |p: &[f64; 4]| LinearPrefillForm {
            t0_us: p[0],
            sequence_us: p[1],
            per_1000_tokens_us: p[2],
            slots: p[3],
        };
        let start = [
            (5.0, Bound::Positive),
            (8.0, Bound::Positive),
            (45.0, Bound::Positive),
            (0.9, Bound::Between(0.1, 8.0)),
        ];
        let found = base::fit(start, &vec![1.0; rows.len()], |p, i| self.error(&form(p), rows[i]));
        (!rows.is_empty()).then(|| form(&found.map(base::rounded)))
    }

    fn error(&self, form: &LinearPrefillForm, row: &Row) -> f64 {
        libm::log(linear::prefill_us(form, &self.machine, &row.shape) / row.us)
    }
}

/// Held-out errors of decode: random rows, unseen heads, batch, and query tokens.
pub(super) fn held_out_decode(family: &Decode, rows: &[Row]) -> Vec<Errors> {
    let name = "linear decode";
    vec![
        split::hold_out(family, rows, (name, "random rows"), 5, |i, _| Some(i as u64)),
        split::hold_out(family, rows, (name, "unseen heads"), 5, |_, row| {
            Some(split::key(&[row.shape.value_heads]))
        }),
        split::hold_out(family, rows, (name, "unseen batch"), 5, |_, row| {
            (row.shape.batch > 1.0 && row.shape.batch < 1024.0).then(|| split::key(&[row.shape.batch]))
        }),
        split::hold_out(family, rows, (name, "unseen query tokens"), 5, |_, row| {
            (row.shape.tokens > 1.0).then(|| split::key(&[row.shape.tokens]))
        }),
    ]
}

/// Held-out errors of prompts: random rows, unseen heads and lengths.
pub(super) fn held_out_prefill(family: &Prefill, rows: &[Row]) -> Vec<Errors> {
    let name = "linear prefill";
    vec![
        split::hold_out(family, rows, (name, "random rows"), 5, |i, _| Some(i as u64)),
        split::hold_out(family, rows, (name, "unseen heads"), 5, |_, row| {
            Some(split::key(&[row.shape.value_heads]))
        }),
        split::hold_out(family, rows, (name, "unseen length"), 5, |_, row| {
            Some(split::key(&[row.shape.tokens]))
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kernel: &str, phase: &str, [batch, tokens, heads]: [f64; 3]) -> Row {
        let labels = [kernel.to_owned(), phase.to_owned()];
        Row::read(&labels, &[16.0, heads, 128.0, batch, tokens], 1.0, false)
            .unwrap_or_else(|| panic!("{kernel} {phase}"))
    }

    #[test]
    fn constants_of_made_up_kernels_come_back() {
        let machine = Machine::of(&crate::cost::testing::h100());
        let mut rows = Vec::new();
        for batch in [1.0, 4.0, 64.0, 256.0, 1024.0] {
            for heads in [8.0, 32.0, 64.0] {
                for tokens in [1.0, 2.0, 4.0, 8.0] {
                    let mut row = row("rule", "decode", [batch, tokens, heads]);
                    row.us = 5.0 + 0.7 * (tokens - 1.0) + row.state() * (1.0 + tokens) / (0.8 * 3.35e6);
                    rows.push(row);
                }
            }
        }
        rows.retain(Row::counts);
        let form = Decode { machine }.fit(&rows.iter().collect::<Vec<_>>());
        let form = form.unwrap_or_else(|| panic!("a fit"));
        let found = [form.t0_us / 5.0, form.per_query_us / 0.7, form.memory_efficiency / 0.8];
        assert!(found.iter().all(|x| (x - 1.0).abs() < 0.02), "{form:?}");
        assert_eq!(form.queries, [1.0, 8.0]);
    }

    #[test]
    fn states_in_the_cache_and_short_prompts_do_not_count() {
        // 64 kB a value head: 32 sequences of 16 are 33 MB.
        assert!(!row("rule", "decode", [32.0, 1.0, 16.0]).counts());
        assert!(row("rule", "decode", [64.0, 1.0, 16.0]).counts());
        assert!(row("rule", "decode", [2.0, 1.0, 16.0]).counts());
        assert!(!row("rule", "prefill", [2.0, 8.0, 16.0]).counts());
        assert!(Row::read(&["norm".to_owned(), "decode".to_owned()], &[1.0; 5], 1.0, true).is_none());
    }
}
