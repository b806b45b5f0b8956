//! Trained models at work: [`predict`] writes what they see in photographs, [`evaluate`] measures them. Both are pipelines like those of a file,
//! made from what a model says of itself and run by the engine. Nothing is trained.

mod evaluate;
mod export;
mod heard;
mod predict;
mod recipe;
mod record;

pub use evaluate::{Evaluated, Wanted, evaluate};
pub use export::{Exported, export};
pub use predict::{Predicted, Request, predict};
pub use recipe::{Choices, PRECISIONS, Size, Tiles, model_file};
