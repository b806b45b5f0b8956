//! A kind of network: its name in files, its options, and how one is built.

use std::fmt;
use std::sync::Arc;

use pipeline_contract::{OptionSpec, Result, Variant};
use serde_json::Value;

use crate::network::Network;

type Build = dyn Fn(&Value) -> Result<Network> + Send + Sync;

/// A network that files name under `model:`.
#[derive(Clone)]
pub struct NetworkKind {
    /// Its name in files.
    pub name: &'static str,
    /// What it is, in one line.
    pub doc: &'static str,
    /// Its options.
    pub options: Vec<OptionSpec>,
    build: Arc<Build>,
}

impl fmt::Debug for NetworkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkKind").field("name", &self.name).finish_non_exhaustive()
    }
}

impl NetworkKind {
    /// Declares a network: its name, what it is, its options, and how one is built of their checked values.
    pub fn new(
        name: &'static str,
        doc: &'static str,
        options: Vec<OptionSpec>,
        build: impl Fn(&Value) -> Result<Network> + Send + Sync + 'static,
    ) -> Self {
        Self { name, doc, options, build: Arc::new(build) }
    }

    pub(super) fn variant(&self) -> Variant {
        let variant = Variant::new(self.name, self.doc);
        self.options.iter().cloned().fold(variant, Variant::option)
    }

    /// A network of options that were checked.
    pub(super) fn build(&self, options: &Value) -> Result<Network> {
        (self.build)(options)
    }
}
