//! Convolutions without matrix units: units multiply and add in float32, whatever type the maps are stored in. As on matrix units,
//! a part of the input is read into shared memory once and serves all taps.

pub(super) mod choice;
pub(super) mod form;
mod forward;
mod gradient;
pub(super) mod launch;
mod output;
mod weights;
