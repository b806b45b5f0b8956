//! Lists the image files of one folder by their stems, and says which names are nobody's. Looks at names only; whether a file holds an
//! image, `decode` finds out.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::form::{exact, shown};
use crate::problems::Problems;

/// Extensions of the formats that `decode` reads.
const EXTENSIONS: [&str; 10] = ["png", "jpg", "jpeg", "tif", "tiff", "gif", "ppm", "pgm", "pbm", "pnm"];

/// Extensions of other images, which are exported to one of those.
const OTHER_IMAGES: [&str; 8] = ["bmp", "webp", "jp2", "heic", "avif", "dcm", "mha", "nii"];

/// Files and folders that programs leave between the user's, in lower case; and hidden ones, such as `._1.png` of macOS and `.#1.png` of Emacs.
const LEFT_BY_PROGRAMS: [&str; 8] = [
    "__macosx",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "@eadir",
    "lost+found",
    "$recycle.bin",
    "system volume information",
];

/// Whether a file or folder of this name is nobody's sample.
pub(crate) fn is_nobodys(name: &str) -> bool {
    name.starts_with('.') || LEFT_BY_PROGRAMS.contains(&name.to_ascii_lowercase().as_str())
}

/// The files directly in a folder.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Image files by stem, as [`exact`] has it.
    pub(crate) images: BTreeMap<String, PathBuf>,
    /// Stems that two files have, with their names.
    pub(crate) twice: Vec<(String, String)>,
    /// Names of files that are no images by them.
    pub(crate) others: Vec<String>,
}

/// What a folder holds, without what is nobody's.
pub(crate) fn images_by_stem(folder: &Path, problems: &mut Problems) -> Held {
    let Held { mut images, mut twice, mut others } = Held::default();
    for path in paths(folder, problems) {
        if is_nobodys(&name(&path)) {
            continue;
        }
        if !is_image(&path) {
            others.push(name(&path));
            continue;
        }
        let stem = exact(&stem(&path));
        match images.get(&stem) {
            Some(first) => {
                let names = format!("{} and {}", name(first), name(&path));
                twice.push((stem, names));
            }
            None => drop(images.insert(stem, path)),
        }
    }
    Held { images, twice, others }
}

/// What a folder holds, in the order of the names.
fn paths(folder: &Path, problems: &mut Problems) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let mut paths: Vec<PathBuf> = match entries {
        Ok(entries) => entries.iter().map(std::fs::DirEntry::path).collect(),
        Err(error) => {
            problems.add(format!("{} can't be listed: {error}", folder.display()));
            Vec::new()
        }
    };
    paths.sort();
    paths
}

/// Whether a path has the ending of an image, isn't nobody's and isn't a folder.
pub(crate) fn is_image(path: &Path) -> bool {
    EXTENSIONS.contains(&extension(path).as_str()) && !is_nobodys(&name(path)) && !path.is_dir()
}

/// Whether a file is an image by its name, also one of a format that isn't read.
pub(crate) fn looks_like_image(path: &Path) -> bool {
    is_image(path) || OTHER_IMAGES.contains(&extension(path).as_str())
}

/// A file's extension in lower case; of `.ppm.gz` that of what is packed.
fn extension(path: &Path) -> String {
    let last = |path: &Path| path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match last(path) {
        packed if packed == "gz" => last(&path.with_extension("")),
        extension => extension,
    }
}

/// A file's name without its extension, or without both of `.ppm.gz`.
pub(crate) fn stem(path: &Path) -> OsString {
    let unpacked = path.with_extension("");
    let is_packed = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    let named = if is_packed { unpacked.as_path() } else { path };
    named.file_stem().unwrap_or_default().to_owned()
}

/// A path's last part, for people.
pub(crate) fn name(path: &Path) -> String {
    shown(&exact(path.file_name().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_file_is() {
        for (name, image, looks, named) in [
            ("a/1.png", true, true, "1"),
            ("a/1.b.JPG", true, true, "1.b"),
            ("im0001.ppm.gz", true, true, "im0001"),
            ("im0001.ah.PPM.GZ", true, true, "im0001.ah"),
            ("1.webp", false, true, "1"),
            ("1.nii.gz", false, true, "1"),
            ("1.tar.gz", false, false, "1"),
            ("notes", false, false, "notes"),
            ("._1.png", false, false, "._1"),
        ] {
            let path = Path::new(name);
            assert_eq!((is_image(path), looks_like_image(path), stem(path).to_str()), (image, looks, Some(named)), "{name}");
        }
    }
}
