//! Reports as one HTML file for a person who decides: what to do, by how much, why, and what could change it.
//!
//! A page needs nothing else: no network, no font, no library. It reads without scripts; a few lines of script sort and
//! filter tables and hide series. Every plot has its figures in a table beneath it. [`run_page`] is of one forecast,
//! [`sweep_page`] of a table of them, [`plan_page`] of a plan. All text of users is escaped in `html`.
//!
//! Left out: anything that would need the simulation again. A page is drawn from `result.json` or a sweep's rows alone.

mod figures;
mod flags;
mod html;
mod loops;
mod page;
mod plan;
mod plot;
mod rollout;
mod run;
mod sweep;
mod verdict;

pub use plan::plan_page;
pub use run::run_page;
pub use sweep::{SweepTable, sweep_page};
pub use verdict::{alone, drafts, verdict};
