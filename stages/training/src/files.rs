//! The files that stages of this crate leave: whole or not at all, with errors that name them.
//! What is in them is the callers' business.

use std::path::Path;

use pipeline_contract::{Result, StageError, files};

/// Writes a file beside `path` and moves it there when it is on the disk. Makes its folder if it isn't there.
///
/// # Errors
/// When it can't be written.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    folder.and_then(|()| files::replace(path, bytes)).map_err(|error| failed(path, error))
}

/// The error of a file that can't be written.
pub(crate) fn failed(path: &Path, error: impl std::fmt::Display) -> StageError {
    StageError::new(format!("{} can't be written: {error}", path.display()))
}
