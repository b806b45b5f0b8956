//! `prediction.json` in the folder of a prediction: by what its pictures were made and of which files, so that going on mixes neither two models
//! nor two photographs of one name.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use pipeline_contract::{Result, StageError, files};
use pipeline_images::Photograph;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::recipe::Recipe;

/// Its name.
const NAME: &str = "prediction.json";

/// The folders of the pictures, that of the masks first: a photograph whose mask is there is done.
pub(super) const FOLDERS: [&str; 3] = ["masks", "probabilities", "overlays"];

/// What decides the pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct How {
    /// The models by what is in their files.
    model_sha256: Vec<String>,
    /// How photographs are resized.
    resized: Value,
    /// Every choice but those that change nothing.
    options: Map<String, Value>,
    mixed_precision: Value,
}

impl How {
    /// Of a recipe with the options of its last stage.
    ///
    /// # Errors
    /// When a model can't be read.
    pub fn of(recipe: &Recipe, options: &Map<String, Value>) -> Result<Self> {
        let digest = |path: &PathBuf| -> Result<String> {
            let bytes = std::fs::read(path).map_err(|error| StageError::from(error).context(path.display()))?;
            Ok(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
        };
        let mut choices = options.clone();
        choices.remove("models");
        if let Some(tiles) = choices.get_mut("tiles").and_then(Value::as_object_mut) {
            tiles.remove("batch");
        }
        Ok(Self {
            model_sha256: recipe.models.iter().map(digest).collect::<Result<_>>()?,
            resized: serde_json::json!(recipe.resized),
            options: choices,
            mixed_precision: recipe.trainer().get("mixed_precision").cloned().unwrap_or_default(),
        })
    }

    /// In which way another one is different; `None` if it is the same.
    fn differs(&self, other: &Self) -> Option<&'static str> {
        let ways = [
            ("another model", self.model_sha256 != other.model_sha256),
            ("another size", self.resized != other.resized),
            ("another precision", self.mixed_precision != other.mixed_precision),
            ("other options", self.options != other.options),
        ];
        ways.into_iter().find_map(|(what, differs)| differs.then_some(what))
    }
}

/// Which file a photograph is, as far as can be told without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    file: String,
    bytes: u64,
    /// Nanoseconds since 1970.
    modified: u64,
}

impl Stamp {
    /// `None` of a file that can't be read, which is then that photograph's fault.
    fn of(path: &Path) -> Option<Self> {
        let (about, file) = (std::fs::metadata(path).ok()?, path.canonicalize().ok()?);
        let modified = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        Some(Self { file: file.display().to_string(), bytes: about.len(), modified: u64::try_from(modified).ok()? })
    }
}

/// What the folder of a prediction says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    how: How,
    photographs: BTreeMap<String, Stamp>,
}

/// What there is to do in a folder.
#[derive(Debug)]
pub(super) struct Work {
    /// The photographs to predict.
    pub photographs: Vec<Photograph>,
    /// How many are done.
    pub there: u64,
    /// Photographs whose pictures are another model's and must go first.
    foreign: Vec<String>,
    record: Record,
}

impl Work {
    /// Compares what is wanted with what is in the folder. Changes nothing.
    ///
    /// # Errors
    /// When the folder's pictures were made in another way, are of other photographs, or aren't a prediction's; when it can't be read.
    pub fn of(folder: &Path, how: How, photographs: Vec<Photograph>, overwrite: bool) -> Result<Self> {
        let stamps = photographs.iter().filter_map(|photograph| Some((photograph.id.clone(), Stamp::of(&photograph.path)?)));
        let mut record = Record { how, photographs: stamps.collect() };
        let before = read(folder)?;
        let has_pictures = FOLDERS.iter().any(|name| has_files(&folder.join(name)));
        let Some(before) = before else {
            return match has_pictures {
                true => Err(StageError::new(format!("{} has pictures that no prediction has made", folder.display()))
                    .help("name another folder with --out")),
                false => Ok(Self { photographs, there: 0, foreign: Vec::new(), record }),
            };
        };
        if let Some(what) = before.how.differs(&record.how).filter(|_| has_pictures) {
            if !overwrite {
                return Err(StageError::new(format!("the pictures in {} were made with {what}", folder.display()))
                    .help("name another folder with --out, or --overwrite to remove them"));
            }
            let foreign = before.photographs.into_keys().collect();
            return Ok(Self { photographs, there: 0, foreign, record });
        }
        let all = photographs.len();
        let mut left = Vec::new();
        for photograph in photographs {
            let (then, now) = (before.photographs.get(&photograph.id), record.photographs.get(&photograph.id));
            let is_there = folder.join(FOLDERS[0]).join(format!("{}.png", photograph.id)).exists();
            if let (Some(then), Some(now), true, false) = (then, now, is_there, overwrite)
                && then.file != now.file
            {
                let message = format!("{} in {} is of {}, not of {}", photograph.id, folder.display(), then.file, now.file);
                return Err(StageError::new(message)
                    .help("predict photographs of the same name into different folders, or --overwrite"));
            }
            if overwrite || !is_there || then != now {
                left.push(photograph);
            }
        }
        let there = (all - left.len()) as u64;
        for (id, stamp) in before.photographs {
            record.photographs.entry(id).or_insert(stamp);
        }
        Ok(Self { photographs: left, there, foreign: Vec::new(), record })
    }

    /// Prepares the folder: what another model has made is removed, and what half-written files a killed program left.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn begin(&self, folder: &Path) -> Result<()> {
        let failed = |error: io::Error| StageError::from(error).context(folder.display());
        for id in &self.foreign {
            remove(folder, id).map_err(failed)?;
        }
        for name in FOLDERS {
            let folder = folder.join(name);
            if folder.is_dir() {
                files::sweep(&folder).map_err(failed)?;
            }
        }
        let text = serde_json::to_string_pretty(&self.record).map_err(|error| StageError::new(error.to_string()))?;
        files::replace(&folder.join(NAME), format!("{text}\n").as_bytes()).map_err(failed)
    }
}

fn read(folder: &Path) -> Result<Option<Record>> {
    let path = folder.join(NAME);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            StageError::new(format!("{} isn't what a prediction left: {error}", path.display()))
                .help("name another folder with --out")
        }),
        Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) => Ok(None),
        Err(error) => Err(StageError::from(error).context(path.display())),
    }
}

fn has_files(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// Removes the pictures of a photograph, its mask last. Of several classes probabilities are called `ID.CLASS.png`.
fn remove(folder: &Path, id: &str) -> io::Result<()> {
    for name in FOLDERS.iter().rev() {
        let Ok(entries) = std::fs::read_dir(folder.join(name)) else { continue };
        for entry in entries {
            let entry = entry?;
            let file = entry.file_name();
            let is_of = file.to_str().and_then(|file| file.strip_prefix(id)?.strip_suffix("png"));
            if is_of.is_some_and(|rest| rest == "." || (*name == FOLDERS[1] && rest.starts_with('.'))) {
                std::fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn how(model: &str) -> How {
        How {
            model_sha256: vec![model.to_owned()],
            resized: Value::Null,
            options: Map::from_iter([("threshold".to_owned(), json!(0.3_f32))]),
            mixed_precision: json!("no"),
        }
    }

    /// A photograph `1.png` in a folder of this name, and what there is to do for it.
    struct Place(tempfile::TempDir);

    impl Place {
        fn photograph(&self, folder: &str, text: &str) -> Photograph {
            let path = self.0.path().join(folder).join("1.png");
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            Photograph { id: "1".into(), path }
        }

        fn out(&self) -> PathBuf {
            self.0.path().join("out")
        }

        fn work(&self, model: &str, photograph: &Photograph, overwrite: bool) -> Result<Work> {
            let work = Work::of(&self.out(), how(model), vec![photograph.clone()], overwrite)?;
            std::fs::create_dir_all(self.out()).unwrap();
            work.begin(&self.out())?;
            Ok(work)
        }

        fn done(&self) {
            for file in ["masks/1.png", "probabilities/1.png", "overlays/1.png"] {
                std::fs::create_dir_all(self.out().join(file).parent().unwrap()).unwrap();
                std::fs::write(self.out().join(file), "").unwrap();
            }
        }
    }

    #[test]
    fn a_folder_holds_the_pictures_of_one_model() {
        let place = Place(tempfile::tempdir().unwrap());
        let photograph = place.photograph("a", "x");
        assert_eq!(place.work("m", &photograph, false).unwrap().photographs.len(), 1);
        // Nothing was made: another model may begin.
        place.work("n", &photograph, false).unwrap();
        place.done();
        let work = place.work("n", &photograph, false).unwrap();
        assert_eq!((work.photographs.len(), work.there), (0, 1));
        let error = place.work("m", &photograph, false).unwrap_err();
        assert!(error.message().contains("another model") && error.mend().unwrap().contains("--overwrite"), "{error}");
        assert_eq!(place.work("m", &photograph, true).unwrap().photographs.len(), 1);
        assert!(!place.out().join("masks/1.png").exists() && !place.out().join("probabilities/1.png").exists());
    }

    #[test]
    fn another_photograph_of_the_same_name_is_not_taken_for_it() {
        let place = Place(tempfile::tempdir().unwrap());
        let (first, other) = (place.photograph("a", "x"), place.photograph("b", "x"));
        place.work("m", &first, false).unwrap();
        place.done();
        let error = place.work("m", &other, false).unwrap_err();
        assert!(error.message().contains("a/1.png") && error.message().contains("b/1.png"), "{error}");
        // The same file with something else in it is predicted again.
        let changed = place.photograph("a", "longer");
        assert_eq!(place.work("m", &changed, false).unwrap().photographs.len(), 1);
    }

    #[test]
    fn pictures_of_others_are_left_alone() {
        let place = Place(tempfile::tempdir().unwrap());
        let photograph = place.photograph("a", "x");
        place.done();
        for overwrite in [false, true] {
            let error = place.work("m", &photograph, overwrite).unwrap_err();
            assert!(error.message().contains("no prediction has made"), "{error}");
        }
        assert!(place.out().join("masks/1.png").exists());
    }
}
