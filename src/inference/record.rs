//! `prediction.json` in the folder of a prediction: by what its pictures were made, so that going on never mixes two models or thresholds.

use std::io;
use std::path::{Path, PathBuf};

use pipeline_contract::{Result, StageError, files};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::recipe::Recipe;

/// Its name.
const NAME: &str = "prediction.json";

/// What decides the pictures: the models by what is in them, and every choice but those that change nothing.
pub(super) fn of(recipe: &Recipe, options: &serde_json::Map<String, Value>) -> Result<Value> {
    let digest = |path: &PathBuf| -> Result<String> {
        let bytes = std::fs::read(path).map_err(|error| StageError::from(error).context(path.display()))?;
        Ok(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
    };
    let models = recipe.models.iter().map(digest).collect::<Result<Vec<_>>>()?;
    let mut choices = options.clone();
    choices.remove("models");
    if let Some(tiles) = choices.get_mut("tiles").and_then(Value::as_object_mut) {
        tiles.remove("batch");
    }
    let precision = recipe.trainer().get("mixed_precision").cloned();
    Ok(json!({"model_sha256": models, "resized": recipe.resized, "options": choices, "mixed_precision": precision}))
}

/// Compares with what is in the folder, and writes it there if there is nothing yet, or `overwrite`.
///
/// # Errors
/// When the folder's pictures were made by something else, or it can't be read or written.
pub(super) fn agree(folder: &Path, record: &Value, overwrite: bool) -> Result<()> {
    let path = folder.join(NAME);
    let failed = |error: io::Error| StageError::from(error).context(path.display());
    match std::fs::read(&path) {
        Ok(bytes) if !overwrite => {
            let before: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let differs = ["model_sha256", "resized", "options", "mixed_precision"]
                .into_iter()
                .find(|key| before.get(key) != record.get(key));
            let Some(differs) = differs else { return Ok(()) };
            let what = match differs {
                "model_sha256" => "another model",
                "resized" => "another size",
                "mixed_precision" => "another precision",
                _ => "other options",
            };
            Err(StageError::new(format!("the pictures in {} were made with {what}", folder.display()))
                .help("name another folder with --out, or --overwrite to make them again"))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => files::replace(&path, format!("{record:#}\n").as_bytes()).map_err(failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_holds_the_pictures_of_one_model() {
        let folder = tempfile::tempdir().unwrap();
        let record = |model: &str| json!({"model_sha256": [model], "resized": null, "options": {}, "mixed_precision": "no"});
        agree(folder.path(), &record("a"), false).unwrap();
        agree(folder.path(), &record("a"), false).unwrap();
        let error = agree(folder.path(), &record("b"), false).unwrap_err();
        assert!(error.message().contains("another model") && error.mend().unwrap().contains("--overwrite"), "{error}");
        agree(folder.path(), &record("b"), true).unwrap();
        assert!(agree(folder.path(), &record("a"), false).is_err());
    }
}
