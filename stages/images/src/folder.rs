//! Lists the image files of one folder by their stems. Looks at names only; whether a file holds an image, `decode` finds out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::problems::Problems;

/// Extensions of the formats that `decode` reads.
const EXTENSIONS: [&str; 10] = ["png", "jpg", "jpeg", "tif", "tiff", "gif", "ppm", "pgm", "pbm", "pnm"];

/// The image files directly in `folder`, by stem, and the stems that two files have, with their names. Other files are named in
/// a warning.
pub(crate) fn images_by_stem(folder: &Path, problems: &mut Problems) -> (BTreeMap<String, PathBuf>, Vec<(String, String)>) {
    let (mut images, mut twice) = (BTreeMap::<String, PathBuf>::new(), Vec::new());
    for path in paths(folder, problems) {
        if !is_image(&path) {
            tracing::warn!("{} is left out: it is no image by its name", path.display());
            continue;
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match images.get(&stem) {
            Some(first) => {
                let names = format!("{} and {}", name(first), name(&path));
                twice.push((stem, names));
            }
            None => drop(images.insert(stem, path)),
        }
    }
    (images, twice)
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

/// Whether a path has the ending of an image, isn't hidden and isn't a folder.
pub(crate) fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    EXTENSIONS.contains(&extension.as_str()) && !name(path).starts_with('.') && !path.is_dir()
}

/// A path's last part.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
