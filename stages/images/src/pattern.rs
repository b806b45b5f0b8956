//! File patterns with captures, such as `Image_{child:[0-9]+}{eye:[LR]}.jpg`, and what they match in a path. `search` finds the files.
//! Not a general glob: there are no `[...]` classes outside a capture and no `{a,b}` alternatives.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use regex::{Regex, RegexBuilder};

use crate::form::normal;

/// What a pattern's captures matched, by name.
pub(crate) type Captures = BTreeMap<String, String>;

/// A pattern of paths below a folder.
///
/// `*` is any characters and `?` one character within a file's or folder's name, `**/` any folders or none, `{name}` a capture
/// of one or more characters, as few as fit, `{name:CLASS}` one that must match a regular expression. No capture spans folders;
/// a capture that stands twice must match the same text. All else stands for itself. Names are matched in Unicode normal form C, and extensions
/// (both of `.ppm.gz`) in any case.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    /// The pattern as written in the file.
    pub(crate) text: String,
    /// The captures' names, in order, each once.
    pub(crate) names: Vec<String>,
    /// The folders that it starts with by name, below the root.
    pub(crate) folder: String,
    /// How many levels it reaches below that folder.
    pub(crate) depth: usize,
    /// How many characters stand for themselves.
    literals: usize,
    groups: Vec<Group>,
    regex: Regex,
    written: Regex,
    /// What the first folder of a path matches, the first two, and so on.
    folders: Vec<Regex>,
}

/// A capture of the regular expression.
#[derive(Debug, Clone)]
struct Group {
    name: String,
    /// Whether it stands in the extension, whose case says nothing.
    in_extension: bool,
}

/// How a path fits a pattern.
#[derive(Debug)]
pub(crate) struct Fit {
    /// What the captures match in the path's normal form; of its extension, in lower case.
    pub(crate) captures: Captures,
    /// The same in the path as it is.
    pub(crate) exact: Captures,
    /// Of two patterns that fit, the one with the greater is meant: it has more characters that stand for themselves, or the extension's case.
    pub(crate) closeness: (usize, bool),
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
        let source = normal(text);
        // One with the extension as written, one with any case.
        let (mut written, mut any_case) = (String::from(r"\A"), String::from(r"\A"));
        let (mut groups, mut literals, mut folders, mut is_open, mut before) = (Vec::new(), 0, Vec::new(), false, '/');
        let (name, extension) = source.split_at(extension_at(&source).unwrap_or(source.len()));
        for (half, in_extension) in [(name, false), (extension, true)] {
            any_case.push_str(if in_extension { "(?i:" } else { "(?:" });
            let mut chars = half.chars().peekable();
            while let Some(next) = chars.next() {
                let piece = match next {
                    '*' if chars.next_if_eq(&'*').is_some() => match (before, chars.next()) {
                        ('/', Some('/')) => {
                            is_open = true;
                            "(?:[^/]+/)*".into()
                        }
                        _ => return Err(format!("in `{text}`, `**` doesn't stand for whole folders: write `**/`")),
                    },
                    '*' => "[^/]*".into(),
                    '?' => "[^/]".into(),
                    '{' => {
                        let (name, class) = capture(&mut chars).map_err(|wrong| format!("in `{text}`, {wrong}"))?;
                        let piece = format!("(?P<c{}>{class})", groups.len());
                        groups.push(Group { name, in_extension });
                        piece
                    }
                    '}' => return Err(format!("in `{text}`, a `}}` closes nothing")),
                    other => {
                        if other == '/' && !is_open {
                            folders.push(format!(r"{written}\z"));
                        }
                        literals += 1;
                        regex::escape(other.encode_utf8(&mut [0; 4]))
                    }
                };
                written.push_str(&piece);
                any_case.push_str(&piece);
                before = if next == '*' && piece.ends_with("/)*") { '/' } else { next };
            }
            any_case.push(')');
        }
        written.push_str(r"\z");
        any_case.push_str(r"\z");
        let read = |source: &String| expression(source).map_err(|error| format!("`{text}` can't be read: {error}"));
        let mut names: Vec<String> = Vec::new();
        for Group { name, .. } in &groups {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let folder = named_folders(text);
        let depth =
            if is_open { usize::MAX } else { folders.len() + 1 - folder.split('/').filter(|part| !part.is_empty()).count() };
        Ok(Self {
            text: text.into(),
            names,
            folder,
            depth,
            literals,
            groups,
            regex: read(&any_case)?,
            written: read(&written)?,
            folders: folders.iter().map(read).collect::<Result<_, _>>()?,
        })
    }

    /// How a path below the root fits, its parts joined by `/`.
    pub(crate) fn fit(&self, path: &str) -> Option<Fit> {
        let form = normal(path);
        let captures = self.captures(&form)?;
        // Where other parts of the path are matched than in the normal form, that counts.
        let alike =
            |exact: &Captures| exact.iter().all(|(name, text)| captures.get(name).is_some_and(|same| *same == normal(text)));
        let exact = if form == path { None } else { self.captures(path).filter(alike) };
        let exact = exact.unwrap_or_else(|| captures.clone());
        let closeness = (self.literals, self.written.is_match(&form));
        Some(Fit { captures, exact, closeness })
    }

    fn captures(&self, path: &str) -> Option<Captures> {
        let found = self.regex.captures(path)?;
        let mut captures = Captures::new();
        for (at, Group { name, in_extension }) in self.groups.iter().enumerate() {
            let text = found.name(&format!("c{at}"))?.as_str();
            let text = if *in_extension { text.to_lowercase() } else { text.to_owned() };
            if text.contains('/') || captures.get(name).is_some_and(|before| *before != text) {
                return None;
            }
            captures.insert(name.clone(), text);
        }
        Some(captures)
    }

    /// Whether files below this folder may fit.
    pub(crate) fn may_fit_below(&self, folder: &str) -> bool {
        self.folders.get(folder.matches('/').count()).map_or(self.depth == usize::MAX, |regex| regex.is_match(&normal(folder)))
    }

    /// Whether the pattern has a folder in this place, by more than `**/`, that this path fits.
    pub(crate) fn has_folder(&self, path: &str) -> bool {
        self.folders.get(path.matches('/').count()).is_some_and(|regex| regex.is_match(&normal(path)))
    }

    /// What paths that differ from fitting ones in capital letters alone match, too.
    pub(crate) fn in_any_case(&self) -> Option<Regex> {
        RegexBuilder::new(self.regex.as_str()).case_insensitive(true).size_limit(1 << 20).dfa_size_limit(1 << 20).build().ok()
    }
}

/// Where the extension begins: after the last dot of the file's name, or the last but one of `.ppm.gz`. Dots inside of captures don't count.
fn extension_at(text: &str) -> Option<usize> {
    let (mut open, mut dots) = (0_usize, Vec::new());
    for (at, next) in text.char_indices() {
        match next {
            '{' => open += 1,
            '}' => open = open.saturating_sub(1),
            '/' if open == 0 => dots.clear(),
            '.' if open == 0 => dots.push(at + 1),
            _ => {}
        }
    }
    match dots.as_slice() {
        [.., last_but_one, last] if text[*last..].eq_ignore_ascii_case("gz") => Some(*last_but_one),
        [.., last] => Some(*last),
        [] => None,
    }
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

/// The folders that a pattern starts with by name.
fn named_folders(text: &str) -> String {
    let mut named = Vec::new();
    let mut rest = text;
    while let Some((first, after)) = rest.split_once('/') {
        if first.contains(['*', '?', '{']) {
            break;
        }
        named.push(first);
        rest = after;
    }
    named.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, path: &str) -> Option<String> {
        let pattern = Pattern::parse(pattern).unwrap();
        let captures = pattern.fit(path)?.captures;
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
        for (pattern, folder, depth) in [
            ("CHASE_DB1/Image_{id}.jpg", "CHASE_DB1", 1),
            ("{id}/photo.jpg", "", 2),
            ("{id:[^/]+}/photo.jpg", "", 2),
            ("a/b/**/{id}.jpg", "a/b", usize::MAX),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            assert_eq!((&pattern.folder[..], pattern.depth), (folder, depth));
        }
        let pattern = Pattern::parse("a/{id:[0-9]+}/x*/**/{id}.jpg").unwrap();
        for (folder, may, has) in [
            ("a", true, true),
            ("b", false, false),
            ("a/7", true, true),
            ("a/b", false, false),
            ("a/7/xy", true, true),
            ("a/7/y", false, false),
            ("a/7/xy/z", true, false),
        ] {
            assert_eq!((pattern.may_fit_below(folder), pattern.has_folder(folder)), (may, has), "{folder}");
        }
    }

    #[test]
    fn an_extension_fits_in_any_case_and_a_name_in_its_own() {
        for (pattern, path, expected) in [
            ("{id}.png", "3.PNG", Some("3")),
            ("{id}.PNG", "3.png", Some("3")),
            ("im{id}.ppm.gz", "im1.PPM.GZ", Some("1")),
            ("im{id}.ppm.gz", "IM1.ppm.gz", None),
            ("{id}.v1.jp*g", "3.v1.JPEG", Some("3")),
            ("{id}.v1.jpg", "3.V1.jpg", None),
            ("{id}.{kind:jpg|tif}", "3.TIF", Some("3 tif")),
            ("{id:[a-z]+}.png", "A.png", None),
            ("a.b/{id}", "A.B/3", None),
        ] {
            assert_eq!(found(pattern, path).as_deref(), expected, "{pattern} on {path}");
        }
        let closeness = |pattern: &str| Pattern::parse(pattern).unwrap().fit("3.PNG").unwrap().closeness;
        assert!(closeness("{id}.PNG") > closeness("{id}.png") && closeness("3*.png") > closeness("{id}.PNG"));
    }

    #[test]
    fn names_and_patterns_fit_in_any_unicode_form_and_keep_their_own() {
        let (nfc, nfd) = ("\u{e9}", "e\u{301}");
        for form in [nfc, nfd] {
            for (pattern, captured) in
                [(format!("{form}_{{id}}.png"), "1"), ("{a:.}_{id}.png".into(), "\u{e9} 1"), ("?_{id}.png".into(), "1")]
            {
                for name in [nfc, nfd] {
                    assert_eq!(found(&pattern, &format!("{name}_1.png")).as_deref(), Some(captured), "{pattern} {name}");
                }
            }
        }
        let fit = |path: &str| Pattern::parse("{id}.png").unwrap().fit(path).unwrap();
        for form in [nfc, nfd] {
            let Fit { captures, exact, .. } = fit(&format!("{form}.png"));
            assert_eq!((&captures["id"][..], &exact["id"][..]), (nfc, form));
        }
    }
}
