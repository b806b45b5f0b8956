//! The files of `image_pairs`: each goes to the pattern that fits it best. Also what is near them and isn't read: files that fit no pattern,
//! folders that can't be listed, and images that have a file for each channel. Joins nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::folder::looks_like_image;
use crate::form::shown;
use crate::found::Found;
use crate::pair_rules::Rules;
use crate::pairing::NameKey;
use crate::pattern::{Captures, Pattern};
use crate::problems::{few, listed};
use crate::search;

/// A file that fits a pattern.
pub(crate) struct File {
    /// Its path below the root, for people.
    pub(crate) name: String,
    /// The same as `form` has it, with all of its bytes.
    pub(crate) text: String,
    pub(crate) path: PathBuf,
    /// What its name says, in normal form.
    pub(crate) captures: Captures,
    exact: Captures,
}

impl File {
    /// What joins it to a file of patterns with these captures.
    pub(crate) fn key(&self, names: &[String]) -> NameKey {
        let of = |captures: &Captures| names.iter().map(|name| captures.get(name).cloned().unwrap_or_default()).collect();
        NameKey { exact: of(&self.exact), normal: of(&self.captures) }
    }

    /// The values of its captures, joined: in normal form, and as the bytes have them.
    fn ids(&self, names: &[String]) -> [String; 2] {
        let of = |captures: &Captures| {
            let values = names.iter().filter_map(|name| captures.get(name).map(String::as_str));
            shown(&values.collect::<Vec<_>>().join("_"))
        };
        [of(&self.captures), of(&self.exact)]
    }
}

/// All that patterns fit.
pub(crate) struct Gathered {
    pub(crate) images: Vec<File>,
    pub(crate) masks: Vec<File>,
    /// Files that say where a photograph shows the eye.
    pub(crate) fields: Vec<File>,
}

impl Gathered {
    /// Looks for them, and tells `found` what is wrong.
    pub(crate) fn below(root: &Path, rules: &Rules, found: &mut Found) -> Self {
        let roles = [("image", &rules.images), ("mask", &rules.masks), ("field of view", &rules.fields)];
        let all: Vec<&Pattern> = roles.iter().flat_map(|(_, patterns)| patterns.iter()).collect();
        let mut unfit = BTreeMap::new();
        let [images, masks, fields] = roles.map(|(what, wanted)| gather(wanted, &all, root, what, found, &mut unfit));
        tell_channels(&images, rules, &unfit, root, found);
        tell_unfit(&unfit, &all, root, found);
        Self { images, masks, fields }
    }
}

/// The samples' ids: their captures in the order of the pattern, in normal form; as the bytes have them, where two of one kind differ in Unicode
/// form alone.
pub(crate) struct Ids<'a> {
    names: &'a [String],
    twins: BTreeSet<String>,
}

impl<'a> Ids<'a> {
    /// Of samples with these captures.
    pub(crate) fn of(names: &'a [String], files: &Gathered) -> Self {
        let mut twins = BTreeSet::new();
        for files in [&files.images, &files.masks] {
            let mut forms = BTreeMap::<String, BTreeSet<String>>::new();
            for [normal, exact] in files.iter().map(|file| file.ids(names)) {
                forms.entry(normal).or_default().insert(exact);
            }
            twins.extend(
                forms
                    .into_iter()
                    .filter(|(_, forms)| forms.len() > 1)
                    .flat_map(|(normal, forms)| forms.into_iter().chain([normal])),
            );
        }
        Self { names, twins }
    }

    /// The id of a file's sample.
    pub(crate) fn id(&self, file: &File) -> String {
        let [normal, exact] = file.ids(self.names);
        if self.twins.contains(&normal) { exact } else { normal }
    }

    /// Ids that another one differs from in Unicode form alone.
    pub(crate) fn twins(&self) -> impl Iterator<Item = &String> {
        self.twins.iter()
    }

    /// Whether an id is one of these.
    pub(crate) fn is_twin(&self, id: &str) -> bool {
        self.twins.contains(id)
    }
}

/// The files that fit `wanted` and don't fit one of `all` better. What looks like an image and fits none of them goes to `unfit`.
fn gather(
    wanted: &[Pattern],
    all: &[&Pattern],
    root: &Path,
    what: &str,
    found: &mut Found,
    unfit: &mut BTreeMap<String, String>,
) -> Vec<File> {
    let mut fitting = BTreeMap::new();
    for pattern in wanted {
        let search::Walked { folder, files, unlisted, dangling, wrong } = search::files(pattern, root);
        let before = fitting.len();
        for (text, path) in &files {
            let closest = all.iter().filter_map(|other| other.fit(text)).map(|fit| fit.closeness).max();
            match (pattern.fit(text), closest) {
                (Some(fit), Some(closest)) if fit.closeness == closest => {
                    fitting.entry(text.clone()).or_insert_with(|| File {
                        name: shown(text),
                        text: text.clone(),
                        path: path.clone(),
                        captures: fit.captures,
                        exact: fit.exact,
                    });
                }
                (_, None) if looks_like_image(path) => drop(unfit.insert(shown(text), text.clone())),
                _ => {}
            }
        }
        if let Some(names) = few(&dangling) {
            let message = format!("links that lead nowhere, where `{}` has a folder: {names}", pattern.text);
            found.hint("dangling_links", root, message);
        }
        if fitting.len() == before {
            let there: Vec<String> = files.iter().take(5).map(|(text, _)| shown(text)).collect();
            let there = match (there.as_slice(), wrong.as_ref(), unlisted.first()) {
                (_, Some(error), _) => error.clone(),
                ([], None, Some((name, error))) => format!("{} can't be listed: {error}", shown(name)),
                ([], None, None) => "there are no files".into(),
                (names, None, _) => format!("there are {}", names.join(", ")),
            };
            found.problems.add(format!("no {what} fits `{}` in {}: {there}", pattern.text, folder.display()));
        } else {
            found.problems.add_names("can't be listed", &wrong.into_iter().collect::<Vec<_>>());
            let name = |(text, error): (String, String)| (shown(&text), format!("{} ({error})", shown(&text)));
            found.incomplete("folders that can't be listed, where files may fit", unlisted.into_iter().map(name).collect());
        }
    }
    fitting.into_values().collect()
}

/// Tells once of the files that look like images and fit no pattern.
fn tell_unfit(unfit: &BTreeMap<String, String>, all: &[&Pattern], root: &Path, found: &mut Found) {
    let names: Vec<String> = unfit.keys().cloned().collect();
    let Some(shown) = few(&names) else { return };
    let any_case: Vec<_> = all.iter().filter_map(|pattern| pattern.in_any_case()).collect();
    let but_for_case = unfit.iter().filter(|(_, text)| any_case.iter().any(|regex| regex.is_match(text)));
    let but_for_case: Vec<String> = but_for_case.map(|(name, _)| name.clone()).collect();
    let case = few(&but_for_case).map_or_else(String::new, |names| format!("; but for capital letters one would fit {names}"));
    let (count, shown_root) = (names.len(), root.display());
    let files =
        if count == 1 { "1 file that looks like an image fits" } else { &format!("{count} files that look like images fit") };
    found.hint("fits_no_pattern", root, format!("in {shown_root}, {files} no pattern: {shown}{case}"));
}

/// An image in several files, one a channel, isn't read: nnU-Net has `case_0000.png`, `case_0001.png`, ..., and the pattern fits the first alone.
fn tell_channels(images: &[File], rules: &Rules, unfit: &BTreeMap<String, String>, root: &Path, found: &mut Found) {
    let second = |name: &str| {
        name.rsplit_once("_0000.").is_some_and(|(case, ending)| unfit.contains_key(&format!("{case}_0001.{ending}")))
    };
    let several: Vec<String> = images.iter().map(|image| &image.name).filter(|name| second(name)).cloned().collect();
    if several.is_empty() || !rules.images.iter().any(|pattern| pattern.text.contains("_0000.")) {
        return;
    }
    found.problems.add(format!("images with a file for each channel (_0000, _0001, ...) aren't read: {}", listed(&several)));
    let mend = "join the channels of each case into one RGB file, as `magick case_0000.png case_0001.png case_0002.png -combine \
                rgb/case.png` does, and let `image` name these files; or move all but _0000 away to read the first channel alone";
    found.hint("channels_apart", root, mend);
}
