//! By what a pair is found: which stages made it (its set), and what its files hold (its name in the set).

use std::path::{Path, PathBuf};

use pipeline_contract::{Before, Facts, fact};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::digests::{Digests, State, hex};
use crate::SampleFiles;

/// Rises when the stages of this crate make other pixels of the same files and options.
const VERSION: u64 = 1;

/// The name of a set: everything but the files that decides what is kept. And the same in words, for people.
pub(super) fn set_of(before: &[Before], facts: Option<&Facts>) -> (String, Value) {
    let stages: Vec<Value> = before.iter().map(|Before { kind, options, .. }| json!({"use": kind, "with": options})).collect();
    // How many samples there are, how often they come and which part they are changes none of them; nor does it how often they are measured.
    let told = |name: &str| ![fact::SAMPLES, fact::PART, fact::WHOLE_RUN, fact::REPEATED].contains(&name);
    let value = |name: &str, value: &Value| if name == fact::EVALUATED { Value::Bool(true) } else { value.clone() };
    let facts: serde_json::Map<String, Value> = facts
        .into_iter()
        .flat_map(Facts::iter)
        .filter(|(name, _)| told(name))
        .map(|(name, fact)| (name.to_owned(), value(name, &fact.value)))
        .collect();
    let about = json!({"version": VERSION, "program": env!("CARGO_PKG_VERSION"), "stages": stages, "facts": facts});
    (half(&Sha256::digest(about.to_string())), about)
}

/// By what a sample is found in its set.
#[derive(Debug, Clone)]
pub(super) struct Key {
    digest: [u8; 32],
    /// The files and how they were when they were read.
    files: Vec<(PathBuf, State)>,
}

impl Key {
    /// `None` where a file can't be read: the stage that needs it will say so.
    pub fn of(sample: &SampleFiles, digests: &Digests) -> Option<Self> {
        let mut sum = Sha256::new();
        let mut files = Vec::new();
        let mut file = |role: u8, path: &Path| {
            let (state, digest) = digests.of(path)?;
            sum.update([role]);
            sum.update(digest);
            files.push((path.to_owned(), state));
            Some(())
        };
        match sample {
            SampleFiles::Pair { image, mask, inside } => {
                file(1, image)?;
                file(2, mask)?;
                inside.as_deref().map_or(Some(()), |inside| file(3, inside))?;
            }
            SampleFiles::Photograph(path) => file(4, path)?,
            SampleFiles::Drawn { size, seed, classes } => {
                sum.update([5, u8::from(*classes)]);
                sum.update((*size as u64).to_le_bytes());
                sum.update(seed.to_le_bytes());
            }
        }
        Some(Self { digest: sum.finalize().into(), files })
    }

    /// Its name.
    pub fn name(&self) -> String {
        half(&self.digest)
    }

    /// Whether a text is the name of one of the files.
    pub fn names(&self, text: &str) -> bool {
        self.files.iter().any(|(path, _)| path.display().to_string() == text)
    }

    /// Whether the files are as they were.
    pub fn holds(&self) -> bool {
        self.files.iter().all(|(path, state)| State::of(path) == Some(*state))
    }
}

/// The first half of a digest, in hexadecimal digits.
fn half(digest: &[u8]) -> String {
    hex(&digest[..16])
}
