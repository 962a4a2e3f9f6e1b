//! Measuring draft and verify kernels on a GPU: what public tables do not have.
//!
//! `plan` says what is measured and what it is worth, `scheduler` measures it against the clock, `correctness` says
//! whether the kernels compute what they should, `forecast` states what whole steps will take before they are
//! measured, `tables` writes what `rollcast fit` reads. The harness sees a device through the trait `bench::Bench`
//! only; `cuda` is the one that is real, and alone names cudarc and uses `unsafe`.
//! Leaves out so far: experts, training layouts, tree verification, sustained power, paths by wgmma.

pub mod bars;
pub mod bench;
pub mod correctness;
pub mod cuda;
pub mod drift;
pub mod fake;
pub mod forecast;
pub mod inspect;
pub mod kernels;
pub mod launch;
pub mod models;
pub mod outcome;
pub mod plan;
pub mod programs;
pub mod protocol;
pub mod reference;
pub mod scheduler;
pub mod session;
pub mod statistics;
pub mod tables;
pub mod work;
