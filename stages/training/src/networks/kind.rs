//! A kind of network: its name in files, its options, and how it is built.

use std::fmt;
use std::sync::Arc;

use pipeline_contract::{OptionSpec, Result, Variant};
use serde_json::Value;

use crate::layer::NormOptions;
use crate::network::{Network, Node};

type Build = dyn Fn(&Value) -> Result<Network> + Send + Sync;

/// A network that files can name under `model:`.
#[derive(Clone)]
pub struct NetworkKind {
    /// Its name in files.
    pub name: &'static str,
    /// A one-line description.
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
    /// Declares a network: its name, its description, its options, and how it is built from their checked values.
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

    /// Builds the network from checked options, whose norms must divide its channels: also those over several maps, whose channels no option names.
    pub(super) fn build(&self, options: &Value) -> Result<Network> {
        let network = (self.build)(options)?;
        for node in &network.nodes {
            if let Node::Norm { norm, .. } = node {
                NormOptions { groups: norm.groups, ..NormOptions::new(norm.kind) }.divides(norm.channels)?;
            }
        }
        Ok(network)
    }
}
