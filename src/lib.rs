//! `pipeline` trains segmentation networks from a YAML file of stages, inside the memory that there is.
//!
//! [`spec`] reads the file into checked stages, [`graph`] makes them a typed DAG with lanes, [`engine`] runs the lanes on
//! bounded edges, [`cli`] is the program around them. The stages themselves are in the crates under `stages/`.

pub mod cli;
pub mod diagnostic;
pub mod engine;
pub mod graph;
pub mod spec;

pub use pipeline_contract as contract;
