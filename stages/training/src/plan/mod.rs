//! What a file's training will take, and which settings fit a budget: from its stages, from the forecast of a pass, and from
//! what the device says when it is asked.

mod calibrate;
mod fit;
mod job;
mod rehearsal;

pub use calibrate::{Speed, calibrate};
pub use fit::{Ask, Candidate, Fit, Freedom, MARGIN, fit, size};
pub use job::{Job, Keys, StageView};
pub use rehearsal::rehearse;

pub use crate::forecast::{Demand, Forecast, forecast};
