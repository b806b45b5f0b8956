//! Files that are never half written: beside their place first, then moved there. And the folder for what may be kept between runs.
//! What is in them is the callers' business.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Writes a file beside `path` and moves it there when it is on the disk: readers see the old file or the new one.
///
/// # Errors
/// When it can't be written; the old file stays.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_by(path, |beside| File::create(beside)?.write_all(bytes))
}

/// As [`replace`], of a file that `write` makes at the path that it is given.
///
/// # Errors
/// When it can't be written; the old file stays then, and nothing is left beside it.
pub fn replace_by(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(BESIDE);
    let beside = path.with_file_name(name);
    let written = write(&beside).and_then(|()| File::open(&beside)?.sync_all()).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // Half a file is useless, and takes space on a full disk.
        let _nothing_to_remove = fs::remove_file(&beside);
    }
    written?;
    // The folder holds the new name; not every system can sync a folder, and the file itself is safe already.
    if let Some(Ok(folder)) = path.parent().map(File::open) {
        let _unsupported = folder.sync_all();
    }
    Ok(())
}

/// The user's cache folder for this program: `PIPELINE_CACHE`, or `pipeline` in the system's folder for caches. It need not exist.
pub fn cache() -> PathBuf {
    let folder = |variable| std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
    folder("PIPELINE_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME").or_else(|| folder("LOCALAPPDATA")).map(|path| path.join("pipeline")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/pipeline")))
        .unwrap_or_else(|| std::env::temp_dir().join("pipeline"))
}

/// The suffix of files that are being written.
const BESIDE: &str = ".tmp";

/// Removes the half-written files of a killed program from a folder.
///
/// # Errors
/// When the folder can't be read, or a file not removed.
pub fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(BESIDE) && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cant_be_written_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        replace(&path, b"old").unwrap();
        let failed = replace_by(&path, |beside| {
            fs::write(beside, b"ha")?;
            Err(io::Error::other("the disk is full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "the disk is full");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        fs::write(folder.path().join("state.tmp"), b"killed").unwrap();
        sweep(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
