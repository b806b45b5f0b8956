//! What files hold, by size and time of change: a file is read to its end once, and then known in each epoch and in later runs.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

/// A file that changed so recently isn't remembered: it could change again without another time.
const SETTLED: Duration = Duration::from_secs(2);

/// By what it is told that a file hasn't changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    /// In bytes.
    size: u64,
    /// Nanoseconds from 1970 to the last change of its content.
    modified: u64,
    /// The same of its name, owner or content, which no program sets back; 0 where the system has none.
    changed: u64,
    /// Its number on the disk; 0 where the system has none.
    number: u64,
}

impl State {
    /// `None` where there is no such file, or its time can't be told.
    pub fn of(path: &Path) -> Option<Self> {
        let about = fs::metadata(path).ok()?;
        let modified = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        let modified = u64::try_from(modified.as_nanos()).ok()?;
        let (changed, number) = on_disk(&about);
        Some(Self { size: about.len(), modified, changed, number })
    }

    fn is_settled(self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.checked_sub(Duration::from_nanos(self.modified.max(self.changed))).is_some_and(|age| age > SETTLED)
    }
}

#[cfg(unix)]
fn on_disk(about: &fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    let changed = about.ctime().saturating_mul(1_000_000_000).saturating_add(about.ctime_nsec());
    (u64::try_from(changed).unwrap_or(0), about.ino())
}

#[cfg(not(unix))]
fn on_disk(_: &fs::Metadata) -> (u64, u64) {
    (0, 0)
}

/// The digests of files.
pub(super) struct Digests {
    /// Where they are written down for later runs.
    list: PathBuf,
    known: Mutex<HashMap<PathBuf, (State, [u8; 32])>>,
}

/// More lines of files that have changed since than of others, and the list is written anew.
const STALE: usize = 1000;

impl Digests {
    /// Those that earlier runs wrote down in a folder; none where they can't be read.
    pub fn load(folder: &Path) -> Self {
        let list = folder.join("files");
        let text = fs::read_to_string(&list).unwrap_or_default();
        // What was cut off by a kill isn't a line.
        let lines = text.split_inclusive('\n').filter_map(|line| read(line.strip_suffix('\n')?));
        let known: HashMap<_, _> = lines.collect();
        let all = Self { list, known: Mutex::new(known) };
        if text.lines().count() > 2 * all.known.lock().unwrap_or_else(PoisonError::into_inner).len() + STALE {
            all.write_anew();
        }
        all
    }

    /// How a file is and the SHA-256 of what it holds; `None` where it can't be read.
    pub fn of(&self, path: &Path) -> Option<(State, [u8; 32])> {
        let state = State::of(path)?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(path).copied();
        if let Some((_, digest)) = known.filter(|(then, _)| *then == state) {
            return Some((state, digest));
        }
        let digest = digest(path).ok()?;
        if State::of(path)? != state {
            return None;
        }
        if state.is_settled() {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), (state, digest));
            // Without the line the file is read once more by the next run.
            let _unwritten = self.append(&line(path, state, &digest));
        }
        Some((state, digest))
    }

    /// One call, so that lines of several runs don't mix.
    fn append(&self, line: &str) -> io::Result<()> {
        OpenOptions::new().append(true).create(true).open(&self.list)?.write_all(line.as_bytes())
    }

    fn write_anew(&self) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let text: String = known.iter().map(|(path, (state, digest))| line(path, *state, digest)).collect();
        let own = self.list.with_extension(format!("{}.tmp", std::process::id()));
        if fs::write(&own, text).and_then(|()| fs::rename(&own, &self.list)).is_err() {
            let _it_may_not_be_there = fs::remove_file(&own);
        }
    }
}

fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let (mut file, mut sum, mut part) = (File::open(path)?, Sha256::new(), vec![0; 1 << 16]);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("no regular file"));
    }
    loop {
        match file.read(&mut part)? {
            0 => return Ok(sum.finalize().into()),
            read => sum.update(&part[..read]),
        }
    }
}

/// Bytes in hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `SIZE MODIFIED CHANGED NUMBER DIGEST PATH`, the last two in hexadecimal digits: a path may hold anything.
fn line(path: &Path, State { size, modified, changed, number }: State, digest: &[u8]) -> String {
    format!("{size} {modified} {changed} {number} {} {}\n", hex(digest), hex(path.as_os_str().as_encoded_bytes()))
}

fn read(line: &str) -> Option<(PathBuf, (State, [u8; 32]))> {
    let mut words = line.split(' ');
    let mut number = || words.next()?.parse().ok();
    let state = State { size: number()?, modified: number()?, changed: number()?, number: number()? };
    let digest = unhex(words.next()?)?.try_into().ok()?;
    Some((path(unhex(words.next()?)?)?, (state, digest)))
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.len().is_multiple_of(2).then(|| digits.as_bytes().chunks_exact(2).map(pair).collect())?
}

#[cfg(unix)]
fn path(bytes: Vec<u8>) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt as _;
    Some(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(not(unix))]
fn path(bytes: Vec<u8>) -> Option<PathBuf> {
    String::from_utf8(bytes).ok().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, bytes: &[u8], age: u64) {
        fs::write(path, bytes).unwrap();
        let time = SystemTime::now() - Duration::from_secs(age);
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn a_line_holds_any_path() {
        let state = State { size: 1, modified: 2, changed: 3, number: 4 };
        for name in ["a b/ü.png", "new\nline", ""] {
            let text = line(Path::new(name), state, &[7; 32]);
            assert_eq!(read(text.strip_suffix('\n').unwrap()), Some((name.into(), (state, [7; 32]))));
        }
        for wrong in ["", "1 2 3 4", "1 2 3 4 07 61", "1 2 3 x 07 61", "1 2 3 4 0 6"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_file_that_changes_is_read_again_whatever_its_times_say() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.png");
        write(&file, b"one", 100);
        let digests = Digests::load(dir.path());
        let of = |digests: &Digests| digests.of(&file).unwrap().1;
        let one = of(&digests);
        assert_eq!(one, <[u8; 32]>::from(Sha256::digest(b"one")));
        // The same length, and the time set back to what it was.
        let time = fs::metadata(&file).unwrap().modified().unwrap();
        fs::write(&file, b"two").unwrap();
        File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        if cfg!(unix) {
            assert_ne!(of(&digests), one);
            assert_ne!(of(&Digests::load(dir.path())), one);
        }
        assert!(digests.of(&dir.path().join("none")).is_none());
        assert!(digests.of(dir.path()).is_none(), "a folder holds no pixels");
    }

    #[test]
    fn what_an_earlier_run_read_is_known_and_half_a_line_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.png");
        write(&file, b"one", 100);
        let state = State::of(&file).unwrap();
        // A digest that isn't the file's own shows where it comes from.
        let known = line(&file, state, &[9; 32]);
        fs::write(dir.path().join("files"), &known).unwrap();
        assert_eq!(Digests::load(dir.path()).of(&file).unwrap(), (state, [9; 32]));
        for cut in [known.len() - 1, known.len() - 3, 10] {
            fs::write(dir.path().join("files"), &known[..cut]).unwrap();
            assert_ne!(Digests::load(dir.path()).of(&file).unwrap().1, [9; 32]);
        }
    }

    #[test]
    fn a_long_list_of_files_that_changed_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = Path::new("a.png");
        let state = |size| State { size, modified: 2, changed: 3, number: 4 };
        let text: String = (0..1500).map(|size| line(path, state(size), &[size as u8; 32])).collect();
        fs::write(dir.path().join("files"), text).unwrap();
        let digests = Digests::load(dir.path());
        assert_eq!(fs::read_to_string(dir.path().join("files")).unwrap(), line(path, state(1499), &[1499_u64 as u8; 32]));
        assert_eq!(digests.known.lock().unwrap().len(), 1);
    }
}
