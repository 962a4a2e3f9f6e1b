//! Devices, nodes, network and price.

use super::ResolveError;
use super::book::Book;
use crate::catalog;
use crate::resolved::{Cluster, Source};
use crate::scenario::raw;

pub(super) fn resolve(book: &mut Book<'_>, given: Option<&raw::Cluster>) -> Result<Cluster, ResolveError> {
    let given = book.required("cluster", given)?;
    let name = book.required("cluster.device", given.device.as_ref())?;
    let device = catalog::device(name).map_err(|e| book.lookup("cluster.device", &e))?;
    let gpus = book.required("cluster.gpus", given.gpus.as_ref())?.get() as u32;
    let gpus_per_node = book.or_from(
        "cluster.gpus_per_node",
        given.gpus_per_node.map(|n| n.get() as u32),
        device.gpus_per_node,
        Source::Catalog,
        "of the device's usual server",
    );
    if gpus > gpus_per_node && !gpus.is_multiple_of(gpus_per_node) {
        let message = format!("{gpus} GPUs do not fill nodes of {gpus_per_node}");
        let hint = format!("a multiple of {gpus_per_node}, or set cluster.gpus_per_node");
        return Err(book.error("cluster.gpus", message, Some(hint)));
    }
    let usual = if device.nvlink_domain > 8 { "nvl72" } else { "ib-ndr400" };
    let network = book.or("cluster.network", given.network.clone(), usual.to_owned(), "usual for the device");
    let network = catalog::network(&network).map_err(|e| book.lookup("cluster.network", &e))?;
    let list_price = device.usd_per_gpu_hour.unwrap_or(0.0);
    let why = match &device.price_source {
        Some(source) => format!("list price: {source}"),
        None => "no public list price is known: cost is shown as zero".to_owned(),
    };
    let given_price = given.usd_per_gpu_hour.map(raw::NonNegative::get);
    let usd_per_gpu_hour =
        book.or_from("cluster.usd_per_gpu_hour", given_price, list_price, Source::Catalog, &why);
    Ok(Cluster { device, network, gpus, gpus_per_node, usd_per_gpu_hour })
}
