//! Fingerprints of files, each read once: what was read is kept in the user's cache folder, by size and time of change. What a
//! fingerprint is, the file's source says; who compares them isn't here.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pipeline_contract::{Fingerprint, Result, files};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The folder in the cache. Its number rises when fingerprints of the same file change.
const FOLDER: &str = "fingerprints-1";

/// A file that changed so recently isn't kept: it could change again without another time.
const SETTLED: Duration = Duration::from_secs(2);

/// Records that no run has added to for so long are removed.
const FORGOTTEN: Duration = Duration::from_secs(180 * 24 * 60 * 60);

/// A file to fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Wanted<'a> {
    /// What is looked at in it, such as `mask`.
    pub name: &'static str,
    /// Its path without links, so that one file has one path.
    pub path: &'a Path,
}

/// Reads one file.
pub(super) type Read = fn(&Path) -> Result<Option<Fingerprint>>;

/// The fingerprints of files, read in parallel where they aren't known from `cache`. One that can't be read is an error.
pub(super) fn fingerprints<'a>(
    cache: &Path,
    wanted: &HashMap<Wanted<'a>, Read>,
) -> HashMap<Wanted<'a>, Result<Option<Fingerprint>>> {
    let cache = cache.join(FOLDER);
    let mut records: BTreeMap<&Path, Record> = BTreeMap::new();
    for folder in wanted.keys().filter_map(|wanted| wanted.path.parent()) {
        records.entry(folder).or_insert_with(|| Record::load(&cache, folder));
    }
    let read = |(wanted, read): (&Wanted<'a>, &Read)| {
        let state = State::of(wanted.path);
        let key = wanted.path.file_name().and_then(|name| name.to_str()).map(|name| format!("{} {name}", wanted.name));
        let record = wanted.path.parent().and_then(|folder| records.get(folder));
        let known = key.as_ref().zip(state).and_then(|(key, state)| record?.get(key, state));
        if let Some(fingerprint) = known {
            return (*wanted, Ok(fingerprint), None);
        }
        let fingerprint = read(wanted.path);
        let kept = match (&fingerprint, key, state.filter(|state| state.is_settled())) {
            (Ok(fingerprint), Some(key), Some(state)) => Some((key, Entry { state, fingerprint: fingerprint.map(hex) })),
            _ => None,
        };
        (*wanted, fingerprint, kept)
    };
    let all: Vec<_> = wanted.par_iter().map(read).collect();
    let (mut found, mut changed) = (HashMap::new(), false);
    for (wanted, fingerprint, kept) in all {
        if let Some((entry, record)) = kept.zip(wanted.path.parent().and_then(|folder| records.get_mut(folder))) {
            record.entries.insert(entry.0, entry.1);
            (record.is_new, changed) = (true, true);
        }
        found.insert(wanted, fingerprint);
    }
    if changed && let Err(error) = keep(&cache, &records) {
        tracing::debug!("fingerprints can't be kept in {}: {error}", cache.display());
    }
    found
}

fn keep(cache: &Path, records: &BTreeMap<&Path, Record>) -> io::Result<()> {
    fs::create_dir_all(cache)?;
    for (folder, record) in records.iter().filter(|(_, record)| record.is_new) {
        record.store(cache, folder)?;
    }
    for entry in fs::read_dir(cache)?.flatten() {
        let age = entry.metadata().and_then(|about| about.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > FORGOTTEN) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// By what it is told that a file hasn't changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// In bytes.
    size: u64,
    /// Nanoseconds from 1970 to its last change.
    modified: u64,
}

impl State {
    fn of(path: &Path) -> Option<Self> {
        let about = fs::metadata(path).ok()?;
        let modified = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Self { size: about.len(), modified: u64::try_from(modified.as_nanos()).ok()? })
    }

    fn is_settled(self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.checked_sub(Duration::from_nanos(self.modified)).is_some_and(|age| age > SETTLED)
    }
}

/// What is kept of one file.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    state: State,
    /// In hexadecimal digits; `None`: the file says nothing of its sample.
    fingerprint: Option<String>,
}

/// What is kept of the files of one folder.
#[derive(Debug, Default)]
struct Record {
    /// By what is looked at and the file's name.
    entries: BTreeMap<String, Entry>,
    is_new: bool,
}

impl Record {
    /// Where the record of a folder is.
    fn path(cache: &Path, folder: &Path) -> PathBuf {
        let name = Sha256::digest(folder.as_os_str().as_encoded_bytes());
        cache.join(format!("{}.json", hex(name.into())))
    }

    /// Empty where there is none, or a damaged one.
    fn load(cache: &Path, folder: &Path) -> Self {
        let bytes = fs::read(Self::path(cache, folder)).unwrap_or_default();
        Self { entries: serde_json::from_slice(&bytes).unwrap_or_default(), is_new: false }
    }

    fn get(&self, key: &str, state: State) -> Option<Option<Fingerprint>> {
        let entry = self.entries.get(key).filter(|entry| entry.state == state)?;
        match &entry.fingerprint {
            None => Some(None),
            Some(digits) => unhex(digits).map(Some),
        }
    }

    fn store(&self, cache: &Path, folder: &Path) -> io::Result<()> {
        let (path, bytes) = (Self::path(cache, folder), serde_json::to_vec(&self.entries)?);
        // Other runs may write the same record now: each writes its own file before it takes the place.
        let own = path.with_extension(std::process::id().to_string());
        files::replace(&own, &bytes).and_then(|()| fs::rename(&own, &path))
    }
}

fn hex(fingerprint: Fingerprint) -> String {
    fingerprint.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Option<Fingerprint> {
    let bytes: Option<Vec<u8>> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    static READ: AtomicUsize = AtomicUsize::new(0);

    /// The file's first byte; nothing of an empty one.
    fn first(path: &Path) -> Result<Option<Fingerprint>> {
        READ.fetch_add(1, Ordering::SeqCst);
        Ok(fs::read(path)?.first().map(|byte| [*byte; 32]))
    }

    #[test]
    fn a_file_is_read_again_only_when_it_has_changed_or_its_record_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, a, b) = (dir.path().join("cache"), dir.path().join("a.png"), dir.path().join("b.png"));
        let long_ago = SystemTime::now() - Duration::from_secs(100);
        let write = |path: &Path, bytes: &[u8], time: SystemTime| {
            fs::write(path, bytes).unwrap();
            fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        };
        let look = |name: &'static str| {
            let wanted: HashMap<Wanted<'_>, Read> =
                [&a, &b].map(|path| (Wanted { name, path }, first as Read)).into_iter().collect();
            let before = READ.load(Ordering::SeqCst);
            let found = fingerprints(&cache, &wanted);
            let of = |path: &Path| found[&Wanted { name, path }].clone().unwrap().map(|bytes| bytes[0]);
            ([of(&a), of(&b)], READ.load(Ordering::SeqCst) - before)
        };
        write(&a, b"1", long_ago);
        write(&b, b"", long_ago);
        assert_eq!(look("mask"), ([Some(b'1'), None], 2));
        assert_eq!(look("mask"), ([Some(b'1'), None], 0));
        assert_eq!(look("photograph"), ([Some(b'1'), None], 2), "another part of the same file");
        write(&a, b"2", long_ago + Duration::from_nanos(1));
        assert_eq!(look("mask"), ([Some(b'2'), None], 1));
        // As old as the program's own look at it: it may change again.
        write(&a, b"3", SystemTime::now());
        assert_eq!(look("mask").1 + look("mask").1, 2);
        write(&a, b"3", long_ago);
        assert_eq!((look("mask").1, look("mask").1), (1, 0));
        let record = Record::path(&cache.join(FOLDER), dir.path());
        assert_eq!(fs::read_dir(record.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
        for damage in [&b"{\"mask a.png\": 3}"[..], b"\xff", b""] {
            fs::write(&record, damage).unwrap();
            assert_eq!(look("mask"), ([Some(b'3'), None], 2));
            assert_eq!(look("mask").1, 0);
        }
        // A cache that can't be written costs only time.
        fs::remove_dir_all(&cache).unwrap();
        fs::write(&cache, "").unwrap();
        assert_eq!(look("mask"), ([Some(b'3'), None], 2));
    }
}
