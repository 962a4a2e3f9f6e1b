//! Devices, nodes, network and price.

use super::ResolveError;
use super::book::Book;
use crate::catalog;
use crate::resolved::{Cluster, Source};
use crate::scenario::{Scenario, raw};

/// The GPUs that generate, and those that train where they are others.
pub(super) fn resolve(
    book: &mut Book<'_>,
    raw: &Scenario,
) -> Result<(Cluster, Option<Cluster>), ResolveError> {
    let Some(pools) = &raw.pools else {
        return Ok((one(book, "cluster", raw.cluster.as_ref())?, None));
    };
    let generation = one(book, "pools.generation", pools.generation.as_ref())?;
    let training = one(book, "pools.training", pools.training.as_ref())?;
    Ok((generation, Some(training)))
}

fn one(book: &mut Book<'_>, path: &str, given: Option<&raw::Cluster>) -> Result<Cluster, ResolveError> {
    let at = |key: &str| format!("{path}.{key}");
    let given = book.required(path, given)?;
    let name = book.required(&at("device"), given.device.as_ref())?;
    let device = catalog::device(name).map_err(|e| book.lookup(&at("device"), &e))?;
    let gpus = book.required(&at("gpus"), given.gpus.as_ref())?.get() as u32;
    let gpus_per_node = book.or_from(
        &at("gpus_per_node"),
        given.gpus_per_node.map(|n| n.get() as u32),
        device.gpus_per_node,
        Source::Catalog,
        "of the device's usual server",
    );
    if gpus > gpus_per_node && !gpus.is_multiple_of(gpus_per_node) {
        let message = format!("{gpus} GPUs do not fill nodes of {gpus_per_node}");
        let hint = format!("a multiple of {gpus_per_node}, or set {path}.gpus_per_node");
        return Err(book.error(&at("gpus"), message, Some(hint)));
    }
    let usual = if device.nvlink_domain > 8 { "nvl72" } else { "ib-ndr400" };
    let network = book.or(&at("network"), given.network.clone(), usual.to_owned(), "usual for the device");
    let network = catalog::network(&network).map_err(|e| book.lookup(&at("network"), &e))?;
    let list_price = device.usd_per_gpu_hour.unwrap_or(0.0);
    let why = match &device.price_source {
        Some(source) => format!("list price: {source}"),
        None => "no public list price is known: cost is shown as zero".to_owned(),
    };
    let given_price = given.usd_per_gpu_hour.map(raw::NonNegative::get);
    let usd_per_gpu_hour =
        book.or_from(&at("usd_per_gpu_hour"), given_price, list_price, Source::Catalog, &why);
    Ok(Cluster { device, network, gpus, gpus_per_node, usd_per_gpu_hour })
}
