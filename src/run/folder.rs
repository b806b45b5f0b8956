//! The run's folder: made once, never one that holds another run's files; every file in it is replaced whole or not at all.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipeline_contract::files;

/// Where runs go by default.
const RUNS: &str = "runs";

/// The file that a running program holds locked, with its process id in it. It stays when the run has ended; the lock doesn't.
const LOCK: &str = ".lock";

/// The folder of one run, locked against other runs.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    /// Locked until the last clone is dropped, or the program ends however it may.
    _lock: Arc<File>,
}

impl Folder {
    /// Makes the folder: `out` if it is given, otherwise `runs/NAME-TIME` with a number behind it if that is taken.
    ///
    /// # Errors
    /// When it can't be made, or `out` is there and not empty.
    pub fn create(out: Option<&Path>, name: &str) -> io::Result<Self> {
        if let Some(out) = out {
            fs::create_dir_all(out)?;
            if fs::read_dir(out)?.next().is_some() {
                // That another run is using it says more than that it isn't empty.
                if out.join(LOCK).exists() {
                    Self::lock(out)?;
                }
                let message = "it is not empty, and results are never overwritten: name another folder, or continue that \
                               run with --resume";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
            }
            return Self::lock(out);
        }
        let runs = Path::new(RUNS);
        fs::create_dir_all(runs)?;
        let base = format!("{name}-{}", jiff::Zoned::now().strftime("%Y%m%d-%H%M%S"));
        for attempt in 1.. {
            let path = runs.join(if attempt == 1 { base.clone() } else { format!("{base}-{attempt}") });
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.and_then(|()| Self::lock(&path)),
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// The folder of a run to resume: `out` if it is given, otherwise the newest of `runs/NAME-*`. `None` if there is no
    /// run yet. Half-written files of a killed program are removed.
    ///
    /// # Errors
    /// When it can't be read or written, another run uses it, or `out` holds something else than a run.
    pub fn resume(out: Option<&Path>, name: &str) -> io::Result<Option<Self>> {
        let path = match out {
            Some(out) => Some(out.to_owned()),
            None => latest(Path::new(RUNS), name)?,
        };
        let Some(path) = path.filter(|path| path.is_dir()) else { return Ok(None) };
        if fs::read_dir(&path)?.next().is_none() {
            return Ok(None);
        }
        // The lock is the first file of a run; one that was killed right then has nothing else.
        if !path.join(LOCK).exists() && !path.join("resolved.yml").exists() {
            let message = "it has files, but no run: name the folder of the run to resume";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let folder = Self::lock(&path)?;
        files::sweep(&path)?;
        Ok(Some(folder))
    }

    /// A folder that isn't a run's, made if it isn't there, and locked like one.
    ///
    /// # Errors
    /// When it can't be made, or another program uses it.
    pub fn hold(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Self::lock(path)
    }

    fn lock(path: &Path) -> io::Result<Self> {
        let file = path.join(LOCK);
        let mut lock = File::options().read(true).write(true).create(true).truncate(false).open(&file)?;
        if let Err(error) = lock.try_lock() {
            let mut holder = String::new();
            let known = lock.read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
            let holder = if known { format!("process {}", holder.trim()) } else { "another process".to_owned() };
            return Err(match error {
                TryLockError::WouldBlock => io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    format!("{holder} is running in it: wait for that run, or stop it"),
                ),
                TryLockError::Error(error) => error,
            });
        }
        lock.set_len(0)?;
        writeln!(lock, "{}", std::process::id())?;
        Ok(Self { path: path.to_owned(), _lock: Arc::new(lock) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a file in place: written beside it, synced to the disk, renamed.
    ///
    /// # Errors
    /// When it can't be written; a file of that name stays unchanged.
    pub fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        files::replace(&self.path.join(name), content)
    }
}

/// The newest folder `NAME-TIME` with a run in it.
fn latest(runs: &Path, name: &str) -> io::Result<Option<PathBuf>> {
    let entries = match fs::read_dir(runs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        // A run called `fives` isn't one called `fives-512`.
        let time = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        if time.is_some_and(|time| time.len() >= 15 && time.bytes().all(|b| b.is_ascii_digit() || b == b'-')) {
            let resolved = entry.path().join("resolved.yml");
            // By when it was begun: names may be out of order where a clock was set.
            found.extend(fs::metadata(resolved).and_then(|about| about.modified()).map(|begun| (begun, entry.path())));
        }
    }
    Ok(found.into_iter().max().map(|(_, path)| path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_files_in_it_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("a/b");
        let folder = Folder::create(Some(&out), "x").unwrap();
        folder.write("resolved.yml", b"{}").unwrap();
        let busy = Folder::create(Some(&out), "x").unwrap_err().to_string();
        assert!(busy.contains(&format!("process {} is running in it", std::process::id())), "{busy}");
        assert!(Folder::resume(Some(&out), "x").is_err());
        drop(folder);
        assert!(Folder::create(Some(&out), "x").unwrap_err().to_string().contains("not empty"));
        assert_eq!(Folder::resume(Some(&out), "x").unwrap().unwrap().path(), out);
    }

    #[test]
    fn only_a_run_can_go_on() {
        let parent = tempfile::tempdir().unwrap();
        assert!(Folder::resume(Some(&parent.path().join("none")), "x").unwrap().is_none());
        assert!(Folder::resume(Some(parent.path()), "x").unwrap().is_none());
        fs::write(parent.path().join("photograph.png"), b"").unwrap();
        assert!(Folder::resume(Some(parent.path()), "x").unwrap_err().to_string().contains("no run"));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "nothing is put there");
    }

    #[test]
    fn the_newest_run_of_a_name_is_found() {
        let runs = tempfile::tempdir().unwrap();
        assert_eq!(latest(&runs.path().join("none"), "fives").unwrap(), None);
        for name in ["fives-20260101-000000", "fives-512-20270101-000000", "fives-20250101-000000-2", "fives-notes"] {
            fs::create_dir(runs.path().join(name)).unwrap();
            fs::write(runs.path().join(name).join("resolved.yml"), b"").unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(latest(runs.path(), "fives").unwrap(), Some(runs.path().join("fives-20250101-000000-2")));
    }
}
