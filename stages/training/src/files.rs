//! Files that are never half written: beside their place first, then moved there.
//! What is in them is the callers' business.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use pipeline_contract::{Result, StageError};

/// Writes a file beside `path` and moves it there when it is on the disk. Makes its folder if it isn't there.
///
/// # Errors
/// When it can't be written.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        // The folder holds the new name; not every system can sync a folder, and the file itself is safe already.
        if let Some(Ok(folder)) = path.parent().map(File::open) {
            let _unsupported = folder.sync_all();
        }
        Ok(())
    };
    write().map_err(|error| failed(path, error))
}

/// The error of a file that can't be written.
pub(crate) fn failed(path: &Path, error: impl std::fmt::Display) -> StageError {
    StageError::new(format!("{} can't be written: {error}", path.display()))
}
