//! Public serving runs, as a CSV table: one run a row, with its time per output token.

use serde::Deserialize;

/// One serving run at a constant batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Engine.
    pub engine: String,
    /// Its version.
    pub version: String,
    /// Catalog id of the model.
    pub model: String,
    /// Catalog id of the device.
    pub device: String,
    /// Whether the weights are fp8.
    pub fp8: bool,
    /// Prompt tokens of each request.
    pub prompt_tokens: u32,
    /// Output tokens of each request.
    pub output_tokens: u32,
    /// Requests at once.
    pub batch: u32,
    /// Tensor-parallel width.
    pub tp: u32,
    /// Milliseconds per output token.
    pub tpot_ms: f64,
}

/// What is wrong with a table of runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunsError {
    /// A row or the header cannot be read.
    #[error("{name}:{line}: {message}")]
    Row {
        /// File name.
        name: String,
        /// Line, from 1.
        line: u64,
        /// What was found and what was expected.
        message: String,
    },
    /// Nothing to fit.
    #[error("{name}: no runs")]
    Empty {
        /// File name.
        name: String,
    },
}

/// The columns that matter of aiconfigurator's `silicon_sample.csv`.
#[derive(Deserialize)]
struct Columns {
    backend: String,
    backend_version: String,
    model_path: String,
    system: String,
    precision: String,
    isl: f64,
    osl: f64,
    batch_size: f64,
    tp_size: f64,
    pp_size: f64,
    silicon_tpot_ms: f64,
}

/// Runs, and how many were left out by reason.
pub type Table = (Vec<Run>, Vec<(String, usize)>);

/// Reads a table; runs of models or devices that the program does not know by this table's names are counted, not
/// read. Returns the runs and how many were left out, by reason.
///
/// # Errors
///
/// A missing column, a cell that is no number, a number that cannot be.
pub fn read(name: &str, text: &str) -> Result<Table, RunsError> {
    let wrong = |line: u64, message: String| RunsError::Row { name: name.to_owned(), line, message };
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let (mut runs, mut left_out): Table = (Vec::new(), Vec::new());
    for record in reader.deserialize::<Columns>() {
        let row = record.map_err(|error| {
            let line = error.position().map_or(1, csv::Position::line);
            wrong(line, error.to_string())
        })?;
        let line = runs.len() as u64 + left_out.iter().map(|(_, count)| *count as u64).sum::<u64>() + 2;
        for (column, value) in [
            ("isl", row.isl),
            ("osl", row.osl),
            ("batch_size", row.batch_size),
            ("tp_size", row.tp_size),
            ("silicon_tpot_ms", row.silicon_tpot_ms),
        ] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(wrong(line, format!("{column}: found {value}, expected a number above 0")));
            }
        }
        let known = match (model(&row.model_path), device(&row.system)) {
            _ if row.pp_size != 1.0 => Err("pipeline parallelism"),
            (None, _) => Err("a model without a catalog id here"),
            (_, None) => Err("a device without a catalog id here"),
            (Some(model), Some(device)) => Ok((model, device)),
        };
        match known {
            Ok((model, device)) => runs.push(Run {
                engine: row.backend,
                version: row.backend_version,
                model: model.to_owned(),
                device: device.to_owned(),
                fp8: row.precision == "fp8",
                prompt_tokens: row.isl as u32,
                output_tokens: row.osl as u32,
                batch: row.batch_size as u32,
                tp: row.tp_size as u32,
                tpot_ms: row.silicon_tpot_ms,
            }),
            Err(reason) => match left_out.iter_mut().find(|(known, _)| known == reason) {
                Some((_, count)) => *count += 1,
                None => left_out.push((reason.to_owned(), 1)),
            },
        }
    }
    if runs.is_empty() {
        return Err(RunsError::Empty { name: name.to_owned() });
    }
    Ok((runs, left_out))
}

/// Catalog ids by the last part of a Hugging Face path.
fn model(path: &str) -> Option<&'static str> {
    match path.rsplit('/').next()? {
        "Qwen3-32B" | "Qwen3-32B-FP8" => Some("qwen3-32b"),
        "Qwen3-8B" => Some("qwen3-8b"),
        "Llama-3.1-8B-Instruct" | "Llama-3.1-8B-Instruct-FP8" => Some("llama-3.1-8b"),
        _ => None,
    }
}

fn device(system: &str) -> Option<&'static str> {
    match system {
        "h100_sxm" => Some("h100-sxm"),
        "h200_sxm" => Some("h200-sxm"),
        "a100_sxm" => Some("a100-sxm-80g"),
        _ => None,
    }
}

impl Run {
    /// Engine, version (two parts) and number format: what shares software constants.
    pub fn family(&self) -> String {
        let version: Vec<&str> = self.version.split('.').take(2).collect();
        let format = if self.fp8 { "fp8" } else { "bf16" };
        format!("{} {} {format}", self.engine, version.join("."))
    }

    /// Tokens that the batch holds at the end of the run.
    pub fn tokens(&self) -> u64 {
        u64::from(self.batch) * u64::from(self.prompt_tokens + self.output_tokens)
    }

    /// A scenario whose engine is this run's, kernels only.
    pub(super) fn scenario(&self) -> String {
        let format = if self.fp8 { "fp8" } else { "bf16" };
        format!(
            "version: 1\nmodel: {}\n\
             cluster: {{ device: {}, gpus: {tp}, gpus_per_node: {tp}, usd_per_gpu_hour: 1 }}\n\
             workload: {{ prompts_per_step: 1, samples_per_prompt: 1, prompt_tokens: {{ constant: {{ tokens: 16 }} }}, \
             response_tokens: {{ constant: {{ tokens: 16 }} }} }}\n\
             generation: {{ engine: vllm, overhead: none, layout: {{ tp: {tp} }}, weights: {format}, \
             num_gpu_blocks: 10000000 }}\nspeculation: off\n",
            self.model,
            self.device,
            tp = self.tp,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "backend,backend_version,model_path,system,precision,gemm_quant_mode,isl,osl,batch_size,tp_size,\
                          pp_size,silicon_ttft_ms,silicon_tpot_ms\n";

    fn table(row: &str) -> Result<Table, RunsError> {
        read("runs.csv", &format!("{HEADER}{row}\n"))
    }

    #[test]
    fn a_row_becomes_a_run() {
        let row = "vllm,0.12.0,Qwen/Qwen3-32B,h100_sxm,,,1024,512,16.0,4.0,1.0,80,12.5";
        let (runs, left_out) = table(row).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((runs[0].family().as_str(), runs[0].tokens()), ("vllm 0.12 bf16", 16 * 1536));
        assert_eq!((runs[0].batch, runs[0].tp, runs[0].tpot_ms), (16, 4, 12.5));
        assert!(left_out.is_empty());
    }

    #[test]
    fn bad_tables_name_the_line() {
        let message = |row: &str| table(row).err().map(|e| e.to_string()).unwrap_or_default();
        let negative = "vllm,0.12.0,Qwen/Qwen3-32B,h100_sxm,,,1024,512,16.0,4.0,1.0,80,-1";
        assert_eq!(message(negative), "runs.csv:2: silicon_tpot_ms: found -1, expected a number above 0");
        assert!(
            message("vllm,0.12.0,Qwen/Qwen3-32B,h100_sxm,,,many,512,16,4,1,80,12")
                .starts_with("runs.csv:2: ")
        );
        assert!(message("vllm,0.12.0").contains("runs.csv:2"));
        let unknown = "vllm,0.12.0,a/model,h100_sxm,,,1024,512,16,4,1,80,12";
        assert_eq!(message(unknown), "runs.csv: no runs");
        assert!(read("runs.csv", "backend\nvllm\n").is_err_and(|e| e.to_string().contains("missing field")));
    }
}
