//! What a network takes before anything runs: the walk of a pass on the counting backend, charged to a ledger of its own; and
//! which setting comes next when memory is refused.

mod recovery;
mod walk;

pub(crate) use recovery::next;
pub use walk::{Demand, Forecast, forecast};
