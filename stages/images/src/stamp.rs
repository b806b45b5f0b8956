//! Remembers which files passed a check, for as long as the program runs: what costs time and depends on a file alone is done once, not in
//! every epoch. A file that has another length or time of change is another file.

use std::collections::HashSet;
use std::fs::Metadata;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What files are checked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Check {
    /// That the data of a JPEG are whole.
    Jpeg,
    /// That a file is likely to be a binary mask.
    Mask,
}

/// A file as it is now: its name, length and time of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(u64);

/// The files that passed, 8 bytes each.
static PASSED: Mutex<Option<HashSet<u64>>> = Mutex::new(None);

impl Stamp {
    /// None where the system doesn't tell when a file was changed.
    pub(crate) fn of(path: &Path, metadata: &Metadata) -> Option<Self> {
        let changed = metadata.modified().ok()?;
        let mut hasher = DefaultHasher::new();
        (path, metadata.len(), changed).hash(&mut hasher);
        Some(Self(hasher.finish()))
    }

    /// Whether this file passed a check before.
    pub(crate) fn passed(self, check: Check) -> bool {
        passed().as_ref().is_some_and(|passed| passed.contains(&self.key(check)))
    }

    /// Remembers that it did.
    pub(crate) fn pass(self, check: Check) {
        passed().get_or_insert_default().insert(self.key(check));
    }

    fn key(self, check: Check) -> u64 {
        self.0.wrapping_add(check as u64)
    }
}

fn passed() -> MutexGuard<'static, Option<HashSet<u64>>> {
    PASSED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tempfile::tempdir;

    use super::*;

    #[test]
    fn a_file_that_changes_is_checked_again() {
        let dir = tempdir().unwrap();
        let path = dir.path().join("file");
        let stamp = || Stamp::of(&path, &std::fs::metadata(&path).unwrap()).unwrap();
        std::fs::write(&path, b"abc").unwrap();
        let written = std::fs::metadata(&path).unwrap().modified().unwrap();
        let set = |seconds| {
            let file = std::fs::File::options().append(true).open(&path).unwrap();
            file.set_modified(written + Duration::from_secs(seconds)).unwrap();
        };
        set(1000);
        assert!(!stamp().passed(Check::Mask));
        stamp().pass(Check::Mask);
        assert!(stamp().passed(Check::Mask) && !stamp().passed(Check::Jpeg));
        set(1001);
        assert!(!stamp().passed(Check::Mask));
        std::fs::write(&path, b"abcd").unwrap();
        set(1000);
        assert!(!stamp().passed(Check::Mask));
    }
}
