//! Which checkpoints a run has: their names, the newest intact one, and those to delete.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Checkpoint, read};

/// The folder of the checkpoints in a run's folder.
pub(super) const FOLDER: &str = "checkpoint";

/// The checkpoint after the best evaluation.
pub(super) const BEST: &str = "best.safetensors";

/// The checkpoint after the best evaluation of a run's folder, if one was kept.
pub fn best_checkpoint(run: &Path) -> Option<PathBuf> {
    Some(run.join(FOLDER).join(BEST)).filter(|path| path.is_file())
}

/// The name of a checkpoint: its number, which orders them, and the steps that were made.
pub(super) fn name(number: u64, step: u64) -> String {
    format!("{number:06}-step-{step}.safetensors")
}

/// The number in a name that [`name`] gave.
fn number(name: &str) -> Option<u64> {
    let (number, rest) = name.strip_suffix(".safetensors")?.split_once("-step-")?;
    rest.parse::<u64>().ok()?;
    number.parse().ok()
}

/// The numbered checkpoints, the newest first.
fn numbered(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        found.extend(number(&entry.file_name().to_string_lossy()).map(|number| (number, entry.path())));
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// Removes the numbered checkpoints beyond the newest `keep`. One that can't be removed stays.
pub(super) fn rotate(folder: &Path, keep: u64) -> io::Result<()> {
    let all = numbered(folder)?;
    all.into_iter().skip(usize::try_from(keep).unwrap_or(usize::MAX)).try_for_each(|(_, path)| fs::remove_file(path))
}

/// A checkpoint that was found.
#[derive(Debug)]
pub struct Found {
    /// Its file.
    pub path: PathBuf,
    /// What it holds.
    pub checkpoint: Checkpoint,
    /// Newer files that are damaged, and of what.
    pub damaged: Vec<(PathBuf, String)>,
    /// The largest number in use.
    pub last: u64,
}

/// The newest intact checkpoint of a run's folder, or the best one if no numbered one is intact. `None` if there is no file.
///
/// # Errors
/// When the folder can't be read, or has checkpoints of which none is intact.
pub fn newest(run: &Path) -> io::Result<Option<Found>> {
    let folder = run.join(FOLDER);
    let all = numbered(&folder)?;
    let last = all.first().map_or(0, |(number, _)| *number);
    let best = Some(folder.join(BEST)).filter(|path| path.exists());
    let mut damaged = Vec::new();
    for path in all.into_iter().map(|(_, path)| path).chain(best) {
        let found = fs::read(&path).map_err(|error| error.to_string());
        match found.and_then(|bytes| read(&bytes).map_err(|damage| damage.to_string())) {
            Ok(checkpoint) => return Ok(Some(Found { path, checkpoint, damaged, last })),
            Err(damage) => damaged.push((path, damage)),
        }
    }
    if damaged.is_empty() {
        return Ok(None);
    }
    let list: Vec<String> = damaged.iter().map(|(path, damage)| format!("{}: {damage}", path.display())).collect();
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("no checkpoint is intact; {}", list.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::super::file::write;
    use super::super::testing::checkpoint;
    use super::*;

    #[test]
    fn the_newest_whole_one_is_found_and_the_oldest_go() {
        let run = tempfile::tempdir().unwrap();
        let folder = run.path().join(FOLDER);
        assert!(newest(run.path()).unwrap().is_none());
        fs::create_dir(&folder).unwrap();
        for number in [8, 9, 10, 1_000_000] {
            write(&folder.join(name(number, 40)), &Checkpoint { number, ..checkpoint() }).unwrap();
        }
        fs::write(folder.join("notes.txt"), "mine").unwrap();
        fs::write(folder.join("x-step-y.safetensors"), "mine").unwrap();
        rotate(&folder, 2).unwrap();
        let left: Vec<u64> = numbered(&folder).unwrap().into_iter().map(|(number, _)| number).collect();
        assert_eq!(left, [1_000_000, 10]);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 4, "other files stay");
        fs::write(folder.join(name(1_000_000, 40)), b"cut").unwrap();
        let found = newest(run.path()).unwrap().unwrap();
        assert_eq!((found.checkpoint.number, found.damaged.len(), found.last), (10, 1, 1_000_000));
        fs::write(folder.join(name(10, 40)), b"").unwrap();
        assert!(newest(run.path()).unwrap_err().to_string().contains("no checkpoint is intact"));
        write(&folder.join(BEST), &Checkpoint { number: 7, ..checkpoint() }).unwrap();
        assert_eq!(newest(run.path()).unwrap().unwrap().checkpoint.number, 7);
    }
}
