//! Walks the folders of a pattern: the files below them, and the places where nothing can be read. Only what a pattern could fit is looked at; whose
//! file it is, the sources decide.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::folder::{is_image, is_nobodys};
use crate::form::{exact, normal, shown, with_form};
use crate::pattern::Pattern;

/// What a walk has found.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    /// The folder that was searched.
    pub(crate) folder: PathBuf,
    /// Files, each by its path below the root, as [`exact`] has it, its parts joined by `/`.
    pub(crate) files: Vec<(String, PathBuf)>,
    /// Folders that may hold fitting files and can't be listed: their paths below the root, and why.
    pub(crate) unlisted: Vec<(String, String)>,
    /// Links that lead nowhere, where the pattern has a folder.
    pub(crate) dangling: Vec<String>,
    /// Why nothing could be searched.
    pub(crate) wrong: Option<String>,
}

/// The files below `root` as deep as the pattern reaches.
///
/// A link that leads nowhere, or to itself, is a file of which reading fails, if it is an image by its name and the pattern fits it; else it is nobody's. A link to
/// a folder above holds nothing new. What is hidden, or left by programs, isn't looked at.
pub(crate) fn files(pattern: &Pattern, root: &Path) -> Walked {
    let folder = match resolve(root, &pattern.folder) {
        Ok(folder) => folder,
        Err(wrong) => return Walked { folder: root.into(), wrong: Some(wrong), ..Walked::default() },
    };
    let below = |path: &Path| {
        let start = Some(pattern.folder.clone()).filter(|start| !start.is_empty());
        let parts = path.strip_prefix(&folder).unwrap_or(path).components().map(|part| exact(part.as_os_str()));
        start.into_iter().chain(parts).collect::<Vec<_>>().join("/")
    };
    let real = folder.canonicalize().ok();
    // The walk itself knows only the folders that it has been through.
    let leads_above = |entry: &DirEntry| {
        let to = if entry.path_is_symlink() && entry.file_type().is_dir() { entry.path().canonicalize().ok() } else { None };
        to.zip(real.as_ref()).is_some_and(|(to, real)| real.starts_with(to))
    };
    let is_wanted = |entry: &DirEntry| {
        entry.depth() == 0
            || !is_nobodys(&exact(entry.file_name()))
                && !leads_above(entry)
                && (!entry.file_type().is_dir() || pattern.may_fit_below(&below(entry.path())))
    };
    let (mut files, mut unlisted, mut dangling) = (Vec::new(), Vec::new(), Vec::new());
    let mut wrong = None;
    let walk = WalkDir::new(&folder).max_depth(pattern.depth).follow_links(true).sort_by_file_name();
    for entry in walk.into_iter().filter_entry(is_wanted) {
        let error = match entry {
            Ok(entry) => {
                if entry.file_type().is_file() {
                    files.push((below(entry.path()), entry.into_path()));
                }
                continue;
            }
            Err(error) => error,
        };
        let Some(path) = error.path().filter(|_| error.depth() > 0) else {
            wrong = Some(error.to_string());
            continue;
        };
        let name = below(path);
        // Links to a folder above, first: they are links that can't be followed, too.
        if error.loop_ancestor().is_some() || is_nobodys(&exact(path.file_name().unwrap_or_default())) {
            continue;
        }
        if is_dangling(path) {
            if is_image(path) && pattern.fit(&name).is_some() {
                files.push((name, path.into()));
            } else if pattern.has_folder(&name) || (path.extension().is_none() && pattern.may_fit_below(&name)) {
                dangling.push(name);
            }
        } else {
            let why = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
            unlisted.push((name, why));
        }
    }
    Walked { folder, files, unlisted, dangling, wrong }
}

/// The folder of these parts below `root`: by their bytes, else the one whose name has the same normal form.
fn resolve(root: &Path, parts: &str) -> Result<PathBuf, String> {
    let mut at = root.to_path_buf();
    for part in parts.split('/').filter(|part| !part.is_empty()) {
        let written = at.join(part);
        if written.exists() {
            at = written;
            continue;
        }
        let entries = std::fs::read_dir(&at).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
        let mut alike: Vec<PathBuf> = entries
            .iter()
            .filter(|entry| normal(&exact(&entry.file_name())) == normal(part) && entry.path().is_dir())
            .map(std::fs::DirEntry::path)
            .collect();
        alike.sort();
        at = match alike.as_slice() {
            [] => written,
            [one] => one.clone(),
            several => {
                let names: Vec<String> =
                    several.iter().map(|path| with_form(&exact(path.file_name().unwrap_or_default()))).collect();
                return Err(format!("which of these in {} is `{}`: {}?", at.display(), shown(part), names.join(", ")));
            }
        };
    }
    Ok(at)
}

/// Whether a path is a link that can't be followed.
fn is_dangling(path: &Path) -> bool {
    path.is_symlink() && std::fs::metadata(path).is_err()
}
