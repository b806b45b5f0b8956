//! Reads option values that may be one thing or a list of them. Not a parser: the types are checked before a stage sees them.

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error};
use serde_json::Value;

/// One text or a list of texts; nothing for null.
pub(crate) fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(vec![text]),
        list => serde_json::from_value(list).map_err(D::Error::custom),
    }
}

/// Deserialises an option that is one number for both, or `[height, width]`.
///
/// # Errors
/// When it is something else.
pub fn height_width<'de, D: Deserializer<'de>>(from: D) -> Result<[usize; 2], D::Error> {
    match Value::deserialize(from)? {
        Value::Number(side) => serde_json::from_value(Value::Number(side)).map(|side| [side, side]).map_err(D::Error::custom),
        list => serde_json::from_value(list).map_err(D::Error::custom),
    }
}

/// A grey value, which is that of all three channels, or `[red, green, blue]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Colour(pub(crate) [u8; 3]);

impl<'de> Deserialize<'de> for Colour {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Value::deserialize(from)? {
            Value::Number(grey) => serde_json::from_value(Value::Number(grey)).map(|grey| Self([grey; 3])),
            list => serde_json::from_value(list).map(Self),
        }
        .map_err(D::Error::custom)
    }
}

/// The entries of a map in the file's order; nothing for null.
pub(crate) fn in_order<'de, T: DeserializeOwned, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<(String, T)>>, D::Error> {
    let Some(map) = Option::<serde_json::Map<String, Value>>::deserialize(from)? else { return Ok(None) };
    let entries = map.into_iter().map(|(name, value)| Ok((name, serde_json::from_value(value)?)));
    entries.collect::<Result<Vec<_>, serde_json::Error>>().map(Some).map_err(D::Error::custom)
}

/// A value of 16 bit, rounded to 8: 65535 is 257 times 255.
pub(crate) fn narrow(value: u16) -> u8 {
    ((u32::from(value) + 128) / 257) as u8
}
