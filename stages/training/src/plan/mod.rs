//! What a network takes before anything is run: the walk of a pass with the counting arithmetic, charged to a ledger of its
//! own; and which settings fit a budget.

mod calibrate;
mod fit;
mod forecast;
mod job;
mod recovery;
mod rehearsal;

pub use calibrate::{Speed, calibrate};
pub use fit::{Ask, Candidate, Fit, Freedom, MARGIN, fit, size};
pub use forecast::{Demand, Forecast, forecast};
pub use job::{Job, Keys, StageView};
pub(crate) use recovery::next;
pub use rehearsal::rehearse;
