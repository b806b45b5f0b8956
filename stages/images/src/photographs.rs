//! `photographs`: photographs without masks, for a network that is trained already. Lists files, folders and globs; reads none of the files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pipeline_contract::{
    BuildContext, Checked, Facts, Finding, OptionSpec, OptionType, Place, Result, StageError, StageKind, fact,
};
use serde::Deserialize;
use serde_json::json;

use crate::SampleFiles;
use crate::exclude::{Exclude, exclude_option};
use crate::folder::{is_image, name, stem};
use crate::form::{exact, shown};
use crate::listing::{Listing, natural};
use crate::open::open;
use crate::pattern::Pattern;
use crate::search;
use crate::values::texts;

#[derive(Deserialize)]
struct Options {
    #[serde(deserialize_with = "texts")]
    files: Vec<String>,
    exclude: Exclude,
    largest: Option<[usize; 2]>,
}

/// Declares `photographs`.
pub fn kind() -> StageKind {
    let side = || OptionType::Integer { min: 1, max: 1 << 30 };
    StageKind::source("photographs", "lists photographs without masks", source)
        .option(OptionSpec::required(
            "files",
            OptionType::AnyOf(vec![OptionType::Text, OptionType::List { of: Box::new(OptionType::Text), min: 1, max: 1 << 24 }]),
            "photographs, folders of photographs, or patterns such as photos/**/*.png; a file's name without its ending is its sample's id",
        ))
        .option(exclude_option())
        .option(OptionSpec::optional(
            "largest",
            OptionType::List { of: Box::new(side()), min: 2, max: 2 },
            "height and width in pixels of the one with the most, if they are known: for the plan",
        ))
        .check::<Options>(|options, _| {
            let mut facts = Facts::default();
            if let Some(largest) = options.largest {
                facts.set(fact::LARGEST, json!(largest), "largest");
            }
            let wrong = options.files.iter().find(|file| file.is_empty());
            let finding = wrong.map(|_| Finding::error(Place::Option("files".into()), "an empty text names no file"));
            Checked { facts, findings: finding.into_iter().collect() }
        })
        .example("- {id: files, use: photographs, with: {files: [photos, more/*.png]}}")
}

fn source(options: Options, cx: &BuildContext) -> Result<Listing> {
    let excluded = options.exclude.read()?;
    let Listed { photographs, broken } = list(&options.files, &|_| false)?;
    if let (false, Some((name, error))) = (cx.skips_broken, broken.first()) {
        return Err(error.clone().context(name));
    }
    let files = photographs.into_iter().filter(|photograph| !excluded.holds(&photograph.id));
    let samples = files.map(|photograph| (photograph.id, SampleFiles::Photograph(photograph.path))).collect();
    Ok(Listing::new(samples, false, cx).with_broken(broken))
}

/// A source of these photographs, by the name of `photographs`, for programs that have listed them. The one with the most pixels has `largest` of them, `[height, width]`.
pub fn given(photographs: Vec<Photograph>, largest: Option<[usize; 2]>) -> StageKind {
    let samples: Vec<(String, SampleFiles)> =
        photographs.into_iter().map(|Photograph { id, path }| (id, SampleFiles::Photograph(path))).collect();
    StageKind::source("photographs", "emits photographs that were listed before", move |(): (), cx| {
        Ok(Listing::new(samples.clone(), false, cx))
    })
    .check::<()>(move |(), _| {
        let mut facts = Facts::default();
        if let Some(largest) = largest {
            facts.set(fact::LARGEST, json!(largest), "");
        }
        Checked::facts(facts)
    })
    .example("- {id: files, use: photographs}")
}

/// A photograph's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photograph {
    /// The file's name without its ending.
    pub id: String,
    /// Where it is.
    pub path: PathBuf,
}

/// Photographs that were listed.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    /// In their order.
    pub photographs: Vec<Photograph>,
    /// Files that can't be photographs by their names, and folders that can't be listed, with what is wrong.
    pub broken: Vec<(String, StageError)>,
}

/// The most bytes of an id: pictures of it get endings, and file systems take 255.
const LONGEST: usize = 200;

/// The photographs that files, folders and patterns name, in their order; those of a folder or a pattern by name, 2 before 10. Of a folder only
/// what has the ending of an image is taken, and nothing of its folders. A file that is named twice is listed once; one of which `left_out` is true, not
/// at all.
///
/// # Errors
/// When something isn't there, or two files would have the same id.
pub fn list(inputs: &[String], left_out: &dyn Fn(&Path) -> bool) -> Result<Listed> {
    let (mut found, mut ids) = (Listed::default(), BTreeMap::<String, PathBuf>::new());
    for input in inputs {
        for path in files(input, &mut found.broken)?.into_iter().filter(|path| !left_out(path)) {
            let id = match stem(&path).to_str() {
                Some(stem) if stem.len() <= LONGEST => stem.to_owned(),
                Some(stem) => {
                    let error =
                        StageError::new(format!("its name has more than {LONGEST} bytes, too many for its pictures' names"));
                    found.broken.push((stem.to_owned(), error.help("rename the file")));
                    continue;
                }
                _ => {
                    found.broken.push((
                        shown(&exact(path.as_os_str())),
                        StageError::new("its name isn't Unicode").help("rename the file"),
                    ));
                    continue;
                }
            };
            match ids.get(&id) {
                None => {
                    ids.insert(id.clone(), path.clone());
                    found.photographs.push(Photograph { id, path });
                }
                Some(first) if is_same(first, &path) => {}
                Some(first) => {
                    let message = format!("{} and {} would both be called {id}", first.display(), path.display());
                    return Err(StageError::new(message).help("predict them into different folders, or rename one"));
                }
            }
        }
    }
    Ok(found)
}

/// Height and width of a photograph in pixels, from its header.
///
/// # Errors
/// When it can't be read, is no image, or has more than `max_pixels` pixels.
pub fn size(path: &Path, max_pixels: u64) -> Result<[usize; 2]> {
    open(path, max_pixels).map(|opened| [opened.height, opened.width])
}

fn is_same(left: &Path, right: &Path) -> bool {
    left == right || matches!((left.canonicalize(), right.canonicalize()), (Ok(left), Ok(right)) if left == right)
}

/// The files that one input names.
fn files(input: &str, broken: &mut Vec<(String, StageError)>) -> Result<Vec<PathBuf>> {
    if input.is_empty() {
        return Err(StageError::new("an empty text names no photograph"));
    }
    let path = Path::new(input);
    if path.is_dir() {
        let failed = |error| StageError::from(error).context(path.display());
        let entries =
            std::fs::read_dir(path).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>()).map_err(failed)?;
        let images = entries.iter().map(std::fs::DirEntry::path).filter(|path| is_image(path)).collect();
        return some(sorted(images), input, "the folder holds no image");
    }
    if path.exists() || !input.contains(['*', '?']) {
        // One that isn't there is that sample's fault, so that the others are still predicted.
        return Ok(vec![path.to_owned()]);
    }
    let fixed = input.find(['*', '?']).and_then(|wild| input[..wild].rfind('/')).map_or(0, |slash| slash + 1);
    let (root, rest) = input.split_at(fixed);
    let pattern = Pattern::parse(rest).map_err(|wrong| StageError::new(wrong).help("patterns know *, ? and **/"))?;
    let root = if root.is_empty() { Path::new(".") } else { Path::new(root) };
    let search::Walked { files, unlisted, wrong, .. } = search::files(&pattern, root);
    let fitting = files.into_iter().filter(|(name, path)| pattern.fit(name).is_some() && is_image(path));
    let fitting: Vec<PathBuf> = fitting.map(|(_, path)| path).collect();
    let unlisted = unlisted.into_iter().map(|(name, error)| format!("{} can't be listed: {error}", shown(&name)));
    let wrong: Vec<String> = wrong.into_iter().chain(unlisted).collect();
    if let (true, Some(wrong)) = (fitting.is_empty(), wrong.first()) {
        return Err(StageError::new(wrong.clone()).context(input).help("is the folder before the first * right?"));
    }
    broken.extend(wrong.into_iter().map(|wrong| (input.to_owned(), StageError::new(wrong))));
    some(sorted(fitting), input, "no image fits the pattern")
}

fn some(files: Vec<PathBuf>, input: &str, none: &str) -> Result<Vec<PathBuf>> {
    match files.is_empty() {
        true => Err(StageError::new(format!("{input}: {none}"))
            .help("name photographs, folders of them, or patterns such as 'photos/*.png'")),
        false => Ok(files),
    }
}

fn sorted(mut files: Vec<PathBuf>) -> Vec<PathBuf> {
    files.sort_by(|left, right| natural(&name(left), &name(right)).then_with(|| left.cmp(right)));
    files
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::*;
    use crate::testing::{emitted, write_rgb};

    fn ids(inputs: &[String]) -> Vec<String> {
        list(inputs, &|_| false).unwrap().photographs.into_iter().map(|photograph| photograph.id).collect()
    }

    #[test]
    fn files_folders_and_patterns_are_listed_in_their_order() {
        let dir = tempdir().unwrap();
        for name in ["a/10.png", "a/2.jpg", "a/.hidden.png", "b/c/7.png", "b/8.png", "one.tif"] {
            write_rgb(&dir.path().join(name).with_extension("png"), 2, 2);
        }
        std::fs::write(dir.path().join("a/notes.txt"), "").unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        assert_eq!(ids(&[at("one.png"), at("a")]), ["one", "2", "10"]);
        assert_eq!(ids(&[at("b/**/*.png")]), ["7", "8"]);
        assert_eq!(ids(&[at("a/1?.png"), at("a"), at("a/2.png")]), ["10", "2"], "each once");
        assert_eq!(ids(&[at("gone.png")]), ["gone"], "decode will say so");
        for (input, part) in [(at("b/c/x"), None), (at("b/*.gif"), Some("no image fits")), (at("empty"), Some("no image"))] {
            std::fs::create_dir_all(dir.path().join("empty")).unwrap();
            match part {
                None => assert_eq!(ids(&[input]).len(), 1),
                Some(part) => assert!(list(&[input], &|_| false).unwrap_err().message().contains(part)),
            }
        }
        assert_eq!(size(&dir.path().join("one.png"), 100).unwrap(), [2, 2]);
    }

    #[test]
    fn two_files_of_one_name_are_refused() {
        let dir = tempdir().unwrap();
        for name in ["a/1.png", "b/1.png"] {
            write_rgb(&dir.path().join(name), 2, 2);
        }
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let error = list(&[at("a"), at("b")], &|_| false).unwrap_err();
        assert!(error.message().contains("a/1.png") && error.message().contains("both be called 1"), "{error}");
    }

    #[test]
    fn what_is_excluded_is_not_emitted() {
        let dir = tempdir().unwrap();
        for name in ["1.png", "2.png"] {
            write_rgb(&dir.path().join(name), 2, 2);
        }
        let given = json!({"files": [dir.path()], "exclude": ["1"]});
        let samples = emitted::<SampleFiles>(&kind(), given, 0).unwrap();
        assert_eq!(samples, [("2".to_owned(), SampleFiles::Photograph(dir.path().join("2.png")))]);
    }
}
