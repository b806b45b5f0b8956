//! The stage kinds that a program knows, by name.

use std::collections::BTreeMap;

use crate::StageKind;

/// The stage kinds that a program knows, in the order of their names.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    kinds: BTreeMap<&'static str, StageKind>,
}

impl Registry {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind; one of the same name is replaced.
    #[must_use]
    pub fn with(mut self, kind: StageKind) -> Self {
        self.kinds.insert(kind.name, kind);
        self
    }

    /// Adds several kinds.
    #[must_use]
    pub fn with_all(self, kinds: impl IntoIterator<Item = StageKind>) -> Self {
        kinds.into_iter().fold(self, Self::with)
    }

    /// The kind of this name.
    pub fn get(&self, name: &str) -> Option<&StageKind> {
        self.kinds.get(name)
    }

    /// All kinds.
    pub fn kinds(&self) -> impl Iterator<Item = &StageKind> {
        self.kinds.values()
    }
}
