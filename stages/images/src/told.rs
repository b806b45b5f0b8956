//! The doubts about the files of one sample, gathered while they are read. Which there can be, `plausible` knows.

use std::cell::RefCell;
use std::path::Path;

use pipeline_contract::Doubt;

use crate::plausible;

/// The doubts about one sample's files.
#[derive(Debug, Default)]
pub(crate) struct Told(RefCell<Vec<Doubt>>);

impl Told {
    /// Takes a doubt about a file, if there is one.
    pub(crate) fn tell(&self, file: &Path, doubt: Option<plausible::Doubt>) {
        if let Some(plausible::Doubt { kind, words }) = doubt {
            self.0.borrow_mut().push(Doubt::new(kind.name(), file.display().to_string(), words));
        }
    }

    /// All of them.
    pub(crate) fn all(self) -> Vec<Doubt> {
        self.0.into_inner()
    }
}
