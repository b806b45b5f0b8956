//! The building blocks of a pass over a network, for any layers and any device: activation maps with their memory charges, the
//! cost of an operation, the core of a backend, and the executor that charges before it computes.

mod backend;
mod cost;
mod executor;
mod input;
mod map;

pub(crate) use backend::Backend;
pub use backend::{Images, Pass};
pub use cost::Work;
pub(crate) use cost::{Cost, Scratch};
pub(crate) use executor::Executor;
pub(crate) use input::{Input, Made, Through};
pub(crate) use map::{Map, Shape};
