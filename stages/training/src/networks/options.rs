//! Reading a network's options.

use pipeline_contract::{Result, StageError};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads the options of a network into a structure.
///
/// # Errors
/// When the options don't fit their declaration, which the file's reader has already checked.
pub(super) fn read<T: DeserializeOwned>(options: &Value) -> Result<T> {
    serde_json::from_value(options.clone())
        .map_err(|error| StageError::new(format!("options don't fit their declaration: {error}")))
}
