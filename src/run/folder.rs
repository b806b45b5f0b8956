//! The run's folder: made once, never one that holds another run's files; every file in it is replaced whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The folder of one run.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes the folder: `out` if it is given, otherwise `runs/NAME-TIME` with a number behind it if that is taken.
    ///
    /// # Errors
    /// When it can't be made, or `out` is there and not empty.
    pub fn create(out: Option<&Path>, name: &str) -> io::Result<Self> {
        if let Some(out) = out {
            fs::create_dir_all(out)?;
            if fs::read_dir(out)?.next().is_some() {
                let message =
                    "it is not empty, and another run's results are never overwritten: name another folder, or empty it";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
            }
            return Ok(Self(out.into()));
        }
        let runs = Path::new("runs");
        fs::create_dir_all(runs)?;
        let base = format!("{name}-{}", jiff::Zoned::now().strftime("%Y%m%d-%H%M%S"));
        for attempt in 1.. {
            let path = runs.join(if attempt == 1 { base.clone() } else { format!("{base}-{attempt}") });
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| Self(path)),
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Puts a file in place: written beside it, synced to the disk, renamed.
    ///
    /// # Errors
    /// When it can't be written; a file of that name stays as it was.
    pub fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let (path, temporary) = (self.0.join(name), self.0.join(format!(".{name}.new")));
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(temporary, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_files_in_it_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("a/b");
        Folder::create(Some(&out), "x").unwrap().write("summary.json", b"{}").unwrap();
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
        assert!(Folder::create(Some(&out), "x").unwrap_err().to_string().contains("not empty"));
    }
}
