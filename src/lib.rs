//! `pipeline` trains segmentation networks from a YAML file of stages, within a memory budget.
//!
//! [`spec`] reads the file into checked stages, [`graph`] makes them a typed DAG with lanes, [`engine`] runs the lanes on
//! bounded edges, [`plan`] says how much memory a run will need, [`window`] checks its
//! accumulation, [`preview`] shows what the network will see, [`run`] keeps a run's folder, [`inference`] uses trained models, [`cli`] is the program around them. The stages themselves are in the crates
//! under `stages/`; [`builtin`] registers them, and the engine knows them through the contract alone.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

pub mod cli;
pub mod diagnostic;
pub mod engine;
pub mod graph;
pub mod inference;
pub mod plan;
pub mod preview;
pub mod run;
pub mod schema;
pub mod spec;
pub mod window;

pub use pipeline_contract as contract;

/// The stage kinds that come with the program. Add your own with [`contract::Registry::with`].
pub fn builtin() -> contract::Registry {
    contract::Registry::new().with_all(pipeline_images::kinds()).with_all(pipeline_training::kinds())
}
