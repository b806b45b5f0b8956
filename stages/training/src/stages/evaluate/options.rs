//! The options of `evaluate`. What follows from them is in the stage.

use pipeline_contract::{OptionSpec, OptionType, Result, StageError};
use serde::Deserialize;

use crate::stages::prediction::Tiles;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    pub at: At,
    pub every: u64,
    pub tiles: Option<Tiles>,
    pub threshold: Threshold,
    pub choose_threshold: bool,
    pub field_of_view: bool,
    pub pictures: usize,
    pub tensors: bool,
}

/// At which size an image is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum At {
    /// At the photograph's own, against the mask as it was drawn.
    Native,
    /// At the network's, against the mask that was resized with the photograph.
    Training,
}

/// Which probabilities are vessel.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Threshold {
    /// Those above this.
    Given(f32),
    /// Those above what an evaluator with `choose_threshold` has chosen.
    Chosen(Chosen),
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) enum Chosen {
    #[serde(rename = "chosen")]
    Chosen,
}

impl Threshold {
    /// Its value, where `chosen` is what was chosen last.
    pub fn value(self, chosen: Option<f32>) -> Result<f32> {
        match self {
            Self::Given(value) => Ok(value),
            Self::Chosen(_) => chosen.ok_or_else(|| {
                StageError::new("no threshold has been chosen yet").help(
                    "put an `evaluate` stage with `choose_threshold: true`, on a validation part, above this one in the file, with the same `every`",
                )
            }),
        }
    }
}

/// The threshold where the file gives none.
pub(super) const DEFAULT_THRESHOLD: f32 = 0.5;

/// The options of `evaluate`.
pub(super) fn all() -> Vec<OptionSpec> {
    vec![
        at(),
        OptionSpec::new("every", OptionType::at_least(1), 1, "measures once in this many epochs, and after the last one"),
        Tiles::option(),
        OptionSpec::new(
            "threshold",
            OptionType::AnyOf(vec![OptionType::Number { min: 0.0, max: 1.0 }, OptionType::Choice(&["chosen"])]),
            DEFAULT_THRESHOLD,
            "a pixel is vessel if its probability exceeds this; chosen: what an evaluator with `choose_threshold` found; with several \
             classes the most probable class wins",
        ),
        OptionSpec::new(
            "choose_threshold",
            OptionType::Bool,
            false,
            "also finds the threshold, of 0.01 to 0.99, with the largest mean Dice, for evaluators with `threshold: chosen`; on a \
             validation part, never on the test part",
        ),
        field_of_view(),
        pictures(),
        tensors(),
    ]
}

/// At which size images are scored.
pub(super) fn at() -> OptionSpec {
    OptionSpec::new(
        "at",
        OptionType::Choice(&["native", "training"]),
        "native",
        "where figures are computed: native: at the photograph's own size, against the mask as it was drawn; training: at the size that \
         the network sees",
    )
}

/// Whether only the field of view is scored.
pub(super) fn field_of_view() -> OptionSpec {
    OptionSpec::new(
        "field_of_view",
        OptionType::Bool,
        true,
        "scores only the field of view, where the photograph has a dark surround",
    )
}

/// How many images are drawn.
pub(super) fn pictures() -> OptionSpec {
    OptionSpec::new(
        "pictures",
        OptionType::Integer { min: 0, max: 64 },
        4,
        "test images that are drawn with mask and prediction into predictions.png, from the first; of a second evaluator predictions.ID.png",
    )
    .harmless()
}

/// Whether the images that are drawn are also written as tensors.
pub(super) fn tensors() -> OptionSpec {
    OptionSpec::new(
        "tensors",
        OptionType::Bool,
        false,
        "also writes these images, their masks and probabilities as predictions.safetensors",
    )
    .harmless()
}
