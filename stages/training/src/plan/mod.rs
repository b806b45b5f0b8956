//! Plans the memory and time of a file's training, and finds settings that fit a memory budget: from the file's stages, the
//! forecast of a pass, and what the device reports.

mod calibrate;
mod fit;
mod job;
mod prediction;
mod rehearsal;

pub use calibrate::{Speed, calibrate};
pub use fit::{Ask, Candidate, Fit, Freedom, MARGIN, fit, size};
pub use job::{Job, Keys, StageView};
pub use prediction::{Prediction, prediction};
pub use rehearsal::rehearse;

pub use crate::forecast::{Demand, Forecast, forecast};
