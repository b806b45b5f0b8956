//! The folder of kept pairs: a folder for each set, a file for each pair, and a bound for all of them.
//!
//! ```text
//! CACHEDIR.TAG   for programs that make backups
//! lock           held for a moment by whoever changes how much is taken
//! taken          bytes of all files below, those that are being written included
//! files          what source files hold, see `digests`
//! SET/about.json what the set's pairs were made by
//! SET/used       held as long as a run uses the set; its time of change is the last use
//! SET/NAME       a pair
//! SET/NAME.*.tmp a pair that is being written, or was when its run was killed
//! ```
//! A pair is moved to its name when it is whole, so a kill leaves no half of it, and runs that share the folder see whole pairs alone. What makes room is
//! what no run uses: sets that aren't held, the longest unused first, and pairs that weren't read for long. A run's own pairs stay: thrown out in turn,
//! each would be gone before the next epoch asks for it. Nothing is counted, changed or removed that hasn't the name and the place of one of these files:
//! the folder may be anyone's.

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::entry::{self, Entry};
use crate::ImagePair;

/// A pair of the own set that wasn't read for so long gives way: its source file has changed, or is gone.
const UNUSED: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// The time of a pair's last use is as exact as this.
const EXACT: Duration = Duration::from_secs(24 * 60 * 60);

/// The folder in the user's that is ours.
const OWN: &str = "pipeline-samples";

/// How often and how long a run waits for the lock that others hold for a moment: two seconds in all.
const WAITS: u32 = 400;
const WAIT: Duration = Duration::from_millis(5);

/// Held as long as a run uses a set.
const USED: &str = "used";

/// What a set's pairs were made by.
const ABOUT: &str = "about.json";

/// A set in its folder.
#[derive(Debug)]
pub(super) struct Store {
    root: PathBuf,
    folder: PathBuf,
    limit: u64,
    /// Held, so that no other run makes room of this set; `None` where the folder can only be read.
    used: Option<File>,
    /// Whether nothing more is kept: there was no room, and there is none for the rest of the run.
    full: AtomicBool,
    /// Numbers files that are being written.
    written: AtomicU64,
}

/// What became of a pair that was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is there.
    There,
    /// The folder is at its limit, and nothing in it can go.
    NoRoom,
    /// The folder can only be read.
    ReadOnly,
}

impl Store {
    /// Opens a set in a folder, and counts what it takes. A set that is there and can't be written is only read.
    ///
    /// # Errors
    /// When the folder can't be written or locked, and has no such set.
    pub fn open(folder: &Path, set: &str, about: &Value, limit: u64) -> io::Result<Self> {
        let root = folder.join(OWN);
        let read_only = |error: io::Error| {
            let folder = root.join(set);
            if !folder.is_dir() {
                return Err(error);
            }
            tracing::debug!("{} is only read: {error}", folder.display());
            let (root, full) = (root.clone(), AtomicBool::new(true));
            Ok(Self { root, folder, limit, used: None, full, written: AtomicU64::new(0) })
        };
        Self::opened(&root, set, about, limit).or_else(read_only)
    }

    fn opened(root: &Path, set: &str, about: &Value, limit: u64) -> io::Result<Self> {
        let folder = root.join(set);
        fs::create_dir_all(root).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", root.display())))?;
        let held = Held::of(root)?;
        if !root.join("CACHEDIR.TAG").exists() {
            fs::write(
                root.join("CACHEDIR.TAG"),
                "Signature: 8a477f597d28d172789f06886806bc55\n# Samples that `cache` stages keep.\n",
            )?;
        }
        fs::create_dir_all(&folder)?;
        let used = OpenOptions::new().create(true).append(true).open(folder.join(USED))?;
        match used.try_lock() {
            // Nobody else uses it, so nobody is writing.
            Ok(()) => {
                sweep(&folder)?;
                used.unlock()?;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        used.lock_shared()?;
        used.set_times(FileTimes::new().set_modified(SystemTime::now()))?;
        if !folder.join(ABOUT).exists() {
            fs::write(folder.join(ABOUT), format!("{about:#}\n"))?;
        }
        let taken = held.recount()?;
        let store = Self {
            root: root.into(),
            folder,
            limit,
            used: Some(used),
            full: AtomicBool::new(false),
            written: AtomicU64::new(0),
        };
        // A limit that was lowered.
        if taken > limit {
            held.set(store.make_room(taken, 0)?)?;
        }
        Ok(store)
    }

    /// The set's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the set can only be read.
    pub fn is_read_only(&self) -> bool {
        self.used.is_none()
    }

    /// The bound in bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// A kept pair; `None` where there is none. One that isn't whole is removed.
    pub fn load(&self, name: &str) -> Option<ImagePair> {
        let path = self.folder.join(name);
        match entry::read(&path) {
            Ok(pair) => {
                self.touch(&path);
                Some(pair)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::debug!("{} is made again: {error}", path.display());
                if self.is_read_only() {
                    return None;
                }
                // If it stays, it is replaced.
                let _stays = Held::of(&self.root).and_then(|held| held.remove(&path));
                None
            }
        }
    }

    /// Notes that a pair was read, at most once a day.
    fn touch(&self, path: &Path) {
        if self.is_read_only() {
            return;
        }
        let age = fs::metadata(path).and_then(|about| about.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > EXACT) {
            // Only its turn to go comes earlier.
            let _untouched = OpenOptions::new().append(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
        }
    }

    /// Keeps a pair, where the bound leaves room for it.
    ///
    /// # Errors
    /// When it can't be written, on a full disk for example: nothing is left of it, and nothing more is kept.
    pub fn keep(&self, name: &str, pair: &ImagePair) -> io::Result<Kept> {
        if self.is_read_only() {
            return Ok(Kept::ReadOnly);
        }
        if self.full.load(Ordering::Relaxed) {
            return Ok(Kept::NoRoom);
        }
        let kept = self.write(name, pair);
        if !matches!(kept, Ok(Kept::There)) {
            self.full.store(true, Ordering::Relaxed);
        }
        kept
    }

    fn write(&self, name: &str, pair: &ImagePair) -> io::Result<Kept> {
        let entry = Entry::of(pair)?;
        let (path, bytes) = (self.folder.join(name), entry.bytes());
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let own = self.folder.join(format!("{name}.{}-{number}.tmp", std::process::id()));
        let mut file = {
            let held = Held::of(&self.root)?;
            // Another run may have kept it since.
            if path.exists() {
                return Ok(Kept::There);
            }
            let taken = held.taken()?;
            let taken = if taken + bytes > self.limit { self.make_room(taken, bytes)? } else { taken };
            if taken + bytes > self.limit {
                held.set(taken)?;
                return Ok(Kept::NoRoom);
            }
            let file = File::create(&own)?;
            // Whoever counts now counts all of it.
            if let Err(error) = file.set_len(bytes).and_then(|()| held.set(taken + bytes)) {
                let _it_stays = fs::remove_file(&own);
                return Err(error);
            }
            file
        };
        let written = entry.write(&mut file).and_then(|()| fs::rename(&own, &path));
        if let Err(error) = written {
            // What stays is swept, and counted again, when the set is opened next.
            let _it_stays = Held::of(&self.root).and_then(|held| held.remove(&own));
            return Err(error);
        }
        Ok(Kept::There)
    }

    /// Removes what no run uses until `bytes` more fit, and says what is taken then.
    fn make_room(&self, mut taken: u64, bytes: u64) -> io::Result<u64> {
        let mut idle = Vec::new();
        for set in sets(&self.root)?.into_iter().filter(|set| *set != self.folder) {
            let used = OpenOptions::new().create(true).append(true).open(set.join(USED))?;
            if used.try_lock().is_ok() {
                idle.push((used.metadata()?.modified()?, set, used));
            }
        }
        idle.sort_by_key(|(unused_since, ..)| *unused_since);
        for (_, set, _used) in idle {
            if taken + bytes <= self.limit {
                return Ok(taken);
            }
            for (path, size) in files(&set)? {
                fs::remove_file(path)?;
                taken = taken.saturating_sub(size);
            }
            // A set that is opened now makes its folder again.
            for name in [ABOUT, USED] {
                let _gone = fs::remove_file(set.join(name));
            }
            let _not_empty = fs::remove_dir(&set);
        }
        for (path, size) in files(&self.folder)? {
            if taken + bytes <= self.limit {
                break;
            }
            let age = fs::metadata(&path)?.modified()?.elapsed().unwrap_or_default();
            if age > UNUSED {
                fs::remove_file(path)?;
                taken = taken.saturating_sub(size);
            }
        }
        Ok(taken)
    }
}

/// The folder's lock, which is given back when this is dropped.
struct Held<'a> {
    root: &'a Path,
    _lock: File,
}

impl<'a> Held<'a> {
    /// Waits for others, who hold it for a moment; but not for one that is stopped.
    fn of(root: &'a Path) -> io::Result<Self> {
        let lock = OpenOptions::new().create(true).append(true).open(root.join("lock"))?;
        for _ in 0..WAITS {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { root, _lock: lock }),
                Err(TryLockError::WouldBlock) => std::thread::sleep(WAIT),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "another run holds its lock, and may be stopped"))
    }

    /// Bytes of all pairs.
    fn taken(&self) -> io::Result<u64> {
        let text = fs::read_to_string(self.root.join("taken")).unwrap_or_default();
        text.strip_suffix('\n').and_then(|number| number.parse().ok()).map_or_else(|| self.recount(), Ok)
    }

    /// Counts the bytes of all pairs, and notes them.
    fn recount(&self) -> io::Result<u64> {
        let bytes = |set: &PathBuf| files(set).map(|files| files.iter().map(|(_, bytes)| bytes).sum::<u64>());
        let taken = sets(self.root)?.iter().map(bytes).sum::<io::Result<u64>>()?;
        self.set(taken)?;
        Ok(taken)
    }

    fn set(&self, taken: u64) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(self.root.join("taken"))?;
        // Of one length, so that no write needs room on the disk but the first.
        let line = format!("{taken:020}\n");
        file.write_all(line.as_bytes())?;
        file.set_len(line.len() as u64)
    }

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()> {
        let bytes = fs::metadata(path)?.len();
        fs::remove_file(path)?;
        self.set(self.taken()?.saturating_sub(bytes))
    }
}

/// Our folder in the user's.
pub(super) fn own(folder: &Path) -> PathBuf {
    folder.join(OWN)
}

/// Whether a file or a folder is called as sets and pairs are.
fn is_name(name: &OsStr) -> bool {
    let digits = name.as_encoded_bytes();
    digits.len() == 32 && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// The folders of all sets.
fn sets(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut sets = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let path = entry.path();
        // Only what a run has made, whoever else uses the folder.
        if entry.file_type()?.is_dir() && is_name(&entry.file_name()) && path.join(ABOUT).is_file() {
            sets.push(path);
        }
    }
    Ok(sets)
}

/// The pairs of a set, those that are being written included, with their bytes.
fn files(set: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(set)? {
        let entry = entry?;
        let own = entry.file_name();
        let name = Path::new(&own).file_stem().map_or(own.as_os_str(), |stem| Path::new(stem).file_stem().unwrap_or(stem));
        if !is_name(name) {
            continue;
        }
        match entry.metadata() {
            Ok(about) if !about.is_file() => {}
            Ok(about) => files.push((entry.path(), about.len())),
            // Moved to its name meanwhile, under which it is listed or not: at worst it is counted when the folder is opened next.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// Removes what a killed run was writing.
fn sweep(set: &Path) -> io::Result<()> {
    for (path, _) in files(set)? {
        if path.extension().is_some_and(|extension| extension == "tmp") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::distinct;

    /// A short name as sets and pairs have it.
    fn name(short: &str) -> String {
        format!("{:032x}", short.bytes().fold(0, |number: u128, byte| number << 8 | u128::from(byte)))
    }

    fn open(root: &Path, set: &str, limit: u64) -> Store {
        Store::open(root, &name(set), &Value::Null, limit).unwrap()
    }

    impl Store {
        fn has(&self, short: &str) -> bool {
            self.load(&name(short)).is_some()
        }

        fn keeps(&self, short: &str, pair: &ImagePair) -> Kept {
            self.keep(&name(short), pair).unwrap()
        }
    }

    fn set(root: &Path, short: &str) -> PathBuf {
        root.join(OWN).join(name(short))
    }

    fn taken(root: &Path) -> u64 {
        Held::of(&root.join(OWN)).unwrap().taken().unwrap()
    }

    /// Bytes that the files really have.
    fn real(root: &Path) -> u64 {
        sets(&root.join(OWN)).unwrap().iter().flat_map(|set| files(set).unwrap()).map(|(_, bytes)| bytes).sum()
    }

    fn size() -> u64 {
        Entry::of(&distinct(8, 8)).unwrap().bytes()
    }

    #[test]
    fn a_pair_is_found_again_and_a_damaged_one_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let (root, pair) = (dir.path().join("a/samples"), distinct(8, 8));
        let store = open(&root, "set", 1 << 20);
        assert_eq!(store.load(&name("one")), None);
        assert_eq!(store.keeps("one", &pair), Kept::There);
        assert_eq!(store.load(&name("one")), Some(pair.clone()));
        assert_eq!((taken(&root), real(&root)), (size(), size()));
        let path = store.folder().join(name("one"));
        let mut bytes = fs::read(&path).unwrap();
        bytes[100] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(store.load(&name("one")), None);
        assert_eq!((taken(&root), path.exists()), (0, false));
        assert_eq!(store.keeps("one", &pair), Kept::There);
        assert_eq!(open(&root, "set", 1 << 20).load(&name("one")), Some(pair));
    }

    #[test]
    fn the_bound_holds_and_what_no_run_uses_makes_room() {
        let dir = tempfile::tempdir().unwrap();
        let (root, pair, size) = (dir.path(), distinct(8, 8), size());
        let limit = 4 * size + 10;
        {
            let old = open(root, "old", limit);
            ["a", "b"].iter().for_each(|name| assert_eq!(old.keeps(name, &pair), Kept::There));
        }
        let held = open(root, "held", limit);
        assert_eq!(held.keeps("a", &pair), Kept::There);
        let own = open(root, "own", limit);
        assert_eq!(own.keeps("a", &pair), Kept::There);
        assert_eq!(taken(root), 4 * size);
        assert_eq!(own.keeps("b", &pair), Kept::There, "the set that nobody uses is gone");
        assert!(!set(root, "old").exists() && taken(root) == 3 * size);
        assert_eq!(own.keeps("c", &pair), Kept::There);
        assert_eq!(own.keeps("d", &pair), Kept::NoRoom, "what is held stays, and the own pairs, too");
        assert_eq!(own.keeps("e", &pair), Kept::NoRoom);
        assert_eq!(["a", "b", "c"].map(|name| own.has(name)), [true; 3]);
        assert!(held.has("a"));
        assert_eq!((taken(root), real(root)), (4 * size, 4 * size));
        // A pair that wasn't read for long is of a file that has changed.
        drop((held, own));
        let old = FileTimes::new().set_modified(SystemTime::now() - 2 * UNUSED);
        File::options().append(true).open(set(root, "own").join(name("b"))).unwrap().set_times(old).unwrap();
        let (_held, own) = (open(root, "held", limit), open(root, "own", limit));
        assert_eq!(own.keeps("d", &pair), Kept::There);
        assert_eq!(["a", "b", "c", "d"].map(|name| own.has(name)), [true, false, true, true]);
        // A lower limit: what nobody uses goes at once.
        drop((_held, own));
        let own = open(root, "own", size);
        assert!(!set(root, "held").exists() && own.has("a"));
    }

    #[test]
    fn what_a_killed_run_left_is_swept_but_not_what_another_is_writing() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let first = open(root, "set", 1 << 20);
        let half = first.folder().join(name("one") + ".1-0.tmp");
        fs::write(&half, vec![0; 100]).unwrap();
        let second = open(root, "set", 1 << 20);
        assert!(half.exists(), "the first run may be writing it");
        assert_eq!(taken(root), 100);
        drop((first, second));
        let third = open(root, "set", 1 << 20);
        assert!(!half.exists() && taken(root) == 0);
        drop(third);
    }

    #[test]
    fn runs_that_share_a_folder_keep_within_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let (root, pair, size) = (dir.path(), distinct(8, 8), size());
        let limit = 20 * size;
        let [left, right] = ["left", "right"].map(|set| open(root, set, limit));
        std::thread::scope(|scope| {
            for (store, from) in [(&left, 0), (&left, 5), (&right, 0), (&right, 10)] {
                let pair = &pair;
                scope.spawn(move || {
                    for name in from..from + 15 {
                        store.keeps(&name.to_string(), pair);
                    }
                });
            }
        });
        assert_eq!(real(root), 20 * size);
        assert!(taken(root) >= real(root));
    }

    /// The folder may be anyone's, and may hold what looks a little like a set.
    #[test]
    fn nothing_of_others_is_counted_changed_or_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (root, pair, size) = (dir.path(), distinct(8, 8), size());
        let own = root.join(OWN);
        let theirs = [
            root.join("photographs/1.png"),
            root.join("taken"),
            root.join("files"),
            root.join(name("set")).join(name("one")),
            own.join("notes/thesis.tex"),
            own.join(name("no set")).join(name("one")),
            own.join(name("old")).join("thesis.tex"),
            own.join(name("old")).join("folder").join(name("one")),
        ];
        for path in &theirs {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![7; 5000]).unwrap();
        }
        assert_eq!(open(root, "old", 10 * size).keeps("a", &pair), Kept::There);
        let store = open(root, "set", size);
        assert_eq!((store.keeps("a", &pair), store.keeps("b", &pair)), (Kept::There, Kept::NoRoom));
        assert!(!set(root, "old").join(name("a")).exists());
        assert_eq!((taken(root), real(root)), (size, size));
        assert!(theirs.iter().all(|path| fs::read(path).unwrap() == vec![7; 5000]));
    }

    #[test]
    fn a_count_that_cannot_be_read_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let (root, pair, size) = (dir.path(), distinct(8, 8), size());
        let store = open(root, "set", 10 * size);
        store.keeps("a", &pair);
        for damage in ["", "xyz", "12", "99999999999999999999999\n", "00000000000000000001\nxyz"] {
            fs::write(root.join(OWN).join("taken"), damage).unwrap();
            assert_eq!(taken(root), size, "{damage}");
        }
        fs::remove_file(root.join(OWN).join("taken")).unwrap();
        assert_eq!((store.keeps("b", &pair), taken(root)), (Kept::There, 2 * size));
    }

    #[test]
    fn a_lock_that_is_never_given_back_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (root, pair) = (dir.path(), distinct(8, 8));
        assert_eq!(open(root, "set", 1 << 20).keeps("a", &pair), Kept::There);
        let lock = File::options().append(true).open(root.join(OWN).join("lock")).unwrap();
        lock.lock().unwrap();
        let store = open(root, "set", 1 << 20);
        assert!(store.is_read_only() && store.has("a"));
        assert_eq!(store.keeps("b", &pair), Kept::ReadOnly);
        assert!(Store::open(root, &name("other"), &Value::Null, 1).is_err());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(Store::open(&dir.path().join("file"), "set", &Value::Null, 1).is_err());
    }
}
