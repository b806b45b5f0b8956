//! Forecasts the memory and work of a network before anything runs, by walking a pass on the counting backend with its own
//! ledger; and picks the next setting when memory is refused.

mod recovery;
mod walk;

pub(crate) use recovery::next;
pub use walk::{Demand, Forecast, evaluation, forecast};
