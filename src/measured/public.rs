//! Public tables without a header: which they are follows from the file's name, `h100_gemm.csv` and the like, and
//! their columns.
//!
//! Source of all but the elementwise one: NVIDIA aiconfigurator 095f58a (Apache-2.0); CUDA-graph replays of the
//! same buffers, so that small weights and caches stay in the L2; means of 6 to 20 replays at burst clocks, but
//! for the power-metered table. Elementwise: Microsoft Vidur 7d47513 (MIT). The bytes of its kernels follow from
//! what each reads and writes.

use std::collections::BTreeMap;

use super::read::Columns;
use super::{Clocks, Header, L2, MeasuredError, Op, Row, Table, Timing, VERSION};

/// Reads a public file; an error where it is none that is known.
pub(super) fn read(name: &str, text: &str) -> Result<Vec<Table>, MeasuredError> {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let known = file.strip_suffix(".csv").and_then(|stem| stem.split_once('_'));
    let (device, what) = match known {
        Some(("h100", what)) => ("h100-sxm", what),
        Some(("h200", what)) => ("h200-sxm", what),
        _ => ("", ""),
    };
    let source = Source { name, text, device };
    match what {
        "gemm" => source.plain(Op::Gemm, "vLLM 0.24.0, fp8_block SGLang 0.5.14", Clocks::Burst),
        "gemm_sustained_power" => source.plain(Op::Gemm, "vLLM 0.22.0", Clocks::Sustained),
        "attn_decode" => source.plain(Op::AttentionDecode, "vLLM 0.24.0", Clocks::Burst),
        "attn_prefill" => source.plain(Op::AttentionPrefill, "vLLM 0.24.0", Clocks::Burst),
        "moe" => source.plain(Op::Moe, "vLLM 0.24.0", Clocks::Burst),
        "comm" => source.collectives(),
        "deepep_ll_1node" => source.all_to_all(),
        "elementwise_vidur" => source.elementwise(),
        _ => Err(MeasuredError::Line {
            file: name.to_owned(),
            line: 1,
            message: "no header and no public table that is known by its name (h100_ or h200_ and gemm, \
                      gemm_sustained_power, attn_decode, attn_prefill, moe, comm, deepep_ll_1node or \
                      elementwise_vidur, .csv): expected a line `---` and a header"
                .to_owned(),
        }),
    }
}

struct Source<'a> {
    name: &'a str,
    text: &'a str,
    device: &'static str,
}

impl Source<'_> {
    fn header(&self, op: Op, kernels: &str, clocks: Clocks) -> Header {
        Header {
            rollcast_measured: VERSION,
            device: self.device.to_owned(),
            driver: None,
            versions: BTreeMap::new(),
            provider: format!("aiconfigurator 095f58a ({kernels})"),
            l2: L2::Mixed,
            clocks,
            op,
            axes: op.axes().iter().map(|(a, u)| ((*a).to_owned(), (*u).to_owned())).collect(),
        }
    }

    fn table(&self, header: Header, rows: Vec<Row>) -> Table {
        Table { name: self.name.to_owned(), header, rows }
    }

    fn columns(&self) -> Result<Columns<'_>, MeasuredError> {
        Columns::new(self.name, self.text, 0)
    }

    /// A table whose columns are those of the operation, by this file's names.
    fn plain(&self, op: Op, kernels: &str, clocks: Clocks) -> Result<Vec<Table>, MeasuredError> {
        let mut columns = self.columns()?;
        let labels = columns.all(op.labels())?;
        let mut axes = Vec::new();
        for (axis, _) in op.axes() {
            axes.push(match (op, *axis) {
                // One query a sequence in all rows.
                (Op::AttentionDecode, "queries") => None,
                (Op::AttentionDecode, "context") => Some(columns.required("kv_len")?),
                (Op::AttentionPrefill, "tokens") => Some(columns.required("q_len")?),
                _ => Some(columns.required(axis)?),
            });
        }
        let latency = columns.required("latency_us")?;
        let flag = columns.has("flag").then(|| columns.required("flag")).transpose()?;
        let mut rows = Vec::new();
        while let Some(line) = columns.next()? {
            rows.push(Row {
                line: line as u32,
                labels: labels.iter().map(|c| columns.text(*c).to_owned()).collect(),
                axes: axes
                    .iter()
                    .map(|column| column.map_or(Ok(1.0), |c| columns.positive(c)))
                    .collect::<Result<_, _>>()?,
                timing: only(columns.positive(latency)?),
                flagged: flag.is_some_and(|c| columns.text(c) == "1"),
            });
        }
        columns.not_empty(rows.len())?;
        Ok(vec![self.table(self.header(op, kernels, clocks), rows)])
    }

    fn collectives(&self) -> Result<Vec<Table>, MeasuredError> {
        let mut columns = self.columns()?;
        let [implementation, version, op, ranks, bytes, latency] =
            ["impl", "version", "op", "ranks", "bytes", "latency_us"].map(|c| columns.required(c));
        let (implementation, version, op) = (implementation?, version?, op?);
        let (ranks, bytes, latency) = (ranks?, bytes?, latency?);
        let mut by_op: BTreeMap<Op, Vec<Row>> = BTreeMap::new();
        while let Some(line) = columns.next()? {
            let which = match columns.text(op) {
                "all_reduce" => Op::AllReduce,
                "all_gather" => Op::AllGather,
                "reduce_scatter" => Op::ReduceScatter,
                "alltoall" => Op::AllToAll,
                other => return Err(columns.wrong(format!("`op` is `{other}`, expected a collective"))),
            };
            by_op.entry(which).or_default().push(Row {
                line: line as u32,
                labels: vec![format!("{} {}", columns.text(implementation), columns.text(version))],
                axes: vec![columns.positive(ranks)?, columns.positive(bytes)?],
                timing: only(columns.positive(latency)?),
                flagged: false,
            });
        }
        columns.not_empty(by_op.len())?;
        let table = |(op, rows)| self.table(self.header(op, "by row", Clocks::Burst), rows);
        Ok(by_op.into_iter().map(table).collect())
    }

    fn all_to_all(&self) -> Result<Vec<Table>, MeasuredError> {
        let mut columns = self.columns()?;
        let axes = columns.all(&["hidden_size", "num_experts", "num_topk", "num_token"])?;
        let times = columns.all(&["dispatch_avg_t_us", "combine_avg_t_us"])?;
        let mut rows = [Vec::new(), Vec::new()];
        while let Some(line) = columns.next()? {
            for (rows, column) in rows.iter_mut().zip(&times) {
                rows.push(Row {
                    line: line as u32,
                    labels: Vec::new(),
                    axes: axes.iter().map(|c| columns.positive(*c)).collect::<Result<_, _>>()?,
                    timing: only(columns.positive(*column)?),
                    flagged: false,
                });
            }
        }
        columns.not_empty(rows[0].len())?;
        let kernels = "DeepEP low latency, SGLang 0.5.12, one node";
        let ops = [Op::Dispatch, Op::Combine].into_iter().zip(rows);
        Ok(ops.map(|(op, rows)| self.table(self.header(op, kernels, Clocks::Burst), rows)).collect())
    }

    fn elementwise(&self) -> Result<Vec<Table>, MeasuredError> {
        let mut columns = self.columns()?;
        let [op, tp, hidden, inter, heads, kv_heads, tokens, latency] =
            ["op", "tp", "hidden", "inter", "heads", "kv_heads", "tokens", "latency_us"]
                .map(|c| columns.required(c));
        let (op, tp, hidden, inter) = (op?, tp?, hidden?, inter?);
        let (heads, kv_heads, tokens, latency) = (heads?, kv_heads?, tokens?, latency?);
        let mut rows = Vec::new();
        while let Some(line) = columns.next()? {
            let number = |column| columns.positive(column);
            let split = number(tp)?;
            // bf16 in and out. Norms read twice what they write; gated activation reads two halves; rotary
            // embedding turns queries and keys in place, heads of 128 features.
            let per_token = match columns.text(op) {
                "add" => 6.0 * number(hidden)?,
                "input_layernorm" | "post_attention_layernorm" | "norm" => 4.0 * number(hidden)?,
                "mlp_act" | "act" => 6.0 * number(inter)? / split,
                "attn_rope" | "rope" => {
                    4.0 * number(hidden)? * (1.0 + number(kv_heads)? / number(heads)?) / split
                }
                _ => continue,
            };
            rows.push(Row {
                line: line as u32,
                labels: vec![columns.text(op).to_owned()],
                axes: vec![number(tokens)? * per_token],
                timing: only(number(latency)?),
                flagged: false,
            });
        }
        columns.not_empty(rows.len())?;
        let mut header = self.header(Op::Elementwise, "", Clocks::Burst);
        "Vidur 7d47513".clone_into(&mut header.provider);
        Ok(vec![self.table(header, rows)])
    }
}

/// A published mean without spread.
fn only(median: f64) -> Timing {
    Timing { median, spread: None, interval: None, samples: None }
}
