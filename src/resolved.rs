//! The scenario with nothing optional and nothing by name: plain data, each value with its source.
//!
//! `resolve` fills these types from the scenario, the catalog and the profile; every layer above reads
//! them and nothing else, and a result carries them whole, so that a forecast can be reproduced from its
//! own output. No behaviour lives here beyond arithmetic on a value's own fields.

mod crowd;
mod cycle;
mod facts;
mod linear;
mod model;
mod run;
mod schedule;
mod tail;
mod training;

pub use crowd::Crowd;
pub use cycle::{DrafterTraining, GroupOrder, Interruption, LoopMode, LoopSettings, Transfer, filling};
pub use facts::{BetweenNodes, Device, Drafter, DrafterKind, Network, Precision, Trained};
pub use linear::{LinearAttention, Rule};
pub use model::{Experts, LatentAttention, Mixers, Model, SlidingWindow};
pub use run::{
    AcceptanceInput, Assumption, Cluster, EngineSettings, Generation, GraphMode, Layout, LengthModel,
    Lengths, Overhead, Quantity, Resolved, Router, Routing, SeenHistory, Source, Speculation, Transport,
    Uncertainty, Workload,
};
pub use schedule::{CatchUpInput, DraftInput, ScheduleInput, TierInput};
pub use tail::{Isolation, Regrouping, Tail};
pub use training::{Balance, Reward, Training};
