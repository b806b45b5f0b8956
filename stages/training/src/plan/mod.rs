//! Plans the memory and time of a file's training, and finds settings that fit a memory budget: from the file's stages, the
//! forecast of a pass, and what the device reports.

mod ask;
mod calibrate;
mod fit;
mod job;
mod prediction;
mod rehearsal;
mod tiles;

pub use ask::{Ask, MARGIN};
pub use calibrate::{Speed, calibrate};
pub use fit::{Candidate, Fit, Freedom, fit, size};
pub use job::{Job, Keys, StageView, Tiled};
pub use prediction::{Prediction, prediction};
pub use rehearsal::rehearse;
pub use tiles::TileChoice;

pub use crate::forecast::{Demand, Forecast, forecast};
