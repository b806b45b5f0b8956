//! A stage of a pipeline: what the file says of it, checked.

use pipeline_contract::StageKind;
use serde_json::Value;

use super::edge::Bound;

/// One stage as the file names it, its options checked and with defaults filled in.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Unique name within the file.
    pub id: String,
    /// Its kind.
    pub kind: StageKind,
    /// Its options in the form that the kind's `build` takes.
    pub options: Value,
    /// The ids of the stages that feed its input ports, in the order of the ports.
    pub needs: Vec<String>,
    /// How many CPU workers may run it at once; 0: none, its lane's own thread runs it. `None`: not said.
    pub workers: Option<usize>,
    /// The bound of the edges into it; `None`: not said, [`Bound::default`].
    pub bound: Option<Bound>,
}
