//! What a file says besides the network's graph: what the caller knows about the photographs and the classes.

use pipeline_contract::{Result, StageError};
use pipeline_images::Normalization;

use crate::network::Network;

/// What the caller knows about a trained network.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct About {
    /// What the network sees of a photograph: `(value / 255 - mean) / std` for each colour. The file's graph does it.
    pub normalization: Normalization,
    /// The names of the classes; empty if unknown. For a network of one output channel two names: background, and the class whose
    /// probability it gives.
    pub classes: Vec<String>,
    /// From which probability on a pixel counts as the class, for a network of one output channel.
    pub threshold: Option<f32>,
    /// The height and width that photographs are resized to for the network, in pixels; `None` for their own size.
    pub input: Option<[usize; 2]>,
    /// The JSON object that the model's weights file holds under `model`.
    pub model: Option<String>,
}

impl About {
    /// Checks that this can be said of the network.
    ///
    /// # Errors
    /// When the number of names isn't the number of classes, or the normalisation makes values that aren't finite.
    pub(super) fn check(&self, network: &Network) -> Result<()> {
        let (names, classes) = (self.classes.len(), network.classes.max(2));
        if names != 0 && names != classes {
            return Err(StageError::new(format!("there are {names} names for {classes} classes"))
                .help("name each class once, the background first"));
        }
        let Normalization { mean, std } = self.normalization;
        let finite = (0..3).all(|channel| mean[channel].is_finite() && (1.0 / std[channel]).is_finite() && std[channel] > 0.0);
        if !finite {
            return Err(StageError::new(format!("images can't be normalised by mean {mean:?} and std {std:?}"))
                .help("mean and std must be finite, and std positive"));
        }
        Ok(())
    }
}
