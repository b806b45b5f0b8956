//! One line of `metrics.jsonl`, and the version of its format.

use serde::de::Error as _;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{EvalEvent, Event, Fields};

/// The version of the format of `metrics.jsonl`. It rises when a field is removed or changes its meaning; new events and new fields leave
/// it unchanged, so readers ignore what they don't know.
pub const FORMAT: u64 = 2;

/// One line: `{"event": NAME, "seconds": SECONDS, ...}`, then the event's own fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Seconds since the run started, without those between a stop and `--resume`.
    pub seconds: f64,
    /// What happened.
    pub event: Event,
}

impl Line {
    /// The figures of an evaluation; `None` of other events.
    pub fn evaluation(&self) -> Option<&EvalEvent> {
        match &self.event {
            Event::Eval(eval) => Some(eval),
            _ => None,
        }
    }
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("event", self.event.name())?;
        map.serialize_entry("seconds", &self.seconds)?;
        self.event.fields().iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        let mut take = |name: &'static str| fields.shift_remove(name).ok_or_else(|| D::Error::missing_field(name));
        let (name, seconds) = (take("event")?, take("seconds")?);
        let Value::String(name) = name else { return Err(D::Error::custom("the event's name isn't text")) };
        let seconds = seconds.as_f64().ok_or_else(|| D::Error::custom("the time isn't a number"))?;
        let event =
            Event::read(&name, fields).map_err(|error| D::Error::custom(format_args!("it is no event `{name}`: {error}")))?;
        Ok(Self { seconds, event })
    }
}
