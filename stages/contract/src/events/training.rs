//! What the stages of a training report: steps, epochs, evaluations, and what goes wrong on the way.
//! Epochs and steps count from 1. Memory is in bytes, time in seconds; `None` is `null` in JSON: unknown.

use serde::de::Error as _;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{ByCause, Fields, Named};

/// A window became an optimizer step, or was discarded because it overflowed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StepEvent {
    /// The epoch.
    pub epoch: u64,
    /// The step's number; of a discarded window, that of the step that it didn't become.
    pub step: u64,
    /// Samples of the run so far.
    pub samples: u64,
    /// Mean loss over the window's samples; `None` when it isn't finite.
    pub loss: Option<f64>,
    /// The learning rate.
    pub lr: f64,
    /// L2 norm of the window's gradient over all weights, before clipping; `None` when it overflowed.
    pub grad_norm: Option<f64>,
    /// The loss scale that the window was made under.
    pub loss_scale: f64,
    /// True when the window overflowed and was discarded.
    pub skipped: bool,
    /// What the device holds now.
    pub device_bytes: Option<u64>,
    /// The most that the device has held.
    pub device_bytes_peak: Option<u64>,
    /// What the device holds now, by cause.
    pub device_by_cause: ByCause,
    /// The same at its peak.
    pub device_peak_by_cause: ByCause,
    /// Where in the network the peak was, such as `decode.3 backward`.
    pub device_peak_place: String,
    /// Host memory of images and batches between stages, now. The run adds it, and the two below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_bytes: Option<u64>,
    /// The same at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_bytes_peak: Option<u64>,
    /// What each queue holds now, and what stages work on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_by_cause: Option<ByCause>,
}

/// The steps of an epoch are done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochEvent {
    /// The epoch.
    pub epoch: u64,
    /// Mean loss over the samples of its steps; `None` when it had none.
    pub loss: Option<f64>,
    /// How long it took.
    pub seconds_in_epoch: f64,
    /// Samples of its steps in a second.
    pub samples_per_second: f64,
}

/// The network was measured. Its JSON is flat: the metrics stand between `part` and `images`, and after them, where there are
/// several classes, `classes`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EvalEvent {
    /// The epoch after which it was.
    pub epoch: u64,
    /// The evaluator's id; empty where it isn't told, as in lines of earlier programs.
    pub stage: String,
    /// Which part of the data set was measured: the fact [`PART`](crate::fact::PART), where it is known.
    pub part: Option<String>,
    /// The [metrics](crate::Metric) of the evaluator's kind, in their order; `None` where one isn't defined for these images.
    pub metrics: Named<Option<f64>>,
    /// The figures of each class by its name, where the evaluator has such.
    pub classes: Named<Named<Option<f64>>>,
    /// The 95% intervals of the metrics that are means over the images, where the evaluator has such.
    pub intervals: Named<[f64; 2]>,
    /// How many images were measured.
    pub images: u64,
    /// How many of them have nothing in mask and prediction.
    pub both_empty: Option<u64>,
    /// At which size: `native`, the photograph's own, or `training`, the network's.
    pub at: Option<String>,
    /// A pixel counts as found where its probability exceeds this.
    pub threshold: Option<f64>,
    /// The threshold with the largest mean Dice on these images, where it was looked for.
    pub chosen_threshold: Option<f64>,
    /// That Dice.
    pub chosen_dice: Option<f64>,
    /// What the device held at most so far.
    pub device_bytes_peak: Option<u64>,
}

impl EvalEvent {
    /// A metric; `None` where it isn't there or not finite.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.get(name).copied().flatten().filter(|value| value.is_finite())
    }
}

impl Serialize for EvalEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("epoch", &self.epoch)?;
        if !self.stage.is_empty() {
            map.serialize_entry("stage", &self.stage)?;
        }
        if let Some(part) = &self.part {
            map.serialize_entry("part", part)?;
        }
        self.metrics.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        if !self.classes.is_empty() {
            map.serialize_entry("classes", &self.classes)?;
        }
        if !self.intervals.is_empty() {
            map.serialize_entry("intervals", &self.intervals)?;
        }
        map.serialize_entry("images", &self.images)?;
        if let Some(both_empty) = self.both_empty {
            map.serialize_entry("both_empty", &both_empty)?;
        }
        if let Some(at) = &self.at {
            map.serialize_entry("at", at)?;
        }
        let thresholds =
            [("threshold", self.threshold), ("chosen_threshold", self.chosen_threshold), ("chosen_dice", self.chosen_dice)];
        for (name, value) in thresholds {
            value.map_or(Ok(()), |value| map.serialize_entry(name, &value))?;
        }
        map.serialize_entry("device_bytes_peak", &self.device_bytes_peak)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for EvalEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        let mut whole = |name: &'static str| match fields.shift_remove(name) {
            Some(value) => Option::<u64>::deserialize(value).map_err(D::Error::custom),
            None => Err(D::Error::missing_field(name)),
        };
        let (epoch, images, device_bytes_peak) = (whole("epoch")?, whole("images")?, whole("device_bytes_peak")?);
        // Metrics of an evaluator of one's own may have these names too.
        let mut text = |name: &str| match fields.get(name) {
            Some(Value::String(_)) => fields.shift_remove(name).and_then(|text| text.as_str().map(str::to_owned)),
            _ => None,
        };
        let (stage, part) = (text("stage").unwrap_or_default(), text("part"));
        let classes = match fields.get("classes") {
            Some(Value::Object(_)) => fields.shift_remove("classes").map(Named::deserialize).transpose(),
            _ => Ok(None),
        };
        let classes = classes.map_err(D::Error::custom)?.unwrap_or_default();
        let mut optional = |name: &str| fields.shift_remove(name);
        let (intervals, both_empty, at) = (optional("intervals"), optional("both_empty"), optional("at"));
        let [threshold, chosen_threshold, chosen_dice] = ["threshold", "chosen_threshold", "chosen_dice"].map(optional);
        let intervals = intervals.map(Named::deserialize).transpose().map_err(D::Error::custom)?.unwrap_or_default();
        let metrics = Named::deserialize(Value::Object(fields)).map_err(D::Error::custom)?;
        let given = |value: Option<u64>, name| value.ok_or_else(|| D::Error::custom(format_args!("{name} is null")));
        Ok(Self {
            epoch: given(epoch, "epoch")?,
            stage,
            part,
            metrics,
            classes,
            intervals,
            images: given(images, "images")?,
            both_empty: both_empty.and_then(|count| count.as_u64()),
            at: at.and_then(|at| at.as_str().map(str::to_owned)),
            threshold: threshold.and_then(|value| value.as_f64()),
            chosen_threshold: chosen_threshold.and_then(|value| value.as_f64()),
            chosen_dice: chosen_dice.and_then(|value| value.as_f64()),
            device_bytes_peak,
        })
    }
}

/// The figures of one image of an evaluation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageEvent {
    /// The epoch after which it was.
    pub epoch: u64,
    /// The evaluator's id.
    pub stage: String,
    /// The sample's id.
    pub sample: String,
    /// Height in pixels at which it was measured.
    pub height: u64,
    /// Width in pixels.
    pub width: u64,
    /// True where only its field of view was measured.
    pub field_of_view: bool,
    /// Its figures; `None` where one isn't defined for it.
    pub metrics: Named<Option<f64>>,
    /// The figures of each class by its name, where there are several.
    #[serde(default, skip_serializing_if = "Named::is_empty")]
    pub classes: Named<Named<Option<f64>>>,
}

/// All files of a photograph's prediction are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictedEvent {
    /// The photograph's id.
    pub sample: String,
    /// Its height in pixels.
    pub height: u64,
    /// Its width in pixels.
    pub width: u64,
}

/// Memory was refused, and the same samples are processed again with less.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetryEvent {
    /// The epoch.
    pub epoch: u64,
    /// What was refused, as text.
    pub what: String,
    /// Where in the network it was.
    pub place: String,
    /// What the device held then.
    pub device_bytes: u64,
    /// What was asked for; 0 when the device didn't say.
    pub asked: u64,
    /// Samples of the micro-batch.
    pub samples: usize,
    /// The settings under which it was refused.
    pub from: RetrySetting,
    /// The settings from then on.
    pub to: RetrySetting,
    /// What training takes at the peak from then on, where the plan changed.
    pub device_planned_peak: Option<u64>,
}

/// The settings that a retry changes, by their names in pipeline files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetrySetting {
    /// Samples at a time.
    pub micro_batch: usize,
    /// What maps are stored in.
    pub mixed_precision: String,
    /// What the backward pass recomputes.
    pub gradient_checkpointing: String,
}

/// A window's losses or gradients aren't finite; the run ends with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NotFiniteEvent {
    /// The epoch.
    pub epoch: u64,
    /// The step that the window would have become.
    pub step: u64,
    /// The samples of the window.
    pub samples: Vec<String>,
    /// Their losses; `None` where one isn't finite.
    pub losses: Vec<Option<f64>>,
    /// The samples whose losses aren't finite.
    pub not_finite: Vec<String>,
    /// The blocks of the network in the order of the forward pass; empty when they couldn't be measured.
    pub blocks: Vec<BlockRms>,
}

/// How large the activations of a block are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockRms {
    /// The block.
    pub name: String,
    /// Root mean square of its activations over the window; `None` when it isn't finite.
    pub rms: Option<f64>,
}

/// Unused memory was returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanupEvent {
    /// At which moment.
    pub when: CleanupMoment,
    /// How much that was.
    pub returned_bytes: Option<u64>,
    /// What is held after it: on a graphics device by its allocator, on the CPU by the process.
    pub held_bytes: Option<u64>,
}

/// When memory is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CleanupMoment {
    /// After the first step.
    Start,
    /// After a number of steps.
    Every,
    /// After the last step of an epoch.
    EpochEnd,
}
