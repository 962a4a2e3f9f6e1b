//! `rollcast catalog`: what is known by name.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use comfy_table::Cell;

use super::error::CliError;
use super::screen::{table, wrap_last};
use super::{Format, OutputOptions};
use crate::catalog::{self, Listing};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only one kind.
    #[arg(value_enum)]
    kind: Option<Kind>,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Models,
    Drafters,
    Devices,
    Networks,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let listing = catalog::list();
    match arguments.output.format {
        Format::Json => match arguments.kind {
            None => super::print_json(&listing)?,
            Some(Kind::Models) => super::print_json(&listing.models)?,
            Some(Kind::Drafters) => super::print_json(&listing.drafters)?,
            Some(Kind::Devices) => super::print_json(&listing.devices)?,
            Some(Kind::Networks) => super::print_json(&listing.networks)?,
        },
        Format::Table => {
            let kinds = [Kind::Models, Kind::Drafters, Kind::Devices, Kind::Networks];
            let shown = kinds.into_iter().filter(|kind| arguments.kind.is_none_or(|asked| asked == *kind));
            let tables: Vec<String> = shown.map(|kind| of_kind(&listing, kind)).collect();
            super::print(&tables.join("\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn of_kind(listing: &Listing, kind: Kind) -> String {
    match kind {
        Kind::Models => {
            let rows = listing.models.iter().map(|m| {
                vec![
                    m.id.clone(),
                    format!("{:.2}", m.params_billions),
                    format!("{:.2}", m.params_per_token_billions),
                    m.layers.to_string(),
                    format!("{:.0}", m.kv_bytes_per_token / 1024.0),
                    m.max_positions.to_string(),
                    m.drafters.join(", "),
                ]
            });
            let header = ["id", "weights, 1e9", "a token", "layers", "KV KiB/token", "context", "drafters"];
            let models = titled("models (a token: the weights that one token takes)", &header, rows);
            let refused = listing.refused.iter().map(|row| vec![row.id.clone(), row.why.clone()]);
            format!("{models}\n{}", titled("known by name and not modelled", &["id", "why"], refused))
        }
        Kind::Drafters => {
            let rows = listing.drafters.iter().map(|d| {
                vec![
                    d.id.clone(),
                    format!("{:?}", d.kind).to_lowercase(),
                    format!("{:.0}", d.params_per_pass_millions),
                    d.draft_vocab.to_string(),
                    if d.targets.is_empty() { "any".to_owned() } else { d.targets.join(", ") },
                ]
            });
            titled("drafters", &["id", "kind", "weights a pass, 1e6", "vocabulary", "for"], rows)
        }
        Kind::Devices => {
            let rows = listing.devices.iter().map(|d| {
                vec![
                    d.id.clone(),
                    format!("{:.0}", d.bf16_tflops),
                    format!("{:.0}", d.memory_gb_per_s),
                    format!("{:.1}", d.memory_gib),
                    d.gpus_per_node.to_string(),
                    d.usd_per_gpu_hour.map_or_else(|| "-".to_owned(), |usd| format!("{usd:.2}")),
                ]
            });
            titled("devices", &["id", "bf16 TFLOP/s", "GB/s", "GiB", "a node", "USD/h"], rows)
        }
        Kind::Networks => {
            let rows = listing.networks.iter().map(|n| {
                // On two nodes; what decode steps send is 64 KB to 4 MB.
                let measured = n.all_reduce.as_ref().map_or_else(
                    || "by formula".to_owned(),
                    |measured| {
                        let us = |bytes: f64| crate::math::log_log(&measured.bytes, &measured.us, bytes);
                        format!("{:.0}, {:.0}", us(65_536.0), us(1_048_576.0))
                    },
                );
                vec![
                    n.id.clone(),
                    format!("{:.1}", n.gb_per_s_per_gpu),
                    format!("{:.0}", n.latency_us),
                    format!("{:.0} %", 100.0 * n.spread),
                    measured,
                ]
            });
            let header = ["id", "GB/s per GPU", "latency, us", "sigma", "all-reduce of 64 KiB, 1 MiB, us"];
            titled("networks", &header, rows)
        }
    }
}

fn titled(title: &str, header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = table(header);
    for row in rows {
        table.add_row(row.into_iter().map(Cell::new));
    }
    wrap_last(&mut table);
    format!("{title}\n{}\n", table.trim_fmt())
}
