//! All events of a run in one enum, with the names that they have in `metrics.jsonl`.
//! What each holds is in `training` and `run`.

use serde_json::Value;

use super::fields::Fields;
use super::run::{
    CheckpointEvent, EndEvent, LeaksEvent, PlanEvent, ResumeEvent, SampleSkippedEvent, StallEvent, StartEvent, WarningEvent,
};
use super::training::{CleanupEvent, EpochEvent, EvalEvent, ImageEvent, NotFiniteEvent, PredictedEvent, RetryEvent, StepEvent};
use crate::{Result, StageError};

/// An event of a stage of your own: a name and any fields.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnEvent {
    name: String,
    fields: Fields,
}

impl OwnEvent {
    /// An event of this name.
    ///
    /// ```
    /// use pipeline_contract::events::{Fields, OwnEvent};
    /// use pipeline_contract::{Events, NoEvents};
    ///
    /// let fields = Fields::from_iter([("agreement".to_owned(), 0.75.into())]);
    /// NoEvents.record(OwnEvent::new("teacher", fields)?.into());
    /// # Ok::<_, pipeline_contract::StageError>(())
    /// ```
    ///
    /// # Errors
    /// When the program itself has an event of this name, or a field has the name of one that every line has.
    pub fn new(name: impl Into<String>, fields: Fields) -> Result<Self> {
        let name = name.into();
        if Event::NAMES.contains(&name.as_str()) {
            return Err(StageError::new(format!("the program itself has an event `{name}`")).help("take another name"));
        }
        match LINE_FIELDS.into_iter().find(|field| fields.contains_key(*field)) {
            Some(field) => {
                Err(StageError::new(format!("every line has a field `{field}`")).help("give the field another name"))
            }
            None => Ok(Self { name, fields }),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its fields.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }
}

/// The fields that stand in every line, before an event's own.
pub(super) const LINE_FIELDS: [&str; 2] = ["event", "seconds"];

/// The list of events: for each its doc, its name in files, its variant and what it holds.
macro_rules! events {
    ($($(#[$doc:meta])+ $name:literal => $variant:ident($held:ty),)+) => {
        /// Something that happened in a run: a line of `metrics.jsonl`.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Event {
            $($(#[$doc])+ $variant($held),)+
            /// An event of a stage of your own.
            Own(OwnEvent),
        }

        impl Event {
            /// The names of the program's own events.
            pub const NAMES: &[&str] = &[$($name),+];

            /// Its name in files.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$variant(_) => $name,)+
                    Self::Own(own) => own.name(),
                }
            }

            /// Its fields as they are written, without the name and the time.
            pub fn fields(&self) -> Fields {
                let value = match self {
                    $(Self::$variant(held) => serde_json::to_value(held),)+
                    Self::Own(own) => return own.fields.clone(),
                };
                // Plain structs of numbers, words and lists always become an object.
                match value {
                    Ok(Value::Object(fields)) => fields,
                    _ => Fields::new(),
                }
            }

            /// The event that [`Self::name`] and [`Self::fields`] are of. Fields that it doesn't know are ignored.
            ///
            /// # Errors
            /// When the fields aren't those of an event of this name.
            pub fn read(name: &str, fields: Fields) -> serde_json::Result<Self> {
                match name {
                    $($name => serde_json::from_value(Value::Object(fields)).map(Self::$variant),)+
                    _ => Ok(Self::Own(OwnEvent { name: name.to_owned(), fields })),
                }
            }
        }

        $(impl From<$held> for Event {
            fn from(held: $held) -> Self {
                Self::$variant(held)
            }
        })+
    };
}

events! {
    /// A run begins.
    "start" => Start(StartEvent),
    /// A run resumes.
    "resume" => Resume(ResumeEvent),
    /// The memory that the run will need.
    "plan" => Plan(PlanEvent),
    /// An optimizer step.
    "step" => Step(StepEvent),
    /// The end of an epoch's steps.
    "epoch" => Epoch(EpochEvent),
    /// The figures on test images.
    "eval" => Eval(EvalEvent),
    /// The figures of one of these images.
    "image" => Image(ImageEvent),
    /// A photograph was predicted.
    "predicted" => Predicted(PredictedEvent),
    /// Memory was refused, and a smaller setting is used.
    "retry" => Retry(RetryEvent),
    /// Losses or gradients aren't finite.
    "not_finite" => NotFinite(NotFiniteEvent),
    /// Memory was given back.
    "cleanup" => Cleanup(CleanupEvent),
    /// A checkpoint was written.
    "checkpoint" => Checkpoint(CheckpointEvent),
    /// A broken sample was skipped.
    "sample_skipped" => SampleSkipped(SampleSkippedEvent),
    /// A file or a folder may be wrong.
    "warning" => Warning(WarningEvent),
    /// Training and test samples show the same.
    "leaks" => Leaks(LeaksEvent),
    /// Nothing moves.
    "stall" => Stall(StallEvent),
    /// The run has ended.
    "end" => End(EndEvent),
}

impl From<OwnEvent> for Event {
    fn from(own: OwnEvent) -> Self {
        Self::Own(own)
    }
}
