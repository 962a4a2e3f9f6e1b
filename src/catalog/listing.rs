//! The whole catalog as rows to print: what there is, from where, and the figures that a reader looks for.

use serde::Serialize;

use super::entries::{DEVICES, DRAFTERS, Entry, MODELS, NETWORKS, REFUSED};
use super::models::ModelFile;
use super::{CatalogError, Kind, drafters, facts};
use crate::resolved::{BetweenNodes, Device, DrafterKind, Network, Precision};

/// Everything in the catalog.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listing {
    /// Targets.
    pub models: Vec<ModelRow>,
    /// Targets that are known by name and not modelled.
    pub refused: Vec<RefusedRow>,
    /// Drafters.
    pub drafters: Vec<DrafterRow>,
    /// GPUs.
    pub devices: Vec<DeviceRow>,
    /// Networks between nodes.
    pub networks: Vec<NetworkRow>,
}

/// A target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelRow {
    /// Catalog id.
    pub id: String,
    /// Name on Hugging Face, which is an alias too.
    pub hf_id: String,
    /// Other names that are taken for it.
    pub aliases: Vec<String>,
    /// Weights by our formulas, billions.
    pub params_billions: f64,
    /// Of them, those that one token multiplies with (the head, and the experts that it takes), billions.
    pub params_per_token_billions: f64,
    /// Weights as published, billions.
    pub published_params_billions: f64,
    /// Keys and values that one token leaves in a bf16 cache, bytes.
    pub kv_bytes_per_token: f64,
    /// Decoder layers.
    pub layers: u32,
    /// Longest sequence, tokens.
    pub max_positions: u32,
    /// Ids of the drafters that fit it.
    pub drafters: Vec<String>,
    /// Where the facts come from.
    pub source: String,
}

/// A target that is known by name and not modelled.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RefusedRow {
    /// Catalog id.
    pub id: String,
    /// Name on Hugging Face.
    pub hf_id: String,
    /// What has no formulas here, and the key that says so.
    pub why: String,
}

/// A drafter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrafterRow {
    /// Catalog id.
    pub id: String,
    /// How it drafts.
    pub kind: DrafterKind,
    /// Ids of the targets that it fits; none: any.
    pub targets: Vec<String>,
    /// Weights of its own that one draft pass reads, millions; 0 for a head that is the target's own layer.
    pub params_per_pass_millions: f64,
    /// Rows of its output head; 0 where it has none.
    pub draft_vocab: u32,
    /// Where the facts come from.
    pub source: String,
}

/// A GPU.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceRow {
    /// Catalog id.
    pub id: String,
    /// Name as its maker writes it.
    pub name: String,
    /// Dense bf16 matrix rate, TFLOP/s.
    pub bf16_tflops: f64,
    /// Memory bandwidth, GB/s.
    pub memory_gb_per_s: f64,
    /// Memory that a program can use, GiB.
    pub memory_gib: f64,
    /// GPUs in one node.
    pub gpus_per_node: u32,
    /// List price, USD per GPU and hour.
    pub usd_per_gpu_hour: Option<f64>,
    /// Where the figures come from.
    pub source: String,
}

/// A network between nodes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NetworkRow {
    /// Catalog id.
    pub id: String,
    /// One GPU's share in one direction, GB/s.
    pub gb_per_s_per_gpu: f64,
    /// Latency of a small collective, microseconds.
    pub latency_us: f64,
    /// Log-sigma of times that come from the two figures above.
    pub spread: f64,
    /// All-reduces as they were measured between nodes; none where they come by formula too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all_reduce: Option<BetweenNodes>,
    /// Where the figures come from.
    pub source: String,
}

/// What `rollcast catalog` prints: every entry, in the order of ids.
///
/// # Panics
/// Never in a build that passes its tests: the entries are embedded, and a test reads them all.
#[expect(clippy::expect_used, reason = "the input is embedded in the binary; tests/catalog.rs calls this")]
pub fn list() -> Listing {
    read().expect("the embedded catalog is valid")
}

fn read() -> Result<Listing, CatalogError> {
    let drafters = DRAFTERS.iter().map(drafters::read).collect::<Result<Vec<_>, _>>()?;
    let models = MODELS.iter().map(|entry| {
        let file = ModelFile::read(entry)?;
        let model = file.model()?;
        let Some(published) = file.published_params else {
            return Err(broken(entry, "a target without its published size"));
        };
        let fits = drafters.iter().filter(|drafter| drafters::fits(drafter, &model));
        Ok(ModelRow {
            params_billions: model.params() / 1e9,
            params_per_token_billions: model.params_per_token() / 1e9,
            published_params_billions: published.value / 1e9,
            kv_bytes_per_token: model.kv_bytes_per_token(Precision::Bf16),
            layers: model.layers,
            max_positions: model.max_positions,
            drafters: fits.map(|drafter| drafter.id.clone()).collect(),
            id: model.id,
            hf_id: file.hf_id,
            aliases: file.aliases,
            source: model.source,
        })
    });
    let devices = DEVICES.iter().map(|entry| facts::<Device>(Kind::Device, entry).map(DeviceRow::from));
    let networks = NETWORKS.iter().map(|entry| facts::<Network>(Kind::Network, entry).map(NetworkRow::from));
    Ok(Listing {
        models: models.collect::<Result<_, CatalogError>>()?,
        refused: REFUSED.iter().map(refused).collect::<Result<_, _>>()?,
        drafters: drafters
            .iter()
            .map(|drafter| DrafterRow {
                id: drafter.id.clone(),
                kind: drafter.kind,
                targets: drafter.targets.clone(),
                params_per_pass_millions: drafter.params_per_pass() / 1e6,
                draft_vocab: drafter.draft_vocab,
                source: drafter.source.clone(),
            })
            .collect(),
        devices: devices.collect::<Result<_, _>>()?,
        networks: networks.collect::<Result<_, _>>()?,
    })
}

/// Why a target is refused, in the reader's own words.
fn refused(entry: &Entry) -> Result<RefusedRow, CatalogError> {
    let file = ModelFile::read(entry)?;
    match file.model() {
        Err(CatalogError::Unsupported { feature, because, .. }) => {
            Ok(RefusedRow { id: file.id, hf_id: file.hf_id, why: format!("{feature} ({because})") })
        }
        Err(error) => Err(error),
        Ok(_) => Err(broken(entry, "a target that is modelled among the refused")),
    }
}

fn broken(entry: &Entry, message: &str) -> CatalogError {
    CatalogError::Entry { kind: Kind::Model, id: entry.id.to_owned(), message: message.to_owned() }
}

impl From<Device> for DeviceRow {
    fn from(device: Device) -> Self {
        Self {
            id: device.id,
            name: device.name,
            bf16_tflops: device.bf16_tflops,
            memory_gb_per_s: device.memory_gb_per_s,
            memory_gib: device.memory_gib,
            gpus_per_node: device.gpus_per_node,
            usd_per_gpu_hour: device.usd_per_gpu_hour,
            source: device.source,
        }
    }
}

impl From<Network> for NetworkRow {
    fn from(network: Network) -> Self {
        Self {
            id: network.id,
            gb_per_s_per_gpu: network.gb_per_s_per_gpu,
            latency_us: network.latency_us,
            spread: network.spread,
            all_reduce: network.all_reduce,
            source: network.source,
        }
    }
}
