//! What the samples of a source are made of, so that the same photograph is found in training and in test data before a run.
//! A kind says which parts a sample has and how a part is read; who compares them, and keeps what was read, isn't here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Result;

/// A digest of what a part shows, such as the SHA-256 of its pixels: equal for equal content, whatever file or format it is in.
pub type Fingerprint = [u8; 32];

/// The parts of one sample.
#[derive(Debug, Clone)]
pub struct Content {
    /// The sample's id, as the source emits it.
    pub sample: Arc<str>,
    /// Its parts, such as photograph and mask.
    pub parts: Vec<Part>,
}

/// One part of a sample. Parts of one name are compared with each other.
#[derive(Debug, Clone)]
pub struct Part {
    /// What it is, in the field's words: `photograph`, `mask`.
    pub name: &'static str,
    /// Where its content is.
    pub stored: Stored,
}

/// Where the content of a part is.
#[derive(Debug, Clone)]
pub enum Stored {
    /// In a file, which `read` fingerprints. `None`: it says nothing of its sample, as an empty mask does.
    File {
        /// The file.
        path: PathBuf,
        /// Fingerprints it; the same file gives the same fingerprint in any process.
        read: fn(&Path) -> Result<Option<Fingerprint>>,
    },
    /// In no file: it is computed, and this tells it apart.
    Computed(Fingerprint),
}
