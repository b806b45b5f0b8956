//! File patterns with captures, such as `Image_{child:[0-9]+}{eye:[LR]}.jpg`, and the files under a folder that fit one.
//! Not a general glob: there are no `[...]` classes outside a capture and no `{a,b}` alternatives.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::str::Chars;

use regex::{Regex, RegexBuilder};
use walkdir::WalkDir;

use crate::folder::{is_image, name};

/// What a pattern's captures matched, by name.
pub(crate) type Captures = BTreeMap<String, String>;

/// A pattern of paths below a folder.
///
/// `*` is any characters and `?` one character within a file's or folder's name, `**/` any folders or none, `{name}` a capture
/// of one or more characters, as few as fit, `{name:CLASS}` one that must match a regular expression. No capture spans folders;
/// a capture that stands twice must match the same text. All else stands for itself.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    /// The pattern as written in the file.
    pub(crate) text: String,
    /// The captures' names, in order, each once.
    pub(crate) names: Vec<String>,
    /// How many characters stand for themselves: of two patterns that fit one file, the one with more is meant.
    pub(crate) literals: usize,
    groups: Vec<String>,
    regex: Regex,
    folder: String,
    depth: usize,
}

impl Pattern {
    /// Reads a pattern.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix("./").unwrap_or(text);
        if text.is_empty() || text.starts_with('/') || text.ends_with('/') {
            return Err(format!("the pattern `{text}` is no path below `root`"));
        }
        if text.split('/').any(|part| part == "..") {
            return Err(format!("the pattern `{text}` leaves `root`: let `root` name the folder above"));
        }
        let (mut regex, mut groups, mut literals) = (String::from(r"\A"), Vec::new(), 0);
        let (mut chars, mut before) = (text.chars().peekable(), '/');
        while let Some(next) = chars.next() {
            match next {
                '*' if chars.next_if_eq(&'*').is_some() => match (before, chars.next()) {
                    ('/', Some('/')) => regex.push_str("(?:[^/]+/)*"),
                    _ => return Err(format!("in `{text}`, `**` doesn't stand for whole folders: write `**/`")),
                },
                '*' => regex.push_str("[^/]*"),
                '?' => regex.push_str("[^/]"),
                '{' => {
                    let (name, class) = capture(&mut chars).map_err(|wrong| format!("in `{text}`, {wrong}"))?;
                    regex.push_str(&format!("(?P<c{}>{class})", groups.len()));
                    groups.push(name);
                }
                '}' => return Err(format!("in `{text}`, a `}}` closes nothing")),
                other => {
                    literals += 1;
                    regex.push_str(&regex::escape(other.encode_utf8(&mut [0; 4])));
                }
            }
            before = if next == '*' && regex.ends_with("/)*") { '/' } else { next };
        }
        regex.push_str(r"\z");
        let regex = expression(&regex).map_err(|error| format!("`{text}` can't be read: {error}"))?;
        let mut names: Vec<String> = Vec::new();
        for name in &groups {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let (folder, depth) = extent(text);
        Ok(Self { text: text.into(), names, literals, groups, regex, folder, depth })
    }

    /// What the captures match in a path below the folder, its parts joined by `/`.
    pub(crate) fn captures(&self, path: &str) -> Option<Captures> {
        let found = self.regex.captures(path)?;
        let mut captures = Captures::new();
        for (at, name) in self.groups.iter().enumerate() {
            let text = found.name(&format!("c{at}"))?.as_str();
            let before = captures.insert(name.clone(), text.to_string());
            if text.contains('/') || before.is_some_and(|before| before != text) {
                return None;
            }
        }
        Some(captures)
    }

    /// What paths that differ from fitting ones in capital letters alone match, too.
    pub(crate) fn in_any_case(&self) -> Option<Regex> {
        RegexBuilder::new(self.regex.as_str()).case_insensitive(true).size_limit(1 << 20).dfa_size_limit(1 << 20).build().ok()
    }

    /// The folder below `root` that the pattern searches.
    pub(crate) fn folder(&self, root: &Path) -> PathBuf {
        if self.folder.is_empty() { root.to_path_buf() } else { root.join(&self.folder) }
    }

    /// The files below `root` as deep as the pattern reaches, each with its path below `root`; and what can't be listed.
    ///
    /// A link that leads nowhere is a file, of which reading fails, if it has the name of an image; hidden ones, as editors leave, have not. A link to a folder above holds nothing new,
    /// and a disk's `lost+found` nothing of the user's.
    pub(crate) fn files(&self, root: &Path) -> (Vec<(String, PathBuf)>, Vec<String>) {
        let (mut files, mut wrong) = (Vec::new(), Vec::new());
        let folder = self.folder(root);
        for entry in WalkDir::new(&folder).max_depth(self.depth).follow_links(true).sort_by_file_name() {
            let file = match entry {
                Ok(entry) if entry.file_type().is_file() => Some(entry.into_path()),
                Ok(_) => None,
                Err(error) => match error.path() {
                    // Links to a folder above, first: they are links that can't be followed, too.
                    Some(_) if error.loop_ancestor().is_some() => None,
                    Some(path) if is_dangling(path) => Some(path.to_path_buf()).filter(|path| is_image(path)),
                    Some(path) if name(path) == "lost+found" => None,
                    _ => {
                        wrong.push(error.to_string());
                        None
                    }
                },
            };
            if let Some(path) = file {
                let below = path.strip_prefix(&folder).unwrap_or(&path);
                let parts = below.components().map(|part| part.as_os_str().to_string_lossy());
                let start = (!self.folder.is_empty()).then(|| self.folder.as_str().into());
                files.push((start.into_iter().chain(parts).collect::<Vec<_>>().join("/"), path));
            }
        }
        (files, wrong)
    }
}

/// Whether a path is a link that can't be followed.
fn is_dangling(path: &Path) -> bool {
    path.is_symlink() && std::fs::metadata(path).is_err()
}

/// Reads the rest of `{name}` or `{name:CLASS}`; braces inside the class must balance (`[0-9]{2}`).
fn capture(chars: &mut Peekable<Chars<'_>>) -> Result<(String, String), String> {
    let (mut inside, mut open) = (String::new(), 1);
    for next in chars.by_ref() {
        match next {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            break;
        }
        inside.push(next);
    }
    if open > 0 {
        return Err(format!("`{{{inside}` isn't closed"));
    }
    let (name, class) = inside.split_once(':').unwrap_or((&inside, "[^/]+?"));
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("`{{{inside}}}` is no capture: write {{name}} or {{name:[0-9]+}}"));
    }
    if class.is_empty() {
        return Err(format!("`{{{inside}}}` has nothing after its colon"));
    }
    expression(class).map_err(|error| format!("`{class}` is no regular expression: {error}"))?;
    Ok((name.into(), class.into()))
}

/// A regular expression that takes little memory: `{2}{999}{999}` would be a million copies.
fn expression(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).size_limit(1 << 20).dfa_size_limit(1 << 20).build()
}

/// The folders that a pattern starts with by name, and how many levels it reaches below them.
fn extent(text: &str) -> (String, usize) {
    let mut fixed = Vec::new();
    let mut rest = text;
    while let Some((first, after)) = rest.split_once('/') {
        if first.contains(['*', '?', '{']) {
            break;
        }
        fixed.push(first);
        rest = after;
    }
    let depth = if rest.contains("**") { usize::MAX } else { rest.split('/').count() };
    (fixed.join("/"), depth)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, path: &str) -> Option<String> {
        let pattern = Pattern::parse(pattern).unwrap();
        let captures = pattern.captures(path)?;
        Some(pattern.names.iter().map(|name| captures[name].as_str()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn captures_and_wildcards_match_as_documented() {
        for (pattern, path, expected) in [
            ("Image_{id}.jpg", "Image_01L.jpg", Some("01L")),
            ("Image_{id}.jpg", "Image_01L.jpg.jpg", Some("01L.jpg")),
            ("Image_{id}.jpg", "Image_.jpg", None),
            ("Image_{id}.jpg", "sub/Image_01L.jpg", None),
            ("Image_{id}_1stHO.png", "Image_01L_1stHO.png", Some("01L")),
            ("Image_{child:[0-9]+}{eye:[LR]}.jpg", "Image_01L.jpg", Some("01 L")),
            ("Image_{child:[0-9]{2}}{eye:[LR]}.jpg", "Image_101L.jpg", None),
            ("Image_{child}{eye}.jpg", "Image_01L.jpg", Some("0 1L")),
            ("{id}_{class:dr|h|g}.*", "01_dr.tif", Some("01 dr")),
            ("**/{id}.png", "a/b/7.png", Some("7")),
            ("**/{id}.png", "7.png", Some("7")),
            ("a/**/b/{id}.png", "a/x/y/b/7.png", Some("7")),
            ("a/*/{id}.png", "a/x/y/7.png", None),
            ("{id}/{id}_m.png", "7/7_m.png", Some("7")),
            ("{id}/{id}_m.png", "7/8_m.png", None),
            ("?{id}.p(n)g", "x7.p(n)g", Some("7")),
            ("{id:.+}.png", "a/b.png", None),
        ] {
            assert_eq!(found(pattern, path).as_deref(), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn bad_patterns_say_what_is_wrong() {
        for (pattern, part) in [
            ("", "no path"),
            ("/abs/{id}.png", "no path"),
            ("../{id}.png", "leaves `root`"),
            ("a/../../{id}.png", "leaves `root`"),
            ("{id:(a{999}){999}}.png", "size limit"),
            ("a**/{id}.png", "`**/`"),
            ("a/**", "`**/`"),
            ("{id.png", "isn't closed"),
            ("id}.png", "closes nothing"),
            ("{a b}.png", "no capture"),
            ("{id:[0-9}.png", "no regular expression"),
            ("{id:}.png", "nothing after its colon"),
        ] {
            let error = Pattern::parse(pattern).unwrap_err();
            assert!(error.contains(part), "{pattern}: {error}");
        }
    }

    #[test]
    fn only_as_much_as_needed_is_searched() {
        assert_eq!(extent("CHASE_DB1/Image_{id}.jpg"), ("CHASE_DB1".into(), 1));
        assert_eq!(extent("{id}/photo.jpg"), (String::new(), 2));
        assert_eq!(extent("a/b/**/{id}.jpg"), ("a/b".into(), usize::MAX));
    }
}
