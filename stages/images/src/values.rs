//! Reads option values that may be one thing or a list of them. Not a parser: the types are checked before a stage sees them.

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::Value;

/// One text or a list of texts; nothing for null.
pub(crate) fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(vec![text]),
        list => serde_json::from_value(list).map_err(D::Error::custom),
    }
}

/// One number for both, or `[height, width]`.
pub(crate) fn height_width<'de, D: Deserializer<'de>>(from: D) -> Result<[usize; 2], D::Error> {
    match Value::deserialize(from)? {
        Value::Number(side) => serde_json::from_value(Value::Number(side)).map(|side| [side, side]).map_err(D::Error::custom),
        list => serde_json::from_value(list).map_err(D::Error::custom),
    }
}
