//! The file reader as a user meets it: broken files and what is said of them, references, overrides, defaults, the schema.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod best;
mod broken;
mod early_stopping;
mod filled_in;
mod hostile;
mod kinds;
mod messages;
mod overrides;
mod places;
mod schema;

use std::path::{Path, PathBuf};

use pipeline::diagnostic::summary;
use pipeline::spec::{self, Loaded};

const GOOD: &str = include_str!("good.yml");

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn load(text: &str, overrides: &[&str]) -> Loaded {
    let overrides: Vec<String> = overrides.iter().map(|argument| (*argument).to_owned()).collect();
    spec::load_text("test.yml", text.to_owned(), &overrides, &kinds::registry())
}

/// All that `validate` says of a file.
fn rendered(loaded: &Loaded) -> String {
    let mut lines: Vec<String> = loaded.diagnostics.iter().map(|problem| problem.render(&loaded.source, false)).collect();
    lines.push(summary(&loaded.diagnostics, &loaded.source));
    lines.join("\n\n")
}

/// What a file is run as.
fn resolved(text: &str, overrides: &[&str]) -> serde_json::Value {
    let loaded = load(text, overrides);
    let what = rendered(&loaded);
    loaded.pipeline.unwrap_or_else(|| panic!("{what}")).resolved
}

/// The broken files, by name.
fn broken_files() -> Vec<(String, String)> {
    let mut files: Vec<_> = std::fs::read_dir(folder("broken")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let named =
        |path: PathBuf| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(&path).unwrap());
    files.into_iter().map(named).collect()
}
