//! `rollcast fit`: a device's profile from measured tables, with its held-out errors.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::error::CliError;
use super::screen;
use crate::cost::fit::{self, Carry};
use crate::measured;
use crate::yaml;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Measured tables of one device: this program's format, or public files such as h100_gemm.csv.
    #[arg(required_unless_present = "transfer", value_name = "TABLE")]
    tables: Vec<PathBuf>,
    /// Where the profile is written; without it only the errors are printed.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Hand-written constants that no table gives.
    #[arg(long, value_name = "FILE")]
    carry: Option<PathBuf>,
    /// Take another device's profile with the effective bandwidth swapped, and score it on the tables, if any.
    #[arg(long, value_name = "FROM:TO", conflicts_with = "carry")]
    transfer: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let mut tables = Vec::new();
    for path in &arguments.tables {
        tables.extend(measured::read(path)?);
    }
    let carry = arguments.carry.as_ref().map(carry).transpose()?;
    let fitted = match arguments.transfer.as_deref().map(|pair| pair.split_once(':')) {
        None => fit::fit(tables, carry.as_ref())?,
        Some(Some((from, to))) => fit::transfer(from, to, tables)?,
        Some(None) => {
            let message = "--transfer takes two devices, such as h200-sxm:h100-sxm".to_owned();
            return Err(CliError::Usage { message });
        }
    };
    if let Some(path) = &arguments.output {
        fs::write(path, fitted.yaml()).map_err(|source| CliError::Write { path: path.clone(), source })?;
    }
    super::print(&screen::fit(&fitted))?;
    Ok(ExitCode::SUCCESS)
}

fn carry(path: &PathBuf) -> Result<Carry, CliError> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|error| CliError::Usage { message: format!("{name}: cannot be read: {error}") })?;
    let node = yaml::parse(&name, &text).and_then(|node| yaml::from_node(&node));
    node.map_err(|error| CliError::Usage { message: error.to_string() })
}
