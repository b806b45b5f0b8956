//! The typed DAG of a pipeline: stages as nodes, ports as typed edges, chains of stages as lanes.
//! It knows neither the file that it came from (see [`crate::spec`]) nor how it runs (see [`crate::engine`]).

mod build;
mod check;
mod dag;
mod draw;
mod edge;
mod lane;
mod lanes;
mod problem;
mod reading;
mod stage;
mod walk;

pub use build::build;
pub use dag::Graph;
pub use draw::{Format, Timing, draw};
pub use edge::{Bound, Edge};
pub use lane::Lane;
pub use problem::{Place, Problem};
pub use reading::Reading;
pub use stage::Stage;
