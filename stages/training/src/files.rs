//! Writes the output files of this crate's stages, completely or not at all; errors name the file.
//! The callers decide what is in them.

use std::path::Path;

use pipeline_contract::{Result, StageError, files};

/// Writes a temporary file beside `path` and renames it to `path` once it is on disk. Creates the folder if it doesn't
/// exist.
///
/// # Errors
/// When it can't be written.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    folder.and_then(|()| files::replace(path, bytes)).map_err(|error| failed(path, error))
}

/// The error for a file that can't be written.
pub(crate) fn failed(path: &Path, error: impl std::fmt::Display) -> StageError {
    StageError::new(format!("{} can't be written: {error}", path.display()))
}
