//! The backends: our kernels on the CPU, kernels on graphics devices, and a counting backend that computes nothing.

mod counting;
mod cpu;
mod graphics;
mod runtime;
mod select;
pub(crate) mod transfer;
mod work;

pub(crate) use runtime::{Rule, Update};
pub(crate) use select::{counting, of, run};
pub(crate) use work::{Site, Work};
