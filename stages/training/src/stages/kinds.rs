//! The list of this crate's stage kinds.
//! Each kind declares itself in its own file.

use pipeline_contract::StageKind;

use super::{accumulate, cleanup, evaluate, export, optimizer_step, predict, train_step};

/// The stage kinds of this crate, in the order of a training chain.
pub fn kinds() -> Vec<StageKind> {
    vec![
        train_step::kind(),
        accumulate::kind(),
        optimizer_step::kind(),
        cleanup::kind(),
        evaluate::kind(),
        export::kind(),
        evaluate::model_kind(),
        predict::kind(),
    ]
}
