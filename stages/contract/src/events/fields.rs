//! The fields of a line.

use serde_json::Value;

/// The fields of one event, in the order in which they are written.
pub type Fields = serde_json::Map<String, Value>;
